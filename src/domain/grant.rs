//! What an institution gave: tokens, scope, expiry, subject.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// A grant, in clear. Lives only between the token endpoint and the seal, or the seal and a lease.
pub struct Grant {
    /// Sent to the institution's resources, and lent to the aggregator for one job.
    pub access_token: SecretString,
    /// Sent to the institution's token endpoint; leaves the gateway for nobody else.
    pub refresh_token: Option<SecretString>,
    /// What was granted, as the institution put it; as requested when it said nothing
    /// (RFC 6749 section 5.1).
    pub scope: Option<String>,
    /// When the access token ends, where the institution says.
    pub expires_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Written {
    access_token: String,
    refresh_token: Option<String>,
    scope: Option<String>,
    expires_at: Option<Timestamp>,
}

impl Drop for Written {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.access_token.zeroize();
        self.refresh_token.zeroize();
    }
}

impl Grant {
    /// The bytes to seal.
    pub fn to_bytes(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let written = Written {
            access_token: self.access_token.expose_secret().to_owned(),
            refresh_token: self
                .refresh_token
                .as_ref()
                .map(|token| token.expose_secret().to_owned()),
            scope: self.scope.clone(),
            expires_at: self.expires_at,
        };
        zeroize::Zeroizing::new(serde_json::to_vec(&written).expect("strings and a time are JSON"))
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` when the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut written: Written = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            access_token: SecretString::from(std::mem::take(&mut written.access_token)),
            refresh_token: written.refresh_token.take().map(SecretString::from),
            scope: written.scope.take(),
            expires_at: written.expires_at,
        })
    }
}
