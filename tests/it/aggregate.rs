//! The aggregation of a connected member: pushed, leased, reported, and never silent.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::support::aggregation::{count, failed, job, lease, nth_push, report};
use crate::support::behaviour::{Behaviour, json_response};
use crate::support::gateway::{BANK_GUID, Backend, SIGNING_SECRET, Setup, TestGateway, eventually};
use crate::support::loopback::Recorded;
use crate::support::receiver::Reply;

const LIMIT: Duration = Duration::from_secs(10);
/// A little more than the job deadline of the tests' gateway.
const JOB_DEADLINE: Duration = Duration::from_secs(61);
/// A little more than the longest wait after a push that was not taken.
const PUSH_WAIT: Duration = Duration::from_secs(31);

crate::on_both_stores!(
    a_push_is_signed_and_says_what_is_to_be_done,
    a_job_goes_through_its_states,
    a_finished_job_lends_nothing_and_stays_as_it_ended,
    a_token_that_has_ended_is_not_lent,
    the_aggregators_endpoints_have_their_own_key,
    a_silent_aggregator_is_pushed_again_and_then_given_up,
    a_push_that_is_not_taken_is_repeated,
    pushes_that_are_never_taken_fail_the_job,
    a_first_pull_that_is_denied_makes_the_member_denied,
    a_later_pull_that_is_denied_makes_the_member_impaired,
    a_pull_that_is_impeded_makes_the_member_impeded,
    connecting_again_replaces_the_job,
    skipped_aggregation_queues_nothing,
    without_an_aggregator_nothing_is_queued,
);

async fn a_push_is_signed_and_says_what_is_to_be_done(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    let push = nth_push(&gateway, 1).await;

    let verifier = Webhook::new(SIGNING_SECRET).expect("a secret");
    verifier
        .verify(&push.body, &push.headers)
        .expect("signed as Standard Webhooks says");
    let mut forged = push.body.clone();
    forged.push(b' ');
    assert!(verifier.verify(&forged, &push.headers).is_err());

    let body = push.json();
    assert_eq!(push.method, "POST");
    assert_eq!(push.header("content-type"), Some("application/json"));
    assert_eq!(body["member_guid"], json!(member));
    assert_eq!(body["institution_code"], "fake_bank");
    assert_eq!(body["kind"], "aggregate");
    assert_eq!(body["attempt"], 1);
    assert_eq!(body["round"], 0);
    assert_eq!(body["data_request"], json!({}));
    let mut fields: Vec<&String> = body.as_object().expect("an object").keys().collect();
    fields.sort();
    let documented = [
        "attempt",
        "data_request",
        "institution_code",
        "job_guid",
        "kind",
        "member_guid",
        "round",
    ];
    assert_eq!(fields, documented, "no token, no user");
}

async fn a_job_goes_through_its_states(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    let job = job(&nth_push(&gateway, 1).await);
    assert_eq!(gateway.read(member).await["is_being_aggregated"], true);

    let (status, lease) = lease(&gateway, &job).await;
    assert_eq!(status, 200, "{lease}");
    assert_eq!(lease["member_guid"], json!(member));
    assert_eq!(lease["job_guid"], json!(job));
    assert_eq!(lease["scope"], "accounts transactions");
    assert!(
        gateway
            .bank
            .honours(lease["access_token"].as_str().expect("a token"))
    );
    assert!(lease["lease_expires_at"].is_string());
    assert_eq!(lease["data_request"], json!({}));
    assert!(lease["answers"].is_null());
    assert!(lease.get("credentials").is_none());

    assert_eq!(
        report(&gateway, &job, json!({"status": "started"})).await,
        (200, "STARTED".into())
    );
    assert_eq!(gateway.read(member).await["is_being_aggregated"], true);
    let done = json!({"status": "succeeded", "transactions_created_count": 7, "transactions_updated_count": 2});
    assert_eq!(
        report(&gateway, &job, done).await,
        (200, "SUCCEEDED".into())
    );
    let read = gateway.read(member).await;
    assert_eq!(read["is_being_aggregated"], false);
    assert_eq!(read["connection_status"], "CONNECTED");
    assert_eq!(read["aggregated_at"], read["successfully_aggregated_at"]);
    assert_eq!(read["most_recent_job_guid"], json!(job));

    let told = gateway
        .hooks
        .wait_for(|told| count(told, "member_data_updated") > 0, LIMIT)
        .await;
    let aggregation = told
        .iter()
        .map(Recorded::json)
        .find(|body| body["action"] == "member_data_updated")
        .expect("just seen");
    assert_eq!(aggregation["transactions_created_count"], 7);
    assert_eq!(aggregation["transactions_updated_count"], 2);
    assert_eq!(aggregation["job_guid"], json!(job));
}

async fn a_finished_job_lends_nothing_and_stays_as_it_ended(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    let job = job(&nth_push(&gateway, 1).await);
    report(&gateway, &job, json!({"status": "succeeded"})).await;

    let (status, problem) = lease(&gateway, &job).await;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(problem["error"]["reason"], "job_not_open");
    assert!(problem.get("access_token").is_none());
    let again = report(&gateway, &job, failed("denied")).await;
    assert_eq!(again, (200, "SUCCEEDED".into()), "as it ended");
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}

async fn a_token_that_has_ended_is_not_lent(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    // There is nothing to refresh it with.
    gateway.bank.on_token(Behaviour::made(|_, honest| {
        let mut fields = honest.fields.clone();
        fields.insert("expires_in".to_owned(), json!(90));
        fields.remove("refresh_token");
        json_response(honest.status, Value::Object(fields).to_string())
    }));
    let member = connected(&gateway).await;
    let (_, lent) = lease(&gateway, &job(&nth_push(&gateway, 1).await)).await;
    assert!(lent["access_token"].is_string(), "{lent}");
    let end: jiff::Timestamp = lent["expires_at"]
        .as_str()
        .expect("an end")
        .parse()
        .expect("a time");
    assert!(end > gateway.clock.now());

    gateway.pass(Duration::from_secs(31));
    let job = job(&nth_push(&gateway, 1).await);
    let (status, refused) = lease(&gateway, &job).await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(refused["error"]["reason"], "token_ended");
    let response = refused.to_string();
    assert!(!response.contains(lent["access_token"].as_str().expect("a token")));

    // The aggregator need not say anything: the job has failed, and the person has to come back.
    let read = gateway.read(member).await;
    assert_eq!(read["is_being_aggregated"], false);
    assert_eq!(read["connection_status"], "IMPAIRED");
    assert_eq!(read["connection_status_reason"], "CONSENT_ENDED");
    let (_, again) = lease(&gateway, &job).await;
    assert_eq!(again["error"]["reason"], "job_not_open");
    let late = report(&gateway, &job, json!({"status": "succeeded"})).await;
    assert_eq!(late, (200, "FAILED".into()));
    gateway
        .hooks
        .wait_for(
            |told| told.iter().any(|event| event.text().contains("IMPAIRED")),
            LIMIT,
        )
        .await;

    // A new consent connects it again.
    gateway.bank.on_token(Behaviour::Honest);
    let path = format!("/members/{member}/oauth_window_uri");
    let (status, minted) = gateway.nexus("GET", &path, None).await;
    assert_eq!(status, 200, "{minted}");
    let link = minted["member"]["oauth_window_uri"]
        .as_str()
        .expect("a link");
    let link = link.parse().expect("a link");
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "CONNECTED");
    assert_eq!(read["connection_status_reason"], Value::Null);
}

async fn the_aggregators_endpoints_have_their_own_key(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    connected(&gateway).await;
    let job = job(&nth_push(&gateway, 1).await);
    let lease = gateway.at(&format!("/aggregation/jobs/{job}/lease"));
    for key in [
        "",
        "Bearer ",
        "Bearer wrong",
        &format!("Bearer {}", gateway.api_key),
    ] {
        let page = gateway
            .visitor()
            .send("POST", &lease, &[("authorization", key)], None)
            .await;
        assert_eq!(page.status, 401, "{key:?}: {}", page.body);
        assert!(!page.body.contains("access_token"));
    }
    for unknown in [
        "JOB-11111111-1111-4111-8111-111111111111",
        "JOB-1",
        "nonsense",
    ] {
        let path = format!("/aggregation/jobs/{unknown}");
        assert_eq!(
            gateway.aggregation(&format!("{path}/lease"), None).await.0,
            404,
            "{unknown}"
        );
        let started = Some(json!({"status": "started"}));
        assert_eq!(
            gateway
                .aggregation(&format!("{path}/report"), started)
                .await
                .0,
            404,
            "{unknown}"
        );
    }
    for wrong in [
        json!({}),
        json!({"status": "done"}),
        json!({"status": 1}),
        failed("sleepy"),
        failed("unanswered"),
        failed("replaced"),
        json!({"status": "failed"}),
        json!({"status": "challenged"}),
        json!({"status": "challenged", "challenges": []}),
        json!({"status": "challenged", "challenges": [{"type": "RIDDLE", "field_name": "a", "label": "b"}]}),
        json!({"status": "succeeded", "transactions_created_count": -1}),
    ] {
        let path = format!("/aggregation/jobs/{job}/report");
        let (status, problem) = gateway.aggregation(&path, Some(wrong.clone())).await;
        assert_eq!(status, 400, "{wrong}: {problem}");
    }
}

async fn a_silent_aggregator_is_pushed_again_and_then_given_up(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    let first = nth_push(&gateway, 1).await;
    for nth in 2..=3 {
        gateway.pass(JOB_DEADLINE);
        let push = nth_push(&gateway, nth).await;
        assert_eq!(push.json()["attempt"], nth);
        assert_eq!(job(&push), job(&first), "the same job");
        assert_ne!(push.header("webhook-id"), first.header("webhook-id"));
    }
    gateway.pass(JOB_DEADLINE);
    let given_up = gateway
        .member_when(member, |member| member["is_being_aggregated"] == false)
        .await;
    assert_eq!(given_up["connection_status"], "CONNECTED");
    assert!(given_up["aggregated_at"].is_string());
    assert!(given_up["successfully_aggregated_at"].is_null());
    // Connected, then given up.
    gateway
        .hooks
        .wait_for(|told| count(told, "updated") >= 2, LIMIT)
        .await;
    assert_eq!(gateway.aggregator.received().len(), 3);
    assert_eq!(lease(&gateway, &job(&first)).await.0, 409);
}

async fn a_push_that_is_not_taken_is_repeated(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    gateway.aggregator.answer_with(Reply::Status(500));
    let member = connected(&gateway).await;
    let first = nth_push(&gateway, 1).await;
    refusal_noted(&gateway, 1).await;
    gateway.aggregator.answer_with(Reply::HangUp);
    gateway.pass(PUSH_WAIT);
    refusal_noted(&gateway, 2).await;
    gateway.aggregator.answer_with(Reply::Status(202));
    gateway.pass(PUSH_WAIT);
    let third = nth_push(&gateway, 3).await;
    assert_eq!(job(&third), job(&first));
    assert_eq!(third.json()["attempt"], 3);
    let (status, _) = report(&gateway, &job(&first), json!({"status": "succeeded"})).await;
    assert_eq!(status, 200);
    assert_eq!(gateway.read(member).await["is_being_aggregated"], false);
}

async fn pushes_that_are_never_taken_fail_the_job(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    gateway.aggregator.answer_with(Reply::Redirect(307));
    let member = connected(&gateway).await;
    for nth in 1..=2 {
        refusal_noted(&gateway, nth).await;
        gateway.pass(PUSH_WAIT);
    }
    nth_push(&gateway, 3).await;
    gateway
        .member_when(member, |member| member["is_being_aggregated"] == false)
        .await;
    let pushes = gateway.aggregator.received();
    assert_eq!(pushes.len(), 3);
    assert!(
        pushes.iter().all(|push| push.path != "/elsewhere"),
        "no redirect is followed"
    );
}

async fn a_first_pull_that_is_denied_makes_the_member_denied(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    let job = job(&nth_push(&gateway, 1).await);
    assert_eq!(
        report(&gateway, &job, failed("denied")).await,
        (200, "FAILED".into())
    );
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "DENIED");
    assert_eq!(read["is_being_aggregated"], false);
    status_told(&gateway, member, "DENIED", 2).await;
}

async fn a_later_pull_that_is_denied_makes_the_member_impaired(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    report(
        &gateway,
        &job(&nth_push(&gateway, 1).await),
        json!({"status": "succeeded"}),
    )
    .await;
    connect_again(&gateway, member).await;
    let second = job(&nth_push(&gateway, 2).await);
    // Once with a new token; refused again, it is the consent that has ended.
    for (nth, status) in [(2, "QUEUED"), (3, "FAILED")] {
        nth_push(&gateway, nth).await;
        let reported = report(&gateway, &second, failed("denied")).await;
        assert_eq!(reported, (200, status.to_owned()));
    }
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "IMPAIRED");
    assert_eq!(read["connection_status_reason"], "REVOKED");
    status_told(&gateway, member, "IMPAIRED", 20).await;
}

async fn a_pull_that_is_impeded_makes_the_member_impeded(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    report(
        &gateway,
        &job(&nth_push(&gateway, 1).await),
        failed("impeded"),
    )
    .await;
    assert_eq!(gateway.read(member).await["connection_status"], "IMPEDED");
    status_told(&gateway, member, "IMPEDED", 7).await;
}

async fn connecting_again_replaces_the_job(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    let first = job(&nth_push(&gateway, 1).await);
    connect_again(&gateway, member).await;
    let second = job(&nth_push(&gateway, 2).await);
    assert_ne!(second, first);
    let before = gateway.read(member).await;
    assert_eq!(before["most_recent_job_guid"], json!(second));

    // The old job pulled with the old token: what becomes of it says nothing about the new one.
    assert_eq!(lease(&gateway, &first).await.0, 409);
    report(&gateway, &first, failed("denied")).await;
    assert_eq!(gateway.read(member).await, before);
    let (_, lease) = lease(&gateway, &second).await;
    let token = lease["access_token"].as_str().expect("a token");
    assert!(gateway.bank.honours(token));
    report(&gateway, &second, json!({"status": "succeeded"})).await;
    assert_eq!(gateway.read(member).await["is_being_aggregated"], false);
    assert_eq!(gateway.aggregator.received().len(), 2);
}

async fn skipped_aggregation_queues_nothing(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true, "skip_aggregation": true}});
    let (at_create, link) = gateway.member_with(body).await;
    connect_by(&gateway, &link).await;
    let (at_mint, _) = gateway.member().await;
    let path = format!("/members/{at_mint}/oauth_window_uri?skip_aggregation=true");
    let link = minted(&gateway, &path).await;
    connect_by(&gateway, &link).await;
    for member in [at_create, at_mint] {
        let read = gateway.read(member).await;
        assert_eq!(read["connection_status"], "CONNECTED");
        assert_eq!(read["is_being_aggregated"], false);
        assert!(read["most_recent_job_guid"].is_null());
    }
    // An explicit value at mint wins over the one at create.
    let path = format!("/members/{at_create}/oauth_window_uri?skip_aggregation=false");
    let link = minted(&gateway, &path).await;
    connect_by(&gateway, &link).await;
    let push = nth_push(&gateway, 1).await;
    assert_eq!(push.json()["member_guid"], json!(at_create));
    assert_eq!(gateway.aggregator.received().len(), 1);
}

async fn without_an_aggregator_nothing_is_queued(backend: Backend) {
    let setup = Setup {
        without_aggregator: true,
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let member = connected(&gateway).await;
    let read = gateway.read(member).await;
    assert_eq!(read["is_being_aggregated"], false);
    assert!(read["most_recent_job_guid"].is_null());
    assert_eq!(
        gateway
            .aggregation("/aggregation/jobs/JOB-1/lease", None)
            .await
            .0,
        401
    );
}

async fn connected(gateway: &TestGateway) -> MemberGuid {
    let (member, link) = gateway.member().await;
    connect_by(gateway, &link).await;
    member
}

async fn connect_by(gateway: &TestGateway, link: &url::Url) {
    let page = gateway.connect(&gateway.visitor(), link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

async fn connect_again(gateway: &TestGateway, member: MemberGuid) {
    let link = minted(gateway, &format!("/members/{member}/oauth_window_uri")).await;
    connect_by(gateway, &link).await;
}

async fn minted(gateway: &TestGateway, path: &str) -> url::Url {
    let (status, response) = gateway.nexus("GET", path, None).await;
    assert_eq!(status, 200, "{response}");
    let link = response["member"]["oauth_window_uri"]
        .as_str()
        .expect("a link");
    link.parse().expect("a URL")
}

/// Waits until the gateway has written down that the n-th push was not taken.
async fn refusal_noted(gateway: &TestGateway, nth: usize) {
    let pushed = job(&nth_push(gateway, nth).await);
    let pushed = pushed.parse().expect("a job's guid");
    eventually(async || {
        let job = gateway.inside.store.job(pushed).await.expect("a step")?;
        let soon = gateway.inside.clock.now() + PUSH_WAIT;
        (job.due_at <= soon).then_some(())
    })
    .await;
}

/// The change of status is told, once, with name and id.
async fn status_told(gateway: &TestGateway, member: MemberGuid, status: &str, id: u8) {
    let told = gateway
        .hooks
        .wait_for(|told| count(told, "CHANGED") > 0, LIMIT)
        .await;
    let changes: Vec<Value> = told
        .iter()
        .map(Recorded::json)
        .filter(|body| body["action"] == "CHANGED")
        .collect();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0]["type"], "CONNECTION_STATUS");
    assert_eq!(changes[0]["connection_status"], status);
    assert_eq!(changes[0]["connection_status_id"], id);
    assert_eq!(changes[0]["member_guid"], json!(member));
}
