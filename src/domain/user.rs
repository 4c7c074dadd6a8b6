//! The client's end user.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::form;
use super::id::{ClientId, UserGuid};

/// A user of one client (CONTRACT.md 2.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The name the API uses.
    pub guid: UserGuid,
    /// Whose user this is.
    pub client: ClientId,
    /// The client's own name for the user, unique within the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// An address the client keeps with the user; never used to identify anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Free text of the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Kept and given back; a disabled user's members are not aggregated in the background.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_disabled: bool,
    /// When the user was created.
    #[serde(with = "form")]
    pub created_at: Timestamp,
}
