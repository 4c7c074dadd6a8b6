//! A grant, as it moves between gateways.

use super::id::{ClientId, InstitutionCode};
use super::token_set::TokenSet;

/// What an institution granted a client about one of its users: the token set of one member, in clear, and whose it is.
/// Exists only between a file and the seal.
pub struct Grant {
    /// The tenant.
    pub client: ClientId,
    /// The client's own name for the user.
    pub user: String,
    /// The institution.
    pub institution: InstitutionCode,
    /// What the institution issued.
    pub token_set: TokenSet,
    /// Who signed in, as the institution names them, where that is known.
    pub subject: Option<String>,
}
