//! The sandbox bank: an honest OAuth 2.0 authorization server (RFC 6749 with PKCE, RFC 7636) and
//! the accounts behind it.
//!
//! One server hosts several institutions, each at its own path and with its own issuer,
//! `{bank_url}/{code}`. `authorize` shows the pages and issues codes (`request` reads what was asked), `token` turns codes into
//! tokens and revokes them, `accounts` shows what was agreed to. All rules about who may have
//! what are in `ledger`; what a typed password does is in `outcome`.

mod accounts;
mod authorize;
mod ledger;
mod outcome;
mod params;
mod request;
mod resources;
mod stats;
mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use askama::Template;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::settings::{BankClient, Institution, Settings};
use super::wire;
use authorize::Login;
use ledger::Ledger;
use stats::Stats;

pub use outcome::PASSWORDS;

/// The longest form that is read, in bytes.
const FORM_LIMIT: usize = 16 * 1024;

/// What the bank's handlers share.
struct Bank {
    /// The bank's address without a `/` at the end.
    url: String,
    institutions: Vec<Institution>,
    clients: Vec<BankClient>,
    slow_token: Duration,
    ledger: Mutex<Ledger<Login>>,
    stats: Stats,
}

impl Bank {
    fn institution(&self, code: &str) -> Option<&Institution> {
        self.institutions.iter().find(|one| one.code == code)
    }

    fn client(&self, id: &str) -> Option<&BankClient> {
        self.clients.iter().find(|one| one.id == id)
    }

    /// The tables. Held for the length of one step, never across an await.
    fn ledger(&self) -> MutexGuard<'_, Ledger<Login>> {
        // A panic while they were held leaves single entries as they were, and those are sound.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bank's addresses.
pub(super) fn router(settings: &Settings) -> Router {
    let bank = Arc::new(Bank {
        url: wire::trimmed(&settings.bank_url),
        institutions: settings.institutions.clone(),
        clients: settings.clients.clone(),
        slow_token: settings.slow_token,
        ledger: Mutex::new(Ledger::new()),
        stats: Stats::default(),
    });
    Router::new()
        .route("/", get(index))
        .route("/stats", get(stats))
        .route("/style.css", get(style))
        .route("/form_post.js", get(form_post_script))
        .route("/{code}/authorize", get(authorize::authorize))
        .route(
            "/{code}/login",
            get(authorize::login).post(authorize::log_in),
        )
        .route(
            "/{code}/consent",
            get(authorize::consent).post(authorize::decide),
        )
        .route("/{code}/token", post(token::token))
        .route("/{code}/revoke", post(token::revoke))
        .route("/{code}/accounts", get(resources::accounts))
        .route("/{code}/transactions", get(resources::transactions))
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .with_state(bank)
}

#[derive(Template)]
#[template(path = "sandbox/bank_index.html")]
struct Index<'a> {
    institutions: &'a [Institution],
    passwords: &'static [(&'static str, &'static str)],
}

async fn index(State(bank): State<Arc<Bank>>) -> Response {
    let index = Index {
        institutions: &bank.institutions,
        passwords: PASSWORDS,
    };
    wire::page(StatusCode::OK, &index)
}

async fn stats(State(bank): State<Arc<Bank>>) -> Response {
    Json(&bank.stats).into_response()
}

async fn style() -> Response {
    let css = include_str!("../../../templates/sandbox/style.css");
    wire::asset("text/css; charset=utf-8", css)
}

async fn form_post_script() -> Response {
    let script = include_str!("../../../templates/sandbox/form_post.js");
    wire::asset("text/javascript; charset=utf-8", script)
}

async fn nothing_here() -> Response {
    refusal_page(
        StatusCode::NOT_FOUND,
        "There is nothing at this address",
        "Go back to the app you came from and start again there.",
    )
}

#[derive(Template)]
#[template(path = "sandbox/bank_refusal.html")]
struct RefusalPage<'a> {
    heading: &'a str,
    text: &'a str,
}

/// A page of the bank's own, for when nobody may be redirected anywhere.
fn refusal_page(status: StatusCode, heading: &str, text: &str) -> Response {
    wire::page(status, &RefusalPage { heading, text })
}

#[cfg(test)]
mod tests;
