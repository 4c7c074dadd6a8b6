//! Authorization responses: claimed by the browser that left, or held until it comes.
//!
//! - The checks run in this order: attempt known, path (client and institution of its window), already
//!   settled or late, binding.
//! - Exactly one of any number of responses of a window is claimed, and its attempt's secrets are given
//!   out with that claim and forgotten.
//! - One that arrives in another browser follows the policy it comes with: burnt, which ends the
//!   window and owes the revocation of what its code is good for; confirmed, which binds the attempt to that browser; or
//!   ignored, which changes nothing.
//! - A code that has to be confirmed makes the window `Authorized`, and is kept with it. Where its tokens are to be held
//!   instead, it is exchanged at once, and `HeldTokens` follows.
//! - Of the responses that come by POST and wait for a GET, [`HELD_RESPONSES`] are held for one attempt:
//!   the oldest gives way.

use std::time::Duration;

use jiff::Timestamp;

use super::envelope::Envelope;
use super::event::Snapshot;
use super::handle::NewHandle;
use super::link::Subject;
use super::record::{
    Authorization, Changes, HeldResponse, KeptWindow, Key, Reads, Slot, UnusedCode, View,
};
use super::revocation::owe_code;
use super::step::{Step, unchanged};
use crate::domain::client::{Completion, UnboundCallback};
use crate::domain::event::Notice;
use crate::domain::id::{AttemptId, ClientId, InstitutionCode};
use crate::domain::member::Member;
use crate::domain::secret::Digest;
use crate::domain::window::{Binding, CONTINUES, Ending, ErrorReason, Window, WindowStatus};

/// How many posted responses are held for one attempt.
pub const HELD_RESPONSES: u32 = 8;

/// How long an exchange may take from the claim of its response to the commit: twice an institution's
/// longest time limit, for the code and for who signed in, and the patience with a store that is
/// away. A window cut off in between ends then.
pub const SETTLING: Duration = Duration::from_secs(150);

/// An authorization response that asks to be claimed.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The attempt its `state` names.
    pub attempt: AttemptId,
    /// The client the callback path names.
    pub client: ClientId,
    /// The institution the callback path names.
    pub institution: InstitutionCode,
    /// The bindings the browser shows.
    pub browser: Vec<Binding>,
    /// What completes it when one of them is the attempt's.
    pub completion: Completion,
    /// What to do when none of them is.
    pub unbound: UnboundCallback,
    /// The binding of the browser it arrived in, where that is to be the attempt's from now on.
    pub rebinding: Digest,
    /// Its code; `None`: it has none.
    pub code: Option<NewCode>,
    /// Told with the window as burnt.
    pub burnt: Vec<Notice>,
}

/// The code of an authorization response.
#[derive(Clone, Debug)]
pub struct NewCode {
    /// The response, sealed for its attempt.
    pub response: Vec<u8>,
    /// Names the duty that gives back what the code is good for, if nobody uses it.
    pub generation: u64,
    /// What confirms it, where that is needed; `None`: it is exchanged at once, and its tokens are confirmed.
    pub handle: Option<NewHandle>,
}

/// What a [`Claim`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Claimed {
    /// The code of this response, and of no other, may be exchanged. The window is `Returned`.
    Accepted {
        /// The window and its member.
        subject: Box<Subject>,
        /// The attempt's sealed secrets.
        sealed: Vec<u8>,
        /// Whether the tokens have to be confirmed.
        completion: Completion,
        /// Whether it arrived in another browser, which has the attempt now.
        is_rebound: bool,
    },
    /// The code of this response, and of no other, waits for its confirmation. The window is `Authorized`.
    Waiting {
        /// The window and its member.
        subject: Box<Subject>,
        /// Whether it arrived in another browser, which has the attempt now.
        is_rebound: bool,
    },
    /// It arrived in another browser and the policy is `burn`: the window is
    /// `Errored(SessionError, Unbound)`, and it is owed to redeem the code and to revoke its tokens.
    Burnt(Box<Subject>),
    /// It arrived in another browser and the policy is `ignore`. Nothing changed.
    Ignored,
    /// The attempt's window was claimed or finished before, or is past its deadline, or the attempt
    /// was replaced by a newer one. Nothing changed.
    Settled,
    /// There is no such attempt at that path. Nothing changed.
    Unknown,
}

/// An attempt as its outcome page needs it.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// The window it belongs to.
    pub window: Window,
    /// The window's member, unless it was deleted.
    pub member: Option<Member>,
    /// What its browser holds.
    pub binding: Digest,
    /// Whether Continue made a newer one in its place.
    pub is_replaced: bool,
    /// Whether its window may still be continued: it was not as often as it may be.
    pub may_continue: bool,
    /// The handle that confirms what it brought, sealed, while that is awaited.
    pub handle: Option<Envelope>,
}

impl AttemptRecord {
    /// Whether one of the bindings a browser shows is that of this attempt, whose id is `attempt`.
    pub fn is_held_by(&self, attempt: &AttemptId, browser: &[Binding]) -> bool {
        browser
            .iter()
            .any(|shown| shown.attempt == *attempt && shown.digest.matches(&self.binding))
    }

    /// Whether its browser may still come back from the institution with an authorization response.
    pub fn is_unanswered(&self) -> bool {
        !self.is_replaced && self.window.status == WindowStatus::Opened
    }
}

impl Step for Claim {
    type Outcome = Claimed;

    fn slot(&self) -> Slot {
        Slot::Partition(self.attempt.partition())
    }

    fn reads(&self) -> Reads {
        let reads = Reads::of([Key::attempt(&self.attempt)]).then(&["wm"]);
        let handle = self.code.as_ref().and_then(|code| code.handle.as_ref());
        handle.into_iter().fold(reads, |reads, handle| {
            reads.and_drawn(Key::completion(&handle.digest))
        })
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Claimed, Changes) {
        let at = view.attempt(&self.attempt);
        let window = at
            .filter(|at| at.institution == self.institution)
            .and_then(|at| view.window(at.window));
        let Some(kept) = window.filter(|kept| kept.window.client == self.client) else {
            return unchanged(Claimed::Unknown);
        };
        let Some(attempt) = kept.attempt(&self.attempt) else {
            return unchanged(Claimed::Unknown);
        };
        let is_open = kept.window.status == WindowStatus::Opened && now < kept.window.deadline;
        let member = view.member(kept.window.member);
        let (true, Some(sealed), Some(member)) = (is_open, attempt.sealed.clone(), member) else {
            return unchanged(Claimed::Settled);
        };
        let is_bound = attempt.is_held_by(&self.browser);
        match self.unbound {
            _ if is_bound => {}
            UnboundCallback::Ignore => return unchanged(Claimed::Ignored),
            UnboundCallback::Burn => return self.burn(kept, member, sealed, now),
            UnboundCallback::Confirm => {}
        }
        let completion = match (&self.code, is_bound) {
            (Some(_), false) => Completion::Confirm,
            (Some(_), true) => self.completion,
            // There is nothing to confirm: the flow ends with what the institution said.
            (None, _) => Completion::Immediate,
        };
        let mut changes = Changes::default();
        let mut kept = kept.clone();
        let waiting = self
            .code
            .as_ref()
            .filter(|_| completion == Completion::Confirm);
        let waiting = waiting.and_then(|code| Some((code, code.handle.as_ref()?)));
        kept.window.updated_at = now;
        for attempt in &mut kept.attempts {
            let is_this = attempt.id == self.attempt;
            if is_this && !is_bound {
                attempt.binding = self.rebinding;
            }
            if !is_this || waiting.is_none() {
                attempt.sealed = None;
            }
        }
        let (status, deadline) = match waiting {
            Some((_, handle)) => (WindowStatus::Authorized, handle.until),
            None => (WindowStatus::Returned, now + SETTLING),
        };
        (kept.window.status, kept.window.deadline) = (status, deadline);
        if let Some((code, handle)) = waiting {
            handle.keep(&kept.window, &mut changes);
            kept.authorization = Some(Authorization {
                attempt: self.attempt.clone(),
                institution: self.institution.clone(),
                handle: handle.sealed.clone().into(),
                generation: code.generation,
                response: Some(code.response.clone().into()),
                tokens: None,
                fingerprints: Vec::new(),
            });
        }
        let subject = Box::new(Subject {
            window: kept.window.clone(),
            member: member.clone(),
        });
        let (is_waiting, is_rebound) = (waiting.is_some(), !is_bound);
        changes.put_window(kept);
        let claimed = match is_waiting {
            true => Claimed::Waiting {
                subject,
                is_rebound,
            },
            false => Claimed::Accepted {
                subject,
                sealed: sealed.into(),
                completion,
                is_rebound,
            },
        };
        (claimed, changes)
    }
}

impl Claim {
    /// Ends the window, and owes the revocation of what the code is good for.
    fn burn(
        &self,
        kept: &KeptWindow,
        member: &Member,
        secrets: Envelope,
        now: Timestamp,
    ) -> (Claimed, Changes) {
        let mut changes = Changes::default();
        let status = WindowStatus::Errored(ErrorReason::SessionError, Ending::Unbound);
        let ended = kept.clone().finished(status, now, &mut changes);
        if let Some(code) = &self.code {
            let unused = UnusedCode {
                attempt: self.attempt.clone(),
                response: code.response.clone().into(),
                secrets,
                values: kept.window.options.oauth_values.clone(),
            };
            let unused = (unused, code.generation);
            owe_code(&mut changes, &ended.window, &self.institution, unused, now);
        }
        let snapshot = Snapshot::of(member).with_window(&ended.window);
        changes.tell(&self.burnt, &snapshot, now);
        let subject = Subject {
            window: ended.window.clone(),
            member: member.clone(),
        };
        changes.put_window(ended);
        (Claimed::Burnt(Box::new(subject)), changes)
    }
}

impl AttemptRecord {
    /// What to read for an attempt.
    pub fn reads(attempt: &AttemptId) -> Reads {
        Reads::of([Key::attempt(attempt)]).then(&["wm"])
    }

    /// The attempt, as read.
    pub fn of(view: &View, attempt: &AttemptId) -> Option<Self> {
        let at = view.attempt(attempt)?;
        let kept = view.window(at.window)?;
        let found = kept.attempt(attempt)?;
        Some(Self {
            member: view.member(at.member).cloned(),
            window: kept.window.clone(),
            binding: found.binding,
            is_replaced: found.is_replaced,
            may_continue: kept.continues < CONTINUES,
            handle: kept
                .authorization
                .as_ref()
                .filter(|held| held.attempt == *attempt)
                .map(|held| held.handle.clone()),
        })
    }
}

/// A response that came by POST, where no Lax cookie comes along, to be held for the GET that follows.
#[derive(Clone, Debug)]
pub struct Hold {
    /// The attempt its `state` names.
    pub attempt: AttemptId,
    /// What it is fetched by.
    pub handle: Digest,
    /// The response, sealed for its handle.
    pub sealed: Vec<u8>,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Step for Hold {
    /// Whether an attempt of that id awaits a response.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        Slot::Partition(self.attempt.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::attempt(&self.attempt)]).then(&["w"])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> (bool, Changes) {
        let window = view
            .attempt(&self.attempt)
            .and_then(|at| view.window(at.window));
        let Some(mut kept) = window.cloned() else {
            return unchanged(false);
        };
        let mut attempts = kept.attempts.iter_mut();
        let awaiting = attempts.find(|it| it.id == self.attempt && it.sealed.is_some());
        let Some(attempt) = awaiting else {
            return unchanged(false);
        };
        let mut changes = Changes::default();
        attempt.held.retain(|handle| *handle != self.handle);
        attempt.held.push(self.handle);
        while attempt.held.len() > HELD_RESPONSES as usize {
            changes.delete(Key::held(&attempt.held.remove(0)));
        }
        let held = HeldResponse {
            sealed: self.sealed.clone().into(),
            expires_at: self.expires_at,
        };
        changes.put(Key::held(&self.handle), held);
        changes.put_window(kept);
        (true, changes)
    }
}
