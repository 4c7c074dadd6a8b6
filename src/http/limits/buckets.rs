//! A token bucket for each key.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many keys are counted apart, because strangers can invent them. All others share one count.
const MOST_KEYS: usize = 100_000;

/// A number of requests in a period for each key, at once or spread (generic cell rate algorithm).
pub struct Buckets<K> {
    /// The part of the period that one request uses up.
    step: Duration,
    period: Duration,
    counts: Mutex<Counts<K>>,
}

/// For each key the time at which its bucket is full again.
struct Counts<K> {
    full_at: HashMap<K, Instant>,
    others: Option<Instant>,
}

impl<K: Eq + Hash + Clone> Buckets<K> {
    /// `count` in each `period`.
    pub fn new(count: NonZeroU32, period: Duration) -> Self {
        let counts = Counts {
            full_at: HashMap::new(),
            others: None,
        };
        Self {
            step: period / count.get(),
            period,
            counts: Mutex::new(counts),
        }
    }

    /// Whether one more is allowed for the key now; an error says how long to wait. Counts nothing.
    pub fn look(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let counts = self.counts();
        let full_at = match counts.full_at.get(key) {
            None if counts.full_at.len() >= MOST_KEYS => counts.others,
            full_at => full_at.copied(),
        };
        self.after(full_at, now).map(drop)
    }

    /// Counts one for the key; an error says how long to wait.
    pub fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let mut counts = self.counts();
        if counts.full_at.len() >= MOST_KEYS && !counts.full_at.contains_key(key) {
            counts.others = Some(self.after(counts.others, now)?);
            return Ok(());
        }
        let full_at = self.after(counts.full_at.get(key).copied(), now)?;
        counts.full_at.insert(key.clone(), full_at);
        Ok(())
    }

    /// Takes one back.
    pub fn give_back(&self, key: &K) {
        if let Some(full_at) = self.counts().full_at.get_mut(key) {
            *full_at -= self.step;
        }
    }

    /// Drops the keys whose buckets are full.
    pub fn evict_idle(&self, now: Instant) {
        let mut counts = self.counts();
        counts.full_at.retain(|_, full_at| *full_at > now);
        counts.full_at.shrink_to_fit();
    }

    fn after(&self, full_at: Option<Instant>, now: Instant) -> Result<Instant, Duration> {
        let full_at = full_at.map_or(now, |full_at| full_at.max(now)) + self.step;
        let latest = now + self.period;
        match full_at.checked_duration_since(latest) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(full_at),
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts<K>> {
        // No code that holds this lock panics between two changes.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn buckets(count: u32) -> Buckets<u32> {
        Buckets::new(NonZeroU32::new(count).expect("at least 1"), MINUTE)
    }

    #[test]
    fn a_bucket_empties_and_refills() {
        let (buckets, now) = (buckets(3), Instant::now());
        for _ in 0..3 {
            assert_eq!(buckets.look(&1, now), Ok(()));
            assert_eq!(buckets.take(&1, now), Ok(()));
        }
        let wait = Duration::from_secs(20);
        assert_eq!(buckets.look(&1, now), Err(wait));
        assert_eq!(buckets.take(&1, now), Err(wait));
        assert_eq!(
            buckets.take(&2, now),
            Ok(()),
            "another key is another count"
        );
        assert_eq!(buckets.take(&1, now + wait), Ok(()));
        assert_eq!(buckets.look(&1, now + wait), Err(wait));
        let later = now + 10 * MINUTE;
        for _ in 0..3 {
            assert_eq!(buckets.take(&1, later), Ok(()));
        }
        assert_eq!(
            buckets.take(&1, later),
            Err(wait),
            "never more than the period's"
        );
    }

    #[test]
    fn looking_takes_nothing_and_what_is_given_back_is_there_again() {
        let (buckets, now) = (buckets(1), Instant::now());
        for _ in 0..10 {
            assert_eq!(buckets.look(&1, now), Ok(()));
        }
        assert_eq!(buckets.take(&1, now), Ok(()));
        assert!(buckets.take(&1, now).is_err());
        buckets.give_back(&1);
        assert_eq!(buckets.take(&1, now), Ok(()));
    }

    #[test]
    fn invented_keys_do_not_fill_the_memory() {
        let (buckets, now) = (buckets(1), Instant::now());
        let most = 100_000;
        for key in 0..most {
            assert_eq!(buckets.take(&key, now), Ok(()));
        }
        assert_eq!(buckets.take(&most, now), Ok(()));
        assert!(
            buckets.look(&(most + 1), now).is_err(),
            "the rest share a count"
        );
        assert!(buckets.take(&(most + 1), now).is_err());
        assert_eq!(buckets.counts().full_at.len(), 100_000);
        buckets.evict_idle(now + MINUTE);
        assert_eq!(buckets.counts().full_at.len(), 0);
    }
}
