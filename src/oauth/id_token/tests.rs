use serde_json::{Value, json};

use super::*;
use crate::jose::{Head, JoseError, JwkSet, SigningKey};

const ISSUER: &str = "https://bank.example";
const CLIENT: &str = "guichet-1";
const NONCE: &str = "CANARY-nonce";
const NOW: i64 = 1_800_000_000;

const ES256: SigningAlgorithm = SigningAlgorithm::ES256;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// The claims of a good ID token, with these otherwise; `null` leaves one out.
fn claims(otherwise: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "ada", "nonce": NONCE, "iat": NOW - 5, "exp": NOW + 300,
    });
    for (name, value) in otherwise.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

fn expected() -> Expectations<'static> {
    Expectations {
        issuer: ISSUER,
        client_id: CLIENT,
        nonce: Some(NONCE),
        at_hash_of: None,
        c_hash_of: None,
        s_hash_of: None,
        max_age: None,
        acr_values: None,
        claims: None,
    }
}

const SIGNED: Protection = Protection {
    signed: ES256,
    encrypted: None,
};

/// What becomes of these claims, well signed.
fn judged(claims: &Value, expected: &Expectations<'_>) -> Result<IdToken, IdTokenError> {
    let key = SigningKey::generate(ES256).unwrap();
    let token = key.sign(Head::Kid, None, claims).unwrap();
    let set = json!({ "keys": [key.public_jwk()] }).to_string();
    let keys = Keys {
        institution: &JwkSet::parse(set.as_bytes()).unwrap(),
        secret: None,
        own: &[],
    };
    let judged = verify(&token, SIGNED, keys, expected, now());
    if let Err(error) = &judged {
        let texts = format!("{error} {error:?}");
        assert!(
            !texts.contains("CANARY") && !texts.contains("ada"),
            "{texts}"
        );
    }
    judged
}

/// The rule that these claims break, if they break one.
fn broken(otherwise: Value) -> Option<IdTokenError> {
    judged(&claims(otherwise), &expected()).err()
}

#[test]
fn i1_the_issuer_is_that_of_the_file_character_by_character() {
    assert_eq!(broken(json!({})), None);
    for iss in [
        json!(null),
        json!(""),
        json!("https://bank.example/"),
        json!("https://BANK.example"),
        json!("http://bank.example"),
        json!("https://bank.example:443"),
        json!([ISSUER]),
        json!(7),
    ] {
        let error = broken(json!({ "iss": iss }));
        assert_eq!(error, Some(IdTokenError::Issuer), "{iss}");
    }
}

#[test]
fn i2_the_client_is_the_only_audience() {
    let good = [json!(CLIENT), json!([CLIENT]), json!([CLIENT, CLIENT])];
    for aud in good {
        assert_eq!(broken(json!({ "aud": aud })), None, "{aud}");
    }
    for aud in [
        json!(null),
        json!(""),
        json!([]),
        json!("another"),
        json!(["another"]),
        json!("Guichet-1"),
        json!("guichet-1 "),
        json!({"guichet-1": 1}),
        json!([[CLIENT]]),
        json!([CLIENT, 7]),
    ] {
        let error = broken(json!({ "aud": aud }));
        assert_eq!(error, Some(IdTokenError::Audience), "{aud}");
    }
    let others = broken(json!({"aud": [CLIENT, "another"]}));
    assert_eq!(others, Some(IdTokenError::OtherAudience));
    assert_eq!(broken(json!({ "azp": CLIENT })), None);
    for azp in [json!("another"), json!(""), json!([CLIENT]), json!(7)] {
        let error = broken(json!({ "azp": azp }));
        assert_eq!(error, Some(IdTokenError::AuthorizedParty), "{azp}");
    }
}

#[test]
fn i3_only_the_registered_algorithm_and_the_institutions_key_count() {
    let key = SigningKey::generate(ES256).unwrap();
    let set = json!({ "keys": [key.public_jwk()] }).to_string();
    let set = JwkSet::parse(set.as_bytes()).unwrap();
    let keys = Keys {
        institution: &set,
        secret: Some(b"CANARY-secret"),
        own: &[],
    };
    let token = key.sign(Head::Kid, None, &claims(json!({}))).unwrap();
    let verified = |token: &str, signed| {
        let protection = Protection { signed, ..SIGNED };
        let verified = verify(token, protection, keys, &expected(), now());
        verified.map(|it| it.subject().to_owned())
    };
    let jose = |error| Err(IdTokenError::Signed(SignedResponseError::Jose(error)));
    assert_eq!(verified(&token, ES256), Ok("ada".to_owned()));
    let other = verified(&token, SigningAlgorithm::RS256);
    assert_eq!(other, jose(JoseError::Algorithm("alg")));

    let (body, _) = token.rsplit_once('.').unwrap();
    let (_, payload) = body.split_once('.').unwrap();
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let none = verified(&format!("{none}.{payload}."), ES256);
    assert_eq!(none, jose(JoseError::Algorithm("alg")));
    let unsigned = verified(&format!("{body}."), ES256);
    assert_eq!(unsigned, jose(JoseError::Signature));
    let stranger = SigningKey::generate(ES256).unwrap();
    let stranger = stranger.sign(Head::Kid, None, &claims(json!({}))).unwrap();
    assert_eq!(verified(&stranger, ES256), jose(JoseError::UnknownKey));

    // The client secret counts where it is registered to, and a public key is none.
    let hs = SigningAlgorithm::HS256;
    let symmetric = SigningKey::from_secret(b"CANARY-secret", hs).unwrap();
    let symmetric = symmetric
        .sign(Head::Nothing, None, &claims(json!({})))
        .unwrap();
    assert_eq!(verified(&symmetric, hs), Ok("ada".to_owned()));
    assert_eq!(
        verified(&symmetric, ES256),
        jose(JoseError::Algorithm("alg"))
    );
    let public = SigningKey::from_secret(key.public_jwk().to_string().as_bytes(), hs).unwrap();
    let public = public
        .sign(Head::Nothing, None, &claims(json!({})))
        .unwrap();
    assert_eq!(verified(&public, hs), jose(JoseError::Signature));
}

#[test]
fn i4_times_are_numbers_and_in_time() {
    for (name, value, rule) in [
        ("exp", json!(NOW - 59), None),
        ("exp", json!(NOW - 60), Some(IdTokenError::Expired)),
        ("exp", json!(NOW as f64 + 0.5), None),
        ("exp", json!(i64::from(i32::MAX) * 10), None),
        ("iat", json!(NOW + 60), None),
        ("iat", json!(NOW + 61), Some(IdTokenError::IssuedLater)),
        ("iat", json!(NOW - 600), None),
        ("iat", json!(NOW - 601), Some(IdTokenError::IssuedLongAgo)),
        ("nbf", json!(NOW - 9_999), None),
        ("nbf", json!(NOW + 60), None),
        ("nbf", json!(NOW + 61), Some(IdTokenError::NotYet)),
    ] {
        assert_eq!(broken(json!({ name: value })), rule, "{name} {value}");
    }
    for name in ["exp", "iat", "nbf"] {
        for value in [
            json!(NOW.to_string()),
            json!("soon"),
            json!([NOW]),
            json!({}),
            json!(true),
            json!(1e300),
            json!(-1e300),
            json!(u64::MAX),
            json!(i64::MIN),
        ] {
            let error = broken(json!({ name: value }));
            assert_eq!(error, Some(IdTokenError::NoTime(name)), "{name} {value}");
        }
        // A claim that says nothing is not one that is absent.
        let mut nothing = claims(json!({}));
        nothing[name] = Value::Null;
        let error = judged(&nothing, &expected()).err();
        assert_eq!(error, Some(IdTokenError::NoTime(name)));
    }
    for name in ["exp", "iat"] {
        let error = broken(json!({ name: null }));
        assert_eq!(error, Some(IdTokenError::NoTime(name)));
    }
}

#[test]
fn i5_the_nonce_is_that_of_the_request() {
    for nonce in [
        json!(null),
        json!(""),
        json!("another"),
        json!("CANARY-nonce "),
        json!([NONCE]),
        json!(7),
    ] {
        let error = broken(json!({ "nonce": nonce }));
        assert_eq!(error, Some(IdTokenError::Nonce), "{nonce}");
    }
}

#[test]
fn i5_the_subject_is_somebody() {
    for sub in [
        json!(null),
        json!(""),
        json!("  "),
        json!(7),
        json!(["ada"]),
        json!("a".repeat(256)),
    ] {
        let error = broken(json!({ "sub": sub }));
        assert_eq!(error, Some(IdTokenError::Subject), "{sub}");
    }
    assert_eq!(broken(json!({"sub": "a".repeat(255)})), None);
}

#[test]
fn i8_a_hash_of_the_access_token_is_compared_if_it_is_there() {
    // OpenID Connect Core appendix A.3.
    let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    assert_eq!(
        half_hash(SigningAlgorithm::RS256, token),
        "77QmUPtjPfzWtF2AnpK9RQ"
    );
    let expected = Expectations {
        at_hash_of: Some(token),
        ..expected()
    };
    let broken = |at_hash: Value| judged(&claims(json!({ "at_hash": at_hash })), &expected).err();
    assert_eq!(broken(json!(null)), None);
    assert_eq!(broken(json!("77QmUPtjPfzWtF2AnpK9RQ")), None);
    for at_hash in [json!("77QmUPtjPfzWtF2AnpK9RR"), json!(""), json!(7)] {
        let error = broken(at_hash.clone());
        assert_eq!(error, Some(IdTokenError::AccessTokenHash), "{at_hash}");
    }
}

#[test]
fn c17_hashes_of_the_code_and_the_state_must_be_there() {
    // OpenID Connect Core appendix A.4.
    let (code, c_hash) = (
        "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk",
        "LDktKdoQak3Pk0cnXxCltA",
    );
    let s_hash = half_hash(ES256, "CANARY-state");
    let expected = Expectations {
        c_hash_of: Some(code),
        s_hash_of: Some("CANARY-state"),
        ..expected()
    };
    let broken = |claims: &Value| judged(claims, &expected).err();
    let both = claims(json!({"c_hash": c_hash, "s_hash": s_hash}));
    assert_eq!(broken(&both), None);
    for (name, error) in [
        ("c_hash", IdTokenError::CodeHash),
        ("s_hash", IdTokenError::StateHash),
    ] {
        for wrong in [None, Some("another")] {
            let mut claims = both.clone();
            match wrong {
                None => drop(claims.as_object_mut().unwrap().remove(name)),
                Some(wrong) => claims[name] = json!(wrong),
            }
            assert_eq!(broken(&claims), Some(error.clone()), "{name}");
        }
    }
}

#[test]
fn a_hash_is_by_the_function_of_the_signature() {
    for algorithm in SigningAlgorithm::ALL {
        let length = match algorithm.name() {
            "EdDSA" => 64,
            name => name[2..].parse::<usize>().unwrap() / 8,
        };
        let hash = URL_SAFE_NO_PAD.decode(half_hash(algorithm, "a")).unwrap();
        assert_eq!(2 * hash.len(), length, "{algorithm:?}");
    }
}

#[test]
fn what_was_asked_of_the_sign_in_is_demanded() {
    let expected = Expectations {
        max_age: Some(Duration::from_secs(300)),
        acr_values: Some("urn:loa:3  urn:loa:2"),
        ..expected()
    };
    let broken = |otherwise| judged(&claims(otherwise), &expected).err();
    let (old, acr) = (
        IdTokenError::SignedInLongAgo,
        IdTokenError::AuthenticationContext,
    );
    let no_time = IdTokenError::NoTime("auth_time");
    for (auth_time, acr_said, rule) in [
        (json!(NOW - 360), json!("urn:loa:2"), None),
        (json!(NOW - 361), json!("urn:loa:2"), Some(old.clone())),
        (json!(NOW + 61), json!("urn:loa:2"), Some(old)),
        (json!(null), json!("urn:loa:2"), Some(no_time.clone())),
        (json!("then"), json!("urn:loa:2"), Some(no_time)),
        (json!(NOW), json!(null), Some(acr.clone())),
        (json!(NOW), json!("urn:loa:1"), Some(acr.clone())),
        (json!(NOW), json!(["urn:loa:2"]), Some(acr.clone())),
        (json!(NOW), json!(""), Some(acr)),
    ] {
        let said = json!({"auth_time": auth_time, "acr": acr_said});
        assert_eq!(broken(said.clone()), rule, "{said}");
    }
}

#[test]
fn i10_a_bound_claim_has_its_value() {
    let bound = [("openbanking_intent_id".to_owned(), "intent-7".to_owned())].into();
    let expected = Expectations {
        claims: Some(&bound),
        ..expected()
    };
    let broken = |value: Value| {
        let claims = claims(json!({ "openbanking_intent_id": value }));
        judged(&claims, &expected).err()
    };
    assert_eq!(broken(json!("intent-7")), None);
    for value in [
        json!(null),
        json!("intent-8"),
        json!(["intent-7"]),
        json!(""),
    ] {
        let rule = IdTokenError::Bound("openbanking_intent_id".to_owned());
        assert_eq!(broken(value.clone()), Some(rule), "{value}");
    }
}

#[test]
fn i9_the_person_is_issuer_and_subject_and_nothing_else() {
    let person = |otherwise| {
        let judged = judged(&claims(otherwise), &expected());
        judged.ok().map(|it| it.person())
    };
    let ada = person(json!({"email": "ada@mail.example"}));
    assert!(ada.is_some() && ada == person(json!({"email": "eve@mail.example"})));
    assert!(ada != person(json!({"sub": "eve", "email": "ada@mail.example"})));
    let elsewhere = Expectations {
        issuer: "https://other.example",
        ..expected()
    };
    let elsewhere = judged(&claims(json!({"iss": "https://other.example"})), &elsewhere);
    assert!(ada != elsewhere.ok().map(|it| it.person()));
}

#[test]
fn t11_claims_that_two_readers_could_read_differently_are_refused() {
    let key = SigningKey::generate(ES256).unwrap();
    let twice = format!(
        r#"{{"iss":"{ISSUER}","sub":"eve","aud":"{CLIENT}","nonce":"{NONCE}","iat":{NOW},"exp":{},"sub":"ada"}}"#,
        NOW + 60
    );
    let written: Box<serde_json::value::RawValue> = serde_json::from_str(&twice).unwrap();
    let token = key.sign(Head::Kid, None, &written).unwrap();
    let set = json!({ "keys": [key.public_jwk()] }).to_string();
    let keys = Keys {
        institution: &JwkSet::parse(set.as_bytes()).unwrap(),
        secret: None,
        own: &[],
    };
    let error = verify(&token, SIGNED, keys, &expected(), now()).err();
    let expected = IdTokenError::Signed(SignedResponseError::Claims(
        super::super::json::JsonError::Duplicate,
    ));
    assert_eq!(error, Some(expected));
}
