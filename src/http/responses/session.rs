//! SSO tokens and sessions.

use serde::Serialize;
use utoipa::ToSchema;

/// An SSO token.
#[derive(Serialize, ToSchema)]
pub struct ApiTokenBody<'a> {
    /// The token.
    pub api_token: ApiToken<'a>,
}

/// An SSO token: it works for one `POST /sessions` within 10 minutes.
#[derive(Serialize, ToSchema)]
pub struct ApiToken<'a> {
    /// The value for `MD-API-TOKEN`.
    pub token: &'a str,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub struct SessionBody<'a> {
    /// The session.
    pub session: Session<'a>,
}

/// A session of one user. It ends after 30 minutes without a call.
#[derive(Serialize, ToSchema)]
pub struct Session<'a> {
    /// The value for `MD-SESSION-TOKEN`.
    pub token: &'a str,
}
