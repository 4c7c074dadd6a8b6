//! Confirms an authorization that waits for it.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};

use super::Scope;
use crate::domain::client::Client;
use crate::domain::id::{MemberGuid, UserGuid};
use crate::domain::window::AuthStatus;
use crate::flow::completion::{self, Completed};
use crate::flow::{Gateway, access};
use crate::http::body::Fields;
use crate::http::json;
use crate::http::problem::{ApiResult, Kind, Problem};
use crate::http::requests::OauthCompletionRequestBody;
use crate::http::responses::OauthCompletionBody;

impl Scope<'_> {
    /// Confirms for a member that a path names. One that is not there is another one than the window's, too.
    pub async fn complete(&self, member: &str, body: &[u8]) -> ApiResult {
        access::enabled(self.user)?;
        let member = match self.guid(member).await {
            Ok(member) => Some(member),
            Err(problem) if problem.is_not_found() => None,
            Err(problem) => return Err(problem),
        };
        let named = (Some(self.user.guid), member);
        complete(self.gateway, self.client, self.headers, named, body).await
    }
}

/// Confirms for that user and member of the client; `None` where there is no such one.
pub async fn complete(
    gateway: &Arc<Gateway>,
    client: &Client,
    headers: &HeaderMap,
    (user, member): (Option<UserGuid>, Option<MemberGuid>),
    body: &[u8],
) -> ApiResult {
    let fields = Fields::parse(body, "oauth_completion")?;
    let sent = fields.take::<OauthCompletionRequestBody>();
    let handle = sent.oauth_completion.handle.required()?;
    let completed = completion::confirm(gateway, client, user, member, &handle).await?;
    let Completed::Confirmed(window) = completed else {
        return Err(Problem::not_found("completion of this member"));
    };
    if let Some(reason) = window.status.error_reason() {
        let message = "The confirmation came, and the flow failed all the same: make a new link.";
        return Err(Problem::new(Kind::Unprocessable, message).with_error_reason(reason));
    }
    let status = match window.status.auth_status() {
        AuthStatus::Success => StatusCode::OK,
        AuthStatus::Pending | AuthStatus::Errored => StatusCode::ACCEPTED,
    };
    Ok(json::response(
        headers,
        status,
        &OauthCompletionBody::from(&*window),
    ))
}
