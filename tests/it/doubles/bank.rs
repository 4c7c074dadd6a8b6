//! The fake bank: honest where it should be, and bent exactly as it was told.

use std::time::Duration;

use reqwest::{Client, StatusCode, redirect};
use serde_json::{Value, json};
use url::Url;

use crate::support::behaviour::{Behaviour, Gate};
use crate::support::fake_bank::{CallbackParams, FakeBank, Hits, Registration};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Of [`VERIFIER`]; both are the example of RFC 7636, appendix B.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const REDIRECT_URI: &str = "http://127.0.0.1:9/back?kept=1";
const SECRET: &str = "s3c:ret/+&";
const LIMIT: Duration = Duration::from_secs(10);

async fn bank() -> FakeBank {
    let bank = FakeBank::start().await;
    bank.register(Registration {
        client_id: "app".to_owned(),
        client_secret: Some(SECRET.to_owned()),
        redirect_uri: REDIRECT_URI.to_owned(),
    });
    bank
}

fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .timeout(LIMIT)
        .build()
        .expect("an HTTP client")
}

fn authorization_request(bank: &FakeBank) -> Url {
    let mut url = bank.authorize_url();
    url.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "accounts"),
        ("state", "the-state"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    url
}

fn code(callback: &CallbackParams) -> String {
    callback.code.clone().expect("an honest answer has a code")
}

fn exchange(bank: &FakeBank, code: &str) -> reqwest::RequestBuilder {
    client().post(bank.token_url()).form(&[
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
        ("client_id", "app"),
        ("client_secret", SECRET),
    ])
}

/// The status and JSON of an exchange of a fresh code.
async fn exchanged(bank: &FakeBank) -> (StatusCode, Value) {
    let code = code(&bank.code_for(&authorization_request(bank)));
    let response = exchange(bank, &code).send().await.expect("a response");
    (response.status(), response.json().await.expect("JSON"))
}

#[tokio::test]
async fn a_code_is_exchanged_once_and_its_tokens_can_be_refreshed_and_revoked() {
    let bank = bank().await;
    let callback = bank.code_for(&authorization_request(&bank));
    assert_eq!(callback.state.as_deref(), Some("the-state"));
    assert_eq!(callback.iss, Some(bank.issuer()));
    let query = callback.url().query().expect("a query").to_owned();
    assert!(query.starts_with("kept=1&code="), "{query}");

    let basic = client()
        .post(bank.token_url())
        .basic_auth("app", Some("s3c%3Aret%2F%2B%26"))
        .form(&[
            ("grant_type", "authorization_code"),
            ("code", &code(&callback)),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
        ]);
    let tokens: Value = basic.send().await.unwrap().json().await.unwrap();
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["scope"], "accounts");
    let refresh = tokens["refresh_token"].as_str().expect("a refresh token");
    assert!(bank.honours(tokens["access_token"].as_str().unwrap()));

    let post = |url: Url, name: &str, value: &str, grant: &str| {
        let credentials = [("client_id", "app"), ("client_secret", SECRET)];
        let form = [
            credentials[0],
            credentials[1],
            ("grant_type", grant),
            (name, value),
        ];
        client().post(url).form(&form).send()
    };
    let renewed = post(bank.token_url(), "refresh_token", refresh, "refresh_token").await;
    let renewed: Value = renewed.unwrap().json().await.unwrap();
    assert!(!bank.honours(refresh), "refresh tokens rotate");
    let newest = renewed["refresh_token"].as_str().expect("a refresh token");
    let revoked = post(bank.revoke_url(), "token", newest, "").await.unwrap();
    assert_eq!(revoked.status(), 200);
    assert_eq!(bank.live_tokens(), 0);

    let seen = bank.token_requests();
    assert_eq!(seen[0].method, "POST");
    assert_eq!(seen[0].field("code"), callback.code);
    assert!(seen[0].header("authorization").is_some());
    let hits = Hits {
        authorize: 1,
        token: 2,
        revoke: 1,
    };
    assert_eq!(bank.hits(), hits);
}

#[tokio::test]
async fn a_code_used_twice_takes_its_tokens_along() {
    let bank = bank().await;
    let code = code(&bank.code_for(&authorization_request(&bank)));
    assert_eq!(exchange(&bank, &code).send().await.unwrap().status(), 200);
    assert_eq!(bank.live_tokens(), 2);
    let again = exchange(&bank, &code).send().await.unwrap();
    assert_eq!(again.status(), 400);
    assert_eq!(
        again.json::<Value>().await.unwrap()["error"],
        "invalid_grant"
    );
    assert_eq!(bank.live_tokens(), 0);
}

#[tokio::test]
async fn an_exchange_with_one_thing_wrong_is_refused() {
    let wrong = [
        (
            "code_verifier",
            "another-verifier-that-is-long-enough-to-be-one",
            "invalid_grant",
        ),
        ("redirect_uri", "http://127.0.0.1:9/back", "invalid_grant"),
        ("code", "unknown", "invalid_grant"),
        ("client_secret", "guessed", "invalid_client"),
        ("client_id", "other", "invalid_client"),
        ("grant_type", "password", "unsupported_grant_type"),
    ];
    let bank = bank().await;
    for (field, value, error) in wrong {
        let code = code(&bank.code_for(&authorization_request(&bank)));
        let right = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
            ("client_id", "app"),
            ("client_secret", SECRET),
        ];
        let form = right.map(|(name, old)| (name, if name == field { value } else { old }));
        let response = client().post(bank.token_url()).form(&form).send().await;
        let response: Value = response.unwrap().json().await.unwrap();
        assert_eq!(response["error"], error, "{field}");
    }
    assert_eq!(bank.live_tokens(), 0);
}

#[tokio::test]
async fn a_browser_at_the_bank_is_sent_back_with_a_code_or_told_why_not() {
    let bank = bank().await;
    let visit = client()
        .get(authorization_request(&bank))
        .send()
        .await
        .unwrap();
    assert_eq!(visit.status(), 303);
    let location = visit.headers()["location"].to_str().unwrap();
    assert!(location.starts_with(REDIRECT_URI), "{location}");

    let request = authorization_request(&bank);
    let spoilt = [
        ("S256", "plain"),
        (CHALLENGE, "short"),
        ("client_id=app", "client_id=other"),
        ("kept", "lost"),
        ("response_type=code", "response_type=token"),
    ];
    for (right, wrong) in spoilt {
        let address = request.as_str().replace(right, wrong);
        let visit = client().get(&address).send().await.unwrap();
        assert_eq!(visit.status(), 400, "{address}");
    }
    let refused = bank.refusal_for(&request, "access_denied", "no & thanks");
    let query = refused.url().query().expect("a query").to_owned();
    assert!(
        query.contains("error=access_denied&error_description=no+%26+thanks"),
        "{query}"
    );
}

#[tokio::test]
async fn the_token_endpoint_changes_its_response_as_told() {
    let bank = bank().await;
    bank.next_token(Behaviour::With("expires_in", json!("3600")));
    assert_eq!(exchanged(&bank).await.1["expires_in"], json!("3600"));
    bank.next_token(Behaviour::Without("scope"));
    assert_eq!(exchanged(&bank).await.1.get("scope"), None);
    bank.next_token(Behaviour::invalid_grant());
    assert_eq!(exchanged(&bank).await.0, 400);
    bank.next_token(Behaviour::invalid_client());
    assert_eq!(exchanged(&bank).await.0, 401);
    bank.next_token(Behaviour::Huge(1 << 20));
    assert_eq!(
        exchanged(&bank).await.1["padding"].as_str().unwrap().len(),
        1 << 20
    );
    assert_eq!(exchanged(&bank).await.0, 200);
}

/// The head and the whole body of the response to the next exchange.
async fn raw(
    bank: &FakeBank,
    behaviour: Behaviour,
) -> (StatusCode, String, reqwest::Result<String>) {
    bank.on_token(behaviour);
    let code = code(&bank.code_for(&authorization_request(bank)));
    let response = exchange(bank, &code).send().await.expect("a response");
    let status = response.status();
    let headers = format!("{:?}", response.headers());
    (status, headers, response.text().await)
}

#[tokio::test]
async fn the_token_endpoint_says_what_no_honest_one_would() {
    let bank = bank().await;
    let (status, _, body) = raw(&bank, Behaviour::unavailable()).await;
    assert_eq!(
        (status.as_u16(), body.unwrap().as_str()),
        (503, "down for maintenance")
    );
    let (status, headers, _) = raw(&bank, Behaviour::Redirect(307, bank.revoke_url())).await;
    assert_eq!(status, 307);
    assert!(headers.contains(bank.revoke_url().as_str()), "{headers}");
    let (status, headers, _) = raw(&bank, Behaviour::Html).await;
    assert_eq!(status, 200);
    assert!(headers.contains("text/html"), "{headers}");
    let (_, _, body) = raw(&bank, Behaviour::DuplicateAccessToken).await;
    assert_eq!(body.unwrap().matches("\"access_token\"").count(), 2);
    let (_, _, body) = raw(&bank, Behaviour::Deep(10_000)).await;
    assert!(body.unwrap().contains(&"[".repeat(10_000)));
    let (_, headers, _) = raw(&bank, Behaviour::GzipBomb).await;
    assert!(headers.contains("gzip"), "{headers}");
    let (status, _, body) = raw(&bank, Behaviour::CutShort).await;
    assert_eq!(status, 200);
    assert!(body.is_err(), "half a body is an error");

    bank.on_token(Behaviour::HangUp);
    let code = code(&bank.code_for(&authorization_request(&bank)));
    exchange(&bank, &code).send().await.expect_err("no answer");
    // The code was exchanged, as at a bank whose response was lost on the way.
    assert_eq!(exchange_again(&bank, &code).await["error"], "invalid_grant");
}

async fn exchange_again(bank: &FakeBank, code: &str) -> Value {
    bank.on_token(Behaviour::Honest);
    let response = exchange(bank, code).send().await.expect("a response");
    response.json().await.expect("JSON")
}

#[tokio::test]
async fn a_held_response_comes_when_the_gate_opens() {
    let bank = bank().await;
    let gate = Gate::closed();
    bank.on_token(Behaviour::Hold(gate.clone()));
    let code = code(&bank.code_for(&authorization_request(&bank)));
    let mut waiting = tokio::spawn(exchange(&bank, &code).send());
    bank.wait_for_token_requests(1, LIMIT).await;
    let held = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
    assert!(held.is_err(), "it answered through a closed gate");
    gate.open();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_dripping_response_starts_but_does_not_end_in_time() {
    let bank = bank().await;
    bank.on_token(Behaviour::Drip);
    let code = code(&bank.code_for(&authorization_request(&bank)));
    let response = exchange(&bank, &code).timeout(Duration::from_millis(300));
    let response = response.send().await.expect("the head comes at once");
    assert!(response.text().await.unwrap_err().is_timeout());
}

#[tokio::test]
async fn the_revocation_endpoint_can_fail() {
    let bank = bank().await;
    bank.on_revoke(Behaviour::unavailable());
    let refused = client().post(bank.revoke_url()).send().await.unwrap();
    assert_eq!(refused.status(), 503);
    bank.wait_for_revoke_requests(1, LIMIT).await;
}

#[tokio::test]
async fn pkce_is_demanded_until_it_is_made_optional() {
    let bank = bank().await;
    let request = authorization_request(&bank);
    let without = request.as_str().replace("code_challenge", "unheard_of");
    let visit = async || client().get(&without).send().await.unwrap().status();
    assert_eq!(visit().await, 400);
    bank.make_pkce_optional();
    assert_eq!(visit().await, 303);

    let code = code(&bank.code_for(&Url::parse(&without).unwrap()));
    let with_verifier = exchange(&bank, &code).send().await.unwrap();
    assert_eq!(with_verifier.status(), 400, "a verifier nobody announced");
}
