//! What a step is.

use jiff::Timestamp;

use super::record::{Changes, Key, Reads, Slot, View};

/// A step of a store.
pub trait Step {
    /// What it leads to.
    type Outcome;

    /// Where the records are that it touches.
    fn slot(&self) -> Slot;

    /// What it wants to read.
    fn reads(&self) -> Reads;

    /// What it wants to read as well, which only what was read can name.
    fn reads_then(&self, _view: &View) -> Vec<Key> {
        Vec::new()
    }

    /// Decides.
    fn decide(&self, view: &View, now: Timestamp) -> (Self::Outcome, Changes);
}

/// An outcome that changes nothing.
pub(super) fn unchanged<T>(outcome: T) -> (T, Changes) {
    (outcome, Changes::default())
}
