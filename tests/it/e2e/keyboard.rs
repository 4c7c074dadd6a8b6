//! A person without a mouse.

use serde_json::json;
use thirtyfour::Key;

use super::demo::{BANK, Demo};
use crate::support::browser::{Browser, Options};
use crate::support::gateway::Backend;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyboard_is_enough() {
    let demo = Demo::shared(Backend::Sqlite);
    let (member, link) = demo
        .mint(BANK, json!({"open_policy": "interstitial"}))
        .await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    let press = async |selector: &str| {
        browser.tab_to(selector).await;
        browser.strike(Key::Enter).await;
    };

    browser.arrives_at("interstitial").await;
    press("[data-action=continue]").await;
    browser.arrives_at("login").await;
    press("#cancel").await;
    browser.arrives_at("cancelled").await;
    press("[data-action=retry]").await;
    browser.arrives_at("login").await;

    browser.go(&link).await;
    browser.arrives_at("cancelled").await;
    let (member, link) = {
        // The tried-again window has no link of its own; a fresh one shows the page to resume.
        let path = format!("/members/{member}/oauth_window_uri");
        let response = demo.nexus("GET", &path, None).await;
        let link = response["member"]["oauth_window_uri"].as_str();
        (member, link.expect("a link").to_owned())
    };
    browser.go(&link).await;
    browser.arrives_at("login").await;
    browser.go(&link).await;
    browser.arrives_at("resume").await;
    press("[data-action=continue]").await;

    browser.arrives_at("login").await;
    browser.tab_to("#username").await;
    browser.type_blindly("ada").await;
    browser.tab_to("#password").await;
    browser.type_blindly("any").await;
    browser.strike(Key::Enter).await;
    browser.arrives_at("consent").await;
    browser.tab_to("input[name=account]").await;
    browser.strike(Key::Space).await;
    press("#allow").await;
    browser.arrives_at("connected").await;
    assert_eq!(demo.state(&member).await["auth_status"], 2);
}
