//! Signing in at the bank with what a person typed, and going on after the bank's questions.
//!
//! A sign-in that waits for answers is remembered by its job, until the job is pushed again with the
//! answers. If it was forgotten, here or at the bank, a new sign-in is started; the answers are still
//! used if they belong to the questions that it asks.

use std::sync::PoisonError;

use axum::http::StatusCode;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Aggregator, Job, JobError};
use crate::bounded::Bounded;
use crate::settings::{Institution, LOGIN, PASSWORD};
use crate::wire::{CallError, below, call, now};

/// The most sign-ins that are remembered.
const CAPACITY: usize = 1_000;
/// How long each is.
const LIFE: SignedDuration = SignedDuration::from_mins(15);

/// The sign-ins that wait for answers, by job.
pub(super) type Pending = Bounded<String, Challenge>;

pub(super) fn pending() -> Pending {
    Bounded::new(CAPACITY, LIFE)
}

/// A credential, or the answer to a question. Has no `Debug`, like the lease it comes in.
#[derive(Serialize, Deserialize)]
pub(super) struct Given {
    field_name: String,
    value: String,
}

/// A question of the bank. The bank uses the same form as the gateway, so everything but the name is
/// passed on unchanged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Question {
    field_name: String,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// What the bank asks, and how to go on.
#[derive(Deserialize)]
pub(super) struct Challenge {
    sign_in: String,
    questions: Vec<Question>,
}

/// Why nothing was pulled: the bank's reason, and the one that is reported to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    Denied,
    Rejected,
    Locked,
    Failed,
    Unavailable,
}

/// What the bank says to a step. Has no `Debug`, because of the token.
#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Step {
    SignedIn { access_token: String },
    Challenge(Challenge),
    Refused { reason: Reason },
}

/// How a sign-in went.
pub(super) enum SignedIn {
    /// With this access token.
    With(String),
    /// The person has to answer first.
    NotYet(Vec<Question>),
}

impl Aggregator {
    /// Signs in for the job, as far as the answers reach.
    pub(super) async fn sign_in(
        &self,
        job: &Job,
        institution: &Institution,
        credentials: &[Given],
        mut answers: Vec<Given>,
    ) -> Result<SignedIn, JobError> {
        let url = below(&self.bank, [institution.code.as_str(), "sign-in"]);
        let ask = |body| call::<Step>(self.http.post(url.clone()).json(&body));
        let begin = || {
            let value = |name| {
                let credential = credentials.iter().find(|one| one.field_name == name);
                credential.map(|one| one.value.as_str()).unwrap_or_default()
            };
            ask(json!({ "username": value(LOGIN), "password": value(PASSWORD) }))
        };
        let mut step = match self.take_pending(job) {
            Some(challenge) => Step::Challenge(challenge),
            None => begin().await.map_err(JobError::Bank)?,
        };
        let mut is_anew = false;
        loop {
            let challenge = match step {
                Step::SignedIn { access_token } => return Ok(SignedIn::With(access_token)),
                Step::Refused { reason } => return Err(JobError::Refused(reason)),
                Step::Challenge(challenge) => challenge,
            };
            let Some(fitting) = take_answers(&mut answers, &challenge.questions) else {
                let questions = challenge.questions.clone();
                self.remember(job, challenge);
                return Ok(SignedIn::NotYet(questions));
            };
            let next = ask(json!({ "sign_in": challenge.sign_in, "answers": fitting })).await;
            step = match next {
                Err(CallError::Status(StatusCode::GONE)) if !is_anew => {
                    // The same answers, to the same questions asked anew.
                    is_anew = true;
                    answers.extend(fitting);
                    begin().await.map_err(JobError::Bank)?
                }
                next => next.map_err(JobError::Bank)?,
            };
        }
    }

    fn take_pending(&self, job: &Job) -> Option<Challenge> {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.remove(&job.job_guid, now())
    }

    fn remember(&self, job: &Job, challenge: Challenge) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.insert(job.job_guid.clone(), challenge, now());
    }
}

/// Takes the answers to all of these questions out; none of them when one is missing.
fn take_answers(answers: &mut Vec<Given>, questions: &[Question]) -> Option<Vec<Given>> {
    let fits = |given: &Given| {
        questions
            .iter()
            .any(|one| one.field_name == given.field_name)
    };
    let is_answered = |question: &Question| {
        let mut answers = answers.iter();
        answers.any(|given| given.field_name == question.field_name)
    };
    if !questions.iter().all(is_answered) {
        return None;
    }
    let (fitting, rest) = std::mem::take(answers).into_iter().partition(fits);
    *answers = rest;
    Some(fitting)
}
