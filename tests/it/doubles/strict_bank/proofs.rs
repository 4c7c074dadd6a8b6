//! Proofs of possession at the strict bank.

use axum::http::Method;
use serde_json::{Value, json};
use url::Url;

use super::client::{CLIENT_ID, REDIRECT_URI, Said, Tried, VERIFIER, having, with};
use crate::support::strict_bank::grants::challenge;
use crate::support::strict_bank::jws::{Algorithm, Jws, SigningKey, thumbprint};
use crate::support::strict_bank::{Nonces, Place, Rules, SenderConstraint};
use crate::support::visitor::http;

fn with_nonces(nonces: Nonces) -> Rules {
    Rules {
        sender_constraint: SenderConstraint::Dpop,
        nonces,
        challenge_scheme: "dPoP",
        ..Rules::default()
    }
}

/// The proof of RFC 9449, section 4.1.
const PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";

#[test]
fn the_proof_of_the_standard_is_by_its_key_and_one_that_was_changed_is_not() {
    let proof = Jws::parse(PROOF).expect("a JWS");
    let key = &proof.header["jwk"];
    assert!(proof.is_of(key));
    // RFC 9449, sections 6.1 and 7.1.
    let jkt = thumbprint(key);
    assert_eq!(
        jkt.as_deref(),
        Some("0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")
    );
    let ath = challenge("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU");
    assert_eq!(ath, "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    for (this, that) in [("eyJqdGki", "eyJqdGkj"), ("2-GxA6T8", "2-GxA6T9")] {
        let changed = Jws::parse(&PROOF.replace(this, that));
        assert!(changed.is_none_or(|it| !it.is_of(key)), "{that}");
    }
    assert!(!proof.is_of(&SigningKey::generate(Algorithm::ES256).jwk()));
}

/// A request for the accounts, or another resource, with a proof of these claims.
async fn ask(tried: &Tried, place: Place, token: &str, scheme: &str, claims: &Value) -> Said {
    let request = http()
        .request(Method::GET, tried.bank.url(place))
        .header("authorization", format!("{scheme} {token}"))
        .header("dpop", tried.proof(claims));
    Said::of(request).await
}

fn claims(tried: &Tried, to: &Url, token: &str, nonce: Option<&str>) -> Value {
    having(
        tried.proof_claims("GET", to, nonce),
        "ath",
        json!(challenge(token)),
    )
}

#[tokio::test]
async fn a_key_binds_the_tokens_whatever_nonces_are_asked_for() {
    for nonces in [Nonces::Never, Nonces::Always, Nonces::Changing] {
        let tried = Tried::at(with_nonces(nonces)).await;
        let pushed = tried.push(&tried.parameters()).await;
        assert_eq!(pushed.status, 201, "{nonces:?}: {}", pushed.body);
        let shown = with(Vec::new(), "client_id", CLIENT_ID);
        let shown = with(shown, "request_uri", pushed.text("request_uri"));
        let brought = tried.agreed(&shown).await;
        let tokens = tried.exchange(brought.value("code").expect("a code")).await;
        assert_eq!(tokens.status, 200, "{nonces:?}: {}", tokens.body);
        assert_eq!(tokens.text("token_type"), "DPoP");
        let token = tokens.text("access_token");
        let key = thumbprint(&tried.proof_key.bare_jwk());
        assert_eq!(tried.bank.introspection(token)["cnf"]["jkt"], json!(key));
        // The asking, and the one that was refused for want of a nonce: the code was not spent by it.
        let asked = tried.bank.requests(Place::Token).len();
        assert_eq!(asked, if nonces == Nonces::Never { 1 } else { 2 });
        let refreshed = tried.refresh(tokens.text("refresh_token")).await;
        assert_eq!(refreshed.status, 200, "{}", refreshed.body);

        let accounts = tried.bank.url(Place::Accounts);
        let token = refreshed.text("access_token");
        let mut said = ask(
            &tried,
            Place::Accounts,
            token,
            "DPoP",
            &claims(&tried, &accounts, token, None),
        )
        .await;
        if nonces != Nonces::Never {
            assert_eq!(said.status, 401);
            let challenge = said.header("www-authenticate");
            assert_eq!(challenge, "dPoP error=\"use_dpop_nonce\"");
            let nonce = said.header("dpop-nonce");
            let with_nonce = claims(&tried, &accounts, token, Some(&nonce));
            said = ask(&tried, Place::Accounts, token, "dpop", &with_nonce).await;
            // Whether it serves again is what the two differ in.
            let again = claims(&tried, &accounts, token, Some(&nonce));
            let again = ask(&tried, Place::Accounts, token, "DPoP", &again).await;
            let expected = if nonces == Nonces::Always { 200 } else { 401 };
            assert_eq!(again.status, expected, "{nonces:?}: {}", again.body);
        }
        assert_eq!(said.status, 200, "{nonces:?}: {}", said.body);
        assert_eq!(said.json["accounts"][0]["currency"], "EUR");
    }
}

#[tokio::test]
async fn nonces_that_are_forgotten_are_asked_for_anew() {
    let tried = Tried::at(with_nonces(Nonces::Always)).await;
    let tokens = tried.connected().await;
    let nonce = tokens.header("dpop-nonce");
    tried.bank.forget_nonces();
    let url = tried.bank.url(Place::Token);
    let claims = tried.proof_claims("POST", &url, Some(&nonce));
    let form = with(tried.proof_of_client(), "grant_type", "refresh_token");
    let form = with(form, "refresh_token", tokens.text("refresh_token"));
    let said = tried
        .send(Place::Token, &form, &[("dpop", tried.proof(&claims))])
        .await;
    assert_eq!((said.status, said.text("error")), (400, "use_dpop_nonce"));
    assert_ne!(said.header("dpop-nonce"), nonce);
}

#[tokio::test]
async fn a_proof_with_one_thing_wrong_is_refused_and_named() {
    let tried = Tried::at(with_nonces(Nonces::Never)).await;
    let url = tried.bank.url(Place::Token);
    let right = || tried.proof_claims("POST", &url, None);
    let now = tried.now();
    let key = &tried.proof_key;
    let header = || json!({"typ": "dpop+jwt", "kid": null, "jwk": key.bare_jwk()});
    let private = having(key.bare_jwk(), "d", json!("AAAA"));
    let other = SigningKey::generate(Algorithm::ES256);
    let again = tried.proof(&right());
    let wrong = [
        (vec![tried.proof(&right())], ""),
        (vec![again.clone()], ""),
        (vec![again], "jti was used before"),
        (vec![], "there is no proof"),
        (
            vec![tried.proof(&right()), tried.proof(&right())],
            "header is there twice",
        ),
        (vec!["no-proof".to_owned()], "form"),
        (
            vec![key.sign(having(header(), "typ", json!("jwt")), &right())],
            "typ",
        ),
        (
            vec![key.sign(having(header(), "alg", json!("none")), &right())],
            "alg",
        ),
        (
            vec![key.sign(having(header(), "jwk", private), &right())],
            "private parts",
        ),
        (
            vec![key.sign(having(header(), "jwk", json!(null)), &right())],
            "signature",
        ),
        (vec![other.sign(header(), &right())], "signature"),
        (
            vec![tried.proof(&having(right(), "htm", json!("GET")))],
            "htm",
        ),
        (
            vec![tried.proof(&having(right(), "htu", json!(format!("{url}?a=b"))))],
            "htu",
        ),
        (
            vec![tried.proof(&having(right(), "htu", json!(tried.bank.issuer())))],
            "htu",
        ),
        (
            vec![tried.proof(&having(right(), "iat", json!(now - 100)))],
            "iat",
        ),
        (
            vec![tried.proof(&having(right(), "iat", json!(null)))],
            "iat",
        ),
        (
            vec![tried.proof(&having(right(), "jti", json!(null)))],
            "jti",
        ),
        (
            vec![tried.proof(&having(right(), "ath", json!("a")))],
            "ath",
        ),
    ];
    for (proofs, words) in wrong {
        let code = tried.code().await;
        let form = with(tried.proof_of_client(), "grant_type", "authorization_code");
        let form = with(with(form, "code", &code), "redirect_uri", REDIRECT_URI);
        let form = with(form, "code_verifier", VERIFIER);
        let headers: Vec<(&str, String)> = proofs.into_iter().map(|it| ("dpop", it)).collect();
        let said = tried.send(Place::Token, &form, &headers).await;
        match words {
            "" => assert_eq!(said.status, 200, "{}", said.body),
            _ => {
                assert_eq!(said.status, 400, "{words}: {}", said.body);
                assert_eq!(said.text("error"), "invalid_dpop_proof");
                assert!(said.body.contains(words), "{words}: {}", said.body);
            }
        }
    }
}

#[tokio::test]
async fn a_bound_token_is_worth_nothing_without_its_key() {
    let tried = Tried::at(with_nonces(Nonces::Never)).await;
    let pushed = tried.push(&tried.parameters()).await;
    let shown = with(Vec::new(), "client_id", CLIENT_ID);
    let shown = with(shown, "request_uri", pushed.text("request_uri"));
    let brought = tried.agreed(&shown).await;
    let code = brought.value("code").expect("a code").to_owned();
    let own = tried.proof_key.clone();
    let thief = Tried {
        proof_key: SigningKey::generate(Algorithm::ES256),
        ..tried
    };
    // The code is for the key that pushed the request.
    let said = thief.exchange(&code).await;
    assert!(said.body.contains("another key"), "{}", said.body);
    let tried = Tried {
        proof_key: own,
        ..thief
    };
    let tokens = tried.exchange(&code).await;
    let token = tokens.text("access_token").to_owned();
    let accounts = tried.bank.url(Place::Accounts);
    let right = claims(&tried, &accounts, &token, None);
    let said = ask(&tried, Place::Accounts, &token, "Bearer", &right).await;
    assert!(
        said.status == 401 && said.body.contains("scheme"),
        "{}",
        said.body
    );
    let without = tried.proof_claims("GET", &accounts, None);
    let said = ask(&tried, Place::Accounts, &token, "DPoP", &without).await;
    assert!(
        said.status == 401 && said.body.contains("ath"),
        "{}",
        said.body
    );
    let elsewhere = claims(&tried, &tried.bank.url(Place::UserInfo), &token, None);
    let said = ask(&tried, Place::Accounts, &token, "DPoP", &elsewhere).await;
    assert!(
        said.status == 401 && said.body.contains("htu"),
        "{}",
        said.body
    );
    let thief = Tried {
        proof_key: SigningKey::generate(Algorithm::ES256),
        ..tried
    };
    let said = ask(&thief, Place::Accounts, &token, "DPoP", &right).await;
    assert!(
        said.status == 401 && said.body.contains("another key"),
        "{}",
        said.body
    );
}
