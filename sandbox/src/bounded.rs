//! A map of limited size: entries expire, and the oldest one is removed when it is full.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};

/// Keeps at most `capacity` entries, each for at most `lifetime`.
///
/// The sandbox serves everybody who can reach it, for as long as the process lives, so every table it
/// keeps is one of these.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    entries: HashMap<K, (Timestamp, V)>,
    /// Keys in the order they came in. Keys taken out stay here until they reach the front.
    arrivals: VecDeque<(Timestamp, K)>,
    capacity: usize,
    lifetime: SignedDuration,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    /// An empty map. A `capacity` of 0 is taken for 1.
    pub(super) fn new(capacity: usize, lifetime: SignedDuration) -> Self {
        Self {
            entries: HashMap::new(),
            arrivals: VecDeque::new(),
            capacity: capacity.max(1),
            lifetime,
        }
    }

    /// Puts `value` under `key`, in place of what was there, as the youngest entry.
    pub(super) fn insert(&mut self, key: K, value: V, now: Timestamp) {
        while let Some((at, _)) = self.arrivals.front() {
            let room = self.arrivals.len() < self.capacity;
            if room && now.duration_since(*at) <= self.lifetime {
                break;
            }
            if let Some((at, oldest)) = self.arrivals.pop_front() {
                // A key that was inserted again since is younger than this mark says.
                if self.entries.get(&oldest).is_some_and(|(of, _)| *of == at) {
                    self.entries.remove(&oldest);
                }
            }
        }
        self.arrivals.push_back((now, key.clone()));
        self.entries.insert(key, (now, value));
    }

    /// The entry under `key`, unless it has outlived its time.
    pub(super) fn get<Q>(&self, key: &Q, now: Timestamp) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let (at, value) = self.entries.get(key)?;
        (now.duration_since(*at) <= self.lifetime).then_some(value)
    }

    /// Like [`get`](Self::get), to change the entry where it is. It grows no younger by that.
    pub(super) fn get_mut<Q>(&mut self, key: &Q, now: Timestamp) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let lifetime = self.lifetime;
        let (at, value) = self.entries.get_mut(key)?;
        (now.duration_since(*at) <= lifetime).then_some(value)
    }

    /// Takes the entry out.
    pub(super) fn remove<Q>(&mut self, key: &Q, now: Timestamp) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let (at, value) = self.entries.remove(key)?;
        (now.duration_since(at) <= self.lifetime).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut map = Bounded::new(2, SignedDuration::from_secs(60));
        map.insert("a", 1, at(0));
        map.insert("b", 2, at(1));
        map.insert("c", 3, at(2));
        assert_eq!(map.get("a", at(2)), None);
        assert_eq!(map.get("b", at(2)), Some(&2));
        assert_eq!(map.get("c", at(2)), Some(&3));
        assert_eq!(map.entries.len(), 2);
    }

    #[test]
    fn entries_die_of_age() {
        let mut map = Bounded::new(8, SignedDuration::from_secs(60));
        map.insert("a", 1, at(0));
        assert_eq!(map.get("a", at(60)), Some(&1));
        assert_eq!(map.get("a", at(61)), None);
        assert_eq!(map.get_mut("a", at(61)), None);
        map.insert("b", 2, at(61));
        assert_eq!(
            map.entries.len(),
            1,
            "the dead entry is gone, not only hidden"
        );
    }

    #[test]
    fn an_entry_put_in_again_is_young() {
        let mut map = Bounded::new(2, SignedDuration::from_secs(60));
        map.insert("a", 1, at(0));
        map.insert("a", 2, at(1));
        map.insert("b", 3, at(2));
        assert_eq!(map.get("a", at(2)), Some(&2));
        assert_eq!(map.get("b", at(2)), Some(&3));
    }

    #[test]
    fn taking_and_putting_for_ever_does_not_grow() {
        let mut map = Bounded::new(4, SignedDuration::from_hours(1));
        for n in 0..1_000 {
            map.insert(n, (), at(0));
            assert_eq!(map.remove(&n, at(0)), Some(()));
        }
        assert!(map.arrivals.len() <= 4);
        assert!(map.entries.is_empty());
    }
}
