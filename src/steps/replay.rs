//! An event is sent again because an operator wants that.
//!
//! - Only what is no longer owed is: one that was delivered, or given up. It keeps its guid and its body.
//! - It waits behind those of its member that are still to be delivered, and is tried for as long as a new one.

use jiff::Timestamp;

use super::record::{Changes, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::EventGuid;

/// An event about to be sent again.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Which.
    pub event: EventGuid,
}

/// What a [`Replay`] led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is owed again.
    Owed,
    /// It still was.
    Waiting,
    /// There is no such event (any more).
    Unknown,
}

impl Step for Replay {
    type Outcome = Replayed;

    fn slot(&self) -> Slot {
        Slot::Partition(self.event.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::event(self.event)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Replayed, Changes) {
        let Some(mut kept) = view.event(self.event).cloned() else {
            return unchanged(Replayed::Unknown);
        };
        if kept.is_owed() {
            return unchanged(Replayed::Waiting);
        }
        kept.delivered_at = None;
        kept.dead_at = None;
        kept.attempt = 0;
        kept.due_at = now;
        kept.replayed_at = Some(now);
        let mut changes = Changes::default();
        changes.put(Key::event(self.event), kept);
        (Replayed::Owed, changes)
    }
}
