//! The institution is away, or sends something that is no token response.

use serde_json::json;

use crate::support::behaviour::Behaviour;
use crate::support::gateway::{Backend, TestGateway};

crate::on_both_stores!(
    a_bank_that_is_down_is_a_provider_error,
    a_bank_that_sends_html_is_a_provider_error,
    a_bank_that_hangs_up_is_a_provider_error,
);

/// PROVIDER_ERROR.
const PROVIDER_ERROR: i64 = 4;

async fn a_bank_that_is_down_is_a_provider_error(backend: Backend) {
    provider_error(backend, Behaviour::unavailable()).await;
}

async fn a_bank_that_sends_html_is_a_provider_error(backend: Backend) {
    provider_error(backend, Behaviour::Html).await;
}

async fn a_bank_that_hangs_up_is_a_provider_error(backend: Backend) {
    provider_error(backend, Behaviour::HangUp).await;
}

async fn provider_error(backend: Backend, behaviour: Behaviour) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    gateway.bank.on_token(behaviour);
    let visitor = gateway.visitor();
    let page = gateway.connect(&visitor, &link).await;
    assert_eq!(page.name(), Some("provider-error"), "{}", page.body);
    assert!(page.body.contains("Fake Bank"), "{}", page.body);
    for inner in ["maintenance", "invalid_grant", "503"] {
        assert!(!page.body.contains(inner), "{inner}: {}", page.body);
    }

    let state = gateway.state(member).await;
    assert_eq!(state["auth_status"], 3);
    assert_eq!(state["error_reason"], json!(PROVIDER_ERROR));
    assert!(state["inbound_member_guid"].is_null());
    let read = gateway.read(member).await;
    assert_eq!(read["connection_status"], "PENDING", "as before");
    assert_eq!(read["is_being_aggregated"], false);
    assert!(gateway.aggregator.received().is_empty());

    // It is no dead end: once the bank is back, a new link connects.
    gateway.bank.on_token(Behaviour::Honest);
    let path = format!("/members/{member}/oauth_window_uri");
    let (_, response) = gateway.nexus("GET", &path, None).await;
    let link = response["member"]["oauth_window_uri"]
        .as_str()
        .expect("a link");
    let page = gateway
        .connect(&gateway.visitor(), &link.parse().expect("a URL"))
        .await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}
