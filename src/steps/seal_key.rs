//! Seal keys.
//!
//! - What was kept under an id stays: a key that is changed under its id opens nothing that was sealed with the one
//!   before, so it is refused, and the id is never given to another.

use jiff::Timestamp;

use super::record::{Changes, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::secret::Digest;

/// The seal keys of a gateway that starts: each by its id, with the digest that tells it from any other.
#[derive(Clone, Debug)]
pub struct KnowSealKeys {
    /// The keys.
    pub keys: Vec<(String, Digest)>,
}

impl Step for KnowSealKeys {
    /// The ids under which the store knows other keys. If there are any, nothing is kept.
    type Outcome = Vec<String>;

    fn slot(&self) -> Slot {
        Slot::Store
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::seal_keys()])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> (Vec<String>, Changes) {
        let known = view.seal_keys().cloned().unwrap_or_default();
        let changed = known.changed(&self.keys);
        let mut all = known.clone();
        all.keys.extend(self.keys.iter().cloned());
        if !changed.is_empty() || all == known {
            return unchanged(changed);
        }
        let mut changes = Changes::default();
        changes.put(Key::seal_keys(), all);
        (Vec::new(), changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::record::Record;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn asked(keys: &[(&str, u8)]) -> KnowSealKeys {
        let key = |(id, byte): &(&str, u8)| ((*id).to_owned(), Digest::from_bytes([*byte; 32]));
        KnowSealKeys {
            keys: keys.iter().map(key).collect(),
        }
    }

    fn after(view: &View, keys: &[(&str, u8)]) -> View {
        let (changed, changes) = asked(keys).decide(view, NOW);
        assert!(changed.is_empty(), "{changed:?}");
        let kept = changes.records.into_iter();
        let kept: Vec<(Key, Record)> = kept.filter_map(|(key, it)| Some((key, it?))).collect();
        match kept.is_empty() {
            true => view.clone(),
            false => View::new(kept),
        }
    }

    #[test]
    fn a_key_that_is_changed_under_its_id_is_refused_whatever_comes_with_it() {
        let first = after(&View::default(), &[("2026", 1)]);
        for (keys, expected) in [
            (vec![("2026", 2)], vec!["2026"]),
            (vec![("2027", 3), ("2026", 2)], vec!["2026"]),
            (vec![("2026", 1)], vec![]),
        ] {
            let (changed, changes) = asked(&keys).decide(&first, NOW);
            assert_eq!(changed, expected);
            assert!(changes.is_empty(), "{changes:?}");
        }
    }

    #[test]
    fn an_id_stays_with_its_key_when_the_key_is_gone() {
        let first = after(&View::default(), &[("2026", 1)]);
        let both = after(&first, &[("2027", 2), ("2026", 1)]);
        let later = after(&both, &[("2027", 2)]);
        let (changed, _) = asked(&[("2027", 2), ("2026", 9)]).decide(&later, NOW);
        assert_eq!(changed, ["2026"]);
    }
}
