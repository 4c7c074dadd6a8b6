//! The end of a consent: it is told before, and then the connection is over.
//!
//! - What the institution said last counts, and where it says nothing what its file says.
//! - Each notice is told once, whoever else looks, also across restarts. Of those that were missed only the latest is
//!   told; those whose time had passed when the consent began are not.
//! - Nothing is told of a connection that is over already.
//! - At the end the member is IMPAIRED, and its token set is erased here; a refresh token is given back.

use std::time::Duration;

use jiff::Timestamp;

use super::event::Snapshot;
use super::member::follow;
use super::record::{Changes, Consent, Key, Reads, Slot, View};
use super::revocation::owe;
use super::step::{Step, unchanged};
use crate::domain::event::Notice;
use crate::domain::id::MemberGuid;
use crate::domain::member::{ConnectionStatus, Member, StatusReason};

/// One day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many days before its end a consent's end is told, the most first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeDays(Vec<u32>);

impl NoticeDays {
    /// Those, in any order.
    pub fn new(mut days: Vec<u32>) -> Self {
        days.sort_unstable_by(|one, other| other.cmp(one));
        days.dedup();
        Self(days)
    }

    /// The last one whose time has come.
    fn latest(&self, ends_at: Timestamp, now: Timestamp) -> Option<u32> {
        let has_come = |days: &&u32| before(ends_at, **days) <= now;
        self.0.iter().rev().find(has_come).copied()
    }

    /// When there is something to tell, or the consent is over.
    pub fn next(&self, ends_at: Timestamp, now: Timestamp) -> Timestamp {
        let moments = self.0.iter().map(|days| before(ends_at, *days));
        moments.into_iter().find(|at| *at > now).unwrap_or(ends_at)
    }
}

fn before(end: Timestamp, days: u32) -> Timestamp {
    end.checked_sub(DAY * days).unwrap_or(Timestamp::MIN)
}

/// When a consent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentEnd {
    /// The end.
    pub at: Timestamp,
    /// When the first notice is due, or the end.
    pub due_at: Timestamp,
}

/// Keeps when a member's consent ends. Returns whether that is not what was known.
pub(super) fn keep(changes: &mut Changes, member: &mut Member, end: Option<ConsentEnd>) -> bool {
    let ends_at = end.map(|it| it.at);
    if member.consent_expires_at == ends_at {
        return false;
    }
    member.consent_expires_at = ends_at;
    match end {
        Some(end) => changes.put(
            Key::consent(member.guid),
            Consent {
                client: member.client.clone(),
                institution: member.institution.clone(),
                ends_at: end.at,
                due_at: end.due_at,
            },
        ),
        None => changes.delete(Key::consent(member.guid)),
    }
    true
}

/// What is due of a consent is told, as a duty that is held until then.
#[derive(Clone, Debug)]
pub struct TellConsent {
    /// Whose.
    pub member: MemberGuid,
    /// Until when it is held by who took it up.
    pub held_until: Timestamp,
    /// When it is told.
    pub days: NoticeDays,
    /// Told with the member, if the consent ends soon.
    pub expiring: Vec<Notice>,
    /// Told with the member as IMPAIRED, if the consent has ended.
    pub ended: Vec<Notice>,
}

/// What a [`TellConsent`] led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentTold {
    /// There is nothing to tell now.
    Nothing,
    /// It ends in so many days at most.
    Expiring(u32),
    /// It has ended.
    Ended,
}

impl Step for TellConsent {
    type Outcome = ConsentTold;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        let keys = [Key::consent, Key::access, Key::member].map(|key| key(self.member));
        Reads::of(keys)
    }

    fn decide(&self, view: &View, now: Timestamp) -> (ConsentTold, Changes) {
        let held = view.consent(self.member);
        let Some(consent) = held.filter(|it| it.due_at == self.held_until) else {
            return unchanged(ConsentTold::Nothing);
        };
        let mut changes = Changes::default();
        let key = Key::consent(self.member);
        let Some(member) = view.member(self.member) else {
            changes.delete(key);
            return (ConsentTold::Nothing, changes);
        };
        if now >= consent.ends_at {
            changes.delete(key);
            self.end(view, member, &mut changes, now);
            return (ConsentTold::Ended, changes);
        }
        let due_at = self.days.next(consent.ends_at, now);
        changes.put(
            key,
            Consent {
                due_at,
                ..consent.clone()
            },
        );
        let access = view.access(self.member).and_then(|it| it.token.as_ref());
        let is_alive = access.is_some_and(|token| token.refused_at.is_none());
        match self.days.latest(consent.ends_at, now).filter(|_| is_alive) {
            Some(days) => {
                changes.tell(&self.expiring, &Snapshot::of(member), now);
                (ConsentTold::Expiring(days), changes)
            }
            None => (ConsentTold::Nothing, changes),
        }
    }
}

impl TellConsent {
    fn end(&self, view: &View, member: &Member, changes: &mut Changes, now: Timestamp) {
        if let Some(access) = view.access(self.member) {
            if access
                .token
                .as_ref()
                .is_some_and(|token| token.is_renewable)
            {
                owe(changes, self.member, access, now);
            }
            changes.delete(Key::access(self.member));
        }
        let mut member = member.clone();
        let before = member.status;
        follow(&mut member, ConnectionStatus::Impaired);
        if member.status != before {
            member.status_reason = Some(StatusReason::ConsentEnded);
            changes.change_member(&mut member);
            changes.tell(&self.ended, &Snapshot::of(&member), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(nth: i64) -> Timestamp {
        Timestamp::from_second(nth * 24 * 60 * 60).unwrap()
    }

    #[test]
    fn notices_come_at_their_days_and_those_that_passed_do_not() {
        let days = NoticeDays::new(vec![1, 30, 7, 7]);
        for (now, next, latest) in [
            (0, 60, None),
            (59, 60, None),
            (60, 83, Some(30)),
            (82, 83, Some(30)),
            (83, 89, Some(7)),
            (89, 90, Some(1)),
        ] {
            assert_eq!(days.next(day(90), day(now)), day(next), "{now}");
            assert_eq!(days.latest(day(90), day(now)), latest, "{now}");
        }
        let none = NoticeDays::new(Vec::new());
        assert_eq!(none.next(day(90), day(0)), day(90));
        assert_eq!(days.next(Timestamp::MIN, day(0)), Timestamp::MIN);
    }
}
