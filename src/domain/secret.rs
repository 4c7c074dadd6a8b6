//! One-time values and keys: made from 256 random bits, shown once, stored as digests.
//!
//! None of these types can be printed or serialized; only [`expose`](LinkToken::expose) gives the text,
//! so its callers are the places to review.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::digest::digest;
use super::id::{AttemptId, ClientId, OauthStateGuid, Partition};
use super::random::{self, Random};

pub use super::digest::{Digest, ORIGIN_TEXT};

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
            /// Draws a new one for a user in `partition`.
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

            /// The text itself. It is sent only to the one who is to hold it.
            pub fn expose(&self) -> &str {
                &self.0
            }
        }
    };
}

partitioned_secret!(
    /// The secret part of an `oauth_window_uri`: `ow_`, two characters of partition and 43 random ones.
    LinkToken, "ow_"
);
partitioned_secret!(
    /// The `state` of one authorization request (RFC 6749 section 4.1.1): two characters of
    /// partition and 43 random ones.
    AuthorizationState, ""
);
impl OauthStateGuid {
    /// The OAuth state of the window that `token` opens.
    ///
    /// It is made from the token by a one-way function (a version 8 UUID made of its SHA-256), so the
    /// store finds a window from its link without keeping the link or a second index.
    pub fn of(token: &LinkToken) -> Self {
        Self::of_image(&digest("window", token.expose()), token.partition())
    }
}

impl AttemptId {
    /// The attempt that `state` belongs to.
    pub fn of(state: &AuthorizationState) -> Self {
        Self::of_image(&digest("attempt", state.expose()), state.partition())
    }
}

partitioned_secret!(
    /// A Nexus session of one user, sent in `MD-SESSION-TOKEN`.
    SessionToken, "ogs_"
);
partitioned_secret!(
    /// The SSO token that starts a Nexus session and works once, sent in `MD-API-TOKEN`.
    ApiToken, "oga_"
);

partitioned_secret!(
    /// The handle of an authorization response that came by POST, for the GET that follows it.
    ResponseHandle, "oah_"
);

impl ResponseHandle {
    /// What the store keeps.
    pub fn digest(&self) -> Digest {
        Digest::of("answer", self.expose())
    }
}

partitioned_secret!(
    /// What a member service confirms an authorization with: `och_`, two characters of partition and 43 random ones.
    /// It works once, and only together with the client's API key or a session.
    CompletionHandle, "och_"
);

impl CompletionHandle {
    /// What the store finds it by.
    pub fn digest(&self) -> Digest {
        Digest::of("completion", self.expose())
    }
}

impl SessionToken {
    /// What the store keeps.
    pub fn digest(&self) -> Digest {
        Digest::of("session", self.expose())
    }
}

impl ApiToken {
    /// What the store keeps.
    pub fn digest(&self) -> Digest {
        Digest::of("api token", self.expose())
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
        Digest::of("binding", &self.0)
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

    /// What the store keeps: a digest that includes the client, so a key does not work with another
    /// client's id.
    pub fn digest(&self, client: &ClientId) -> Digest {
        Digest::of(&format!("api key {client}"), &self.0)
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
}
