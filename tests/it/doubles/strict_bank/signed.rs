//! Signed requests, signed responses and the hybrid flow at the strict bank.

use serde_json::{Value, json};

use super::client::{CLIENT_ID, NONCE, Pairs, REDIRECT_URI, STATE, Tried, having, with};
use crate::support::strict_bank::Rules;
use crate::support::strict_bank::id_token::half_digest;
use crate::support::strict_bank::jws::{Algorithm, Jws, SigningKey};
use crate::support::visitor::Visitor;

/// The claims of a request object.
fn object(tried: &Tried) -> Value {
    let now = tried.now();
    let mut claims =
        json!({"iss": CLIENT_ID, "aud": tried.bank.issuer(), "nbf": now, "exp": now + 300});
    for (name, value) in tried.parameters() {
        claims[name] = json!(value);
    }
    claims
}

fn shown(object: &str) -> Pairs {
    with(with(Vec::new(), "client_id", CLIENT_ID), "request", object)
}

#[tokio::test]
async fn a_request_object_with_one_thing_wrong_is_refused_and_named() {
    let rules = Rules {
        signed_only: true,
        ..Rules::default()
    };
    let tried = Tried::at(rules).await;
    let now = tried.now();
    let typ = || json!({"typ": "oauth-authz-req+jwt"});
    let sign = |claims: Value| tried.key.sign(typ(), &claims);
    let issuer = tried.bank.issuer();
    let stranger = SigningKey::generate(Algorithm::ES256);
    let wrong = [
        (sign(object(&tried)), ""),
        (sign(having(object(&tried), "iss", json!("other"))), "iss"),
        (sign(having(object(&tried), "aud", json!([issuer]))), "aud"),
        (
            sign(having(
                object(&tried),
                "aud",
                json!("https://other.example"),
            )),
            "aud",
        ),
        (
            sign(having(object(&tried), "exp", json!(null))),
            "nbf or exp",
        ),
        (
            sign(having(object(&tried), "nbf", json!(null))),
            "nbf or exp",
        ),
        (
            sign(having(object(&tried), "exp", json!(now - 1))),
            "exp has passed",
        ),
        (
            sign(having(object(&tried), "exp", json!(now + 3601))),
            "an hour after nbf",
        ),
        (
            sign(having(object(&tried), "nbf", json!(now + 60))),
            "nbf is in the future",
        ),
        (
            sign(having(object(&tried), "nbf", json!(now - 3700))),
            "more than an hour ago",
        ),
        (
            sign(having(object(&tried), "sub", json!(CLIENT_ID))),
            "sub must not",
        ),
        (
            sign(having(object(&tried), "request", json!("a"))),
            "request must not",
        ),
        (
            sign(having(object(&tried), "request_uri", json!("a"))),
            "request_uri must not",
        ),
        (
            sign(having(object(&tried), "client_id", json!("other"))),
            "client_id",
        ),
        (
            sign(having(
                object(&tried),
                "redirect_uri",
                json!("https://evil.example"),
            )),
            "redirect_uri",
        ),
        (
            tried.key.sign(json!({"typ": "JWT"}), &object(&tried)),
            "typ",
        ),
        (
            tried
                .key
                .sign(having(typ(), "alg", json!("none")), &object(&tried)),
            "alg",
        ),
        (
            stranger.sign(having(typ(), "kid", json!(tried.key.kid)), &object(&tried)),
            "signature",
        ),
        ("no-object".to_owned(), "form"),
    ];
    for (object, words) in wrong {
        let (status, why) = tried.visit(&shown(&object)).await;
        match words {
            "" => assert_eq!(status, 303, "{why}"),
            _ => assert!(
                status == 400 && why.contains(words),
                "{words}: {status} {why}"
            ),
        }
        let pushed = tried.push(&shown(&object)).await;
        let expected = if words.is_empty() { 201 } else { 400 };
        assert_eq!(pushed.status, expected, "{words}: {}", pushed.body);
    }
    let (status, why) = tried.visit(&tried.parameters()).await;
    assert!(status == 400 && why.contains("not signed"), "{why}");
    // What stands beside the object counts for nothing.
    let beside = with(shown(&sign(object(&tried))), "state", "another");
    assert_eq!(tried.agreed(&beside).await.value("state"), Some(STATE));
}

#[tokio::test]
async fn a_response_is_one_signed_jwt_where_that_is_asked_for() {
    for algorithm in [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ] {
        let rules = Rules {
            response: algorithm,
            ..Rules::default()
        };
        for response_mode in ["query.jwt", "form_post.jwt"] {
            let tried = Tried {
                response_mode,
                ..Tried::at(rules.clone()).await
            };
            let brought = tried.agreed(&tried.parameters()).await;
            assert_eq!(brought.is_posted, response_mode == "form_post.jwt");
            let names: Vec<_> = brought
                .pairs
                .iter()
                .map(|(name, _)| name.as_str())
                .collect();
            let expected = if brought.is_posted {
                vec!["response"]
            } else {
                vec!["kept", "response"]
            };
            assert_eq!(names, expected);
            let jws = Jws::parse(brought.value("response").expect("one")).expect("a JWS");
            assert_eq!(jws.header["alg"], json!(format!("{algorithm:?}")));
            let key = tried.published(&jws.header["kid"]).await.expect("a key");
            assert!(jws.is_of(&key), "{algorithm:?}");
            assert_eq!(jws.text("iss"), Some(tried.bank.issuer().as_str()));
            assert_eq!(jws.text("aud"), Some(CLIENT_ID));
            assert_eq!(jws.text("state"), Some(STATE));
            assert!(jws.time("exp") > Some(tried.now()));
            let tokens = tried.exchange(jws.text("code").expect("a code")).await;
            assert_eq!(tokens.status, 200, "{}", tokens.body);
        }
    }
}

#[tokio::test]
async fn a_posted_response_comes_as_a_page_that_posts_itself() {
    let tried = Tried {
        response_mode: "form_post",
        ..Tried::at(Rules::default()).await
    };
    let page = Visitor::new()
        .get(&tried.request(&tried.parameters()))
        .await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("forms[0].submit()") && page.body.contains(REDIRECT_URI));
    let brought = tried.agreed(&tried.parameters()).await;
    assert!(brought.is_posted && brought.value("code").is_some());
    assert_eq!(brought.value("iss"), Some(tried.bank.issuer().as_str()));
}

#[test]
fn halves_of_digests_are_those_of_the_standard() {
    // OpenID Connect Core, sections A.4 and A.6.
    let half = |text| half_digest(Algorithm::RS256, text);
    assert_eq!(
        half("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"),
        "77QmUPtjPfzWtF2AnpK9RQ"
    );
    let code = "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk";
    assert_eq!(half(code), "LDktKdoQak3Pk0cnXxCltA");
}

#[tokio::test]
async fn the_hybrid_flow_posts_a_code_with_its_id_token() {
    let rules = Rules {
        response_type: "code id_token",
        id_token: Algorithm::PS256,
        ..Rules::default()
    };
    let tried = Tried::at(rules).await;
    for mode in ["query", "query.jwt", "fragment", ""] {
        let (status, why) = tried
            .visit(&with(tried.parameters(), "response_mode", mode))
            .await;
        assert!(
            status == 400 && why.contains("response_mode"),
            "{mode}: {why}"
        );
    }
    let tried = Tried {
        response_mode: "form_post",
        ..tried
    };
    let (status, why) = tried
        .visit(&with(tried.parameters(), "scope", "accounts"))
        .await;
    assert!(status == 400 && why.contains("without openid"), "{why}");
    let brought = tried.agreed(&tried.parameters()).await;
    let code = brought.value("code").expect("a code");
    let jws = Jws::parse(brought.value("id_token").expect("one")).expect("a JWS");
    assert!(jws.is_of(&tried.published(&jws.header["kid"]).await.expect("a key")));
    let half = |text| Some(half_digest(Algorithm::PS256, text));
    assert_eq!(jws.text("c_hash").map(str::to_owned), half(code));
    assert_eq!(jws.text("s_hash").map(str::to_owned), half(STATE));
    assert_eq!(jws.text("nonce"), Some(NONCE));
    let tokens = tried.exchange(code).await;
    let later = Jws::parse(tokens.text("id_token")).expect("a JWS");
    let at = half(tokens.text("access_token"));
    assert_eq!(later.text("at_hash").map(str::to_owned), at);
    assert_eq!(later.text("sub"), jws.text("sub"));
}
