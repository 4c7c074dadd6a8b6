//! What the strict bank does honestly, from the request to the tokens.

use serde_json::json;

use super::client::{NONCE, SECRET, STATE, Tried, having, with};
use crate::support::gateway::{Backend, Setup, TestGateway};
use crate::support::strict_bank::grants::challenge;
use crate::support::strict_bank::jws::{Algorithm, Jws, SigningKey};
use crate::support::strict_bank::{
    Authentication, ClientKeys, Place, Rules, STRICT_GUID, Strict, StrictBank,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_connects_at_the_strict_bank() {
    let bank = StrictBank::start(Rules::default()).await;
    let setup = Setup {
        strict: Some(Strict::by_secret(&bank)),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let body = json!({"member": {"institution_guid": STRICT_GUID, "is_oauth": true}});
    let (member, link) = gateway.member_with(body).await;
    let page = bank.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{:?}", bank.refusals());
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    assert_eq!(bank.requests(Place::Token).len(), 1);
}

#[tokio::test]
async fn the_challenge_is_that_of_the_standard() {
    // RFC 7636, appendix B.
    let challenged = challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    assert_eq!(challenged, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}

#[tokio::test]
async fn a_pushed_request_by_private_key_jwt_gives_tokens_and_an_id_token() {
    let rules = Rules {
        pushed_only: true,
        issuer_path: "/tenant",
        ..Rules::default()
    };
    let tried = Tried::at(rules).await;
    let pushed = tried.push(&tried.parameters()).await;
    assert_eq!(
        (pushed.status, &pushed.json["expires_in"]),
        (201, &json!(60)),
        "{}",
        pushed.body
    );
    let name = pushed.text("request_uri");
    let shown = vec![
        ("client_id".to_owned(), super::client::CLIENT_ID.to_owned()),
        ("request_uri".to_owned(), name.to_owned()),
    ];
    let brought = tried.agreed(&shown).await;
    assert_eq!(brought.value("state"), Some(STATE));
    assert_eq!(brought.value("iss"), Some(tried.bank.issuer().as_str()));
    assert_eq!(brought.value("kept"), Some("1"));
    // It serves once.
    let (status, why) = tried.visit(&shown).await;
    assert!(status == 400 && why.contains("used before"), "{why}");
    // And no other way leads there.
    let (status, why) = tried.visit(&tried.parameters()).await;
    assert!(status == 400 && why.contains("not pushed"), "{why}");

    let tokens = tried.exchange(brought.value("code").expect("a code")).await;
    assert_eq!(tokens.status, 200, "{}", tokens.body);
    assert_eq!(tokens.text("token_type"), "Bearer");
    let id_token = Jws::parse(tokens.text("id_token")).expect("a JWS");
    let key = tried
        .published(&id_token.header["kid"])
        .await
        .expect("a key");
    assert!(id_token.is_of(&key));
    assert_eq!(id_token.text("iss"), Some(tried.bank.issuer().as_str()));
    assert_eq!(id_token.text("aud"), Some(super::client::CLIENT_ID));
    assert_eq!(id_token.text("nonce"), Some(NONCE));
    let known = tried.bank.introspection(tokens.text("access_token"));
    assert_eq!(
        (&known["active"], &known["sub"]),
        (&json!(true), &json!("ada"))
    );
}

#[tokio::test]
async fn a_pushed_request_ends_after_a_minute() {
    let tried = Tried::at(Rules::default()).await;
    let pushed = tried.push(&tried.parameters()).await;
    let shown = with(Vec::new(), "client_id", super::client::CLIENT_ID);
    let shown = with(shown, "request_uri", pushed.text("request_uri"));
    let clock = tried.bank.clock();
    clock.advance(std::time::Duration::from_secs(60));
    let (status, why) = tried.visit(&shown).await;
    assert!(status == 400 && why.contains("expired"), "{why}");
}

#[tokio::test]
async fn a_request_with_one_thing_wrong_is_refused_and_named() {
    let tried = Tried::at(Rules::default()).await;
    let wrong = [
        ("response_type", "token", "response_type"),
        ("response_type", "code id_token", "response_type"),
        ("response_mode", "fragment", "response_mode"),
        ("client_id", "other", "client_id other is unknown"),
        ("redirect_uri", "http://127.0.0.1:9/back", "redirect_uri"),
        ("nonce", "", "nonce is missing"),
        ("nonce", &"x".repeat(65), "nonce is empty or longer"),
        ("code_challenge", "", "code_challenge"),
        ("code_challenge", "short", "code_challenge"),
        ("code_challenge_method", "plain", "code_challenge_method"),
        ("client_secret", SECRET, "client_secret is shown"),
        (
            "authorization_details",
            "[]",
            "authorization_details is shown",
        ),
    ];
    for (name, value, words) in wrong {
        let (status, why) = tried.visit(&with(tried.parameters(), name, value)).await;
        assert!(
            status >= 400 && why.contains(words),
            "{name} {value}: {status} {why}"
        );
        // Pushed, it is no better.
        if !["client_id", "client_secret", "authorization_details"].contains(&name) {
            let pushed = tried.push(&with(tried.parameters(), name, value)).await;
            assert!(
                pushed.status >= 400 && pushed.body.contains(words),
                "{}",
                pushed.body
            );
        }
    }
    let mut twice = tried.parameters();
    twice.push(("scope".to_owned(), "accounts".to_owned()));
    let (status, why) = tried.visit(&twice).await;
    assert!(
        status == 400 && why.contains("scope is there twice"),
        "{why}"
    );
    assert!(tried.bank.refusals().last().expect("one").contains("twice"));
}

#[tokio::test]
async fn an_assertion_with_one_thing_wrong_is_refused_and_named() {
    let tried = Tried::at(Rules::default()).await;
    let issuer = tried.bank.issuer();
    let now = tried.now();
    let stranger = SigningKey::generate(Algorithm::ES256);
    let signed = |claims| tried.key.sign(json!({}), &claims);
    let used = signed(having(tried.claims(), "jti", json!("once")));
    let fine = signed(tried.claims());
    let mut bent = fine.clone();
    let last = bent.rfind('.').expect("a signature") + 2;
    let other = if &bent[last..=last] == "A" { "B" } else { "A" };
    bent.replace_range(last..=last, other);
    let token_endpoint = tried.bank.url(Place::Token);
    let wrong = [
        (used.clone(), ""),
        (used, "jti was used before"),
        (
            signed(having(tried.claims(), "jti", json!(null))),
            "jti is missing",
        ),
        (signed(having(tried.claims(), "iss", json!("other"))), "iss"),
        (
            signed(having(tried.claims(), "sub", json!("other"))),
            "client_id",
        ),
        (
            signed(having(tried.claims(), "aud", json!(token_endpoint))),
            "aud",
        ),
        (
            signed(having(tried.claims(), "aud", json!([issuer]))),
            "aud",
        ),
        (
            signed(having(tried.claims(), "aud", json!(format!("{issuer}/")))),
            "aud",
        ),
        (
            signed(having(tried.claims(), "iat", json!(null))),
            "iat or exp",
        ),
        (
            signed(having(tried.claims(), "iat", json!(now + 100))),
            "iat is not now",
        ),
        (
            signed(having(tried.claims(), "exp", json!(now - 100))),
            "exp has passed",
        ),
        (
            signed(having(tried.claims(), "exp", json!(now + 400))),
            "five minutes",
        ),
        (
            signed(having(tried.claims(), "exp", json!("soon"))),
            "iat or exp",
        ),
        (
            signed(having(tried.claims(), "nbf", json!(now + 100))),
            "nbf",
        ),
        (
            tried.key.sign(json!({"kid": null}), &tried.claims()),
            "kid is missing",
        ),
        (
            tried.key.sign(json!({"kid": "x"}), &tried.claims()),
            "kid is not",
        ),
        (
            tried.key.sign(json!({"alg": "none"}), &tried.claims()),
            "alg is none of",
        ),
        (
            tried.key.sign(json!({"alg": "PS256"}), &tried.claims()),
            "another alg",
        ),
        (
            stranger.sign(json!({"kid": tried.key.kid}), &tried.claims()),
            "signature",
        ),
        (bent, "signature"),
        ("no-assertion".to_owned(), "no JWS"),
        (fine, ""),
    ];
    for (assertion, words) in wrong {
        let form = with(tried.proof_of_client(), "client_assertion", &assertion);
        let form = with(form, "token", "unknown");
        let said = tried.send(Place::Revoke, &form, &[]).await;
        match words {
            "" => assert_eq!(said.status, 200, "{}", said.body),
            _ => assert!(
                said.status == 401 && said.body.contains(words),
                "{words}: {}",
                said.body
            ),
        }
    }
}

#[tokio::test]
async fn each_way_of_authentication_is_accepted_and_none_beside_it() {
    let secret = || SECRET.to_owned();
    for authentication in [
        Authentication::None,
        Authentication::Basic(secret()),
        Authentication::Post(secret()),
        Authentication::SecretJwt(secret()),
        Authentication::PrivateKeyJwt,
    ] {
        let name = authentication.name();
        let tried = Tried::by(Rules::default(), authentication).await;
        let code = tried.code().await;
        // One way more than registered: refused, and the code is not spent.
        let mut beside = vec![
            ("client_secret", "another"),
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", super::client::REDIRECT_URI),
            ("code_verifier", super::client::VERIFIER),
        ];
        if name == "client_secret_post" {
            beside[0] = ("client_assertion", "a");
        }
        let said = tried.post(Place::Token, &beside).await;
        assert!(
            said.status == 401 && said.body.contains("was shown"),
            "{name}: {}",
            said.body
        );
        let said = tried.exchange(&code).await;
        assert_eq!(said.status, 200, "{name}: {}", said.body);
        // Another secret, or none, is none.
        if tried.authentication.secret().is_some() {
            let guess = match &tried.authentication {
                Authentication::Basic(_) => Authentication::Basic("guessed".to_owned()),
                Authentication::Post(_) => Authentication::Post("guessed".to_owned()),
                _ => Authentication::SecretJwt("guessed".to_owned()),
            };
            let tried = Tried {
                authentication: guess,
                ..tried
            };
            let said = tried.connected().await;
            assert_eq!(
                (said.status, said.text("error")),
                (401, "invalid_client"),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn the_clients_keys_may_be_fetched() {
    let tried = Tried::at(Rules::default()).await;
    let set = json!({"keys": [tried.key.jwk()]}).to_string();
    let serve = move |_| {
        let set = set.clone();
        async { Ok(crate::support::behaviour::json_response(200, set)) }
    };
    let server = crate::support::loopback::Loopback::start(serve).await;
    tried.register(ClientKeys::None);
    assert_eq!(tried.connected().await.status, 401, "no key is known");
    tried.register(ClientKeys::At(server.url("/keys")));
    assert_eq!(tried.connected().await.status, 200);
    assert!(!server.requests().is_empty());
}
