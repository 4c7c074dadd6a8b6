//! The aggregators: the services that pull the data. Each has the jobs of its own clients; they are pushed to it, or it
//! claims them.
//!
//! A push is a POST of `{job_guid, member_guid, institution_code, kind, round, attempt, data_request}`, and
//! `is_background` where nobody asked for it,
//! signed by Standard Webhooks (see [`crate::signature`]); a claim is answered with the same bodies. Any 2xx status
//! accepts a push; the aggregator then leases the token or credentials, and reports. The operator configures its address, so it may be
//! on any network; plain http is for this machine only.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use url::Url;

use crate::domain::client::SigningSecret;
use crate::domain::data_request::DataRequest;
use crate::domain::form;
use crate::domain::id::{AggregatorName, InstitutionCode, JobGuid, MemberGuid};
use crate::domain::job::Job;
use crate::outgoing::Outgoing;
use crate::{outgoing, signature};

/// How long the aggregator may take to respond to a push, connecting included, unless configured.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The only kind of job there is.
const KIND: &str = "aggregate";

/// Why no aggregator can be pushed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The address is plain http on another machine, or no http at all.
    #[error("the aggregator's address must be https, or http on this machine")]
    Insecure,
    /// There is no secret to sign with.
    #[error("the aggregator has no signing secret")]
    NoSecret,
    /// Outgoing calls could not be set up, usually because there are no certificate authorities.
    #[error("calls to the aggregator cannot be set up: {0}")]
    Outgoing(String),
}

/// Why a push was not accepted; the job is to be pushed again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Its response had another status than a 2xx; redirects are not followed.
    #[error("the aggregator responded with status {0}")]
    Refused(u16),
    /// It did not respond in time. It may have the job all the same.
    #[error("the aggregator did not respond within {0:?}")]
    TimedOut(Duration),
    /// No connection, or one that broke. It may have the job all the same.
    #[error("the aggregator cannot be reached: {0}")]
    Unreachable(String),
}

/// An aggregator.
pub struct Aggregator {
    /// Its name in the configuration.
    pub name: AggregatorName,
    /// How long it may take with a job, from the hand-out or from its report `started`, before the job is handed out
    /// again.
    pub deadline: Duration,
    /// How long a person may take to answer what an institution asks during a pull.
    pub answer_deadline: Duration,
    /// How its jobs come to it.
    pub mode: Mode,
}

/// How jobs come to an aggregator.
pub enum Mode {
    /// They are pushed, so many at a time.
    Push(PushEndpoint, usize),
    /// It claims them.
    Pull,
}

/// A job as the aggregator learns of it, by a push or by a claim.
#[derive(Serialize)]
pub struct JobBody<'a> {
    attempt: u32,
    data_request: &'a DataRequest,
    institution_code: &'a InstitutionCode,
    #[serde(skip_serializing_if = "form::is_usual")]
    is_background: bool,
    job_guid: JobGuid,
    kind: &'static str,
    member_guid: MemberGuid,
    round: u32,
}

impl<'a> From<&'a Job> for JobBody<'a> {
    fn from(job: &'a Job) -> Self {
        Self {
            attempt: job.attempt,
            data_request: &job.data_request,
            institution_code: &job.institution,
            is_background: job.is_background,
            job_guid: job.guid,
            kind: KIND,
            member_guid: job.member,
            round: job.round,
        }
    }
}

/// Where the jobs of an aggregator are pushed. Built once; connections are shared between pushes.
pub struct PushEndpoint {
    url: Url,
    secrets: Vec<SigningSecret>,
    timeout: Duration,
    client: Client,
}

impl PushEndpoint {
    /// Where it is.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Pushes to `url`, signed with each of `secrets` (several during a rotation, newest first), each
    /// push within `timeout`.
    pub fn new(
        url: Url,
        secrets: Vec<SigningSecret>,
        timeout: Duration,
        outgoing: &Outgoing,
    ) -> Result<Self, SetupError> {
        if !outgoing::is_confidential(&url) {
            return Err(SetupError::Insecure);
        }
        if secrets.is_empty() {
            return Err(SetupError::NoSecret);
        }
        let client = outgoing
            .builder()
            .connect_timeout(timeout)
            .build()
            .map_err(|error| SetupError::Outgoing(outgoing::describe(error)))?;
        Ok(Self {
            url,
            secrets,
            timeout,
            client,
        })
    }

    /// Pushes the job, once. `now` is the time of the signature.
    ///
    /// The message's id names job, round and attempt: with it the aggregator can drop a repetition of one
    /// push. A second push of the same job, after a missing report or after answers to its challenges,
    /// has another id.
    pub async fn push(&self, job: &Job, now: Timestamp) -> Result<(), PushError> {
        let body = serde_json::to_string(&JobBody::from(job)).expect("texts and numbers are JSON");
        let id = message_id(job);
        let signatures = signature::sign(&self.secrets, &id, now, body.as_bytes());
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(signature::ID, id)
            .header(signature::TIMESTAMP, now.as_second())
            .header(signature::SIGNATURE, signatures)
            .body(body);
        let response = tokio::time::timeout(self.timeout, request.send())
            .await
            .map_err(|_| PushError::TimedOut(self.timeout))?
            .map_err(|error| PushError::Unreachable(outgoing::describe(error)))?;
        let status = response.status();
        outgoing::drain(response).await;
        if status.is_success() {
            Ok(())
        } else {
            Err(PushError::Refused(status.as_u16()))
        }
    }
}

/// Attempts are counted from 1 in each round, so the id needs the round.
fn message_id(job: &Job) -> String {
    match job.round {
        0 => format!("{}-{}", job.guid, job.attempt),
        round => format!("{}-r{round}-{}", job.guid, job.attempt),
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the independent verifier reads the real clock, so the signature must be of now"
)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::data_request::Product;
    use crate::domain::job::JobStatus;
    use crate::fake_server::{FakeServer, Reply, response};

    const UUID: &str = "68e96dd6-eabd-42d3-9f05-416897f0746c";

    fn secret() -> SigningSecret {
        SigningSecret(zeroize::Zeroizing::new(vec![1; 32]))
    }

    fn job(round: u32, attempt: u32) -> Job {
        let time = Timestamp::from_second(1_800_000_000).unwrap();
        Job {
            is_background: false,
            guid: format!("JOB-{UUID}").parse().unwrap(),
            member: format!("MBR-{UUID}").parse().unwrap(),
            user: format!("USR-{UUID}").parse().unwrap(),
            client: "app".parse().unwrap(),
            institution: "mx_bank_oauth".parse().unwrap(),
            status: JobStatus::Pushed,
            attempt,
            due_at: time,
            created_at: time,
            updated_at: time,
            data_request: DataRequest {
                products: vec![Product::Transactions],
                include_holdings: Some(false),
                ..DataRequest::default()
            },
            challenges: Vec::new(),
            round,
            is_with_new_token: false,
            joined: Vec::new(),
            is_continued: false,
            failure: None,
        }
    }

    async fn push(server: &FakeServer, timeout: Duration) -> Result<(), PushError> {
        let endpoint = PushEndpoint::new(
            server.url("/jobs"),
            vec![secret()],
            timeout,
            &Outgoing::default(),
        )
        .unwrap();
        endpoint.push(&job(0, 2), Timestamp::now()).await
    }

    #[tokio::test]
    async fn b7_a_push_is_signed_and_says_which_job() {
        let server = FakeServer::start(|_| response("202 Accepted", &[], b""));
        assert_eq!(push(&server, TIMEOUT).await, Ok(()));
        let request = server.requests().remove(0);
        assert!(request.head.starts_with("POST /jobs HTTP/1.1\r\n"));
        assert_eq!(request.header("content-type"), Some("application/json"));
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        let expected = json!({
            "job_guid": format!("JOB-{UUID}"),
            "member_guid": format!("MBR-{UUID}"),
            "institution_code": "mx_bank_oauth",
            "kind": "aggregate",
            "round": 0,
            "attempt": 2,
            "data_request": {"products": ["transactions"], "include_holdings": false},
        });
        assert_eq!(body, expected);

        assert_eq!(
            request.header("webhook-id"),
            Some(&*format!("JOB-{UUID}-2"))
        );
        let mut headers = reqwest::header::HeaderMap::new();
        for name in [signature::ID, signature::TIMESTAMP, signature::SIGNATURE] {
            headers.insert(name, request.header(name).unwrap().parse().unwrap());
        }
        let receiver = standardwebhooks::Webhook::from_bytes(vec![1; 32]).unwrap();
        receiver.verify(&request.body, &headers).unwrap();
    }

    #[test]
    fn each_push_of_a_job_has_an_id_of_its_own() {
        let ids = [(0, 1), (0, 2), (1, 1), (1, 2), (11, 1)].map(|(r, a)| message_id(&job(r, a)));
        let names = ["1", "2", "r1-1", "r1-2", "r11-1"];
        assert_eq!(ids, names.map(|name| format!("JOB-{UUID}-{name}")));
    }

    #[tokio::test]
    async fn b7_every_other_response_is_an_error() {
        let canary = FakeServer::start(|_| response("200 OK", &[], b""));
        let target = canary.url("/").to_string();
        let redirecting =
            FakeServer::start(move |_| response("307 A", &[("location", &target)], b""));
        assert_eq!(
            push(&redirecting, TIMEOUT).await,
            Err(PushError::Refused(307))
        );
        assert!(canary.requests().is_empty());

        let failing = FakeServer::start(|_| response("503 A", &[], b"later"));
        assert_eq!(push(&failing, TIMEOUT).await, Err(PushError::Refused(503)));

        let broken = FakeServer::start(|_| Reply::Bytes(vec![]));
        let outcome = push(&broken, TIMEOUT).await;
        assert!(matches!(outcome, Err(PushError::Unreachable(_))));
        assert_eq!(broken.requests().len(), 1);

        let silent = FakeServer::start(|_| Reply::Silence);
        let limit = Duration::from_millis(300);
        assert_eq!(push(&silent, limit).await, Err(PushError::TimedOut(limit)));
    }

    #[test]
    fn plain_http_to_another_machine_and_no_secret_are_refused_at_start() {
        let new = |url: &str, secrets| {
            PushEndpoint::new(url.parse().unwrap(), secrets, TIMEOUT, &Outgoing::default()).err()
        };
        let away = "http://aggregator.example/jobs";
        assert_eq!(new(away, vec![secret()]), Some(SetupError::Insecure));
        let near = "http://localhost:9/jobs";
        assert_eq!(new(near, vec![]), Some(SetupError::NoSecret));
        assert_eq!(new(near, vec![secret()]), None);
    }
}
