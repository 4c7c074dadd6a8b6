//! Digests of secrets: only these are stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How many bytes of a digest may name its origin, and how many characters of its written form these are.
const ORIGIN: usize = 6;
/// See [`Digest::shares_origin`].
pub const ORIGIN_TEXT: usize = ORIGIN / 3 * 4;

/// SHA-256 of a secret, with the kind of secret as a label.
///
/// High-entropy values need neither salt nor a slow hash; the label makes digests of different kinds
/// different.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `content`, labelled with its `kind`.
    pub fn of(kind: &str, content: &str) -> Self {
        Self(digest(kind, content))
    }

    /// A digest that was made elsewhere, such as a keyed one.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The same, with its first bytes replaced by those of `origin`: see [`Self::shares_origin`].
    pub fn with_origin_of(mut self, origin: &Digest) -> Self {
        self.0[..ORIGIN].copy_from_slice(&origin.0[..ORIGIN]);
        self
    }

    /// Whether two digests that have their origin in their first bytes have the same origin. In the
    /// written form that is the first [`ORIGIN_TEXT`] characters.
    pub fn shares_origin(&self, other: &Digest) -> bool {
        self.0[..ORIGIN] == other.0[..ORIGIN]
    }

    /// Its first 64 bits, as a number.
    pub fn number(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(first)
    }

    /// The 43 characters a store keeps.
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads what [`Self::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Compares in time that does not depend on where the digests differ.
    pub fn matches(&self, other: &Digest) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| serde::de::Error::custom("expected a digest"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(…)")
    }
}

pub(super) fn digest(kind: &str, secret: &str) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    context.update(kind.as_bytes());
    context.update(b"\0");
    context.update(secret.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_secret_have_kinds_of_digest() {
        assert_ne!(digest("session", "x"), digest("binding", "x"));
        assert_ne!(digest("a", "bc"), digest("ab", "c"));
    }

    #[test]
    fn a_digest_survives_writing() {
        let digest = Digest::of("binding", "x");
        assert!(Digest::from_text(&digest.to_text()).is_some_and(|read| read.matches(&digest)));
        assert!(Digest::from_text("short").is_none());
    }
}
