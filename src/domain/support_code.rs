//! The short code at the end of an error page.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};

use super::id::AttemptId;

/// Digits and capitals that are not confused with each other on a screen, on paper or when they are
/// dictated: without 0 O, 1 I L, 2 Z, 5 S, 8 B, and without U, which makes too many words.
const ALPHABET: &[u8; 24] = b"34679ACDEFGHJKMNPQRTVWXY";

/// Eight characters that a person can read to support, so that they find the attempt.
///
/// A code identifies an attempt and proves nothing. It is a digest of an identifier, cut to about 37
/// bits: it does not reveal the identifier, and in principle two attempts may have the same code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SupportCode([u8; Self::LENGTH]);

impl SupportCode {
    /// The code on the pages of an attempt.
    pub fn of(attempt: &AttemptId) -> Self {
        Self::from_bytes(attempt.as_str().as_bytes())
    }

    /// Characters in a code.
    pub const LENGTH: usize = 8;

    /// The code of an identifier, of any length. The same bytes always give the same code.
    pub fn from_bytes(identifier: &[u8]) -> Self {
        let hash = digest(&SHA256, identifier);
        let mut number = hash
            .as_ref()
            .iter()
            .take(8)
            .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        Self(std::array::from_fn(|_| {
            let letter = ALPHABET[(number % 24) as usize];
            number /= 24;
            letter
        }))
    }
}

/// Text that is no support code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is no support code; it has eight letters and digits, as on the page that the person saw")]
pub struct InvalidSupportCode;

impl FromStr for SupportCode {
    type Err = InvalidSupportCode;

    /// As somebody writes it down: in small letters, or with spaces.
    fn from_str(text: &str) -> Result<Self, InvalidSupportCode> {
        let letters = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
        let letters: Vec<u8> = letters.map(|byte| byte.to_ascii_uppercase()).collect();
        let code = <[u8; Self::LENGTH]>::try_from(letters).map_err(|_| InvalidSupportCode)?;
        let is_one = code.iter().all(|letter| ALPHABET.contains(letter));
        is_one.then_some(Self(code)).ok_or(InvalidSupportCode)
    }
}

impl fmt::Display for SupportCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|letter| write!(f, "{}", char::from(*letter)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_short_plain_and_stable() {
        let codes: HashSet<String> = (0..10_000_u32)
            .map(|n| SupportCode::from_bytes(&n.to_be_bytes()).to_string())
            .collect();
        assert_eq!(codes.len(), 10_000);
        for code in &codes {
            assert_eq!(code.len(), SupportCode::LENGTH);
            assert!(!code.contains(['0', 'O', '1', 'I', 'L', '2', 'Z', '5', 'S', '8', 'B', 'U']));
        }
        let letters: HashSet<char> = codes.iter().flat_map(|code| code.chars()).collect();
        assert_eq!(letters.len(), ALPHABET.len());
    }

    #[test]
    fn the_same_identifier_has_the_same_code() {
        assert_eq!(SupportCode::from_bytes(b"a"), SupportCode::from_bytes(b"a"));
        assert_ne!(SupportCode::from_bytes(b"a"), SupportCode::from_bytes(b"b"));
        assert_eq!(SupportCode::from_bytes(b"").to_string().len(), 8);
    }

    #[test]
    fn a_code_is_read_as_somebody_writes_it_down() {
        let code = SupportCode::from_bytes(b"a");
        let written = code.to_string();
        let (first, last) = written.split_at(4);
        for text in [
            &written,
            &written.to_lowercase(),
            &format!(" {first} {last} "),
        ] {
            assert_eq!(text.parse(), Ok(code), "{text}");
        }
        for none in ["", "3467", "3467ACDEF", "3467ACD0", "3467ACD\u{c4}"] {
            assert_eq!(
                none.parse::<SupportCode>(),
                Err(InvalidSupportCode),
                "{none}"
            );
        }
    }
}
