//! SSO tokens and sessions.

use serde::Serialize;
use utoipa::ToSchema;

/// An SSO token.
#[derive(Serialize, ToSchema)]
pub struct ApiTokenBody<'a> {
    /// The token.
    pub api_token: ApiToken<'a>,
}

/// An SSO token: good for one `POST /sessions` within 10 minutes.
#[derive(Serialize, ToSchema)]
pub struct ApiToken<'a> {
    /// What `MD-API-TOKEN` takes.
    pub token: &'a str,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub struct SessionBody<'a> {
    /// The session.
    pub session: Session<'a>,
}

/// A session of one user: over after 30 minutes without a call.
#[derive(Serialize, ToSchema)]
pub struct Session<'a> {
    /// What `MD-SESSION-TOKEN` takes.
    pub token: &'a str,
}
