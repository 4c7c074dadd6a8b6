//! The secrets of one attempt that stay with us: PKCE verifier and `nonce`; and what the institution said
//! before the browser left.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oauth2::{PkceCodeChallenge, PkceCodeVerifier};
use zeroize::Zeroizing;

use crate::domain::connection_values::ConnectionValues;
use crate::domain::layout::LayoutError;
use crate::domain::random::{self, Random};

/// The layout that [`AttemptSecrets::to_bytes`] writes: this byte, the verifier, the nonce.
const LAYOUT: u8 = 1;
/// The same, and JSON of what was obtained.
const WITH_VALUES: u8 = 2;
/// 32 bytes in Base64url.
const LENGTH: usize = 43;

/// The PKCE verifier (RFC 7636 section 4.1) and the `nonce` (OpenID Connect Core section 15.5.2) of one
/// attempt: 43 characters each, drawn independently. Cannot be printed; kept only sealed.
pub struct AttemptSecrets {
    verifier: Zeroizing<String>,
    nonce: Zeroizing<String>,
    obtained: ConnectionValues,
}

impl AttemptSecrets {
    /// Draws both.
    pub fn new(random: &dyn Random) -> Self {
        let draw = || {
            let bytes: Zeroizing<[u8; 32]> = Zeroizing::new(random::bytes(random));
            Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
        };
        Self {
            verifier: draw(),
            nonce: draw(),
            obtained: ConnectionValues::default(),
        }
    }

    /// Adds what the institution said before the browser left.
    pub fn obtain(&mut self, obtained: ConnectionValues) {
        self.obtained = obtained;
    }

    /// What the institution said before the browser left, such as the id of the consent that this attempt is
    /// for. A claim of an ID token that names it must name this one.
    pub fn obtained(&self) -> &ConnectionValues {
        &self.obtained
    }

    /// The `code_verifier` of the token request.
    pub(super) fn verifier(&self) -> &str {
        &self.verifier
    }

    /// The `code_challenge` of the authorization request and its method: `S256`.
    pub(super) fn challenge(&self) -> PkceCodeChallenge {
        let verifier = PkceCodeVerifier::new(self.verifier.to_string());
        PkceCodeChallenge::from_code_verifier_sha256(&verifier)
    }

    /// The `nonce` of the authorization request.
    pub(super) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// The bytes to seal.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + 2 * LENGTH));
        let has_values = !self.obtained.is_empty();
        bytes.push(if has_values { WITH_VALUES } else { LAYOUT });
        bytes.extend_from_slice(self.verifier.as_bytes());
        bytes.extend_from_slice(self.nonce.as_bytes());
        if has_values {
            let values = serde_json::to_vec(&self.obtained).expect("texts are JSON");
            bytes.extend_from_slice(&values);
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] when the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LayoutError> {
        let (version, bytes) = bytes.split_first().ok_or(LayoutError::Malformed)?;
        let (bytes, obtained) = match *version {
            LAYOUT => (bytes, ConnectionValues::default()),
            WITH_VALUES => {
                let at = bytes.split_at_checked(2 * LENGTH);
                let (bytes, values) = at.ok_or(LayoutError::Malformed)?;
                let values = serde_json::from_slice(values).map_err(|_| LayoutError::Malformed)?;
                (bytes, values)
            }
            other => return Err(LayoutError::Version(u32::from(other))),
        };
        let base64url = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        let text = std::str::from_utf8(bytes).ok();
        let sound = text.filter(|text| text.len() == 2 * LENGTH && bytes.iter().all(base64url));
        let (verifier, nonce) = sound.ok_or(LayoutError::Malformed)?.split_at(LENGTH);
        Ok(Self {
            verifier: Zeroizing::new(verifier.to_owned()),
            nonce: Zeroizing::new(nonce.to_owned()),
            obtained,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::Os;
    use super::*;

    #[test]
    fn a2_the_challenge_is_that_of_the_standards_own_example() {
        // RFC 7636 appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let bytes = format!("\u{1}{verifier}{}", "n".repeat(LENGTH));
        let secrets = AttemptSecrets::from_bytes(bytes.as_bytes()).unwrap();
        assert_eq!(
            secrets.challenge().as_str(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn m1_verifier_and_nonce_are_drawn_apart_and_anew() {
        let mut seen = std::collections::HashSet::new();
        for _ in 0..500 {
            let secrets = AttemptSecrets::new(&Os);
            assert_eq!(secrets.verifier().len(), LENGTH);
            assert!(seen.insert(secrets.verifier().to_owned()));
            assert!(seen.insert(secrets.nonce().to_owned()));
        }
    }

    #[test]
    fn secrets_survive_writing_and_nothing_else_is_read() {
        let secrets = AttemptSecrets::new(&Os);
        let bytes = secrets.to_bytes();
        let read = AttemptSecrets::from_bytes(&bytes).unwrap();
        assert_eq!(read.verifier(), secrets.verifier());
        assert_eq!(read.nonce(), secrets.nonce());
        let refused = |bytes: &[u8]| AttemptSecrets::from_bytes(bytes).err();
        let malformed = Some(LayoutError::Malformed);
        assert_eq!(refused(&[]), malformed);
        assert_eq!(refused(&bytes[..2 * LENGTH]), malformed);
        assert_eq!(refused(&[LAYOUT; 1 + 2 * LENGTH]), malformed);
        let mut later = bytes.clone();
        later[0] = 3;
        assert_eq!(refused(&later), Some(LayoutError::Version(3)));
        later[0] = WITH_VALUES;
        assert_eq!(refused(&later), malformed);

        let mut obtaining = read;
        let consent = ConnectionValues::of_consent("C-1".to_owned());
        obtaining.obtain(consent.clone());
        let read = AttemptSecrets::from_bytes(&obtaining.to_bytes()).unwrap();
        assert_eq!(
            (read.verifier(), read.obtained()),
            (secrets.verifier(), &consent)
        );
    }
}
