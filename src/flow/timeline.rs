//! What time it is: one timeline for all that is due, which no clock can tear.
//!
//! A machine's clock may be set at any moment, by an hour and either way; the clocks of two gateways may differ by as
//! much. If what is due followed them, work would stand still for an hour or be taken up twice. So a timeline
//!
//! - runs by the steady clock of the machine, which only ever goes on;
//! - is drawn towards the right time, that of the store's server (one for all gateways), or of the machine where the
//!   store is a file: by a sixteenth of the time that passes, so every wait stays about as long as it was meant;
//! - takes over at once what is further away than [`FOLLOWED`]: a machine that slept, or a year put right;
//! - is the same as that of the gateways that run already: each tells the store what time it is at, and one that begins, or
//!   was stopped for a while, takes that over;
//! - begins no earlier than the store was told last: what was due by a clock that was ahead is still due in time after a
//!   restart.
//!
//! What others compare with their own clocks, such as the time of a signature, is of the machine's clock:
//! [`Timeline::of_day`].

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Gateway;
use crate::store::{StoreError, TimeTold};

/// The clocks of a machine.
pub trait Clocks: Send + Sync {
    /// The time of day, in whole milliseconds. It may be set, either way, at any moment.
    fn of_day(&self) -> Timestamp;

    /// How long something has been going on: it is never set.
    fn steady(&self) -> Duration;

    /// What the store's server calls that time, here: the same, unless time is made up.
    fn of_server(&self, time: Timestamp) -> Timestamp {
        time
    }
}

/// From this distance on, the right time is taken over at once.
pub const FOLLOWED: SignedDuration = SignedDuration::from_hours(2);

/// By which part of the time that passes the timeline is drawn towards the right time.
const DRAWN: u32 = 16;

/// From this distance on, it is said that the timeline is not where it should be.
const TOLD: SignedDuration = SignedDuration::from_secs(10);

/// What was told within this time is of a gateway that runs.
const FRESH: SignedDuration = SignedDuration::from_secs(30);

/// Gateways that are nearer to each other than this agree.
const AGREED: SignedDuration = SignedDuration::from_secs(1);

/// How often the server of the store is asked what time it is.
const ASKED_EVERY: Duration = Duration::from_secs(10);

/// What time it is.
pub struct Timeline {
    clocks: Box<dyn Clocks>,
    read: Mutex<Read>,
}

/// What was read last.
struct Read {
    time: Timestamp,
    /// Then, by the steady clock.
    at: Duration,
    /// What the store's server said last, and when by the steady clock.
    server: Option<(Timestamp, Duration)>,
    /// When the store was last asked, by the steady clock.
    asked: Option<Duration>,
    /// Whether it ever answered.
    is_heard: bool,
    /// What this gateway told it last.
    told: Option<TimeTold>,
    /// Whether it was said that the time is not the right one.
    is_told: bool,
}

impl Timeline {
    /// Begins at the machine's time of day.
    pub fn new(clocks: Box<dyn Clocks>) -> Self {
        let read = Read {
            time: clocks.of_day(),
            at: clocks.steady(),
            server: None,
            asked: None,
            is_heard: false,
            told: None,
            is_told: false,
        };
        Self {
            clocks,
            read: Mutex::new(read),
        }
    }

    /// Now, in whole milliseconds: the same for every gateway of a store, except for what a reply of it takes.
    pub fn now(&self) -> Timestamp {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        whole_milliseconds(self.go_on(&mut read).0)
    }

    /// What the machine takes for the time of day, in whole milliseconds: for what others compare with their clocks.
    pub fn of_day(&self) -> Timestamp {
        self.clocks.of_day()
    }

    /// Takes over what the store says of the time: what its server's clock said just now, if it has a server, and what
    /// some gateway told last.
    pub fn hear(&self, server: Option<Timestamp>, latest: Option<TimeTold>) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.clocks.steady();
        read.server = server
            .map(|time| (self.clocks.of_server(time), at))
            .or(read.server);
        let right = self.right(&read, at);
        let is_first = !std::mem::replace(&mut read.is_heard, true);
        let (own, _) = self.go_on(&mut read);
        let is_fresh = |it: &TimeTold| {
            let age = right.duration_since(it.right);
            read.told != Some(*it) && (SignedDuration::ZERO..FRESH).contains(&age)
        };
        let time = match latest {
            Some(it) if is_fresh(&it) => right + it.time.duration_since(it.right),
            latest if is_first => {
                let is_near = |it: &TimeTold| it.time.duration_since(right).abs() < FOLLOWED;
                let near = latest.filter(is_near);
                near.map_or(right, |it| it.time.max(right))
            }
            _ => own,
        };
        if is_first || time.duration_since(own).abs() >= AGREED {
            read.time = time;
            read.at = at;
        }
    }

    /// What to tell the store.
    fn told(&self) -> TimeTold {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let (time, _) = self.go_on(&mut read);
        let right = self.right(&read, read.at);
        let told = TimeTold {
            time: whole_milliseconds(time),
            right: whole_milliseconds(right),
        };
        read.told = Some(told);
        told
    }

    /// Moves on to now. Also how far that is from the right time: positive if it is behind.
    fn go_on(&self, read: &mut Read) -> (Timestamp, SignedDuration) {
        let at = self.clocks.steady();
        let passed = at.saturating_sub(read.at);
        let straight = read.time + passed;
        let distance = self.right(read, at).duration_since(straight);
        let drawn = match distance.abs() < FOLLOWED {
            true => {
                let most = SignedDuration::try_from(passed / DRAWN).unwrap_or(SignedDuration::MAX);
                distance.clamp(-most, most)
            }
            false => distance,
        };
        (read.time, read.at) = (straight + drawn, at);
        (read.time, distance - drawn)
    }

    fn right(&self, read: &Read, at: Duration) -> Timestamp {
        match read.server {
            Some((time, told)) => time + at.saturating_sub(told),
            None => self.clocks.of_day(),
        }
    }

    /// Whether the store is to be asked now: it is not asked again for a while.
    fn asks_now(&self) -> bool {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.clocks.steady();
        let is_due = |asked: Duration| at.saturating_sub(asked) >= ASKED_EVERY;
        let asks = read.asked.is_none_or(is_due);
        if asks {
            read.asked = Some(at);
        }
        asks
    }

    /// How far from the right time it is, if that is worth saying and was not said; or whether it is right again.
    fn news(&self) -> Option<SignedDuration> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, distance) = self.go_on(&mut read);
        let is_off = distance.abs() >= TOLD;
        (std::mem::replace(&mut read.is_told, is_off) != is_off).then_some(distance)
    }
}

/// Asks the store what time it is, unless that was done just now, and tells it what time it is here. Where the store is
/// away, the steady clock goes on.
pub async fn agree(gateway: &Gateway) {
    let timeline = &gateway.clock;
    if timeline.asks_now()
        && let Err(error) = ask(gateway, timeline).await
    {
        tracing::warn!(%error, "the store could not be asked for the time");
    }
    if let Some(distance) = timeline.news() {
        let behind_s = distance.as_secs();
        match distance.abs() >= TOLD {
            true => tracing::warn!(behind_s, "a clock was set; what is due follows it slowly"),
            false => tracing::info!("what is due follows the clock again"),
        }
    }
}

/// First hears, so that a gateway whose own clock is wrong does not tell the others so.
async fn ask(gateway: &Gateway, timeline: &Timeline) -> Result<(), StoreError> {
    let (server, latest) = gateway.store.time().await?;
    timeline.hear(server, latest);
    gateway.store.tell_time(timeline.told()).await
}

fn whole_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    const HOUR: i64 = 3_600;

    /// Clocks in whole seconds, moved by hand.
    #[derive(Clone, Default)]
    struct ByHand {
        passed: Arc<AtomicI64>,
        set: Arc<AtomicI64>,
    }

    impl ByHand {
        fn pass(&self, seconds: i64) {
            self.passed.fetch_add(seconds, Ordering::Relaxed);
        }

        fn set(&self, seconds: i64) {
            self.set.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    impl Clocks for ByHand {
        fn of_day(&self) -> Timestamp {
            let (passed, set) = (&self.passed, &self.set);
            at(passed.load(Ordering::Relaxed) + set.load(Ordering::Relaxed))
        }

        fn steady(&self) -> Duration {
            Duration::from_secs(self.passed.load(Ordering::Relaxed).unsigned_abs())
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + seconds).unwrap()
    }

    fn told(time: i64, right: i64) -> Option<TimeTold> {
        Some(TimeTold {
            time: at(time),
            right: at(right),
        })
    }

    fn seconds(timeline: &Timeline) -> i64 {
        timeline.now().as_second() - at(0).as_second()
    }

    #[test]
    fn r2_a_clock_that_is_set_by_an_hour_changes_no_wait_by_more_than_a_sixteenth() {
        for set in [-HOUR, HOUR] {
            let clocks = ByHand::default();
            let timeline = Timeline::new(Box::new(clocks.clone()));
            clocks.set(set);
            assert_eq!(seconds(&timeline), 0);
            assert_eq!(timeline.of_day(), at(set));
            clocks.pass(160);
            assert_eq!(seconds(&timeline), 160 + set.signum() * 10);
            // In the end it is where the clock is.
            for _ in 0..17 {
                clocks.pass(HOUR);
                timeline.now();
            }
            assert_eq!(timeline.now(), timeline.of_day());
        }
    }

    #[test]
    fn r2_time_that_passed_while_the_machine_slept_has_passed() {
        let clocks = ByHand::default();
        let timeline = Timeline::new(Box::new(clocks.clone()));
        clocks.set(8 * HOUR);
        assert_eq!(seconds(&timeline), 8 * HOUR);
        clocks.set(-1_000 * HOUR);
        assert_eq!(seconds(&timeline), -992 * HOUR);
    }

    #[test]
    fn r2_gateways_whose_clocks_differ_agree_by_the_clock_of_their_server() {
        let (early, late) = (ByHand::default(), ByHand::default());
        early.set(-HOUR);
        late.set(HOUR);
        let timelines = [&early, &late].map(|it| Timeline::new(Box::new(it.clone())));
        timelines.iter().for_each(|it| it.hear(Some(at(5)), None));
        for passed in [0, 100] {
            [&early, &late].iter().for_each(|it| it.pass(passed));
            late.set(HOUR);
            assert!(timelines.iter().all(|it| seconds(it) == 5 + passed));
        }
        // The server's own clock is set: they follow it slowly, together.
        timelines
            .iter()
            .for_each(|it| it.hear(Some(at(105 - HOUR)), told(105, 105)));
        [&early, &late].iter().for_each(|it| it.pass(160));
        assert!(timelines.iter().all(|it| seconds(it) == 105 + 160 - 10));
    }

    #[test]
    fn r2_a_restart_goes_on_where_a_clock_that_was_ahead_had_been() {
        for (latest, expected) in [(HOUR, HOUR), (-HOUR, 0), (3 * HOUR, 0)] {
            let timeline = Timeline::new(Box::new(ByHand::default()));
            timeline.hear(None, told(latest, latest - 60));
            assert_eq!(seconds(&timeline), expected);
            // Only a beginning does so.
            timeline.hear(None, told(latest + 100, latest - 60));
            assert_eq!(seconds(&timeline), expected);
        }
    }

    #[test]
    fn r2_who_begins_or_was_stopped_is_where_those_are_that_run() {
        // The server's clock was set ahead; those that run are behind it still.
        let clocks = ByHand::default();
        let timeline = Timeline::new(Box::new(clocks.clone()));
        timeline.hear(Some(at(HOUR)), told(10, HOUR - 5));
        assert_eq!(seconds(&timeline), 15);
        // It runs, and tells what it is at: nobody takes over his own word.
        let own = timeline.told();
        assert_eq!((own.time, own.right), (at(15), at(HOUR)));
        clocks.pass(10);
        timeline.hear(Some(at(HOUR + 10 - 3)), Some(own));
        assert!((seconds(&timeline) - 25).abs() <= 1);
        // It was stopped for half an hour, and the others were not.
        timeline.hear(Some(at(HOUR + 1_800)), told(1_800, HOUR + 1_795));
        assert_eq!(seconds(&timeline), 1_805);
        // What somebody said long ago, or of a time to come, moves nobody who runs.
        for right in [HOUR + 1_000, HOUR + 1_900] {
            timeline.hear(Some(at(HOUR + 1_800)), told(9_999, right));
            assert_eq!(seconds(&timeline), 1_805);
        }
    }

    #[test]
    fn what_is_wrong_with_the_clock_is_said_once() {
        let clocks = ByHand::default();
        let timeline = Timeline::new(Box::new(clocks.clone()));
        assert_eq!(timeline.news(), None);
        clocks.set(-60);
        assert_eq!(timeline.news(), Some(SignedDuration::from_secs(-60)));
        assert_eq!(timeline.news(), None);
        clocks.pass(16 * 60);
        assert_eq!(timeline.news(), Some(SignedDuration::ZERO));
        assert_eq!(timeline.news(), None);
    }
}
