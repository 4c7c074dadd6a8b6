//! The aggregator over HTTP, between the sandbox's own bank and a gateway that the test plays.

use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;

use crate::bank::tests::{refresh, tokens_for};
use crate::signature::signed_headers;
use crate::tests::{
    AGGREGATOR_KEY, AGGREGATOR_SECRET, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, World, until,
};
use crate::wire::now;

/// The gateway that the test plays: its responses, and the reports it got.
///
/// A report that the bank asks something takes a permit of `questions` to be answered.
struct Gateway {
    /// The response to a lease, once known.
    lease: Mutex<(StatusCode, Value)>,
    /// How many leases get a response; a test that wants to look first starts with none.
    leases: Semaphore,
    reports: Mutex<Vec<(String, Value)>>,
    questions: Semaphore,
    /// How many leases and reports fail with 503 before one is taken.
    failures: Mutex<u32>,
}

impl Gateway {
    fn new(leases: usize) -> Arc<Self> {
        Arc::new(Self {
            lease: Mutex::new((StatusCode::NOT_FOUND, Value::Null)),
            leases: Semaphore::new(leases),
            reports: Mutex::default(),
            questions: Semaphore::new(leases),
            failures: Mutex::default(),
        })
    }

    fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/aggregation/jobs/{job}/lease", post(lease))
            .route("/aggregation/jobs/{job}/report", post(report))
            .with_state(Arc::clone(self))
    }

    fn lends(&self, institution: &str, token: &str) {
        let lease = json!({
            "job_guid": "JOB-1",
            "member_guid": "MBR-1",
            "institution_code": institution,
            "access_token": token,
            "token_type": "Bearer",
            "expires_at": null,
        });
        *self.lease.lock().expect("a lock") = (StatusCode::OK, lease);
    }

    /// Lends what somebody typed, and the answers given since, by the names of their questions.
    fn lends_sign_in(&self, password: &str, answers: &[(&str, &str)]) {
        let given = |&(name, value): &(&str, &str)| json!({ "guid": "CRD-1", "field_name": name, "value": value });
        let credentials = [("PASSWORD", password), ("LOGIN", "ada")];
        let mut lease = json!({
            "job_guid": "JOB-1",
            "member_guid": "MBR-1",
            "institution_code": "mxbank",
            "credentials": credentials.iter().map(given).collect::<Vec<_>>(),
        });
        if !answers.is_empty() {
            lease["answers"] = answers.iter().map(given).collect();
        }
        *self.lease.lock().expect("a lock") = (StatusCode::OK, lease);
    }

    /// 503, to be asked again at once, while there are failures left.
    fn away(&self) -> Option<Response> {
        let mut failures = self.failures.lock().expect("a lock");
        *failures = failures.checked_sub(1)?;
        Some((StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response())
    }

    fn reports(&self) -> Vec<(String, Value)> {
        self.reports.lock().expect("a lock").clone()
    }

    /// Waits for as many reports and returns them.
    async fn told(&self, count: usize) -> Vec<Value> {
        until(async || (self.reports().len() >= count).then_some(())).await;
        let reports = self.reports();
        reports.into_iter().map(|(_, report)| report).collect()
    }
}

fn authorized(headers: &HeaderMap) -> bool {
    headers["authorization"] == format!("Bearer {AGGREGATOR_KEY}").as_str()
}

async fn lease(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    if !authorized(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if let Some(away) = gateway.away() {
        return away;
    }
    gateway.leases.acquire().await.expect("open").forget();
    let (status, lease) = gateway.lease.lock().expect("a lock").clone();
    (status, Json(lease)).into_response()
}

async fn report(
    State(gateway): State<Arc<Gateway>>,
    Path(job): Path<String>,
    headers: HeaderMap,
    Json(report): Json<Value>,
) -> Response {
    if !authorized(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if let Some(away) = gateway.away() {
        return away;
    }
    let is_question = report["status"] == "challenged";
    gateway.reports.lock().expect("a lock").push((job, report));
    if is_question {
        gateway.questions.acquire().await.expect("open").forget();
    }
    StatusCode::OK.into_response()
}

/// Pushes a job as the gateway would.
async fn push(world: &World, job: &str) -> StatusCode {
    let body = json!({
        "job_guid": job,
        "member_guid": "MBR-1",
        "institution_code": "mx_bank_oauth_auto",
        "kind": "aggregate",
        "attempt": 1,
    });
    let body = body.to_string().into_bytes();
    let headers = signed_headers(AGGREGATOR_SECRET, "msg-1", now(), &body);
    let url = format!("{}/aggregator/jobs", world.app);
    let request = world.http.post(url).headers(headers).body(body);
    request.send().await.expect("a response").status()
}

/// An access token of the sandbox bank.
async fn token(world: &World) -> String {
    let base = format!("{}/mx_bank_oauth_auto", world.bank);
    let params = [
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", REDIRECT_URI),
        (
            "code_challenge",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        ),
        ("code_challenge_method", "S256"),
    ];
    let url = Url::parse_with_params(&format!("{base}/authorize"), params).expect("an address");
    let answer = world.http.get(url).send().await.expect("a response");
    let location = answer.headers()["location"].to_str().expect("text");
    let location = Url::parse(location).expect("an address");
    let code = location.query_pairs().find(|(name, _)| name == "code");
    let (_, code) = code.expect("a code");
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("redirect_uri", REDIRECT_URI),
        ("code", code.as_ref()),
        (
            "code_verifier",
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ),
    ];
    let request = world.http.post(format!("{base}/token")).form(&form);
    let tokens: Value = request
        .send()
        .await
        .expect("a response")
        .json()
        .await
        .expect("JSON");
    tokens["access_token"].as_str().expect("a token").to_owned()
}

#[tokio::test]
async fn a_job_is_started_pulled_and_reported() {
    let gateway = Gateway::new(2);
    let world = World::with_gateway(gateway.router()).await;
    gateway.lends("mx_bank_oauth_auto", &token(&world).await);
    assert_eq!(push(&world, "JOB-1").await, StatusCode::ACCEPTED);
    let told = gateway.told(2).await;
    assert_eq!(told[0], json!({ "status": "started" }));
    let succeeded = |created: u32| {
        json!({
            "status": "succeeded",
            "accounts_count": 3,
            "transactions_created_count": created,
            "transactions_updated_count": 0,
        })
    };
    assert_eq!(told[1], succeeded(12));
    assert_eq!(gateway.reports()[1].0, "JOB-1");

    assert_eq!(push(&world, "JOB-2").await, StatusCode::ACCEPTED);
    let told = gateway.told(4).await;
    assert_eq!(told[3], succeeded(0), "nothing is new the second time");
    assert_eq!(world.stats().await["transactions"], 2);
}

#[tokio::test]
async fn a_job_that_is_running_is_not_run_twice() {
    let gateway = Gateway::new(0);
    let world = World::with_gateway(gateway.router()).await;
    gateway.lends("mx_bank_oauth_auto", &token(&world).await);
    assert_eq!(push(&world, "JOB-1").await, StatusCode::ACCEPTED);
    gateway.told(1).await;
    assert_eq!(push(&world, "JOB-1").await, StatusCode::ACCEPTED);
    gateway.leases.add_permits(1);
    gateway.told(2).await;
    // Had the second push run, its lease would be waiting and its start reported.
    assert_eq!(gateway.reports().len(), 2);
    assert_eq!(world.stats().await["accounts"], 1);

    // Once it is over, the same job can be pushed again.
    gateway.leases.add_permits(1);
    until(async || {
        push(&world, "JOB-1").await;
        (gateway.reports().len() >= 4).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_refused_token_is_denied() {
    let gateway = Gateway::new(1);
    let world = World::with_gateway(gateway.router()).await;
    gateway.lends("mx_bank_oauth_auto", "not a token");
    assert_eq!(push(&world, "JOB-1").await, StatusCode::ACCEPTED);
    let told = gateway.told(2).await;
    assert_eq!(told[1]["status"], "failed");
    assert_eq!(told[1]["reason"], "denied");
}

#[tokio::test]
async fn what_the_bank_says_to_a_lent_token_is_reported() {
    let gateway = Gateway::new(20);
    let world = World::with_gateway(gateway.router()).await;
    let reported = async |job: &str, tokens: &Value| {
        let token = tokens["access_token"].as_str().expect("a token");
        gateway.lends("mx_bank_oauth", token);
        let mut report = run(&world, &gateway, job).await;
        assert_ne!(report["status"], "challenged", "{report}");
        report["reason"].take()
    };
    for (password, reason) in [("revoked", "denied"), ("over_quota", "unavailable")] {
        let tokens = tokens_for(&world, password).await;
        assert_eq!(reported(password, &tokens).await, reason, "{password}");
    }
    let tokens = tokens_for(&world, "refuse_pull_once").await;
    assert_eq!(reported("JOB-1", &tokens).await, "denied");
    let response = refresh(&world, &tokens).await;
    let fresh = response.json().await.expect("JSON");
    assert_eq!(reported("JOB-2", &fresh).await, Value::Null, "it succeeds");
}

#[tokio::test]
async fn what_cannot_be_reached_is_unavailable() {
    let gateway = Gateway::new(1);
    let world = World::with_gateway(gateway.router()).await;
    gateway.lends("not_in_the_sandbox", "token");
    assert_eq!(push(&world, "JOB-1").await, StatusCode::ACCEPTED);
    let told = gateway.told(2).await;
    assert_eq!(told[1]["status"], "failed");
    assert_eq!(told[1]["reason"], "unavailable");
    assert_eq!(world.stats().await["accounts"], 0);
}

#[tokio::test]
async fn a_gateway_that_is_away_for_a_moment_is_asked_again() {
    let gateway = Gateway::new(1);
    let world = World::with_gateway(gateway.router()).await;
    gateway.lends("mx_bank_oauth_auto", &token(&world).await);
    // More failures than pauses: first for the lease, then for the report.
    *gateway.failures.lock().expect("a lock") = 8;
    assert_eq!(push(&world, "JOB-1").await, StatusCode::ACCEPTED);
    gateway.told(1).await;
    *gateway.failures.lock().expect("a lock") = 8;
    let told = gateway.told(2).await;
    assert_eq!(told[1]["status"], "succeeded");
}

#[tokio::test]
async fn a_job_that_was_withdrawn_is_dropped() {
    let gateway = Gateway::new(2);
    let world = World::with_gateway(gateway.router()).await;
    // The first lease is refused with 404; the token is there for the second job only.
    assert_eq!(push(&world, "JOB-1").await, StatusCode::ACCEPTED);
    until(async || (gateway.leases.available_permits() == 1).then_some(())).await;
    gateway.lends("mx_bank_oauth_auto", &token(&world).await);
    assert_eq!(push(&world, "JOB-2").await, StatusCode::ACCEPTED);
    gateway.told(3).await;
    let jobs: Vec<_> = gateway.reports().into_iter().map(|(job, _)| job).collect();
    assert_eq!(jobs, ["JOB-1", "JOB-2", "JOB-2"]);
}

#[tokio::test]
async fn only_signed_jobs_are_taken() {
    let gateway = Gateway::new(0);
    let world = World::with_gateway(gateway.router()).await;
    let url = format!("{}/aggregator/jobs", world.app);
    let body = br#"{"job_guid":"JOB-1","member_guid":"MBR-1"}"#;
    let unsigned = world.http.post(&url).body(body.to_vec());
    let status = unsigned.send().await.expect("a response").status();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let old = now() - jiff::SignedDuration::from_mins(6);
    let headers = signed_headers(AGGREGATOR_SECRET, "msg-1", old, body);
    let late = world.http.post(&url).headers(headers).body(body.to_vec());
    let status = late.send().await.expect("a response").status();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let headers = signed_headers(AGGREGATOR_SECRET, "msg-1", now(), b"[]");
    let no_job = world.http.post(&url).headers(headers).body("[]");
    let status = no_job.send().await.expect("a response").status();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(gateway.reports().is_empty());
}

/// Runs a job and returns what it reports in the end.
async fn run(world: &World, gateway: &Gateway, job: &str) -> Value {
    let before = gateway.reports().len();
    assert_eq!(push(world, job).await, StatusCode::ACCEPTED);
    let mut told = gateway.told(before + 2).await;
    assert_eq!(told[before], json!({ "status": "started" }));
    told.remove(before + 1)
}

/// The name of the only question of a report.
fn question(report: &Value) -> &str {
    assert_eq!(report["status"], "challenged", "{report}");
    let challenges = report["challenges"].as_array().expect("a list");
    assert_eq!(challenges.len(), 1);
    challenges[0]["field_name"].as_str().expect("a name")
}

#[tokio::test]
async fn a_name_and_a_password_are_signed_in_with() {
    let gateway = Gateway::new(20);
    let world = World::with_gateway(gateway.router()).await;
    gateway.lends_sign_in("sesame", &[]);
    let report = run(&world, &gateway, "JOB-1").await;
    assert_eq!(report["status"], "succeeded");
    assert_eq!(report["accounts_count"], 3);
    for (password, reason) in [
        ("wrong", "denied"),
        ("LOCKED", "locked"),
        ("INVALID", "failed"),
        ("provider_error", "unavailable"),
        ("revoked", "denied"),
    ] {
        gateway.lends_sign_in(password, &[]);
        let report = run(&world, &gateway, &format!("JOB-{password}")).await;
        assert_eq!(report["status"], "failed");
        assert_eq!(report["reason"], reason, "{password}");
    }
}

#[tokio::test]
async fn what_the_bank_asks_is_passed_on_and_answered() {
    let gateway = Gateway::new(20);
    let world = World::with_gateway(gateway.router()).await;
    gateway.lends_sign_in("two_step", &[]);
    let report = run(&world, &gateway, "JOB-1").await;
    let expected = json!({
        "status": "challenged",
        "challenges": [
            { "type": "TEXT", "field_name": "CITY", "label": "Where were you born?" },
        ],
    });
    assert_eq!(report, expected);

    gateway.lends_sign_in("two_step", &[("CITY", "challenge")]);
    let report = run(&world, &gateway, "JOB-1").await;
    assert_eq!(question(&report), "SCHOOL");
    gateway.lends_sign_in("two_step", &[("SCHOOL", "correct")]);
    let report = run(&world, &gateway, "JOB-1").await;
    assert_eq!(report["status"], "succeeded");
    assert_eq!(world.stats().await["sign_in"], 3, "begun once");
}

#[tokio::test]
async fn a_wrong_answer_is_rejected() {
    let gateway = Gateway::new(20);
    let world = World::with_gateway(gateway.router()).await;
    gateway.lends_sign_in("options", &[]);
    let report = run(&world, &gateway, "JOB-1").await;
    assert_eq!(report["challenges"][0]["options"][0]["value"], "first");
    let name = question(&report).to_owned();
    gateway.lends_sign_in("options", &[(&name, "first")]);
    let report = run(&world, &gateway, "JOB-1").await;
    assert_eq!(report["status"], "failed");
    assert_eq!(report["reason"], "rejected");
}

#[tokio::test]
async fn a_job_pushed_again_without_answers_asks_again() {
    let gateway = Gateway::new(20);
    let world = World::with_gateway(gateway.router()).await;
    gateway.lends_sign_in("image", &[]);
    let first = run(&world, &gateway, "JOB-1").await;
    let second = run(&world, &gateway, "JOB-1").await;
    assert_eq!(first, second);
    assert_eq!(
        world.stats().await["sign_in"],
        1,
        "the bank is not asked again"
    );
}

#[tokio::test]
async fn a_sign_in_that_was_forgotten_is_begun_anew() {
    let gateway = Gateway::new(20);
    let world = World::with_gateway(gateway.router()).await;
    // Answers to a sign-in that nobody here remembers: they fit the questions asked anew.
    gateway.lends_sign_in("challenge", &[("PET", "correct")]);
    let report = run(&world, &gateway, "JOB-1").await;
    assert_eq!(report["status"], "succeeded");
    // The second answer of two, when the first is forgotten: the first is asked for again.
    gateway.lends_sign_in("two_step", &[("SCHOOL", "correct")]);
    let report = run(&world, &gateway, "JOB-2").await;
    assert_eq!(question(&report), "CITY");
}

#[tokio::test]
async fn answers_that_come_while_the_question_is_still_reported_are_not_lost() {
    let gateway = Gateway::new(0);
    gateway.leases.add_permits(2);
    let world = World::with_gateway(gateway.router()).await;
    gateway.lends_sign_in("challenge", &[]);
    let report = run(&world, &gateway, "JOB-1").await;
    let name = question(&report).to_owned();
    // The response to the report has not come yet.
    gateway.lends_sign_in("challenge", &[(&name, "correct")]);
    let report = run(&world, &gateway, "JOB-1").await;
    assert_eq!(report["status"], "succeeded");
    gateway.questions.add_permits(1);
}

#[tokio::test]
async fn a_lease_of_nothing_is_unavailable() {
    let gateway = Gateway::new(1);
    let world = World::with_gateway(gateway.router()).await;
    let lease = json!({ "institution_code": "mxbank", "access_token": null });
    *gateway.lease.lock().expect("a lock") = (StatusCode::OK, lease);
    let report = run(&world, &gateway, "JOB-1").await;
    assert_eq!(report["reason"], "unavailable");
    assert_eq!(world.stats().await["sign_in"], 0);
}
