//! What an access token gives: who signed in, the accounts that were ticked, and what happened on
//! them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Bank;
use super::accounts::{Account, accounts_of, transactions_of};
use super::ledger::Grant;
use super::outcome::Outcome;
use crate::wire::now;

/// When to read again what was read too often, in seconds.
const QUOTA_WAIT: &str = "3600";

/// `GET /{code}/identify`: who signed in, as OpenID Connect Core, section 5.3, has it.
///
/// Also for those whose accounts cannot be read: the bank knows them all the same.
pub(super) async fn identify(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Response {
    bank.stats.identify.add();
    match granted(&bank, &code, &headers) {
        Some(grant) => json_response(json!({ "sub": grant.consent.subject })),
        None => Unreadable::Unauthorized.into_response(),
    }
}

/// `GET /{code}/accounts`
pub(super) async fn accounts(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Unreadable> {
    bank.stats.accounts.add();
    let grant = readable(&bank, &code, &headers)?;
    let accounts = agreed_to(&grant);
    let body = json!({ "subject": grant.consent.subject, "accounts": accounts });
    Ok(json_response(body))
}

/// `GET /{code}/transactions`
pub(super) async fn transactions(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Unreadable> {
    bank.stats.transactions.add();
    let grant = readable(&bank, &code, &headers)?;
    let transactions = transactions_of(&agreed_to(&grant), grant.day());
    Ok(json_response(json!({ "transactions": transactions })))
}

/// Why the accounts cannot be read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unreadable {
    Unauthorized,
    OverQuota,
}

/// The grant, unless its owner chose by password that nothing can be read.
fn readable(bank: &Bank, code: &str, headers: &HeaderMap) -> Result<Grant, Unreadable> {
    let grant = granted(bank, code, headers).ok_or(Unreadable::Unauthorized)?;
    match (grant.consent.outcome, grant.refreshed) {
        (Outcome::Revoked, _) | (Outcome::RefusePullOnce, false) => Err(Unreadable::Unauthorized),
        (Outcome::OverQuota, _) => Err(Unreadable::OverQuota),
        _ => Ok(grant),
    }
}

fn granted(bank: &Bank, code: &str, headers: &HeaderMap) -> Option<Grant> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    bank.ledger().granted(code, token.trim(), now())
}

fn agreed_to(grant: &Grant) -> Vec<Account> {
    let mut accounts = accounts_of(&grant.institution, &grant.consent.subject);
    accounts.retain(|account| grant.consent.accounts.contains(&account.id));
    accounts
}

fn json_response(body: serde_json::Value) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

impl IntoResponse for Unreadable {
    fn into_response(self) -> Response {
        let no_store = (CACHE_CONTROL, "no-store");
        match self {
            // RFC 6750, section 3.
            Self::Unauthorized => {
                let challenge = "Bearer realm=\"sandbox bank\", error=\"invalid_token\"";
                let body = json!({
                    "error": "invalid_token",
                    "error_description": "the access token is missing, expired or revoked",
                });
                let headers = [(WWW_AUTHENTICATE, challenge), no_store];
                (StatusCode::UNAUTHORIZED, headers, Json(body)).into_response()
            }
            Self::OverQuota => {
                let body = json!({ "error_description": "the accounts were read too often today" });
                let headers = [(RETRY_AFTER, QUOTA_WAIT), no_store];
                (StatusCode::TOO_MANY_REQUESTS, headers, Json(body)).into_response()
            }
        }
    }
}
