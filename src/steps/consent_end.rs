//! When a consent ends, and when that is told.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::record::{Changes, Consent, Key};
use crate::domain::member::Member;

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
    pub(super) fn latest(&self, ends_at: Timestamp, now: Timestamp) -> Option<u32> {
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

/// A move of an end by less than this is not worth telling: institutions count in seconds from now.
const SAME: SignedDuration = SignedDuration::from_hours(1);

/// Whether another end is worth telling.
pub(super) fn is_news(before: Option<Timestamp>, after: Option<Timestamp>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => after.duration_since(before).abs() >= SAME,
        (before, after) => before != after,
    }
}

/// Keeps when a member's consent ends, by however little that has moved.
pub(super) fn keep(changes: &mut Changes, member: &mut Member, end: Option<ConsentEnd>) {
    let ends_at = end.map(|it| it.at);
    if member.consent_expires_at == ends_at {
        return;
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
