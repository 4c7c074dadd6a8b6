//! The published reasons why an OAuth state ended ERRORED.

use serde::{Deserialize, Serialize};

/// `error_reason`: why an OAuth state ended ERRORED (CONTRACT.md 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorReason {
    /// No reason is known.
    UnknownError,
    /// The person declined or left.
    Cancelled,
    /// The person could not sign in.
    Denied,
    /// The person has to act at the institution first.
    Impeded,
    /// The institution failed.
    ProviderError,
    /// The gateway failed.
    ServerError,
    /// The link or the attempt cannot be used: used, expired, superseded, returned in another browser.
    SessionError,
}

impl ErrorReason {
    /// Every reason, by id.
    pub const ALL: [ErrorReason; 7] = [
        Self::UnknownError,
        Self::Cancelled,
        Self::Denied,
        Self::Impeded,
        Self::ProviderError,
        Self::ServerError,
        Self::SessionError,
    ];

    /// The published id, 0 to 6.
    pub fn id(self) -> u8 {
        Self::ALL
            .iter()
            .position(|reason| *reason == self)
            .expect("ALL holds every reason") as u8
    }

    /// The reason with this id.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// The published name.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownError => "UNKNOWN_ERROR",
            Self::Cancelled => "CANCELLED",
            Self::Denied => "DENIED",
            Self::Impeded => "IMPEDED",
            Self::ProviderError => "PROVIDER_ERROR",
            Self::ServerError => "SERVER_ERROR",
            Self::SessionError => "SESSION_ERROR",
        }
    }
}
