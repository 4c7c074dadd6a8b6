//! Every algorithm is tried once at start: what the library cannot do shows then, and not at a person's sign-in.

use jsonwebtoken::crypto::aws_lc;
use serde_json::json;

use super::compact::JoseError;
use super::jwk_set::JwkSet;
use super::jws::{VerifyWith, verify};
use super::key::{Family, Head, InvalidKey, SigningKey, family};
use crate::domain::algorithm::SigningAlgorithm;

/// An RSA key that is used for this and for nothing else: making one would take a tenth of a second.
pub const PROOF_KEY: &[u8] = include_bytes!("proof.pem");

/// An algorithm does not work on this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tokens cannot be signed and verified with {algorithm} on this machine")]
pub struct Unproven {
    /// Which one.
    pub algorithm: &'static str,
}

/// Chooses the library's cryptography and signs and verifies a token with every algorithm. May be called again.
///
/// # Errors
///
/// [`Unproven`]: the process must not go on.
pub fn prove() -> Result<(), Unproven> {
    // An error says that it was chosen before.
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
    for algorithm in SigningAlgorithm::ALL {
        let works = works(algorithm).unwrap_or(false);
        let algorithm = algorithm.name();
        works.then_some(()).ok_or(Unproven { algorithm })?;
    }
    Ok(())
}

fn works(algorithm: SigningAlgorithm) -> Result<bool, InvalidKey> {
    const SECRET: &[u8] = b"a secret of this proof alone";
    let key = match family(algorithm) {
        Family::Rsa => SigningKey::from_pem(PROOF_KEY, algorithm),
        Family::Ec | Family::Ed => SigningKey::generate(algorithm),
        Family::Secret => SigningKey::from_secret(SECRET, algorithm),
    }?;
    let token = key.sign(Head::Kid, None, &json!({}))?;
    let keys = json!({"keys": [key.public_jwk()]}).to_string();
    let keys = JwkSet::parse(keys.as_bytes()).unwrap_or_default();
    let with = match algorithm.is_symmetric() {
        true => VerifyWith::Secret(SECRET),
        false => VerifyWith::Keys(&keys),
    };
    let forged = format!("{token}A");
    let is_refused = matches!(
        verify(&forged, algorithm, with),
        Err(JoseError::Signature | JoseError::Malformed)
    );
    Ok(verify(&token, algorithm, with).is_ok() && is_refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_works_and_may_be_proved_again() {
        assert_eq!(prove(), Ok(()));
        assert_eq!(prove(), Ok(()));
    }
}
