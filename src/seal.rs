//! Sealing at rest: token sets, attempts and held responses are kept as envelopes that only this gateway
//! can open, and only in the context they were sealed for.
//!
//! Every envelope has a fresh 256-bit data key, wrapped (AES Key Wrap, RFC 3394) by a key-encryption key
//! of the [`KeyRing`]. Wrapping uses no nonce, so one key-encryption key may serve any number of
//! envelopes. From the data key, a random salt and the [`Context`], HKDF-SHA-256 derives an encryption
//! key and a commitment; the content is encrypted with AES-256-GCM. The commitment is compared, in
//! constant time, before anything is decrypted: AES-GCM alone would allow one ciphertext that opens under
//! two keys.
//!
//! ```text
//! version 1 ‖ algorithm 1 ‖ length 1, key id ‖ wrapped data key 40 ‖ salt 32 ‖ commitment 32 ‖ nonce 12 ‖ ciphertext, tag 16
//! ```
//!
//! The associated data binds version, algorithm, key id, client, subject and field, each with its length
//! in front. An envelope that was changed or moved to another record does not open; the error does not
//! say which of the two happened.

mod keys;

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::key_wrap::KeyWrap;
use aws_lc_rs::{constant_time, hkdf, hmac};
use zeroize::Zeroizing;

pub use keys::{KEY_ID_LIMIT, KeyRing, KeyRingError, SealKey};

use crate::domain::id::{ClientId, InstitutionCode, UserGuid};
use crate::domain::random::{self, Random};
use crate::domain::secret::Digest;

const VERSION: u8 = 1;
/// AES Key Wrap, HKDF-SHA-256 with commitment, AES-256-GCM.
const ALGORITHM: u8 = 1;
const KEY: usize = 32;
const WRAPPED: usize = KEY + 8;
const SALT: usize = 32;
const COMMITMENT: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;

/// What kind of content an envelope holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A member's token set.
    TokenSet,
    /// An attempt's verifier and nonce.
    Attempt,
    /// An authorization response, held between its POST and the GET that follows.
    AuthorizationResponse,
    /// The handle that confirms what an attempt brought.
    CompletionHandle,
    /// A standard member's credentials.
    Credentials,
    /// The answers to a job's challenges.
    ChallengeAnswers,
    /// The response to a request with an `Idempotency-Key`.
    StoredResponse,
    /// What is kept of an attempt that failed.
    Report,
    /// Why an authorization response was refused, on its way from its POST to the GET that follows.
    Refusal,
}

impl Field {
    fn name(self) -> &'static str {
        match self {
            Self::TokenSet => "grant",
            Self::Attempt => "attempt",
            Self::AuthorizationResponse => "answer",
            Self::CompletionHandle => "completion-handle",
            Self::Credentials => "credentials",
            Self::ChallengeAnswers => "challenge-answers",
            Self::StoredResponse => "idempotent-answer",
            Self::Report => "report",
            Self::Refusal => "refusal",
        }
    }
}

/// The one context in which an envelope opens.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The tenant; `None` for content that is sealed before the tenant is known (an attempt, a held
    /// response); its subject cannot be guessed.
    pub client: Option<&'a ClientId>,
    /// What it belongs to: a member's guid, an attempt's id.
    pub subject: &'a str,
    /// The kind of content.
    pub field: Field,
}

impl Context<'_> {
    /// Every part with its length in front, so that no two contexts have the same bytes.
    fn associated_data(&self, key_id: &str) -> Vec<u8> {
        let mut data = vec![VERSION, ALGORITHM];
        for part in [
            key_id,
            self.client.map(ClientId::as_str).unwrap_or_default(),
            self.subject,
            self.field.name(),
        ] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part.as_bytes());
        }
        data
    }
}

/// Why an envelope did not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The bytes are not an envelope of a version this program knows.
    #[error("the sealed bytes are not an envelope this version can read")]
    Malformed,
    /// The key that sealed it is not in the ring.
    #[error("the seal key {0:?} is not in the key ring")]
    UnknownKey(String),
    /// It was changed, or sealed for another context, or with another key of the same id.
    #[error("the sealed data cannot be decrypted here")]
    Refused,
}

/// The id of the key that an envelope was sealed under; `None`: it is no envelope that this version can read.
pub fn key_id(envelope: &[u8]) -> Option<&str> {
    Parts::of(envelope).map(|parts| parts.key_id)
}

/// Seals and opens with one key ring.
pub struct Sealer {
    ring: KeyRing,
}

impl Sealer {
    /// Works with the keys of `ring`.
    pub fn new(ring: KeyRing) -> Self {
        Self { ring }
    }

    /// The id of the key that seals.
    pub fn active_key(&self) -> &str {
        self.ring.active()
    }

    /// An envelope of the same content, sealed under the active key. A new data key and a new salt: the id of the key is
    /// a part of what an envelope's encryption key is derived from.
    pub fn reseal(
        &self,
        random: &dyn Random,
        context: &Context<'_>,
        envelope: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let content = self.open(context, envelope)?;
        Ok(self.seal(random, context, &content))
    }

    /// The envelope of `plaintext`. It is longer by 135 bytes and the key's id.
    pub fn seal(&self, random: &dyn Random, context: &Context<'_>, plaintext: &[u8]) -> Vec<u8> {
        let key_id = self.ring.active();
        let data_key: Zeroizing<[u8; KEY]> = Zeroizing::new(random::bytes(random));
        let salt: [u8; SALT] = random::bytes(random);
        let nonce: [u8; NONCE] = random::bytes(random);
        let associated = context.associated_data(key_id);
        let derived = Derived::new(&data_key, &salt, &associated);

        let mut wrapped = [0; WRAPPED];
        self.ring
            .key(key_id)
            .expect("the active key is in its ring")
            .wrap(&*data_key, &mut wrapped)
            .expect("32 bytes can be wrapped into 40");
        let mut content = plaintext.to_vec();
        derived
            .cipher()
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(&associated),
                &mut content,
            )
            .expect("a token response is far below AES-GCM's 64 GiB");

        let mut envelope = vec![VERSION, ALGORITHM, key_id.len() as u8];
        for part in [
            key_id.as_bytes(),
            &wrapped,
            &salt,
            derived.commitment(),
            &nonce,
            &content,
        ] {
            envelope.extend_from_slice(part);
        }
        envelope
    }

    /// The fingerprints of `login` among the members that `user` has at `institution`: one keyed digest
    /// (HMAC-SHA-256) for each key of the ring, the active one's first.
    ///
    /// `source` says which source named the login; logins of different sources are never the same. Key
    /// and source make a fingerprint's *origin*, its first bytes ([`Digest::shares_origin`]):
    /// fingerprints of different origins cannot be compared. Without the keys a fingerprint does not
    /// reveal the login, and those of two users or two institutions cannot be compared. A login is
    /// recognised for as long as the key of its fingerprint is in the ring.
    pub fn fingerprints(
        &self,
        user: UserGuid,
        institution: &InstitutionCode,
        source: &str,
        login: &str,
    ) -> Vec<Digest> {
        let user = user.to_string();
        self.ring
            .digest_keys()
            .map(|key| {
                let origin = keyed(&key, "origin", &[source.as_bytes()]);
                let parts = [&user, institution.as_str(), source, login];
                keyed(&key, "login", &parts.map(str::as_bytes)).with_origin_of(&origin)
            })
            .collect()
    }

    /// A keyed digest (HMAC-SHA-256) of several parts: nobody who sees it can find the parts by trying.
    /// It stays the same for as long as the oldest key is in the ring, so adding a new key does not
    /// change it.
    pub fn keyed_digest(&self, label: &str, parts: &[&[u8]]) -> Digest {
        keyed(&self.ring.oldest_digest_key(), label, parts)
    }

    /// The content of an envelope that [`Self::seal`] made for the same context.
    pub fn open(
        &self,
        context: &Context<'_>,
        envelope: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let parts = Parts::of(envelope).ok_or(SealError::Malformed)?;
        let kek = self
            .ring
            .key(parts.key_id)
            .ok_or_else(|| SealError::UnknownKey(parts.key_id.to_owned()))?;
        let mut data_key = Zeroizing::new([0; KEY]);
        kek.unwrap(parts.wrapped, &mut *data_key)
            .map_err(|_| SealError::Refused)?;
        let associated = context.associated_data(parts.key_id);
        let derived = Derived::new(&data_key, parts.salt, &associated);
        constant_time::verify_slices_are_equal(derived.commitment(), parts.commitment)
            .map_err(|_| SealError::Refused)?;
        let nonce =
            Nonce::try_assume_unique_for_key(parts.nonce).map_err(|_| SealError::Malformed)?;
        let mut content = Zeroizing::new(parts.content.to_vec());
        let length = derived
            .cipher()
            .open_in_place(nonce, Aad::from(&associated), &mut content)
            .map_err(|_| SealError::Refused)?
            .len();
        content.truncate(length);
        Ok(content)
    }
}

/// HMAC-SHA-256 of a label and several parts, each with its length in front.
fn keyed(key: &hmac::Key, label: &str, parts: &[&[u8]]) -> Digest {
    let mut context = hmac::Context::with_key(key);
    for part in std::iter::once(&label.as_bytes()).chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.sign().as_ref());
    Digest::from_bytes(digest)
}

/// What HKDF makes of a data key: 32 bytes of encryption key, 32 of commitment.
struct Derived(Zeroizing<[u8; KEY + COMMITMENT]>);

/// The length HKDF is asked for.
struct DerivedLength;

impl hkdf::KeyType for DerivedLength {
    fn len(&self) -> usize {
        KEY + COMMITMENT
    }
}

impl Derived {
    fn new(data_key: &[u8; KEY], salt: &[u8], info: &[u8]) -> Self {
        let mut bytes = Zeroizing::new([0; KEY + COMMITMENT]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
            .extract(data_key)
            .expand(&[info], DerivedLength)
            .and_then(|okm| okm.fill(&mut *bytes))
            .expect("64 bytes are within HKDF's limit");
        Self(bytes)
    }

    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&aead::AES_256_GCM, &self.0[..KEY]).expect("32 bytes of key");
        LessSafeKey::new(key)
    }

    fn commitment(&self) -> &[u8] {
        &self.0[KEY..]
    }
}

/// An envelope taken apart.
struct Parts<'a> {
    key_id: &'a str,
    wrapped: &'a [u8],
    salt: &'a [u8],
    commitment: &'a [u8],
    nonce: &'a [u8],
    content: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(envelope: &'a [u8]) -> Option<Self> {
        let ([VERSION, ALGORITHM, id_length], rest) = envelope.split_first_chunk()? else {
            return None;
        };
        let (key_id, rest) = rest.split_at_checked(usize::from(*id_length))?;
        let (wrapped, rest) = rest.split_at_checked(WRAPPED)?;
        let (salt, rest) = rest.split_at_checked(SALT)?;
        let (commitment, rest) = rest.split_at_checked(COMMITMENT)?;
        let (nonce, content) = rest.split_at_checked(NONCE)?;
        (content.len() >= TAG).then_some(())?;
        Some(Self {
            key_id: std::str::from_utf8(key_id).ok()?,
            wrapped,
            salt,
            commitment,
            nonce,
            content,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Os;

    impl Random for Os {
        fn fill(&self, bytes: &mut [u8]) {
            aws_lc_rs::rand::fill(bytes).unwrap();
        }
    }

    fn key(id: &str, byte: u8) -> SealKey {
        SealKey::new(id, &[byte; 32]).unwrap()
    }

    fn sealer(active: SealKey, older: Vec<SealKey>) -> Sealer {
        Sealer::new(KeyRing::new(active, older).unwrap())
    }

    fn client(id: &str) -> ClientId {
        id.parse().unwrap()
    }

    fn token_set_of<'a>(client: &'a ClientId, subject: &'a str) -> Context<'a> {
        Context {
            client: Some(client),
            subject,
            field: Field::TokenSet,
        }
    }

    #[test]
    fn what_was_sealed_opens() {
        let sealer = sealer(key("k1", 1), vec![]);
        let client = client("t1");
        let context = token_set_of(&client, "MBR-1");
        for plaintext in [&b""[..], b"token", &[7; 5000]] {
            let envelope = sealer.seal(&Os, &context, plaintext);
            assert_eq!(envelope.len(), plaintext.len() + 135 + "k1".len());
            assert_eq!(sealer.open(&context, &envelope).unwrap()[..], *plaintext);
        }
    }

    #[test]
    fn k1_nothing_of_the_content_shows_and_no_two_envelopes_agree() {
        let sealer = sealer(key("k1", 1), vec![]);
        let client = client("t1");
        let context = token_set_of(&client, "MBR-1");
        let canary = b"CANARY-refresh-token";
        let envelopes = [0, 1].map(|_| sealer.seal(&Os, &context, canary));
        for envelope in &envelopes {
            assert!(!envelope.windows(6).any(|six| canary.starts_with(six)));
        }
        let variable = 3 + "k1".len();
        assert_ne!(envelopes[0][variable..], envelopes[1][variable..]);
        assert_ne!(
            envelopes[0][variable..variable + WRAPPED],
            envelopes[1][variable..variable + WRAPPED]
        );
    }

    #[test]
    fn k2_each_flipped_bit_and_each_cut_is_refused() {
        let sealer = sealer(key("k1", 1), vec![]);
        let client = client("t1");
        let context = token_set_of(&client, "MBR-1");
        let envelope = sealer.seal(&Os, &context, b"token");
        for at in 0..envelope.len() {
            for bit in 0..8 {
                let mut changed = envelope.clone();
                changed[at] ^= 1 << bit;
                assert!(sealer.open(&context, &changed).is_err(), "byte {at}");
            }
            assert!(sealer.open(&context, &envelope[..at]).is_err(), "cut {at}");
        }
        let mut longer = envelope.clone();
        longer.push(0);
        assert_eq!(sealer.open(&context, &longer), Err(SealError::Refused));
    }

    #[test]
    fn k2_an_envelope_opens_only_where_it_belongs() {
        let sealer = sealer(key("k1", 1), vec![]);
        let (t1, t2) = (client("t1"), client("t2"));
        let envelope = sealer.seal(&Os, &token_set_of(&t1, "MBR-1"), b"token");
        let attempt = Context {
            field: Field::Attempt,
            ..token_set_of(&t1, "MBR-1")
        };
        let (shifted_client, shifted) = (client("t1M"), "BR-1");
        for elsewhere in [
            token_set_of(&t2, "MBR-1"),
            token_set_of(&t1, "MBR-2"),
            attempt,
            token_set_of(&shifted_client, shifted),
        ] {
            assert_eq!(
                sealer.open(&elsewhere, &envelope),
                Err(SealError::Refused),
                "{elsewhere:?}"
            );
        }
    }

    #[test]
    fn k2_a_key_is_chosen_by_its_id() {
        let client = client("t1");
        let context = token_set_of(&client, "MBR-1");
        let old = sealer(key("k1", 1), vec![]).seal(&Os, &context, b"token");

        let rotated = sealer(key("k2", 2), vec![key("k1", 1)]);
        assert_eq!(rotated.open(&context, &old).unwrap()[..], *b"token");
        let new = rotated.seal(&Os, &context, b"token");
        assert_eq!(new[3..5], *b"k2");

        let retired = sealer(key("k2", 2), vec![]);
        assert_eq!(
            retired.open(&context, &old),
            Err(SealError::UnknownKey("k1".to_owned()))
        );
        let impostor = sealer(key("k1", 9), vec![]);
        assert_eq!(impostor.open(&context, &old), Err(SealError::Refused));
    }

    #[test]
    fn what_is_sealed_anew_opens_when_the_old_key_is_gone() {
        let client = client("t1");
        let context = token_set_of(&client, "MBR-1");
        let old = sealer(key("k1", 1), vec![]).seal(&Os, &context, b"token");
        let both = sealer(key("k2", 2), vec![key("k1", 1)]);
        let new = both.reseal(&Os, &context, &old).unwrap();
        assert_eq!((key_id(&old), key_id(&new)), (Some("k1"), Some("k2")));
        let alone = sealer(key("k2", 2), vec![]);
        assert_eq!(alone.open(&context, &new).unwrap()[..], *b"token");

        let elsewhere = token_set_of(&client, "MBR-2");
        let refused = both.reseal(&Os, &elsewhere, &old);
        assert_eq!(refused, Err(SealError::Refused));
        let unknown = SealError::UnknownKey("k1".to_owned());
        assert_eq!(alone.reseal(&Os, &context, &old), Err(unknown));
        assert_eq!(key_id(b"no envelope"), None);
    }

    fn user(digit: u8) -> UserGuid {
        format!("USR-68e96dd6-eabd-42d3-9f05-416897f0746{digit}")
            .parse()
            .unwrap()
    }

    fn bank(code: &str) -> InstitutionCode {
        code.parse().unwrap()
    }

    #[test]
    fn a_fingerprint_is_of_one_login_of_one_user_at_one_institution() {
        let sealer = sealer(key("k1", 1), vec![]);
        let one = sealer.fingerprints(user(1), &bank("bank"), "sub", "ada");
        assert_eq!(
            one,
            sealer.fingerprints(user(1), &bank("bank"), "sub", "ada")
        );
        for other in [
            sealer.fingerprints(user(2), &bank("bank"), "sub", "ada"),
            sealer.fingerprints(user(1), &bank("banka"), "sub", "da"),
            sealer.fingerprints(user(1), &bank("bank"), "sub", "bob"),
        ] {
            assert_ne!(one, other);
            assert!(one[0].shares_origin(&other[0]));
        }
        let by_another_word = sealer.fingerprints(user(1), &bank("bank"), "credentials", "ada");
        assert_ne!(one, by_another_word);
        assert!(!one[0].shares_origin(&by_another_word[0]));
    }

    #[test]
    fn a_fingerprint_is_found_again_until_its_key_is_retired() {
        let of = |sealer: &Sealer| sealer.fingerprints(user(1), &bank("bank"), "sub", "ada");
        let before = of(&sealer(key("k1", 1), vec![]));
        let rotated = of(&sealer(key("k2", 2), vec![key("k1", 1)]));
        assert_eq!(rotated.len(), 2);
        assert_ne!(rotated[0], before[0]);
        assert_eq!(rotated[1], before[0]);
        let retired = of(&sealer(key("k2", 2), vec![]));
        assert!(!retired[0].shares_origin(&before[0]));
    }

    #[test]
    fn a_keyed_digest_outlives_the_adding_of_a_key() {
        let of = |sealer: &Sealer| sealer.keyed_digest("label", &[b"one", b"two"]);
        let before = of(&sealer(key("k1", 1), vec![]));
        assert_eq!(before, of(&sealer(key("k2", 2), vec![key("k1", 1)])));
        assert_ne!(before, of(&sealer(key("k2", 2), vec![])));
        let other = sealer(key("k1", 1), vec![]);
        assert_ne!(before, other.keyed_digest("label", &[b"on", b"etwo"]));
        assert_ne!(before, other.keyed_digest("labe", &[b"lone", b"two"]));
    }

    #[test]
    fn k2_a_swapped_data_key_is_refused() {
        let sealer = sealer(key("k1", 1), vec![]);
        let client = client("t1");
        let context = token_set_of(&client, "MBR-1");
        let one = sealer.seal(&Os, &context, b"token");
        let mut mixed = sealer.seal(&Os, &context, b"token");
        let wrapped = 5..5 + WRAPPED;
        mixed[wrapped.clone()].copy_from_slice(&one[wrapped]);
        assert_eq!(sealer.open(&context, &mixed), Err(SealError::Refused));
    }
}
