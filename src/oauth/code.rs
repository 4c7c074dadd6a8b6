//! The authorization code.

use zeroize::Zeroizing;

/// How long a code may be, in characters.
pub const CODE_LIMIT: usize = 4 * 1024;

/// An authorization code. Cannot be printed; good for one token request.
#[derive(Clone)]
pub struct AuthorizationCode(Zeroizing<String>);

impl AuthorizationCode {
    /// Reads a code: 1 to 4096 visible ASCII characters (RFC 6749 appendix A.11, without the space).
    pub fn parse(text: &str) -> Option<Self> {
        let sound = !text.is_empty()
            && text.len() <= CODE_LIMIT
            && text.bytes().all(|b| b.is_ascii_graphic());
        sound.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text itself. Goes to the token endpoint of its institution and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
