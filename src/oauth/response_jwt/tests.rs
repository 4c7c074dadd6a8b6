use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use url::Url;

use super::super::key_cache::KeysError;
use super::super::response::{
    AuthorizationResponse, AuthorizationResult, InvalidAuthorizationResponse, IssuerMismatch,
    UnprovenResponse,
};
use super::super::test_support::{at, client, client_with, key_files, oauth, registration};
use super::super::transport_error::TransportError;
use super::*;
use crate::domain::algorithm::{ContentEncryption, Encryption, KeyManagement, SigningAlgorithm};
use crate::domain::authorization::ResponseMode;
use crate::domain::client::{KeyFiles, Registration};
use crate::domain::institution::OAuth;
use crate::fake_server::{FakeServer, json as says};
use crate::jose::{Head, SigningKey, for_us, prove};

const ISSUER: &str = "https://bank.example";

fn state() -> String {
    format!("07{}", "s".repeat(43))
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// An institution that signs with a key that it publishes.
struct Signer {
    key: SigningKey,
    server: FakeServer,
    oauth: OAuth,
    client: OAuthClient,
    keys: Option<KeyFiles>,
}

impl Signer {
    fn start() -> Self {
        prove().unwrap();
        let key = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
        let set = json!({"keys": [key.public_jwk()]}).to_string();
        let server = FakeServer::start(move |_| says("200 OK", &set));
        let mut oauth = oauth(&Url::parse(ISSUER).unwrap());
        oauth.response_mode = ResponseMode::QueryJwt;
        oauth.authorization.signed_response = SigningAlgorithm::ES256;
        oauth.discovery.jwks_uri = Some(server.url("/keys"));
        Self {
            key,
            server,
            oauth,
            client: client(),
            keys: None,
        }
    }

    /// The claims of an honest response, with this one otherwise; `null`: without it.
    fn claims(name: &str, value: Value) -> Value {
        let mut claims = json!({
            "iss": ISSUER,
            "aud": "guichet-1",
            "exp": now().as_second() + 600,
            "state": state(),
            "code": "CODE-1234",
        });
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        claims
    }

    fn registration(&self) -> Registration {
        Registration {
            keys: self.keys.clone(),
            ..registration()
        }
    }

    fn sign(&self, claims: &Value) -> String {
        self.key.sign(Head::Kid, None, claims).unwrap()
    }

    fn read(&self, raw: &str) -> Result<AuthorizationResponse, InvalidAuthorizationResponse> {
        let registration = self.registration();
        self.client
            .read_response(at(&self.oauth, &registration), raw.as_bytes())
    }

    async fn proved(&self, token: &str) -> Result<(), UnprovenResponse> {
        let response = self.read(&format!("response={token}")).unwrap();
        let registration = self.registration();
        let at = at(&self.oauth, &registration);
        self.client.prove_response(at, &response, now()).await
    }

    /// What becomes of a well signed response with this claim otherwise.
    async fn with(&self, name: &str, value: Value) -> Result<(), UnprovenResponse> {
        self.proved(&self.sign(&Self::claims(name, value))).await
    }

    fn hits(&self) -> usize {
        self.server.requests().len()
    }
}

fn unproven<T>(error: UnprovenJwt) -> Result<T, UnprovenResponse> {
    Err(UnprovenResponse::Jwt(error))
}

#[tokio::test]
async fn c16_an_honest_response_is_read_and_proved() {
    let bank = Signer::start();
    let token = bank.sign(&Signer::claims("foo", json!(1)));
    let response = bank.read(&format!("response={token}")).unwrap();
    assert_eq!(response.state.expose(), state());
    assert_eq!(response.iss.as_deref(), Some(ISSUER));
    assert!(
        matches!(&response.result, AuthorizationResult::Code(code) if code.expose() == "CODE-1234")
    );
    let parameters: Vec<_> = response.parameters().collect();
    assert_eq!(parameters, [("response", token.as_str())], "as it came");
    assert_eq!(
        bank.hits(),
        0,
        "nobody is asked before it is known whose it may be"
    );
    assert_eq!(bank.proved(&token).await, Ok(()));
    assert_eq!(bank.with("aud", json!(["guichet-1"])).await, Ok(()));
    let refused = json!({"iss": ISSUER, "aud": "guichet-1", "exp": now().as_second() + 1,
        "state": state(), "error": "access_denied", "error_description": "no"});
    assert_eq!(bank.proved(&bank.sign(&refused)).await, Ok(()));
    assert_eq!(bank.hits(), 1, "the keys are kept");
}

#[tokio::test]
async fn c16_issuer_audience_and_end_are_checked_before_the_signature() {
    let bank = Signer::start();
    for (value, expected) in [
        (Value::Null, IssuerMismatch::Missing),
        (json!(7), IssuerMismatch::Missing),
        (
            json!("https://bank.example/"),
            IssuerMismatch::Other("https://bank.example/".to_owned()),
        ),
        (
            json!("https://evil.example"),
            IssuerMismatch::Other("https://evil.example".to_owned()),
        ),
    ] {
        assert_eq!(
            bank.with("iss", value).await,
            Err(UnprovenResponse::Issuer(expected))
        );
    }
    for audience in [
        Value::Null,
        json!("guichet-2"),
        json!(""),
        json!([]),
        json!(["guichet-1", "guichet-2"]),
        json!({"0": "guichet-1"}),
        json!(7),
    ] {
        assert_eq!(
            bank.with("aud", audience).await,
            unproven(UnprovenJwt::Audience)
        );
    }
    let second = now().as_second();
    for end in [
        Value::Null,
        json!(second - 60),
        json!(0),
        json!(-1),
        json!((second + 600).to_string()),
        json!(1e300),
        json!([second + 600]),
    ] {
        let what = end.to_string();
        assert_eq!(
            bank.with("exp", end).await,
            unproven(UnprovenJwt::Ended),
            "{what}"
        );
    }
    assert_eq!(bank.hits(), 0, "the institution is not asked");
    assert_eq!(
        bank.with("exp", json!(second - 59)).await,
        Ok(()),
        "its clock may be behind"
    );
    assert_eq!(bank.with("exp", json!(second as f64 + 0.5)).await, Ok(()));
}

#[tokio::test]
async fn c16_only_a_signature_of_the_institutions_key_and_the_registered_algorithm_counts() {
    let bank = Signer::start();
    let claims = Signer::claims("foo", json!(1));
    let token = bank.sign(&claims);
    let signature =
        |error: JoseError| unproven(UnprovenJwt::Signature(SignedResponseError::Jose(error)));
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let (head, body) = (encode(r#"{"alg":"none"}"#), encode(&claims.to_string()));
    assert_eq!(
        bank.proved(&format!("{head}.{body}.")).await,
        signature(JoseError::Algorithm("alg"))
    );
    let secret = SigningKey::from_secret(b"CANARY-client-secret", SigningAlgorithm::HS256).unwrap();
    let by_secret = secret.sign(Head::Nothing, None, &claims).unwrap();
    assert_eq!(
        bank.proved(&by_secret).await,
        signature(JoseError::Algorithm("alg"))
    );
    let stranger = SigningKey::generate(SigningAlgorithm::ES256).unwrap();
    let by_stranger = stranger.sign(Head::Kid, None, &claims).unwrap();
    assert_eq!(
        bank.proved(&by_stranger).await,
        signature(JoseError::UnknownKey)
    );
    let head = token.split('.').next().unwrap();
    let forged = by_stranger.split('.').skip(1).collect::<Vec<_>>().join(".");
    assert_eq!(
        bank.proved(&format!("{head}.{forged}")).await,
        signature(JoseError::Signature)
    );
    let mut other = Signer::start();
    other.oauth.authorization.signed_response = SigningAlgorithm::PS256;
    assert_eq!(
        other.with("foo", json!(1)).await,
        signature(JoseError::Algorithm("alg"))
    );
}

#[tokio::test]
async fn c16_keys_that_cannot_be_read_prove_nothing() {
    let mut bank = Signer::start();
    let broken = FakeServer::start(|_| says("500 A", "{}"));
    bank.oauth.discovery.jwks_uri = Some(broken.url("/keys"));
    let expected = SignedResponseError::Keys(KeysError::Call(TransportError::Status(500)));
    assert_eq!(
        bank.with("foo", json!(1)).await,
        unproven(UnprovenJwt::Signature(expected))
    );
}

#[test]
fn c16_what_is_beside_the_jwt_or_instead_of_it_is_refused() {
    let bank = Signer::start();
    let token = bank.sign(&Signer::claims("foo", json!(1)));
    let refused = |raw: String| bank.read(&raw).err();
    let invalid = |error| Some(InvalidAuthorizationResponse::Jwt(error));
    for beside in [
        "state",
        "code",
        "iss",
        "error",
        "error_description",
        "id_token",
    ] {
        let expected = invalid(InvalidResponseJwt::Beside(beside));
        assert_eq!(refused(format!("response={token}&{beside}=x")), expected);
        assert_eq!(refused(format!("{beside}=&response={token}")), expected);
    }
    let twice = invalid(InvalidResponseJwt::Beside("response"));
    assert_eq!(refused(format!("response={token}&response={token}")), twice);
    assert!(bank.read(&format!("foo=1&response={token}&foo=2")).is_ok());
    for missing in ["", "response=", "foo=1"] {
        let expected = invalid(InvalidResponseJwt::Missing);
        assert_eq!(refused(missing.to_owned()), expected, "{missing}");
    }
    let unreadable = invalid(InvalidResponseJwt::Unreadable(JoseError::Malformed));
    for malformed in ["x", "a.b", "a.b.c.d", "a.b+.c", "..."] {
        assert_eq!(
            refused(format!("response={malformed}")),
            unreadable,
            "{malformed}"
        );
    }
    let inside = |payload: &str| {
        let payload = URL_SAFE_NO_PAD.encode(payload);
        refused(format!("response=e30.{payload}.AA"))
    };
    for payload in ["", "[]", "7", "{", r#"{"state":"a","state":"b"}"#] {
        assert_eq!(
            inside(payload),
            invalid(InvalidResponseJwt::NoClaims),
            "{payload}"
        );
    }
    let no_state = Some(InvalidAuthorizationResponse::State);
    assert_eq!(inside("{}"), no_state);
    assert_eq!(inside(r#"{"state":7,"code":"a"}"#), no_state);
    let both = json!({"state": state(), "code": "a", "error": "b"}).to_string();
    assert_eq!(
        inside(&both),
        Some(InvalidAuthorizationResponse::CodeAndError)
    );
    let long = "x".repeat(8 * 1024);
    let expected = Some(InvalidAuthorizationResponse::TooLong);
    assert_eq!(refused(format!("response={long}")), expected);
}

#[test]
fn c14_a_jwt_counts_only_where_one_was_asked_for() {
    let mut bank = Signer::start();
    let token = bank.sign(&Signer::claims("foo", json!(1)));
    bank.oauth.response_mode = ResponseMode::Query;
    let refused = bank.read(&format!("response={token}")).err();
    assert_eq!(refused, Some(InvalidAuthorizationResponse::State));
    assert!(AuthorizationResponse::has_part_in(
        format!("response={token}").as_bytes()
    ));
}

#[tokio::test]
async fn c16_where_responses_are_encrypted_one_that_is_not_is_refused() {
    let mut bank = Signer::start();
    bank.oauth.authorization.encrypted_response = Some(Encryption {
        alg: KeyManagement::RsaOaep256,
        enc: ContentEncryption::A256Gcm,
    });
    let token = bank.sign(&Signer::claims("foo", json!(1)));
    let files = key_files(false);
    bank.client = client_with(&files);
    bank.keys = Some(files);
    let encrypted = for_us(&token);
    assert_eq!(bank.proved(&encrypted).await, Ok(()));
    let held = bank.read(&format!("response={encrypted}")).unwrap();
    let registration = bank.registration();
    let again = bank
        .client
        .read_held_response(at(&bank.oauth, &registration), &held.to_bytes());
    assert_eq!(again.unwrap().state.expose(), state());
    let refused = bank.read(&format!("response={token}")).err();
    let unreadable = |error| {
        Some(InvalidAuthorizationResponse::Jwt(
            InvalidResponseJwt::Unreadable(error),
        ))
    };
    assert_eq!(refused, unreadable(JoseError::Malformed));
    let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RSA1_5","enc":"A256GCM"}"#);
    let rest = encrypted.split_once('.').unwrap().1;
    let refused = bank.read(&format!("response={head}.{rest}")).err();
    assert_eq!(refused, unreadable(JoseError::Algorithm("alg")));
}
