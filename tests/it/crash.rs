//! Kill -9 between any two steps: real processes, real files, and nothing accepted is lost or
//! happens twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use guichet::domain::id::MemberGuid;
use reqwest::header::{COOKIE, LOCATION};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use url::Url;

use crate::support::behaviour::{Behaviour, Gate};
use crate::support::gateway::Backend;
use crate::support::loopback::Recorded;
use crate::support::receiver::Reply;
use crate::support::served::Served;
use crate::support::visitor::{Visitor, http};

const LIMIT: Duration = Duration::from_secs(20);
/// A little more than the default time at the institution.
const AUTHORIZATION: Duration = Duration::from_secs(15 * 60 + 1);

crate::on_both_stores!(
    killed_after_minting,
    killed_after_opening,
    killed_during_the_exchange,
    killed_after_the_callback,
    killed_during_a_delivery,
    killed_during_a_push,
);

async fn killed_after_minting(backend: Backend) {
    let mut crash = Served::start(backend).await;
    let (member, link) = crash.gateway.member().await;
    crash.kill_and_start().await;

    assert_eq!(
        crash.gateway.read(member).await["connection_status"],
        "PENDING"
    );
    assert_eq!(crash.gateway.state(member).await["auth_status"], 1);
    let page = crash.gateway.connect(&Visitor::new(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    crash.succeed().await;
    all_is_well(&crash, member).await;
}

async fn killed_after_opening(backend: Backend) {
    let mut crash = Served::start(backend).await;
    let (member, link) = crash.gateway.member().await;
    let visitor = Visitor::new();
    let authorization = crash.gateway.open(&visitor, &link).await;
    crash.kill_and_start().await;

    let again = Visitor::new().get(&link).await;
    assert_eq!(again.name(), Some("used"), "a claim outlives a crash");
    let callback = crash.gateway.bank.code_for(&authorization).url();
    let page = visitor.follow(&callback).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    crash.succeed().await;
    all_is_well(&crash, member).await;
}

async fn killed_during_the_exchange(backend: Backend) {
    let mut crash = Served::start(backend).await;
    let (member, link) = crash.gateway.member().await;
    let visitor = Visitor::new();
    let authorization = crash.gateway.open(&visitor, &link).await;
    let gate = Gate::closed();
    crash.gateway.bank.next_token(Behaviour::Hold(gate.clone()));
    let callback = crash.gateway.bank.code_for(&authorization).url();
    let delivery = deliver(&visitor, &callback);
    crash.gateway.bank.wait_for_token_requests(1, LIMIT).await;
    crash.kill_and_start().await;
    gate.open();
    assert_eq!(
        delivery.await.expect("no panic"),
        None,
        "no answer was given"
    );

    // The browser asks again; whether the code was spent is unknown, so it is not sent again.
    let location = deliver(&visitor, &callback).await.expect("no panic");
    let result = location.expect("the outcome's address");
    assert_eq!(crash.gateway.bank.hits().token, 1);
    assert_eq!(
        crash.gateway.read(member).await["connection_status"],
        "PENDING"
    );
    assert_eq!(crash.gateway.state(member).await["auth_status"], 1);

    // Its deadline ends it, with a way to try again.
    crash.succeed().await;
    crash.gateway.pass(AUTHORIZATION);
    let state = crash
        .gateway
        .state_when(member, |state| state["auth_status"] == 3)
        .await;
    assert_eq!(state["error_reason"], 6);
    let page = visitor.follow(&result).await;
    assert_eq!(page.name(), Some("expired"), "{}", page.body);
    let departure = visitor.post(&page.url, &[]).await;
    assert_eq!(departure.status, 303, "{}", departure.body);
    let authorization = departure.location().expect("a location");
    let callback = crash.gateway.bank.code_for(&authorization).url();
    let page = visitor.follow(&callback).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let told = told(&crash, 4).await;
    let finished = told.values().filter(|body| body["action"] == "finished");
    let mut statuses: Vec<_> = finished
        .map(|body| body["oauth_state"]["auth_status"].as_u64())
        .collect();
    statuses.sort();
    assert_eq!(statuses, [Some(2), Some(3)]);
    exchanged_once(&crash);
}

async fn killed_after_the_callback(backend: Backend) {
    let mut crash = Served::start(backend).await;
    let (member, link) = crash.gateway.member().await;
    let visitor = Visitor::new();
    let authorization = crash.gateway.open(&visitor, &link).await;
    let callback = crash.gateway.bank.code_for(&authorization).url();
    let back = visitor.get(&callback).await;
    crash.kill();
    assert_eq!(back.status, 303, "{}", back.body);
    crash.serve().await;

    let page = visitor.follow(&back.location().expect("a location")).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let again = visitor.follow(&callback).await;
    assert_eq!(
        again.name(),
        Some("connected"),
        "the first outcome is shown"
    );
    crash.succeed().await;
    all_is_well(&crash, member).await;
}

async fn killed_during_a_delivery(backend: Backend) {
    let mut crash = Served::start(backend).await;
    crash.gateway.hooks.answer_with(Reply::Hold(Gate::closed()));
    crash.gateway.member().await;
    let first = crash
        .gateway
        .hooks
        .wait_for(|told| !told.is_empty(), LIMIT)
        .await;
    crash.kill();
    crash.gateway.hooks.answer_with(Reply::Status(204));
    crash.succeed().await;
    let told = crash
        .gateway
        .hooks
        .wait_for(|told| told.len() >= 2, LIMIT)
        .await;
    assert_eq!(told[1].header("webhook-id"), first[0].header("webhook-id"));
    assert_eq!(told[1].body, first[0].body);
}

async fn killed_during_a_push(backend: Backend) {
    let mut crash = Served::start(backend).await;
    let aggregator = &crash.gateway.aggregator;
    aggregator.answer_with(Reply::Hold(Gate::closed()));
    let (member, link) = crash.gateway.member().await;
    crash.gateway.connect(&Visitor::new(), &link).await;
    aggregator
        .wait_for(|pushes| !pushes.is_empty(), LIMIT)
        .await;
    crash.kill();
    crash.gateway.aggregator.answer_with(Reply::Status(202));
    crash.succeed().await;
    let pushes = crash
        .gateway
        .aggregator
        .wait_for(|pushes| pushes.len() >= 2, LIMIT)
        .await;
    assert_eq!(pushes[1].json()["attempt"], 2);
    all_is_well(&crash, member).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_killed_between_the_steps() {
    let mut crash = Served::start(Backend::Redis).await;
    let (member, link) = crash.gateway.member().await;
    crash.lose_redis().await;
    let away = Visitor::new().get(&link).await;
    assert_eq!((away.status, away.name()), (503, Some("busy")));
    assert!(away.header("retry-after").is_some());
    crash.regain_redis().await;

    let visitor = Visitor::new();
    let authorization = crash.gateway.open(&visitor, &link).await;
    crash.lose_redis().await;
    crash.regain_redis().await;
    // While the token request is under way, so that the commit finds no store at first.
    let gate = Gate::closed();
    crash.gateway.bank.next_token(Behaviour::Hold(gate.clone()));
    let callback = crash.gateway.bank.code_for(&authorization).url();
    let delivery = deliver(&visitor, &callback);
    crash.gateway.bank.wait_for_token_requests(1, LIMIT).await;
    crash.lose_redis().await;
    gate.open();
    crash.regain_redis().await;
    let location = delivery.await.expect("no panic").expect("a response");
    crash.lose_redis().await;
    crash.regain_redis().await;
    let page = visitor.follow(&location).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    crash.kill();
    crash.succeed().await;
    all_is_well(&crash, member).await;
}

/// Every event told so far by its id, once there are `count`; repeats must be equal.
async fn told(served: &Served, count: usize) -> BTreeMap<String, Value> {
    let ids = |told: &[Recorded]| -> BTreeSet<String> { told.iter().map(id).collect() };
    let told = served
        .gateway
        .hooks
        .wait_for(|told| ids(told).len() >= count, LIMIT)
        .await;
    let mut events = BTreeMap::new();
    for event in &told {
        let earlier = events.insert(id(event), event.json());
        assert!(earlier.is_none_or(|earlier| earlier == event.json()));
    }
    assert_eq!(events.len(), count, "{events:#?}");
    events
}

/// No code was sent to the bank twice.
fn exchanged_once(served: &Served) {
    let requests = served.gateway.bank.token_requests();
    let codes: BTreeSet<_> = requests
        .iter()
        .map(|request| request.field("code"))
        .collect();
    assert_eq!(codes.len(), requests.len());
}

/// The member is connected, everybody hears of it, and its job can be done.
async fn all_is_well(served: &Served, member: MemberGuid) {
    let gateway = &served.gateway;
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    assert_eq!(gateway.read(member).await["is_being_aggregated"], true);
    let state = gateway.state(member).await;
    assert_eq!(state["auth_status"], 2);
    assert_eq!(state["inbound_member_guid"], json!(member));
    assert_eq!(gateway.bank.hits().token, 1);
    assert_eq!(gateway.bank.live_tokens(), 2, "nothing was revoked");
    let told = told(served, 3).await;
    let mut actions: Vec<_> = told.values().map(|body| body["action"].as_str()).collect();
    actions.sort();
    assert_eq!(
        actions,
        [Some("created"), Some("finished"), Some("updated")]
    );

    let pushes = gateway
        .aggregator
        .wait_for(|pushes| !pushes.is_empty(), LIMIT)
        .await;
    let jobs: BTreeSet<String> = pushes
        .iter()
        .map(|push| push.json()["job_guid"].to_string())
        .collect();
    assert_eq!(jobs.len(), 1, "one job, however often it is pushed");
    let push = pushes[0].json();
    let job = push["job_guid"].as_str().expect("a job");
    let path = format!("/aggregation/jobs/{job}");
    let (status, lease) = gateway.aggregation(&format!("{path}/lease"), None).await;
    assert_eq!(status, 200, "{lease}");
    assert!(
        gateway
            .bank
            .honours(lease["access_token"].as_str().expect("a token"))
    );
    let done = Some(json!({"status": "succeeded"}));
    let (status, _) = gateway.aggregation(&format!("{path}/report"), done).await;
    assert_eq!(status, 200);
    assert_eq!(gateway.read(member).await["is_being_aggregated"], false);
}

fn id(event: &Recorded) -> String {
    event.header("webhook-id").expect("an id").to_owned()
}

/// Sends the browser to `url`; where it is sent on to, or nothing if the gateway dies first.
fn deliver(visitor: &Visitor, url: &Url) -> JoinHandle<Option<Url>> {
    let cookies = visitor.cookie_header().expect("a cookie");
    let url = url.clone();
    tokio::spawn(async move {
        let request = http().get(url.clone()).header(COOKIE, cookies);
        let response = request.send().await.ok()?;
        let location = response.headers().get(LOCATION)?.to_str().ok()?;
        url.join(location).ok()
    })
}
