//! Consents that end: what is known of the end, who is told, and what happens then.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::aggregation::{job, lease, nth_push, report};
use crate::support::behaviour::Behaviour;
use crate::support::gateway::{Backend, Setup, TestGateway, eventually};
use crate::support::guichet::run;
use crate::support::loopback::Recorded;

const LIMIT: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

crate::on_both_stores!(
    a_consent_is_told_at_each_of_its_days_once_and_is_over_at_its_end,
    the_institution_says_when_a_consent_ends,
    a_consent_that_is_renewed_ends_later_and_its_old_notices_do_not_come,
    a_consent_shorter_than_every_notice_just_ends,
    what_was_missed_is_told_once_after_a_restart,
    access_that_nothing_can_renew_ends_with_its_token,
    a_refresh_may_move_the_end_of_a_consent,
    consents_that_end_soon_are_listed,
    a_pull_under_way_when_its_consent_ends_connects_nobody,
    a_consent_given_soon_after_another_ends_at_its_own_end,
    a_grant_that_went_to_another_gateway_does_not_end_here,
);

async fn with(backend: Backend, oauth: &str) -> TestGateway {
    let setup = Setup {
        oauth: oauth.to_owned(),
        ..Setup::default()
    };
    TestGateway::with(backend, setup).await
}

async fn connected(gateway: &TestGateway) -> MemberGuid {
    let (member, link) = gateway.member().await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    member
}

async fn read(gateway: &TestGateway, member: MemberGuid) -> Value {
    let path = format!("/users/{}/members/{member}", gateway.user);
    let (status, response) = gateway.platform("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    response["member"].clone()
}

fn end(member: &Value) -> Option<Timestamp> {
    member["consent_expires_at"].as_str()?.parse().ok()
}

/// How long from now, by the gateway's clock, to the nearest minute.
fn minutes_to(gateway: &TestGateway, end: Option<Timestamp>) -> Option<i64> {
    let left = end?.duration_since(gateway.inside.clock.now());
    Some((left.as_secs() + 30) / 60)
}

fn expiring(told: &[Recorded]) -> Vec<Value> {
    let told = told.iter().map(Recorded::json);
    told.filter(|it| it["type"] == "consent.expiring").collect()
}

/// Waits until so many notices have come, and sees that there are no more.
async fn noticed(gateway: &TestGateway, count: usize) -> Vec<Value> {
    let told = gateway
        .hooks
        .wait_for(|told| expiring(told).len() >= count, LIMIT);
    let told = expiring(&told.await);
    assert_eq!(told.len(), count, "{told:?}");
    told
}

async fn over(gateway: &TestGateway, member: MemberGuid) {
    let is_over = async || {
        let member = read(gateway, member).await;
        (member["connection_status"] == "IMPAIRED").then_some(member)
    };
    let member = eventually(is_over).await;
    assert_eq!(member["connection_status_reason"], "CONSENT_ENDED");
}

async fn a_consent_is_told_at_each_of_its_days_once_and_is_over_at_its_end(backend: Backend) {
    let gateway = with(backend, "consent_days = 90\n").await;
    let other = gateway.beside().await;
    let member = connected(&gateway).await;
    let shown = end(&read(&gateway, member).await);
    assert_eq!(minutes_to(&gateway, shown), Some(90 * 24 * 60));
    gateway.pass(60 * DAY - HOUR);
    noticed(&gateway, 0).await;
    for (nth, time) in [(1, 2 * HOUR), (2, 23 * DAY), (3, 6 * DAY)] {
        gateway.pass(time);
        let told = noticed(&gateway, nth).await;
        let told = &told[nth - 1];
        assert_eq!(told["member_guid"], json!(member));
        assert_eq!(told["action"], "expiring");
        assert_eq!(
            told["consent_expires_at"],
            json!(shown.map(Timestamp::as_second))
        );
        assert_eq!(
            read(&gateway, member).await["connection_status"],
            "CONNECTED"
        );
    }
    gateway.pass(DAY);
    over(&gateway, member).await;
    noticed(&gateway, 3).await;
    let impaired = |told: &[Recorded]| {
        let told = told.iter().map(Recorded::json);
        told.filter(|it| it["connection_status"] == "IMPAIRED")
            .count()
    };
    let told = gateway
        .hooks
        .wait_for(|told| impaired(told) >= 1, LIMIT)
        .await;
    assert_eq!(impaired(&told), 1);
    // The tokens are gone here, and given back there.
    eventually(async || (gateway.bank.hits().revoke > 0).then_some(())).await;
    drop(other);
}

async fn the_institution_says_when_a_consent_ends(backend: Backend) {
    let gateway = with(backend, "consent_days = 90\n").await;
    let at = gateway.inside.clock.now() + 10 * DAY;
    let details =
        |end: Value| json!([{"type": "accounts"}, {"type": "consent", "validUntil": end}]);
    let cases = [
        ("consent_expires_at", json!(at.to_string())),
        ("consent_expires_at", json!(at.as_second())),
        ("consent_expires_at", json!(at.as_millisecond().to_string())),
        ("authorization_details", details(json!(at.to_string()))),
    ];
    for (name, said) in cases {
        gateway.bank.next_token(Behaviour::With(name, said.clone()));
        let shown = end(&read(&gateway, connected(&gateway).await).await);
        assert_eq!(
            shown.map(Timestamp::as_second),
            Some(at.as_second()),
            "{said}"
        );
    }
    // What cannot be read is no end, and neither is one that had passed before; then the file's counts.
    let past = [
        json!(0),
        json!(7_776_000),
        json!("2001-01-01T00:00:00Z"),
        json!(i64::MIN),
    ];
    let unread = [json!("soon"), json!({"days": 3}), json!(null), json!(1e300)];
    for said in past.into_iter().chain(unread) {
        gateway
            .bank
            .next_token(Behaviour::With("consent_expires_at", said.clone()));
        let shown = end(&read(&gateway, connected(&gateway).await).await);
        assert_eq!(minutes_to(&gateway, shown), Some(90 * 24 * 60), "{said}");
    }
}

async fn a_consent_that_is_renewed_ends_later_and_its_old_notices_do_not_come(backend: Backend) {
    let gateway = with(backend, "consent_days = 10\n").await;
    let member = connected(&gateway).await;
    gateway.pass(4 * DAY);
    noticed(&gateway, 1).await;
    // A new link changes nothing while nobody has agreed.
    let path = format!("/users/{}/members/{member}/oauth_window_uri", gateway.user);
    let (_, minted) = gateway.platform("GET", &path, None).await;
    let link = minted["member"]["oauth_window_uri"].as_str();
    let link = link.and_then(|it| it.parse().ok()).expect("a link");
    let healthy = read(&gateway, member).await;
    assert_eq!(healthy["connection_status"], "CONNECTED");
    assert_eq!(minutes_to(&gateway, end(&healthy)), Some(6 * 24 * 60));
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let renewed = read(&gateway, member).await;
    assert_eq!(minutes_to(&gateway, end(&renewed)), Some(10 * 24 * 60));
    // The one before is given back.
    eventually(async || (gateway.bank.hits().revoke > 0).then_some(())).await;
    gateway.pass(2 * DAY);
    noticed(&gateway, 1).await;
    gateway.pass(2 * DAY);
    noticed(&gateway, 2).await;
    assert_eq!(
        read(&gateway, member).await["connection_status"],
        "CONNECTED"
    );
}

async fn a_consent_shorter_than_every_notice_just_ends(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let end = gateway.inside.clock.now() + Duration::from_secs(90);
    let said = Behaviour::With("consent_expires_at", json!(end.to_string()));
    gateway.bank.next_token(said);
    let member = connected(&gateway).await;
    gateway.pass(Duration::from_secs(91));
    over(&gateway, member).await;
    noticed(&gateway, 0).await;
}

async fn what_was_missed_is_told_once_after_a_restart(backend: Backend) {
    let mut gateway = with(backend, "consent_days = 90\n").await;
    let member = connected(&gateway).await;
    gateway.stop().await;
    gateway.clock.advance(84 * DAY);
    gateway.restart().await;
    let told = noticed(&gateway, 1).await;
    assert_eq!(told[0]["member_guid"], json!(member));
    gateway.restart().await;
    gateway.pass(DAY);
    noticed(&gateway, 1).await;
    gateway.pass(4 * DAY);
    noticed(&gateway, 2).await;
}

async fn access_that_nothing_can_renew_ends_with_its_token(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    gateway.bank.next_token(Behaviour::Without("refresh_token"));
    let member = connected(&gateway).await;
    let shown = read(&gateway, member).await;
    assert_eq!(minutes_to(&gateway, end(&shown)), Some(60));
    gateway.pass(HOUR);
    over(&gateway, member).await;
}

async fn a_refresh_may_move_the_end_of_a_consent(backend: Backend) {
    let gateway = with(backend, "consent_days = 10\n").await;
    let member = connected(&gateway).await;
    let first = job(&nth_push(&gateway, 1).await);
    gateway.pass(2 * HOUR);
    // Without a word of it, it stays.
    let before = end(&read(&gateway, member).await);
    let (status, _) = lease(&gateway, &first).await;
    assert_eq!(status, 200);
    assert_eq!(end(&read(&gateway, member).await), before);
    gateway.pass(2 * HOUR);
    let later = gateway.inside.clock.now() + 50 * DAY;
    gateway.bank.next_token(Behaviour::With(
        "consent_expires_at",
        json!(later.as_second()),
    ));
    let (status, _) = lease(&gateway, &first).await;
    assert_eq!(status, 200);
    report(&gateway, &first, json!({"status": "succeeded"})).await;
    let moved = end(&read(&gateway, member).await);
    assert_eq!(moved.map(Timestamp::as_second), Some(later.as_second()));
    gateway.pass(9 * DAY);
    noticed(&gateway, 0).await;
    gateway.pass(12 * DAY);
    noticed(&gateway, 1).await;
}

async fn consents_that_end_soon_are_listed(backend: Backend) {
    let gateway = with(backend, "consent_days = 40\n").await;
    let member = connected(&gateway).await.to_string();
    let listed = async |arguments: &[&str]| {
        let file = gateway.file().to_str().expect("a path").to_owned();
        let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
        let running = tokio::task::spawn_blocking(move || {
            let arguments = arguments.iter().map(String::as_str);
            run(["consents"]
                .into_iter()
                .chain(arguments)
                .chain(["--config", &file]))
        });
        let ran = running.await.expect("no panic");
        assert_eq!(ran.code, Some(0), "{ran:?}");
        ran.out
    };
    assert_eq!(listed(&[]).await, "");
    let within = listed(&["--within", "41"]).await;
    assert!(within.contains(&member), "{within}");
    assert_eq!(listed(&["--within", "41", "--client", "rival"]).await, "");
}

async fn a_pull_under_way_when_its_consent_ends_connects_nobody(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    gateway.bank.next_token(Behaviour::Without("refresh_token"));
    let member = connected(&gateway).await;
    let pull = job(&nth_push(&gateway, 1).await);
    assert_eq!(lease(&gateway, &pull).await.0, 200);
    report(&gateway, &pull, json!({"status": "started"})).await;
    gateway.pass(HOUR);
    over(&gateway, member).await;
    assert_eq!(read(&gateway, member).await["is_being_aggregated"], false);
    report(&gateway, &pull, json!({"status": "succeeded"})).await;
    over(&gateway, member).await;
}

async fn a_grant_that_went_to_another_gateway_does_not_end_here(backend: Backend) {
    let mut gateway = with(backend, "consent_days = 2\n").await;
    let member = connected(&gateway).await;
    let inside = gateway.inside.clone();
    let now = || inside.clock.now();
    let frozen = inside.store.freeze(member, now()).await;
    frozen.expect("a step");
    gateway.pass(DAY + HOUR);
    gateway.pass(DAY);
    gateway.sign_in().await;
    // Another consent ends meanwhile, so what was due was looked at.
    let said = Behaviour::With("consent_expires_at", json!((now() + HOUR).as_second()));
    gateway.bank.next_token(said);
    let other = connected(&gateway).await;
    gateway.pass(2 * HOUR);
    over(&gateway, other).await;
    assert_eq!(
        read(&gateway, member).await["connection_status"],
        "CONNECTED"
    );
    assert_eq!(expiring(&gateway.hooks.received()).len(), 0);
    // Once it is thawed, its end counts.
    inside.store.thaw(member, now()).await.expect("a step");
    gateway.pass(DAY + HOUR);
    over(&gateway, member).await;
}

async fn a_consent_given_soon_after_another_ends_at_its_own_end(backend: Backend) {
    let half = HOUR / 2;
    // Given while the one before is valid, and after it has ended.
    for (pause, left) in [(half, HOUR), (HOUR + half, HOUR)] {
        let mut gateway = TestGateway::start(backend).await;
        gateway.bank.on_token(Behaviour::Without("refresh_token"));
        let member = connected(&gateway).await;
        gateway.pass(pause);
        if pause > HOUR {
            over(&gateway, member).await;
        }
        gateway.sign_in().await;
        let path = format!("/users/{}/members/{member}/oauth_window_uri", gateway.user);
        let (_, minted) = gateway.platform("GET", &path, None).await;
        let link = minted["member"]["oauth_window_uri"].as_str();
        let link = link.and_then(|it| it.parse().ok()).expect("a link");
        let page = gateway.connect(&gateway.visitor(), &link).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        let renewed = read(&gateway, member).await;
        assert_eq!(minutes_to(&gateway, end(&renewed)), Some(60));
        // The end of the one before is not its end.
        gateway.pass(left - half / 2);
        assert_eq!(
            gateway
                .inside
                .store
                .consents(9, |_| true)
                .await
                .expect("read")
                .len(),
            1
        );
        assert_eq!(
            read(&gateway, member).await["connection_status"],
            "CONNECTED"
        );
        gateway.pass(half);
        over(&gateway, member).await;
    }
}
