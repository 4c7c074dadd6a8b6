//! What an access token gives: who signed in, the accounts that were ticked, and what happened on
//! them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Bank;
use super::accounts::{Account, accounts_of, transactions_of};
use super::ledger::Grant;
use super::outcome::Outcome;
use crate::wire::now;

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
        None => unauthorized(),
    }
}

/// `GET /{code}/accounts`
pub(super) async fn accounts(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Response {
    bank.stats.accounts.add();
    let Some(grant) = readable(&bank, &code, &headers) else {
        return unauthorized();
    };
    let accounts = agreed_to(&grant);
    json_response(json!({ "subject": grant.consent.subject, "accounts": accounts }))
}

/// `GET /{code}/transactions`
pub(super) async fn transactions(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    headers: HeaderMap,
) -> Response {
    bank.stats.transactions.add();
    let Some(grant) = readable(&bank, &code, &headers) else {
        return unauthorized();
    };
    let transactions = transactions_of(&agreed_to(&grant), grant.day());
    json_response(json!({ "transactions": transactions }))
}

/// The grant, unless its owner chose by password that nothing can be read.
fn readable(bank: &Bank, code: &str, headers: &HeaderMap) -> Option<Grant> {
    granted(bank, code, headers).filter(|grant| grant.consent.outcome != Outcome::Revoked)
}

fn granted(bank: &Bank, code: &str, headers: &HeaderMap) -> Option<Grant> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    bank.ledger().granted(code, token.trim(), now()).cloned()
}

fn agreed_to(grant: &Grant) -> Vec<Account> {
    let mut accounts = accounts_of(&grant.institution, &grant.consent.subject);
    accounts.retain(|account| grant.consent.accounts.contains(&account.id));
    accounts
}

fn json_response(body: serde_json::Value) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

/// RFC 6750, section 3.
fn unauthorized() -> Response {
    let challenge = "Bearer realm=\"sandbox bank\", error=\"invalid_token\"";
    let headers = [(WWW_AUTHENTICATE, challenge), (CACHE_CONTROL, "no-store")];
    let body = json!({
        "error": "invalid_token",
        "error_description": "the access token is missing, expired or revoked",
    });
    (StatusCode::UNAUTHORIZED, headers, Json(body)).into_response()
}
