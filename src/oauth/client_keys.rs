//! The private keys of registrations: those that sign for them, and those that tokens for them are encrypted to.

use std::collections::HashMap;

use url::Url;

use super::registered::Registered;
use crate::domain::algorithm::SigningAlgorithm;
use crate::jose::{DecryptionKey, SigningKey};

/// The keys of all registrations, by redirect URI: no two registrations have the same.
#[derive(Default)]
pub struct ClientKeys(HashMap<Url, RegistrationKeys>);

/// Those of one registration.
#[derive(Default)]
pub struct RegistrationKeys {
    /// The active one first.
    pub signing: Vec<SigningKey>,
    /// Any of them may be used.
    pub decryption: Vec<DecryptionKey>,
}

impl ClientKeys {
    /// The key that signs for the registration with that algorithm.
    pub(super) fn signing(
        &self,
        at: Registered<'_>,
        algorithm: SigningAlgorithm,
    ) -> Option<&SigningKey> {
        let keys = self.0.get(&at.registration.redirect_uri)?;
        keys.signing.iter().find(|key| key.algorithm() == algorithm)
    }

    /// The keys that tokens for the registration are decrypted with.
    pub(super) fn decryption(&self, at: Registered<'_>) -> &[DecryptionKey] {
        let keys = self.0.get(&at.registration.redirect_uri);
        keys.map_or(&[], |keys| &keys.decryption)
    }
}

impl FromIterator<(Url, RegistrationKeys)> for ClientKeys {
    fn from_iter<T: IntoIterator<Item = (Url, RegistrationKeys)>>(keys: T) -> Self {
        Self(keys.into_iter().collect())
    }
}
