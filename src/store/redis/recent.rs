//! The records that this process read or wrote last.
//!
//! A step nearly always follows another that has just read or written the same records, so it is tried on
//! what was seen then, without reading. That is safe, because `apply` compares all of it with what is there.
//! Where a step would change nothing, or is refused, its records are read.
//!
//! Two generations of bounded size: what is used moves into the younger, and the older is dropped when
//! that is full.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use crate::steps::record::Key;
use crate::store::plan::Read;

/// How many records a generation has: together what a few hundred people at once need, in 2 MiB.
const GENERATION: usize = 512;

/// The kinds of records that a flow and its deliveries read again and again.
const KINDS: &str = "umwaje";

/// Records as they were seen last.
#[derive(Default)]
pub(super) struct Recent(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<Key, Read>,
    old: HashMap<Key, Read>,
}

impl Recent {
    /// Remembers what was read or written.
    pub(super) fn see(&self, seen: impl IntoIterator<Item = Read>) {
        let mut generations = self.generations();
        for read in seen {
            if read.record.is_none() {
                generations.forget(&read.key);
            } else if KINDS.contains(read.key.kind()) {
                generations.keep(read);
            }
        }
    }

    /// Forgets what turned out to be no longer so.
    pub(super) fn forget<'a>(&self, keys: impl IntoIterator<Item = &'a Key>) {
        let mut generations = self.generations();
        keys.into_iter().for_each(|key| generations.forget(key));
    }

    /// What was seen last under that key, if it is remembered.
    pub(super) fn recall(&self, key: &Key) -> Option<Read> {
        let mut generations = self.generations();
        if let Some(read) = generations.young.get(key) {
            return Some(read.clone());
        }
        let read = generations.old.remove(key)?;
        generations.keep(read.clone());
        Some(read)
    }

    fn generations(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generations {
    fn keep(&mut self, read: Read) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&read.key) {
            self.old = mem::take(&mut self.young);
        }
        self.old.remove(&read.key);
        self.young.insert(read.key.clone(), read);
    }

    fn forget(&mut self, key: &Key) {
        self.young.remove(key);
        self.old.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::steps::record::SessionsEnded;

    fn anything(key: String) -> Read {
        Read {
            record: Some(Arc::new(SessionsEnded::default().into())),
            commands: "command-one".to_owned(),
            ..Read::nothing(Key::parse(&key).expect("a key"))
        }
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes_in_time() {
        let recent = Recent::default();
        let used = Key::parse("m-used").expect("a key");
        recent.see([
            anything("m-used".to_owned()),
            anything("m-unused".to_owned()),
        ]);
        for number in 0..3 * GENERATION {
            recent.see([anything(format!("w{number}"))]);
            assert!(recent.recall(&used).is_some(), "after {number}");
        }
        assert!(
            recent
                .recall(&Key::parse("m-unused").expect("a key"))
                .is_none()
        );
        let kept = recent.generations();
        assert!(kept.young.len() <= GENERATION && kept.old.len() <= GENERATION);
    }

    #[test]
    fn what_is_gone_and_kinds_that_nothing_comes_back_to_are_not_kept() {
        let recent = Recent::default();
        let member = Key::parse("m1").expect("a key");
        recent.see([anything("m1".to_owned())]);
        recent.see([Read::nothing(member.clone())]);
        assert!(recent.recall(&member).is_none());
        for secret in ["g1", "h1", "s1", "t1", "k1", "i1", "n1"] {
            recent.see([anything(secret.to_owned())]);
            assert!(recent.recall(&Key::parse(secret).expect("a key")).is_none());
        }
    }
}
