//! How many links are minted at once: as many as are minted quickly.
//!
//! When more is asked of the gateway than it can do, everything takes longer, and people who already have a link wait
//! with the others. So new links are what is refused first: whoever asks for one can ask again in a second, and
//! a person in the middle of a flow cannot. How many may be under way at once is not configured, because it
//! depends on the machine, the store and on what else there is to do. It is learned: while minting is quick the
//! number grows slowly, when it is slow it shrinks at once, and when nothing has been slow for a second it is what it
//! was at first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long minting may take before fewer are let in.
pub const QUICK: Duration = Duration::from_millis(200);

/// How many are let in however slow it is, so that it is seen when it gets better.
const FEWEST: f64 = 4.0;

/// How many are let in at most.
const MOST: f64 = 1024.0;

/// How many are let in before anything is known.
const AT_FIRST: f64 = 128.0;

/// What is left of the number when minting is slow.
const LESS: f64 = 0.7;

/// The pause between two reductions: those who were let in before the first of them are still slow.
const BETWEEN: Duration = Duration::from_millis(100);

/// The places for links that are being minted.
#[derive(Default)]
pub struct MintPlaces(Arc<Mutex<Places>>);

struct Places {
    taken: u32,
    most: f64,
    reduced: Option<Instant>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            taken: 0,
            most: AT_FIRST,
            reduced: None,
        }
    }
}

/// How long nothing may be slow before it is as if nothing had been.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// A place that is taken until this is dropped.
#[must_use]
pub struct MintPlace {
    places: Arc<Mutex<Places>>,
    since: Instant,
}

impl MintPlaces {
    /// Takes a place, unless as many are taken as may be.
    pub fn take(&self, now: Instant) -> Option<MintPlace> {
        let mut places = lock(&self.0);
        if places.reduced.is_some_and(|at| now >= at + FORGOTTEN) {
            places.reduced = None;
            places.most = places.most.max(AT_FIRST);
        }
        if f64::from(places.taken) >= places.most {
            return None;
        }
        places.taken += 1;
        Some(MintPlace {
            places: self.0.clone(),
            since: now,
        })
    }
}

impl Drop for MintPlace {
    fn drop(&mut self) {
        lock(&self.places).leave(self.since, Instant::now());
    }
}

impl Places {
    /// A place is free again, and it is known how long minting takes.
    fn leave(&mut self, since: Instant, now: Instant) {
        let was_full = f64::from(self.taken) * 2.0 >= self.most;
        self.taken = self.taken.saturating_sub(1);
        let is_quick = now.saturating_duration_since(since) <= QUICK;
        if is_quick && was_full {
            self.most = MOST.min(self.most + 1.0 / self.most);
        } else if !is_quick && self.reduced.is_none_or(|at| now >= at + BETWEEN) {
            self.most = FEWEST.max(self.most * LESS);
            self.reduced = Some(now);
        }
    }
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Minted by as many callers as are let in, each of whom takes that long, for so many rounds.
    fn minted_in(took: Duration, rounds: usize, places: &mut Places, begin: Instant) -> Instant {
        let mut now = begin;
        for _ in 0..rounds {
            places.taken = places.most as u32;
            let since = now;
            now += took;
            for _ in 0..places.most as u32 {
                places.leave(since, now);
            }
        }
        now
    }

    #[test]
    fn fewer_links_are_minted_at_once_while_it_is_slow_and_more_when_it_is_quick_again() {
        let mut places = Places::default();
        let slow = minted_in(2 * QUICK, 20, &mut places, Instant::now());
        assert!(
            (places.most - FEWEST).abs() < f64::EPSILON,
            "{}",
            places.most
        );
        minted_in(QUICK / 100, 500, &mut places, slow);
        assert!(places.most > 20.0 && places.most <= MOST, "{}", places.most);
    }

    #[test]
    fn those_who_were_let_in_before_do_not_count_twice() {
        let mut places = Places {
            taken: 100,
            ..Places::default()
        };
        let now = Instant::now();
        for _ in 0..100 {
            places.leave(now, now + 2 * QUICK);
        }
        assert!(
            (places.most - AT_FIRST * LESS).abs() < 1e-9,
            "{}",
            places.most
        );
    }

    #[test]
    fn a_second_after_it_was_slow_all_is_as_before() {
        let places = MintPlaces::default();
        let now = Instant::now();
        minted_in(2 * QUICK, 20, &mut lock(&places.0), now);
        let let_in = |now| {
            let taken: Vec<MintPlace> = std::iter::from_fn(|| places.take(now)).collect();
            taken.len()
        };
        let slow = lock(&places.0).reduced.expect("reduced");
        assert_eq!(let_in(slow), FEWEST as usize);
        assert_eq!(let_in(slow + FORGOTTEN), AT_FIRST as usize);
    }

    #[test]
    fn nobody_is_let_in_beyond_the_number_and_a_place_that_is_left_is_free() {
        let places = MintPlaces::default();
        let now = Instant::now();
        let mut taken: Vec<MintPlace> = std::iter::from_fn(|| places.take(now)).collect();
        assert_eq!(taken.len(), AT_FIRST as usize);
        drop(taken.pop());
        assert!(places.take(now).is_some());
    }
}
