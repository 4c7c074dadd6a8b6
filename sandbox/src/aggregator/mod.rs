//! The sandbox aggregator: takes a job from the gateway, pulls accounts and transactions from the
//! bank, and reports.
//!
//! One job in order: signed push → 202 → report `started` → lease an access token, or credentials →
//! `sign_in`, if needed → pull → report `succeeded` or `failed`. If the bank asks a question, the report
//! is `challenged` and the run ends; the job is pushed again when there are answers. It stores no
//! secrets: it uses a lease for one run and drops it.

mod sign_in;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use self::sign_in::{Given, Pending, Question, Reason, SignedIn};
use super::pulls::{Account, Difference, Pull, Pulls, Transaction};
use super::settings::{Institution, Settings};
use super::signature::Verifier;
use super::wire::{CallError, below, call, http_client, now, send};

/// The longest push that is read, in bytes.
const PUSH_LIMIT: usize = 16 * 1024;
/// The most jobs that run at once; more are told to come back.
const AT_ONCE: usize = 256;
/// The pauses before a call to the gateway is repeated, if the gateway names none; the last one is used
/// for all further repetitions.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
];
/// How long a call is repeated in all. After that time the gateway has given up on this push of the job.
const PATIENCE: Duration = Duration::from_secs(600);

struct Aggregator {
    http: reqwest::Client,
    verifier: Verifier,
    bank: Url,
    institutions: Vec<Institution>,
    gateway: Url,
    key: SecretString,
    pulls: Arc<Pulls>,
    running: Mutex<HashSet<String>>,
    /// The answers that the bank waits for.
    pending: Mutex<Pending>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// The body of a push. Its other fields are not needed here.
#[derive(Debug, Deserialize)]
struct Job {
    job_guid: String,
    member_guid: String,
}

/// The response to a lease: token or credentials, and the institution. Has no `Debug`, so that none of it
/// can end up in a log.
#[derive(Deserialize)]
struct Lease {
    institution_code: String,
    /// Where the institution gave one.
    access_token: Option<String>,
    /// The credentials, if it did not.
    credentials: Option<Vec<Given>>,
    /// What the person answered when the bank asked.
    answers: Option<Vec<Given>>,
}

/// What is reported about a job.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum Report<'a> {
    Started,
    Succeeded {
        accounts_count: usize,
        transactions_created_count: usize,
        transactions_updated_count: usize,
    },
    Challenged {
        challenges: &'a [Question],
    },
    Failed {
        reason: Reason,
        message: &'a str,
    },
}

/// How far a run came.
enum Brought {
    Data(Difference, usize),
    Questions(Vec<Question>),
}

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error("the gateway does not want this job done any more")]
    Withdrawn(#[source] CallError),
    #[error("the gateway could not be used")]
    Gateway(#[source] CallError),
    #[error("the gateway named an institution that is not in the sandbox")]
    UnknownInstitution,
    #[error("the gateway lent nothing to pull with")]
    NothingLent,
    #[error("the bank refused the access token")]
    Denied,
    #[error("the bank refused the sign-in")]
    Refused(Reason),
    #[error("the bank could not be used")]
    Bank(#[source] CallError),
}

/// The aggregator's address, to be served on the app's port, and where its pulls are kept.
///
/// Jobs run as `tasks` and end early when `shutdown` is cancelled.
pub(super) fn router(
    settings: &Settings,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) -> anyhow::Result<(Router, Arc<Pulls>)> {
    let pulls = Arc::new(Pulls::new());
    let aggregator = Arc::new(Aggregator {
        http: http_client()?,
        verifier: Verifier::new(&settings.aggregator_secret)?,
        bank: settings.bank_url.clone(),
        institutions: settings.institutions.clone(),
        gateway: settings.gateway_url.clone(),
        key: settings.aggregator_key.clone(),
        pulls: Arc::clone(&pulls),
        running: Mutex::default(),
        pending: Mutex::new(sign_in::pending()),
        tasks,
        shutdown,
    });
    let router = Router::new()
        .route("/aggregator/jobs", post(take_job))
        .layer(DefaultBodyLimit::max(PUSH_LIMIT))
        .with_state(aggregator);
    Ok((router, pulls))
}

/// `POST /aggregator/jobs`: 202 before anything is done. For a job that is running already the response
/// is the same, and no second run starts.
async fn take_job(
    State(aggregator): State<Arc<Aggregator>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Err(error) = aggregator.verifier.check(&headers, &body, now()) {
        return refusal(StatusCode::UNAUTHORIZED, &error.to_string());
    }
    let Ok(job) = serde_json::from_slice::<Job>(&body) else {
        return refusal(StatusCode::BAD_REQUEST, "the body is not a job");
    };
    {
        let mut running = aggregator.running();
        if running.len() >= AT_ONCE && !running.contains(&job.job_guid) {
            let mut busy = refusal(StatusCode::SERVICE_UNAVAILABLE, "too many jobs at once");
            let soon = axum::http::HeaderValue::from_static("1");
            busy.headers_mut().insert("retry-after", soon);
            return busy;
        }
        if !running.insert(job.job_guid.clone()) {
            return StatusCode::ACCEPTED.into_response();
        }
    }
    let worker = Arc::clone(&aggregator);
    aggregator.tasks.spawn(async move {
        // Dropped however the run ends, so that the same job can be pushed again.
        let running = Running(&worker, &job.job_guid);
        tokio::select! {
            () = worker.shutdown.cancelled() => {}
            () = worker.run(&job, running) => {}
        }
    });
    StatusCode::ACCEPTED.into_response()
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": { "message": message } }))).into_response()
}

/// Marks a job as running for as long as it lives.
struct Running<'a>(&'a Aggregator, &'a str);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running().remove(self.1);
    }
}

impl Aggregator {
    fn running(&self) -> MutexGuard<'_, HashSet<String>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, job: &Job, running: Running<'_>) {
        let done = async {
            self.report(job, &Report::Started).await?;
            match self.pull(job).await {
                Ok(Brought::Data(difference, accounts_count)) => {
                    let report = Report::Succeeded {
                        accounts_count,
                        transactions_created_count: difference.created,
                        transactions_updated_count: difference.updated,
                    };
                    self.report(job, &report).await
                }
                Ok(Brought::Questions(challenges)) => {
                    // Before the report: the person's answers may come before the response to the report,
                    // and the push that brings them is a run of its own.
                    drop(running);
                    let challenges = &challenges;
                    self.report(job, &Report::Challenged { challenges }).await
                }
                Err(error) => {
                    let reason = match error {
                        JobError::Withdrawn(_) => return Err(error),
                        JobError::Denied => Reason::Denied,
                        JobError::Refused(reason) => reason,
                        JobError::Gateway(_)
                        | JobError::UnknownInstitution
                        | JobError::NothingLent
                        | JobError::Bank(_) => Reason::Unavailable,
                    };
                    let message = &error.to_string();
                    self.report(job, &Report::Failed { reason, message }).await
                }
            }
        };
        if let Err(error) = done.await {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(
                job_guid = job.job_guid,
                cause,
                "sandbox aggregator: {error}"
            );
        }
    }

    /// Leases a token, or signs in for one, reads the bank's data with it and keeps the data.
    async fn pull(&self, job: &Job) -> Result<Brought, JobError> {
        let lease = self.call_gateway(job, "lease", &json!({})).await?;
        let lease: Lease = serde_json::from_slice(&lease)
            .map_err(|error| JobError::Gateway(CallError::Unreadable(error)))?;
        // Only codes that are known become part of an address.
        let institution = self
            .institutions
            .iter()
            .find(|one| one.code == lease.institution_code)
            .ok_or(JobError::UnknownInstitution)?;
        let access_token = match (lease.access_token, lease.credentials) {
            (Some(token), _) => token,
            (None, Some(credentials)) => {
                let answers = lease.answers.unwrap_or_default();
                let signed_in = self.sign_in(job, institution, &credentials, answers);
                match signed_in.await? {
                    SignedIn::With(token) => token,
                    SignedIn::NotYet(questions) => return Ok(Brought::Questions(questions)),
                }
            }
            (None, None) => return Err(JobError::NothingLent),
        };

        #[derive(Deserialize)]
        struct Accounts {
            accounts: Vec<Account>,
        }
        #[derive(Deserialize)]
        struct Transactions {
            transactions: Vec<Transaction>,
        }
        let read = |what: &'static str| {
            self.http
                .get(below(&self.bank, [institution.code.as_str(), what]))
                .bearer_auth(&access_token)
        };
        let Accounts { accounts } = call(read("accounts")).await.map_err(of_bank)?;
        let Transactions { transactions } = call(read("transactions")).await.map_err(of_bank)?;

        let accounts_count = accounts.len();
        let pull = Pull {
            accounts,
            transactions,
        };
        let difference = self.pulls.keep(&job.member_guid, pull, now());
        Ok(Brought::Data(difference, accounts_count))
    }

    async fn report(&self, job: &Job, report: &Report<'_>) -> Result<(), JobError> {
        self.call_gateway(job, "report", report).await.map(drop)
    }

    /// Calls the gateway about a job, again after short pauses when it is away.
    async fn call_gateway(
        &self,
        job: &Job,
        verb: &'static str,
        body: &impl Serialize,
    ) -> Result<Vec<u8>, JobError> {
        let url = below(&self.gateway, ["aggregation", "jobs", &job.job_guid, verb]);
        let mut pauses = PAUSES.into_iter();
        let mut waited = Duration::ZERO;
        loop {
            let request = self.http.post(url.clone()).json(body);
            let error = match send(request.bearer_auth(self.key.expose_secret())).await {
                Ok(answer) => return Ok(answer),
                Err(CallError::Status(status) | CallError::Later(status, _))
                    if is_final(status) =>
                {
                    return Err(JobError::Withdrawn(CallError::Status(status)));
                }
                Err(error) => error,
            };
            let pause = match &error {
                CallError::Later(_, pause) => *pause,
                _ => pauses.next().unwrap_or(PAUSES[PAUSES.len() - 1]),
            };
            waited += pause.max(PAUSES[0]);
            if waited > PATIENCE {
                return Err(JobError::Gateway(error));
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// Whether repeating the call would give the same response.
fn is_final(status: StatusCode) -> bool {
    status.is_client_error()
        && status != StatusCode::TOO_MANY_REQUESTS
        && status != StatusCode::REQUEST_TIMEOUT
}

fn of_bank(error: CallError) -> JobError {
    match error {
        CallError::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => JobError::Denied,
        error => JobError::Bank(error),
    }
}

#[cfg(test)]
mod tests;
