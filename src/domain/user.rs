//! The client's end user.

use jiff::Timestamp;

use super::id::{ClientId, UserGuid};

/// A user of one client (contract section 2.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name the API uses.
    pub guid: UserGuid,
    /// Whose user this is.
    pub client: ClientId,
    /// The client's own name for the user, unique within the client.
    pub id: Option<String>,
    /// An address the client keeps with the user; never used to identify anybody.
    pub email: Option<String>,
    /// Free text of the client's.
    pub metadata: Option<String>,
    /// Kept and given back; a disabled user's members are not aggregated in the background.
    pub is_disabled: bool,
    /// When the user was created.
    pub created_at: Timestamp,
}
