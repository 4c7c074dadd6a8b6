//! Flows that have to be confirmed, in two browsers (`security` C3-C5, C21).

use guichet::domain::id::MemberGuid;
use serde_json::json;

use super::demo::Demo;
use crate::support::browser::{Browser, Options};
use crate::support::gateway::{Backend, Setup, TestGateway, eventually};

crate::on_both_stores!(
    c21_the_demos_app_confirms_where_the_person_has_ticked_that,
    c21_a_link_forwarded_to_somebody_else_connects_nothing,
    c3_c4_a_bank_that_comes_back_in_another_browser_is_confirmed_from_there,
);

fn confirming(registration: &str) -> Setup {
    Setup {
        registration: registration.to_owned(),
        ..Setup::default()
    }
}

async fn confirm(gateway: &TestGateway, user: &str, member: MemberGuid, handle: &str) -> u16 {
    let path = format!("/users/{user}/members/{member}/oauth_completions");
    let body = json!({"oauth_completion": {"handle": handle}});
    gateway.platform("POST", &path, Some(body)).await.0
}

/// What a page has for the window that opened it.
async fn handle(browser: &Browser) -> String {
    browser.arrives_at("pending-confirmation").await;
    let message = "JSON.parse(document.body.dataset.message).metadata.completion";
    let handle = browser.ask(message).await;
    handle.as_str().expect("a handle").to_owned()
}

async fn c21_the_demos_app_confirms_where_the_person_has_ticked_that(backend: Backend) {
    let demo = Demo::confirming(backend);
    let browser = Browser::open(Options::default()).await;
    browser.go(&demo.app).await;
    let app = browser.window().await;
    browser.click("#confirm").await;
    browser.click("#connect-mx_bank_oauth").await;
    let windows = browser.new_windows(&[&app], 2).await;
    browser.look_at(&windows[0]).await;
    browser.agree().await;
    browser.arrives_at("pending-confirmation").await;
    browser.look_at(&app).await;
    browser
        .find("#status[data-status=PENDING][data-auth-status='1']")
        .await;
    // The window says it each time it asks for the page anew.
    browser.click("#confirm").await;
    browser
        .find("#status[data-status=CONNECTED][data-auth-status='2']")
        .await;
    browser.new_windows(&[], 1).await;
}

/// One person has a link made, another one follows it, both with a browser, and both known to the same app.
async fn c21_a_link_forwarded_to_somebody_else_connects_nothing(backend: Backend) {
    let gateway = TestGateway::with(backend, confirming("completion = \"confirm\"")).await;
    let victim = json!({"user": {"id": "the-victim"}});
    let (_, victim) = gateway.platform("POST", "/users", Some(victim)).await;
    let victim = victim["user"]["guid"].as_str().expect("a guid").to_owned();
    let (member, link) = gateway.member().await;

    // A phone without scripts: the page goes on by itself all the same.
    let browser = Browser::open(Options {
        javascript: false,
        ..Options::phone()
    })
    .await;
    browser.go(&link).await;
    browser.arrives_at("pending-confirmation").await;
    assert!(browser.text("main").await.contains("Acme Budget"));
    assert_eq!(gateway.bank.hits().token, 0);
    // The page was for a browser without a handle in reach; another visit of it is what the app's own server would read.
    let source = browser.driver().source().await.expect("a page");
    let start = source.find("och_").expect("a handle");
    let handle_of_victim = &source[start..start + 49];
    assert_eq!(
        confirm(&gateway, &victim, member, handle_of_victim).await,
        404
    );
    browser.arrives_at("misdirected").await;
    eventually(async || (gateway.bank.live_tokens() == 0).then_some(())).await;
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");

    let (member, link) = gateway.member().await;
    let own = Browser::open(Options::default()).await;
    own.go(&link).await;
    let handle = handle(&own).await;
    let user = gateway.user.to_string();
    assert_eq!(confirm(&gateway, &user, member, &handle).await, 200);
    own.arrives_at("connected").await;
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}

async fn c3_c4_a_bank_that_comes_back_in_another_browser_is_confirmed_from_there(backend: Backend) {
    let gateway = TestGateway::with(backend, confirming("unbound_callback = \"confirm\"")).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let other = Browser::open(Options::default()).await;
    other.go(&request).await;
    let handle = handle(&other).await;
    let user = gateway.user.to_string();
    assert_eq!(confirm(&gateway, &user, member, &handle).await, 200);
    other.arrives_at("connected").await;
    assert_eq!(gateway.bank.hits().token, 1);
}
