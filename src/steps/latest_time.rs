//! The time that gateways are at.
//!
//! - What was said last counts: gateways that share a store keep to one time, so none says an earlier one.

use jiff::Timestamp;

use super::record::{Changes, Key, LatestTime, Reads, Slot, View};
use super::step::{Step, unchanged};

/// A gateway says what time it is at.
#[derive(Clone, Debug)]
pub struct TellTime;

impl Step for TellTime {
    /// What was said last, by whichever gateway.
    type Outcome = Option<Timestamp>;

    fn slot(&self) -> Slot {
        Slot::Store
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::latest_time()])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Option<Timestamp>, Changes) {
        let before = view.latest_time().map(|it| it.time);
        if before == Some(now) {
            return unchanged(before);
        }
        let mut changes = Changes::default();
        changes.put(Key::latest_time(), LatestTime { time: now });
        (before, changes)
    }
}
