//! The keys that an authorization server publishes (RFC 7517 section 5): which there are, and what each may
//! be for.
//!
//! A key of a form that is not known is passed over, as the RFC says.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::json::{JsonError, Members};

/// How many keys a set may have. Who publishes more makes every look-up slow.
const MOST: usize = 100;

/// How long the modulus of an RSA key is at least, in bytes (RFC 7518 section 3.3).
const RSA_LEAST: usize = 256;

/// Why a set of keys is not to be relied on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is no JSON object to be relied on.
    #[error("the keys cannot be relied on: {0}")]
    Json(#[from] JsonError),
    /// It has no list of keys.
    #[error("there is no list \"keys\" of objects")]
    NoKeys,
    /// It has too many.
    #[error("there are {0} keys, more than {MOST}")]
    TooMany(usize),
}

/// A set of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishedKeys(Vec<PublishedKey>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedKey {
    /// Its name in the set.
    pub kid: Option<String>,
    /// What kind of key it is.
    kind: KeyKind,
    /// What it is for, if that is said: `sig` or `enc`.
    usage: Option<String>,
    /// The only algorithm it is for, if that is said.
    alg: Option<String>,
    /// What tells it from every other key (RFC 7638), in Base64url.
    pub thumbprint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    Rsa,
    /// RSA with fewer than 2048 bits: no algorithm takes it.
    WeakRsa,
    P256,
    P384,
    P521,
    Ed25519,
}

/// A key as it is written (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl PublishedKeys {
    /// Reads a set.
    ///
    /// # Errors
    ///
    /// It is no set, or has more than 100 keys. Then none of it counts.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        let (members, sound) = Members::read(bytes);
        sound?;
        let keys: Vec<Value> = members.read_as("keys").ok_or(KeySetError::NoKeys)?;
        if keys.len() > MOST {
            return Err(KeySetError::TooMany(keys.len()));
        }
        if !keys.iter().all(Value::is_object) {
            return Err(KeySetError::NoKeys);
        }
        let written = keys
            .into_iter()
            .filter_map(|key| serde_json::from_value(key).ok());
        Ok(Self(written.filter_map(Written::read).collect()))
    }

    /// Every key of a known form.
    pub fn iter(&self) -> impl Iterator<Item = &PublishedKey> {
        self.0.iter()
    }

    /// Whether there is a key of that name.
    pub fn has(&self, kid: &str) -> bool {
        self.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// Whether there is a key with which that algorithm (RFC 7518 section 3.1) can be verified.
    pub fn verifies(&self, alg: &str) -> bool {
        self.iter().any(|key| key.verifies(alg))
    }
}

impl PublishedKey {
    fn verifies(&self, alg: &str) -> bool {
        let is_of_kind = match alg {
            "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512" => self.kind == KeyKind::Rsa,
            "ES256" => self.kind == KeyKind::P256,
            "ES384" => self.kind == KeyKind::P384,
            "ES512" => self.kind == KeyKind::P521,
            "EdDSA" | "Ed25519" => self.kind == KeyKind::Ed25519,
            _ => false,
        };
        let is_to_sign = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        is_of_kind && is_to_sign && self.alg.as_deref().is_none_or(|only| only == alg)
    }

    /// How it is called where an operator reads of it.
    pub fn name(&self) -> String {
        self.kid.clone().unwrap_or_else(|| self.thumbprint.clone())
    }
}

impl Written {
    fn read(self) -> Option<PublishedKey> {
        let crv = self.crv.as_deref();
        let bytes = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
        let kind = match (self.kty.as_str(), crv) {
            ("RSA", _) if bytes(&self.n)?.len() < RSA_LEAST => KeyKind::WeakRsa,
            ("RSA", _) => KeyKind::Rsa,
            ("EC", Some("P-256")) => KeyKind::P256,
            ("EC", Some("P-384")) => KeyKind::P384,
            ("EC", Some("P-521")) => KeyKind::P521,
            ("OKP", Some("Ed25519")) => KeyKind::Ed25519,
            _ => return None,
        };
        // In the order of their names, as RFC 7638 section 3 wants it.
        let mut needed = BTreeMap::from([("kty", self.kty.as_str())]);
        match kind {
            KeyKind::Rsa | KeyKind::WeakRsa => {
                needed.insert("e", self.e.as_deref()?);
                needed.insert("n", self.n.as_deref()?);
            }
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => {
                needed.insert("crv", crv?);
                needed.insert("x", self.x.as_deref()?);
                needed.insert("y", self.y.as_deref()?);
            }
            KeyKind::Ed25519 => {
                needed.insert("crv", crv?);
                needed.insert("x", self.x.as_deref()?);
            }
        }
        let canonical = serde_json::to_vec(&needed).ok()?;
        Some(PublishedKey {
            thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, &canonical)),
            kid: self.kid,
            kind,
            usage: self.usage,
            alg: self.alg,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The key of RFC 7638 section 3.1.
    const RSA: &str = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;

    /// A set with an elliptic key of each of these names.
    pub fn set_of(kids: &[&str]) -> String {
        let keys = kids.iter().map(|kid| {
            let [x, y] = ["x", "y"].map(|axis| {
                let coordinate = digest(&SHA256, format!("{axis}{kid}").as_bytes());
                URL_SAFE_NO_PAD.encode(coordinate)
            });
            format!(r#"{{"kty":"EC","crv":"P-256","use":"sig","kid":"{kid}","x":"{x}","y":"{y}"}}"#)
        });
        let keys: Vec<String> = keys.collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    #[test]
    fn a_thumbprint_is_that_of_the_rfc() {
        let set = PublishedKeys::parse(format!(r#"{{"keys":[{RSA}]}}"#).as_bytes()).unwrap();
        let [key] = &set.0[..] else { panic!("one key") };
        assert_eq!(
            key.thumbprint,
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
        assert_eq!(key.name(), "2011-04-29");
        assert!(set.verifies("RS256"));
        assert!(!set.verifies("PS256"), "it is for one algorithm only");
        assert!(!set.verifies("ES256"));
        assert!(!set.verifies("none") && !set.verifies("HS256"));
    }

    #[test]
    fn a_key_is_for_what_it_says() {
        let key = |more: &str| {
            let text = format!(r#"{{"keys":[{{{more}}}]}}"#);
            PublishedKeys::parse(text.as_bytes()).unwrap()
        };
        let curve = |crv: &str| key(&format!(r#""kty":"EC","crv":"{crv}","x":"a","y":"b""#));
        assert!(curve("P-256").verifies("ES256"));
        assert!(!curve("P-256").verifies("ES384"));
        assert!(curve("P-384").verifies("ES384"));
        assert!(curve("P-521").verifies("ES512"));
        assert!(curve("secp256k1").0.is_empty());
        assert!(key(r#""kty":"OKP","crv":"Ed25519","x":"a""#).verifies("EdDSA"));
        let encryption = key(r#""kty":"EC","crv":"P-256","x":"a","y":"b","use":"enc""#);
        assert!(!encryption.verifies("ES256") && encryption.0.len() == 1);
        assert!(!key(r#""kty":"RSA","n":"AQAB","e":"AQAB""#).verifies("RS256"));
        assert!(key(r#""kty":"oct","k":"AQAB""#).0.is_empty());
        assert!(key(r#""kty":1"#).0.is_empty());
        assert!(key("").0.is_empty());
    }

    #[test]
    fn what_is_no_set_of_keys_is_refused() {
        for none in [
            "[]",
            "{}",
            r#"{"keys":{}}"#,
            r#"{"keys":[1]}"#,
            "",
            r#"{"keys":[],"keys":[]}"#,
        ] {
            assert!(PublishedKeys::parse(none.as_bytes()).is_err(), "{none}");
        }
        let many = vec!["a"; 10_000];
        let error = PublishedKeys::parse(set_of(&many).as_bytes()).unwrap_err();
        assert_eq!(error, KeySetError::TooMany(10_000));
        let duplicates = PublishedKeys::parse(set_of(&["a", "a", "b"]).as_bytes()).unwrap();
        assert_eq!(duplicates.iter().count(), 3);
    }
}
