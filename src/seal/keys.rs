//! The keys that wrap data keys, and the ring they are chosen from.

use std::collections::BTreeMap;

use aws_lc_rs::key_wrap::{AES_256, AesKek};
use aws_lc_rs::{hkdf, hmac};
use zeroize::Zeroizing;

use crate::domain::secret::Digest;

const KEY_LENGTH: usize = 32;

/// How many characters a key's id may have.
pub const KEY_ID_LIMIT: usize = 32;

/// One key-encryption key.
pub struct SealKey {
    id: String,
    key: Zeroizing<[u8; KEY_LENGTH]>,
}

impl SealKey {
    /// A key of 32 random bytes under an id of 1 to 32 letters, digits, `-` or `_`. The id is written
    /// into every envelope, so it must stay with the key for as long as the key is kept.
    pub fn new(id: &str, key: &[u8]) -> Result<Self, KeyRingError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if id.is_empty() || id.len() > KEY_ID_LIMIT || !id.bytes().all(allowed) {
            return Err(KeyRingError::Id(id.to_owned()));
        }
        let bytes: [u8; KEY_LENGTH] = key
            .try_into()
            .map_err(|_| KeyRingError::Length(id.to_owned(), key.len()))?;
        Ok(Self {
            id: id.to_owned(),
            key: Zeroizing::new(bytes),
        })
    }
}

/// Why keys cannot make a ring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// The id is not 1 to 32 letters, digits, `-` or `_`.
    #[error("the seal key id {0:?} must be 1 to 32 letters, digits, '-' or '_'")]
    Id(String),
    /// The key is not 32 bytes long.
    #[error("the seal key {0:?} has {1} bytes and must have 32")]
    Length(String, usize),
    /// Two keys have the same id.
    #[error("there are two seal keys with the id {0:?}")]
    Twice(String),
}

/// The key-encryption keys: one seals, all can open. The key is chosen by the id in the envelope, never
/// by trial.
pub struct KeyRing {
    active: String,
    oldest: String,
    keys: BTreeMap<String, Zeroizing<[u8; KEY_LENGTH]>>,
}

impl KeyRing {
    /// `active` seals from now on; `older` keys open what they sealed before.
    pub fn new(
        active: SealKey,
        older: impl IntoIterator<Item = SealKey>,
    ) -> Result<Self, KeyRingError> {
        let mut ring = Self {
            active: active.id.clone(),
            oldest: active.id.clone(),
            keys: BTreeMap::from([(active.id, active.key)]),
        };
        for SealKey { id, key } in older {
            if ring.keys.contains_key(&id) {
                return Err(KeyRingError::Twice(id));
            }
            ring.oldest.clone_from(&id);
            ring.keys.insert(id, key);
        }
        Ok(ring)
    }

    /// The id of the key that seals.
    pub(super) fn active(&self) -> &str {
        &self.active
    }

    /// A key for keyed digests from each key of the ring, the active one's first. It is derived
    /// (HKDF-SHA-256), so that no key serves two purposes.
    pub(super) fn digest_keys(&self) -> impl Iterator<Item = hmac::Key> {
        let older = self.keys.keys().filter(|id| **id != self.active);
        let ids = std::iter::once(&self.active).chain(older);
        ids.map(|id| digest_key(&self.keys[id]))
    }

    /// The one of [`Self::digest_keys`] that is made from the last key of the list: adding a key does not
    /// change it.
    pub(super) fn oldest_digest_key(&self) -> hmac::Key {
        digest_key(&self.keys[&self.oldest])
    }

    /// The id of every key, and a digest that tells the key from any other and does not reveal it.
    pub fn identities(&self) -> Vec<(String, Digest)> {
        let each = self.keys.iter();
        each.map(|(id, key)| {
            let identity = super::keyed(&digest_key(key), "identity", &[id.as_bytes()]);
            (id.clone(), identity)
        })
        .collect()
    }

    /// The key of that id.
    pub(super) fn key(&self, id: &str) -> Option<AesKek> {
        let key = self.keys.get(id)?;
        Some(AesKek::new(&AES_256, &**key).expect("a ring's keys have 32 bytes"))
    }
}

fn digest_key(key: &[u8; KEY_LENGTH]) -> hmac::Key {
    let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"guichet").extract(key);
    let derived = extracted
        .expand(&[b"digests"], hmac::HMAC_SHA256)
        .expect("32 bytes are within HKDF's limit");
    hmac::Key::from(derived)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_make_no_ring_are_named() {
        let id = |text: &str| KeyRingError::Id(text.to_owned());
        for wrong in ["", "k 1", "ключ", &"k".repeat(33)] {
            assert_eq!(SealKey::new(wrong, &[1; 32]).err(), Some(id(wrong)));
        }
        assert_eq!(
            SealKey::new("k1", &[1; 31]).err(),
            Some(KeyRingError::Length("k1".to_owned(), 31))
        );
        let key = |byte| SealKey::new("k1", &[byte; 32]).unwrap();
        let twice = KeyRing::new(key(1), [key(2)]).err();
        assert_eq!(twice, Some(KeyRingError::Twice("k1".to_owned())));
    }
}
