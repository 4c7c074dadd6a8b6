//! What the app knows of one member: from the gateway, and from what was pulled.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::App;
use super::gateway::{Challenge, CredentialField, GatewayError, Member, OauthState};
use crate::sandbox::pulls::Pull;
use crate::sandbox::wire::now;

/// The names of the error reasons, by number.
const REASONS: [&str; 7] = [
    "UNKNOWN_ERROR",
    "CANCELLED",
    "DENIED",
    "IMPEDED",
    "PROVIDER_ERROR",
    "SERVER_ERROR",
    "SESSION_ERROR",
];

/// A member and its newest attempt, as the page shows them and the script reads them.
#[derive(Debug, Serialize)]
pub(super) struct Followed {
    /// The member the window was opened for.
    pub(super) member_guid: String,
    /// The member that the login turned out to belong to; usually the same.
    pub(super) inbound_member_guid: Option<String>,
    pub(super) name: String,
    pub(super) connection_status: String,
    pub(super) is_being_aggregated: bool,
    /// 1 pending, 2 success, 3 errored; none when there was no attempt.
    pub(super) auth_status: Option<u8>,
    /// The name of the reason when the attempt ended in an error.
    pub(super) error_reason: Option<&'static str>,
    /// All of that in a sentence.
    pub(super) summary: String,
    pub(super) is_oauth: bool,
    /// What the bank asks; the member is CHALLENGED then.
    pub(super) challenges: Vec<Challenge>,
    /// What to type to sign in again, where that would help.
    #[serde(skip)]
    pub(super) fields: Vec<CredentialField>,
    /// The accounts and transactions, once they were pulled.
    #[serde(flatten)]
    pub(super) pull: Option<Pull>,
    /// The id of the last webhook.
    newest_webhook: Option<String>,
}

impl Followed {
    /// Whether a fresh link would help.
    pub(super) fn may_connect(&self) -> bool {
        self.is_oauth && self.connection_status != "CONNECTED"
    }

    /// The member to show and to act on.
    pub(super) fn shown_guid(&self) -> &str {
        let inbound = self.inbound_member_guid.as_deref();
        inbound.unwrap_or(&self.member_guid)
    }
}

/// Asks the gateway about a member and its newest attempt.
pub(super) async fn follow(app: &App, guid: &str) -> Result<Followed, GatewayError> {
    let attempt = app.gateway.newest_state(guid).await?;
    let inbound = attempt
        .as_ref()
        .and_then(|attempt| attempt.inbound_member_guid.clone());
    let shown = inbound.as_deref().unwrap_or(guid);
    let member = app
        .gateway
        .member(shown)
        .await?
        .ok_or(GatewayError::NotFound)?;
    let status = member.connection_status.clone().unwrap_or_default();
    let error_reason = attempt
        .as_ref()
        .filter(|attempt| attempt.auth_status == 3)
        .map(|attempt| {
            let number = usize::from(attempt.error_reason.unwrap_or(0));
            REASONS.get(number).copied().unwrap_or(REASONS[0])
        });
    let is_oauth = member.is_oauth.unwrap_or(false);
    let challenges = match status.as_str() {
        "CHALLENGED" => app.gateway.challenges(shown).await?,
        _ => Vec::new(),
    };
    let fields = match (member.institution_code.as_deref(), status.as_str()) {
        (Some(code), status) if !is_oauth && wants_sign_in(status) => {
            app.gateway.credential_fields(code).await?
        }
        _ => Vec::new(),
    };
    let pull = app.pulls.of(shown, now());
    Ok(Followed {
        member_guid: guid.to_owned(),
        name: member.name.clone().unwrap_or_default(),
        is_being_aggregated: member.is_being_aggregated.unwrap_or(false),
        auth_status: attempt.as_ref().map(|attempt| attempt.auth_status),
        error_reason,
        summary: summary(&member, attempt.as_ref(), pull.is_some()),
        is_oauth,
        challenges,
        fields,
        connection_status: status,
        inbound_member_guid: inbound,
        pull,
        newest_webhook: app.log.newest_id(),
    })
}

/// Whether a member of this status, connected by name and password, is helped by new ones.
fn wants_sign_in(status: &str) -> bool {
    !matches!(
        status,
        "CONNECTED" | "CREATED" | "UPDATED" | "RESUMED" | "CHALLENGED"
    )
}

/// The state of things in a sentence.
fn summary(member: &Member, attempt: Option<&OauthState>, pulled: bool) -> String {
    let status = member.connection_status.as_deref().unwrap_or_default();
    let under_way = attempt.is_some_and(|attempt| attempt.auth_status == 1);
    let failed = attempt.is_some_and(|attempt| attempt.auth_status == 3);
    match status {
        "CONNECTED" if member.is_being_aggregated == Some(true) => {
            "Connected. Your accounts are on their way.".to_owned()
        }
        "CONNECTED" if pulled => "Connected. Your accounts are here.".to_owned(),
        "CONNECTED" => "Connected.".to_owned(),
        "PENDING" if under_way => "Waiting for you to finish at your bank.".to_owned(),
        "PENDING" if failed => "Not connected. You can try again.".to_owned(),
        "PENDING" => "Not connected yet.".to_owned(),
        "CREATED" | "UPDATED" | "RESUMED" => "Your bank signs you in.".to_owned(),
        "CHALLENGED" => "Your bank asks you something.".to_owned(),
        "DENIED" if member.is_oauth == Some(false) => {
            "Your bank did not accept the sign-in. Check what you typed, and try again.".to_owned()
        }
        "REJECTED" => "Your bank did not accept the answer. You can try again.".to_owned(),
        "LOCKED" => "Your account is locked. Unlock it at your bank, then try again.".to_owned(),
        "EXPIRED" => "The answer did not come in time. You can try again.".to_owned(),
        "FAILED" => "That did not work. You can try again.".to_owned(),
        "PREVENTED" => {
            "Three sign-ins failed. Check name and password before you try again.".to_owned()
        }
        other => format!("Needs your attention: {other}."),
    }
}

/// `GET /api/state/{member}`
pub(super) async fn state(State(app): State<Arc<App>>, Path(member): Path<String>) -> Response {
    match follow(&app, &member).await {
        Ok(followed) => ([(CACHE_CONTROL, "no-store")], Json(followed)).into_response(),
        Err(error) => super::error_json(&error),
    }
}
