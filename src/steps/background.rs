//! Background pulls of members that were connected under another configuration.
//!
//! - A member that nobody connected yet has none.
//! - What is due earlier stays so.

use jiff::Timestamp;

use super::record::{Changes, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::MemberGuid;
use crate::domain::member::ConnectionStatus;

/// A member's background pulls are about to be arranged as the configuration says.
#[derive(Clone, Copy, Debug)]
pub struct ArrangeBackground {
    /// Whose.
    pub member: MemberGuid,
    /// When the next one is due at the latest; `None`: there are none.
    pub due_at: Option<Timestamp>,
}

impl Step for ArrangeBackground {
    /// Whether anything changed.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::member(self.member)])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> (bool, Changes) {
        let member = view.member(self.member);
        let was_connected = |status| status != ConnectionStatus::Pending;
        let Some(before) = member.filter(|member| was_connected(member.status)) else {
            return unchanged(false);
        };
        let mut member = before.clone();
        let earlier = before.background.map(|pulls| pulls.due_at);
        member.arrange_background(
            self.due_at
                .map(|at| earlier.map_or(at, |earlier| earlier.min(at))),
        );
        if member == *before {
            return unchanged(false);
        }
        let mut changes = Changes::default();
        changes.put_member(member);
        (true, changes)
    }
}
