//! Refreshes: a member stays connected as long as its institution lets it, whatever happens to a response.

use std::time::Duration;

use guichet::domain::duty::DutyKind;
use guichet::domain::id::MemberGuid;
use guichet::store::Restore;
use serde_json::{Value, json};

use crate::support::aggregation::{failed, job, lease, lease_at, nth_push, report};
use crate::support::behaviour::{Behaviour, Gate, json_response};
use crate::support::gateway::{BANK, Backend, Setup, TestGateway, eventually};
use crate::support::served::Served;

const LIMIT: Duration = Duration::from_secs(20);
/// A little more than the access tokens of the bank are valid.
const TOKEN: Duration = Duration::from_secs(3601);
/// A little more than the wait after a refresh whose outcome is unknown.
const DOUBT: Duration = Duration::from_secs(601);
/// A little more than how long nobody else refreshes: the bank's time limit, and what keeping tokens may take.
const FENCE: Duration = Duration::from_secs(116);
/// A little more than a day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60 + 1);
/// A little more than after how long tokens that nobody needs are refreshed.
const IDLE: Duration = Duration::from_secs(20 * 24 * 60 * 60 + 1);

crate::on_both_stores!(
    k3_a_token_that_has_ended_is_refreshed_before_it_is_lent,
    k3_fifty_leases_at_once_make_one_token_request,
    a_token_without_a_known_end_is_assumed_to_end,
    tokens_that_nobody_needs_are_refreshed_before_they_die_of_age,
    k4_a_token_that_was_revoked_is_told_with_its_reason,
    rotate_then_500_is_told_when_the_old_token_is_refused_twice,
    an_institution_that_cannot_be_reached_costs_nobody_the_connection,
    revoked_there_is_noticed_by_a_pull_and_told_within_its_job,
    a_refused_pull_is_tried_once_more_with_a_new_token,
    racing_refresh_of_two_gateways_makes_one_token_request,
    a_refresh_that_a_new_consent_overtakes_leaves_no_tokens_behind,
    lost_rotation_by_a_crash_is_told_or_lives_on,
    a_refused_token_set_is_kept_for_a_day,
);

/// A member that has been pulled once, and how many pushes there were.
async fn pulled(gateway: &TestGateway) -> MemberGuid {
    let before = gateway.aggregator.received().len();
    let (member, link) = gateway.member().await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let first = job(&nth_push(gateway, before + 1).await);
    let (status, lent) = lease(gateway, &first).await;
    assert_eq!(status, 200, "{lent}");
    let done = report(gateway, &first, json!({"status": "succeeded"})).await;
    assert_eq!(done, (200, "SUCCEEDED".to_owned()));
    member
}

/// An aggregation is ordered, and pushed.
async fn ordered(gateway: &TestGateway, member: MemberGuid) -> String {
    let before = gateway.aggregator.received().len();
    let path = format!("/users/{}/members/{member}/aggregate", gateway.user);
    let (status, response) = gateway.platform("POST", &path, None).await;
    assert_eq!(status, 202, "{response}");
    job(&nth_push(gateway, before + 1).await)
}

/// The member over an API whose keys do not end.
async fn read(gateway: &TestGateway, member: MemberGuid) -> Value {
    let path = format!("/users/{}/members/{member}", gateway.user);
    let (status, response) = gateway.platform("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    response["member"].clone()
}

fn status(member: &Value) -> (&str, Option<&str>) {
    let text = |name: &str| member[name].as_str();
    (
        text("connection_status").unwrap_or_default(),
        text("connection_status_reason"),
    )
}

/// Waits until the member has that status and reason.
async fn becomes(gateway: &TestGateway, member: MemberGuid, expected: (&str, Option<&str>)) {
    eventually(async || {
        let read = read(gateway, member).await;
        (status(&read) == expected).then_some(())
    })
    .await;
}

/// How often the token endpoint was asked for a refresh.
fn refreshes(gateway: &TestGateway) -> usize {
    let requests = gateway.bank.token_requests().into_iter();
    let is_refresh = |request: &crate::support::loopback::Recorded| {
        request.field("grant_type").as_deref() == Some("refresh_token")
    };
    requests.filter(is_refresh).count()
}

/// Waits until so many refreshes were asked for.
async fn asked(gateway: &TestGateway, count: usize) {
    eventually(async || (refreshes(gateway) >= count).then_some(())).await;
}

/// What was told of members' statuses: how often with that one.
fn told(gateway: &TestGateway, status: &str) -> usize {
    let told = gateway.hooks.received();
    let of_status =
        |body: &Value| body["action"] == "updated" && body["member"]["connection_status"] == status;
    told.iter().filter(|it| of_status(&it.json())).count()
}

async fn k3_a_token_that_has_ended_is_refreshed_before_it_is_lent(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = pulled(&gateway).await;
    gateway.pass(Duration::from_secs(3530));
    let job = ordered(&gateway, member).await;
    let (_, lent) = lease(&gateway, &job).await;
    assert_eq!(refreshes(&gateway), 0, "it is valid for more than a minute");
    gateway.pass(Duration::from_secs(11));
    let (status, renewed) = lease(&gateway, &job).await;
    assert_eq!(status, 200, "{renewed}");
    assert_eq!(refreshes(&gateway), 1);
    assert_ne!(lent["access_token"], renewed["access_token"]);
    let token = renewed["access_token"].as_str().expect("a token");
    assert!(gateway.bank.honours(token));
    let end: jiff::Timestamp = renewed["expires_at"]
        .as_str()
        .and_then(|end| end.parse().ok())
        .expect("an end");
    assert!(end > gateway.clock.now() + Duration::from_secs(3500));
    let (_, again) = lease(&gateway, &job).await;
    assert_eq!(again["access_token"], renewed["access_token"]);
    assert_eq!(refreshes(&gateway), 1, "once");
    assert_eq!(
        self::status(&read(&gateway, member).await),
        ("CONNECTED", None)
    );
}

async fn k3_fifty_leases_at_once_make_one_token_request(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = pulled(&gateway).await;
    gateway.pass(TOKEN);
    let job = ordered(&gateway, member).await;
    let leases = (0..50).map(|_| lease_at(&gateway.url, &job));
    let lent = futures_util::future::join_all(leases).await;
    assert_eq!(refreshes(&gateway), 1);
    let first = &lent[0]["access_token"];
    assert!(gateway.bank.honours(first.as_str().expect("a token")));
    assert!(lent.iter().all(|it| it["access_token"] == *first));
}

async fn a_token_without_a_known_end_is_assumed_to_end(backend: Backend) {
    let setup = Setup {
        oauth: "refresh = { assume_minutes = 30 }\n".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    gateway.bank.on_token(Behaviour::Without("expires_in"));
    let member = pulled(&gateway).await;
    for nth in 1..=2 {
        gateway.pass(Duration::from_secs(30 * 60));
        let (status, lent) = lease(&gateway, &ordered(&gateway, member).await).await;
        assert_eq!((status, &lent["expires_at"]), (200, &Value::Null), "{lent}");
        assert_eq!(refreshes(&gateway), nth);
        let job = lent["job_guid"].as_str().expect("a job");
        report(&gateway, job, json!({"status": "succeeded"})).await;
    }
}

async fn tokens_that_nobody_needs_are_refreshed_before_they_die_of_age(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = pulled(&gateway).await;
    for nth in 1..=2 {
        gateway.pass(IDLE);
        gateway.refreshed(nth).await;
        becomes(&gateway, member, ("CONNECTED", None)).await;
    }
    assert_eq!(told(&gateway, "IMPAIRED"), 0);
}

async fn k4_a_token_that_was_revoked_is_told_with_its_reason(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = pulled(&gateway).await;
    gateway.bank.forget_tokens();
    gateway.pass(TOKEN);
    let job = ordered(&gateway, member).await;
    let (status, problem) = lease(&gateway, &job).await;
    assert_eq!(status, 409, "{problem}");
    assert_eq!(problem["error"]["reason"], "token_ended");
    let read = read(&gateway, member).await;
    assert_eq!(self::status(&read), ("IMPAIRED", Some("REVOKED")));
    assert_eq!(read["is_being_aggregated"], false, "the job has failed");
    let told = gateway
        .hooks
        .wait_for(
            |told| {
                told.iter()
                    .any(|it| it.json()["type"] == "CONNECTION_STATUS")
            },
            LIMIT,
        )
        .await;
    let reason = |it: &crate::support::loopback::Recorded| {
        it.json()["member"]["connection_status_reason"].clone()
    };
    assert!(told.iter().any(|it| reason(it) == "REVOKED"));
    // A new consent connects it again.
    let path = format!("/users/{}/members/{member}/oauth_window_uri", gateway.user);
    let (_, minted) = gateway.platform("GET", &path, None).await;
    let link = minted["member"]["oauth_window_uri"]
        .as_str()
        .expect("a link");
    let link = link.parse().expect("a link");
    gateway.connect(&gateway.visitor(), &link).await;
    becomes(&gateway, member, ("CONNECTED", None)).await;
}

async fn rotate_then_500_is_told_when_the_old_token_is_refused_twice(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = pulled(&gateway).await;
    gateway.pass(TOKEN);
    let job = ordered(&gateway, member).await;
    // The bank uses the token up, and its response is an error.
    gateway
        .bank
        .next_token(Behaviour::Says(500, "text/plain", String::new()));
    let (status, problem) = lease(&gateway, &job).await;
    assert_eq!(status, 503, "{problem}");
    assert_eq!(problem["error"]["reason"], "token_not_renewed");
    let (status, problem) = lease(&gateway, &job).await;
    assert_eq!(status, 409, "it was given back: {problem}");
    assert_eq!(refreshes(&gateway), 1, "it is not tried at once");
    assert_eq!(
        self::status(&read(&gateway, member).await),
        ("CONNECTED", None)
    );
    for nth in 2..=3 {
        assert_eq!(told(&gateway, "IMPAIRED"), 0);
        gateway.pass(DOUBT);
        gateway.refreshed(nth).await;
    }
    becomes(&gateway, member, ("IMPAIRED", Some("REFRESH_LOST"))).await;
    gateway.pass(DOUBT);
    eventually(async || (told(&gateway, "IMPAIRED") > 0).then_some(())).await;
    assert_eq!(refreshes(&gateway), 3, "and never again");
}

async fn an_institution_that_cannot_be_reached_costs_nobody_the_connection(backend: Backend) {
    // It was reached when the member connected, and then its name is gone.
    let mut gateway = TestGateway::start(backend).await;
    let member = pulled(&gateway).await;
    let here = gateway.bank.token_url().to_string();
    let away = "http://127.0.0.1:1/token";
    gateway.rewrite_institution(BANK, &[(&here, away)]);
    gateway.restart().await;
    gateway.pass(IDLE);
    let job = ordered(&gateway, member).await;
    let (status, problem) = lease(&gateway, &job).await;
    assert_eq!(
        (status, problem["error"]["reason"].as_str()),
        (503, Some("token_not_renewed"))
    );
    assert_eq!(
        self::status(&read(&gateway, member).await),
        ("CONNECTED", None)
    );
    gateway.rewrite_institution(BANK, &[(away, &here)]);
    gateway.restart().await;
    gateway.pass(Duration::from_secs(20 * 60));
    let pushes = gateway.aggregator.received().len();
    let again = self::job(&nth_push(&gateway, pushes).await);
    let lent = eventually(async || {
        let (status, lent) = lease(&gateway, &again).await;
        (status == 200).then_some(lent)
    })
    .await;
    assert!(
        gateway
            .bank
            .honours(lent["access_token"].as_str().expect("a token"))
    );
    assert_eq!(told(&gateway, "IMPAIRED"), 0);
}

async fn revoked_there_is_noticed_by_a_pull_and_told_within_its_job(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = pulled(&gateway).await;
    let job = ordered(&gateway, member).await;
    lease(&gateway, &job).await;
    gateway.bank.forget_tokens();
    let reported = report(&gateway, &job, failed("denied")).await;
    assert_eq!(reported, (200, "FAILED".to_owned()));
    assert_eq!(refreshes(&gateway), 1, "it was tried");
    becomes(&gateway, member, ("IMPAIRED", Some("REVOKED"))).await;
    // The bank takes it back: a pull recovers the member, and that is told once.
    assert_eq!(read(&gateway, member).await["is_being_aggregated"], false);
}

async fn a_refused_pull_is_tried_once_more_with_a_new_token(backend: Backend) {
    let question = json!({"type": "TEXT", "field_name": "a", "label": "b"});
    let asked = json!({"status": "challenged", "challenges": [question]});
    // Whatever became of the job until then.
    for begun in [None, Some(json!({"status": "started"})), Some(asked)] {
        let gateway = TestGateway::start(backend).await;
        let member = pulled(&gateway).await;
        let job = ordered(&gateway, member).await;
        let (_, lent) = lease(&gateway, &job).await;
        let before = gateway.aggregator.received().len();
        if let Some(begun) = begun {
            assert_eq!(report(&gateway, &job, begun).await.0, 200);
        }
        let reported = report(&gateway, &job, failed("denied")).await;
        assert_eq!(reported, (200, "QUEUED".to_owned()));
        let again = nth_push(&gateway, before + 1).await;
        assert_eq!(self::job(&again), job);
        let (_, renewed) = lease(&gateway, &job).await;
        assert_ne!(lent["access_token"], renewed["access_token"]);
        let done = report(&gateway, &job, json!({"status": "succeeded"})).await;
        assert_eq!(done, (200, "SUCCEEDED".to_owned()));
        assert_eq!(
            self::status(&read(&gateway, member).await),
            ("CONNECTED", None)
        );
        assert_eq!((refreshes(&gateway), told(&gateway, "IMPAIRED")), (1, 0));
    }
}

async fn a_refresh_that_a_new_consent_overtakes_leaves_no_tokens_behind(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = pulled(&gateway).await;
    gateway.pass(TOKEN);
    let job = ordered(&gateway, member).await;
    let gate = Gate::closed();
    gateway.bank.next_token(Behaviour::Hold(gate.clone()));
    let (origin, pulled) = (gateway.url.clone(), job.clone());
    let leasing = tokio::spawn(async move { lease_at(&origin, &pulled).await });
    asked(&gateway, 1).await;
    let path = format!("/users/{}/members/{member}/oauth_window_uri", gateway.user);
    let (_, minted) = gateway.platform("GET", &path, None).await;
    let link = minted["member"]["oauth_window_uri"].as_str();
    let link = link.and_then(|it| it.parse().ok()).expect("a link");
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    gate.open();
    leasing.await.expect("no panic");
    // An access token and a refresh token of the new consent, and nothing else.
    eventually(async || (gateway.bank.live_tokens() == 2).then_some(())).await;
    assert_eq!(status(&read(&gateway, member).await), ("CONNECTED", None));
}

async fn racing_refresh_of_two_gateways_makes_one_token_request(backend: Backend) {
    let gateway = &TestGateway::start(backend).await;
    let other = gateway.beside().await;
    let member = pulled(gateway).await;
    gateway.pass(TOKEN);
    let job = ordered(gateway, member).await;
    let gate = Gate::closed();
    gateway.bank.next_token(Behaviour::Hold(gate.clone()));
    let origins = [&gateway.url, &other.url].repeat(10);
    let leases: Vec<_> = origins
        .into_iter()
        .map(|origin| {
            let (origin, job) = (origin.clone(), job.clone());
            tokio::spawn(async move { lease_at(&origin, &job).await })
        })
        .collect();
    asked(gateway, 1).await;
    gate.open();
    let mut tokens = Vec::new();
    for lent in leases {
        let lent = lent.await.expect("no panic");
        tokens.push(lent["access_token"].as_str().expect("a token").to_owned());
    }
    tokens.dedup();
    assert_eq!((tokens.len(), refreshes(gateway)), (1, 1));
    assert!(gateway.bank.honours(&tokens[0]));
}

async fn lost_rotation_by_a_crash_is_told_or_lives_on(backend: Backend) {
    let setup = Setup {
        oauth: "timeouts = { total_seconds = 15 }\n".to_owned(),
        ..Setup::default()
    };
    let mut crash = Served::with(backend, setup).await;
    crash
        .gateway
        .bank
        .on_token(Behaviour::With("expires_in", json!(61)));
    let (member, link) = crash.gateway.member().await;
    crash.gateway.connect(&crash.gateway.visitor(), &link).await;
    let job = job(&nth_push(&crash.gateway, 1).await);
    // A refresh is under way, the bank has used the token up, and the process dies.
    let gate = Gate::closed();
    crash.gateway.bank.on_token(Behaviour::Hold(gate.clone()));
    let origin = crash.gateway.url.clone();
    let leasing = eventually(async || {
        let (status, _) = lease_within(&origin, &job, Duration::from_millis(300)).await;
        (refreshes(&crash.gateway) > 0).then_some(status)
    });
    leasing.await;
    crash.kill();
    gate.open();
    crash.gateway.bank.on_token(Behaviour::Honest);
    crash.succeed().await;
    assert_eq!(
        self::status(&read(&crash.gateway, member).await),
        ("CONNECTED", None)
    );
    // Its intent is found, the old token is tried again, refused twice, and that is told.
    crash.gateway.pass(FENCE);
    for nth in 1..=2 {
        crash.gateway.pass(DOUBT);
        crash.gateway.refreshed(nth).await;
    }
    becomes(&crash.gateway, member, ("IMPAIRED", Some("REFRESH_LOST"))).await;
}

async fn lease_within(origin: &url::Url, job: &str, limit: Duration) -> (u16, Value) {
    let leased = tokio::time::timeout(limit, lease_at(origin, job)).await;
    leased.map_or((0, Value::Null), |lent| (200, lent))
}

async fn a_refused_token_set_is_kept_for_a_day(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = pulled(&gateway).await;
    gateway.bank.on_token(Behaviour::invalid_grant());
    gateway.pass(IDLE);
    becomes(&gateway, member, ("IMPAIRED", Some("REVOKED"))).await;
    let kept = async || {
        let restore = Restore {
            member,
            changed: Vec::new(),
        };
        let now = gateway.clock.now();
        let restored = gateway.inside.store.restore(&restore, now).await;
        restored.expect("a step")
    };
    assert!(kept().await);
    gateway.pass(Duration::ZERO);
    gateway.refreshed(2).await;
    becomes(&gateway, member, ("IMPAIRED", Some("REVOKED"))).await;
    gateway.pass(DAY);
    eventually(async || {
        let queues = gateway.inside.store.queues().await.expect("counted");
        (!queues.kinds().contains_key(&DutyKind::Refresh)).then_some(())
    })
    .await;
    assert!(!kept().await, "it was erased");
}

/// A thousand members, and a bank that refuses everybody for an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refuse_everybody_for_an_hour_impairs_twenty_and_ends_with_all_connected() {
    let setup = Setup {
        hook_events: Some(r#"["connection_status.changed"]"#),
        without_aggregator: true,
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let mut members = Vec::new();
    for _ in 0..40 {
        let some = (0..25).map(async |_| {
            let (member, link) = gateway.member().await;
            gateway.connect(&gateway.visitor(), &link).await;
            member
        });
        members.extend(futures_util::future::join_all(some).await);
    }
    let impaired = async || {
        let mut impaired = 0;
        for member in &members {
            let found = gateway.inside.store.member(gateway.user, *member).await;
            let found = found.expect("a read").expect("a member");
            impaired += usize::from(found.status.name() == "IMPAIRED");
        }
        impaired
    };
    gateway.bank.on_token(Behaviour::invalid_grant());
    gateway.pass(IDLE);
    let braked = || async {
        gateway.metrics().await.contains(
            "guichet_brake{client=\"acme\",institution=\"fake_bank\",refused=\"refreshes\"} 1",
        )
    };
    eventually(async || braked().await.then_some(())).await;
    for _ in 0..6 {
        let before = refreshes(&gateway);
        gateway.pass(Duration::from_secs(10 * 60));
        // One probe goes on.
        asked(&gateway, before + 1).await;
    }
    let during = impaired().await;
    assert!((1..=20).contains(&during), "{during} of 1000");
    gateway.bank.on_token(Behaviour::made(|request, honest| {
        // The bank's fault: it knows every token still.
        let _ = (request, honest);
        json_response(
            200,
            json!({"access_token": "new", "refresh_token": "newer", "expires_in": 3600})
                .to_string(),
        )
    }));
    gateway.pass(Duration::from_secs(10 * 60));
    eventually(async || (!braked().await).then_some(())).await;
    gateway.pass(Duration::from_secs(20 * 60));
    eventually(async || (impaired().await == 0).then_some(())).await;
}
