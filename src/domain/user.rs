//! The client's end user.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::form;
use super::id::{ClientId, UserGuid};

/// The longest name that a client gives to something, in bytes.
pub const NAME_LIMIT: usize = 255;

/// Whether a client may call a user so: 1 to [`NAME_LIMIT`] bytes without control characters, and not of the form of a
/// guid, which would win where both are accepted.
pub fn is_id(text: &str) -> bool {
    let fits = (1..=NAME_LIMIT).contains(&text.len()) && !text.chars().any(char::is_control);
    fits && text.parse::<UserGuid>().is_err()
}

/// A user of one client (CONTRACT.md 2.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The guid in the API.
    pub guid: UserGuid,
    /// The client.
    pub client: ClientId,
    /// The client's own name for the user, unique within the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// An e-mail address that the client stores with the user; never used to identify anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Free text of the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Whether the client has disabled the user: nothing new can be started for it.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_disabled: bool,
    /// When the user was created.
    #[serde(with = "form")]
    pub created_at: Timestamp,
}
