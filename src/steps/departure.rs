//! Departures: what an institution said before a browser left for it.
//!
//! - It is kept with the attempt, in one envelope with the attempt's secrets, and only while the attempt waits
//!   for its authorization response.

use jiff::Timestamp;

use super::record::{Changes, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::{AttemptId, OauthStateGuid};
use crate::domain::window::WindowStatus;

/// What was obtained for an attempt.
#[derive(Clone, Debug)]
pub struct Obtained {
    /// The attempt's window.
    pub window: OauthStateGuid,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its secrets and what was obtained, sealed.
    pub sealed: Vec<u8>,
}

impl Step for Obtained {
    /// Whether it is kept; `false`: the attempt has ended.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        Slot::Partition(self.window.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::window(self.window)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (bool, Changes) {
        let Some(mut kept) = view.window(self.window).cloned() else {
            return unchanged(false);
        };
        let waits = kept.window.status == WindowStatus::Opened && now < kept.window.deadline;
        let mut attempts = kept.attempts.iter_mut();
        let attempt = attempts.find(|it| it.id == self.attempt && !it.is_replaced);
        let Some(attempt) = attempt.filter(|it| waits && it.sealed.is_some()) else {
            return unchanged(false);
        };
        attempt.sealed = Some(self.sealed.clone().into());
        let mut changes = Changes::default();
        changes.put_window(kept);
        (true, changes)
    }
}
