//! Public keys of somebody else, as JSON (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use super::key::{Family, family};
use crate::domain::algorithm::SigningAlgorithm;

/// How many keys of a set are looked at; the ones after them count as absent.
pub const MOST_KEYS: usize = 1000;

/// The least length of an RSA modulus, in bytes (RFC 7518 section 3.3): 2048 bits.
const LEAST_MODULUS: usize = 256;

/// Bytes that are no JWK set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no JSON object with a list \"keys\" (RFC 7517 section 5)")]
pub struct InvalidJwkSet;

/// The keys of a set that signatures can be verified with. A key of another kind, or one that cannot be read, is as if it were
/// not there (RFC 7517 section 5).
#[derive(Clone, Default)]
pub struct JwkSet {
    keys: Vec<PublicKey>,
}

/// A key, as its set describes it.
#[derive(Clone)]
struct PublicKey {
    kid: Option<String>,
    /// Whether its set says that it is for signatures, or does not say what it is for.
    may_verify: bool,
    /// The algorithm that it is for, if its set says so.
    alg: Option<String>,
    family: Family,
    /// The length of a coordinate, in bytes, which tells the curves apart.
    coordinate: usize,
    key: DecodingKey,
}

#[derive(Deserialize)]
struct Written {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct WrittenKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl JwkSet {
    /// Reads a set.
    ///
    /// # Errors
    ///
    /// [`InvalidJwkSet`]: it is no set at all.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidJwkSet> {
        let Written { keys } = serde_json::from_slice(bytes).map_err(|_| InvalidJwkSet)?;
        let keys = keys.into_iter().take(MOST_KEYS);
        Ok(Self {
            keys: keys.filter_map(PublicKey::read).collect(),
        })
    }

    /// Whether it has no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether it has a key of that `kid`.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// Whether it has a key that a signature of that algorithm can be verified with.
    pub fn can_verify(&self, algorithm: SigningAlgorithm) -> bool {
        self.keys.iter().any(|key| key.fits(algorithm))
    }

    /// The `kid`s of all keys, in the order of the set; empty for one without.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        let kids = self.keys.iter().map(|key| key.kid.as_deref());
        kids.map(Option::unwrap_or_default)
    }

    /// The keys that may have made a signature of that algorithm.
    ///
    /// With a `kid`, those of that name: there may be several, because a name says nothing of what a key is for. Without
    /// one, the only key that fits; none, if several do.
    pub(super) fn candidates(
        &self,
        kid: Option<&str>,
        algorithm: SigningAlgorithm,
    ) -> Vec<&DecodingKey> {
        let fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match kid {
            Some(kid) => fitting
                .filter(|key| key.kid.as_deref() == Some(kid))
                .map(|key| &key.key)
                .collect(),
            None => {
                let fitting: Vec<_> = fitting.map(|key| &key.key).take(2).collect();
                if fitting.len() == 1 {
                    fitting
                } else {
                    Vec::new()
                }
            }
        }
    }
}

impl PublicKey {
    fn read(value: Value) -> Option<Self> {
        let written: WrittenKey = serde_json::from_value(value).ok()?;
        let length = |text: &str| Some(URL_SAFE_NO_PAD.decode(text).ok()?.len());
        let (family, coordinate, key) = match (written.kty.as_str(), written.crv.as_deref()) {
            ("RSA", _) => {
                let (n, e) = (written.n?, written.e?);
                let is_long = length(n.trim_start_matches('A'))? >= LEAST_MODULUS;
                let key = is_long.then(|| DecodingKey::from_rsa_components(&n, &e))?;
                (Family::Rsa, 0, key.ok()?)
            }
            ("EC", Some(curve)) => {
                let coordinate = match curve {
                    "P-256" => 32,
                    "P-384" => 48,
                    _ => return None,
                };
                let (x, y) = (written.x?, written.y?);
                let is_whole = length(&x)? == coordinate && length(&y)? == coordinate;
                let key = is_whole.then(|| DecodingKey::from_ec_components(&x, &y))?;
                (Family::Ec, coordinate, key.ok()?)
            }
            ("OKP", Some("Ed25519")) => {
                let x = written.x?;
                let key = (length(&x)? == 32).then(|| DecodingKey::from_ed_components(&x))?;
                (Family::Ed, 32, key.ok()?)
            }
            _ => return None,
        };
        let is_for = |usage: Option<String>, named: &str| usage.is_none_or(|usage| usage == named);
        let may_verify = is_for(written.usage, "sig")
            && written
                .key_ops
                .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        Some(Self {
            kid: written.kid,
            may_verify,
            alg: written.alg,
            family,
            coordinate,
            key,
        })
    }

    fn fits(&self, algorithm: SigningAlgorithm) -> bool {
        let is_its_curve = match algorithm {
            SigningAlgorithm::ES256 => self.coordinate == 32,
            SigningAlgorithm::ES384 => self.coordinate == 48,
            _ => true,
        };
        // RFC 9864 names Ed25519 by itself.
        let is_its_name = |alg: &String| {
            alg == algorithm.name() || algorithm == SigningAlgorithm::EdDSA && alg == "Ed25519"
        };
        self.family == family(algorithm)
            && is_its_curve
            && self.may_verify
            && self.alg.as_ref().is_none_or(is_its_name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::key::SigningKey;
    use super::super::proof::PROOF_KEY;
    use super::*;

    fn jwk(algorithm: SigningAlgorithm, change: impl FnOnce(&mut Value)) -> Value {
        let key = match family(algorithm) {
            Family::Rsa => SigningKey::from_pem(PROOF_KEY, algorithm),
            _ => SigningKey::generate(algorithm),
        };
        let mut jwk = key.unwrap().public_jwk();
        change(&mut jwk);
        jwk
    }

    fn set(keys: &[Value]) -> JwkSet {
        JwkSet::parse(json!({"keys": keys, "more": 1}).to_string().as_bytes()).unwrap()
    }

    const ES256: SigningAlgorithm = SigningAlgorithm::ES256;

    #[test]
    fn i6_a_key_fits_by_its_kind_curve_use_and_algorithm() {
        let bare = |algorithm| {
            jwk(algorithm, |jwk| {
                let members = jwk.as_object_mut().unwrap();
                members.retain(|name, _| !["use", "alg", "kid"].contains(&name.as_str()));
            })
        };
        for algorithm in SigningAlgorithm::ALL {
            if algorithm.is_symmetric() {
                continue;
            }
            let keys = set(&[bare(algorithm)]);
            for other in SigningAlgorithm::ALL {
                let same_key = match family(algorithm) {
                    Family::Rsa => family(other) == Family::Rsa,
                    _ => other == algorithm,
                };
                assert_eq!(keys.can_verify(other), same_key, "{algorithm:?} {other:?}");
            }
        }
        for odd in [
            jwk(ES256, |jwk| jwk["use"] = json!("enc")),
            jwk(ES256, |jwk| jwk["alg"] = json!("ECDH-ES")),
            jwk(ES256, |jwk| jwk["key_ops"] = json!(["sign"])),
        ] {
            assert!(!set(&[odd]).can_verify(ES256));
        }
    }

    #[test]
    fn i6_a_key_that_cannot_be_used_is_as_if_it_were_not_there() {
        let good = jwk(ES256, |_| {});
        let odd = [
            json!(7),
            json!({"kty": "EC"}),
            json!({"kty": "oct", "k": "AAAA"}),
            json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}),
            jwk(ES256, |jwk| jwk["crv"] = json!("P-521")),
            jwk(ES256, |jwk| jwk["crv"] = json!("P-384")),
            jwk(ES256, |jwk| jwk["x"] = json!("AAAA")),
            jwk(SigningAlgorithm::EdDSA, |jwk| jwk["x"] = json!("AA")),
            jwk(SigningAlgorithm::PS256, |jwk| jwk["n"] = json!("AQAB")),
        ];
        assert!(set(&odd).is_empty());
        let with_good = [&odd[..], std::slice::from_ref(&good)].concat();
        assert_eq!(set(&with_good).candidates(None, ES256).len(), 1);
        for no_set in ["", "[]", "{}", r#"{"keys":{}}"#, "no"] {
            assert!(JwkSet::parse(no_set.as_bytes()).is_err(), "{no_set}");
        }
    }

    #[test]
    fn i6_a_key_is_found_among_decoys_and_guessed_only_if_it_is_the_only_one() {
        let of = |kid: &str, algorithm| jwk(algorithm, |jwk| jwk["kid"] = json!(kid));
        let keys = set(&[
            of("a", SigningAlgorithm::PS256),
            of("a", ES256),
            of("a", SigningAlgorithm::ES384),
            of("b", ES256),
        ]);
        assert_eq!(keys.candidates(Some("a"), ES256).len(), 1);
        assert_eq!(keys.candidates(Some("c"), ES256).len(), 0);
        assert_eq!(keys.candidates(None, ES256).len(), 0);
        assert_eq!(keys.candidates(None, SigningAlgorithm::ES384).len(), 1);
        assert!(keys.has("b") && !keys.has("c"));
        assert_eq!(keys.kids().collect::<Vec<_>>(), ["a", "a", "a", "b"]);
    }

    #[test]
    fn x1_a_set_of_many_keys_is_read_to_a_limit() {
        let key = jwk(ES256, |_| {});
        let many = vec![key; MOST_KEYS + 50];
        assert_eq!(set(&many).keys.len(), MOST_KEYS);
    }
}
