//! Private keys of ours that sign.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::domain::algorithm::SigningAlgorithm;

/// A key that cannot be used. The text names the remedy, and nothing of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// It is no private key for that algorithm.
    #[error(
        "it is no private key for {0}; give one in PEM, as `openssl genpkey` writes it (PKCS #8)"
    )]
    Unfit(&'static str),
    /// It is no private key of a kind that signs here.
    #[error(
        "it is no private key of RSA (of at least 2048 bits), P-256, P-384 or Ed25519; give one in PEM, as `openssl genpkey` \
         writes it (PKCS #8)"
    )]
    UnknownKind,
    /// An RSA key of fewer than 2048 bits.
    #[error("it has fewer than 2048 bits; make a longer one")]
    Short,
    /// No key can be made for that algorithm here.
    #[error("no key can be made for {0}")]
    NotMade(&'static str),
}

/// A private key with its algorithm. Cannot be printed.
#[derive(Clone)]
pub struct SigningKey {
    algorithm: SigningAlgorithm,
    key: EncodingKey,
    /// The public key, without `kid`; none of a client secret.
    public: Value,
    thumbprint: String,
}

/// How a token says which key signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// By `kid`: the other side knows our keys.
    Kid,
    /// It carries the public key itself (RFC 9449 section 4.2).
    Jwk,
    /// Not at all: both sides know the one secret.
    Nothing,
}

impl SigningKey {
    /// The private key in `pem`. EC and Ed25519 keys are PKCS #8; RSA keys may be PKCS #1 as well.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`].
    pub fn from_pem(pem: &[u8], algorithm: SigningAlgorithm) -> Result<Self, InvalidKey> {
        let key = match family(algorithm) {
            Family::Rsa => EncodingKey::from_rsa_pem(pem),
            Family::Ec => EncodingKey::from_ec_pem(pem),
            Family::Ed => EncodingKey::from_ed_pem(pem),
            Family::Secret => return Err(InvalidKey::Unfit(algorithm.name())),
        };
        Self::of(
            key.map_err(|_| InvalidKey::Unfit(algorithm.name()))?,
            algorithm,
        )
    }

    /// The private key that [`Self::to_pkcs8`] wrote.
    ///
    /// # Errors
    ///
    /// [`InvalidKey::Unfit`].
    pub fn from_pkcs8(der: &[u8], algorithm: SigningAlgorithm) -> Result<Self, InvalidKey> {
        let key = match family(algorithm) {
            Family::Ec => EncodingKey::from_ec_der(der),
            Family::Ed => EncodingKey::from_ed_der(der),
            Family::Rsa | Family::Secret => return Err(InvalidKey::Unfit(algorithm.name())),
        };
        Self::of(key, algorithm)
    }

    /// A new key on a curve, from the operating system's randomness: the library takes no other.
    ///
    /// # Errors
    ///
    /// [`InvalidKey::NotMade`] for RSA and HMAC.
    pub fn generate(algorithm: SigningAlgorithm) -> Result<Self, InvalidKey> {
        let failed = InvalidKey::NotMade(algorithm.name());
        let der = match algorithm {
            SigningAlgorithm::ES256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
                pair.and_then(|pair| pair.to_pkcs8v1())
                    .map(|der| Zeroizing::new(der.as_ref().to_vec()))
            }
            SigningAlgorithm::ES384 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING);
                pair.and_then(|pair| pair.to_pkcs8v1())
                    .map(|der| Zeroizing::new(der.as_ref().to_vec()))
            }
            SigningAlgorithm::EdDSA => Ed25519KeyPair::generate()
                .and_then(|pair| pair.to_pkcs8v1())
                .map(|der| Zeroizing::new(der.as_ref().to_vec())),
            _ => return Err(failed),
        };
        Self::from_pkcs8(&der.map_err(|_| failed)?, algorithm)
    }

    /// A client secret, for an algorithm that both sides have the same key for.
    ///
    /// # Errors
    ///
    /// [`InvalidKey::Unfit`] for any other algorithm.
    pub fn from_secret(secret: &[u8], algorithm: SigningAlgorithm) -> Result<Self, InvalidKey> {
        match family(algorithm) {
            Family::Secret => Ok(Self {
                algorithm,
                key: EncodingKey::from_secret(secret),
                public: Value::Null,
                thumbprint: String::new(),
            }),
            Family::Rsa | Family::Ec | Family::Ed => Err(InvalidKey::Unfit(algorithm.name())),
        }
    }

    fn of(key: EncodingKey, algorithm: SigningAlgorithm) -> Result<Self, InvalidKey> {
        let unfit = InvalidKey::Unfit(algorithm.name());
        let jwk = Jwk::from_encoding_key(&key, native(algorithm)).map_err(|_| unfit.clone())?;
        let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256);
        let thumbprint = thumbprint.map_err(|_| unfit.clone())?;
        let public = serde_json::to_value(&jwk.algorithm).map_err(|_| unfit)?;
        Ok(Self {
            algorithm,
            key,
            public,
            thumbprint,
        })
    }

    /// Its algorithm.
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// The SHA-256 thumbprint of its public key (RFC 7638), which is its `kid` too; empty for a client secret.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Its public key, to be published in a JWK set.
    pub fn public_jwk(&self) -> Value {
        let mut jwk = self.public.clone();
        jwk["kid"] = json!(self.thumbprint);
        jwk["use"] = json!("sig");
        jwk["alg"] = json!(self.algorithm.name());
        jwk
    }

    /// Its private key, to be sealed.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.key.as_bytes().to_vec())
    }

    /// A signed token in the compact form (RFC 7515 section 7.1) of `claims`; `typ` says what it is.
    ///
    /// # Errors
    ///
    /// [`InvalidKey::Unfit`]: the library does not sign with it.
    pub fn sign(
        &self,
        head: Head,
        typ: Option<&str>,
        claims: &impl Serialize,
    ) -> Result<String, InvalidKey> {
        let mut header = json!({ "alg": self.algorithm.name() });
        match head {
            Head::Kid => header["kid"] = json!(self.thumbprint),
            Head::Jwk => header["jwk"] = self.public.clone(),
            Head::Nothing => {}
        }
        if let Some(typ) = typ {
            header["typ"] = json!(typ);
        }
        let unfit = || InvalidKey::Unfit(self.algorithm.name());
        let claims = Zeroizing::new(serde_json::to_vec(claims).map_err(|_| unfit())?);
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(&*claims, &mut token);
        let signature = crypto::sign(token.as_bytes(), &self.key, native(self.algorithm));
        token.push('.');
        token.push_str(&signature.map_err(|_| unfit())?);
        Ok(token)
    }
}

/// What kind of key an algorithm has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Rsa,
    Ec,
    Ed,
    Secret,
}

pub(super) fn family(algorithm: SigningAlgorithm) -> Family {
    use SigningAlgorithm::*;
    match algorithm {
        RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => Family::Rsa,
        ES256 | ES384 => Family::Ec,
        EdDSA => Family::Ed,
        HS256 | HS384 | HS512 => Family::Secret,
    }
}

/// The library's name for an algorithm.
pub(super) fn native(algorithm: SigningAlgorithm) -> Algorithm {
    match algorithm {
        SigningAlgorithm::RS256 => Algorithm::RS256,
        SigningAlgorithm::RS384 => Algorithm::RS384,
        SigningAlgorithm::RS512 => Algorithm::RS512,
        SigningAlgorithm::PS256 => Algorithm::PS256,
        SigningAlgorithm::PS384 => Algorithm::PS384,
        SigningAlgorithm::PS512 => Algorithm::PS512,
        SigningAlgorithm::ES256 => Algorithm::ES256,
        SigningAlgorithm::ES384 => Algorithm::ES384,
        SigningAlgorithm::EdDSA => Algorithm::EdDSA,
        SigningAlgorithm::HS256 => Algorithm::HS256,
        SigningAlgorithm::HS384 => Algorithm::HS384,
        SigningAlgorithm::HS512 => Algorithm::HS512,
    }
}

#[cfg(test)]
mod tests {
    use super::super::proof::PROOF_KEY;
    use super::*;

    const CURVES: [SigningAlgorithm; 3] = [
        SigningAlgorithm::ES256,
        SigningAlgorithm::ES384,
        SigningAlgorithm::EdDSA,
    ];

    fn part(token: &str, nth: usize) -> Value {
        let part = token.split('.').nth(nth).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_key_is_made_written_and_read() {
        for algorithm in CURVES {
            let key = SigningKey::generate(algorithm).unwrap();
            let read = SigningKey::from_pkcs8(&key.to_pkcs8(), algorithm).unwrap();
            assert_eq!(read.public_jwk(), key.public_jwk());
            assert_eq!(key.thumbprint().len(), 43);
            let other = SigningKey::generate(algorithm).unwrap();
            assert_ne!(other.thumbprint(), key.thumbprint());
        }
        for algorithm in [SigningAlgorithm::PS256, SigningAlgorithm::HS256] {
            let made = SigningKey::generate(algorithm).err();
            assert_eq!(made, Some(InvalidKey::NotMade(algorithm.name())));
        }
    }

    #[test]
    fn a_published_key_has_nothing_private() {
        let rsa = SigningKey::from_pem(PROOF_KEY, SigningAlgorithm::PS256).unwrap();
        let of_curves = CURVES.map(|algorithm| SigningKey::generate(algorithm).unwrap());
        for key in of_curves.iter().chain([&rsa]) {
            let jwk = key.public_jwk();
            let names: Vec<&String> = jwk.as_object().unwrap().keys().collect();
            for name in &names {
                let public = ["kty", "crv", "x", "y", "n", "e", "kid", "use", "alg"];
                assert!(public.contains(&name.as_str()), "{names:?}");
            }
            assert_eq!(jwk["kid"], key.thumbprint());
            assert_eq!(jwk["use"], "sig");
            assert_eq!(jwk["alg"], key.algorithm().name());
        }
    }

    #[test]
    fn a_token_says_which_key_signed_it_as_it_is_asked_to() {
        let key = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
        let token = key.sign(Head::Kid, None, &json!({"a": 1})).unwrap();
        let expected = json!({"alg": "ES256", "kid": key.thumbprint()});
        assert_eq!(part(&token, 0), expected);
        assert_eq!(part(&token, 1), json!({"a": 1}));
        let token = key.sign(Head::Jwk, Some("dpop+jwt"), &json!({})).unwrap();
        let header = part(&token, 0);
        assert_eq!(header["typ"], "dpop+jwt");
        assert_eq!(header["jwk"]["x"], key.public_jwk()["x"]);
        assert!(header.get("kid").is_none() && header["jwk"].get("d").is_none());
        let secret = SigningKey::from_secret(b"secret", SigningAlgorithm::HS256).unwrap();
        let token = secret.sign(Head::Nothing, None, &json!({})).unwrap();
        assert_eq!(part(&token, 0), json!({"alg": "HS256"}));
    }

    #[test]
    fn a_thumbprint_is_that_of_the_standards_own_example() {
        // RFC 8037 appendix A.3, with the private key of appendix A.1.
        let seed = URL_SAFE_NO_PAD
            .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
            .unwrap();
        let mut der = vec![
            0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
        ];
        der.extend_from_slice(&seed);
        let key = SigningKey::from_pkcs8(&der, SigningAlgorithm::EdDSA).unwrap();
        assert_eq!(
            key.thumbprint(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }

    #[test]
    fn a_key_of_another_kind_is_refused_with_the_remedy() {
        for algorithm in CURVES {
            let refused = SigningKey::from_pem(PROOF_KEY, algorithm).err();
            assert_eq!(refused, Some(InvalidKey::Unfit(algorithm.name())));
        }
        let p256 = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
        let refused = SigningKey::from_pkcs8(&p256.to_pkcs8(), SigningAlgorithm::ES384).err();
        assert_eq!(refused, Some(InvalidKey::Unfit("ES384")));
        let refused = SigningKey::from_pem(b"no key", SigningAlgorithm::PS256).err();
        assert_eq!(refused, Some(InvalidKey::Unfit("PS256")));
        let refused = SigningKey::from_secret(b"secret", SigningAlgorithm::PS256).err();
        assert_eq!(refused, Some(InvalidKey::Unfit("PS256")));
        let short = include_bytes!("short.pem");
        let refused = SigningKey::from_pem(short, SigningAlgorithm::PS256).err();
        assert_eq!(refused, Some(InvalidKey::Unfit("PS256")));
    }
}
