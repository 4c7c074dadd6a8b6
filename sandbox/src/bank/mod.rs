//! The sandbox bank: an honest OAuth 2.0 authorization server (RFC 6749 with PKCE, RFC 7636), its
//! twin that takes user names and passwords, and the accounts behind both.
//!
//! One server hosts several institutions, each at its own path and with its own issuer,
//! `{bank_url}/{code}`. `authorize` shows the pages and issues codes (`request` reads what was
//! asked), `token` turns codes into tokens and revokes them. Where there is no OAuth, `sign_in`
//! takes what people type. `resources` shows what was agreed to, out of `accounts`. All rules about
//! who may have what are in `ledger`; what a typed password does is in `outcome` for the pages and
//! in `script` for sign-ins without them. What can be done to a whole institution is in `door`.

mod accounts;
mod authorize;
mod door;
mod ledger;
mod outcome;
mod params;
mod request;
mod resources;
mod script;
mod sign_in;
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
use sign_in::SignIns;
use stats::Stats;

pub use outcome::PASSWORDS;
pub use script::{CREDENTIAL_PASSWORDS, Password};

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
    sign_ins: Mutex<SignIns>,
    stats: Stats,
}

impl Bank {
    /// The institution of this code, if people sign in on its pages.
    fn institution(&self, code: &str) -> Option<&Institution> {
        let mut institutions = self.institutions.iter();
        institutions.find(|one| one.code == code && one.supports_oauth())
    }

    /// The institution of this code, if people sign in with what they tell somebody else.
    fn with_credentials(&self, code: &str) -> Option<&Institution> {
        let mut institutions = self.institutions.iter();
        institutions.find(|one| one.code == code && !one.supports_oauth())
    }

    fn client(&self, id: &str) -> Option<&BankClient> {
        self.clients.iter().find(|one| one.id == id)
    }

    /// The tables. Held for the length of one step, never across an await.
    fn ledger(&self) -> MutexGuard<'_, Ledger<Login>> {
        // A panic while they were held leaves single entries as they were, and those are sound.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sign-ins under way. Held like the tables.
    fn sign_ins(&self) -> MutexGuard<'_, SignIns> {
        self.sign_ins.lock().unwrap_or_else(PoisonError::into_inner)
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
        sign_ins: Mutex::new(sign_in::sign_ins()),
        stats: Stats::default(),
    });
    Router::new()
        .route("/", get(index))
        .route("/stats", get(stats))
        .route("/style.css", get(wire::style))
        .route("/logos/{file}", get(wire::logo))
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
        .route("/{code}/sandbox/refuse_all", post(door::refuse_all))
        .route("/{code}/sign-in", post(sign_in::sign_in))
        .route("/{code}/identify", get(resources::identify))
        .route("/{code}/accounts", get(resources::accounts))
        .route("/{code}/transactions", get(resources::transactions))
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(FORM_LIMIT))
        .with_state(bank)
}

#[derive(Template)]
#[template(path = "bank_index.html")]
struct Index<'a> {
    institutions: &'a [Institution],
    passwords: &'static [(&'static str, &'static str)],
    credential_passwords: &'static [Password],
}

async fn index(State(bank): State<Arc<Bank>>) -> Response {
    let index = Index {
        institutions: &bank.institutions,
        passwords: PASSWORDS,
        credential_passwords: CREDENTIAL_PASSWORDS,
    };
    wire::page(StatusCode::OK, &index)
}

async fn stats(State(bank): State<Arc<Bank>>) -> Response {
    Json(&bank.stats).into_response()
}

async fn form_post_script() -> Response {
    let script = include_str!("../../templates/form_post.js");
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
#[template(path = "bank_refusal.html")]
struct RefusalPage<'a> {
    heading: &'a str,
    text: &'a str,
}

/// A page of the bank's own, for when nobody may be redirected anywhere.
fn refusal_page(status: StatusCode, heading: &str, text: &str) -> Response {
    wire::page(status, &RefusalPage { heading, text })
}

#[cfg(test)]
pub(super) mod tests;
