//! What banks did to refresh tokens, played by the sandbox bank under the name of each incident: nobody is lost whom the
//! bank did not revoke, and nobody is lost in silence.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::demo::{BANK, Demo};
use crate::support::aggregation::{distinct, lease, nth_job};
use crate::support::browser::{Browser, Options};
use crate::support::gateway::{Backend, Setup, TestGateway, eventually};
use crate::support::loopback::Recorded;
use crate::support::sandbox::SandboxBank;
use crate::support::visitor::http;

const LIMIT: Duration = Duration::from_secs(20);

/// A little more than the wait after a refresh whose outcome is unknown.
const DOUBT: Duration = Duration::from_secs(601);

crate::on_both_stores!(
    a_consent_of_ninety_seconds_ends_and_that_is_told,
    a_lost_rotation_is_told_whatever_came_in_its_place,
);

/// What a member is to become.
#[derive(Clone, Copy)]
enum Becomes {
    /// CONNECTED, and its data is there.
    Pulled,
    /// CONNECTED, and its job has failed.
    NotPulled,
    /// CONNECTED, and its job waits for a new token.
    Waiting,
    /// That status, with that reason.
    Told(&'static str, Option<&'static str>),
}

/// Access tokens of half a minute are refreshed before they are lent for the first time.
const INCIDENTS: [(&str, Becomes); 12] = [
    ("rotate_then_500:30", Becomes::Waiting),
    ("rotate_bad_id_token:30", Becomes::Pulled),
    ("rotate_then_504:30", Becomes::Waiting),
    ("no_rotation:30", Becomes::Pulled),
    ("refresh_500_once:30", Becomes::Waiting),
    ("two_live_refresh_tokens:30", Becomes::Pulled),
    ("rotate_then_hang:30", Becomes::Waiting),
    ("no_expires_in", Becomes::Pulled),
    ("over_quota", Becomes::NotPulled),
    ("short_consent", Becomes::Pulled),
    (
        "no_refresh_token:30",
        Becomes::Told("IMPAIRED", Some("CONSENT_ENDED")),
    ),
    ("revoked_there:30", Becomes::Told("DENIED", None)),
];

/// Connects somebody who signs in with that password.
async fn connected(demo: &Demo, browser: &Browser, password: &str) -> String {
    let (member, link) = demo.mint(BANK, Value::Null).await;
    agree(browser, &link, password).await;
    member
}

/// Follows the link and agrees, as somebody who signs in with that password.
async fn agree(browser: &Browser, link: impl AsRef<str>, password: &str) {
    browser.go(link).await;
    browser.sign_in(password).await;
    browser.arrives_at("consent").await;
    browser.click("#allow").await;
    browser.arrives_at("connected").await;
}

/// How often the bank was asked for a refresh.
async fn refreshes(demo: &Demo) -> u64 {
    let stats = demo.bank.join("/stats").expect("a path");
    let response = http().get(stats).send().await.expect("a response");
    let text = response.text().await.expect("a body");
    let stats: Value = serde_json::from_str(&text).expect("JSON");
    stats["refresh"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_incident_ends_connected_or_told() {
    let demo = Demo::alone(Backend::Sqlite);
    let browser = Browser::open(Options::default()).await;
    for (password, becomes) in INCIDENTS {
        let before = refreshes(&demo).await;
        let member = connected(&demo, &browser, password).await;
        let as_expected = async |read: &Value| {
            let status = read["connection_status"].as_str().unwrap_or_default();
            let is_pulled = !read["successfully_aggregated_at"].is_null();
            let has_ended = !read["aggregated_at"].is_null();
            match becomes {
                Becomes::Pulled => status == "CONNECTED" && is_pulled,
                Becomes::NotPulled => status == "CONNECTED" && has_ended && !is_pulled,
                Becomes::Waiting => {
                    let is_asked = refreshes(&demo).await > before;
                    is_asked && status == "CONNECTED" && !has_ended
                }
                Becomes::Told(expected, reason) => {
                    status == expected && read["connection_status_reason"].as_str() == reason
                }
            }
        };
        let reached = eventually(async || {
            let read = demo.member(&member).await;
            as_expected(&read).await.then_some(())
        });
        println!("{password}");
        reached.await;
    }
    // It refuses everybody: one member alone does not show that.
    let refuse = async |on: bool| {
        let door = format!("/{BANK}/sandbox/refuse_all");
        let door = demo.bank.join(&door).expect("a path");
        let sent = http().post(door).json(&json!({"on": on})).send().await;
        assert!(sent.expect("a response").status().is_success());
    };
    refuse(true).await;
    let member = connected(&demo, &browser, "any:30").await;
    eventually(async || {
        let read = demo.member(&member).await;
        let reason = read["connection_status_reason"].as_str();
        (reason == Some("REVOKED")).then_some(())
    })
    .await;
    refuse(false).await;
}

async fn a_consent_of_ninety_seconds_ends_and_that_is_told(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    let bank = SandboxBank::behind(&mut gateway).await;
    let browser = Browser::open(Options::default()).await;
    let (member, link) = gateway.member().await;
    let begun = gateway.clock.now();
    agree(&browser, &link, "short_consent").await;
    let agreed = gateway.clock.now();
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "CONNECTED");
    let end = read["consent_expires_at"].as_str().expect("an end");
    let end: Timestamp = end.parse().expect("a time");
    let life = Duration::from_secs(90);
    let second = Duration::from_secs(1);
    assert!(
        begun + life <= end + second && end <= agreed + life,
        "{end}"
    );

    gateway.pass(life + second);
    let read = gateway
        .member_when(member, |it| it["connection_status"] == "IMPAIRED")
        .await;
    assert_eq!(read["connection_status_reason"], "CONSENT_ENDED");
    lost_once(&gateway, member).await;
    // Both tokens are given back.
    eventually(async || (bank.counted("revocations").await == 2).then_some(())).await;

    // A new consent connects the member again.
    let path = format!("/members/{member}/oauth_window_uri");
    let (_, minted) = gateway.nexus("GET", &path, None).await;
    let link = minted["member"]["oauth_window_uri"].as_str();
    agree(&browser, link.expect("a link"), "any").await;
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "CONNECTED");
    assert_eq!(read["consent_expires_at"], Value::Null);
}

/// The end of the member's connection was told, once.
async fn lost_once(gateway: &TestGateway, member: MemberGuid) {
    let lost = |told: &[Recorded]| {
        let told = distinct(told).into_iter().map(Recorded::json);
        let is_it = |it: &Value| {
            let of = &it["member"];
            let is_lost = of["connection_status"] == "IMPAIRED";
            it["action"] == "updated" && of["guid"] == json!(member) && is_lost
        };
        told.filter(is_it).count()
    };
    let told = gateway.hooks.wait_for(|it| lost(it) >= 1, LIMIT).await;
    assert_eq!(lost(&told), 1);
}

async fn a_lost_rotation_is_told_whatever_came_in_its_place(backend: Backend) {
    let setup = Setup {
        oauth: "timeouts = { connect_seconds = 1, total_seconds = 3 }\n".to_owned(),
        ..Setup::default()
    };
    let mut gateway = TestGateway::with(backend, setup).await;
    let _bank = SandboxBank::behind(&mut gateway).await;
    let browser = Browser::open(Options::default()).await;
    let mut members = Vec::new();
    for word in ["rotate_then_500", "rotate_then_504", "rotate_then_hang"] {
        let (member, link) = gateway.member().await;
        agree(&browser, &link, &format!("{word}:30")).await;
        members.push(member);
        let job = nth_job(&gateway, members.len()).await;
        let (status, problem) = lease(&gateway, &job).await;
        assert_eq!(status, 503, "{word}: {problem}");
        assert_eq!(problem["error"]["reason"], "token_not_renewed");
        let read = gateway.read(member).await;
        assert_eq!(read["connection_status"], "CONNECTED", "{word}");
    }
    for nth in 2..=3 {
        gateway.pass(DOUBT);
        gateway.refreshed(nth * members.len()).await;
    }
    for member in members {
        let read = gateway.read(member).await;
        assert_eq!(read["connection_status"], "IMPAIRED");
        assert_eq!(read["connection_status_reason"], "REFRESH_LOST");
        lost_once(&gateway, member).await;
    }
}
