//! The open connections of a listener, each with a place, and their limits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::pace::Pace;
use crate::http::source::Source;

/// How long we wait for a peer at least before its connection may be closed for another one.
const LEAST_WAIT: Duration = Duration::from_secs(1);

/// How many descriptors are kept for everything but public connections and the calls made for them: the
/// operator's listener, deliveries, pushes, the store, files.
const KEPT_BACK: usize = 192;

/// How many connections a listener has at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// In all.
    pub all: usize,
    /// From one source, unless it is a trusted proxy.
    pub per_source: usize,
}

impl Caps {
    /// These limits, reduced to what this number of open files allows. Each connection may need an
    /// outgoing call as well, and some files are reserved for everything else.
    pub fn within(self, descriptors: usize) -> Self {
        let room = descriptors.saturating_sub(KEPT_BACK) / 2;
        let all = self.all.min(room).max(2);
        Self {
            all,
            per_source: self.per_source.min(all / 2),
        }
    }
}

/// The connections of one listener.
pub struct Places {
    caps: Caps,
    table: Mutex<Table>,
}

/// The places, by number.
#[derive(Default)]
struct Table {
    next: u64,
    places: HashMap<u64, Arc<Place>>,
    of_source: HashMap<Source, usize>,
}

impl Table {
    fn add(&mut self, place: Arc<Place>) -> u64 {
        let number = self.next;
        self.next += 1;
        if let Some(source) = place.source {
            *self.of_source.entry(source).or_default() += 1;
        }
        self.places.insert(number, place);
        number
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Place>> {
        let place = self.places.remove(&number)?;
        if let Some(source) = place.source
            && let Entry::Occupied(mut count) = self.of_source.entry(source)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        Some(place)
    }

    /// The place whose peer has kept us waiting the longest, if for long enough.
    fn longest_waiting(&self, now: Instant, among: impl Fn(&Place) -> bool) -> Option<u64> {
        let waiting = self.places.iter().filter(|(_, place)| among(place));
        let waiting =
            waiting.filter_map(|(number, place)| Some((place.pace().waiting(now)?, *number)));
        let longest = waiting.filter(|(wait, _)| *wait >= LEAST_WAIT).max();
        longest.map(|(_, number)| number)
    }
}

/// One connection's place.
pub struct Place {
    source: Option<Source>,
    pace: Mutex<Pace>,
    /// Ends the connection at once.
    pub cut: CancellationToken,
}

impl Place {
    /// The progress of its connection.
    pub fn pace(&self) -> MutexGuard<'_, Pace> {
        // No code that holds this lock panics between two changes.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that becomes free when this is dropped.
pub struct OccupiedPlace {
    /// The place.
    pub place: Arc<Place>,
    number: u64,
    places: Arc<Places>,
}

impl Drop for OccupiedPlace {
    fn drop(&mut self) {
        self.places.lock().remove(self.number);
    }
}

/// Whether there is a place for a new connection.
pub enum Offer {
    /// There was a place.
    Free(OccupiedPlace),
    /// There is one, because the connection that had kept us waiting the longest is closed.
    Instead(OccupiedPlace),
    /// There is none: the limit of the `source` or of `all` is reached.
    None(&'static str),
}

impl Places {
    /// Without connections.
    pub fn new(caps: Caps) -> Arc<Self> {
        Arc::new(Self {
            caps,
            table: Mutex::default(),
        })
    }

    /// A place for a connection from `source`; `None` is a trusted proxy, which has no limit of its own.
    /// If no place is free, the connection that has kept us waiting the longest is closed; one of the
    /// same source, if that source's limit is reached.
    pub fn offer(self: &Arc<Self>, source: Option<Source>, now: Instant) -> Offer {
        let mut table = self.lock();
        let of_source = source.and_then(|source| table.of_source.get(&source));
        let source_is_full = of_source.is_some_and(|count| *count >= self.caps.per_source);
        let is_full = table.places.len() >= self.caps.all;
        if source_is_full || is_full {
            let may_be_cut = |place: &Place| !source_is_full || place.source == source;
            let Some(number) = table.longest_waiting(now, may_be_cut) else {
                return Offer::None(if source_is_full { "source" } else { "all" });
            };
            if let Some(place) = table.remove(number) {
                place.cut.cancel();
            }
        }
        let place = Arc::new(Place {
            source,
            pace: Mutex::new(Pace::new(now)),
            cut: CancellationToken::new(),
        });
        let taken = OccupiedPlace {
            number: table.add(place.clone()),
            place,
            places: self.clone(),
        };
        match source_is_full || is_full {
            true => Offer::Instead(taken),
            false => Offer::Free(taken),
        }
    }

    /// Closes every connection whose peer is too slow; returns how many.
    pub fn cut_slow(&self, now: Instant) -> usize {
        self.cut(|pace| pace.is_too_slow(now))
    }

    /// Closes every connection whose peer has kept us waiting for this long; returns how many.
    pub fn cut_waiting(&self, least: Duration, now: Instant) -> usize {
        self.cut(|pace| pace.waiting(now).is_some_and(|waiting| waiting >= least))
    }

    /// Closes all connections; returns how many.
    pub fn cut_all(&self) -> usize {
        self.cut(|_| true)
    }

    fn cut(&self, is_over: impl Fn(&Pace) -> bool) -> usize {
        let table = self.lock();
        let over = table
            .places
            .values()
            .filter(|place| !place.cut.is_cancelled() && is_over(&place.pace()));
        over.inspect(|place| place.cut.cancel()).count()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().places.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No code that holds this lock panics between two changes.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn source(text: &str) -> Option<Source> {
        Some(Source::of(text.parse().expect("an address")))
    }

    fn take(offer: Offer) -> OccupiedPlace {
        match offer {
            Offer::Free(taken) | Offer::Instead(taken) => taken,
            Offer::None(full) => panic!("{full} full"),
        }
    }

    #[test]
    fn few_descriptors_leave_few_places_and_no_source_has_them_all() {
        let caps = Caps {
            all: 8000,
            per_source: 1000,
        };
        let within = |descriptors| {
            let within = caps.within(descriptors);
            (within.all, within.per_source)
        };
        assert_eq!(within(1_000_000), (8000, 1000));
        assert_eq!(within(1024), (416, 208));
        assert_eq!(within(64), (2, 1));
    }

    #[test]
    fn a_source_has_its_places_and_others_have_theirs() {
        let places = Places::new(Caps {
            all: 10,
            per_source: 2,
        });
        let now = Instant::now();
        let (here, there) = (source("192.0.2.1"), source("192.0.2.2"));
        let first = take(places.offer(here, now));
        let _second = take(places.offer(here, now));
        assert!(matches!(places.offer(here, now), Offer::None("source")));
        let _other = take(places.offer(there, now));
        drop(first);
        assert!(matches!(places.offer(here, now), Offer::Free(_)));
        // A trusted proxy stands for many.
        let proxied: Vec<_> = (0..6).map(|_| take(places.offer(None, now))).collect();
        assert_eq!((proxied.len(), places.count()), (6, 8));
    }

    #[test]
    fn whoever_keeps_us_waiting_the_longest_makes_room_and_whoever_is_served_does_not() {
        let places = Places::new(Caps {
            all: 3,
            per_source: 3,
        });
        let now = Instant::now();
        let taken: Vec<_> = (1..=3)
            .map(|number| take(places.offer(source(&format!("192.0.2.{number}")), now)))
            .collect();
        taken[0].place.pace().begins(now);
        taken[2].place.pace().was_read(1024, now + SECOND);
        let later = now + 2 * SECOND;
        assert!(matches!(
            places.offer(source("192.0.2.9"), now),
            Offer::None("all")
        ));
        let fourth = places.offer(source("192.0.2.9"), later);
        assert!(matches!(fourth, Offer::Instead(_)));
        let is_cut: Vec<_> = taken
            .iter()
            .map(|taken| taken.place.cut.is_cancelled())
            .collect();
        assert_eq!(is_cut, [false, true, false]);
        assert_eq!(places.count(), 3);
        drop(taken);
        assert_eq!(places.count(), 1, "a place is given back once");
    }

    #[test]
    fn a_full_source_makes_room_among_its_own() {
        let places = Places::new(Caps {
            all: 10,
            per_source: 1,
        });
        let now = Instant::now();
        let other = take(places.offer(source("192.0.2.1"), now));
        let own = take(places.offer(source("192.0.2.2"), now + SECOND));
        let newest = places.offer(source("192.0.2.2"), now + 3 * SECOND);
        assert!(matches!(newest, Offer::Instead(_)));
        assert!(own.place.cut.is_cancelled() && !other.place.cut.is_cancelled());
    }

    #[test]
    fn the_slow_are_cut_and_at_the_end_whoever_keeps_us_waiting() {
        let places = Places::new(Caps {
            all: 10,
            per_source: 10,
        });
        let now = Instant::now();
        let [idle, slow, served] = [(); 3].map(|()| take(places.offer(None, now)));
        slow.place.pace().begins(now);
        slow.place.pace().stalled(now);
        served.place.pace().begins(now);
        assert_eq!(places.cut_slow(now + 5 * SECOND), 0);
        assert_eq!(places.cut_slow(now + 11 * SECOND), 1);
        assert_eq!(places.cut_slow(now + 11 * SECOND), 0, "it is cut once");
        assert!(slow.place.cut.is_cancelled());
        assert_eq!(places.cut_waiting(2 * SECOND, now + 11 * SECOND), 1);
        assert!(idle.place.cut.is_cancelled() && !served.place.cut.is_cancelled());
    }
}
