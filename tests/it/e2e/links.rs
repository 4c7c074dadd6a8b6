//! Links that were followed before, twice at once, too late, or after a newer one was made.

use std::time::Duration;

use guichet::domain::maintenance::Maintenance;
use guichet::flow::maintenance;
use guichet::store::SetMaintenance;
use serde_json::{Value, json};

use super::demo::{AUTO_BANK, BANK, Demo};
use crate::support::browser::{Browser, Options};
use crate::support::gateway::{Backend, Setup, TestGateway, eventually};

crate::on_both_stores!(
    a_used_link_goes_on_in_its_own_browser_only,
    two_tabs_on_one_link_end_well,
    a_link_that_ran_out_says_so,
    a_link_waits_while_the_bank_is_in_maintenance,
);

async fn a_used_link_goes_on_in_its_own_browser_only(backend: Backend) {
    let demo = Demo::shared(backend);
    let (member, link) = demo.mint(BANK, Value::Null).await;
    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.arrives_at("login").await;

    let other = Browser::open(Options::default()).await;
    other.go(&link).await;
    other.arrives_at("used").await;
    assert!(!other.has("[data-action=continue]").await);
    other.press("retry").await;
    other.arrives_at("used").await;

    browser.go(&link).await;
    browser.arrives_at("resume").await;
    browser.press("continue").await;
    browser.agree().await;
    browser.arrives_at("connected").await;
    assert_eq!(demo.state(&member).await["auth_status"], 2);

    browser.go(&link).await;
    browser.arrives_at("connected").await;
    other.go(&link).await;
    other.arrives_at("used").await;
    let actions =
        "[...document.querySelectorAll('[data-action]')].map((one) => one.dataset.action)";
    assert_eq!(other.ask(actions).await, serde_json::json!(["return"]));
}

/// A double click. One tab is at the bank; whatever the other shows leads there too.
async fn two_tabs_on_one_link_end_well(backend: Backend) {
    let demo = Demo::shared(backend);
    let browser = Browser::open(Options::default()).await;
    browser.go(&demo.bank).await;
    let start = browser.window().await;
    for finishes_in_the_first in [true, false] {
        let (member, link) = demo.mint(BANK, Value::Null).await;
        let twice = serde_json::to_string(&link).expect("text");
        browser
            .ask(&format!(
                "[window.open({twice}), window.open({twice})].length"
            ))
            .await;
        let tabs = browser.new_windows(&[&start], 3).await;
        let mut at_the_bank = None;
        let mut late = None;
        for tab in tabs {
            browser.look_at(&tab).await;
            browser.find("body[data-page]").await;
            let slot = match browser.has("body[data-page=login]").await {
                true => &mut at_the_bank,
                false => &mut late,
            };
            assert!(slot.replace(tab).is_none(), "one of two at the bank");
        }
        let (first, late) = at_the_bank.zip(late).expect("one of two at the bank");
        browser.look_at(&late).await;
        if browser.has("body[data-page=used]").await {
            browser.press("retry").await;
        }
        browser.arrives_at("resume").await;
        if finishes_in_the_first {
            browser.look_at(&first).await;
            browser.agree().await;
            browser.new_windows(&[], 2).await;
            browser.look_at(&late).await;
            browser.press("continue").await;
            browser.arrives_at("connected").await;
        } else {
            browser.press("continue").await;
            browser.agree().await;
            browser.arrives_at("connected").await;
            browser.look_at(&first).await;
            // The page it has been at all along. Its response has no effect, and it closes like any
            // window whose link led to success.
            browser.agree().await;
            browser.new_windows(&[], 2).await;
        }
        assert_eq!(demo.state(&member).await["auth_status"], 2);
        for window in browser.new_windows(&[&start], 2).await {
            browser.look_at(&window).await;
            browser.driver().close_window().await.expect("it closes");
        }
        browser.look_at(&start).await;
    }
}

async fn a_link_that_ran_out_says_so(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let browser = Browser::open(Options::default()).await;
    let (member, old) = gateway.member().await;
    let path = format!("/members/{member}/oauth_window_uri");
    let (status, response) = gateway.nexus("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    let newer = response["member"]["oauth_window_uri"].as_str();
    let newer = newer.expect("a link").to_owned();
    browser.go(&old).await;
    browser.arrives_at("superseded").await;
    assert!(browser.text("main").await.contains("Acme Budget"));

    gateway.clock.advance(Duration::from_secs(11 * 60));
    browser.go(&newer).await;
    browser.arrives_at("expired").await;
    assert!(!browser.has("[data-action]").await);
    assert_eq!(gateway.state(member).await["auth_status"], 3);
    assert_eq!(gateway.bank.hits().authorize, 0);
}

/// An operator says that the bank is not used for now.
pub(super) async fn in_maintenance(gateway: &TestGateway, maintenance: Maintenance) {
    say(gateway, Some(maintenance)).await;
}

/// It is used again.
pub(super) async fn over(gateway: &TestGateway) {
    say(gateway, None).await;
}

async fn say(gateway: &TestGateway, maintenance: Option<Maintenance>) {
    let set = SetMaintenance {
        institution: "fake_bank".parse().expect("a code"),
        maintenance,
    };
    let now = gateway.inside.clock.now();
    let store = &gateway.inside.store;
    store.set_maintenance(&set, now).await.expect("a step");
    maintenance::look(&gateway.inside).await.expect("a look");
}

/// On a phone, in the dark: the person reads when it is over, looks again, and then the same link leads on.
async fn a_link_waits_while_the_bank_is_in_maintenance(backend: Backend) {
    let setup = Setup {
        client: "home = \"https://app.example/\"".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let (member, link) = gateway.member().await;
    let until = Some(gateway.clock.now() + Duration::from_secs(3 * 60 * 60));
    let text = Some("Cards work as usual.".parse().expect("a text"));
    let said = Maintenance {
        until,
        text,
        ..Maintenance::default()
    };
    in_maintenance(&gateway, said).await;
    let dark = true;
    let browser = Browser::open(Options {
        dark,
        ..Options::phone()
    })
    .await;
    browser.go(&link).await;
    browser.arrives_at("maintenance").await;
    browser.examine("maintenance").await;
    let text = browser.text("main").await;
    for said in [
        "Fake Bank is not available right now",
        "Cards work as usual.",
        "in about 3 hours",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let back = "document.querySelector('[data-action=return]').href";
    assert_eq!(browser.ask(back).await, json!("https://app.example/"));
    browser.press("retry").await;
    browser.arrives_at("maintenance").await;
    assert_eq!(gateway.bank.hits().authorize, 0);
    assert_eq!(gateway.state(member).await["auth_status"], 1);
    over(&gateway).await;
    browser.press("retry").await;
    eventually(async || (gateway.bank.hits().authorize > 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interstitial_link_waits_for_its_button() {
    let demo = Demo::shared(Backend::Sqlite);
    let options = json!({"open_policy": "interstitial"});
    let (member, link) = demo.mint(BANK, options).await;
    // A mail scanner with a whole browser looks at it and goes.
    let scanner = Browser::open(Options::default()).await;
    scanner.go(&link).await;
    scanner.arrives_at("interstitial").await;
    drop(scanner);

    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.arrives_at("interstitial").await;
    browser.press("continue").await;
    browser.arrives_at("login").await;
    // Back: the page asks again, and the button still leads on.
    browser.driver().back().await.expect("a page before");
    browser.find("[data-action=continue]").await;
    browser.press("continue").await;
    browser.agree().await;
    browser.arrives_at("connected").await;
    assert_eq!(demo.state(&member).await["auth_status"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_multi_link_survives_whoever_looked_first() {
    let demo = Demo::shared(Backend::Sqlite);
    let (member, link) = demo.mint(BANK, json!({"open_policy": "multi"})).await;
    let scanner = Browser::open(Options::default()).await;
    scanner.go(&link).await;
    scanner.arrives_at("login").await;
    drop(scanner);

    let browser = Browser::open(Options::default()).await;
    browser.go(&link).await;
    browser.agree().await;
    browser.arrives_at("connected").await;
    assert_eq!(demo.state(&member).await["auth_status"], 2);

    let late = Browser::open(Options::default()).await;
    late.go(&link).await;
    late.arrives_at("used").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bank_that_asks_nothing_is_reached_by_every_button() {
    let demo = Demo::shared(Backend::Sqlite);
    let browser = Browser::open(Options::default()).await;
    let options = json!({"open_policy": "interstitial"});
    let (_, link) = demo.mint(AUTO_BANK, options).await;
    browser.go(&link).await;
    browser.press("continue").await;
    browser.arrives_at("connected").await;
}
