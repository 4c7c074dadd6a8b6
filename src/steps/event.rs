//! Events: what changed, kept in the same step as the change.
//!
//! - An event shows the member, and the window or the job it is about, as the change left them.
//! - It is due at once. It is deleted when its client has received it; after the last failed delivery it is kept for
//!   the operator.
//! - A member's revision grows with every change, so that a receiver can drop events that are older than what it has.

use jiff::Timestamp;

use super::record::{Changes, KeptEvent, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::event::{Event, EventKind, Notice};
use crate::domain::id::{EventGuid, JobGuid};
use crate::domain::job::Pulled;
use crate::domain::member::Member;
use crate::domain::window::Window;

/// The records as a change left them, for its events.
pub(super) struct Snapshot<'a> {
    member: &'a Member,
    window: Option<&'a Window>,
    job: Option<(JobGuid, Pulled)>,
}

impl<'a> Snapshot<'a> {
    /// About a member.
    pub(super) fn of(member: &'a Member) -> Self {
        Self {
            member,
            window: None,
            job: None,
        }
    }

    /// About a window of the member, too.
    pub(super) fn with_window(self, window: &'a Window) -> Self {
        Self {
            window: Some(window),
            ..self
        }
    }

    /// About an aggregation of the member, too.
    pub(super) fn with_job(self, job: JobGuid, pulled: Pulled) -> Self {
        Self {
            job: Some((job, pulled)),
            ..self
        }
    }
}

impl Changes {
    /// Keeps an event for each notice, due at once, showing what its kind is about.
    pub(super) fn tell(&mut self, notices: &[Notice], snapshot: &Snapshot<'_>, now: Timestamp) {
        for notice in notices {
            let is_of_window = notice.kind == EventKind::OauthStateFinished;
            let window = snapshot.window.filter(|_| is_of_window);
            let event = KeptEvent {
                kind: notice.kind,
                member: Box::new(snapshot.member.clone()),
                window: window.cloned().map(Box::new),
                window_guid: window.map(|window| window.guid),
                job: snapshot
                    .job
                    .filter(|_| notice.kind == EventKind::Aggregation),
                happened_at: now,
                attempt: 0,
                due_at: now,
                dead_at: None,
            };
            self.put(Key::event(notice.guid), event);
        }
    }

    /// Keeps a changed member under its next revision.
    pub(super) fn change_member(&mut self, member: &mut Member) {
        member.revision += 1;
        self.put_member(member.clone());
    }
}

/// An event that was taken up, held by who took it until then.
#[derive(Clone, Debug)]
pub struct TryEvent {
    /// Which.
    pub event: EventGuid,
    /// Until when nobody else tries it.
    pub hold_until: Timestamp,
}

/// What becomes of an event after a try.
#[derive(Clone, Debug)]
pub struct SettleEvent {
    /// Which.
    pub event: EventGuid,
    /// What becomes of it.
    pub fate: Fate,
}

/// See [`SettleEvent`].
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    /// Its client has received it, or no longer subscribes to it.
    Finished,
    /// It is tried again then.
    Postponed(Timestamp),
    /// The last delivery failed: it is kept for the operator, and not tried again.
    Buried,
}

impl Step for TryEvent {
    type Outcome = Option<Event>;

    fn slot(&self) -> Slot {
        Slot::Partition(self.event.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::event(self.event)])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> (Option<Event>, Changes) {
        let kept = view.event(self.event);
        let Some(kept) = kept.filter(|kept| kept.dead_at.is_none()) else {
            return unchanged(None);
        };
        let mut kept = kept.clone();
        kept.attempt += 1;
        kept.due_at = self.hold_until;
        let event = kept.clone().into_event(self.event);
        let mut changes = Changes::default();
        changes.put(Key::event(self.event), kept);
        (Some(event), changes)
    }
}

impl Step for SettleEvent {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Partition(self.event.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::event(self.event)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> ((), Changes) {
        let kept = view.event(self.event);
        let Some(kept) = kept.filter(|kept| kept.dead_at.is_none()) else {
            return unchanged(());
        };
        let mut changes = Changes::default();
        let mut kept = kept.clone();
        match self.fate {
            Fate::Finished => {
                changes.delete(Key::event(self.event));
                return ((), changes);
            }
            Fate::Postponed(due_at) => kept.due_at = due_at,
            Fate::Buried => kept.dead_at = Some(now),
        }
        changes.put(Key::event(self.event), kept);
        ((), changes)
    }
}
