//! The private keys that a client has at one place: those that sign, and those that are encrypted to.
//!
//! Where several keys sign, the first that fits the algorithm does; the others are published with it. So a key can be known
//! everywhere before it signs, and as long as what it signed is under way.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::jwe::DecryptionKey;
use super::key::{InvalidKey, SigningKey};
use crate::domain::algorithm::{KeyManagement, SigningAlgorithm};

/// What a key of each kind signs with that nothing signs with for now: it is published ahead of time, or still.
const USUAL: [SigningAlgorithm; 4] = [
    SigningAlgorithm::PS256,
    SigningAlgorithm::ES256,
    SigningAlgorithm::ES384,
    SigningAlgorithm::EdDSA,
];

/// The keys. Cannot be printed.
pub struct OwnKeys {
    /// Each with its place; a key stands here once for each algorithm that it signs with.
    signing: Vec<(usize, SigningKey)>,
    encryption: Vec<DecryptionKey>,
}

/// A key, by what may be told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownKey<'a> {
    /// Its place among those that are for the same, counted from 0.
    pub nth: usize,
    /// Its name.
    pub kid: &'a str,
    /// What it is for: `sig` or `enc` (RFC 7517 section 4.2).
    pub usage: &'static str,
    /// What it is used with.
    pub algorithms: Vec<&'static str>,
    /// Whether it signs; the others that are for this are only published.
    pub signs: bool,
}

/// Keys that cannot be used together. Holds nothing of them; a key is named by its place, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableKeys {
    /// That signing key is none.
    Signing(usize),
    /// That encryption key is none.
    Encryption(usize),
    /// That encryption key is a signing key as well.
    ForBoth(usize),
    /// No signing key fits an algorithm that is signed with.
    NoneFor(SigningAlgorithm),
}

impl UnusableKeys {
    /// What is wrong and what to do.
    pub fn problem(self) -> String {
        match self {
            Self::Signing(_) => InvalidKey::UnknownKind.to_string(),
            Self::Encryption(_) => {
                let alternatives = [KeyManagement::RsaOaep256, KeyManagement::EcdhEs];
                let [rsa, ec] = alternatives.map(KeyManagement::name);
                format!(
                    "it is no private key for {rsa} (RSA of at least 2048 bits) or {ec} (P-256 or P-384); give one in PEM, \
                     as `openssl genpkey` writes it (PKCS #8)"
                )
            }
            Self::ForBoth(_) => {
                "it is a signing key as well; make another key for encryption".to_owned()
            }
            Self::NoneFor(algorithm) => format!(
                "none of the signing keys is one for {}; add one, or correct the algorithm",
                algorithm.name()
            ),
        }
    }
}

impl OwnKeys {
    /// Reads keys in PEM, which sign with these algorithms.
    ///
    /// # Errors
    ///
    /// [`UnusableKeys`]
    pub fn read<K: AsRef<[u8]>>(
        signing: &[K],
        encryption: &[K],
        algorithms: &[SigningAlgorithm],
    ) -> Result<Self, UnusableKeys> {
        let mut keys = Self {
            signing: Vec::new(),
            encryption: Vec::new(),
        };
        for (nth, pem) in signing.iter().enumerate() {
            let fitting = fitting(pem.as_ref(), algorithms);
            if fitting.is_empty() {
                return Err(UnusableKeys::Signing(nth));
            }
            keys.signing
                .extend(fitting.into_iter().map(|key| (nth, key)));
        }
        if let Some(algorithm) = algorithms.iter().find(|it| keys.signing(**it).is_none()) {
            return Err(UnusableKeys::NoneFor(*algorithm));
        }
        let signs = keys.signing.iter().map(|(_, key)| key.thumbprint());
        let signs: HashSet<&str> = signs.collect();
        for (nth, pem) in encryption.iter().enumerate() {
            let alternatives = [KeyManagement::RsaOaep256, KeyManagement::EcdhEs];
            let key = alternatives
                .into_iter()
                .find_map(|alg| DecryptionKey::from_pem(pem.as_ref(), alg).ok())
                .ok_or(UnusableKeys::Encryption(nth))?;
            if signs.contains(key.thumbprint()) {
                return Err(UnusableKeys::ForBoth(nth));
            }
            keys.encryption.push(key);
        }
        Ok(keys)
    }

    /// The key that signs with that algorithm.
    pub fn signing(&self, algorithm: SigningAlgorithm) -> Option<&SigningKey> {
        let mut keys = self.signing.iter().map(|(_, key)| key);
        keys.find(|key| key.algorithm() == algorithm)
    }

    /// The keys that are encrypted to.
    pub fn decryption(&self) -> &[DecryptionKey] {
        &self.encryption
    }

    /// Their public keys as a JWK set (RFC 7517 section 5), each `kid` once. A key that signs with several algorithms names
    /// none.
    pub fn public(&self) -> Value {
        let signing = self.signing.iter().map(|(_, key)| key.public_jwk());
        let all = signing.chain(self.encryption.iter().map(DecryptionKey::public_jwk));
        let mut keys: Vec<Value> = Vec::new();
        for jwk in all {
            match keys.iter_mut().find(|it| it["kid"] == jwk["kid"]) {
                None => keys.push(jwk),
                Some(same) if same["alg"] == jwk["alg"] => {}
                Some(same) => drop(same.as_object_mut().and_then(|it| it.remove("alg"))),
            }
        }
        json!({ "keys": keys })
    }

    /// Every key, first those for signatures; `algorithms` are those that are signed with.
    pub fn known(&self, algorithms: &[SigningAlgorithm]) -> Vec<KnownKey<'_>> {
        let mut known: Vec<KnownKey<'_>> = Vec::new();
        for (nth, key) in &self.signing {
            let algorithm = key.algorithm();
            let is_first = || {
                self.signing(algorithm)
                    .is_some_and(|it| std::ptr::eq(it, key))
            };
            let signs = algorithms.contains(&algorithm) && is_first();
            match known.last_mut().filter(|before| before.nth == *nth) {
                Some(same) => {
                    same.algorithms.push(algorithm.name());
                    same.signs |= signs;
                }
                None => known.push(KnownKey {
                    nth: *nth,
                    kid: key.thumbprint(),
                    usage: "sig",
                    algorithms: vec![algorithm.name()],
                    signs,
                }),
            }
        }
        let encryption = self.encryption.iter().enumerate();
        known.extend(encryption.map(|(nth, key)| KnownKey {
            nth,
            kid: key.thumbprint(),
            usage: "enc",
            algorithms: vec![key.alg().name()],
            signs: false,
        }));
        known
    }
}

/// The key in `pem`, once for each of the algorithms that it signs with, or else for what is usual.
fn fitting(pem: &[u8], algorithms: &[SigningAlgorithm]) -> Vec<SigningKey> {
    let read = |algorithm: &SigningAlgorithm| SigningKey::from_pem(pem, *algorithm).ok();
    let asked: Vec<SigningKey> = algorithms.iter().filter_map(read).collect();
    match asked.is_empty() {
        true => USUAL.iter().find_map(read).into_iter().collect(),
        false => asked,
    }
}

#[cfg(test)]
mod tests {
    use super::super::pem::new_key;
    use super::super::proof::PROOF_KEY;
    use super::*;

    fn pem(algorithm: SigningAlgorithm) -> Vec<u8> {
        let pem = new_key(algorithm).expect("a key");
        pem.as_bytes().to_vec()
    }

    fn refused(
        signing: &[Vec<u8>],
        encryption: &[Vec<u8>],
        algorithms: &[SigningAlgorithm],
    ) -> UnusableKeys {
        let read = OwnKeys::read(signing, encryption, algorithms);
        read.err().expect("a refusal")
    }

    #[test]
    fn x2_the_first_key_that_fits_signs_and_all_are_published_with_nothing_private() {
        let (old, new) = (pem(SigningAlgorithm::ES256), pem(SigningAlgorithm::ES256));
        let (rsa, ec) = (PROOF_KEY.to_vec(), pem(SigningAlgorithm::ES384));
        let signing = [new.clone(), old, rsa];
        let keys = OwnKeys::read(&signing, &[ec], &[SigningAlgorithm::ES256]).expect("they fit");
        let first = SigningKey::from_pem(&new, SigningAlgorithm::ES256).expect("a key");
        let signs = keys.signing(SigningAlgorithm::ES256).expect("one signs");
        assert_eq!(signs.thumbprint(), first.thumbprint());
        assert!(keys.signing(SigningAlgorithm::RS256).is_none());
        assert_eq!(keys.decryption().len(), 1);
        let published = keys.public();
        let published = published["keys"].as_array().expect("keys");
        let told = |name: &str| -> Vec<String> {
            let of = |jwk: &Value| jwk[name].as_str().expect("a text").to_owned();
            published.iter().map(of).collect()
        };
        assert_eq!(told("alg"), ["ES256", "ES256", "PS256", "ECDH-ES"]);
        assert_eq!(told("use"), ["sig", "sig", "sig", "enc"]);
        assert_eq!(told("kid").into_iter().collect::<HashSet<_>>().len(), 4);
        for jwk in published {
            for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                assert!(jwk.get(private).is_none(), "{private}");
            }
        }
    }

    #[test]
    fn a_key_that_signs_with_several_algorithms_is_published_once_and_names_none() {
        let both = [SigningAlgorithm::PS256, SigningAlgorithm::RS256];
        let twice = [PROOF_KEY, PROOF_KEY];
        let keys = OwnKeys::read(&twice, &[], &both).expect("it fits");
        assert!(
            both.iter()
                .all(|algorithm| keys.signing(*algorithm).is_some())
        );
        let published = keys.public();
        let published = published["keys"].as_array().expect("keys");
        assert_eq!(published.len(), 1);
        assert_eq!(
            (published[0].get("alg"), &published[0]["use"]),
            (None, &json!("sig"))
        );
    }

    #[test]
    fn keys_that_cannot_be_used_are_refused_with_the_remedy() {
        let rsa = PROOF_KEY.to_vec();
        let (p256, p384) = (pem(SigningAlgorithm::ES256), pem(SigningAlgorithm::ES384));
        let ed = pem(SigningAlgorithm::EdDSA);
        let ps256 = [SigningAlgorithm::PS256];
        for (found, expected, remedy) in [
            (
                refused(&[rsa.clone(), b"no key".to_vec()], &[], &ps256),
                UnusableKeys::Signing(1),
                "openssl genpkey",
            ),
            (
                refused(&[include_bytes!("short.pem").to_vec()], &[], &[]),
                UnusableKeys::Signing(0),
                "2048",
            ),
            (
                refused(&[p256.clone(), p384], &[], &ps256),
                UnusableKeys::NoneFor(SigningAlgorithm::PS256),
                "PS256; add one",
            ),
            (
                refused(std::slice::from_ref(&p256), &[ed], &[]),
                UnusableKeys::Encryption(0),
                "ECDH-ES",
            ),
            (
                refused(
                    std::slice::from_ref(&p256),
                    &[rsa.clone(), p256.clone()],
                    &[],
                ),
                UnusableKeys::ForBoth(1),
                "make another key",
            ),
            (
                refused(
                    std::slice::from_ref(&rsa),
                    std::slice::from_ref(&rsa),
                    &ps256,
                ),
                UnusableKeys::ForBoth(0),
                "make another key",
            ),
        ] {
            assert_eq!(found, expected);
            let problem = found.problem();
            assert!(problem.contains(remedy), "{problem}");
        }
    }
}
