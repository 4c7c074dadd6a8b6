//! What the app knows of one member: from the gateway, and from what was pulled.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::App;
use super::gateway::{Challenge, CredentialField, GatewayError, OauthState};
use crate::pulls::Pull;
use crate::settings::Brand;
use crate::wire::now;
use crate::words::{Status, Tone};

/// Why an attempt ended in an error: the published name, and what a person is told.
#[derive(Debug, Clone, Copy)]
struct Reason(&'static str, &'static str);

/// The reasons, by number.
const REASONS: [Reason; 7] = [
    Reason("UNKNOWN_ERROR", "That did not work. You can try again."),
    Reason("CANCELLED", "You chose not to connect. Nothing was shared."),
    Reason(
        "DENIED",
        "Your bank did not accept the sign-in. You can try again.",
    ),
    Reason(
        "IMPEDED",
        "Your bank needs something from you first. Sign in on its own website, then try again.",
    ),
    Reason(
        "PROVIDER_ERROR",
        "Your bank has a problem. Please try again later.",
    ),
    Reason(
        "SERVER_ERROR",
        "Something went wrong on our side. Please try again.",
    ),
    Reason(
        "SESSION_ERROR",
        "This was not finished in time. You can try again.",
    ),
];

impl Reason {
    fn words(self) -> (&'static str, Tone) {
        let tone = match self.0 {
            "CANCELLED" | "SESSION_ERROR" => Tone::Attention,
            _ => Tone::Trouble,
        };
        (self.1, tone)
    }
}

/// Why this attempt, which ended in an error, did.
fn reason(attempt: &OauthState) -> Reason {
    let number = usize::from(attempt.error_reason.unwrap_or(0));
    REASONS.get(number).copied().unwrap_or(REASONS[0])
}

/// A member and its newest attempt, as the page shows them and the script reads them.
#[derive(Debug, Serialize)]
pub(super) struct Followed {
    /// The member the window was opened for.
    pub(super) member_guid: String,
    /// The member that the login turned out to belong to; usually the same.
    pub(super) inbound_member_guid: Option<String>,
    pub(super) name: String,
    #[serde(skip)]
    pub(super) brand: Option<Brand>,
    pub(super) connection_status: String,
    pub(super) is_being_aggregated: bool,
    /// 1 pending, 2 success, 3 errored; none when there was no attempt.
    pub(super) auth_status: Option<u8>,
    /// The name of the reason when the attempt ended in an error.
    pub(super) error_reason: Option<&'static str>,
    /// All of that in a sentence.
    pub(super) summary: String,
    /// How good that is, by its name in the style sheet.
    pub(super) tone: &'static str,
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

    /// Whether the newest attempt waits for the person to finish at the bank.
    pub(super) fn is_under_way(&self) -> bool {
        self.connection_status == "PENDING" && self.auth_status == Some(1)
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
        .map(|attempt| reason(attempt).0);
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
    let is_being_aggregated = member.is_being_aggregated.unwrap_or(false);
    let (summary, tone) = summary(
        Status::of(&status),
        is_being_aggregated,
        attempt.as_ref(),
        pull.is_some(),
    );
    Ok(Followed {
        member_guid: guid.to_owned(),
        name: member.name.clone().unwrap_or_default(),
        brand: app.brand_of(member.institution_code.as_deref()),
        is_being_aggregated,
        auth_status: attempt.as_ref().map(|attempt| attempt.auth_status),
        error_reason,
        summary,
        tone: tone.class(),
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

/// The state of things in a sentence, and how good it is.
fn summary(
    status: Status,
    is_being_aggregated: bool,
    attempt: Option<&OauthState>,
    pulled: bool,
) -> (String, Tone) {
    let of_status = (status.sentence, status.tone);
    let (sentence, tone) = match status.name {
        "CONNECTED" if is_being_aggregated => {
            let sentence = "Connected. We are getting your accounts.";
            (sentence, Tone::Waiting)
        }
        "CONNECTED" if pulled => ("Connected. Your accounts are here.", Tone::Done),
        "PENDING" => match attempt {
            Some(attempt) if attempt.auth_status == 1 => {
                ("Waiting for you to finish at your bank.", Tone::Waiting)
            }
            Some(attempt) if attempt.auth_status == 3 => reason(attempt).words(),
            _ => of_status,
        },
        _ => of_status,
    };
    (sentence.to_owned(), tone)
}

/// `GET /api/state/{member}`
pub(super) async fn state(State(app): State<Arc<App>>, Path(member): Path<String>) -> Response {
    match follow(&app, &member).await {
        Ok(followed) => ([(CACHE_CONTROL, "no-store")], Json(followed)).into_response(),
        Err(error) => super::error_json(&error),
    }
}
