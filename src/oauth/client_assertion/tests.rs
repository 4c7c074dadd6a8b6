use std::collections::BTreeSet;
use std::path::Path;

use secrecy::SecretString;
use serde_json::{Value, json};

use super::super::OAuthClient;
use super::super::attempt::AttemptSecrets;
use super::super::client_keys::ClientKeys;
use super::super::code::AuthorizationCode;
use super::super::exchange::Authorized;
use super::super::scrub::Scrubber;
use super::super::test_support::{Os, at, client_of, oauth, registration, secrets};
use super::super::token_response::Issued;
use super::*;
use crate::domain::algorithm::SigningAlgorithm;
use crate::domain::client::{KeyFiles, Registration};
use crate::domain::client_authentication::ClientAuthentication;
use crate::domain::institution::OAuth;
use crate::domain::secret::AuthorizationState;
use crate::fake_server::{FakeServer, Request, json as reply};
use crate::jose::{JoseError, JwkSet, VerifyWith, new_key, verify};

const ISSUER: &str = "https://bank.example";
const RSA: &str = include_str!("../../jose/proof.pem");
const TOKENS: &str = r#"{"access_token":"CANARY-access","token_type":"Bearer"}"#;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

fn rules(algorithm: SigningAlgorithm, audience: &str) -> AssertionRules {
    AssertionRules {
        algorithm,
        audience: audience.to_owned(),
    }
}

/// A registration with a new key of its own in that folder, and the client that signs with it.
fn keyed(folder: &Path, rules: AssertionRules) -> (OAuthClient, Registration) {
    let file = folder.join(format!("{}.pem", rules.algorithm.name()));
    let pem = match rules.algorithm {
        // Making one takes long.
        SigningAlgorithm::PS256 | SigningAlgorithm::RS256 => RSA.to_owned(),
        algorithm => new_key(algorithm).expect("a key").to_string(),
    };
    std::fs::write(&file, pem).expect("written");
    let files = KeyFiles {
        signing: vec![file],
        encryption: Vec::new(),
        algorithms: vec![rules.algorithm],
    };
    let keys = ClientKeys::open([&files]).expect("keys");
    let client = client_of(keys);
    let registration = Registration {
        client_authentication: ClientAuthentication::PrivateKeyJwt(rules),
        keys: Some(files),
        ..registration()
    };
    (client, registration)
}

/// What others can verify its signatures with.
fn published(client: &OAuthClient, registration: &Registration) -> JwkSet {
    let files = registration.keys.as_ref().expect("files");
    let keys = client.client_keys().current(files).expect("keys");
    JwkSet::parse(keys.public().to_string().as_bytes()).expect("a set")
}

/// Exchanges a code there; the text of the error, if there is one.
async fn exchange(client: &OAuthClient, bank: &OAuth, registration: &Registration) -> String {
    let state = AuthorizationState::parse(&format!("07{}", "s".repeat(43))).expect("a state");
    let code = AuthorizationCode::parse("CANARY-code").expect("a code");
    let secrets: AttemptSecrets = secrets();
    let authorized = Authorized {
        state: &state,
        code: &code,
        id_token: None,
        secrets: &secrets,
        values: &Default::default(),
    };
    let asked = client.exchange(at(bank, registration), &authorized, now());
    let failed = asked.await.err();
    failed.map_or(String::new(), |failed| failed.error.to_string())
}

fn field(request: &Request, name: &str) -> Option<String> {
    let form = request.form();
    let mut found = form.into_iter().filter(|(key, _)| key == name);
    let value = found.next().map(|(_, value)| value);
    assert!(found.next().is_none(), "{name} is there twice");
    value
}

fn sent(request: &Request) -> String {
    let kind = field(request, "client_assertion_type");
    assert_eq!(kind.as_deref(), Some(ASSERTION_TYPE));
    for other in ["client_id", "client_secret"] {
        assert_eq!(field(request, other), None, "{other}");
    }
    assert_eq!(request.header("authorization"), None);
    field(request, "client_assertion").expect("an assertion")
}

fn part(token: &str, nth: usize) -> Value {
    let part = token.split('.').nth(nth).expect("a part");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("Base64url")).expect("JSON")
}

#[tokio::test]
async fn t3_an_assertion_names_the_client_and_the_issuer_alone_for_a_minute() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = FakeServer::start(|_| reply("200 OK", TOKENS));
    let bank = oauth(&server.url("/"));
    for algorithm in [
        SigningAlgorithm::PS256,
        SigningAlgorithm::RS256,
        SigningAlgorithm::ES256,
        SigningAlgorithm::ES384,
        SigningAlgorithm::EdDSA,
    ] {
        let (client, registration) = keyed(folder.path(), rules(algorithm, ISSUER));
        assert_eq!(exchange(&client, &bank, &registration).await, "");
        let assertion = sent(server.requests().last().expect("a request"));
        let keys = published(&client, &registration);
        let claims = verify(&assertion, algorithm, VerifyWith::Keys(&keys)).expect("genuine");
        let claims: Value = serde_json::from_slice(&claims).expect("JSON");
        let jti = claims["jti"].as_str().expect("a text");
        assert_eq!(jti.len(), 22, "128 bits");
        let expected = json!({
            "iss": "guichet-1", "sub": "guichet-1", "aud": ISSUER, "jti": jti,
            "iat": 1_800_000_000, "exp": 1_800_000_060,
        });
        assert_eq!(claims, expected);
        let kid = keys.kids().next().expect("a key");
        assert_eq!(
            part(&assertion, 0),
            json!({"alg": algorithm.name(), "kid": kid})
        );
    }
}

#[tokio::test]
async fn t3_every_request_has_an_assertion_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = FakeServer::start(|_| reply("200 OK", TOKENS));
    let bank = oauth(&server.url("/"));
    let (client, registration) = keyed(folder.path(), rules(SigningAlgorithm::ES256, ISSUER));
    let issued = Issued {
        access: vec![SecretString::from("CANARY-access")],
        refresh: vec![SecretString::from("CANARY-refresh")],
        values: Default::default(),
    };
    let scrubber = Scrubber::default();
    let revoked = client.revoke(at(&bank, &registration), &issued, &scrubber, now());
    assert_eq!(revoked.await, Ok(()));
    assert_eq!(exchange(&client, &bank, &registration).await, "");
    let sent: Vec<String> = server.requests().iter().map(sent).collect();
    let mut ids: BTreeSet<String> = sent
        .iter()
        .map(|it| part(it, 1)["jti"].to_string())
        .collect();
    assert_eq!((sent.len(), ids.len()), (3, 3));
    let key = SigningKey::generate(SigningAlgorithm::EdDSA).expect("a key");
    let rules = rules(SigningAlgorithm::EdDSA, ISSUER);
    for _ in 0..1000 {
        let made = assertion("guichet-1", &rules, &key, &Os, now()).expect("an assertion");
        ids.insert(part(&made, 1)["jti"].to_string());
    }
    assert_eq!(ids.len(), 1003);
}

#[tokio::test]
async fn t3_an_assertion_under_the_client_secret_shows_nothing_of_it() {
    let server = FakeServer::start(|_| reply("200 OK", TOKENS));
    let bank = oauth(&server.url("/"));
    let keys = ClientKeys::default();
    let client = client_of(keys);
    for algorithm in [
        SigningAlgorithm::HS256,
        SigningAlgorithm::HS384,
        SigningAlgorithm::HS512,
    ] {
        let secret = "CANARY-client-secret";
        let registration = Registration {
            client_authentication: ClientAuthentication::ClientSecretJwt(
                rules(algorithm, ISSUER),
                SecretString::from(secret),
            ),
            ..registration()
        };
        assert_eq!(exchange(&client, &bank, &registration).await, "");
        let assertion = sent(server.requests().last().expect("a request"));
        let with = VerifyWith::Secret(secret.as_bytes());
        assert!(verify(&assertion, algorithm, with).is_ok());
        assert_eq!(part(&assertion, 0), json!({"alg": algorithm.name()}));
        assert_eq!(part(&assertion, 1)["aud"], ISSUER);
    }
}

#[tokio::test]
async fn t4_an_assertion_that_another_institution_is_sent_is_of_no_use_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    // The one institution says that the other one's token endpoint is its own.
    let other = FakeServer::start(|_| reply("401 Unauthorized", r#"{"error":"invalid_client"}"#));
    let mut bank = oauth(&"https://bank.example".parse().expect("a URL"));
    bank.token_endpoint = other.url("/token");
    let (client, registration) = keyed(folder.path(), rules(SigningAlgorithm::ES256, ISSUER));
    let error = exchange(&client, &bank, &registration).await;
    assert!(error.contains("invalid_client"), "{error}");
    let assertion = sent(&other.requests()[0]);
    // It is for the issuer that the file names, and neither for the other one's nor for the address that it came to.
    assert_eq!(part(&assertion, 1)["aud"], ISSUER);
    // And what the other one fetches of this client does not have the key.
    let own = tempfile::tempdir().expect("a folder");
    let (its_client, its_registration) = keyed(
        own.path(),
        rules(SigningAlgorithm::ES256, "https://other.example"),
    );
    let its_keys = published(&its_client, &its_registration);
    let verified = verify(
        &assertion,
        SigningAlgorithm::ES256,
        VerifyWith::Keys(&its_keys),
    );
    assert_eq!(verified.err(), Some(JoseError::UnknownKey));
}

#[tokio::test]
async fn t3_nothing_is_shown_of_an_assertion_that_the_institution_repeats() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = FakeServer::start(|request| {
        let assertion = field(request, "client_assertion").unwrap_or_default();
        let error =
            json!({"error": "invalid_client", "error_description": format!("no: {assertion}")});
        reply("401 Unauthorized", &error.to_string())
    });
    let bank = oauth(&server.url("/"));
    for algorithm in [SigningAlgorithm::PS256, SigningAlgorithm::ES256] {
        let (client, registration) = keyed(folder.path(), rules(algorithm, ISSUER));
        let error = exchange(&client, &bank, &registration).await;
        assert!(
            error.contains("invalid_client: no: [long value]"),
            "{error}"
        );
        let assertion = sent(server.requests().last().expect("a request"));
        for part in assertion.split('.') {
            assert!(!error.contains(&part[..12]), "{error}");
        }
    }
}

#[tokio::test]
async fn a_client_without_its_key_sends_nothing() {
    let server = FakeServer::start(|_| reply("200 OK", TOKENS));
    let bank = oauth(&server.url("/"));
    let folder = tempfile::tempdir().expect("a folder");
    let (_, registration) = keyed(folder.path(), rules(SigningAlgorithm::ES256, ISSUER));
    let keys = ClientKeys::default();
    let without = client_of(keys);
    let error = exchange(&without, &bank, &registration).await;
    assert!(error.contains("no signing key"), "{error}");
    assert_eq!(server.requests().len(), 0);
}
