//! Whether the peer of a connection sends and receives fast enough.

use std::time::{Duration, Instant};

/// How many bytes a second a peer must send or receive at least, on average.
const SLOWEST: u32 = 1024;

/// How long a peer may keep us waiting for the rest of a request's body, or to receive a response, while
/// nothing moves, or less than [`SLOWEST`].
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The progress of one connection. While we wait for the peer, its debt grows with time; every byte that
/// moves reduces the debt by the time that it takes at [`SLOWEST`].
#[derive(Debug)]
pub struct Pace {
    debt: Duration,
    counted_at: Instant,
    at_work: usize,
    must_send: bool,
    must_take: bool,
}

impl Pace {
    /// A connection that was just made.
    pub fn new(now: Instant) -> Self {
        Self {
            debt: Duration::ZERO,
            counted_at: now,
            at_work: 0,
            must_send: false,
            must_take: false,
        }
    }

    /// This many bytes were received.
    pub fn was_read(&mut self, bytes: usize, now: Instant) {
        self.count(now);
        self.pay(bytes);
    }

    /// There is data to write and no room in the socket: the peer must receive first.
    pub fn stalled(&mut self, now: Instant) {
        self.count(now);
        self.must_take = true;
    }

    /// This many bytes were written.
    pub fn was_written(&mut self, bytes: usize, now: Instant) {
        self.count(now);
        self.must_take = false;
        self.pay(bytes);
    }

    /// The gateway works on a request.
    pub fn begins(&mut self, now: Instant) {
        self.forgive(now);
        self.at_work += 1;
    }

    /// The handler needs more of the request's body: the peer must send it. Returns how long it may still
    /// take.
    pub fn awaits_body(&mut self, now: Instant) -> Duration {
        self.count(now);
        self.must_send = true;
        PATIENCE.saturating_sub(self.debt)
    }

    /// More of the body came, or no more is needed.
    pub fn has_body(&mut self, now: Instant) {
        self.count(now);
        self.must_send = false;
    }

    /// The response is ready to be written.
    pub fn ends(&mut self, now: Instant) {
        self.forgive(now);
        self.at_work = self.at_work.saturating_sub(1);
    }

    /// Whether the peer is too slow.
    pub fn is_too_slow(&self, now: Instant) -> bool {
        self.must_take && self.debt_at(now) > PATIENCE
    }

    /// How long we have been waiting for the peer, minus the time for the bytes that it moved; `None`
    /// while the gateway works.
    pub fn waiting(&self, now: Instant) -> Option<Duration> {
        self.is_peers_turn().then(|| self.debt_at(now))
    }

    fn is_peers_turn(&self) -> bool {
        self.at_work == 0 || self.must_send || self.must_take
    }

    fn debt_at(&self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.counted_at);
        self.debt
            + if self.is_peers_turn() {
                passed
            } else {
                Duration::ZERO
            }
    }

    fn count(&mut self, now: Instant) {
        self.debt = self.debt_at(now);
        self.counted_at = now;
    }

    fn pay(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let paid = Duration::from_secs(1) * bytes / SLOWEST;
        self.debt = self.debt.saturating_sub(paid);
    }

    /// Head, body and response each start without debt, except for data that the peer has not received
    /// yet.
    fn forgive(&mut self, now: Instant) {
        self.count(now);
        if !self.must_take {
            self.debt = Duration::ZERO;
        }
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
        assert!(!pace.is_too_slow(now + 10 * SECOND));
        assert!(pace.is_too_slow(now + 11 * SECOND));
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
    fn asking_for_more_does_not_pay_for_what_was_not_taken() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        pace.stalled(now);
        for _ in 0..3 {
            now += 4 * SECOND;
            pace.was_read(20, now);
            pace.begins(now);
            pace.ends(now);
        }
        assert!(pace.is_too_slow(now));
    }

    #[test]
    fn a_body_that_comes_in_crumbs_runs_out_of_patience_and_a_slow_line_does_not() {
        for (bytes, expected) in [(1, true), (9 * 1024 / 2, true), (9 * 1024, false)] {
            let mut now = Instant::now();
            let mut pace = Pace::new(now);
            pace.begins(now);
            let mut left = 10 * SECOND;
            assert_eq!(pace.awaits_body(now), left);
            for _ in 0..10 {
                left = left.min(pace.awaits_body(now));
                now += 9 * SECOND;
                pace.was_read(bytes, now);
                pace.has_body(now);
            }
            assert_eq!(left < SECOND, expected, "{bytes} bytes in 9 seconds");
            assert!(!pace.is_too_slow(now), "the body's reader says so itself");
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
    fn it_is_the_peers_turn_unless_we_are_at_work_with_all_that_we_need() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        assert_eq!(pace.waiting(now + SECOND), Some(SECOND));
        pace.begins(now + SECOND);
        assert_eq!(pace.waiting(now + 5 * SECOND), None);
        pace.awaits_body(now + 2 * SECOND);
        assert_eq!(pace.waiting(now + 5 * SECOND), Some(3 * SECOND));
        pace.has_body(now + 5 * SECOND);
        assert_eq!(pace.waiting(now + 6 * SECOND), None);
        pace.ends(now + 6 * SECOND);
        assert_eq!(pace.waiting(now + 7 * SECOND), Some(SECOND));
        pace.begins(now + 8 * SECOND);
        pace.stalled(now + 8 * SECOND);
        assert_eq!(pace.waiting(now + 9 * SECOND), Some(SECOND));
        pace.was_written(2048, now + 9 * SECOND);
        assert_eq!(pace.waiting(now + 10 * SECOND), None);
    }

    #[test]
    fn crumbs_do_not_hide_how_long_a_peer_keeps_us_waiting() {
        let now = Instant::now();
        let mut pace = Pace::new(now);
        for half in 1..=10 {
            pace.was_read(1, now + half * SECOND / 2);
        }
        let waiting = pace.waiting(now + 5 * SECOND).expect("its turn");
        assert!(waiting > 4 * SECOND, "{waiting:?}");
        // What moves is paid back at 1 kB a second.
        pace.was_read(2 * 1024, now + 5 * SECOND);
        let less = pace.waiting(now + 5 * SECOND);
        assert_eq!(less, Some(waiting - 2 * SECOND));
        pace.was_read(8 * 1024, now + 5 * SECOND);
        assert_eq!(pace.waiting(now + 5 * SECOND), Some(Duration::ZERO));
    }
}
