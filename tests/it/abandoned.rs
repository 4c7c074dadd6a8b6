//! Members that nobody connects: deleted after a while, once, and never while a link is under way.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use serde_json::{Value, json};

use crate::support::aggregation::distinct;
use crate::support::gateway::{BANK, Backend, Setup, TestGateway, eventually};
use crate::support::loopback::Recorded;

const LIMIT: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

crate::on_both_stores!(
    a_member_that_nobody_connects_is_deleted_once,
    a_member_with_a_link_under_way_stays,
    a_connected_member_stays,
);

fn setup(days: &'static str) -> Setup {
    Setup {
        swaps: vec![("#store", days)],
        ..Setup::default()
    }
}

async fn create(gateway: &TestGateway, more: Value) -> (MemberGuid, String) {
    let path = format!("/users/{}/members", gateway.user);
    let mut body = json!({"member": {"institution_code": BANK, "is_oauth": true}});
    for (name, value) in more.as_object().expect("an object") {
        body[name] = value.clone();
    }
    let (status, response) = gateway.platform("POST", &path, Some(body)).await;
    assert_eq!(status, 202, "{response}");
    let text = |name: &str| {
        response["member"][name]
            .as_str()
            .expect("a text")
            .to_owned()
    };
    (
        text("guid").parse().expect("a guid"),
        text("oauth_window_uri"),
    )
}

async fn is_there(gateway: &TestGateway, member: MemberGuid) -> bool {
    let path = format!("/users/{}/members/{member}", gateway.user);
    gateway.platform("GET", &path, None).await.0 == 200
}

async fn is_gone(gateway: &TestGateway, member: MemberGuid) {
    eventually(async || (!is_there(gateway, member).await).then_some(())).await;
}

/// Waits until the member's link has run out: its days count from then on.
async fn runs_out(gateway: &TestGateway, member: MemberGuid) {
    let store = &gateway.inside.store;
    eventually(async || {
        let found = store.member(gateway.user, member).await.expect("a step");
        let window = found.expect("the member").latest_window.expect("a link");
        let now = gateway.inside.clock.now();
        let window = store.window(gateway.user, window, now).await;
        let window = window.expect("a step").expect("the window");
        window.status.is_finished().then_some(())
    })
    .await;
}

/// The members that were told as deleted.
fn deleted(told: &[Recorded]) -> Vec<Value> {
    let bodies = distinct(told).into_iter().map(Recorded::json);
    bodies
        .filter(|body| body["action"] == "deleted")
        .map(|body| body["member"]["guid"].clone())
        .collect()
}

async fn a_member_that_nobody_connects_is_deleted_once(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let _beside = gateway.beside().await;
    let named = json!({"member": {"institution_code": BANK, "is_oauth": true, "id": "my-own"}});
    let (member, _) = create(&gateway, named.clone()).await;
    gateway.pass(DAY);
    runs_out(&gateway, member).await;
    gateway.pass(28 * DAY);
    assert!(is_there(&gateway, member).await);
    gateway.pass(2 * DAY + Duration::from_secs(60));
    is_gone(&gateway, member).await;
    // Its name is free, and it was told once.
    let (again, _) = create(&gateway, named).await;
    assert_ne!(again, member);
    let told = |told: &[Recorded]| !deleted(told).is_empty();
    gateway.hooks.wait_for(told, LIMIT).await;
    gateway.pass(DAY);
    runs_out(&gateway, again).await;
    gateway.pass(31 * DAY);
    is_gone(&gateway, again).await;
    let told = |told: &[Recorded]| deleted(told).contains(&json!(again));
    let told = gateway.hooks.wait_for(told, LIMIT).await;
    assert_eq!(deleted(&told), [json!(member), json!(again)]);
}

async fn a_member_with_a_link_under_way_stays(backend: Backend) {
    let gateway = TestGateway::with(backend, setup("keep_unconnected_days = 1")).await;
    let long = json!({"open_policy": "interstitial", "link_minutes": 10_000});
    let (waiting, link) = create(&gateway, long).await;
    let (abandoned, _) = create(&gateway, json!({})).await;
    gateway.pass(DAY);
    runs_out(&gateway, abandoned).await;
    gateway.pass(DAY + Duration::from_secs(3600));
    is_gone(&gateway, abandoned).await;
    assert!(
        is_there(&gateway, waiting).await,
        "its link is good for days"
    );
    let page = gateway.visitor().get(&link.parse().expect("a URL")).await;
    assert_eq!(page.name(), Some("interstitial"), "{}", page.body);
    gateway.pass(6 * DAY);
    runs_out(&gateway, waiting).await;
    gateway.pass(2 * DAY);
    is_gone(&gateway, waiting).await;
}

async fn a_connected_member_stays(backend: Backend) {
    let gateway = TestGateway::with(backend, setup("keep_unconnected_days = 1")).await;
    let (member, link) = create(&gateway, json!({})).await;
    let link = link.parse().expect("a URL");
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let (abandoned, _) = create(&gateway, json!({})).await;
    gateway.pass(DAY);
    runs_out(&gateway, abandoned).await;
    gateway.pass(2 * DAY);
    is_gone(&gateway, abandoned).await;
    assert!(is_there(&gateway, member).await);
}
