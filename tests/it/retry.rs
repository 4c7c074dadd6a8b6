//! "Try again" (`design` decision 8): after an error, in the same browser, at most three times.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use serde_json::{Value, json};
use url::Url;

use crate::support::gateway::{Backend, TestGateway, parameter};
use crate::support::visitor::{Page, Visitor};

crate::on_both_stores!(
    decision_8_trying_again_is_a_new_window_for_the_same_member,
    decision_8_three_tries_follow_a_link_and_no_more,
    decision_8_only_the_same_browser_tries_again,
    decision_8_the_time_to_try_again_ends,
    nobody_tries_again_for_a_disabled_user,
);

async fn decision_8_trying_again_is_a_new_window_for_the_same_member(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let first = gateway.open(&visitor, &link).await;
    let page = decline(&gateway, &visitor, &first).await;
    let second = try_again(&visitor, &page).await;
    for fresh in ["state", "code_challenge"] {
        assert_ne!(
            parameter(&first, fresh),
            parameter(&second, fresh),
            "{fresh}"
        );
    }
    let before = states(&gateway, member).await;
    assert_eq!(before.len(), 2, "a window of its own");
    assert_eq!(before[0]["auth_status"], 1);
    assert_eq!(
        (&before[1]["auth_status"], &before[1]["error_reason"]),
        (&json!(3), &json!(1))
    );

    let connected = visitor.follow(&gateway.bank.code_for(&second).url()).await;
    assert_eq!(connected.name(), Some("connected"), "{}", connected.body);
    let after = states(&gateway, member).await;
    assert_eq!(after[0]["auth_status"], 2);
    assert_eq!(after[1]["auth_status"], 3, "the old one stays as it ended");
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    // The old page has nothing to press any more.
    let old = visitor.get(&page.url).await;
    assert_eq!(old.name(), Some("cancelled"));
    assert!(old.form().is_none());
    let pressed = visitor.post(&page.url, &[]).await;
    assert!(pressed.location().is_none() && pressed.status >= 400);
}

async fn decision_8_three_tries_follow_a_link_and_no_more(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let mut request = gateway.open(&visitor, &link).await;
    for _ in 0..3 {
        let page = decline(&gateway, &visitor, &request).await;
        request = try_again(&visitor, &page).await;
    }
    let page = decline(&gateway, &visitor, &request).await;
    assert!(page.form().is_none(), "no fourth time: {}", page.body);
    let pressed = visitor.post(&page.url, &[]).await;
    assert_eq!((pressed.status, pressed.name()), (410, Some("expired")));
    assert_eq!(states(&gateway, member).await.len(), 4);
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");
}

async fn decision_8_only_the_same_browser_tries_again(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let pending = format!("/oauth/result/{}", "0".repeat(32));
    assert_eq!(visitor.post(&gateway.at(&pending), &[]).await.status, 404);
    let page = decline(&gateway, &visitor, &request).await;
    let form = page.form().expect("a form");
    let stranger = gateway.visitor().post(&form, &[]).await;
    assert_eq!((stranger.status, stranger.name()), (404, Some("unknown")));
    for header in [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ] {
        let page = visitor.post_with(&form, &[], &[header]).await;
        assert_eq!((page.status, page.location()), (404, None), "{header:?}");
    }
    assert_eq!(states(&gateway, member).await.len(), 1, "nothing was begun");
    // A newer link of the member service's wins over the button.
    let path = format!("/members/{member}/oauth_window_uri");
    assert_eq!(gateway.nexus("GET", &path, None).await.0, 200);
    let late = visitor.post(&form, &[]).await;
    assert_eq!((late.status, late.name()), (410, Some("expired")));
}

async fn decision_8_the_time_to_try_again_ends(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let page = decline(&gateway, &visitor, &request).await;
    assert!(page.form().is_some());
    gateway.clock.advance(Duration::from_secs(15 * 60 + 1));
    let pressed = visitor.post(&page.form().expect("a form"), &[]).await;
    assert_eq!((pressed.status, pressed.name()), (410, Some("expired")));
    assert!(visitor.get(&page.url).await.form().is_none());
}

async fn nobody_tries_again_for_a_disabled_user(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let page = decline(&gateway, &visitor, &request).await;
    let form = page.form().expect("a form");
    gateway.disable_user(true).await;
    let pressed = visitor.post(&form, &[]).await;
    assert_eq!((pressed.status, pressed.name()), (410, Some("expired")));
    let stranger = gateway.visitor().post(&form, &[]).await;
    assert_eq!((stranger.status, stranger.name()), (404, Some("unknown")));
    gateway.disable_user(false).await;
    let again = visitor.post(&form, &[]).await;
    assert_eq!(again.status, 303, "{}", again.body);
    gateway.disable_user(true).await;
    let begun = again.location().expect("a location");
    let connected = visitor.follow(&gateway.bank.code_for(&begun).url()).await;
    assert_eq!(connected.name(), Some("connected"), "it was begun before");
    let path = format!("/users/{}/members/{member}", gateway.user);
    let (_, read) = gateway.platform("GET", &path, None).await;
    assert_eq!(read["member"]["connection_status"], "CONNECTED", "{read}");
}

/// Presses "Try again"; the authorization request it leads to.
async fn try_again(visitor: &Visitor, page: &Page) -> Url {
    let again = visitor.post(&page.form().expect("a form"), &[]).await;
    assert_eq!(again.status, 303, "{}", again.body);
    again.location().expect("a location")
}

/// Reads a member's OAuth states, newest first.
async fn states(gateway: &TestGateway, member: MemberGuid) -> Vec<Value> {
    let path = format!("/oauth_states?outbound_member_guid={member}");
    let (status, response) = gateway.nexus("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    response["oauth_states"].as_array().expect("states").clone()
}

/// Comes back from the bank having declined; the page that says so.
async fn decline(gateway: &TestGateway, visitor: &Visitor, request: &Url) -> Page {
    let refusal = gateway
        .bank
        .refusal_for(request, "access_denied", "declined");
    let page = visitor.follow(&refusal.url()).await;
    assert_eq!(
        (page.status, page.name()),
        (200, Some("cancelled")),
        "{}",
        page.body
    );
    page
}
