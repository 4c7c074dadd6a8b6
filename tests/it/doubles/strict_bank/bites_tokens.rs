//! Each knob bites: at the token endpoint, in the ID token, in the keys, at UserInfo and at revocation.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{SECRET, Said, Tried, with};
use super::encrypted::{Own, header};
use crate::support::strict_bank::jws::Jws;
use crate::support::strict_bank::knobs::{
    Claim, IdToken, Jwks, Revocation, Spoilt, Token, UserInfo,
};
use crate::support::strict_bank::{
    Authentication, ClientKeys, Encryption, Nonces, Place, Rules, SenderConstraint,
};
use crate::support::visitor::http;

/// A request that needs no proof of a key, and its outcome within a moment; nothing if it takes longer.
async fn raw(tried: &Tried, code: &str) -> Option<reqwest::Result<reqwest::Response>> {
    let form = with(tried.proof_of_client(), "grant_type", "authorization_code");
    let form = with(form, "code", code);
    let form = with(form, "redirect_uri", super::client::REDIRECT_URI);
    let form = with(form, "code_verifier", super::client::VERIFIER);
    let request = http().post(tried.bank.url(Place::Token)).form(&form).send();
    tokio::time::timeout(Duration::from_secs(5), request)
        .await
        .ok()
}

#[tokio::test]
async fn the_token_endpoint_does_as_told() {
    let dpop = Rules {
        sender_constraint: SenderConstraint::Dpop,
        nonces: Nonces::Always,
        ..Rules::default()
    };
    for &knob in Token::ALL {
        let nonces = [Token::NonceAlways, Token::NonceNever, Token::NonceChanging];
        let is_bound = nonces.contains(&knob) || knob == Token::TypeDowngraded;
        let tried = match is_bound {
            true => Tried::at(dpop.clone()).await,
            false => Tried::at(Rules::default()).await,
        };
        let details = json!([{"type": "account_information"}, {"type": "payment"}]);
        let pushed = tried
            .push(&with(
                tried.parameters(),
                "authorization_details",
                &details.to_string(),
            ))
            .await;
        let shown = with(Vec::new(), "client_id", super::client::CLIENT_ID);
        let shown = with(shown, "request_uri", pushed.text("request_uri"));
        let brought = tried.agreed(&shown).await;
        let code = brought.value("code").expect("a code");
        tried.bank.turn(knob);
        if matches!(knob, Token::Slow | Token::GzipBomb | Token::CutAfterBody) {
            let response = raw(&tried, code).await.expect("in time");
            match knob {
                Token::CutAfterBody => {
                    response.expect_err("no response");
                    tried.bank.be_honest();
                    let again = tried.exchange(code).await;
                    assert!(again.body.contains("used before"), "the work was done");
                }
                Token::GzipBomb => {
                    let response = response.expect("a response");
                    assert_eq!(response.headers()["content-encoding"], "gzip");
                }
                _ => {
                    let mut response = response.expect("a head");
                    let first = response.chunk().await.expect("a byte").expect("a byte");
                    assert_eq!(first.len(), 1);
                }
            }
            continue;
        }
        let asked = tried.bank.requests(Place::Token).len();
        let said = tried.exchange(code).await;
        let asked = tried.bank.requests(Place::Token).len() - asked;
        let location = || said.header("location") == "https://elsewhere.example/";
        let is_so = match knob {
            Token::Redirects301 => said.status == 301 && location(),
            Token::Redirects302 => said.status == 302 && location(),
            Token::Redirects303 => said.status == 303 && location(),
            Token::Redirects307 => said.status == 307 && location(),
            Token::Redirects308 => said.status == 308 && location(),
            Token::Html => said.status == 200 && said.header("content-type").contains("html"),
            Token::Huge => said.body.len() > 1 << 20,
            Token::DuplicateKeys => said.body.matches("\"access_token\"").count() == 2,
            Token::TypeInAnotherCase => said.text("token_type") == "BEARER",
            Token::TypeUnknown => said.text("token_type") == "mac",
            Token::TypeDowngraded => {
                let known = tried.bank.introspection(said.text("access_token"));
                said.text("token_type") == "Bearer" && known["cnf"]["jkt"].is_string()
            }
            Token::ExpiresInMissing => said.status == 200 && said.json.get("expires_in").is_none(),
            Token::ExpiresInText => said.text("expires_in") == "soon",
            Token::ExpiresInNegative => said.json["expires_in"] == json!(-3600),
            Token::ExpiresInZero => said.json["expires_in"] == json!(0),
            Token::ExpiresInHuge => said.json["expires_in"] == json!(u64::MAX),
            Token::ScopeMissing => said.status == 200 && said.json.get("scope").is_none(),
            Token::ScopeNarrow => said.text("scope") == "openid",
            Token::ScopeBroad => said.text("scope") == "openid accounts everything",
            Token::DetailsReduced => said.json["authorization_details"] == json!([details[0]]),
            Token::NonceAlways => said.status == 200 && asked == 2,
            Token::NonceNever => said.status == 200 && asked == 1,
            Token::NonceChanging => said.text("error") == "use_dpop_nonce" && asked == 2,
            Token::RotatesWithGrace => {
                let first = said.text("refresh_token");
                tried.refresh(first).await.status == 200 && tried.refresh(first).await.status == 200
            }
            Token::RotatesWithoutGrace => {
                let first = said.text("refresh_token");
                tried.refresh(first).await.status == 200 && tried.refresh(first).await.status == 400
            }
            Token::InvalidGrant => said.text("error") == "invalid_grant",
            Token::InvalidClient => said.text("error") == "invalid_client",
            Token::Unavailable => said.status == 503,
            Token::Slow | Token::GzipBomb | Token::CutAfterBody => unreachable!("tried above"),
        };
        assert!(
            is_so,
            "{knob:?}: {} {}",
            said.status,
            said.body.get(..300).unwrap_or(&said.body)
        );
    }
}

/// The ID token that comes with a fresh code, and whether the one published key of its `kid` signed it.
async fn id_token(tried: &Tried) -> (String, Option<Jws>, bool) {
    let tokens = tried.connected().await;
    let text = tokens.text("id_token").to_owned();
    let jws = Jws::parse(&text).filter(|_| text.matches('.').count() == 2);
    let is_signed = match &jws {
        Some(jws) => {
            let key = tried.published(&jws.header["kid"]).await;
            key.is_some_and(|key| jws.is_of(&key))
        }
        None => false,
    };
    (text, jws, is_signed)
}

#[tokio::test]
async fn each_claim_is_spoilt_as_told() {
    for &how in Spoilt::ALL {
        for &claim in Claim::ALL {
            let rules = Rules {
                response_type: "code id_token",
                ..Rules::default()
            };
            let tried = Tried {
                response_mode: "form_post",
                ..Tried::at(rules).await
            };
            let front = async || {
                let brought = tried.agreed(&tried.parameters()).await;
                Jws::parse(brought.value("id_token").expect("one")).expect("a JWS")
            };
            // That of the front channel has the digests of code and state, the other that of the token.
            let is_in_front = matches!(claim, Claim::CHash | Claim::SHash);
            let one = async || match is_in_front {
                true => front().await,
                false => id_token(&tried).await.1.expect("a JWS"),
            };
            let honest = one().await.claims;
            tried.bank.turn((how, claim));
            let jws = one().await;
            let name = claim.name();
            let key = tried.published(&jws.header["kid"]).await.expect("a key");
            assert!(jws.is_of(&key), "spoilt, and signed all the same");
            let (was, is) = (&honest[name], &jws.claims[name]);
            match how {
                Spoilt::Missing => assert!(is.is_null(), "{claim:?}"),
                Spoilt::Wrong => assert!(!is.is_null() && was != is, "{claim:?}: {is}"),
                Spoilt::WrongType => {
                    let usual = if was.is_null() { &json!("text") } else { was };
                    let is_same = usual.is_string() == is.is_string();
                    let is_time = matches!(claim, Claim::Nbf);
                    assert!(is_time && is.is_string() || !is_same, "{claim:?}: {is}");
                }
            }
            let others = |claims: &Value| {
                let mut claims = claims.clone();
                for changing in [name, "exp", "iat", "auth_time", "at_hash", "c_hash"] {
                    claims.as_object_mut().expect("an object").remove(changing);
                }
                claims
            };
            assert_eq!(others(&honest), others(&jws.claims), "{claim:?}");
        }
    }
}

#[tokio::test]
async fn the_id_token_is_spoilt_as_told() {
    let own = Own::new();
    for &knob in IdToken::ALL {
        let how = Encryption {
            alg: "ECDH-ES",
            enc: "A128GCM",
        };
        let encrypted = [IdToken::PlainWhereEncrypted, IdToken::Compressed];
        let rules = Rules {
            id_token_encryption: encrypted.contains(&knob).then_some(how),
            ..Rules::default()
        };
        let tried = Tried::by(rules, Authentication::Post(SECRET.to_owned())).await;
        tried.register(ClientKeys::Inline(json!({"keys": own.jwks})));
        tried.bank.turn(knob);
        let (text, jws, is_signed) = id_token(&tried).await;
        let head = header(&text);
        let is_encrypted = text.matches('.').count() == 4;
        let alg = head["alg"].as_str().expect("an alg");
        let set = Said::of(http().get(tried.bank.url(Place::Jwks))).await.json;
        let keys = set["keys"].as_array().expect("a list").clone();
        let is_of_one = |jws: &Option<Jws>| {
            let jws = jws.as_ref().expect("a JWS");
            keys.iter().any(|key| jws.is_of(key))
        };
        let is_so = match knob {
            IdToken::AlgNone => alg == "none" && text.ends_with('.'),
            IdToken::AlgHsWithPublicKey => alg == "HS256" && !is_signed,
            IdToken::OtherAlg => alg == "PS256" && is_signed,
            IdToken::BadSignature => alg == "ES256" && !is_signed,
            IdToken::KidMissing => head.get("kid").is_none() && is_of_one(&jws),
            IdToken::KidUnknown => head["kid"] == "unknown" && is_of_one(&jws),
            IdToken::KidOfDecoys => {
                let same = keys.iter().filter(|key| key["kid"] == head["kid"]).count();
                same > 3 && is_of_one(&jws)
            }
            IdToken::HeaderJku => head["jku"].is_string() && !is_of_one(&jws),
            IdToken::HeaderX5u => head["x5u"].is_string() && !is_of_one(&jws),
            IdToken::HeaderJwk => {
                let jws = jws.as_ref().expect("a JWS");
                jws.is_of(&head["jwk"]) && !is_signed
            }
            IdToken::HeaderCrit => head["crit"].is_array() && is_signed,
            IdToken::PlainWhereEncrypted => !is_encrypted && is_signed,
            IdToken::EncryptedWithRsa15 => is_encrypted && alg == "RSA1_5",
            IdToken::EncryptedDirectly => is_encrypted && alg == "dir",
            IdToken::Compressed => is_encrypted && head["zip"] == "DEF",
            IdToken::EncryptedNotSigned => is_encrypted,
            IdToken::IssuedAWeekAgo => {
                let issued = jws.as_ref().and_then(|jws| jws.time("iat"));
                issued.is_some_and(|at| at < tried.now() - 6 * 24 * 3600) && is_signed
            }
        };
        assert!(is_so, "{knob:?}: {head}");
    }
}

#[tokio::test]
async fn the_keys_are_published_as_told() {
    for &knob in Jwks::ALL {
        let tried = Tried::at(Rules::default()).await;
        let (_, before, is_signed) = id_token(&tried).await;
        assert!(is_signed, "honest at first");
        tried.bank.turn(knob);
        let (_, jws, is_signed) = id_token(&tried).await;
        let [before, jws] = [before, jws].map(|jws| jws.expect("a JWS"));
        let set = Said::of(http().get(tried.bank.url(Place::Jwks))).await;
        let keys = set.json["keys"].as_array().cloned().unwrap_or_default();
        let is_so = match knob {
            Jwks::RotatesBeforeSigning => is_signed && jws.header["kid"] != before.header["kid"],
            Jwks::RotatesWithoutPublishing => !is_signed && !keys.iter().any(|key| jws.is_of(key)),
            Jwks::Status500 => set.status == 500,
            Jwks::Decoys => {
                let same = keys.iter().filter(|key| key["kid"] == jws.header["kid"]);
                let fitting = same.clone().filter(|key| {
                    key["alg"] == jws.header["alg"] && key["use"] == "sig" && jws.is_of(key)
                });
                same.count() == 6 && fitting.count() == 1
            }
            Jwks::WeakRsa => jws.header["alg"] == "RS256" && is_rightly_weak(&jws, &keys),
            Jwks::TenThousandKeys => is_signed && keys.len() == 10_000,
        };
        assert!(is_so, "{knob:?}: {}", jws.header);
    }
}

/// Whether the signature is right, by a published key of 1 024 bits.
fn is_rightly_weak(jws: &Jws, keys: &[Value]) -> bool {
    use aws_lc_rs::signature::{
        RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RsaPublicKeyComponents,
    };
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let key = keys.iter().find(|key| key["kid"] == jws.header["kid"]);
    let member = |name: &str| {
        let text = key.and_then(|key| key[name].as_str()).unwrap_or_default();
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    };
    let public = RsaPublicKeyComponents {
        n: member("n"),
        e: member("e"),
    };
    let (signed, signature) = jws.halves();
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let by = &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
    public.n.len() == 128 && public.verify(by, signed.as_bytes(), &signature).is_ok()
}

#[tokio::test]
async fn userinfo_is_spoilt_as_told() {
    for &knob in UserInfo::ALL {
        let rules = Rules {
            userinfo: Some(crate::support::strict_bank::jws::Algorithm::ES256),
            sender_constraint: SenderConstraint::Dpop,
            ..Rules::default()
        };
        let tried = Tried::at(rules).await;
        let tokens = tried.connected().await;
        let token = tokens.text("access_token");
        tried.bank.turn(knob);
        let url = tried.bank.url(Place::UserInfo);
        let mut claims = tried.proof_claims("GET", &url, None);
        claims["ath"] = json!(crate::support::strict_bank::grants::challenge(token));
        let request = http()
            .get(url)
            .header("authorization", format!("DPoP {token}"))
            .header("dpop", tried.proof(&claims));
        let said = Said::of(request).await;
        let is_so = match knob {
            UserInfo::OtherSub => {
                let jws = Jws::parse(&said.body).expect("a JWS");
                jws.text("sub") == Some("another")
            }
            UserInfo::BadSignature => {
                let jws = Jws::parse(&said.body).expect("a JWS");
                !jws.is_of(&tried.published(&jws.header["kid"]).await.expect("a key"))
            }
            UserInfo::NonceDemanded => {
                said.status == 401
                    && said.header("www-authenticate").contains("use_dpop_nonce")
                    && !said.header("dpop-nonce").is_empty()
            }
        };
        assert!(is_so, "{knob:?}: {} {}", said.status, said.body);
    }
}

#[tokio::test]
async fn revocation_does_as_told() {
    for &knob in Revocation::ALL {
        let tried = Tried::at(Rules::default()).await;
        let tokens = tried.connected().await;
        let token = tokens.text("access_token");
        tried.bank.turn(knob);
        let form = [("token", token)];
        let asking = tried.post(Place::Revoke, &form);
        let said = tokio::time::timeout(Duration::from_millis(500), asking).await;
        let status = said.ok().map(|said| said.status);
        let expected = match knob {
            Revocation::Status200 => Some(200),
            Revocation::Status400 => Some(400),
            Revocation::Status503 => Some(503),
            Revocation::NeverAnswers => None,
        };
        assert_eq!(status, expected, "{knob:?}");
        assert_eq!(
            tried.bank.introspection(token)["active"],
            json!(true),
            "{knob:?}"
        );
    }
}
