//! The institution's own keys, its published set, and what it signs with them.

use serde_json::{Value, json};

use super::jws::{Algorithm, SigningKey, name, unsigned};
use super::knobs::{IdToken, Jwks, Knobs};
use super::weak_rsa;

/// How many keys there are where there are too many.
const TOO_MANY: usize = 10_000;

/// What is wrong with a signed object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    BadSignature,
    AlgNone,
    AlgHsWithPublicKey,
    OtherAlg,
    KidMissing,
    KidUnknown,
    HeaderJku,
    HeaderJwk,
    HeaderX5u,
    HeaderCrit,
}

/// The keys: one for each algorithm, made when it is first needed.
#[derive(Default)]
pub struct ServerKeys {
    live: Vec<SigningKey>,
    /// Published still, and no longer used.
    retired: Vec<SigningKey>,
    /// Used, and not published.
    hidden: Vec<SigningKey>,
}

impl ServerKeys {
    /// From now on others sign. What was published stays so, beside them.
    pub fn rotate(&mut self) {
        let fresh = self
            .live
            .iter()
            .map(|key| SigningKey::generate(key.algorithm));
        let fresh = fresh.collect();
        self.retired
            .append(&mut std::mem::replace(&mut self.live, fresh));
    }

    /// What is no longer used is no longer published.
    pub fn forget_retired(&mut self) {
        self.retired.clear();
    }

    /// The key of that algorithm.
    pub fn key(&mut self, algorithm: Algorithm) -> SigningKey {
        if let Some(key) = self.live.iter().find(|key| key.algorithm == algorithm) {
            return key.clone();
        }
        let key = SigningKey::generate(algorithm);
        self.live.push(key.clone());
        key
    }

    /// The published set (RFC 7517, section 5).
    pub fn published(&mut self, knobs: &Knobs) -> Value {
        let own = self.live.iter().chain(&self.retired);
        let mut keys: Vec<Value> = own.map(SigningKey::jwk).collect();
        if knobs.has(Jwks::WeakRsa) {
            keys.insert(0, weak_rsa::jwk());
        }
        if knobs.has(Jwks::Decoys) || knobs.has(IdToken::KidOfDecoys) {
            keys = keys
                .into_iter()
                .flat_map(|key| [decoys(&key), vec![key]])
                .flatten()
                .collect();
        }
        if knobs.has(Jwks::TenThousandKeys) {
            let filler = SigningKey::generate(Algorithm::ES256).jwk();
            let mut all: Vec<Value> = (keys.len()..TOO_MANY)
                .map(|nth| {
                    let mut key = filler.clone();
                    key["kid"] = json!(format!("filler-{nth}"));
                    key
                })
                .collect();
            all.append(&mut keys);
            keys = all;
        }
        json!({"keys": keys})
    }

    /// Signs the claims, with that type in the header if one is given.
    pub fn sign(
        &mut self,
        algorithm: Algorithm,
        kind: Option<&str>,
        claims: &Value,
        knobs: &Knobs,
        flaw: Option<Flaw>,
    ) -> String {
        let mut header = json!({});
        if let Some(kind) = kind {
            header["typ"] = json!(kind);
        }
        if knobs.has(Jwks::WeakRsa) {
            return weak_rsa::sign(header, claims);
        }
        if knobs.has(Jwks::RotatesBeforeSigning) {
            self.live.retain(|key| key.algorithm != algorithm);
        }
        let mut key = self.key(algorithm);
        if knobs.has(Jwks::RotatesWithoutPublishing) {
            key = self.hidden_key(algorithm);
        }
        let Some(flaw) = flaw else {
            return key.sign(header, claims);
        };
        let elsewhere = "https://elsewhere.example/keys";
        match flaw {
            Flaw::AlgNone => return unsigned(claims),
            Flaw::OtherAlg => return self.key(other(algorithm)).sign(header, claims),
            Flaw::AlgHsWithPublicKey => {
                header["kid"] = json!(key.kid);
                let secret = SigningKey::shared(key.jwk().to_string().as_bytes());
                return secret.sign(header, claims);
            }
            Flaw::KidMissing => {
                header["kid"] = Value::Null;
                return key.sign(header, claims);
            }
            Flaw::KidUnknown => header["kid"] = json!("unknown"),
            Flaw::HeaderCrit => {
                header["crit"] = json!(["https://elsewhere.example/understood"]);
                header["https://elsewhere.example/understood"] = json!(true);
            }
            Flaw::BadSignature => header["kid"] = json!(key.kid),
            Flaw::HeaderJku => header["jku"] = json!(elsewhere),
            Flaw::HeaderX5u => header["x5u"] = json!(elsewhere),
            Flaw::HeaderJwk => {}
        }
        if matches!(flaw, Flaw::KidUnknown | Flaw::HeaderCrit) {
            return key.sign(header, claims);
        }
        let own = self.hidden_key(algorithm);
        if flaw == Flaw::HeaderJwk {
            header["jwk"] = own.jwk();
        }
        own.sign(header, claims)
    }

    /// A key of that algorithm that is not in the set.
    pub fn hidden_key(&mut self, algorithm: Algorithm) -> SigningKey {
        let known = self.hidden.iter().find(|key| key.algorithm == algorithm);
        known.cloned().unwrap_or_else(|| {
            let key = SigningKey::generate(algorithm);
            self.hidden.push(key.clone());
            key
        })
    }
}

/// An algorithm that is not this one.
fn other(algorithm: Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::ES256 => Algorithm::PS256,
        _ => Algorithm::ES256,
    }
}

/// Keys under the `kid` of `key` that are not it: of every other kind, for encryption, and of the same kind for
/// another algorithm.
fn decoys(key: &Value) -> Vec<Value> {
    let kinds = [
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];
    let mut decoys = Vec::new();
    for kind in kinds {
        let mut decoy = SigningKey::generate(kind).jwk();
        decoy["kid"] = key["kid"].clone();
        if decoy["alg"] == key["alg"] {
            // The same kind: told apart by what it is for.
            decoy["use"] = json!("enc");
            decoy["alg"] = json!(if decoy["kty"] == "RSA" {
                "RSA-OAEP-256"
            } else {
                "ECDH-ES"
            });
        }
        decoys.push(decoy);
    }
    // RFC 7518, section 6.4: a set may hold what nobody can use.
    decoys
        .push(json!({"kty": "oct", "kid": key["kid"], "alg": name(Algorithm::HS256), "k": "AAAA"}));
    decoys
}
