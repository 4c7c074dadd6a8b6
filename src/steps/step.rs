//! What a step is.

use jiff::Timestamp;

use super::record::{Changes, Key, Reads, Slot, View};

/// A step of a store.
pub trait Step {
    /// What it leads to.
    type Outcome;

    /// The slot of the records that it touches.
    fn slot(&self) -> Slot;

    /// What it wants to read.
    fn reads(&self) -> Reads;

    /// More keys to read, known only after the first read.
    fn reads_then(&self, _view: &View) -> Vec<Key> {
        Vec::new()
    }

    /// Decides what it leads to and what changes.
    fn decide(&self, view: &View, now: Timestamp) -> (Self::Outcome, Changes);
}

/// An outcome that changes nothing.
pub(super) fn unchanged<T>(outcome: T) -> (T, Changes) {
    (outcome, Changes::default())
}
