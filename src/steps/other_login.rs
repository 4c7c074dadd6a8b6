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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::freeze::{Freeze, Frozen};
    use crate::steps::record::{AccessRecord, Record, TokenState};

    const MEMBER: &str = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn access() -> AccessRecord {
        let token = TokenState {
            bound_to: None,
            client: "acme".parse().expect("a client"),
            institution: "bank".parse().expect("a code"),
            replaced: None,
            generation: 7,
            is_renewable: true,
            ends_at: None,
            running: None,
            doubt: None,
            refused_at: None,
            not_asked: 0,
            other_login_at: None,
            frozen_at: None,
            due_at: Some(at(5)),
        };
        AccessRecord {
            sealed: b"sealed".to_vec().into(),
            token: Some(token),
        }
    }

    fn other_login(generation: u64) -> OtherLogin {
        OtherLogin {
            member: MEMBER.parse().expect("a guid"),
            generation,
            changed: Vec::new(),
        }
    }

    #[test]
    fn k4_tokens_of_another_person_are_kept_and_neither_lent_nor_refreshed_nor_exported() {
        let step = other_login(7);
        let key = Key::access(step.member);
        let view = View::new([(key.clone(), Record::from(access()))]);
        let (is_theirs, changes) = step.decide(&view, at(10));
        assert!(is_theirs);
        let [(written, Some(Record::Access(kept)))] = &changes.records[..] else {
            panic!("one record is written");
        };
        assert_eq!((written, &kept.sealed), (&key, &access().sealed));
        let token = kept.token.as_ref().expect("it is known");
        assert!(!token.is_valid_at(at(0)) && !kept.is_in_use());
        assert_eq!(Record::from(kept.clone()).due(), None);
        let view = View::new([(key, Record::from(kept.clone()))]);
        let (again, changes) = step.decide(&view, at(11));
        assert!(again && changes.is_empty());
        let freeze = Freeze {
            member: step.member,
        };
        assert_eq!(freeze.decide(&view, at(11)).0, Frozen::Refused);
    }

    #[test]
    fn k4_tokens_that_took_their_place_are_not_touched() {
        let step = other_login(6);
        let key = Key::access(step.member);
        for view in [View::new([(key, Record::from(access()))]), View::default()] {
            let (is_theirs, changes) = step.decide(&view, at(10));
            assert!(!is_theirs && changes.is_empty());
        }
    }
}
