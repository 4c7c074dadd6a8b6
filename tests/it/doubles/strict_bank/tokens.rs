//! Codes and tokens at the strict bank: used, used again, renewed, given back; and who gave them.

use serde_json::{Value, json};

use super::client::{CLIENT_ID, NONCE, REDIRECT_URI, SECRET, Said, Tried, VERIFIER, with};
use crate::support::strict_bank::jws::{Algorithm, Jws, SigningKey};
use crate::support::strict_bank::{Authentication, Place, Rotation, Rules};
use crate::support::visitor::http;

#[tokio::test]
async fn a_code_serves_once_and_its_reuse_ends_what_it_gave() {
    let tried = Tried::at(Rules::default()).await;
    let code = tried.code().await;
    let tokens = tried.exchange(&code).await;
    let again = tried.exchange(&code).await;
    assert!(
        again.status == 400 && again.body.contains("used before"),
        "{}",
        again.body
    );
    assert_eq!(
        tried.bank.introspection(tokens.text("access_token"))["active"],
        json!(false)
    );
    assert_eq!(
        tried
            .refresh(tokens.text("refresh_token"))
            .await
            .text("error"),
        "invalid_grant"
    );
}

#[tokio::test]
async fn a_code_lives_for_a_minute() {
    let tried = Tried::at(Rules::default()).await;
    let code = tried.code().await;
    tried
        .bank
        .clock()
        .advance(std::time::Duration::from_secs(62));
    let said = tried.exchange(&code).await;
    assert!(said.body.contains("expired"), "{}", said.body);
}

#[tokio::test]
async fn an_exchange_with_one_thing_wrong_is_refused_and_named() {
    let tried = Tried::at(Rules::default()).await;
    let wrong = [
        ("code", "unknown", "the code is unknown"),
        ("code", "", "code is missing"),
        ("redirect_uri", "http://127.0.0.1:9/back", "redirect_uri"),
        ("redirect_uri", "", "redirect_uri"),
        ("code_verifier", "", "code_verifier is missing"),
        ("code_verifier", "short", "43 to 128"),
        (
            "code_verifier",
            &"x".repeat(43),
            "not that of the challenge",
        ),
        ("code_verifier", &"é".repeat(43), "43 to 128"),
        ("grant_type", "password", "grant_type"),
        ("state", "another", "state does not belong here"),
        ("nonce", NONCE, "nonce does not belong here"),
    ];
    let code = tried.code().await;
    for (name, value, words) in wrong {
        let form = with(Vec::new(), "grant_type", "authorization_code");
        let form = with(with(form, "code", &code), "redirect_uri", REDIRECT_URI);
        let mut form = with(with(form, "code_verifier", VERIFIER), name, value);
        form.extend(tried.proof_of_client());
        let said = tried.send(Place::Token, &form, &[]).await;
        assert!(
            said.status == 400 && said.body.contains(words),
            "{name}: {}",
            said.body
        );
    }
    // None of it spent the code.
    assert_eq!(tried.exchange(&code).await.status, 200);
    let mut url = tried.bank.url(Place::Token);
    url.set_query(Some("code=a"));
    let said = Said::of(http().post(url).form(&tried.proof_of_client())).await;
    assert!(said.body.contains("there is a query"), "{}", said.body);
    let said = Said::of(http().post(tried.bank.url(Place::Token)).json(&json!({}))).await;
    assert!(said.body.contains("content-type"), "{}", said.body);
}

#[tokio::test]
async fn refresh_tokens_rotate_as_the_rules_say() {
    for rotation in [Rotation::Never, Rotation::Strict, Rotation::Grace] {
        let rules = Rules {
            rotation,
            ..Rules::default()
        };
        let tried = Tried::at(rules).await;
        let first = tried.connected().await;
        let first = first.text("refresh_token");
        let second = tried.refresh(first).await;
        assert_eq!(second.status, 200, "{}", second.body);
        let id_token = Jws::parse(second.text("id_token")).expect("a JWS");
        assert_eq!(id_token.text("nonce"), None, "a refreshed one has none");
        let again = tried.refresh(first).await;
        let fate = |said: &Said| (said.status, said.json["error"].clone());
        match rotation {
            Rotation::Never => {
                assert_eq!(second.json.get("refresh_token"), None);
                assert_eq!(again.status, 200);
            }
            Rotation::Strict => {
                assert_eq!(fate(&again), (400, json!("invalid_grant")));
                let newest = tried.refresh(second.text("refresh_token")).await;
                assert_eq!(
                    fate(&newest),
                    (400, json!("invalid_grant")),
                    "its reuse ends all"
                );
            }
            Rotation::Grace => {
                assert_eq!(again.status, 200, "{}", again.body);
                assert_eq!(tried.refresh(again.text("refresh_token")).await.status, 200);
                assert_eq!(
                    fate(&tried.refresh(first).await),
                    (400, json!("invalid_grant"))
                );
            }
        }
    }
}

#[tokio::test]
async fn a_refresh_token_that_is_given_back_takes_its_grant_along() {
    let tried = Tried::at(Rules::default()).await;
    let tokens = tried.connected().await;
    for token in ["unknown", tokens.text("refresh_token")] {
        assert_eq!(
            tried.post(Place::Revoke, &[("token", token)]).await.status,
            200
        );
    }
    assert_eq!(
        tried.bank.introspection(tokens.text("access_token"))["active"],
        json!(false)
    );
    let said = tried.post(Place::Revoke, &[("code", "a")]).await;
    assert!(
        said.status == 400 && said.body.contains("does not belong"),
        "{}",
        said.body
    );
}

#[tokio::test]
async fn details_that_were_asked_for_come_back_with_the_tokens() {
    let tried = Tried::at(Rules::default()).await;
    let details =
        json!([{"type": "account_information", "actions": ["read"]}, {"type": "payment"}]);
    let pushed = tried
        .push(&with(
            tried.parameters(),
            "authorization_details",
            &details.to_string(),
        ))
        .await;
    assert_eq!(pushed.status, 201, "{}", pushed.body);
    let shown = with(Vec::new(), "client_id", CLIENT_ID);
    let shown = with(shown, "request_uri", pushed.text("request_uri"));
    let brought = tried.agreed(&shown).await;
    let tokens = tried.exchange(brought.value("code").expect("a code")).await;
    assert_eq!(tokens.json["authorization_details"], details);
    let untyped = with(tried.parameters(), "authorization_details", "[{}]");
    let said = tried.push(&untyped).await;
    assert_eq!(said.text("error"), "invalid_authorization_details");
}

#[tokio::test]
async fn an_id_token_is_signed_by_any_of_the_algorithms() {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
        Algorithm::HS256,
    ] {
        let rules = Rules {
            id_token: algorithm,
            ..Rules::default()
        };
        let tried = Tried::by(rules, Authentication::Post(SECRET.to_owned())).await;
        let tokens = tried.connected().await;
        let jws = Jws::parse(tokens.text("id_token")).expect("a JWS");
        assert_eq!(jws.header["alg"], json!(format!("{algorithm:?}")));
        let key = match algorithm {
            Algorithm::HS256 => SigningKey::shared(SECRET.as_bytes()).jwk(),
            _ => tried.published(&jws.header["kid"]).await.expect("a key"),
        };
        assert!(jws.is_of(&key), "{algorithm:?}");
    }
}

#[tokio::test]
async fn keys_that_are_replaced_are_published_until_they_are_forgotten() {
    let tried = Tried::at(Rules::default()).await;
    let kid = async || {
        let tokens = tried.connected().await;
        Jws::parse(tokens.text("id_token")).expect("a JWS").header["kid"].clone()
    };
    let old = kid().await;
    tried.bank.rotate_keys();
    let new = kid().await;
    assert_ne!(old, new);
    assert!(tried.published(&old).await.is_some() && tried.published(&new).await.is_some());
    tried.bank.forget_old_keys();
    assert!(tried.published(&old).await.is_none() && tried.published(&new).await.is_some());
}

async fn userinfo(tried: &Tried, token: &str) -> Said {
    let request = http()
        .get(tried.bank.url(Place::UserInfo))
        .bearer_auth(token);
    Said::of(request).await
}

#[tokio::test]
async fn userinfo_says_who_gave_the_token_as_json_or_as_a_jwt() {
    let tried = Tried::at(Rules::default()).await;
    tried.bank.signs_in("grace");
    let tokens = tried.connected().await;
    let token = tokens.text("access_token");
    assert_eq!(userinfo(&tried, token).await.json["sub"], "grace");
    tried
        .bank
        .change(|rules| rules.userinfo = Some(Algorithm::ES256));
    let said = userinfo(&tried, token).await;
    assert_eq!(said.header("content-type"), "application/jwt");
    let jws = Jws::parse(&said.body).expect("a JWS");
    assert_eq!(
        (jws.text("sub"), jws.text("aud")),
        (Some("grace"), Some(CLIENT_ID))
    );
    assert!(jws.is_of(&tried.published(&jws.header["kid"]).await.expect("a key")));
    let said = userinfo(&tried, "guessed").await;
    assert_eq!(
        (said.status, said.header("www-authenticate")),
        (401, "Bearer error=\"invalid_token\"".to_owned())
    );
    tried
        .bank
        .clock()
        .advance(std::time::Duration::from_secs(3601));
    assert_eq!(userinfo(&tried, token).await.status, 401, "it has expired");
}

#[tokio::test]
async fn a_person_may_decline() {
    let tried = Tried::at(Rules::default()).await;
    tried.bank.declines("access_denied", "no & thanks");
    let brought = tried.agreed(&tried.parameters()).await;
    assert_eq!(brought.value("error"), Some("access_denied"));
    assert_eq!(brought.value("error_description"), Some("no & thanks"));
    assert_eq!(brought.value("iss"), Some(tried.bank.issuer().as_str()));
    assert_eq!(brought.value("code"), None);
}

#[tokio::test]
async fn the_metadata_are_at_both_locations() {
    let rules = Rules {
        issuer_path: "/tenant",
        pushed_only: true,
        ..Rules::default()
    };
    let tried = Tried::at(rules).await;
    let origin = tried.bank.url(Place::Jwks).origin().ascii_serialization();
    let mut seen: Vec<Value> = Vec::new();
    for path in [
        "/.well-known/oauth-authorization-server/tenant",
        "/tenant/.well-known/openid-configuration",
    ] {
        let said = Said::of(http().get(format!("{origin}{path}"))).await;
        assert_eq!(said.status, 200, "{path}");
        seen.push(said.json);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0]["issuer"], json!(format!("{origin}/tenant")));
    assert_eq!(
        seen[0]["token_endpoint"],
        json!(format!("{origin}/tenant/token"))
    );
    assert_eq!(
        seen[0]["require_pushed_authorization_requests"],
        json!(true)
    );
}
