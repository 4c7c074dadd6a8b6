//! A token in its compact form, taken apart (RFC 7515 section 7.1, RFC 7516 section 7.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use zeroize::Zeroizing;

/// How long a token may be, in bytes: as long as the response that brings it.
pub const TOKEN_LIMIT: usize = 64 * 1024;

/// Why a token is refused. None of these holds anything of it but the name of an algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    /// It is not in the compact form, or its header is not the JSON object that it should be.
    #[error("it is no token in the compact form")]
    Malformed,
    /// It is longer than [`TOKEN_LIMIT`].
    #[error("it is longer than {TOKEN_LIMIT} bytes")]
    TooLong,
    /// Its header names another algorithm than the expected one.
    #[error("its header has another {0} than the registered one")]
    Algorithm(&'static str),
    /// Its header demands something that is not understood here (RFC 7515 section 4.1.11), or is compressed.
    #[error("its header has {0}, which is not understood")]
    NotUnderstood(&'static str),
    /// No key fits it, or several do and it does not say which.
    #[error("no key of the set is the one that it was made with")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("its signature is wrong")]
    Signature,
    /// It cannot be decrypted with our keys.
    #[error("it cannot be decrypted")]
    Decryption,
}

/// The members of a header that are looked at.
#[derive(Deserialize)]
pub struct Header {
    /// The algorithm.
    pub alg: String,
    /// The content encryption.
    pub enc: Option<String>,
    /// Which key.
    pub kid: Option<String>,
    /// The ephemeral public key.
    pub epk: Option<serde_json::Value>,
    /// Party information.
    pub apu: Option<String>,
    /// Party information.
    pub apv: Option<String>,
    crit: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
}

/// The parts of a token, still encoded.
pub fn parts<const N: usize>(token: &str) -> Result<[&str; N], JoseError> {
    if token.len() > TOKEN_LIMIT {
        return Err(JoseError::TooLong);
    }
    let mut parts = [""; N];
    let mut rest = token.split('.');
    for part in &mut parts {
        *part = rest.next().ok_or(JoseError::Malformed)?;
    }
    rest.next().map_or(Ok(parts), |_| Err(JoseError::Malformed))
}

/// Decodes a part. Padding and characters that do not count are refused, so a token has one spelling only.
pub fn decoded(part: &str) -> Result<Zeroizing<Vec<u8>>, JoseError> {
    let bytes = URL_SAFE_NO_PAD.decode(part);
    bytes.map(Zeroizing::new).map_err(|_| JoseError::Malformed)
}

/// Decodes a header, and refuses one that demands what is not understood.
///
/// A member that is there twice is refused by serde.
pub fn header(part: &str) -> Result<Header, JoseError> {
    let header: Header =
        serde_json::from_slice(&decoded(part)?).map_err(|_| JoseError::Malformed)?;
    match (&header.crit, &header.zip) {
        (Some(_), _) => Err(JoseError::NotUnderstood("crit")),
        (None, Some(_)) => Err(JoseError::NotUnderstood("zip")),
        (None, None) => Ok(header),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &str) -> Result<Header, JoseError> {
        super::header(&URL_SAFE_NO_PAD.encode(header))
    }

    #[test]
    fn a_token_has_exactly_its_parts_and_one_spelling() {
        assert_eq!(parts::<3>("a.b.c"), Ok(["a", "b", "c"]));
        assert_eq!(parts::<3>("a..c"), Ok(["a", "", "c"]));
        for malformed in ["", "a", "a.b", "a.b.c.d"] {
            assert_eq!(parts::<3>(malformed), Err(JoseError::Malformed));
        }
        let long = "a".repeat(TOKEN_LIMIT + 1);
        assert_eq!(parts::<3>(&long), Err(JoseError::TooLong));
        assert_eq!(decoded("AQ").as_deref(), Ok(&vec![1]));
        for odd in ["AQ==", "AR", "A", "A+", "AQ ", "A\n"] {
            assert_eq!(decoded(odd), Err(JoseError::Malformed), "{odd:?}");
        }
    }

    #[test]
    fn i6_a_header_that_demands_what_is_not_understood_is_refused() {
        assert!(of(r#"{"alg":"ES256","kid":"1","jku":"https://evil.example","x5c":[]}"#).is_ok());
        let crit = of(r#"{"alg":"ES256","crit":["exp"],"exp":1}"#).err();
        assert_eq!(crit, Some(JoseError::NotUnderstood("crit")));
        let zip = of(r#"{"alg":"ECDH-ES","enc":"A128GCM","zip":"DEF"}"#).err();
        assert_eq!(zip, Some(JoseError::NotUnderstood("zip")));
        for malformed in [
            "",
            "[]",
            "{}",
            r#"{"alg":1}"#,
            r#"{"alg":"ES256","alg":"none"}"#,
            r#"{"alg":"ES256","kid":7}"#,
        ] {
            assert_eq!(
                of(malformed).err(),
                Some(JoseError::Malformed),
                "{malformed}"
            );
        }
    }
}
