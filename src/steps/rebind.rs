//! Token sets that were issued to an earlier certificate of the client (RFC 8705 section 3): new access tokens are asked
//! for, spread over some time.
//!
//! - What cannot be refreshed, is being refreshed, is in doubt, refused or frozen stays as it is.
//! - What is due by then anyway stays so.

use jiff::Timestamp;

use super::record::{Changes, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::MemberGuid;

/// A member's token set is about to be due, if it was issued to another certificate than this one.
#[derive(Clone, Debug)]
pub struct Rebind {
    /// Whose.
    pub member: MemberGuid,
    /// The thumbprint of the certificate that is shown now.
    pub certificate: String,
    /// When it is to be refreshed.
    pub due_at: Timestamp,
    /// By when all are due that are issued to an earlier one.
    pub latest: Timestamp,
}

impl Step for Rebind {
    /// Whether anything changed.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::access(self.member)])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> (bool, Changes) {
        let access = view.access(self.member);
        let Some((access, before)) = access.and_then(|it| Some((it, it.token.as_ref()?))) else {
            return unchanged(false);
        };
        let is_earlier = before
            .bound_to
            .as_ref()
            .is_some_and(|it| *it != self.certificate);
        let is_idle = before.running.is_none()
            && before.doubt.is_none()
            && before.refused_at.is_none()
            && before.frozen_at.is_none()
            // Otherwise it waits for its next try.
            && before.not_asked == 0;
        let is_due_anyway = before.due_at.is_some_and(|at| at <= self.latest);
        if !is_earlier || !before.is_renewable || !is_idle || is_due_anyway {
            return unchanged(false);
        }
        let mut token = before.clone();
        token.due_at = Some(self.due_at);
        let mut changes = Changes::default();
        changes.put(Key::access(self.member), access.with(token));
        (true, changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::record::{AccessRecord, Record, TokenState};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn member() -> MemberGuid {
        let guid = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c";
        guid.parse().expect("a guid")
    }

    /// When a token set is due after the step, at 10, for the certificate `new`.
    fn due_after(token: TokenState) -> Option<Timestamp> {
        let access = AccessRecord {
            sealed: b"sealed".to_vec().into(),
            token: Some(token.clone()),
        };
        let view = View::new([(Key::access(member()), access.into())]);
        let step = Rebind {
            member: member(),
            certificate: "new".to_owned(),
            due_at: at(40),
            latest: at(100),
        };
        let (changed, changes) = step.decide(&view, at(10));
        assert_eq!(changed, !changes.is_empty());
        let written = changes.records.into_iter().find_map(|(_, it)| match it {
            Some(Record::Access(access)) => access.token,
            _ => None,
        });
        written.unwrap_or(token).due_at
    }

    #[test]
    fn x2_what_was_issued_to_an_earlier_certificate_is_due_soon_and_nothing_else_is() {
        let bound = TokenState {
            other_login_at: None,
            client: "acme".parse().expect("a client"),
            institution: "bank".parse().expect("a code"),
            replaced: None,
            generation: 1,
            is_renewable: true,
            ends_at: None,
            running: None,
            doubt: None,
            refused_at: None,
            not_asked: 0,
            bound_to: Some("old".to_owned()),
            frozen_at: None,
            due_at: Some(at(5000)),
        };
        assert_eq!(due_after(bound.clone()), Some(at(40)));
        let as_it_was = [
            TokenState {
                bound_to: Some("new".to_owned()),
                ..bound.clone()
            },
            TokenState {
                bound_to: None,
                ..bound.clone()
            },
            TokenState {
                is_renewable: false,
                ..bound.clone()
            },
            TokenState {
                refused_at: Some(at(1)),
                ..bound.clone()
            },
            TokenState {
                frozen_at: Some(at(1)),
                ..bound.clone()
            },
            TokenState {
                not_asked: 1,
                ..bound.clone()
            },
            TokenState {
                due_at: Some(at(100)),
                ..bound
            },
        ];
        for token in as_it_was {
            assert_eq!(due_after(token.clone()), token.due_at, "{token:?}");
        }
    }
}
