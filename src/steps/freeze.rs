//! Freezing: a token set is given to another gateway.
//!
//! ```text
//! current ─ freeze ─▶ frozen ─ thaw ─▶ current
//! ```
//!
//! - A frozen token set is refreshed by nobody here: not when it is due, not for a lease, not for a refused pull. Its
//!   access token is lent until it ends.
//! - A refresh that is under way when it is frozen goes on, and what it gives is kept, frozen. So the newest tokens are
//!   those that are there when no refresh runs any more.
//! - A refused token set is not frozen: there is nothing to give away.
//! - It is not given back to the institution when its member goes or connects again: that would end what lives on at the
//!   other gateway.
//! - A new consent brings a token set of its own, which is not frozen.

use std::time::Duration;

use jiff::Timestamp;

use super::record::{Changes, Doubt, Key, Reads, Slot, TokenState, View};
use super::refresh::has_come;
use super::step::{Step, unchanged};
use crate::domain::id::MemberGuid;

/// No fence of a refresh is longer: one that seems to be was written before a clock was set back.
const LONGEST_FENCE: Duration = Duration::from_secs(60 * 60);

/// A token set about to be frozen.
#[derive(Clone, Debug)]
pub struct Freeze {
    /// Whose.
    pub member: MemberGuid,
}

/// What a [`Freeze`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Frozen {
    /// It is frozen, and this is the newest one.
    Frozen {
        /// The token set, sealed.
        sealed: Vec<u8>,
        /// Whether its refresh token may have been used up: the outcome of the last refresh is unknown.
        is_in_doubt: bool,
    },
    /// It is frozen, and a refresh that began before is under way until then.
    UnderWay(Timestamp),
    /// The institution refused it. It is not frozen.
    Refused,
    /// The member has none, or is gone.
    None,
}

impl Step for Freeze {
    type Outcome = Frozen;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::access(self.member)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Frozen, Changes) {
        let access = view.access(self.member);
        let Some((access, before)) = access.and_then(|it| Some((it, it.token.as_ref()?))) else {
            return unchanged(Frozen::None);
        };
        let mut token = before.clone();
        let outcome = if token.refused_at.is_some() || token.other_login_at.is_some() {
            token.frozen_at = None;
            Frozen::Refused
        } else {
            token.frozen_at = token.frozen_at.or(Some(now));
            match ended(&mut token, now) {
                Err(until) => Frozen::UnderWay(until),
                Ok(()) => Frozen::Frozen {
                    sealed: access.sealed.to_vec(),
                    is_in_doubt: token.doubt.is_some(),
                },
            }
        };
        let mut changes = Changes::default();
        if token != *before {
            changes.put(Key::access(self.member), access.with(token));
        }
        (outcome, changes)
    }
}

/// Whether no refresh runs any more; where whoever began one is gone, its outcome is unknown.
fn ended(token: &mut TokenState, now: Timestamp) -> Result<(), Timestamp> {
    let Some(until) = token.running.as_ref().map(|running| running.until) else {
        return Ok(());
    };
    if !has_come(until, LONGEST_FENCE, now) {
        return Err(until);
    }
    token.running = None;
    let refusals = token.doubt.map_or(0, |doubt| doubt.refusals);
    token.doubt = Some(Doubt {
        refusals,
        again_at: until,
    });
    Ok(())
}

/// A token set about to be refreshed here again.
#[derive(Clone, Debug)]
pub struct Thaw {
    /// Whose.
    pub member: MemberGuid,
}

impl Step for Thaw {
    /// Whether it was frozen.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::access(self.member)])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> (bool, Changes) {
        let access = view.access(self.member);
        let frozen = access.and_then(|it| Some((it, it.token.as_ref()?)));
        let Some((access, token)) = frozen.filter(|(_, token)| token.frozen_at.is_some()) else {
            return unchanged(false);
        };
        let token = TokenState {
            frozen_at: None,
            ..token.clone()
        };
        let mut changes = Changes::default();
        changes.put(Key::access(self.member), access.with(token));
        (true, changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::secret::Digest;
    use crate::steps::record::{AccessRecord, Record, RunningRefresh};
    use crate::steps::{BeginRefresh, Begun, Want};

    const MEMBER: &str = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c";

    fn member() -> MemberGuid {
        MEMBER.parse().expect("a guid")
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn running(until: i64) -> RunningRefresh {
        RunningRefresh {
            fence: Digest::of("fence", "1"),
            until: at(until),
        }
    }

    fn current() -> TokenState {
        TokenState {
            client: "acme".parse().expect("a client"),
            institution: "bank".parse().expect("a code"),
            replaced: None,
            generation: 1,
            is_renewable: true,
            ends_at: Some(at(0)),
            running: None,
            doubt: None,
            refused_at: None,
            not_asked: 0,
            other_login_at: None,
            bound_to: None,
            frozen_at: None,
            due_at: Some(at(5)),
        }
    }

    fn access(token: TokenState) -> AccessRecord {
        AccessRecord {
            sealed: b"sealed".to_vec().into(),
            token: Some(token),
        }
    }

    fn view(token: TokenState) -> View {
        View::new([(Key::access(member()), access(token).into())])
    }

    /// The token set after it was frozen at 10.
    fn frozen(token: TokenState) -> (Frozen, TokenState) {
        let step = Freeze { member: member() };
        let (outcome, changes) = step.decide(&view(token.clone()), at(10));
        let written = changes
            .records
            .into_iter()
            .find_map(|(_, record)| match record {
                Some(Record::Access(access)) => access.token,
                _ => None,
            });
        (outcome, written.unwrap_or(token))
    }

    fn newest(is_in_doubt: bool) -> Frozen {
        Frozen::Frozen {
            sealed: b"sealed".to_vec(),
            is_in_doubt,
        }
    }

    #[test]
    fn what_is_frozen_is_due_no_more_and_refreshed_for_nobody() {
        let (outcome, token) = frozen(current());
        assert_eq!((outcome, token.frozen_at), (newest(false), Some(at(10))));
        assert!(Record::from(access(current())).due().is_some());
        assert_eq!(Record::from(access(token.clone())).due(), None);
        for want in [Want::ValidAt(at(20), 1), Want::Other(1), Want::Due(at(5))] {
            let begin = BeginRefresh {
                member: member(),
                want,
                fence: Digest::of("fence", "2"),
                fenced_for: Duration::from_secs(100),
                doubt: Duration::from_secs(600),
                changed: Vec::new(),
            };
            let (begun, changes) = begin.decide(&view(token.clone()), at(20));
            assert_eq!(
                (begun, changes.is_empty()),
                (Begun::Frozen, true),
                "{want:?}"
            );
        }
        // Frozen again it stays as it was; thawed it is due as it was.
        assert_eq!(frozen(token.clone()), (newest(false), token.clone()));
        let thaw = Thaw { member: member() };
        let (is_thawed, changes) = thaw.decide(&view(token), at(30));
        assert!(is_thawed);
        assert_eq!(changes.records[0].1, Some(access(current()).into()));
        assert_eq!(
            thaw.decide(&view(current()), at(30)),
            (false, Changes::default())
        );
    }

    #[test]
    fn a_refresh_that_runs_is_waited_for_and_one_that_nobody_settles_leaves_a_doubt() {
        let runs = TokenState {
            running: Some(running(50)),
            ..current()
        };
        let (outcome, token) = frozen(runs);
        assert_eq!(outcome, Frozen::UnderWay(at(50)));
        assert_eq!(
            (token.frozen_at, token.running),
            (Some(at(10)), Some(running(50)))
        );
        let gone = TokenState {
            running: Some(running(10)),
            ..current()
        };
        let (outcome, token) = frozen(gone);
        assert_eq!((outcome, token.running.is_none()), (newest(true), true));
        // The fence of a clock that was ahead holds nobody up.
        let ahead = TokenState {
            running: Some(running(100_000)),
            ..current()
        };
        assert_eq!(frozen(ahead).0, newest(true));
    }

    #[test]
    fn what_the_institution_refused_is_not_frozen() {
        let refused = TokenState {
            refused_at: Some(at(1)),
            frozen_at: Some(at(2)),
            ..current()
        };
        let (outcome, token) = frozen(refused);
        assert_eq!((outcome, token.frozen_at), (Frozen::Refused, None));
        let none = Freeze { member: member() }.decide(&View::default(), at(10));
        assert_eq!(none, (Frozen::None, Changes::default()));
    }
}
