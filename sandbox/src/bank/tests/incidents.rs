//! How connections are lost: each incident that a password plays, and the one that has a switch.

use axum::Router;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::SignedDuration;

use super::*;
use crate::tests::until;
use crate::wire::now;

/// Whether the accounts can be read with the access token of `tokens`.
async fn reads(world: &World, tokens: &Value) -> StatusCode {
    let access = text(tokens, "access_token");
    read(world, PAGES, "accounts", access).await.status()
}

/// Waits until the access token of `tokens` has ended.
async fn ended(world: &World, tokens: &Value) {
    until(async || (reads(world, tokens).await == StatusCode::UNAUTHORIZED).then_some(())).await;
}

#[tokio::test]
async fn access_tokens_live_as_long_as_the_password_or_the_institution_says() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "anything").await;
    assert_eq!(tokens["expires_in"], 3_600);
    let tokens = tokens_for(&world, "anything:1").await;
    assert_eq!(tokens["expires_in"], 1);
    ended(&world, &tokens).await;
    let tokens = json(refresh(&world, &tokens).await).await;
    assert_eq!(tokens["expires_in"], 1);
    assert_eq!(reads(&world, &tokens).await, StatusCode::OK);

    let world = World::with(Router::new(), |settings| {
        for institution in &mut settings.institutions {
            institution.access_life = SignedDuration::from_secs(90);
        }
    })
    .await;
    let tokens = tokens_for(&world, "anything").await;
    assert_eq!(tokens["expires_in"], 90);
    let tokens = tokens_for(&world, "anything:120").await;
    assert_eq!(tokens["expires_in"], 120);
}

/// A refresh that must be refused with `invalid_grant`.
async fn refused(world: &World, tokens: &Value) {
    let response = refresh(world, tokens).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json(response).await["error"], "invalid_grant");
}

/// A refresh that must bring an access token that works.
async fn refreshed(world: &World, tokens: &Value) -> Value {
    let response = refresh(world, tokens).await;
    assert_eq!(response.status(), StatusCode::OK);
    let fresh = json(response).await;
    assert_ne!(fresh["access_token"], tokens["access_token"]);
    assert_eq!(reads(world, &fresh).await, StatusCode::OK);
    fresh
}

#[tokio::test]
async fn refresh_500_once() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "refresh_500_once").await;
    let response = refresh(&world, &tokens).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let tokens = refreshed(&world, &tokens).await;
    refreshed(&world, &tokens).await;
}

#[tokio::test]
async fn rotate_then_500_and_rotate_then_504() {
    let world = World::start().await;
    for (password, status) in [
        ("rotate_then_500", StatusCode::INTERNAL_SERVER_ERROR),
        ("rotate_then_504", StatusCode::GATEWAY_TIMEOUT),
    ] {
        let tokens = tokens_for(&world, password).await;
        assert_eq!(refresh(&world, &tokens).await.status(), status);
        assert_eq!(reads(&world, &tokens).await, StatusCode::OK);
        refused(&world, &tokens).await;
        refused(&world, &tokens).await;
    }
}

#[tokio::test]
async fn rotate_then_hang() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "rotate_then_hang").await;
    let hanging = refresh(&world, &tokens);
    let asked = until(async || (world.stats().await["token"] == 2).then_some(()));
    tokio::select! {
        _ = hanging => panic!("there was a response"),
        () = asked => {}
    }
    // The client has gone away, and its refresh token has been used up.
    refused(&world, &tokens).await;
}

#[tokio::test]
async fn rotate_bad_id_token() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "rotate_bad_id_token").await;
    assert!(tokens.get("id_token").is_none());
    let fresh = refreshed(&world, &tokens).await;
    let parts: Vec<_> = text(&fresh, "id_token").split('.').collect();
    let [head, claims, signature] = parts[..] else {
        panic!("no JWT: {parts:?}");
    };
    let decoded = |part: &str| -> Value {
        let part = URL_SAFE_NO_PAD.decode(part).expect("Base64");
        serde_json::from_slice(&part).expect("JSON")
    };
    assert_eq!(decoded(head)["alg"], "PS256");
    assert_eq!(decoded(claims)["iss"], format!("{}/{PAGES}", world.bank));
    assert_eq!(decoded(claims)["aud"], CLIENT_ID);
    assert_eq!(signature.len(), 43, "and not the 342 of a PS256 signature");
    refreshed(&world, &fresh).await;
}

#[tokio::test]
async fn no_rotation() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "no_rotation").await;
    for _ in 0..2 {
        let fresh = refreshed(&world, &tokens).await;
        assert!(fresh.get("refresh_token").is_none());
    }
}

#[tokio::test]
async fn two_live_refresh_tokens() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "two_live_refresh_tokens").await;
    let second = refreshed(&world, &tokens).await;
    assert_ne!(second["refresh_token"], tokens["refresh_token"]);
    refreshed(&world, &tokens).await;
    refreshed(&world, &second).await;
}

#[tokio::test]
async fn no_refresh_token() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "no_refresh_token").await;
    assert!(tokens.get("refresh_token").is_none());
    assert_eq!(reads(&world, &tokens).await, StatusCode::OK);
}

#[tokio::test]
async fn no_expires_in() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "no_expires_in:1").await;
    assert!(tokens.get("expires_in").is_none());
    ended(&world, &tokens).await;
    let fresh = refreshed(&world, &tokens).await;
    assert!(fresh.get("expires_in").is_none());
}

/// When it ends is for the ledger's own test, which need not wait for it.
#[tokio::test]
async fn short_consent() {
    let world = World::start().await;
    let before = now().as_second() + 90;
    let tokens = tokens_for(&world, "short_consent").await;
    let after = now().as_second() + 90;
    let end = tokens["consent_expires_at"].as_i64().expect("seconds");
    assert!((before..=after).contains(&end), "{end}");
    let detail = &tokens["authorization_details"][0];
    assert_eq!(detail["type"], "account_information");
    let told: jiff::Timestamp = text(detail, "expires_at").parse().expect("a time");
    assert_eq!(told.as_second(), end);
    let fresh = refreshed(&world, &tokens).await;
    assert_eq!(fresh["consent_expires_at"], end);
}

#[tokio::test]
async fn revoked_there() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "revoked_there").await;
    assert_eq!(reads(&world, &tokens).await, StatusCode::OK);
    let response = refresh(&world, &tokens).await;
    assert_eq!(response.status(), StatusCode::OK);
    let fresh = json(response).await;
    assert_eq!(reads(&world, &fresh).await, StatusCode::UNAUTHORIZED);
    assert_eq!(reads(&world, &tokens).await, StatusCode::UNAUTHORIZED);
    refused(&world, &fresh).await;

    let tokens = tokens_for(&world, "revoked_there:1").await;
    ended(&world, &tokens).await;
    refused(&world, &tokens).await;
}

#[tokio::test]
async fn refuse_pull_once() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "refuse_pull_once").await;
    let access = text(&tokens, "access_token");
    for what in ["accounts", "transactions"] {
        let response = read(&world, PAGES, what, access).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    let response = read(&world, PAGES, "identify", access).await;
    assert_eq!(response.status(), StatusCode::OK, "but who it is, is known");
    refreshed(&world, &tokens).await;
    assert_eq!(reads(&world, &tokens).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn over_quota() {
    let world = World::start().await;
    let mut tokens = tokens_for(&world, "over_quota").await;
    for _ in 0..2 {
        let access = text(&tokens, "access_token");
        for what in ["accounts", "transactions"] {
            let response = read(&world, PAGES, what, access).await;
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(response.headers()["retry-after"], "3600");
        }
        tokens = json(refresh(&world, &tokens).await).await;
    }
}

/// Switches whether the institution refuses everybody.
async fn refuse_all(world: &World, institution: &str, on: bool) -> StatusCode {
    let url = format!("{}/{institution}/sandbox/refuse_all", world.bank);
    let request = world.http.post(url).json(&serde_json::json!({ "on": on }));
    request.send().await.expect("a response").status()
}

#[tokio::test]
async fn refuse_all_refuses_everybody_for_a_while() {
    let world = World::start().await;
    let people = [
        tokens_for(&world, "anything").await,
        tokens_for(&world, "no_rotation").await,
    ];
    assert_eq!(
        refuse_all(&world, "mxcu_oauth", true).await,
        StatusCode::NO_CONTENT
    );
    let fresh = refreshed(&world, &people[1]).await;
    assert_eq!(
        reads(&world, &fresh).await,
        StatusCode::OK,
        "it is elsewhere"
    );

    assert_eq!(
        refuse_all(&world, PAGES, true).await,
        StatusCode::NO_CONTENT
    );
    for tokens in &people {
        refused(&world, tokens).await;
        refused(&world, tokens).await;
        assert_eq!(reads(&world, tokens).await, StatusCode::OK);
    }
    assert_eq!(
        refuse_all(&world, PAGES, false).await,
        StatusCode::NO_CONTENT
    );
    for tokens in &people {
        refreshed(&world, tokens).await;
    }
    assert_eq!(
        refuse_all(&world, "mxbank", true).await,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_statistics_say_what_became_of_refreshes_and_revocations() {
    let world = World::start().await;
    let tokens = tokens_for(&world, "refresh_500_once").await;
    refresh(&world, &tokens).await;
    refreshed(&world, &tokens).await;
    refused(&world, &tokens).await;
    refused(&world, &tokens).await;
    let tokens = tokens_for(&world, "rotate_then_500").await;
    refresh(&world, &tokens).await;
    for _ in 0..2 {
        let url = format!("{}/{PAGES}/revoke", world.bank);
        let request = world.http.post(url).header("authorization", basic());
        let form = [("token", text(&tokens, "refresh_token"))];
        request.form(&form).send().await.expect("a response");
    }
    let stats = world.stats().await;
    for (name, count) in [
        ("refresh", 5),
        ("refreshes_granted", 2),
        ("refreshes_refused", 2),
        ("refreshes_reused", 1),
        ("revoke", 2),
        ("revocations", 1),
    ] {
        assert_eq!(stats[name], count, "{name}: {stats}");
    }
}
