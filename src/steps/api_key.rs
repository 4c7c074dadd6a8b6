//! API keys.
//!
//! - At most two of a client's keys work: one in use, and its successor.
//! - A key is retired once, and its id is never given to another.

use jiff::Timestamp;

use super::record::{Changes, KeptApiKey, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::ClientId;
use crate::domain::secret::Digest;

/// How many keys of a client may work.
const WORKING: usize = 2;

/// An API key as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// The key's id: the readable part of the key.
    pub id: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was retired; `None`: it works.
    pub retired_at: Option<Timestamp>,
}

/// How an attempt to add an API key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAddition {
    /// The key works.
    Added,
    /// The client already has two active keys: one must be retired first.
    TooMany,
    /// Another key has this id: draw a new one.
    IdTaken,
}

/// A key about to be added.
#[derive(Clone, Debug)]
pub struct NewApiKey {
    /// The tenant.
    pub client: ClientId,
    /// Its readable part.
    pub id: String,
    /// The digest of the whole.
    pub digest: Digest,
}

impl Step for NewApiKey {
    type Outcome = KeyAddition;

    fn slot(&self) -> Slot {
        Slot::Client(self.client.clone())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::api_keys(&self.client)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (KeyAddition, Changes) {
        let mut kept = view.api_keys(&self.client).cloned().unwrap_or_default();
        if let Some(known) = kept.keys.iter().find(|key| key.id == self.id) {
            // The same addition, sent again because the reply was lost.
            let is_same = known.digest.matches(&self.digest) && known.retired_at.is_none();
            return unchanged(match is_same {
                true => KeyAddition::Added,
                false => KeyAddition::IdTaken,
            });
        }
        if kept
            .keys
            .iter()
            .filter(|key| key.retired_at.is_none())
            .count()
            >= WORKING
        {
            return unchanged(KeyAddition::TooMany);
        }
        kept.keys.push(KeptApiKey {
            id: self.id.clone(),
            digest: self.digest,
            created_at: now,
            retired_at: None,
        });
        let mut changes = Changes::default();
        changes.put(Key::api_keys(&self.client), kept);
        (KeyAddition::Added, changes)
    }
}

/// A key about to be retired.
#[derive(Clone, Debug)]
pub struct Retirement {
    /// The tenant.
    pub client: ClientId,
    /// Its readable part.
    pub id: String,
}

impl Step for Retirement {
    /// Whether the client had such a key that worked.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        Slot::Client(self.client.clone())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::api_keys(&self.client)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (bool, Changes) {
        let mut kept = view.api_keys(&self.client).cloned().unwrap_or_default();
        let works = |key: &&mut KeptApiKey| key.id == self.id && key.retired_at.is_none();
        let Some(key) = kept.keys.iter_mut().find(works) else {
            return unchanged(false);
        };
        key.retired_at = Some(now);
        let mut changes = Changes::default();
        changes.put(Key::api_keys(&self.client), kept);
        (true, changes)
    }
}
