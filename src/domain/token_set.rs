//! A token set: what an institution issued in a token response.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::connection_values::ConnectionValues;
use super::digest::Digest;
use super::layout::LayoutError;

/// Tokens, scope and expiry, in clear. Exists only between the token endpoint and the seal, or the seal
/// and a lease.
pub struct TokenSet {
    /// Sent to the institution's resources, and lent to the aggregator for one job.
    pub access_token: SecretString,
    /// Sent only to the institution's own endpoints.
    pub refresh_token: Option<SecretString>,
    /// The granted scope, as the institution wrote it; the requested one if it named none (RFC 6749
    /// section 5.1).
    pub scope: Option<String>,
    /// When the access token ends, if the institution says so.
    pub expires_at: Option<Timestamp>,
    /// When the person's consent ends, if the institution says so or its file does. Then nothing renews it any more.
    pub consent_expires_at: Option<Timestamp>,
    /// What belongs to the connection, and stands in the calls about it.
    pub values: ConnectionValues,
    /// What was granted in detail (RFC 9396 section 7): JSON, as the institution wrote it; `None`: it did not say.
    pub authorization_details: Option<String>,
    /// Whose it is, as a digest of what the ID token of its authorization says; `None`: there was none.
    pub person: Option<Digest>,
    /// The thumbprint of the client certificate that was shown when it was issued: the access token may be bound to that
    /// (`x5t#S256`, RFC 8705 section 3).
    pub bound_to: Option<String>,
}

/// The layout that [`TokenSet::to_bytes`] writes.
const LAYOUT: u32 = 1;

/// What every layout begins with.
#[derive(Deserialize)]
struct Layout {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    access_token: String,
    refresh_token: Option<String>,
    scope: Option<String>,
    expires_at: Option<Timestamp>,
    #[serde(default)]
    consent_expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "ConnectionValues::is_empty")]
    values: ConnectionValues,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authorization_details: Option<String>,
    #[serde(default)]
    person: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bound_to: Option<String>,
}

impl Drop for Written {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
}

impl TokenSet {
    /// The bytes to seal.
    pub fn to_bytes(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let written = Written {
            version: LAYOUT,
            access_token: self.access_token.expose_secret().to_owned(),
            refresh_token: self
                .refresh_token
                .as_ref()
                .map(|token| token.expose_secret().to_owned()),
            scope: self.scope.clone(),
            expires_at: self.expires_at,
            consent_expires_at: self.consent_expires_at,
            values: self.values.clone(),
            authorization_details: self.authorization_details.clone(),
            person: self.person,
            bound_to: self.bound_to.clone(),
        };
        zeroize::Zeroizing::new(serde_json::to_vec(&written).expect("strings and a time are JSON"))
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    ///
    /// [`LayoutError`] when the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LayoutError> {
        let malformed = |_| LayoutError::Malformed;
        let Layout { version } = serde_json::from_slice(bytes).map_err(malformed)?;
        if version != LAYOUT {
            return Err(LayoutError::Version(version));
        }
        let mut written: Written = serde_json::from_slice(bytes).map_err(malformed)?;
        Ok(Self {
            access_token: SecretString::from(std::mem::take(&mut written.access_token)),
            refresh_token: written.refresh_token.take().map(SecretString::from),
            scope: written.scope.take(),
            expires_at: written.expires_at,
            consent_expires_at: written.consent_expires_at,
            values: std::mem::take(&mut written.values),
            authorization_details: written.authorization_details.take(),
            person: written.person,
            bound_to: written.bound_to.take(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_survives_writing_and_another_layout_is_told_from_damage() {
        let token_set = TokenSet {
            access_token: SecretString::from("access"),
            refresh_token: Some(SecretString::from("refresh")),
            scope: Some("accounts".to_owned()),
            expires_at: Timestamp::from_second(1_800_000_000).ok(),
            consent_expires_at: Timestamp::from_second(1_900_000_000).ok(),
            values: ConnectionValues::of_consent("C-1".to_owned()),
            authorization_details: Some(r#"[{"type":"accounts"}]"#.to_owned()),
            person: Some(Digest::of("person", "ada")),
            bound_to: Some("a-thumbprint".to_owned()),
        };
        let read = TokenSet::from_bytes(&token_set.to_bytes()).expect("what was written");
        assert!(read.person == token_set.person);
        assert_eq!(read.access_token.expose_secret(), "access");
        let refresh_token = read.refresh_token.expect("it is kept");
        assert_eq!(refresh_token.expose_secret(), "refresh");
        assert_eq!(
            (
                read.scope,
                read.expires_at,
                read.consent_expires_at,
                read.values,
                read.bound_to
            ),
            (
                token_set.scope,
                token_set.expires_at,
                token_set.consent_expires_at,
                token_set.values,
                token_set.bound_to
            )
        );
        assert_eq!(read.authorization_details, token_set.authorization_details);
        for (bytes, expected) in [
            (r#"{"version":2,"tokens":[]}"#, LayoutError::Version(2)),
            (r#"{"version":1}"#, LayoutError::Malformed),
            (r#"{"access_token":"a"}"#, LayoutError::Malformed),
            ("", LayoutError::Malformed),
        ] {
            let read = TokenSet::from_bytes(bytes.as_bytes()).err();
            assert_eq!(read, Some(expected), "{bytes}");
        }
    }
}
