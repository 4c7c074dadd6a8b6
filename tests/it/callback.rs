//! The authorization response (`security` section 1.4): which attempt it belongs to, and how often it
//! counts.

use std::time::Duration;

use serde_json::json;

use crate::support::at_the_bank::{AtTheBank, is_refused};
use crate::support::fake_bank::CallbackParams;
use crate::support::gateway::{Backend, FORM_BANK, RIVAL, parameter};
use crate::support::random_token;

crate::on_both_stores!(
    c1_a_response_without_an_attempt_reaches_no_bank,
    c2_a_repeated_response_shows_the_first_outcome,
    c18_late_superseded_and_cancelled_responses_change_nothing,
    c19_a_response_moves_to_a_clean_address,
    c20_looking_at_the_callback_has_no_effect,
);

async fn c1_a_response_without_an_attempt_reaches_no_bank(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    let state = at.response.state.clone().expect("a state");
    let turned: String = state.chars().rev().collect();
    for wrong in [
        None,
        Some(String::new()),
        Some("x".to_owned()),
        Some(format!("{}{}", &state[..2], random_token())),
        Some(format!("0{}", &state)),
        Some(format!("{state} ")),
        Some(turned),
        Some(state[..44].to_owned()),
        Some("ff".to_owned() + &state[2..]),
    ] {
        let response = CallbackParams {
            state: wrong.clone(),
            ..at.response.clone()
        };
        at.refuses(&response.url(), &format!("{wrong:?}")).await;
    }
    // Ours, but at another registration's address (`security` C8, C9).
    for path in [
        format!("/oauth/redirect_from/{RIVAL}/fake_bank"),
        format!("/oauth/redirect_from/acme/{FORM_BANK}"),
        "/oauth/redirect_from/acme/paper_bank".to_owned(),
        "/oauth/redirect_from/nobody/fake_bank".to_owned(),
        "/oauth/redirect_from/acme/no_bank".to_owned(),
    ] {
        let redirect_uri = at.gateway.at(&path);
        let response = CallbackParams {
            redirect_uri,
            ..at.response.clone()
        };
        is_refused(&at.visitor.get(&response.url()).await, &path);
    }
    at.still_connects().await;
}

async fn c2_a_repeated_response_shows_the_first_outcome(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    for _ in 0..3 {
        let page = at.visitor.follow(&at.response.url()).await;
        assert_eq!(
            (page.status, page.name()),
            (200, Some("connected")),
            "{}",
            page.body
        );
    }
    // Not even another response with the same state counts any more.
    let another = CallbackParams {
        code: Some("another-code".to_owned()),
        ..at.response.clone()
    };
    assert_eq!(
        at.visitor.follow(&another.url()).await.name(),
        Some("connected")
    );
    let refusal = CallbackParams {
        code: None,
        error: Some(("access_denied".to_owned(), String::new())),
        ..at.response.clone()
    };
    assert_eq!(
        at.visitor.follow(&refusal.url()).await.name(),
        Some("connected")
    );
    // Somebody else sees neither the outcome nor undoes it.
    let page = at.gateway.visitor().follow(&at.response.url()).await;
    assert_eq!((page.status, page.name()), (400, Some("wrong-browser")));
    assert!(!page.body.contains("shared"), "it was: {}", page.body);
    assert_eq!(at.gateway.bank.hits().token, 1);
    assert_eq!(at.gateway.bank.hits().revoke, 0);
    assert_eq!(
        at.gateway.read(at.member).await["connection_status"],
        "CONNECTED"
    );
}

async fn c18_late_superseded_and_cancelled_responses_change_nothing(backend: Backend) {
    let late = AtTheBank::new(backend).await;
    late.gateway.clock.advance(Duration::from_secs(15 * 60 + 1));
    let page = late.visitor.follow(&late.response.url()).await;
    assert_eq!(page.name(), Some("expired"), "late: {}", page.body);
    nothing_came_of_it(&late).await;

    let superseded = AtTheBank::new(backend).await;
    let path = format!("/members/{}/oauth_window_uri", superseded.member);
    assert_eq!(superseded.gateway.nexus("GET", &path, None).await.0, 200);
    let page = superseded.visitor.follow(&superseded.response.url()).await;
    assert_eq!(page.name(), Some("superseded"), "{}", page.body);
    assert_eq!(superseded.gateway.bank.hits().token, 0);
    assert_eq!(
        superseded.gateway.state(superseded.member).await["auth_status"],
        1,
        "the newer one waits"
    );

    // Decision 11.
    let deleted = AtTheBank::new(backend).await;
    let state = deleted.gateway.state(deleted.member).await["guid"].clone();
    let path = format!("/members/{}", deleted.member);
    assert_eq!(deleted.gateway.nexus("DELETE", &path, None).await.0, 200);
    let page = deleted.visitor.follow(&deleted.response.url()).await;
    assert_eq!(page.name(), Some("expired"), "{}", page.body);
    assert_eq!(deleted.gateway.bank.hits().token, 0);
    assert_eq!(deleted.gateway.nexus("GET", &path, None).await.0, 404);
    let path = format!("/oauth_states/{}", state.as_str().expect("a guid"));
    let (status, response) = deleted.gateway.nexus("GET", &path, None).await;
    assert_eq!(status, 200, "it stays readable: {response}");
    let state = &response["oauth_state"];
    assert_eq!(
        (&state["auth_status"], &state["error_reason"]),
        (&json!(3), &json!(6))
    );
}

async fn nothing_came_of_it(at: &AtTheBank) {
    assert_eq!(at.gateway.bank.hits().token, 0);
    assert_eq!(
        at.gateway.read(at.member).await["connection_status"],
        "PENDING"
    );
    let state = at.gateway.state(at.member).await;
    assert_eq!(
        (&state["auth_status"], &state["error_reason"]),
        (&json!(3), &json!(6)),
        "{state}"
    );
}

async fn c19_a_response_moves_to_a_clean_address(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    let answered = at.visitor.get(&at.response.url()).await;
    assert_eq!(answered.status, 303);
    assert_eq!(answered.header("cache-control"), Some("no-store"));
    assert_eq!(answered.header("referrer-policy"), Some("no-referrer"));
    assert!(
        answered.header("cross-origin-opener-policy").is_none(),
        "a popup keeps its opener"
    );
    let raw = answered.header("location").expect("a location");
    assert!(
        raw.ends_with('#'),
        "a bare # drops what the bank left: {raw}"
    );
    let clean = answered.location().expect("a URL");
    assert_eq!(clean.origin(), at.gateway.url.origin());
    assert!(clean.path().starts_with("/oauth/result/") && clean.query().is_none());
    let secrets =
        [at.response.code.clone(), at.response.state.clone()].map(|s| s.expect("a value"));
    let shown = at.visitor.get(&clean).await;
    for secret in &secrets {
        assert!(!clean.as_str().contains(secret) && !answered.body.contains(secret));
        assert!(!shown.body.contains(secret));
    }
    for _ in 0..3 {
        assert_eq!(
            at.visitor.get(&clean).await.name(),
            Some("connected"),
            "a reload"
        );
    }
    assert_eq!(at.gateway.bank.hits().token, 1);
    // The outcome is its own browser's (decision 5).
    let other = at.gateway.visitor().get(&clean).await;
    assert_eq!((other.status, other.name()), (400, Some("wrong-browser")));
    let unknown = at
        .gateway
        .at("/oauth/result/00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(at.visitor.get(&unknown).await.name(), Some("unknown"));
    assert!(parameter(&clean, "status").is_none());
}

async fn c20_looking_at_the_callback_has_no_effect(backend: Backend) {
    let at = AtTheBank::new(backend).await;
    let url = at.response.url();
    for headers in [
        &[("sec-purpose", "prefetch")][..],
        &[
            ("sec-purpose", "prefetch;prerender"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ],
        &[("purpose", "prefetch")],
        &[("x-moz", "prefetch")],
        &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        &[("user-agent", "Slackbot-LinkExpanding 1.0")],
    ] {
        // Neither in its own browser nor in another, where a real visit would burn it.
        for visitor in [&at.visitor, &at.gateway.visitor()] {
            let page = visitor.get_with(&url, headers).await;
            assert!(
                page.location().is_none() && page.cookies().is_empty(),
                "{headers:?}"
            );
            assert!(matches!(page.status, 200 | 503), "{headers:?}");
        }
    }
    for visitor in [&at.visitor, &at.gateway.visitor()] {
        let page = visitor.send("HEAD", &url, &[], None).await;
        assert_eq!((page.status, page.location()), (200, None));
    }
    assert_eq!(at.gateway.bank.hits().revoke, 0);
    at.still_connects().await;
}
