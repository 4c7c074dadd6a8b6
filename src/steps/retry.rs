//! "Try again": a new window for the same member, in the same browser.
//!
//! - Only the browser of the failed attempt may retry, and only while the failed window is the member's newest,
//!   was retried fewer than [`RETRIES`] times, and [`Window::retry_ends`] has not passed.
//! - The new window's options are the failed one's. It is claimed in the same step. It may be
//!   retried until the same moment as the failed one or, if that has passed, until its own deadline.

use jiff::Timestamp;

use super::link::{Subject, issued};
use super::record::{Changes, KeptWindow, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::AttemptId;
use crate::domain::member::Member;
#[cfg(doc)]
use crate::domain::window::Window;
use crate::domain::window::{Binding, Ending, NewAttempt, NewWindow, RETRIES, WindowStatus};

/// "Try again": a new window for the same member, claimed by the same browser in the same step.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The attempt that failed.
    pub failed: AttemptId,
    /// The bindings the browser shows.
    pub browser: Vec<Binding>,
    /// The new window; its options are the failed window's, its deadline counts from the opening.
    pub window: NewWindow,
    /// The new attempt.
    pub attempt: NewAttempt,
}

/// What a [`Retry`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Retried {
    /// The new window is claimed.
    Claimed(Box<Subject>),
    /// The failed attempt is not this browser's, is not known, or did not fail.
    Refused,
    /// It was retried three times, its time is over, or a newer window exists for the member.
    NoRetriesLeft,
}

impl Step for Retry {
    type Outcome = Retried;

    fn slot(&self) -> Slot {
        Slot::Partition(self.failed.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::attempt(&self.failed)])
            .and_drawn(Key::window(self.window.guid))
            .then(&["wm"])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Retried, Changes) {
        let failed = view
            .attempt(&self.failed)
            .and_then(|at| view.window(at.window));
        let is_own = |kept: &&KeptWindow| {
            let attempt = kept.attempt(&self.failed);
            attempt.is_some_and(|attempt| attempt.is_held_by(&self.browser))
        };
        let Some(failed) = failed.filter(is_own).map(|kept| &kept.window) else {
            return unchanged(Retried::Refused);
        };
        let member = view.member(failed.member);
        // The same retry, sent again because the reply was lost.
        if let Some(kept) = view.window(self.window.guid) {
            let is_same = kept.window.previous == Some(failed.guid)
                && kept.attempt(&self.attempt.id).is_some();
            return unchanged(match member.filter(|_| is_same) {
                Some(member) => Retried::Claimed(Box::new(Subject {
                    window: kept.window.clone(),
                    member: member.clone(),
                })),
                None => Retried::NoRetriesLeft,
            });
        }
        let Some(ends) = failed.retry_ends() else {
            return unchanged(Retried::Refused);
        };
        let is_newest = |member: &&Member| {
            member.latest_window == Some(failed.guid) && failed.retries < RETRIES && now < ends
        };
        let Some(mut member) = member.filter(is_newest).cloned() else {
            return unchanged(Retried::NoRetriesLeft);
        };
        let mut window = issued(&member, &self.window, Some(failed.guid), now);
        window.options = failed.options.clone();
        window.deadline = self.attempt.deadline;
        window.retries = failed.retries + 1;
        window.retry_until = match failed.status {
            WindowStatus::Errored(_, Ending::Expired) => Some(self.attempt.deadline),
            _ => failed.retry_until,
        };
        let mut changes = Changes::default();
        let mut kept = KeptWindow::new(window);
        kept.claim(&self.attempt, &member, now, &mut changes);
        member.latest_window = Some(kept.window.guid);
        changes.change_member(&mut member);
        let window = kept.window.clone();
        changes.put_window(kept);
        (
            Retried::Claimed(Box::new(Subject { window, member })),
            changes,
        )
    }
}
