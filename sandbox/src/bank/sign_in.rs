//! Signing in without pages, for institutions without OAuth: whoever pulls for a person sends what
//! the person typed, and answers what the bank asks.
//!
//! `POST /{code}/sign-in` with `{"username", "password"}` begins, with `{"sign_in", "answers"}` goes on.
//! The response's `status` is `signed_in` with an access token, `challenge` with questions and the
//! `sign_in` to go on with, or `refused` with a reason. A wrong answer ends the sign-in.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Bank;
use super::accounts::{accounts_of, subject_of};
use super::ledger::Consent;
use super::outcome::Outcome;
use super::script::{Question, Reason, Script};
use crate::bounded::Bounded;
use crate::settings::Institution;
use crate::wire::{now, random_token};

/// The most sign-ins that wait for answers at once.
const CAPACITY: usize = 20_000;
/// How long answers are waited for.
const LIFE: SignedDuration = SignedDuration::from_mins(15);

/// A person whom the bank has asked something.
#[derive(Debug)]
pub(super) struct UnderWay {
    institution: String,
    subject: String,
    /// The round that was asked, and those that follow.
    rounds: &'static [&'static [Question]],
}

/// Sign-ins under way, by the `sign_in` they go on with.
pub(super) type SignIns = Bounded<String, UnderWay>;

pub(super) fn sign_ins() -> SignIns {
    Bounded::new(CAPACITY, LIFE)
}

/// What is sent. Has no `Debug`, so that nothing of it can end up in a log.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Request {
    GoOn {
        sign_in: String,
        answers: Vec<Answer>,
    },
    Begin {
        username: String,
        password: String,
    },
}

/// The answer to the question of that name.
#[derive(Deserialize)]
pub(super) struct Answer {
    field_name: String,
    value: String,
}

/// What comes of a step.
#[derive(Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Step {
    SignedIn {
        access_token: String,
        expires_in: i64,
    },
    Challenge {
        sign_in: String,
        questions: &'static [Question],
    },
    Refused {
        reason: Reason,
    },
}

/// `POST /{code}/sign-in`
pub(super) async fn sign_in(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    request: Result<Json<Request>, JsonRejection>,
) -> Response {
    bank.stats.sign_in.add();
    let Some(institution) = bank.with_credentials(&code) else {
        return error(StatusCode::NOT_FOUND, "nobody signs in here");
    };
    // The rejection is not passed on: its text may quote what was sent.
    let Ok(Json(request)) = request else {
        let text = "send JSON with username and password, or with sign_in and answers";
        return error(StatusCode::BAD_REQUEST, text);
    };
    let step = match request {
        Request::Begin { username, password } => {
            begin(&bank, institution, &username, &password).await
        }
        Request::GoOn { sign_in, answers } => match go_on(&bank, institution, &sign_in, &answers) {
            Some(step) => step,
            None => return error(StatusCode::GONE, "this sign_in is over; begin again"),
        },
    };
    ([(CACHE_CONTROL, "no-store")], Json(step)).into_response()
}

async fn begin(bank: &Bank, institution: &Institution, username: &str, password: &str) -> Step {
    let subject = subject_of(&institution.code, username);
    match Script::of_password(password) {
        Script::Refuses(reason) => Step::Refused { reason },
        Script::SignsIn(outcome) => {
            if outcome == Outcome::SlowToken {
                tokio::time::sleep(bank.slow_token).await;
            }
            let_in(bank, institution, subject, outcome, now())
        }
        Script::Asks(rounds) => {
            let asked = UnderWay {
                institution: institution.code.clone(),
                subject,
                rounds,
            };
            ask(bank, asked, now())
        }
    }
}

/// The next step of a sign-in under way; none when there is none of that name here. It goes on
/// once: what is asked next has another name.
fn go_on(
    bank: &Bank,
    institution: &Institution,
    sign_in: &str,
    answers: &[Answer],
) -> Option<Step> {
    let now = now();
    let asked = {
        let mut sign_ins = bank.sign_ins();
        sign_ins
            .get(sign_in, now)
            .filter(|asked| asked.institution == institution.code)?;
        sign_ins.remove(sign_in, now)?
    };
    let (round, rest) = asked.rounds.split_first()?;
    let is_right = |question: &Question| {
        let mut given = answers
            .iter()
            .filter(|answer| answer.field_name == question.field_name);
        given.any(|answer| question.is_answered_by(&answer.value))
    };
    Some(if !round.iter().all(is_right) {
        let reason = Reason::Rejected;
        Step::Refused { reason }
    } else if rest.is_empty() {
        let_in(bank, institution, asked.subject, Outcome::Connected, now)
    } else {
        let asked = UnderWay {
            rounds: rest,
            ..asked
        };
        ask(bank, asked, now)
    })
}

/// Asks the first of the rounds that are left.
fn ask(bank: &Bank, asked: UnderWay, now: Timestamp) -> Step {
    let sign_in = random_token();
    let questions = asked.rounds.first().copied().unwrap_or_default();
    bank.sign_ins().insert(sign_in.clone(), asked, now);
    Step::Challenge { sign_in, questions }
}

fn let_in(
    bank: &Bank,
    institution: &Institution,
    subject: String,
    outcome: Outcome,
    now: Timestamp,
) -> Step {
    bank.stats.tokens_issued.add();
    let accounts = match outcome {
        Outcome::NoAccounts => Vec::new(),
        _ => accounts_of(&institution.code, &subject),
    };
    let consent = Consent {
        subject,
        outcome,
        access_life: institution.access_life,
        accounts: accounts.into_iter().map(|account| account.id).collect(),
    };
    Step::SignedIn {
        access_token: bank.ledger().let_in(&institution.code, consent, now),
        expires_in: institution.access_life.as_secs(),
    }
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": { "message": message } }))).into_response()
}
