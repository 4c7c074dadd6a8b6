//! A signed token is verified.

use jsonwebtoken::{DecodingKey, crypto};
use zeroize::Zeroizing;

use super::compact::{JoseError, decoded, header, parts};
use super::jwk_set::JwkSet;
use super::key::native;
use crate::domain::algorithm::SigningAlgorithm;

/// How many keys of the same name are tried.
const MOST_TRIED: usize = 8;

/// What a signature is verified with.
#[derive(Clone, Copy)]
pub enum VerifyWith<'a> {
    /// The public keys of whoever signed.
    Keys(&'a JwkSet),
    /// The secret that both sides have.
    Secret(&'a [u8]),
}

/// Verifies a token of that one algorithm, whatever its header would like, and returns its payload: of a JWT the claims,
/// which nobody has judged yet.
///
/// # Errors
///
/// [`JoseError`]. [`JoseError::UnknownKey`] may be mended by keys that are newer than these.
pub fn verify(
    token: &str,
    algorithm: SigningAlgorithm,
    with: VerifyWith<'_>,
) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let [head, payload, signature] = parts(token)?;
    let header = header(head)?;
    if header.alg != algorithm.name() {
        return Err(JoseError::Algorithm("alg"));
    }
    decoded(signature)?;
    let signed = &token.as_bytes()[..head.len() + 1 + payload.len()];
    let is_by = |key: &DecodingKey| {
        crypto::verify(signature, signed, key, native(algorithm)).unwrap_or(false)
    };
    let is_genuine = match with {
        VerifyWith::Secret(secret) if algorithm.is_symmetric() => {
            is_by(&DecodingKey::from_secret(secret))
        }
        VerifyWith::Keys(keys) if !algorithm.is_symmetric() => {
            let candidates = keys.candidates(header.kid.as_deref(), algorithm);
            if candidates.is_empty() {
                return Err(JoseError::UnknownKey);
            }
            candidates.into_iter().take(MOST_TRIED).any(is_by)
        }
        // A public key is never taken for a secret, nor the other way round.
        VerifyWith::Secret(_) | VerifyWith::Keys(_) => return Err(JoseError::UnknownKey),
    };
    match is_genuine {
        true => decoded(payload),
        false => Err(JoseError::Signature),
    }
}

/// The payload of a signed token that nobody has verified: it says what the token claims, and proves nothing.
///
/// # Errors
///
/// [`JoseError::Malformed`], [`JoseError::TooLong`].
pub fn payload(token: &str) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let [_, payload, _] = parts(token)?;
    decoded(payload)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::super::key::{Family, Head, SigningKey, family};
    use super::super::proof::PROOF_KEY;
    use super::*;

    fn key(algorithm: SigningAlgorithm) -> SigningKey {
        match family(algorithm) {
            Family::Rsa => SigningKey::from_pem(PROOF_KEY, algorithm),
            Family::Secret => SigningKey::from_secret(b"secret", algorithm),
            Family::Ec | Family::Ed => SigningKey::generate(algorithm),
        }
        .unwrap()
    }

    fn set(keys: &[&SigningKey]) -> JwkSet {
        let keys: Vec<Value> = keys.iter().map(|key| key.public_jwk()).collect();
        JwkSet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn token(key: &SigningKey) -> String {
        key.sign(Head::Kid, None, &json!({"sub": "ada"})).unwrap()
    }

    const ES256: SigningAlgorithm = SigningAlgorithm::ES256;

    #[test]
    fn i3_a_token_is_verified_by_the_registered_algorithm_alone() {
        for algorithm in SigningAlgorithm::ALL {
            let key = key(algorithm);
            let token = token(&key);
            let keys = set(&[&key]);
            let with = match algorithm.is_symmetric() {
                true => VerifyWith::Secret(b"secret"),
                false => VerifyWith::Keys(&keys),
            };
            let payload = verify(&token, algorithm, with).unwrap();
            assert_eq!(payload.as_slice(), br#"{"sub":"ada"}"#);
            for other in SigningAlgorithm::ALL {
                if other != algorithm {
                    let refused = verify(&token, other, with).err();
                    assert_eq!(refused, Some(JoseError::Algorithm("alg")), "{other:?}");
                }
            }
        }
    }

    #[test]
    fn i3_none_and_a_public_key_as_secret_are_refused() {
        let rsa = key(SigningAlgorithm::RS256);
        let keys = set(&[&rsa]);
        let head = |alg: &str| URL_SAFE_NO_PAD.encode(json!({ "alg": alg }).to_string());
        let payload = URL_SAFE_NO_PAD.encode("{}");
        for alg in ["none", "None", "NONE", ""] {
            let unsigned = format!("{}.{payload}.", head(alg));
            for algorithm in SigningAlgorithm::ALL {
                let refused = verify(&unsigned, algorithm, VerifyWith::Keys(&keys)).err();
                assert_eq!(refused, Some(JoseError::Algorithm("alg")));
            }
        }
        let public = rsa.public_jwk().to_string();
        let forged = SigningKey::from_secret(public.as_bytes(), SigningAlgorithm::HS256).unwrap();
        let forged = token(&forged);
        let refused = verify(&forged, SigningAlgorithm::HS256, VerifyWith::Keys(&keys)).err();
        assert_eq!(refused, Some(JoseError::UnknownKey));
        let with = VerifyWith::Secret(b"secret");
        let refused = verify(&token(&rsa), SigningAlgorithm::RS256, with).err();
        assert_eq!(refused, Some(JoseError::UnknownKey));
    }

    #[test]
    fn i3_each_changed_part_is_refused() {
        let key = key(ES256);
        let keys = set(&[&key]);
        let token = token(&key);
        let [head, payload, signature] = parts(&token).unwrap();
        let other = URL_SAFE_NO_PAD.encode(r#"{"sub":"eve"}"#);
        let changed = format!("{head}.{other}.{signature}");
        let verified = |token: &str| verify(token, ES256, VerifyWith::Keys(&keys)).err();
        assert_eq!(verified(&changed), Some(JoseError::Signature));
        let zeroes = "A".repeat(signature.len());
        let changed = format!("{head}.{payload}.{zeroes}");
        assert_eq!(verified(&changed), Some(JoseError::Signature));
        let cut = format!("{head}.{payload}.");
        assert_eq!(verified(&cut), Some(JoseError::Signature));
        assert_eq!(verified(&token), None);
    }

    #[test]
    fn i6_a_decoy_of_the_same_name_does_not_hide_the_key() {
        let key = key(ES256);
        let mut decoy = SigningKey::generate(ES256).unwrap().public_jwk();
        decoy["kid"] = json!(key.thumbprint());
        let keys = json!({"keys": [decoy, key.public_jwk()]}).to_string();
        let keys = JwkSet::parse(keys.as_bytes()).unwrap();
        assert!(verify(&token(&key), ES256, VerifyWith::Keys(&keys)).is_ok());
        let other = SigningKey::generate(ES256).unwrap();
        let refused = verify(&token(&other), ES256, VerifyWith::Keys(&keys)).err();
        assert_eq!(refused, Some(JoseError::UnknownKey));
    }

    #[test]
    fn the_standards_own_examples_are_verified() {
        // RFC 7515 appendix A.1 (HS256) and RFC 8037 appendix A.4 and A.5 (Ed25519).
        let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let secret = URL_SAFE_NO_PAD.decode(secret).unwrap();
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
                     .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
                     .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let with = VerifyWith::Secret(&secret);
        assert!(verify(token, SigningAlgorithm::HS256, with).is_ok());
        let keys = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let keys = JwkSet::parse(keys).unwrap();
        let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc\
                     .hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let payload = verify(token, SigningAlgorithm::EdDSA, VerifyWith::Keys(&keys)).unwrap();
        assert_eq!(payload.as_slice(), b"Example of Ed25519 signing");
        // RFC 7515 appendix A.3 (ES256).
        let keys = br#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
        let keys = JwkSet::parse(keys).unwrap();
        let token = "eyJhbGciOiJFUzI1NiJ9\
                     .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
                     .DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        assert!(verify(token, ES256, VerifyWith::Keys(&keys)).is_ok());
    }
}
