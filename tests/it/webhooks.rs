//! What the member service hears: signed, repeated until taken, and never lost.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use standardwebhooks::Webhook;

use crate::support::gateway::{
    BANK_GUID, Backend, CLIENT, SIGNING_SECRET, Setup, TestGateway, eventually,
};
use crate::support::loopback::Recorded;
use crate::support::receiver::{Reply, WebhookReceiver};

const LIMIT: Duration = Duration::from_secs(10);
/// Longer than the gaps before the second and the third try may be.
const SOON: Duration = Duration::from_secs(34);
/// Longer than any gap between two tries.
const LONGEST_GAP: Duration = Duration::from_secs(11 * 60 * 60);
/// How often a delivery is tried when that much time passes between two tries: the last time after a day.
const TRIES: usize = 4;

crate::on_both_stores!(
    deliveries_are_signed_as_standard_webhooks_says,
    the_member_payload_is_as_documented,
    each_kind_goes_to_its_own_endpoint,
    what_is_not_taken_is_tried_again_under_the_same_id,
    a_receiver_that_asks_for_time_is_left_alone,
    after_a_day_an_event_is_given_up,
    a_receiver_that_is_gone_is_not_asked_again,
    a_restart_loses_nothing,
    silence_is_for_one_request_only,
);

async fn deliveries_are_signed_as_standard_webhooks_says(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    gateway.member().await;
    let told = nth(&gateway.hooks, 1).await;
    let verifier = Webhook::new(SIGNING_SECRET).expect("a secret");
    verifier.verify(&told.body, &told.headers).expect("signed");
    let other = Webhook::new("whsec_b3RoZXItMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODk=");
    assert!(
        other
            .expect("a secret")
            .verify(&told.body, &told.headers)
            .is_err()
    );
    let id = told.header("webhook-id").expect("an id");
    assert!(id.starts_with("EVT-"), "{id}");
    assert_eq!(told.header("content-type"), Some("application/json"));
}

async fn the_member_payload_is_as_documented(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {
        "institution_guid": BANK_GUID, "is_oauth": true, "external_guid": "link-42", "metadata": "m",
    }});
    let (member, link) = gateway.member_with(body).await;
    let told = nth(&gateway.hooks, 1).await.json();
    assert_eq!(told["action"], "created");
    let created = &told["member"];
    assert_eq!(created["guid"], json!(member));
    assert_eq!(created["id"], "link-42");
    assert_eq!(created["metadata"], "m");
    assert_eq!(created["connection_status"], "PENDING");
    assert_eq!(created["connection_status_id"], 21);
    assert!(created["connection_status_message"].is_string());
    assert_eq!(created["institution_code"], "fake_bank");
    assert_eq!(created["institution_guid"], BANK_GUID);
    assert_eq!(created["is_being_aggregated"], false);
    assert_eq!(created["user_guid"], json!(gateway.user));
    assert_eq!(created["user_id"], "user-1");
    assert!(created["aggregated_at"].is_null());
    let created_at = created["created_at"].as_i64().expect("whole seconds");
    let now = gateway.inside.clock.now().as_second();
    assert!((now - 60..=now).contains(&created_at), "{created_at}");
    assert!(
        created.get("oauth_window_uri").is_none(),
        "a link is for its caller alone"
    );

    gateway.connect(&gateway.visitor(), &link).await;
    let told = gateway.hooks.wait_for(|told| told.len() >= 3, LIMIT).await;
    let bodies: Vec<Value> = told.iter().map(Recorded::json).collect();
    let find = |action: &str| bodies.iter().find(|body| body["action"] == action);
    let updated = &find("updated").expect("told")["member"];
    assert_eq!(updated["connection_status_id"], 6);
    assert_eq!(updated["is_being_aggregated"], true);
    assert!(updated["revision"].as_i64() > created["revision"].as_i64());
    let finished = find("finished").expect("told");
    assert_eq!(finished["type"], "oauth_state.finished");
    assert_eq!(finished["oauth_state"]["auth_status"], 2);
    assert_eq!(finished["member_guid"], json!(member));
}

async fn each_kind_goes_to_its_own_endpoint(backend: Backend) {
    let states = WebhookReceiver::start().await;
    let setup = Setup {
        hook_events: Some(r#"["member.created"]"#),
        more_hooks: vec![(r#"["oauth_state.finished"]"#, states.url())],
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let (_, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await;
    let finished = nth(&states, 1).await;
    nth(&gateway.hooks, 1).await;
    assert_eq!(actions(&gateway.hooks.received()), ["created"]);
    assert_eq!(finished.json()["action"], "finished");
    // Nobody wants to hear of the update: it is not even kept.
    assert_eq!(states.received().len(), 1);
}

async fn what_is_not_taken_is_tried_again_under_the_same_id(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    gateway.hooks.answer_with(Reply::Status(500));
    gateway.member().await;
    nth(&gateway.hooks, 1).await;
    for (nth_try, reply) in [
        (2, Reply::HangUp),
        (3, Reply::Redirect(301)),
        (4, Reply::Status(429)),
        (5, Reply::Status(204)),
    ] {
        settled(&gateway).await;
        gateway.hooks.answer_with(reply);
        gateway.pass(gap_after(nth_try - 1));
        nth(&gateway.hooks, nth_try).await;
    }
    settled(&gateway).await;
    assert_eq!(told(&gateway, "delivered"), 1);
    let tries = gateway.hooks.received();
    assert_eq!(tries.len(), 5);
    assert!(
        tries.iter().all(|it| it.path == "/webhooks"),
        "no redirect is followed"
    );
    let ids: BTreeSet<_> = tries.iter().map(|it| it.header("webhook-id")).collect();
    assert_eq!(ids.len(), 1);
    let bodies: BTreeSet<_> = tries.iter().map(Recorded::text).collect();
    assert_eq!(bodies.len(), 1);
    let signatures: BTreeSet<_> = tries
        .iter()
        .map(|it| it.header("webhook-signature"))
        .collect();
    assert_eq!(signatures.len(), 5, "each is signed with its own time");
}

async fn a_receiver_that_asks_for_time_is_left_alone(backend: Backend) {
    let mut gateway = telling_of_new_members(backend).await;
    gateway.hooks.answer_with(Reply::RetryAfter(429, 3600));
    gateway.member().await;
    let first = nth(&gateway.hooks, 1).await;
    settled(&gateway).await;
    gateway.hooks.answer_with(Reply::Status(204));
    gateway.pass(Duration::from_secs(3590));
    // A later event is told meanwhile.
    gateway.sign_in().await;
    gateway.member().await;
    nth(&gateway.hooks, 2).await;
    settled(&gateway).await;
    gateway.pass(Duration::from_secs(11));
    nth(&gateway.hooks, 3).await;
    let all = gateway.hooks.received();
    let again = all[1..].iter().find(|it| id(it) == id(&first));
    let sent_at = |it: &Recorded| -> i64 {
        let seconds = it.header("webhook-timestamp").expect("a timestamp");
        seconds.parse().expect("seconds")
    };
    let wait = sent_at(again.expect("tried again")) - sent_at(&first);
    assert!(wait >= 3600, "only {wait} s");
}

async fn after_a_day_an_event_is_given_up(backend: Backend) {
    let mut gateway = telling_of_new_members(backend).await;
    gateway.hooks.answer_with(Reply::Status(503));
    gateway.member().await;
    for nth_try in 1..=TRIES {
        nth(&gateway.hooks, nth_try).await;
        settled(&gateway).await;
        gateway.pass(LONGEST_GAP);
    }
    assert_eq!(told(&gateway, "retried"), TRIES - 1);
    assert_eq!(told(&gateway, "abandoned"), 1);
    only_a_later_event_is_told(&mut gateway).await;
}

async fn a_receiver_that_is_gone_is_not_asked_again(backend: Backend) {
    let mut gateway = telling_of_new_members(backend).await;
    gateway.hooks.answer_with(Reply::Status(410));
    gateway.member().await;
    nth(&gateway.hooks, 1).await;
    settled(&gateway).await;
    assert_eq!(told(&gateway, "gone"), 1);
    gateway.pass(LONGEST_GAP);
    only_a_later_event_is_told(&mut gateway).await;
}

/// One whose links run out unheard: time passes in these tests.
async fn telling_of_new_members(backend: Backend) -> TestGateway {
    let setup = Setup {
        hook_events: Some(r#"["member.created"]"#),
        ..Setup::default()
    };
    TestGateway::with(backend, setup).await
}

/// What comes later is told; what was given up before is not.
async fn only_a_later_event_is_told(gateway: &mut TestGateway) {
    let before = gateway.hooks.received();
    gateway.hooks.answer_with(Reply::Status(204));
    gateway.sign_in().await;
    gateway.member().await;
    let told = nth(&gateway.hooks, before.len() + 1).await;
    assert!(before.iter().all(|given_up| id(given_up) != id(&told)));
    settled(gateway).await;
    assert_eq!(gateway.hooks.received().len(), before.len() + 1);
}

async fn a_restart_loses_nothing(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    gateway.hooks.answer_with(Reply::Status(500));
    let (member, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await;
    let first = nth(&gateway.hooks, 1).await;
    gateway.restart().await;
    gateway.hooks.answer_with(Reply::Status(204));
    let refused = gateway.hooks.received().len();
    gateway.pass(SOON);
    let all = gateway
        .hooks
        .wait_for(|told| told.len() >= refused + 3, LIMIT)
        .await;
    assert_eq!(refused, 1, "the others wait behind the first");
    assert_eq!(id(&all[1]), id(&first));
    let actions: Vec<Value> = all[1..]
        .iter()
        .map(|it| it.json()["action"].clone())
        .collect();
    assert_eq!(actions, ["created", "updated", "finished"]);
    assert_eq!(ids(&all).len(), 3, "each once");
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}

async fn silence_is_for_one_request_only(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body =
        json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true, "skip_webhook": true}});
    let (_, link) = gateway.member_with(body).await;
    gateway.connect(&gateway.visitor(), &link).await;
    let told = gateway.hooks.wait_for(|told| told.len() >= 2, LIMIT).await;
    assert_eq!(
        actions(&told),
        ["finished", "updated"],
        "created was silenced, later news is not"
    );

    let session = gateway.session.clone();
    let body = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
    let (status, response) = gateway
        .call("POST", "/members", Some(body), |request| {
            request
                .header("MD-SESSION-TOKEN", session)
                .header("MX-Skip-Webhook", "true")
        })
        .await;
    assert_eq!(status, 200, "{response}");
    let guid = response["member"]["guid"].as_str().expect("a guid");
    let (status, _) = gateway
        .nexus("DELETE", &format!("/members/{guid}"), None)
        .await;
    assert!((200..300).contains(&status), "{status}");
    let told = gateway.hooks.wait_for(|told| told.len() >= 4, LIMIT).await;
    assert_eq!(actions(&told[2..]), ["deleted", "finished"]);
}

/// The n-th delivery.
async fn nth(receiver: &WebhookReceiver, nth: usize) -> Recorded {
    let told = receiver.wait_for(|told| told.len() >= nth, LIMIT).await;
    told[nth - 1].clone()
}

fn actions(told: &[Recorded]) -> Vec<String> {
    let action = |event: &Recorded| event.json()["action"].as_str().map(str::to_owned);
    let mut actions: Vec<String> = told.iter().filter_map(action).collect();
    actions.sort();
    actions
}

fn id(event: &Recorded) -> Option<String> {
    event.header("webhook-id").map(str::to_owned)
}

fn ids(told: &[Recorded]) -> BTreeSet<String> {
    told.iter().filter_map(id).collect()
}

/// Waits until the gateway has drawn its conclusion from every delivery so far.
pub async fn settled(gateway: &TestGateway) {
    eventually(async || {
        let results = ["delivered", "retried", "gone", "abandoned"];
        let concluded: usize = results.iter().map(|result| told(gateway, result)).sum();
        (concluded >= gateway.hooks.received().len()).then_some(())
    })
    .await;
}

/// How many deliveries the gateway counts with that result.
fn told(gateway: &TestGateway, result: &str) -> usize {
    let text = gateway.inside.metrics.to_text();
    let line =
        format!("guichet_webhook_deliveries_total{{client=\"{CLIENT}\",result=\"{result}\"}} ");
    let count = text.lines().find_map(|it| it.strip_prefix(line.as_str()));
    count.map_or(0, |count| count.parse().expect("a count"))
}

/// The longest that the gap after the n-th try may be, in the first minutes.
fn gap_after(nth_try: usize) -> Duration {
    let seconds = [5, 30, 120, 300][nth_try - 1];
    Duration::from_millis(seconds * 1100 + 1000)
}
