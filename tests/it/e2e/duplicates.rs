//! Somebody connects a bank a second time, or comes back as somebody else, on the narrowest phone.

use serde_json::{Value, json};

use super::demo::{BANK, Demo};
use super::steps::somebody;
use crate::support::browser::{Browser, Options};
use crate::support::gateway::Backend;

crate::on_both_stores!(
    the_same_person_again_is_one_connection,
    somebody_else_takes_nothing_over,
);

/// Follows the link and agrees under this name.
async fn agrees_as(browser: &Browser, link: &str, name: &str) {
    browser.go(link).await;
    browser.sign_in_as(name, "any").await;
    browser.arrives_at("consent").await;
    browser.click("#allow").await;
}

async fn the_same_person_again_is_one_connection(backend: Backend) {
    let demo = Demo::shared(backend);
    let name = somebody();
    let browser = Browser::open(Options::phone()).await;
    let (first, link) = demo.mint(BANK, Value::Null).await;
    agrees_as(&browser, &link, &name).await;
    browser.arrives_at("connected").await;
    let told_first = browser.text("main").await;

    let (second, link) = demo.mint(BANK, Value::Null).await;
    agrees_as(&browser, &link, &name).await;
    browser.arrives_at("connected").await;
    let told_again = browser.text("main").await;
    assert!(told_again.contains("up to date"), "{told_again}");
    assert!(!told_first.contains("up to date"), "{told_first}");
    browser.examine("the same person again").await;

    let state = demo.state(&second).await;
    assert_eq!(state["auth_status"], 2, "{state}");
    assert_eq!(state["inbound_member_guid"], json!(first), "{state}");
    assert_eq!(demo.member(&first).await["connection_status"], "CONNECTED");
    let left = demo.nexus("GET", "/members", None).await;
    let guids: Vec<_> = left["members"].as_array().into_iter().flatten().collect();
    assert!(guids.iter().any(|it| it["guid"] == json!(first)));
    assert!(!guids.iter().any(|it| it["guid"] == json!(second)));
}

async fn somebody_else_takes_nothing_over(backend: Backend) {
    let demo = Demo::shared(backend);
    let browser = Browser::open(Options::phone()).await;
    let (member, link) = demo.mint(BANK, Value::Null).await;
    agrees_as(&browser, &link, &somebody()).await;
    browser.arrives_at("connected").await;

    let again = format!("/members/{member}/oauth_window_uri");
    let again = demo.nexus("GET", &again, None).await;
    let link = again["member"]["oauth_window_uri"]
        .as_str()
        .expect("a link");
    agrees_as(&browser, link, &somebody()).await;
    browser.arrives_at("other-login").await;
    assert!(!browser.has("[data-action=retry]").await);
    browser.examine("another login").await;

    let state = demo.state(&member).await;
    assert_eq!(
        (&state["auth_status"], &state["error_reason"]),
        (&json!(3), &json!(0)),
        "{state}"
    );
    assert_eq!(demo.member(&member).await["connection_status"], "CONNECTED");
}
