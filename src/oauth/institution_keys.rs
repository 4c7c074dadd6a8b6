//! A token is proved to be the institution's, by the keys that it publishes.

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::OAuthClient;
use super::jwks::KeysError;
use super::registered::Registered;
use crate::domain::algorithm::SigningAlgorithm;
use crate::jose::{JoseError, JwkSet, VerifyWith, verify};

/// Why a token is not proved. None of these holds anything of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The institution's keys are not known.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// None of them made it.
    #[error(transparent)]
    Token(#[from] JoseError),
}

impl OAuthClient {
    /// The content of a token that is signed by the institution with that algorithm. If its key is not known, the keys
    /// are asked for anew, as often as they may be.
    pub(super) async fn proved(
        &self,
        at: Registered<'_>,
        token: &str,
        algorithm: SigningAlgorithm,
    ) -> Result<Zeroizing<Vec<u8>>, ProofError> {
        let by = |keys: &JwkSet| verify(token, algorithm, VerifyWith::Keys(keys));
        let keys = self.keys(at.oauth, Instant::now(), |keys| {
            by(keys.set()).err() != Some(JoseError::UnknownKey)
        });
        Ok(by(keys.await?.set())?)
    }
}
