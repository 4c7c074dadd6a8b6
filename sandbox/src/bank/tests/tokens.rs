//! From the code to the accounts.

use std::time::{Duration, Instant};

use super::*;

#[tokio::test]
async fn a_code_works_once_and_a_second_use_revokes() {
    let world = World::start().await;
    let code = code_for(&world, "anything").await;
    let tokens = json(exchange(&world, PAGES, &code, &[]).await).await;
    let access = text(&tokens, "access_token");
    let response = read(&world, PAGES, "accounts", access).await;
    assert_eq!(response.status(), StatusCode::OK);

    let again = exchange(&world, PAGES, &code, &[]).await;
    assert_eq!(again.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json(again).await["error"], "invalid_grant");
    let response = read(&world, PAGES, "accounts", access).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(world.stats().await["codes_reused"], 1);
}

#[tokio::test]
async fn a_code_is_bound_to_verifier_address_and_institution() {
    let world = World::start().await;
    let other_verifier = "x".repeat(43);
    for change in [
        ("code_verifier", other_verifier.as_str()),
        ("redirect_uri", "http://127.0.0.1:9/other"),
        ("code", "unknown"),
    ] {
        let code = code_for(&world, "anything").await;
        let response = exchange(&world, PAGES, &code, &[change]).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{change:?}");
        assert_eq!(json(response).await["error"], "invalid_grant");
    }
    let code = code_for(&world, "anything").await;
    let response = exchange(&world, "mxcu_oauth", &code, &[]).await;
    assert_eq!(json(response).await["error"], "invalid_grant");
    for missing in ["code", "redirect_uri", "code_verifier", "grant_type"] {
        let response = exchange(&world, PAGES, &code, &[(missing, "")]).await;
        assert_eq!(
            json(response).await["error"],
            "invalid_request",
            "{missing}"
        );
    }
    let response = exchange(&world, PAGES, &code, &[("grant_type", "password")]).await;
    assert_eq!(json(response).await["error"], "unsupported_grant_type");
    assert_eq!(
        exchange(&world, PAGES, &code, &[]).await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_client_authenticates_in_exactly_one_way() {
    let world = World::start().await;
    let code = code_for(&world, "anything").await;
    let grant = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ];
    let path = format!("/{PAGES}/token");
    for credentials in [
        vec![],
        vec![("client_id", CLIENT_ID)],
        vec![("client_id", CLIENT_ID), ("client_secret", "wrong")],
        vec![("client_id", "stranger"), ("client_secret", CLIENT_SECRET)],
    ] {
        let fields: Vec<_> = grant.iter().copied().chain(credentials.clone()).collect();
        let response = post(&world, &path, &fields).await;
        assert_eq!(
            response.status(),
            StatusCode::UNAUTHORIZED,
            "{credentials:?}"
        );
        assert!(response.headers().contains_key("www-authenticate"));
        assert_eq!(json(response).await["error"], "invalid_client");
    }
    let secret = [("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
    let twice = exchange(&world, PAGES, &code, &secret).await;
    assert_eq!(json(twice).await["error"], "invalid_request");
    let other_id = exchange(&world, PAGES, &code, &[("client_id", "stranger")]).await;
    assert_eq!(json(other_id).await["error"], "invalid_client");

    let fields: Vec<_> = grant.iter().copied().chain(secret).collect();
    assert_eq!(post(&world, &path, &fields).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn refreshing_rotates_and_reuse_revokes() {
    let world = World::start().await;
    let first = tokens_for(&world, "anything").await;
    let second = json(refresh(&world, &first).await).await;
    let access = text(&second, "access_token");
    assert_ne!(text(&first, "access_token"), access);
    assert_eq!(
        read(&world, PAGES, "accounts", access).await.status(),
        StatusCode::OK
    );
    let reused = json(refresh(&world, &first).await).await;
    assert_eq!(reused["error"], "invalid_grant");
    let response = read(&world, PAGES, "accounts", access).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_says_who_signed_in() {
    let world = World::start().await;
    let mut subjects = Vec::new();
    for hint in ["", "ada", "ada"] {
        let response = authorize(&world, AUTO, &[("login_hint", hint)]).await;
        let tokens = json(exchange(&world, AUTO, &answer(&response)["code"], &[]).await).await;
        let access = text(&tokens, "access_token");
        let named = json(read(&world, AUTO, "identify", access).await).await;
        let accounts = json(read(&world, AUTO, "accounts", access).await).await;
        assert_eq!(named, serde_json::json!({ "sub": accounts["subject"] }));
        subjects.push(text(&named, "sub").to_owned());
        let elsewhere = read(&world, PAGES, "identify", access).await;
        assert_eq!(elsewhere.status(), StatusCode::UNAUTHORIZED);
    }
    assert_ne!(subjects[0], subjects[1]);
    assert_eq!(subjects[1], subjects[2]);
}

#[tokio::test]
async fn revoking_has_the_same_response_for_any_token() {
    let world = World::start().await;
    let code = code_for(&world, "anything").await;
    let tokens = json(exchange(&world, PAGES, &code, &[]).await).await;
    let access = text(&tokens, "access_token");
    let url = format!("{}/{PAGES}/revoke", world.bank);
    for token in [text(&tokens, "refresh_token"), "unknown"] {
        let request = world.http.post(&url).header("authorization", basic());
        let response = request.form(&[("token", token)]).send().await;
        assert_eq!(response.expect("a response").status(), StatusCode::OK);
    }
    let response = read(&world, PAGES, "accounts", access).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let stranger = post(&world, &format!("/{PAGES}/revoke"), &[("token", access)]).await;
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn passwords_that_spoil_the_exchange() {
    let world = World::start().await;
    let code = code_for(&world, "expired_code").await;
    let response = exchange(&world, PAGES, &code, &[]).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json(response).await["error"], "invalid_grant");

    let code = code_for(&world, "token_500").await;
    let response = exchange(&world, PAGES, &code, &[]).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let code = code_for(&world, "anything").await;
    let response = exchange(&world, PAGES, &code, &[]).await;
    assert_eq!(response.status(), StatusCode::OK, "the next attempt works");

    let code = code_for(&world, "html").await;
    let response = exchange(&world, PAGES, &code, &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    let media_type = response.headers()["content-type"].to_str().expect("text");
    assert!(media_type.starts_with("text/html"));

    let code = code_for(&world, "slow").await;
    let began = Instant::now();
    let response = exchange(&world, PAGES, &code, &[]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(began.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn passwords_that_spoil_the_accounts() {
    let world = World::start().await;
    let code = code_for(&world, "revoked").await;
    let tokens = json(exchange(&world, PAGES, &code, &[]).await).await;
    for what in ["accounts", "transactions"] {
        let response = read(&world, PAGES, what, text(&tokens, "access_token")).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    let response = read(&world, PAGES, "identify", text(&tokens, "access_token")).await;
    assert_eq!(response.status(), StatusCode::OK, "but who it is, is known");

    let response = consent(&world, PAGES, "no_accounts", 0).await;
    let code = answer(&response)["code"].clone();
    let tokens = json(exchange(&world, PAGES, &code, &[]).await).await;
    for what in ["accounts", "transactions"] {
        let response = read(&world, PAGES, what, text(&tokens, "access_token")).await;
        assert_eq!(json(response).await[what], serde_json::json!([]));
    }
}
