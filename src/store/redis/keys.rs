//! Every key of the store, version 3.
//!
//! A key is a *base*, whose braces are a cluster's hash tag, and what comes behind it. All keys of one base are
//! in one slot, so one step may touch any of them. A partition's base is `{prefix}3{pNN}`, `NN` as in
//! [`Partition`]'s written form, a client's `{prefix}3{c:CLIENT}`, and the store's own `{prefix}3{s}`.
//!
//! | behind the base | type | what |
//! |---|---|---|
//! | a record's key ([`record`](crate::steps::record)) | string | its last commands, its form and what it leads to in one line; then the record, as JSON |
//! | a list's name ([`List`]) | sorted set | keys by a time |
//! | `Q` and a queue's letter | sorted set | the queue's lines, by when the first of each is due |
//! | `S` and a queue's letter | sorted set | the queue's lines, by when each was last served |
//! | `Q…:` and a line | sorted set | keys by when they are due |
//! | `H…:` and a line | sorted set | those of them that somebody holds, by until when |
//!
//! Some keys have a time to live. It only deletes them; every decision compares stored times with the caller's
//! `now`.

use crate::domain::id::Partition;
use crate::steps::record::{Key, List, Queue, Slot};

/// The version of what is written here.
pub(super) const VERSION: u32 = 3;

/// The bases of all keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys that begin with `prefix`. It must not contain braces, which would take the hash tag's
    /// place.
    pub(super) fn new(prefix: &str) -> Option<Self> {
        let is_sound = !prefix.contains(['{', '}']);
        is_sound.then(|| Self {
            prefix: prefix.to_owned(),
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

    /// The base of a slot.
    pub(super) fn base(&self, slot: &Slot) -> String {
        let prefix = &self.prefix;
        match slot {
            Slot::Partition(partition) => format!("{prefix}{VERSION}{{p{partition}}}"),
            Slot::Client(client) => format!("{prefix}{VERSION}{{c:{client}}}"),
        }
    }

    /// The base of what concerns the store itself.
    pub(super) fn store(&self) -> String {
        format!("{}{VERSION}{{s}}", self.prefix)
    }

    /// A record's key.
    pub(super) fn record(&self, slot: &Slot, key: &Key) -> String {
        format!("{}{}", self.base(slot), key.as_str())
    }

    /// A list.
    pub(super) fn list(&self, slot: &Slot, list: &List) -> String {
        format!("{}{}", self.base(slot), list.name())
    }

    /// The lines of a queue.
    pub(super) fn lines(&self, slot: &Slot, queue: Queue) -> String {
        format!("{}Q{}", self.base(slot), queue.as_str())
    }

    /// When the lines of a queue were served.
    pub(super) fn served(&self, slot: &Slot, queue: Queue) -> String {
        format!("{}S{}", self.base(slot), queue.as_str())
    }

    /// What comes before the name of a line of what is due.
    pub(super) fn due(&self, slot: &Slot, queue: Queue) -> String {
        format!("{}Q{}:", self.base(slot), queue.as_str())
    }

    /// What comes before the name of a line of what is held.
    pub(super) fn held(&self, slot: &Slot, queue: Queue) -> String {
        format!("{}H{}:", self.base(slot), queue.as_str())
    }
}

/// The slots that hold what is due.
pub(super) fn partitions() -> Vec<Slot> {
    Partition::all().map(Slot::Partition).collect()
}
