//! Background pulls: a connected member's data stays fresh without anybody asking for it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::form;
use super::random::{self, Random};

/// One day, in seconds.
const DAY: i64 = 24 * 60 * 60;

/// How many background pulls a member has on one day, unless configured.
pub const USUALLY_PER_DAY: u32 = 4;

/// How often the members that a client has at an institution are pulled in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackgroundRules {
    /// How long after a pull the next one is due; `None`: there are none.
    pub every: Option<Duration>,
    /// The most on one day (UTC).
    pub per_day: u32,
}

impl Default for BackgroundRules {
    fn default() -> Self {
        Self {
            every: None,
            per_day: USUALLY_PER_DAY,
        }
    }
}

impl BackgroundRules {
    /// When a member that was pulled or connected now is pulled next. Up to a tenth is added or subtracted at random,
    /// so that what came together does not come together again.
    pub fn next(self, now: Timestamp, random: &dyn Random) -> Option<Timestamp> {
        let every = self.every?;
        Some(now + part(every, 0.9 + 0.2 * chance(random)))
    }

    /// When a member that nobody pulled in the background before is pulled first: at any time of one round, so that
    /// many of them are spread over all of it.
    pub fn first(self, now: Timestamp, random: &dyn Random) -> Option<Timestamp> {
        let every = self.every?;
        Some(now + part(every, chance(random)))
    }

    /// When a member that had as many pulls today as it may have is pulled next: tomorrow, at any time of what one
    /// round is of that day.
    pub fn tomorrow(self, now: Timestamp, random: &dyn Random) -> Option<Timestamp> {
        let every = self.every?.min(Duration::from_secs(DAY.unsigned_abs()));
        let tomorrow = Timestamp::from_second((day(now) + 1) * DAY).ok()?;
        Some(tomorrow + part(every, chance(random)))
    }

    /// The longest that a member waits for its next pull.
    pub fn longest(self) -> Option<Duration> {
        self.every.map(|every| part(every, 1.1))
    }
}

/// Any number from 0 to 1.
fn chance(random: &dyn Random) -> f64 {
    f64::from(u32::from_le_bytes(random::bytes(random))) / f64::from(u32::MAX)
}

/// So much of it, in whole milliseconds.
fn part(of: Duration, factor: f64) -> Duration {
    Duration::from_millis(of.mul_f64(factor).as_millis() as u64)
}

/// The number of the day (UTC).
fn day(at: Timestamp) -> i64 {
    at.as_second().div_euclid(DAY)
}

/// When a member is pulled in the background next, and how often it was today.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackgroundPulls {
    /// When the next one is due.
    #[serde(with = "form")]
    pub due_at: Timestamp,
    /// The day of the last one, counted from 1970 (UTC).
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub day: i64,
    /// How many there were on that day.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub count: u32,
}

impl BackgroundPulls {
    /// The first is due then.
    pub fn due(due_at: Timestamp) -> Self {
        Self {
            due_at,
            day: 0,
            count: 0,
        }
    }

    /// Counts one, unless there were as many on this day as there may be. Returns whether it may be.
    pub fn count(&mut self, most: u32, now: Timestamp) -> bool {
        let today = day(now);
        if self.day != today {
            (self.day, self.count) = (today, 0);
        }
        let may_be = self.count < most;
        self.count += u32::from(may_be);
        may_be
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

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn hourly() -> BackgroundRules {
        BackgroundRules {
            every: Some(Duration::from_secs(3600)),
            per_day: 2,
        }
    }

    #[test]
    fn pulls_that_came_together_are_spread() {
        let now = at(10 * DAY + 1000);
        let all = |when: &dyn Fn(&dyn Random) -> Option<Timestamp>| {
            [0x00, 0xff].map(|byte| when(&Always(byte)).expect("a time").as_second())
        };
        let begin = now.as_second();
        let next = all(&|random| hourly().next(now, random));
        assert_eq!(next, [begin + 3240, begin + 3960]);
        let first = all(&|random| hourly().first(now, random));
        assert_eq!(first, [begin, begin + 3600]);
        let tomorrow = all(&|random| hourly().tomorrow(now, random));
        assert_eq!(tomorrow, [11 * DAY, 11 * DAY + 3600]);
        assert_eq!(hourly().longest(), Some(Duration::from_secs(3960)));
        let off = BackgroundRules::default();
        assert_eq!(off.next(now, &Always(0)), None);
    }

    #[test]
    fn a_day_has_so_many_and_the_next_day_begins_anew() {
        let mut pulls = BackgroundPulls::due(at(0));
        let evening = at(11 * DAY - 1);
        assert!(pulls.count(2, evening));
        assert!(pulls.count(2, evening));
        assert!(!pulls.count(2, evening));
        assert_eq!(pulls.count, 2);
        assert!(pulls.count(2, at(11 * DAY)));
    }
}
