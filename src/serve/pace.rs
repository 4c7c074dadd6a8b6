//! Whether the other end of a connection does its part.

use std::time::{Duration, Instant};

/// How many bytes a second a peer has to take at least, over time.
const SLOWEST: u32 = 1024;

/// How long a peer may keep us waiting while it takes nothing, or less than [`SLOWEST`].
const PATIENCE: Duration = Duration::from_secs(10);

/// What is known of one connection's progress.
#[derive(Debug)]
pub struct Pace {
    moved_at: Instant,
    stalled_at: Option<Instant>,
    owed: Duration,
    at_work: usize,
}

impl Pace {
    /// A connection that was just made.
    pub fn new(now: Instant) -> Self {
        Self {
            moved_at: now,
            stalled_at: None,
            owed: Duration::ZERO,
            at_work: 0,
        }
    }

    /// Bytes came in.
    pub fn was_read(&mut self, now: Instant) {
        self.moved_at = now;
    }

    /// There is something to write and no room for it: the peer has to take what was sent.
    pub fn stalled(&mut self, now: Instant) {
        self.stalled_at.get_or_insert(now);
    }

    /// So many bytes found room. Time that was waited is owed, and paid back by what is taken.
    pub fn was_written(&mut self, bytes: usize, now: Instant) {
        self.moved_at = now;
        if let Some(stalled_at) = self.stalled_at.take() {
            self.owed += now.saturating_duration_since(stalled_at);
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let paid = Duration::from_secs(1) * bytes / SLOWEST;
        self.owed = self.owed.saturating_sub(paid);
    }

    /// A request is being answered.
    pub fn begins(&mut self) {
        self.at_work += 1;
    }

    /// Its answer is ready to be written.
    pub fn ends(&mut self, now: Instant) {
        self.at_work = self.at_work.saturating_sub(1);
        self.moved_at = now;
    }

    /// Whether the peer has taken less than it has to.
    pub fn is_too_slow(&self, now: Instant) -> bool {
        let stalled = self
            .stalled_at
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        self.owed + stalled > PATIENCE
    }

    /// How long we have been waiting for the peer; `None` while we are the ones at work.
    pub fn waiting(&self, now: Instant) -> Option<Duration> {
        let is_peers_turn = self.at_work == 0 || self.stalled_at.is_some();
        is_peers_turn.then(|| now.saturating_duration_since(self.moved_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_reader_that_takes_nothing_is_too_slow_after_the_patience() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        pace.was_written(1_000_000, now);
        pace.stalled(now);
        pace.stalled(now + 5 * SECOND);
        assert!(!pace.is_too_slow(now + PATIENCE));
        assert!(pace.is_too_slow(now + PATIENCE + SECOND));
    }

    #[test]
    fn a_reader_that_takes_crumbs_is_too_slow_and_a_slow_line_is_not() {
        for (bytes, expected) in [(1, true), (9 * 1024 / 2, true), (9 * 1024, false)] {
            let mut now = Instant::now();
            let mut pace = Pace::new(now);
            let mut is_too_slow = false;
            for _ in 0..10 {
                pace.stalled(now);
                now += 9 * SECOND;
                is_too_slow |= pace.is_too_slow(now);
                pace.was_written(bytes, now);
            }
            assert_eq!(is_too_slow, expected, "{bytes} bytes in 9 seconds");
        }
    }

    #[test]
    fn nobody_is_slow_who_is_not_asked_to_take_anything() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert!(!pace.is_too_slow(now + 1000 * SECOND));
        pace.stalled(now);
        pace.was_written(1, now);
        assert!(!pace.is_too_slow(now + 1000 * SECOND));
    }

    #[test]
    fn it_is_the_peers_turn_unless_we_are_at_work() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(pace.waiting(now + SECOND), Some(SECOND));
        pace.was_read(now + SECOND);
        pace.begins();
        assert_eq!(pace.waiting(now + 5 * SECOND), None);
        pace.stalled(now + 2 * SECOND);
        assert_eq!(pace.waiting(now + 5 * SECOND), Some(4 * SECOND));
        pace.was_written(1, now + 5 * SECOND);
        assert_eq!(pace.waiting(now + 6 * SECOND), None);
        pace.ends(now + 6 * SECOND);
        assert_eq!(pace.waiting(now + 7 * SECOND), Some(SECOND));
    }
}
