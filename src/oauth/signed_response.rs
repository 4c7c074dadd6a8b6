//! What an institution signed for us: taken out of its token, decrypted first where that is registered.
//!
//! - Which algorithms count is what was registered at the institution, never what a token says of itself.
//! - Where encryption is registered, a token that is only signed is refused, and what is encrypted must be a signed token.
//! - Keys are those of the institution that the file pins, or the client secret. Where no key of those that are known fits, they
//!   are read anew, once: see [`key_cache`](super::key_cache).

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::OAuthClient;
use super::json::{JsonError, Members};
use super::key_cache::KeysError;
use super::registered::Registered;
use crate::domain::algorithm::{Encryption, SigningAlgorithm};
use crate::jose::{self, DecryptionKey, JoseError, JwkSet, OwnKeys, VerifyWith};

/// How a token is protected, as it is registered at the institution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// The one algorithm that it is signed with.
    pub signed: SigningAlgorithm,
    /// How it is encrypted around that; `None`: it is not.
    pub encrypted: Option<Encryption>,
}

/// What a token may be opened with.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    /// The institution's keys.
    pub institution: &'a JwkSet,
    /// The client secret.
    pub secret: Option<&'a [u8]>,
    /// Our keys that tokens are encrypted to.
    pub own: &'a [DecryptionKey],
}

/// Why a token is not one of the institution for us. None of these holds anything of its content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignedResponseError {
    /// It is signed only, though encryption is registered.
    #[error("it is not encrypted, though that is registered")]
    NotEncrypted,
    /// It cannot be verified or decrypted.
    #[error(transparent)]
    Jose(#[from] JoseError),
    /// The institution's keys are not known.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// What was signed is no JSON object to be relied on.
    #[error("its claims cannot be relied on: {0}")]
    Claims(#[from] JsonError),
}

/// The claims in a token that the institution signed; nobody has judged them yet.
///
/// # Errors
///
/// [`SignedResponseError`]. [`JoseError::UnknownKey`] may be mended by newer keys of the institution.
pub fn open(
    token: &str,
    protection: Protection,
    keys: Keys<'_>,
) -> Result<Members, SignedResponseError> {
    let claims = match protection.encrypted {
        None => verified(token, protection.signed, keys)?,
        Some(_) if token.split('.').count() == 3 => return Err(SignedResponseError::NotEncrypted),
        Some(registered) => {
            let inner = jose::decrypt(token, registered, keys.own)?;
            let inner = std::str::from_utf8(&inner).map_err(|_| JoseError::Malformed)?;
            verified(inner, protection.signed, keys)?
        }
    };
    let (members, sound) = Members::read(&claims);
    sound?;
    Ok(members)
}

fn verified(
    token: &str,
    algorithm: SigningAlgorithm,
    keys: Keys<'_>,
) -> Result<zeroize::Zeroizing<Vec<u8>>, JoseError> {
    let with = match keys.secret.filter(|_| algorithm.is_symmetric()) {
        Some(secret) => VerifyWith::Secret(secret),
        None => VerifyWith::Keys(keys.institution),
    };
    jose::verify(token, algorithm, with)
}

/// The same as [`Keys`], as they are known of a registration.
pub struct KnownKeys {
    institution: Arc<JwkSet>,
    secret: Option<SecretString>,
    own: Option<Arc<OwnKeys>>,
}

impl KnownKeys {
    /// Them.
    pub fn keys(&self) -> Keys<'_> {
        let secret = self.secret.as_ref();
        Keys {
            institution: &self.institution,
            secret: secret.map(|secret| secret.expose_secret().as_bytes()),
            own: self.own.as_deref().map_or(&[], OwnKeys::decryption),
        }
    }
}

impl OAuthClient {
    /// What that token may be opened with. The institution's keys are read anew if none of those that are known fits.
    ///
    /// # Errors
    ///
    /// The institution's keys cannot be read.
    pub(super) async fn keys_for(
        &self,
        at: Registered<'_>,
        token: &str,
        protection: Protection,
    ) -> Result<KnownKeys, KeysError> {
        let secret = at.registration.client_authentication.client_secret();
        let mut known = KnownKeys {
            institution: Arc::default(),
            secret: secret.cloned(),
            own: self.client_keys.of(at.registration).ok(),
        };
        if !protection.signed.is_symmetric() {
            let is_enough = |institution: &JwkSet| {
                let keys = Keys {
                    institution,
                    ..known.keys()
                };
                let unknown = SignedResponseError::Jose(JoseError::UnknownKey);
                open(token, protection, keys).err() != Some(unknown)
            };
            known.institution = self.keys(at.oauth, Instant::now(), is_enough).await?;
        }
        Ok(known)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::algorithm::{ContentEncryption, KeyManagement};
    use crate::jose::{Head, PROOF_KEY, SigningKey, encrypted_of};

    const ENCRYPTION: Encryption = Encryption {
        alg: KeyManagement::RsaOaep256,
        enc: ContentEncryption::A256Gcm,
    };

    const BOTH: Protection = Protection {
        signed: SigningAlgorithm::ES256,
        encrypted: Some(ENCRYPTION),
    };

    #[test]
    fn i7_where_encryption_is_registered_only_an_encrypted_signed_token_is_opened() {
        let key = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
        let signed = key.sign(Head::Kid, None, &json!({"sub": "ada"})).unwrap();
        let set = json!({ "keys": [key.public_jwk()] }).to_string();
        let own = [DecryptionKey::from_pem(PROOF_KEY, ENCRYPTION.alg).unwrap()];
        let keys = Keys {
            institution: &JwkSet::parse(set.as_bytes()).unwrap(),
            secret: Some(b"secret"),
            own: &own,
        };
        let opened = |token: &str, protection| open(token, protection, keys);
        let encrypted =
            |content: &[u8]| encrypted_of(content, ENCRYPTION, &own[0], json!({})).join(".");
        let token = encrypted(signed.as_bytes());
        let claims = opened(&token, BOTH).unwrap();
        assert_eq!(claims.text("sub").unwrap().as_str(), "ada");

        let plain = opened(&signed, BOTH).err();
        assert_eq!(plain, Some(SignedResponseError::NotEncrypted));
        let malformed = Some(SignedResponseError::Jose(JoseError::Malformed));
        for content in [&br#"{"sub":"ada"}"#[..], b"", b"\xff\xfe", token.as_bytes()] {
            assert_eq!(opened(&encrypted(content), BOTH).err(), malformed);
        }
        let unsigned = format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(r#"{"sub":"ada"}"#));
        let none = Some(SignedResponseError::Jose(JoseError::Algorithm("alg")));
        assert_eq!(opened(&encrypted(unsigned.as_bytes()), BOTH).err(), none);
        // What is encrypted and not registered to be is no signed token.
        let only_signed = Protection {
            encrypted: None,
            ..BOTH
        };
        assert_eq!(opened(&token, only_signed).err(), malformed);
        let other = Protection {
            encrypted: Some(Encryption {
                enc: ContentEncryption::A128Gcm,
                ..ENCRYPTION
            }),
            ..BOTH
        };
        let enc = Some(SignedResponseError::Jose(JoseError::Algorithm("enc")));
        assert_eq!(opened(&token, other).err(), enc);
    }

    fn b64(text: &str) -> String {
        use base64::Engine;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    }
}
