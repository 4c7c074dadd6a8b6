//! How an attempt may end at the bank, and what a person can do about it.

use serde_json::{Value, json};

use super::demo::{AUTO_BANK, BANK, Demo};
use crate::support::browser::{Browser, Options};
use crate::support::gateway::Backend;

crate::on_both_stores!(
    after_every_trouble_a_person_can_try_again,
    an_app_gets_its_people_back,
);

async fn after_every_trouble_a_person_can_try_again(backend: Backend) {
    let demo = Demo::shared(backend);
    let (member, link) = demo.mint(BANK, Value::Null).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.sign_in("locked").await;
    browser.arrives_at("impeded").await;
    browser.find("body[data-reason=IMPEDED]").await;
    assert_eq!(demo.state(&member).await["error_reason"], 3);
    // The bank's own site opens beside this page, which stays.
    let website = browser.find("[data-action=institution]").await;
    let target = website.attr("target").await.expect("an element");
    assert_eq!(target.as_deref(), Some("_blank"));

    browser.press("retry").await;
    browser.sign_in("wrong").await;
    browser.find("#wrong").await;
    browser.click("#give-up").await;
    browser.arrives_at("denied").await;
    browser.press("retry").await;
    browser.sign_in("provider_error").await;
    browser.arrives_at("provider-error").await;
    assert_eq!(demo.member(&member).await["connection_status"], "PENDING");

    browser.press("retry").await;
    browser.agree().await;
    browser.arrives_at("connected").await;
    assert_eq!(demo.member(&member).await["connection_status"], "CONNECTED");
    let path = format!("/oauth_states?outbound_member_guid={member}");
    let states = demo.nexus("GET", &path, None).await;
    let states = states["oauth_states"].as_array().expect("a list").clone();
    let failed = states.iter().filter(|state| state["auth_status"] == 3);
    assert_eq!((states.len(), failed.count()), (4, 3), "{states:?}");
}

async fn an_app_gets_its_people_back(backend: Backend) {
    let demo = Demo::shared(backend);
    let back = demo.app.join("returned?theme=dark").expect("an address");
    let options = json!({"referral_source": "APP", "client_redirect_url": back});
    let (member, link) = demo.mint(BANK, options.clone()).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.agree().await;
    browser.find("#status[data-status=CONNECTED]").await;
    let expected = format!("{back}&status=success&member_guid={member}");
    assert_eq!(browser.address().await.as_str(), expected);

    let (member, link) = demo.mint(BANK, options).await;
    browser.go(&link).await;
    browser.sign_in("cancel").await;
    browser.find("#status[data-error-reason=CANCELLED]").await;
    let expected = format!("{back}&status=error&member_guid={member}&error_reason=CANCELLED");
    assert_eq!(browser.address().await.as_str(), expected);
}

/// Browsers hold the redirects after a form against `form-action`, to the very end: the app.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_gets_people_back_from_a_bank_that_asks_nothing_after_a_button() {
    let demo = Demo::shared(Backend::Sqlite);
    let back = demo.app.join("returned").expect("an address");
    let options = json!({
        "referral_source": "APP",
        "client_redirect_url": back,
        "open_policy": "interstitial",
    });
    let (member, link) = demo.mint(AUTO_BANK, options).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.press("continue").await;
    browser.find("#status[data-status=CONNECTED]").await;
    let expected = format!("{back}?status=success&member_guid={member}");
    assert_eq!(browser.address().await.as_str(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_between_us_and_the_bank_is_said_plainly() {
    let demo = Demo::shared(Backend::Sqlite);
    let (member, link) = demo.mint(BANK, Value::Null).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    for password in ["token_500", "html", "expired_code"] {
        browser.sign_in(password).await;
        browser.arrives_at("consent").await;
        browser.click("#allow").await;
        let over = async || browser.has("body[data-reason] [data-action=retry]").await;
        browser.wait_until(password, over).await;
        let said = browser.text("main").await;
        assert!(said.contains("shared"), "{password}: {said}");
        for word in ["OAuth", "token", "invalid_grant", "HTML", "500"] {
            assert!(!said.contains(word), "{password}: {said}");
        }
        browser.press("retry").await;
    }
    browser.sign_in("slow").await;
    browser.arrives_at("consent").await;
    browser.click("#allow").await;
    browser.arrives_at("connected").await;
    assert_eq!(demo.member(&member).await["connection_status"], "CONNECTED");
}

/// What a bank may do to a person, as `design` decision 27 and the sandbox's passwords have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bank_that_comes_back_with_nothing_is_no_dead_end() {
    let demo = Demo::shared(Backend::Sqlite);
    let (member, link) = demo.mint(BANK, Value::Null).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    for password in ["empty_return", "no_without_state"] {
        browser.sign_in(password).await;
        browser.arrives_at("no-answer").await;
        assert!(browser.address().await.query().is_none(), "a clean address");
        assert_eq!(demo.state(&member).await["auth_status"], 1);
        browser.press("continue").await;
    }
    browser.sign_in("state_only").await;
    browser.arrives_at("provider-error").await;
    browser.press("retry").await;
    browser.sign_in("empty_return").await;
    browser.arrives_at("no-answer").await;
    browser.press("cancel").await;
    browser.arrives_at("cancelled").await;
    assert_eq!(demo.state(&member).await["error_reason"], 1);
    browser.press("retry").await;
    browser.agree().await;
    browser.arrives_at("connected").await;
    assert_eq!(demo.member(&member).await["connection_status"], "CONNECTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_tries_and_no_more() {
    let demo = Demo::shared(Backend::Sqlite);
    let (member, link) = demo.mint(BANK, Value::Null).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    for _ in 0..3 {
        browser.sign_in("cancel").await;
        browser.arrives_at("cancelled").await;
        browser.press("retry").await;
    }
    browser.sign_in("cancel").await;
    browser.arrives_at("cancelled").await;
    assert!(!browser.has("[data-action=retry]").await);
    assert!(browser.text("main").await.contains("Demo Budget"));
    assert_eq!(demo.member(&member).await["connection_status"], "PENDING");
}
