//! The one-time values and keys: made from 256 random bits, shown once, stored as digests.
//!
//! None of these types can be printed or serialized; [`expose`](LinkToken::expose) is the one way
//! to the text, and its callers are the places to review.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::id::{ClientId, Partition};
use super::random::{self, Random};

/// How many bytes of a digest may say where it is from, and how many characters of its written form
/// those are.
const ORIGIN: usize = 6;
/// See [`Digest::shares_origin`].
pub const ORIGIN_TEXT: usize = ORIGIN / 3 * 4;

/// SHA-256 of a secret, with the kind of secret as a label.
///
/// High-entropy values need neither salt nor a slow hash; the label keeps a digest of one kind
/// from being taken for another's.
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

    /// The same, with the first bytes of `origin` for its own: see [`Self::shares_origin`].
    pub fn with_origin_of(mut self, origin: &Digest) -> Self {
        self.0[..ORIGIN].copy_from_slice(&origin.0[..ORIGIN]);
        self
    }

    /// Whether two digests that carry their origin in their first bytes are of one origin. In the
    /// written form that is the first [`ORIGIN_TEXT`] characters.
    pub fn shares_origin(&self, other: &Digest) -> bool {
        self.0[..ORIGIN] == other.0[..ORIGIN]
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

fn random_text(random: &dyn Random) -> Zeroizing<String> {
    let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random::bytes(random));
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
}

fn is_random_text(text: &str) -> bool {
    text.len() == 43
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Defines a secret of the form `<prefix><partition, 2><random, 43>`.
macro_rules! partitioned_secret {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Zeroizing<String>);

        impl $name {
            /// Draws a new one for a user who lives in `partition`.
            pub fn new(random: &dyn Random, partition: Partition) -> Self {
                Self(Zeroizing::new(format!(concat!($prefix, "{}{}"), partition, *random_text(random))))
            }

            /// Reads one; `None` when the text cannot be one.
            pub fn parse(text: &str) -> Option<Self> {
                let rest = text.strip_prefix($prefix)?;
                let (partition, secret) = rest.split_at_checked(2)?;
                Partition::parse(partition)?;
                is_random_text(secret).then(|| Self(Zeroizing::new(text.to_owned())))
            }

            /// The partition its first characters name.
            pub fn partition(&self) -> Partition {
                let start = $prefix.len();
                Partition::parse(&self.0[start..start + 2]).expect("checked when it was made")
            }

            /// The text itself. Goes to its one holder and nowhere else.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }
    };
}

partitioned_secret!(
    /// What makes an `oauth_window_uri` a one-time link: `ow_`, two characters of partition and 43
    /// random ones.
    LinkToken, "ow_"
);
partitioned_secret!(
    /// The `state` of one authorization request (RFC 6749 section 4.1.1): two characters of
    /// partition and 43 random ones.
    AuthorizationState, ""
);
partitioned_secret!(
    /// A Nexus session of one user, as carried by `MD-SESSION-TOKEN`.
    SessionToken, "ogs_"
);
partitioned_secret!(
    /// The one-use SSO token that begins a Nexus session, as carried by `MD-API-TOKEN`.
    ApiToken, "oga_"
);

partitioned_secret!(
    /// Names an answer that came by POST, for the GET that follows it.
    AnswerHandle, "oah_"
);

impl AnswerHandle {
    /// What the store keeps.
    pub fn digest(&self) -> Digest {
        Digest(digest("answer", self.expose()))
    }
}

impl SessionToken {
    /// What the store keeps.
    pub fn digest(&self) -> Digest {
        Digest(digest("session", self.expose()))
    }
}

impl ApiToken {
    /// What the store keeps.
    pub fn digest(&self) -> Digest {
        Digest(digest("api token", self.expose()))
    }
}

/// What binds a browser to the attempt it began: the value of its cookie, 43 random characters.
#[derive(Clone)]
pub struct BindingSecret(Zeroizing<String>);

impl BindingSecret {
    /// Draws a new one.
    pub fn new(random: &dyn Random) -> Self {
        Self(random_text(random))
    }

    /// Reads a cookie's value; `None` when it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        is_random_text(text).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// What the store keeps.
    pub fn digest(&self) -> Digest {
        Digest(digest("binding", &self.0))
    }

    /// The text itself, for `Set-Cookie`.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A client's API key: `ogk_<key id, 8>_<43 random characters>`.
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    /// Draws a new key.
    pub fn new(random: &dyn Random) -> Self {
        let id: [u8; 6] = random::bytes(random);
        let id = URL_SAFE_NO_PAD.encode(id).replace('_', "-");
        Self(Zeroizing::new(format!("ogk_{id}_{}", *random_text(random))))
    }

    /// Reads a key; `None` when the text cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix("ogk_")?.split_at_checked(8)?;
        let id_is_sound = id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let secret_is_sound = secret.strip_prefix('_').is_some_and(is_random_text);
        (id_is_sound && secret_is_sound).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The part that names the key in listings; not secret.
    pub fn id(&self) -> &str {
        &self.0[4..12]
    }

    /// What the store keeps. The client is part of it: a key is of no use with another client's id.
    pub fn digest(&self, client: &ClientId) -> Digest {
        Digest(digest(&format!("api key {client}"), &self.0))
    }

    /// The text itself, shown once when the key is created.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_token_is_ow_then_partition_then_43_characters() {
        let secret = "A".repeat(43);
        assert!(LinkToken::parse(&format!("ow_07{secret}")).is_some());
        for wrong in [
            String::new(),
            format!("07{secret}"),
            format!("ow_17{secret}"),
            format!("ow_0G{secret}"),
            format!("ow_07{secret}A"),
            format!("ow_07{}", &secret[1..]),
            format!("ow_07{}é", &secret[2..]),
            "ow_0é".to_owned(),
        ] {
            assert!(LinkToken::parse(&wrong).is_none(), "{wrong:?} was accepted");
        }
    }

    #[test]
    fn kinds_of_secret_have_kinds_of_digest() {
        assert_ne!(digest("session", "x"), digest("binding", "x"));
        assert_ne!(digest("a", "bc"), digest("ab", "c"));
    }

    #[test]
    fn a_digest_survives_writing() {
        let digest = Digest(digest("binding", "x"));
        assert!(Digest::from_text(&digest.to_text()).is_some_and(|read| read.matches(&digest)));
        assert!(Digest::from_text("short").is_none());
    }
}
