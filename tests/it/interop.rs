//! The whole flow against an authorization server that others wrote, through its own pages.

use std::time::Duration;

use serde_json::json;

use crate::support::aggregation::{lease, lease_at, nth_job, report};
use crate::support::browser::{Browser, Options};
use crate::support::gateway::{Backend, Setup, TestGateway};
use crate::support::interop::ELSEWHERE_GUID;
use crate::support::visitor::http;

const LIMIT: Duration = Duration::from_secs(10);
/// A little more than its access tokens are valid.
const TOKEN: Duration = Duration::from_secs(3601);

crate::on_both_stores!(
    a_server_from_elsewhere_connects_a_member,
    a_person_may_decline_elsewhere_and_come_back,
    k3_a_server_that_ends_reused_chains_keeps_one_that_many_lease_at_once,
);

async fn start(backend: Backend) -> TestGateway {
    let setup = Setup {
        elsewhere: Some(Duration::from_secs(3600)),
        ..Setup::default()
    };
    TestGateway::with(backend, setup).await
}

fn body() -> serde_json::Value {
    json!({"member": {"institution_guid": ELSEWHERE_GUID, "is_oauth": true}})
}

/// Its login page, then its consent page.
async fn agree(browser: &Browser) {
    browser.type_into("input[name=login]", "ada").await;
    browser.type_into("input[name=password]", "any").await;
    browser.click("button[type=submit]").await;
    browser.find("input[name=prompt][value=consent]").await;
    browser.click("button[type=submit]").await;
}

async fn a_server_from_elsewhere_connects_a_member(backend: Backend) {
    let gateway = start(backend).await;
    let (member, link) = gateway.member_with(body()).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    agree(&browser).await;
    browser.arrives_at("connected").await;
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    assert_eq!(gateway.state(member).await["auth_status"], 2);

    // What the aggregator is lent is good at that server, for the person who signed in.
    let pushes = gateway
        .aggregator
        .wait_for(|pushes| !pushes.is_empty(), LIMIT)
        .await;
    let push = pushes[0].json();
    let job = push["job_guid"].as_str().expect("a job");
    let (status, lease) = gateway
        .aggregation(&format!("/aggregation/jobs/{job}/lease"), None)
        .await;
    assert_eq!(status, 200, "{lease}");
    let token = lease["access_token"].as_str().expect("a token");
    let elsewhere = gateway.elsewhere.as_ref().expect("it was asked for");
    let userinfo = http().get(elsewhere.endpoints.userinfo_endpoint.clone());
    let person = userinfo
        .bearer_auth(token)
        .send()
        .await
        .expect("a response");
    assert_eq!(person.status(), 200);
    let person = person.text().await.expect("a body");
    let person: serde_json::Value = serde_json::from_str(&person).expect("JSON");
    assert_eq!(person["sub"], "ada");
}

/// Whether the server takes that access token.
async fn is_good(gateway: &TestGateway, token: &str) -> bool {
    let elsewhere = gateway.elsewhere.as_ref().expect("it was asked for");
    let userinfo = http().get(elsewhere.endpoints.userinfo_endpoint.clone());
    let person = userinfo.bearer_auth(token).send().await;
    person.expect("a response").status() == 200
}

/// It rotates refresh tokens, and ends everything that came from one consent when a refresh token comes twice.
async fn k3_a_server_that_ends_reused_chains_keeps_one_that_many_lease_at_once(backend: Backend) {
    let gateway = start(backend).await;
    let other = gateway.beside().await;
    let (member, link) = gateway.member_with(body()).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    agree(&browser).await;
    browser.arrives_at("connected").await;
    let first = nth_job(&gateway, 1).await;
    lease(&gateway, &first).await;
    report(&gateway, &first, json!({"status": "succeeded"})).await;
    let mut before = String::new();
    for round in 2..=6 {
        gateway.pass(TOKEN);
        let path = format!("/users/{}/members/{member}/aggregate", gateway.user);
        let (status, response) = gateway.platform("POST", &path, None).await;
        assert_eq!(status, 202, "{response}");
        let job = nth_job(&gateway, round).await;
        let origins = [&gateway.url, &other.url].repeat(25);
        let leases = origins.into_iter().map(|origin| lease_at(origin, &job));
        let lent = futures_util::future::join_all(leases).await;
        let token = lent[0]["access_token"].as_str().expect("a token");
        assert!(
            lent.iter().all(|it| it["access_token"] == token),
            "{lent:?}"
        );
        assert!(is_good(&gateway, token).await, "round {round}");
        assert_ne!(before, token);
        before = token.to_owned();
        report(&gateway, &job, json!({"status": "succeeded"})).await;
    }
    let path = format!("/users/{}/members/{member}", gateway.user);
    let (_, read) = gateway.platform("GET", &path, None).await;
    assert_eq!(read["member"]["connection_status"], "CONNECTED");
}

async fn a_person_may_decline_elsewhere_and_come_back(backend: Backend) {
    let gateway = start(backend).await;
    let (member, link) = gateway.member_with(body()).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.click(".login-help a").await;
    browser.arrives_at("cancelled").await;
    assert_eq!(gateway.state(member).await["error_reason"], 1);
    browser.press("retry").await;
    agree(&browser).await;
    browser.arrives_at("connected").await;
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}
