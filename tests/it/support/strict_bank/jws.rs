//! Signed objects (RFC 7515) as the institution makes and judges them: header and claims are plain JSON, so
//! that a hostile one can say anything.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{DecodingKey, EncodingKey, crypto};
use serde_json::{Value, json};

use crate::support::random_token;

pub use jsonwebtoken::Algorithm;

/// The length of what comes before the RSA key in PKCS #8 (RFC 5208, section 5), for keys of 2 048 bits.
const PKCS8_HEAD: usize = 26;

/// The name of an algorithm (RFC 7518, section 3.1).
pub fn name(algorithm: Algorithm) -> String {
    format!("{algorithm:?}")
}

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey {
    pub kid: String,
    pub algorithm: Algorithm,
    private: EncodingKey,
}

impl SigningKey {
    /// A new pair of keys for RS256, PS256, ES256, ES384 or EdDSA, with a `kid` of its own.
    ///
    /// # Panics
    ///
    /// For any other algorithm.
    pub fn generate(algorithm: Algorithm) -> Self {
        provided();
        let random = SystemRandom::new();
        let private = match algorithm {
            Algorithm::RS256 | Algorithm::PS256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
                EncodingKey::from_rsa_der(&pair.as_der().expect("PKCS #8").as_ref()[PKCS8_HEAD..])
            }
            Algorithm::ES256 => {
                let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                EncodingKey::from_ec_der(pair.expect("a key").as_ref())
            }
            Algorithm::ES384 => {
                let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random);
                EncodingKey::from_ec_der(pair.expect("a key").as_ref())
            }
            Algorithm::EdDSA => {
                let pair = Ed25519KeyPair::generate_pkcs8v1(&random);
                EncodingKey::from_ed_der(pair.expect("a key").as_ref())
            }
            other => panic!("no key is made for {other:?}"),
        };
        Self {
            kid: random_token(),
            algorithm,
            private,
        }
    }

    /// A secret that both sides know, for HS256.
    pub fn shared(secret: &[u8]) -> Self {
        provided();
        Self {
            kid: "shared".to_owned(),
            algorithm: Algorithm::HS256,
            private: EncodingKey::from_secret(secret),
        }
    }

    /// The public half (RFC 7517), with `kid`, `alg` and `use`; the secret itself where it is shared.
    pub fn jwk(&self) -> Value {
        let mut jwk = self.bare_jwk();
        jwk["kid"] = json!(self.kid);
        jwk["alg"] = json!(name(self.algorithm));
        jwk["use"] = json!("sig");
        jwk
    }

    /// The public half and nothing else, as in the header of a DPoP proof (RFC 9449, section 4.2).
    pub fn bare_jwk(&self) -> Value {
        let jwk = Jwk::from_encoding_key(&self.private, self.algorithm).expect("a key of its kind");
        let mut jwk = serde_json::to_value(jwk).expect("JSON");
        jwk.as_object_mut().expect("an object").remove("alg");
        jwk
    }

    /// A signed object with `alg`, and with `kid` unless the header names one or is told not to by `null`.
    pub fn sign(&self, mut header: Value, claims: &Value) -> String {
        if header.get("alg").is_none() {
            header["alg"] = json!(name(self.algorithm));
        }
        match header.get("kid") {
            None => header["kid"] = json!(self.kid),
            Some(Value::Null) => drop(header.as_object_mut().expect("an object").remove("kid")),
            Some(_) => {}
        }
        let signed = signing_input(&header, claims);
        let signature = crypto::sign(signed.as_bytes(), &self.private, self.algorithm);
        format!("{signed}.{}", signature.expect("a signature"))
    }
}

/// An object that says it is not signed (RFC 7518, section 3.6).
pub fn unsigned(claims: &Value) -> String {
    format!("{}.", signing_input(&json!({"alg": "none"}), claims))
}

/// What is signed (RFC 7515, section 5.1).
pub fn signing_input(header: &Value, claims: &Value) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// The thumbprint of a key (RFC 7638), with SHA-256.
pub fn thumbprint(jwk: &Value) -> Option<String> {
    provided();
    let jwk: Jwk = serde_json::from_value(jwk.clone()).ok()?;
    jwk.thumbprint(ThumbprintHash::SHA256).ok()
}

/// A signed object taken apart, and not yet believed.
pub struct Jws {
    pub header: Value,
    pub claims: Value,
    signed: String,
    signature: String,
}

impl Jws {
    /// Takes the compact form apart; absent if it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let json = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok();
        Some(Self {
            header: json(header)?,
            claims: json(claims)?,
            signed: signed.to_owned(),
            signature: signature.to_owned(),
        })
    }

    /// Whether it was signed with `jwk` by the algorithm that its header names. `none` never is.
    pub fn is_of(&self, jwk: &Value) -> bool {
        provided();
        let name = self.header["alg"].as_str();
        let algorithm = name.and_then(|name| name.parse::<Algorithm>().ok());
        let jwk = serde_json::from_value::<Jwk>(jwk.clone()).ok();
        let key = jwk.and_then(|jwk| DecodingKey::from_jwk(&jwk).ok());
        let (Some(algorithm), Some(key)) = (algorithm, key) else {
            return false;
        };
        crypto::verify(&self.signature, self.signed.as_bytes(), &key, algorithm).unwrap_or(false)
    }

    /// What is signed, and the signature.
    pub fn halves(&self) -> (&str, &str) {
        (&self.signed, &self.signature)
    }

    /// A claim that is text.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims[claim].as_str()
    }

    /// A claim that is a time, in whole seconds since 1970.
    pub fn time(&self, claim: &str) -> Option<i64> {
        self.claims[claim].as_i64()
    }
}

/// Has the library use the one implementation that is built in.
fn provided() {
    // Installed by an earlier call, or by the gateway: then it is the same.
    let _ = crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
