//! The time that gateways are at.
//!
//! - What was told last counts. Who tells it has heard before what the others say.

use jiff::Timestamp;

use super::record::{Changes, Key, LatestTime, Reads, Slot, View};
use super::step::{Step, unchanged};

/// What time a gateway is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeTold {
    /// That.
    pub time: Timestamp,
    /// The right time then: by the clock of the store's server, or of the machine where the store is a file.
    pub right: Timestamp,
}

/// A gateway says what time it is at.
#[derive(Clone, Debug)]
pub struct TellTime(pub TimeTold);

impl Step for TellTime {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Store
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::latest_time()])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> ((), Changes) {
        let Self(TimeTold { time, right }) = *self;
        let told = LatestTime { time, right };
        if view.latest_time() == Some(&told) {
            return unchanged(());
        }
        let mut changes = Changes::default();
        changes.put(Key::latest_time(), told);
        ((), changes)
    }
}
