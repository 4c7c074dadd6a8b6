//! Duties: what we owe somebody. A duty is a record that is taken up when it is due, tried, and then settled,
//! postponed or buried; never only a task of a process, which would end with it.

use std::time::Duration;

use jiff::Timestamp;

use super::random::{self, Random};

/// The kinds of duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DutyKind {
    /// A job is pushed to the aggregator.
    Aggregate,
    /// A job is ordered that nobody asked for: a background pull.
    Background,
    /// An event is delivered to its client.
    Deliver,
    /// A token set is refreshed that nobody has asked for, or what was left open by a refresh is settled.
    Refresh,
    /// Tokens are given back to their institution.
    Revoke,
    /// The end of a consent is told before it comes, and takes effect.
    Notify,
}

/// When a duty is tried again, and when it is given up.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// The pauses after the first try, the second, and so on, in seconds; the last one goes on for ever.
    gaps: &'static [u64],
    /// How many tries there are; `None`: any number.
    tries: Option<u32>,
    /// For how many seconds it is tried, the last time at their end; `None`: for ever.
    age: Option<u64>,
}

/// One minute, in seconds.
const MINUTE: u64 = 60;
/// One hour, in seconds.
const HOUR: u64 = 60 * MINUTE;

impl DutyKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Aggregate,
        Self::Background,
        Self::Deliver,
        Self::Refresh,
        Self::Revoke,
        Self::Notify,
    ];

    /// The name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aggregate => "aggregate",
            Self::Background => "background",
            Self::Deliver => "deliver",
            Self::Refresh => "refresh",
            Self::Revoke => "revoke",
            Self::Notify => "notify",
        }
    }

    /// The one table of when what is tried again. The first pauses are short, for somebody who restarts; the last ones
    /// are long, for somebody who has to be repaired.
    pub fn schedule(self) -> Schedule {
        match self {
            Self::Aggregate => Schedule {
                gaps: &[5, 30],
                tries: Some(super::job::JOB_TRIES),
                age: Some(24 * HOUR),
            },
            // It comes again and again, as the institution's file says; this is for what could not be ordered.
            Self::Background => Schedule {
                gaps: &[5 * MINUTE, 15 * MINUTE],
                tries: None,
                age: None,
            },
            Self::Deliver => Schedule {
                gaps: &[
                    5,
                    30,
                    2 * MINUTE,
                    5 * MINUTE,
                    15 * MINUTE,
                    30 * MINUTE,
                    HOUR,
                    2 * HOUR,
                    4 * HOUR,
                    6 * HOUR,
                ],
                tries: None,
                age: Some(24 * HOUR),
            },
            // It ends with the connection.
            Self::Refresh => Schedule {
                gaps: &[MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR],
                tries: None,
                age: None,
            },
            Self::Revoke => Schedule {
                gaps: &[
                    5,
                    30,
                    2 * MINUTE,
                    10 * MINUTE,
                    30 * MINUTE,
                    HOUR,
                    2 * HOUR,
                    4 * HOUR,
                ],
                tries: None,
                age: Some(24 * HOUR),
            },
            // It needs nobody but the store.
            Self::Notify => Schedule {
                gaps: &[MINUTE],
                tries: None,
                age: None,
            },
        }
    }
}

impl Schedule {
    /// When to try again what began at `since` and failed now for the `attempt`-th time, counted from 1; `None`: never.
    ///
    /// Up to a tenth of the pause is added or subtracted at random, so that what failed together is not tried again
    /// together. `at_least` is how long the other side asked to wait.
    pub fn next(
        self,
        (attempt, since): (u32, Timestamp),
        at_least: Option<Duration>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Option<Timestamp> {
        let nth = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        let gap = self.gaps.get(nth).or(self.gaps.last()).copied()?;
        let chance = f64::from(u32::from_le_bytes(random::bytes(random))) / f64::from(u32::MAX);
        let gap = Duration::from_secs(gap).mul_f64(0.9 + 0.2 * chance);
        let next = now + gap.max(at_least.unwrap_or_default());
        let end = self.end(since);
        let is_left = self.tries.is_none_or(|most| attempt < most) && now < end;
        is_left.then_some(next.min(end))
    }

    /// For how long it is tried, if its age decides that.
    pub fn age(self) -> Option<Duration> {
        self.age.map(Duration::from_secs)
    }

    /// Whether what began at `since` is too old to be tried at all.
    pub fn is_over(self, since: Timestamp, now: Timestamp) -> bool {
        now > self.end(since)
    }

    /// When it is given up.
    fn end(self, since: Timestamp) -> Timestamp {
        let end = self.age().and_then(|age| since.checked_add(age).ok());
        end.unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);

    impl Random for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn at(second: u64) -> Timestamp {
        Timestamp::from_second(second.cast_signed()).expect("a time")
    }

    /// When what began at moment 0 is tried, if every try fails at once.
    fn tries(kind: DutyKind, byte: u8) -> Vec<u64> {
        let mut tries = vec![0];
        let mut attempt = 1;
        let mut now = at(0);
        while let Some(next) = kind
            .schedule()
            .next((attempt, at(0)), None, now, &Always(byte))
        {
            attempt += 1;
            now = next;
            tries.push(next.as_second().unsigned_abs());
            if tries.len() == 100 {
                break;
            }
        }
        tries
    }

    #[test]
    fn an_event_is_tried_for_a_day_and_for_the_last_time_at_its_end() {
        for byte in [0x00, 0x80, 0xff] {
            let tries = tries(DutyKind::Deliver, byte);
            assert_eq!(tries.last(), Some(&(24 * HOUR)), "{tries:?}");
            assert!((12..=14).contains(&tries.len()), "{tries:?}");
        }
    }

    #[test]
    fn a_job_is_pushed_three_times() {
        assert_eq!(tries(DutyKind::Aggregate, 0x00), [0, 4, 31]);
    }

    #[test]
    fn pauses_grow_and_differ_by_chance() {
        for kind in DutyKind::ALL {
            assert!(kind.schedule().gaps.is_sorted());
            let (least, most) = (tries(kind, 0x00)[1], tries(kind, 0xff)[1]);
            assert!(least < most);
        }
    }

    #[test]
    fn who_asks_to_wait_is_waited_for_but_not_beyond_the_end() {
        let next = |asked| {
            let asked = Some(Duration::from_secs(asked));
            let schedule = DutyKind::Deliver.schedule();
            schedule.next((1, at(0)), asked, at(10), &Always(0))
        };
        assert_eq!(next(100), Some(at(110)));
        assert_eq!(next(48 * HOUR), Some(at(24 * HOUR)));
    }
}
