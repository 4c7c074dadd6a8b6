//! A refresh brought tokens of another person than the one who connected.
//!
//! - They are kept, because they are the newest that there are, but lent to nobody and refreshed no more.
//! - The member is IMPAIRED until the person connects again, and that is told. A job that is under way ends.
//! - Tokens that took their place meanwhile are judged by what came with them.

use jiff::Timestamp;

use super::event::Snapshot;
use super::member::{follow, replace_job};
use super::record::{Changes, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::event::Notice;
use crate::domain::id::MemberGuid;
use crate::domain::member::{ConnectionStatus, StatusReason};

/// The tokens of that generation are known to be of another person.
#[derive(Clone, Debug)]
pub struct OtherLogin {
    /// Whose they were.
    pub member: MemberGuid,
    /// Which they are.
    pub generation: u64,
    /// Told with the member as IMPAIRED.
    pub changed: Vec<Notice>,
}

impl Step for OtherLogin {
    /// Whether they are still the member's.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::access(self.member), Key::member(self.member)]).then(&["j"])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (bool, Changes) {
        let access = view.access(self.member);
        let state = access.and_then(|access| Some((access, access.token.as_ref()?)));
        let is_it = |generation| generation == self.generation;
        let Some((access, before)) = state.filter(|(_, token)| is_it(token.generation)) else {
            return unchanged(false);
        };
        if before.other_login_at.is_some() {
            return unchanged(true);
        }
        let mut changes = Changes::default();
        let mut token = before.clone();
        token.other_login_at = Some(now);
        token.due_at = None;
        changes.put(Key::access(self.member), access.with(token));
        if let Some(mut member) = view.member(self.member).cloned() {
            let status_before = member.status;
            replace_job(&mut changes, view, &mut member, now);
            follow(&mut member, ConnectionStatus::Impaired);
            if member.status == status_before {
                changes.put_member(member);
            } else {
                member.status_reason = Some(StatusReason::OtherLogin);
                changes.change_member(&mut member);
                changes.tell(&self.changed, &Snapshot::of(&member), now);
            }
        }
        (true, changes)
    }
}
