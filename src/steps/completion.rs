//! Completions: what an authorization response brought waits until the member service says that the person who came
//! back is the one the link was made for.
//!
//! - A handle works once: of any number of confirmations one leads on. Another one finds what became of it.
//! - Only the client of the window confirms, and only for the window's own user and member. A handle of another
//!   client's is unknown, and so is one that nobody used in time.
//! - The client's own handle with another user or member ends the window: whoever came back is not who it was made for.
//! - Nothing is kept of what nobody confirmed: where the window ends, what it held is given back in the same step.
//! - A code is given out with its confirmation, and never again. A token set stays where it is until it is the member's,
//!   so that a confirmation that was cut off can be sent again.

use jiff::Timestamp;

use super::event::Snapshot;
use super::handle::NewHandle;
use super::link::Subject;
use super::record::{Authorization, Changes, Completion, Key, Reads, Slot, View};
use super::response::SETTLING;
use super::step::{Step, unchanged};
use crate::domain::event::Notice;
use crate::domain::id::{
    AttemptId, ClientId, InstitutionCode, MemberGuid, OauthStateGuid, Partition, UserGuid,
};
use crate::domain::secret::Digest;
use crate::domain::window::{Ending, ErrorReason, Window, WindowStatus};

/// A token set that waits for its confirmation.
#[derive(Clone, Debug)]
pub struct HeldTokens {
    /// The window, which must be `Returned`.
    pub window: OauthStateGuid,
    /// The attempt that it came to.
    pub attempt: AttemptId,
    /// The institution that issued it.
    pub institution: InstitutionCode,
    /// The token set, sealed as the window's member's.
    pub sealed: Vec<u8>,
    /// What the login may be known by; empty: it is not compared.
    pub fingerprints: Vec<Digest>,
    /// Names the duty that gives it back, unless it is confirmed.
    pub generation: u64,
    /// What confirms it.
    pub handle: NewHandle,
}

impl Step for HeldTokens {
    /// Whether it is held: the window is `Authorized`. Otherwise nothing changed, and it must be revoked.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        Slot::Partition(self.window.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::window(self.window)]).and_drawn(Key::completion(&self.handle.digest))
    }

    fn decide(&self, view: &View, now: Timestamp) -> (bool, Changes) {
        let Some(kept) = view.window(self.window) else {
            return unchanged(false);
        };
        // The same, sent again because the reply was lost.
        if view.completion(&self.handle.digest).is_some() {
            return unchanged(true);
        }
        if kept.window.status != WindowStatus::Returned {
            return unchanged(false);
        }
        let mut kept = kept.clone();
        kept.window.status = WindowStatus::Authorized;
        kept.window.updated_at = now;
        kept.window.deadline = self.handle.until;
        kept.authorization = Some(Authorization {
            attempt: self.attempt.clone(),
            institution: self.institution.clone(),
            handle: self.handle.sealed.clone().into(),
            generation: self.generation,
            response: None,
            tokens: Some(self.sealed.clone().into()),
            fingerprints: self.fingerprints.clone(),
        });
        let mut changes = Changes::default();
        self.handle.keep(&kept.window, &mut changes);
        changes.put_window(kept);
        (true, changes)
    }
}

/// A member service confirms an authorization.
#[derive(Clone, Debug)]
pub struct Confirmation {
    /// Where the handle's window is.
    pub partition: Partition,
    /// The handle's digest.
    pub handle: Digest,
    /// Who confirms.
    pub client: ClientId,
    /// The user whose session it is confirmed from; `None`: none that exists.
    pub user: Option<UserGuid>,
    /// The member it is confirmed for; `None`: none that exists.
    pub member: Option<MemberGuid>,
    /// Told with the window as misdirected.
    pub misdirected: Vec<Notice>,
}

/// What a [`Confirmation`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Confirmed {
    /// The code may be exchanged, by this confirmation and no other. The window is `Returned`.
    Code {
        /// The window and its member.
        subject: Box<Subject>,
        /// The attempt that it was given to.
        attempt: AttemptId,
        /// The authorization response, sealed.
        response: Vec<u8>,
        /// The attempt's secrets, sealed.
        secrets: Vec<u8>,
    },
    /// The token set may become the member's. The window stays `Authorized` until it is.
    Tokens {
        /// The window and its member.
        subject: Box<Subject>,
        /// The attempt that it came to.
        attempt: AttemptId,
        /// The token set, sealed.
        sealed: Vec<u8>,
        /// What the login may be known by.
        fingerprints: Vec<Digest>,
    },
    /// It was confirmed before; the window as it is. Nothing changed.
    Before(Box<Window>),
    /// It was confirmed for another user or member: the window is `Errored(SessionError, Misdirected)`.
    Misdirected(Box<Subject>),
    /// There is no such handle of this client's that can be used (any more). Nothing changed.
    Unknown,
}

impl Step for Confirmation {
    type Outcome = Confirmed;

    fn slot(&self) -> Slot {
        Slot::Partition(self.partition)
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::completion(&self.handle)]).then(&["wm"])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Confirmed, Changes) {
        let completion = view.completion(&self.handle);
        let found = completion.and_then(|it| Some((it, view.window(it.window)?)));
        let Some((completion, kept)) = found.filter(|(_, kept)| kept.window.client == self.client)
        else {
            return unchanged(Confirmed::Unknown);
        };
        let window = &kept.window;
        let is_meant = self.user == Some(window.user) && self.member == Some(completion.member);
        let held = kept.authorization.as_ref();
        let (Some(held), Some(member)) = (held, view.member(completion.member)) else {
            return unchanged(match is_meant && completion.is_confirmed {
                true => Confirmed::Before(Box::new(window.clone())),
                false => Confirmed::Unknown,
            });
        };
        if now >= window.deadline || !is_meant && completion.is_confirmed {
            return unchanged(Confirmed::Unknown);
        }
        let mut changes = Changes::default();
        if !is_meant {
            let status = WindowStatus::Errored(ErrorReason::SessionError, Ending::Misdirected);
            let ended = kept.clone().finished(status, now, &mut changes);
            let snapshot = Snapshot::of(member).with_window(&ended.window);
            changes.tell(&self.misdirected, &snapshot, now);
            let subject = Box::new(Subject {
                window: ended.window.clone(),
                member: member.clone(),
            });
            changes.put_window(ended);
            return (Confirmed::Misdirected(subject), changes);
        }
        let confirmed = Completion {
            is_confirmed: true,
            ..completion.clone()
        };
        changes.put(Key::completion(&self.handle), confirmed);
        let attempt = held.attempt.clone();
        if let Some(tokens) = &held.tokens {
            let subject = Box::new(Subject {
                window: window.clone(),
                member: member.clone(),
            });
            let confirmed = Confirmed::Tokens {
                subject,
                attempt,
                sealed: tokens.clone().into(),
                fingerprints: held.fingerprints.clone(),
            };
            return (confirmed, changes);
        }
        let mut returned = kept.clone();
        let response = held.response.clone();
        let mut attempts = returned.attempts.iter_mut();
        let secrets = attempts.find_map(|it| it.sealed.take_if(|_| it.id == attempt));
        let Some((response, secrets)) = response.zip(secrets) else {
            return unchanged(Confirmed::Unknown);
        };
        returned.authorization = None;
        returned.window.status = WindowStatus::Returned;
        returned.window.updated_at = now;
        returned.window.deadline = now + SETTLING;
        let subject = Box::new(Subject {
            window: returned.window.clone(),
            member: member.clone(),
        });
        changes.put_window(returned);
        let confirmed = Confirmed::Code {
            subject,
            attempt,
            response: response.into(),
            secrets: secrets.into(),
        };
        (confirmed, changes)
    }
}
