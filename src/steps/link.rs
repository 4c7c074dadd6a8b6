//! Links: minted, and followed by browsers.
//!
//! - A member has at most one unfinished window: minting another ends it as superseded.
//! - Under `single` and `interstitial` exactly one browser claims a window. Under `multi` each of the first
//!   [`MULTI_OPENS`] does.
//! - Continue claims again, for a browser that made an attempt: its attempt is replaced, and the secrets
//!   of that are forgotten at once. A window is continued at most [`CONTINUES`] times, and its deadline is
//!   not moved.
//! - What is finished, or past its deadline, is claimed by nobody.
//! - While its institution is closed a window is claimed by nobody and stays as it is.

use std::time::Duration;

use jiff::Timestamp;

use super::event::Snapshot;
use super::record::{Attempt, Changes, KeptWindow, Key, Reads, Slot, View, Whereabouts};
use super::revocation::owe_unconfirmed;
use super::step::{Step, unchanged};
use crate::domain::event::Notice;
use crate::domain::id::{AttemptId, InstitutionCode, MemberGuid, OauthStateGuid, UserGuid};
use crate::domain::member::Member;
use crate::domain::window::{
    AuthStatus, Binding, CONTINUES, Ending, ErrorReason, MULTI_OPENS, NewAttempt, NewWindow,
    OpenPolicy, Window, WindowStatus,
};

/// How a browser asks for a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisitKind {
    /// A navigation: claims under `single` and `multi`, changes nothing under `interstitial`.
    Navigate,
    /// The interstitial page's button.
    Begin,
    /// The Continue button: claims again for the browser that holds the binding.
    Continue,
    /// A look before another step: claims and changes nothing, whatever the policy.
    Look,
}

/// A browser at a window.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The window its link names.
    pub window: OauthStateGuid,
    /// The member its link names; another one's window is unknown.
    pub member: MemberGuid,
    /// How it asks.
    pub kind: VisitKind,
    /// The bindings the browser shows, at most ten.
    pub browser: Vec<Binding>,
    /// The attempt that is kept if the window is claimed.
    pub attempt: NewAttempt,
    /// The institutions that are closed for now.
    pub closed: Vec<InstitutionCode>,
}

/// What an [`Opening`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// The window is claimed: `attempt` is kept, bound to this browser.
    Claimed(Box<Subject>),
    /// A page has to be shown first (`interstitial`, not yet claimed). Nothing changed.
    AskFirst(Box<Subject>),
    /// This browser claimed it before and it is unfinished. Nothing changed.
    Resumable(Box<Subject>),
    /// Its institution is closed for now; otherwise this browser could go on. Nothing changed.
    Closed(Box<Subject>),
    /// Another browser claimed it, or it was opened as often as it may be. Nothing changed.
    ClaimedElsewhere(Box<Subject>),
    /// What this attempt of the browser's brought waits for the member service's confirmation. Nothing changed.
    Authorized(AttemptId),
    /// It was continued as often as it may be; this attempt of the browser's still counts. Nothing
    /// changed.
    Exhausted(AttemptId),
    /// It is finished, or its deadline has passed and no sweep has ended it yet. Nothing changed.
    Finished {
        /// The window, and the member unless it was deleted.
        window: Box<Window>,
        /// The member, unless it was deleted.
        member: Option<Box<Member>>,
        /// The newest of the window's attempts that this browser made.
        own_attempt: Option<AttemptId>,
    },
    /// There is no such window, or it is another member's.
    Unknown,
}

/// A window with its member.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The window.
    pub window: Window,
    /// The member that left through it.
    pub member: Member,
}

/// Which OAuth states to list.
#[derive(Clone, Copy, Debug)]
pub struct WindowQuery {
    /// Only this member's.
    pub member: Option<MemberGuid>,
    /// Only those of this status.
    pub auth_status: Option<AuthStatus>,
    /// At most this many, newest first.
    pub limit: usize,
}

/// A window that is minted for a member.
#[derive(Clone, Debug)]
pub struct Mint {
    /// Whose member.
    pub user: UserGuid,
    /// Which.
    pub member: MemberGuid,
    /// The window.
    pub window: NewWindow,
    /// Told with the window that it supersedes.
    pub superseded: Vec<Notice>,
}

impl Step for Mint {
    type Outcome = Option<Member>;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::member(self.member)])
            .and_drawn(Key::window(self.window.guid))
            .then(&["w"])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Option<Member>, Changes) {
        let member = view.member(self.member);
        let Some(mut member) = member.filter(|member| member.user == self.user).cloned() else {
            return unchanged(None);
        };
        // The same mint, sent again because the reply was lost.
        if view.window(self.window.guid).is_some() {
            return unchanged(Some(member));
        }
        let mut changes = Changes::default();
        let earlier = member.latest_window.and_then(|guid| view.window(guid));
        let window = issued(&member, &self.window, member.latest_window, now);
        member.latest_window = Some(window.guid);
        changes.change_member(&mut member);
        if let Some(earlier) = earlier.filter(|earlier| !earlier.window.status.is_finished()) {
            let ended = earlier.clone().finished(
                WindowStatus::Errored(ErrorReason::SessionError, Ending::Superseded),
                now,
                &mut changes,
            );
            let snapshot = Snapshot::of(&member).with_window(&ended.window);
            changes.tell(&self.superseded, &snapshot, now);
            changes.put_window(ended);
        }
        changes.put_window(KeptWindow::new(window));
        (Some(member), changes)
    }
}

/// A window whose link is out.
pub(super) fn issued(
    member: &Member,
    new: &NewWindow,
    previous: Option<OauthStateGuid>,
    now: Timestamp,
) -> Window {
    Window {
        guid: new.guid,
        member: member.guid,
        user: member.user,
        client: member.client.clone(),
        options: new.options.clone(),
        status: WindowStatus::Issued,
        inbound: None,
        created_at: now,
        updated_at: now,
        deadline: new.deadline,
        first_retrieved_at: None,
        retries: 0,
        detail: None,
        retry_until: None,
        previous,
    }
}

impl KeptWindow {
    /// A window that nobody opened.
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            attempts: Vec::new(),
            continues: 0,
            authorization: None,
        }
    }

    /// The window as it ends. The secrets of its attempts go at once: none of them can be claimed any
    /// more. What waited for a confirmation is given back, unless the window succeeded with it.
    pub(super) fn finished(
        mut self,
        status: WindowStatus,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Self {
        if status != WindowStatus::Succeeded {
            owe_unconfirmed(changes, &self, now);
        }
        self.authorization = None;
        self.window.status = status;
        self.window.updated_at = now;
        for attempt in &mut self.attempts {
            attempt.sealed = None;
        }
        self
    }

    /// The attempt of that id.
    pub(super) fn attempt(&self, id: &AttemptId) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.id == *id)
    }

    /// Keeps the attempt of the browser that claimed the window.
    pub(super) fn claim(
        &mut self,
        attempt: &NewAttempt,
        of: &Member,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        self.window.status = WindowStatus::Opened;
        self.window.updated_at = now;
        self.attempts.push(Attempt {
            id: attempt.id.clone(),
            binding: attempt.binding.digest,
            sealed: Some(attempt.sealed.clone().into()),
            is_replaced: false,
            held: Vec::new(),
        });
        let at = Whereabouts {
            window: self.window.guid,
            member: self.window.member,
            institution: of.institution.clone(),
            deadline: attempt.deadline,
        };
        changes.put(Key::attempt(&attempt.id), at);
    }
}

impl Step for Opening {
    type Outcome = Opened;

    fn slot(&self) -> Slot {
        Slot::Partition(self.window.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::window(self.window), Key::member(self.member)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Opened, Changes) {
        let window = view.window(self.window);
        let Some(kept) = window.filter(|kept| kept.window.member == self.member) else {
            return unchanged(Opened::Unknown);
        };
        let is_own = |attempt: &&Attempt| attempt.is_held_by(&self.browser);
        let own = kept.attempts.iter().rev().find(is_own);
        let member = match view.member(self.member) {
            Some(member) if !kept.window.status.is_finished() && now < kept.window.deadline => {
                member.clone()
            }
            member => {
                return unchanged(Opened::Finished {
                    window: Box::new(kept.window.clone()),
                    member: member.cloned().map(Box::new),
                    own_attempt: own.map(|own| own.id.clone()),
                });
            }
        };
        let subject = |kept: &KeptWindow| {
            Box::new(Subject {
                window: kept.window.clone(),
                member: member.clone(),
            })
        };
        // The same opening, sent again because the reply was lost.
        if kept.attempt(&self.attempt.id).is_some() {
            return unchanged(Opened::Claimed(subject(kept)));
        }
        let own = own.filter(|own| !own.is_replaced);
        if let (WindowStatus::Authorized, Some(own)) = (kept.window.status, own) {
            return unchanged(Opened::Authorized(own.id.clone()));
        }
        let mut opened = kept.clone();
        let mut changes = Changes::default();
        match (self.verdict(kept), own) {
            (Verdict::Refuse, None) | (Verdict::ClaimAgain, None) => {
                return unchanged(Opened::ClaimedElsewhere(subject(kept)));
            }
            _ if self.closed.contains(&member.institution) => {
                return unchanged(Opened::Closed(subject(kept)));
            }
            (Verdict::AskFirst, _) => return unchanged(Opened::AskFirst(subject(kept))),
            (Verdict::Refuse | Verdict::ClaimAgain, Some(own)) if kept.continues >= CONTINUES => {
                return unchanged(Opened::Exhausted(own.id.clone()));
            }
            (Verdict::Refuse, Some(_)) => return unchanged(Opened::Resumable(subject(kept))),
            (Verdict::ClaimAgain, Some(own)) => {
                opened.continues += 1;
                for replaced in opened.attempts.iter_mut().filter(|it| it.id == own.id) {
                    replaced.is_replaced = true;
                    replaced.sealed = None;
                    for handle in std::mem::take(&mut replaced.held) {
                        changes.delete(Key::held(&handle));
                    }
                }
            }
            (Verdict::Claim, _) => {
                let window = &mut opened.window;
                let minutes = window.options.authorization_minutes;
                let leg_ends = minutes.map_or(self.attempt.deadline, |minutes| {
                    now + Duration::from_secs(u64::from(minutes) * 60)
                });
                // A link for several opens keeps its own deadline: the first open may be a machine's.
                window.deadline = match window.options.open_policy {
                    OpenPolicy::Multi => leg_ends.max(window.deadline),
                    OpenPolicy::Single | OpenPolicy::Interstitial => leg_ends,
                };
                window.retry_until.get_or_insert(leg_ends);
            }
        }
        opened.claim(&self.attempt, &member, now, &mut changes);
        let subject = subject(&opened);
        changes.put_window(opened);
        (Opened::Claimed(subject), changes)
    }
}

/// What a visit to an unfinished window may do.
enum Verdict {
    /// Claim it, whoever comes.
    Claim,
    /// Claim it again, for a browser that made an attempt.
    ClaimAgain,
    /// Nothing before its page was shown.
    AskFirst,
    /// Nothing.
    Refuse,
}

impl Opening {
    fn verdict(&self, kept: &KeptWindow) -> Verdict {
        let policy = kept.window.options.open_policy;
        match (kept.window.status, policy, self.kind) {
            (
                WindowStatus::Issued,
                OpenPolicy::Interstitial,
                VisitKind::Navigate | VisitKind::Look,
            ) => Verdict::AskFirst,
            (WindowStatus::Issued, _, VisitKind::Navigate | VisitKind::Begin) => Verdict::Claim,
            (WindowStatus::Opened, _, VisitKind::Continue) => Verdict::ClaimAgain,
            (WindowStatus::Opened, OpenPolicy::Multi, VisitKind::Navigate | VisitKind::Begin) => {
                // One that was continued counts once, by its newest attempt.
                let opens = kept.attempts.iter().filter(|it| !it.is_replaced).count();
                match opens < usize::from(MULTI_OPENS) {
                    true => Verdict::Claim,
                    false => Verdict::Refuse,
                }
            }
            _ => Verdict::Refuse,
        }
    }
}

/// The first reading of a finished window.
#[derive(Clone, Debug)]
pub struct FirstReading {
    /// Which.
    pub window: OauthStateGuid,
}

impl Step for FirstReading {
    type Outcome = Option<Window>;

    fn slot(&self) -> Slot {
        Slot::Partition(self.window.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::window(self.window)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Option<Window>, Changes) {
        let Some(kept) = view.window(self.window) else {
            return unchanged(None);
        };
        if !kept.window.status.is_finished() || kept.window.first_retrieved_at.is_some() {
            return unchanged(Some(kept.window.clone()));
        }
        let mut kept = kept.clone();
        kept.window.first_retrieved_at = Some(now);
        let window = kept.window.clone();
        let mut changes = Changes::default();
        changes.put_window(kept);
        (Some(window), changes)
    }
}
