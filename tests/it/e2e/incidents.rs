//! What banks did to refresh tokens, played by the sandbox bank under the name of each incident: nobody is lost whom the
//! bank did not revoke, and nobody is lost in silence.

use serde_json::{Value, json};

use super::demo::{BANK, Demo};
use crate::support::browser::{Browser, Options};
use crate::support::gateway::{Backend, eventually};
use crate::support::visitor::http;

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
    browser.go(&link).await;
    browser.sign_in(password).await;
    browser.arrives_at("consent").await;
    browser.click("#allow").await;
    browser.arrives_at("connected").await;
    member
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
