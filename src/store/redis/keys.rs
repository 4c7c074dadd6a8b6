//! Every key of the store, version 4.
//!
//! A key is a *base*, whose braces are a cluster's hash tag, and what comes behind it. All keys of one base are
//! in one slot, so one step may touch any of them. A partition's base is `{prefix}4{pNNx}`, `NN` as in
//! [`Partition`]'s written form, a client's `{prefix}4{c:CLIENT}`, and the store's own `{prefix}4{s}`.
//!
//! What stands for `x` is chosen such that the partitions' hash slots are spread evenly over all: partition `i`
//! of `n` is in the middle of the `i`-th of `n` parts. So the masters of a cluster have as many partitions each
//! as they have hash slots.
//!
//! | behind the base | type | what |
//! |---|---|---|
//! | a record's key ([`record`](crate::steps::record)) | string | its last commands, its form and what it leads to in one line; then the record, as JSON |
//! | a list's name ([`List`]) | sorted set | keys by a time |
//! | `Q` | sorted set | the lines of what is due, by when the first of each is |
//! | `Q:` and a line | sorted set | the line's entries, by when they are due; infinite: it waits behind another one |
//! | `O:`, a line, `/` and what they are behind | sorted set | those entries, in the order in which they came |
//! | `probe` | string | nothing; it is written to see whether writes are taken |
//! | `ack` | string | nothing; it is written where replicas have to acknowledge what was written before |
//!
//! Some keys have a time to live. It only deletes them; every decision compares stored times with the caller's
//! `now`.

use super::hash_slot::{HASH_SLOTS, hash_slot};
use crate::domain::id::{PARTITIONS, Partition};
use crate::steps::record::{Key, List, Slot};

/// The version of what is written here.
pub(super) const VERSION: u32 = 4;

/// The bases of all keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
    /// The base of each partition.
    partitions: Vec<String>,
}

impl Keys {
    /// Keys that begin with `prefix`. It must not contain braces, which would take the hash tag's
    /// place.
    pub(super) fn new(prefix: &str) -> Option<Self> {
        let is_sound = !prefix.contains(['{', '}']);
        is_sound.then(|| Self {
            prefix: prefix.to_owned(),
            partitions: Partition::all()
                .map(|partition| format!("{prefix}{VERSION}{{{}}}", tag(partition)))
                .collect(),
        })
    }

    /// What keys of a layout of that version match.
    pub(super) fn pattern(&self, version: u32) -> String {
        let mut pattern = String::new();
        for character in self.prefix.chars() {
            if "*?[]\\".contains(character) {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        format!("{pattern}{version}{{*")
    }

    /// What the records of those kinds match, and some other keys.
    pub(super) fn of_kinds(&self, kinds: &[char]) -> String {
        let kinds: String = kinds.iter().collect();
        format!("{}}}[{kinds}]*", self.pattern(VERSION))
    }

    /// The slot and the key of a record of a partition or a client, by its name here.
    pub(super) fn found(&self, name: &str) -> Option<(Slot, Key)> {
        let (base, key) = name.split_at(name.find('}')? + 1);
        let slot = match base.split_once("{c:") {
            Some((_, client)) => Slot::Client(client.trim_end_matches('}').parse().ok()?),
            None => {
                let mut all = self.partitions.iter().zip(partitions());
                all.find_map(|(its, slot)| (its == base).then_some(slot))?
            }
        };
        Some((slot, Key::parse(key)?))
    }

    /// The base of a slot.
    pub(super) fn base(&self, slot: &Slot) -> String {
        let prefix = &self.prefix;
        match slot {
            Slot::Partition(partition) => self.partitions[usize::from(partition.index())].clone(),
            Slot::Client(client) => format!("{prefix}{VERSION}{{c:{client}}}"),
            Slot::Store => self.store(),
        }
    }

    /// The base of what concerns the store itself.
    pub(super) fn store(&self) -> String {
        format!("{}{VERSION}{{s}}", self.prefix)
    }

    /// A key that nobody reads: it is written so that there is something to acknowledge.
    pub(super) fn mark(&self, slot: &Slot) -> String {
        format!("{}ack", self.base(slot))
    }

    /// A record's key.
    pub(super) fn record(&self, slot: &Slot, key: &Key) -> String {
        format!("{}{}", self.base(slot), key.as_str())
    }

    /// A list.
    pub(super) fn list(&self, slot: &Slot, list: &List) -> String {
        format!("{}{}", self.base(slot), list.name())
    }

    /// The lines of what is due.
    pub(super) fn lines(&self, slot: &Slot) -> String {
        format!("{}Q", self.base(slot))
    }

    /// What waits in a line.
    pub(super) fn due(&self, slot: &Slot, line: &str) -> String {
        format!("{}Q:{line}", self.base(slot))
    }

    /// What waits in a line behind the same.
    pub(super) fn behind(&self, slot: &Slot, line: &str, behind: &str) -> String {
        format!("{}O:{line}/{behind}", self.base(slot))
    }
}

/// The hash tag of a partition: the first of its tags that is in the middle half of the partition's part of the
/// hash slots.
fn tag(partition: Partition) -> String {
    let part = HASH_SLOTS / u16::from(PARTITIONS);
    let begin = part * u16::from(partition.index()) + part / 4;
    let is_in_the_middle = |tag: &String| {
        let slot = hash_slot(tag.as_bytes());
        (begin..begin + part / 2).contains(&slot)
    };
    let mut tags = (0_u32..).map(|number| format!("p{partition}{number:x}"));
    tags.find(is_in_the_middle).unwrap_or_default()
}

/// The slots that hold what is due.
pub(super) fn partitions() -> Vec<Slot> {
    Partition::all().map(Slot::Partition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_spread_evenly_over_the_servers_of_a_cluster() {
        let keys = Keys::new("g:").expect("a prefix");
        for servers in [1, 2, 3, 4, 6, 8, 16] {
            let mut partitions = vec![0_u16; servers];
            for slot in super::partitions() {
                let slot = usize::from(hash_slot(keys.base(&slot).as_bytes()));
                partitions[slot * servers / usize::from(HASH_SLOTS)] += 1;
            }
            let (least, most) = (partitions.iter().min(), partitions.iter().max());
            let (least, most) = (least.expect("one"), most.expect("one"));
            assert!(most - least <= 1, "{servers}: {partitions:?}");
        }
    }

    #[test]
    fn a_record_is_found_by_its_name() {
        let keys = Keys::new("g:").expect("a prefix");
        let record = Key::parse("i-one").expect("a key");
        let client = Slot::Client("acme".parse().expect("a client"));
        for slot in super::partitions().into_iter().chain([client]) {
            let name = keys.record(&slot, &record);
            assert_eq!(keys.found(&name), Some((slot, record.clone())));
        }
        for other in ["g:4{p00}", "g:4{p99x}m1", "g:4{s}v", "else"] {
            assert_eq!(keys.found(other), None, "{other}");
        }
        assert_eq!(keys.of_kinds(&['g', 'w']), "g:4{*}[gw]*");
    }

    #[test]
    fn keys_of_one_base_are_in_one_hash_slot() {
        let keys = Keys::new("g:").expect("a prefix");
        for slot in super::partitions() {
            let base = keys.base(&slot);
            let record = keys.record(&slot, &Key::parse("m-one").expect("a key"));
            let line = keys.due(&slot, "d:acme/1");
            let home = hash_slot(base.as_bytes());
            assert_eq!(home, hash_slot(record.as_bytes()));
            assert_eq!(home, hash_slot(line.as_bytes()));
        }
    }
}
