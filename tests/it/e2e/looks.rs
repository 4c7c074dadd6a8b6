//! Every page as it really comes, in both colour schemes and down to the narrowest phone: nothing
//! that axe-core objects to, and nothing that sticks out sideways.

use std::time::Duration;

use guichet::domain::id::AttemptId;
use guichet::domain::maintenance::Maintenance;
use guichet::domain::secret::AuthorizationState;
use serde_json::{Value, json};
use thirtyfour::By;

use super::demo::{BANK, Demo};
use super::links::{in_maintenance, over};
use crate::support::browser::{Browser, Options};
use crate::support::gateway::{Backend, CLIENT, FORM_BANK, Setup, TestGateway};
use crate::support::visitor::Visitor;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_desk() {
    tour(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_desk_in_the_dark() {
    let dark = true;
    tour(Options {
        dark,
        ..Options::default()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_narrowest_phone() {
    tour(Options::phone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_usual_phone_in_the_dark() {
    let (width, dark) = (390, true);
    tour(Options {
        width,
        dark,
        ..Options::phone()
    })
    .await;
}

async fn tour(options: Options) {
    let browser = Browser::open(options).await;
    the_demo(&browser, options.dark).await;
    the_gateway_alone(&browser, options.dark).await;
}

/// Waits for a page of the gateway or the bank and examines it.
async fn see(browser: &Browser, page: &str, dark: bool) {
    browser.arrives_at(page).await;
    examine(browser, page, dark).await;
}

async fn examine(browser: &Browser, what: &str, dark: bool) {
    browser.examine(what).await;
    let channels = "getComputedStyle(document.body).color.match(/\\d+/g).slice(0, 3)";
    let brightness = format!("{channels}.reduce((sum, one) => sum + Number(one), 0)");
    let brightness = browser.ask(&brightness).await.as_f64().expect("a number");
    let fits = if dark {
        brightness > 500.0
    } else {
        brightness < 250.0
    };
    assert!(fits, "{what}: text of brightness {brightness} of 765");
}

/// What a person meets in the demo: the app, the bank, and what the gateway says to each ending.
async fn the_demo(browser: &Browser, dark: bool) {
    let demo = Demo::shared(Backend::Sqlite);
    browser.go(&demo.app).await;
    browser.find("h1").await;
    examine(browser, "the app", dark).await;

    let (_, link) = demo
        .mint(BANK, json!({"open_policy": "interstitial"}))
        .await;
    browser.go(&link).await;
    see(browser, "interstitial", dark).await;
    browser.press("continue").await;
    see(browser, "login", dark).await;
    browser.click("summary").await;
    examine(browser, "the passwords", dark).await;
    browser.go(&link).await;
    see(browser, "resume", dark).await;
    browser.press("continue").await;
    browser.sign_in("wrong").await;
    browser.find("#wrong").await;
    examine(browser, "a wrong password", dark).await;
    browser.click("#give-up").await;
    see(browser, "denied", dark).await;
    browser.press("retry").await;
    browser.sign_in("locked").await;
    see(browser, "impeded", dark).await;
    browser.press("retry").await;
    browser.sign_in("provider_error").await;
    see(browser, "provider-error", dark).await;
    browser.press("retry").await;
    browser.sign_in("cancel").await;
    see(browser, "cancelled", dark).await;

    let (member, link) = demo.mint(BANK, Value::Null).await;
    browser.go(&link).await;
    browser.sign_in("any").await;
    see(browser, "consent", dark).await;
    for account in browser
        .driver()
        .find_all(By::Css("input[name=account]"))
        .await
        .expect("accounts")
    {
        account.click().await.expect("a box to tick");
    }
    browser.click("#allow").await;
    browser.find("[role=alert]").await;
    examine(browser, "nothing ticked", dark).await;
    browser.click("input[name=account]").await;
    browser.click("#allow").await;
    see(browser, "connected", dark).await;
    browser
        .go(demo
            .app
            .join(&format!("?member={member}"))
            .expect("an address"))
        .await;
    browser.find("#accounts li[data-account]").await;
    examine(browser, "the accounts", dark).await;
    browser.click("#developer summary").await;
    examine(browser, "the view for developers", dark).await;
    browser.go(&demo.bank).await;
    see(browser, "index", dark).await;

    browser
        .go(demo
            .bank
            .join(&format!("{BANK}/authorize"))
            .expect("an address"))
        .await;
    see(browser, "refusal", dark).await;
    browser
        .go(demo
            .gateway
            .join(&format!("oauth/predirect_to/{member}/ow_"))
            .expect("an address"))
        .await;
    see(browser, "unknown", dark).await;
    browser
        .go(demo
            .gateway
            .join(&format!("oauth/redirect_from/demo/{BANK}"))
            .expect("an address"))
        .await;
    see(browser, "bad-return", dark).await;
}

/// What needs another browser, time, or a response that does not come.
async fn the_gateway_alone(browser: &Browser, dark: bool) {
    let setup = Setup {
        client: "accent = \"#0a7d55\"\nsupport = \"https://help.example/\"".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let other = Visitor::new();
    let (_, link) = gateway.member().await;
    let authorization = gateway.open(&other, &link).await;
    browser.go(&link).await;
    see(browser, "used", dark).await;
    browser
        .go(gateway.bank.code_for(&authorization).url())
        .await;
    see(browser, "wrong-browser", dark).await;

    // A browser that claimed a link, and asks for the outcome before it has come back.
    let (_, link) = gateway.member().await;
    let authorization = gateway.open(&other, &link).await;
    let state = authorization
        .query_pairs()
        .find(|(name, _)| name == "state");
    let state = AuthorizationState::parse(&state.expect("a state").1).expect("a state");
    let result = gateway.at(&format!("/oauth/result/{}", AttemptId::of(&state)));
    let cookies = other.cookie_header().expect("a binding");
    for cookie in cookies.split("; ") {
        let (name, value) = cookie.split_once('=').expect("a cookie");
        let mut cookie = thirtyfour::Cookie::new(name, value);
        cookie.set_path("/");
        browser.driver().add_cookie(cookie).await.expect("a cookie");
    }
    browser.go(&result).await;
    see(browser, "no-answer", dark).await;

    let (_, link) = gateway.member().await;
    let until = Some(gateway.clock.now() + Duration::from_secs(3 * 60 * 60));
    in_maintenance(
        &gateway,
        Maintenance {
            until,
            ..Maintenance::default()
        },
    )
    .await;
    browser.go(&link).await;
    see(browser, "maintenance", dark).await;
    over(&gateway).await;

    let (member, old) = gateway.member().await;
    let path = format!("/members/{member}/oauth_window_uri");
    let (_, newer) = gateway.nexus("GET", &path, None).await;
    browser.go(&old).await;
    see(browser, "superseded", dark).await;
    gateway.clock.advance(Duration::from_secs(11 * 60));
    browser
        .go(newer["member"]["oauth_window_uri"]
            .as_str()
            .expect("a link"))
        .await;
    see(browser, "expired", dark).await;
    let unknown = format!("/oauth/redirect_from/{CLIENT}/{FORM_BANK}?state=x&code=y");
    browser.go(gateway.at(&unknown)).await;
    see(browser, "bad-return", dark).await;
}
