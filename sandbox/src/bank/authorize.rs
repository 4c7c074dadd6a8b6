//! The authorization endpoint and its pages: log in, agree, go back.
//!
//! `authorize → login → consent → back to the client`. A login under way is known by a handle that
//! travels in the forms and in the address of the pages; it ends with the authorization response to the
//! client. If a request's client or redirect URI is wrong, the person gets a page here and is never
//! redirected (RFC 6749, section 4.1.2.1).

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::accounts::{Account, accounts_of, subject_of};
use super::ledger::{Asked, Consent};
use super::outcome::{Outcome, PASSWORDS, Typed};
use super::params::Params;
use super::request::{Reply, what_is_asked, whom_to_answer};
use super::{Bank, refusal_page};
use crate::settings::Institution;
use crate::wire::{now, page, random_token, see_other};

/// A login under way, on the pages.
#[derive(Debug, Clone)]
pub(super) struct Login {
    asked: Asked,
    reply: Reply,
    /// What the login page suggests as user name.
    hint: String,
    /// Set once a password was taken.
    person: Option<(String, Typed)>,
    /// What the page says about the last try.
    complaint: Option<Complaint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Complaint {
    WrongPassword,
    NothingTicked,
}

#[derive(Template)]
#[template(path = "bank_login.html")]
struct LoginPage<'a> {
    institution: &'a Institution,
    client: &'a str,
    handle: &'a str,
    hint: &'a str,
    wrong: bool,
    passwords: &'static [(&'static str, &'static str)],
}

#[derive(Template)]
#[template(path = "bank_consent.html")]
struct ConsentPage<'a> {
    institution: &'a Institution,
    client: &'a str,
    handle: &'a str,
    accounts: &'a [Account],
    nothing_ticked: bool,
}

/// `GET /{code}/authorize`
pub(super) async fn authorize(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    bank.stats.authorize.add();
    let Some(institution) = bank.institution(&code) else {
        return no_such_institution();
    };
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let (client, mut reply) = match whom_to_answer(&bank, institution, &params) {
        Ok(found) => found,
        Err(text) => {
            let heading = "This request cannot be answered";
            return refusal_page(StatusCode::BAD_REQUEST, heading, &text);
        }
    };
    let (asked, hint) = match what_is_asked(institution, &client, &mut reply, &params) {
        Ok(asked) => asked,
        Err((error, description)) => return reply.refuse(error, &description),
    };
    if institution.auto {
        let person = hint.unwrap_or_else(random_token);
        let subject = subject_of(&institution.code, &person);
        let accounts = accounts_of(&institution.code, &subject);
        let accounts = accounts.into_iter().map(|account| account.id).collect();
        let consent = Consent {
            subject,
            outcome: Outcome::Connected,
            access_life: institution.access_life,
            accounts,
        };
        return issue(&bank, &reply, asked, consent);
    }
    let handle = random_token();
    let login = Login {
        asked,
        reply,
        hint: hint.unwrap_or_default(),
        person: None,
        complaint: None,
    };
    let response = login_page(&bank, institution, &handle, &login);
    bank.ledger().logins.insert(handle, login, now());
    response
}

/// `GET /{code}/login`: the page again, after a wrong password or on a reload.
pub(super) async fn login(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let handle = params.field("login");
    match under_way(&bank, &code, handle) {
        Some((institution, login)) => login_page(&bank, institution, handle, &login),
        None => no_longer_there(),
    }
}

/// `POST /{code}/login`: a user name and a password, or one of the buttons that leave.
pub(super) async fn log_in(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    body: Bytes,
) -> Response {
    bank.stats.login.add();
    let params = Params::parse(&body);
    let handle = params.field("login");
    let Some((_, login)) = under_way(&bank, &code, handle) else {
        return no_longer_there();
    };
    let leaving = match params.field("action") {
        "cancel" => Some(("access_denied", "the person declined")),
        "give_up" => Some(("login_required", "the person could not log in")),
        _ => None,
    };
    let typed = Typed::read(params.field("password"));
    let outcome = typed.outcome;
    if let Some((error, description)) = leaving.or_else(|| outcome.refusal()) {
        return match take(&bank, handle) {
            Some(login) => login.reply.refuse(error, description),
            None => no_longer_there(),
        };
    }
    if let Outcome::NoWithoutState | Outcome::EmptyReturn | Outcome::StateOnly = outcome {
        let Some(Login { reply, .. }) = take(&bank, handle) else {
            return no_longer_there();
        };
        return match outcome {
            Outcome::NoWithoutState => reply.send_just(&[("error", "access_denied")]),
            Outcome::StateOnly => reply.send_just(reply.state().as_slice()),
            _ => reply.send_just(&[]),
        };
    }
    let next = if outcome == Outcome::WrongPassword {
        change(&bank, handle, |login| {
            login.complaint = Some(Complaint::WrongPassword);
        });
        "login"
    } else {
        let subject = subject_of(&login.asked.institution, params.field("username"));
        change(&bank, handle, |login| {
            login.person = Some((subject, typed));
            login.complaint = None;
        });
        "consent"
    };
    see_other(&format!("/{code}/{next}?login={handle}"))
}

/// `GET /{code}/consent`
pub(super) async fn consent(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let handle = params.field("login");
    let Some((institution, login)) = under_way(&bank, &code, handle) else {
        return no_longer_there();
    };
    let Some((subject, typed)) = &login.person else {
        return see_other(&format!("/{code}/login?login={handle}"));
    };
    let consent = ConsentPage {
        institution,
        client: client_name(&bank, &login),
        handle,
        accounts: &on_offer(institution, subject, typed.outcome),
        nothing_ticked: login.complaint == Some(Complaint::NothingTicked),
    };
    page(StatusCode::OK, &consent)
}

/// `POST /{code}/consent`: the ticked accounts and "Allow", or "Cancel".
pub(super) async fn decide(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    body: Bytes,
) -> Response {
    bank.stats.consent.add();
    let params = Params::parse(&body);
    let handle = params.field("login");
    let Some((institution, login)) = under_way(&bank, &code, handle) else {
        return no_longer_there();
    };
    let Some((subject, typed)) = login.person else {
        return see_other(&format!("/{code}/login?login={handle}"));
    };
    // Only the button "Allow" gives consent.
    if params.field("action") != "allow" {
        return match take(&bank, handle) {
            Some(login) => login.reply.refuse("access_denied", "the person declined"),
            None => no_longer_there(),
        };
    }
    let on_offer = on_offer(institution, &subject, typed.outcome);
    let ticked: Vec<&str> = params.every("account").collect();
    let accounts: Vec<String> = on_offer
        .iter()
        .filter(|account| ticked.contains(&account.id.as_str()))
        .map(|account| account.id.clone())
        .collect();
    if accounts.is_empty() && !on_offer.is_empty() {
        change(&bank, handle, |login| {
            login.complaint = Some(Complaint::NothingTicked);
        });
        return see_other(&format!("/{code}/consent?login={handle}"));
    }
    // If the button is pressed twice, only one of the requests finds the login.
    let Some(login) = take(&bank, handle) else {
        return no_longer_there();
    };
    let consent = Consent {
        subject,
        outcome: typed.outcome,
        access_life: typed.access_life.unwrap_or(institution.access_life),
        accounts,
    };
    issue(&bank, &login.reply, login.asked, consent)
}

fn issue(bank: &Bank, reply: &Reply, asked: Asked, consent: Consent) -> Response {
    bank.stats.codes_issued.add();
    let code = bank.ledger().issue_code(asked, consent, now());
    reply.send(&[("code", &code)])
}

/// The accounts the consent page lists.
fn on_offer(institution: &Institution, subject: &str, outcome: Outcome) -> Vec<Account> {
    if outcome == Outcome::NoAccounts {
        return Vec::new();
    }
    accounts_of(&institution.code, subject)
}

/// The login with this handle, if it is one of this institution's.
fn under_way<'b>(bank: &'b Bank, code: &str, handle: &str) -> Option<(&'b Institution, Login)> {
    let institution = bank.institution(code)?;
    let login = bank.ledger().logins.get(handle, now()).cloned()?;
    (login.asked.institution == institution.code).then_some((institution, login))
}

fn take(bank: &Bank, handle: &str) -> Option<Login> {
    bank.ledger().logins.remove(handle, now())
}

fn change(bank: &Bank, handle: &str, change: impl FnOnce(&mut Login)) {
    if let Some(login) = bank.ledger().logins.get_mut(handle, now()) {
        change(login);
    }
}

fn client_name<'b>(bank: &'b Bank, login: &Login) -> &'b str {
    bank.client(&login.asked.client)
        .map_or("An app", |client| client.name.as_str())
}

fn login_page(bank: &Bank, institution: &Institution, handle: &str, login: &Login) -> Response {
    let login_page = LoginPage {
        institution,
        client: client_name(bank, login),
        handle,
        hint: &login.hint,
        wrong: login.complaint == Some(Complaint::WrongPassword),
        passwords: PASSWORDS,
    };
    page(StatusCode::OK, &login_page)
}

fn no_such_institution() -> Response {
    refusal_page(
        StatusCode::NOT_FOUND,
        "There is no such institution",
        "This sandbox hosts the institutions listed on its first page.",
    )
}

fn no_longer_there() -> Response {
    refusal_page(
        StatusCode::GONE,
        "This sign-in is over",
        "It was finished or has taken too long. Go back to the app you came from to start again.",
    )
}
