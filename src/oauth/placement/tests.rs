use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::attempt::AttemptSecrets;
use super::super::pushed_request::{PushError, Unusable};
use super::super::test_support::{
    at, client, client_with, key_files, oauth, registration, secrets,
};
use super::super::transport_error::TransportError;
use super::*;
use crate::domain::algorithm::SigningAlgorithm;
use crate::domain::client::Registration;
use crate::domain::client_authentication::ClientAuthentication;
use crate::domain::connection_values::ConnectionValues;
use crate::domain::institution::OAuth;
use crate::domain::secret::AuthorizationState;
use crate::domain::template::Template;
use crate::fake_server::{FakeServer, Reply, Request, json as says, response};
use crate::jose::{JwkSet, SigningKey, VerifyWith, prove, verify};

const SOUND: &str = r#"{"request_uri":"urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c","expires_in":60}"#;

fn state() -> AuthorizationState {
    AuthorizationState::parse(&format!("07{}", "s".repeat(43))).unwrap()
}

fn bank() -> OAuth {
    oauth(&Url::parse("https://bank.example").unwrap())
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

/// Where the browser is sent.
async fn placed(
    client: &OAuthClient,
    oauth: &OAuth,
    registration: &Registration,
) -> Result<Url, PrepareError> {
    let (state, secrets): (_, AttemptSecrets) = (state(), secrets());
    let request = AuthorizationRequest {
        at: at(oauth, registration),
        state: &state,
        secrets: &secrets,
        ui_locales: Some("fr de"),
        hints: &[],
        values: &ConnectionValues::default(),
    };
    client.place(&request, now()).await
}

async fn in_the_address(oauth: &OAuth) -> Url {
    let client = client();
    placed(&client, oauth, &registration()).await.unwrap()
}

/// A bank whose push endpoint responds like this; what became of the request, and what was pushed.
async fn pushed(
    respond: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    change: impl FnOnce(&mut OAuth, &mut Registration),
) -> (Result<Url, PrepareError>, Vec<Request>) {
    let server = FakeServer::start(respond);
    let (mut oauth, mut registration) = (bank(), registration());
    oauth.authorization.pushed_to = Some(server.url("/par"));
    change(&mut oauth, &mut registration);
    let client = client();
    let outcome = placed(&client, &oauth, &registration).await;
    (outcome, server.requests())
}

fn names(url: &Url) -> Vec<String> {
    url.query_pairs()
        .map(|(name, _)| name.into_owned())
        .collect()
}

#[tokio::test]
async fn a1_the_request_asks_for_a_code_and_nothing_else() {
    let url = in_the_address(&bank()).await;
    let expected = format!(
        "https://bank.example/authorize?response_type=code&client_id=guichet-1\
         &redirect_uri=https%3A%2F%2Fgateway.example%2Foauth%2Fredirect_from%2Fapp%2Fbank\
         &scope=accounts+transactions&state=07{}\
         &code_challenge={}&code_challenge_method=S256&ui_locales=fr+de",
        "s".repeat(43),
        secrets().challenge().as_str()
    );
    assert_eq!(url.as_str(), expected);
}

#[tokio::test]
async fn a10_the_endpoints_query_is_kept_and_its_fragment_is_not() {
    let mut oauth = bank();
    oauth.authorization_endpoint =
        Url::parse("https://bank.example/auth?tenant=a%20b#top").unwrap();
    let url = in_the_address(&oauth).await;
    let expected = "https://bank.example/auth?tenant=a%20b&response_type=code&";
    assert!(url.as_str().starts_with(expected), "{url}");
    assert_eq!(url.fragment(), None);
}

#[tokio::test]
async fn a5_what_is_no_text_is_written_as_json_in_an_address() {
    let mut oauth = bank();
    oauth.authorization.max_age = Some(300);
    oauth.authorization.claims = Some(json!({"userinfo": {"x&y": null}}));
    let url = in_the_address(&oauth).await;
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    for (name, value) in [
        ("max_age", "300"),
        ("claims", r#"{"userinfo":{"x&y":null}}"#),
    ] {
        let pair = (name.to_owned(), value.to_owned());
        assert!(pairs.contains(&pair), "{pairs:?}");
    }
}

#[tokio::test]
async fn a6_the_browser_brings_its_client_and_the_name_of_what_was_pushed() {
    let (outcome, requests) = pushed(
        |_| says("201 Created", SOUND),
        |oauth, _| oauth.authorization.details = vec![json!({"type": "accounts"})],
    )
    .await;
    let url = outcome.unwrap();
    assert_eq!(names(&url), ["client_id", "request_uri"]);
    let brought = url.query_pairs().nth(1).unwrap().1;
    assert_eq!(
        brought,
        "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c"
    );
    let [request] = &requests[..] else {
        panic!("once")
    };
    let basic = request.header("authorization");
    assert!(basic.is_some_and(|basic| basic.starts_with("Basic ")));
    let form = request.form();
    let value = |name: &str| {
        let found: Vec<&str> = form
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .collect();
        let [value] = found[..] else {
            panic!("{name}: {form:?}")
        };
        value.to_owned()
    };
    assert_eq!(value("client_id"), "guichet-1");
    assert_eq!(value("response_type"), "code");
    assert_eq!(value("state"), state().expose());
    assert_eq!(value("code_challenge"), secrets().challenge().as_str());
    assert_eq!(value("authorization_details"), r#"[{"type":"accounts"}]"#);
    assert!(
        !form
            .iter()
            .any(|(name, _)| name == "client_secret" || name == "code_verifier")
    );
}

#[tokio::test]
async fn a7_the_push_is_authenticated_as_every_call_and_names_the_client_once() {
    for authentication in [
        ClientAuthentication::ClientSecretPost("CANARY-client-secret".into()),
        ClientAuthentication::None,
    ] {
        let has_secret = authentication.client_secret().is_some();
        let (outcome, requests) = pushed(
            |_| says("201 Created", SOUND),
            |_, registration| registration.client_authentication = authentication,
        )
        .await;
        assert!(outcome.is_ok());
        let form = requests[0].form();
        let count = |wanted: &str| form.iter().filter(|(name, _)| name == wanted).count();
        assert_eq!(count("client_id"), 1);
        assert_eq!(count("client_secret"), usize::from(has_secret));
        assert_eq!(requests[0].header("authorization"), None);
    }
}

#[tokio::test]
async fn a8_only_the_response_of_the_standard_counts() {
    let long = "u".repeat(2049);
    let unusable = |unusable| PrepareError::Push(PushError::Unusable(unusable));
    let with_uri = |uri: &str| format!(r#"{{"request_uri":{uri},"expires_in":60}}"#);
    let with_life = |life: &str| format!(r#"{{"request_uri":"urn:x","expires_in":{life}}}"#);
    let mut cases = vec![
        ("200 OK", SOUND.to_owned(), unusable(Unusable::Status(200))),
        (
            "202 Accepted",
            SOUND.to_owned(),
            unusable(Unusable::Status(202)),
        ),
        (
            "201 Created",
            r#"{"expires_in":60}"#.to_owned(),
            unusable(Unusable::RequestUri),
        ),
        (
            "201 Created",
            r#"{"request_uri":"urn:x"}"#.to_owned(),
            unusable(Unusable::ExpiresIn),
        ),
    ];
    let huge = format!("{long:?}");
    for uri in [
        "7",
        "null",
        "[]",
        r#""""#,
        r#""a b""#,
        r#""a\r\nb""#,
        r#""é""#,
        r#""a\u0000""#,
        &huge,
    ] {
        cases.push(("201 Created", with_uri(uri), unusable(Unusable::RequestUri)));
    }
    for life in [
        "0",
        "-1",
        "null",
        r#""60""#,
        "0.5",
        "1e3",
        "99999999999999999999999",
    ] {
        cases.push((
            "201 Created",
            with_life(life),
            unusable(Unusable::ExpiresIn),
        ));
    }
    for (status, body, expected) in cases {
        let sent = body.clone();
        let (outcome, _) = pushed(move |_| says(status, &sent), |_, _| {}).await;
        assert_eq!(outcome.err(), Some(expected), "{status} {body:.80}");
    }
    let call = |error| Some(PrepareError::Push(PushError::Call(error)));
    let elsewhere =
        |_: &Request| response("302 Found", &[("location", "https://evil.example/")], b"");
    let (outcome, requests) = pushed(elsewhere, |_, _| {}).await;
    assert_eq!(outcome.err(), call(TransportError::Redirected(302)));
    assert_eq!(requests.len(), 1);
    let html = |_: &Request| response("201 Created", &[("content-type", "text/html")], b"<p>");
    let (outcome, _) = pushed(html, |_, _| {}).await;
    assert!(matches!(
        outcome,
        Err(PrepareError::Push(PushError::Call(
            TransportError::MediaType(_)
        )))
    ));
    let much = format!(
        r#"{{"request_uri":"{}","expires_in":60}}"#,
        "u".repeat(1024 * 1024)
    );
    let (outcome, _) = pushed(move |_| says("201 Created", &much), |_, _| {}).await;
    assert!(matches!(
        outcome,
        Err(PrepareError::Push(PushError::Call(
            TransportError::TooLong(_)
        )))
    ));
}

#[tokio::test]
async fn a8_the_name_can_neither_add_a_parameter_nor_change_the_host() {
    for hostile in [
        "x&redirect_uri=https://evil.example",
        "https://evil.example/?a=b#c",
        "x#@evil.example/",
        "//evil.example",
        "x%26state=y",
    ] {
        let body = json!({"request_uri": hostile, "expires_in": 1}).to_string();
        let (outcome, _) = pushed(move |_| says("201 Created", &body), |_, _| {}).await;
        let url = outcome.unwrap();
        assert_eq!(url.host_str(), Some("bank.example"));
        assert_eq!(names(&url), ["client_id", "request_uri"]);
        assert_eq!(url.query_pairs().nth(1).unwrap().1, hostile);
        assert_eq!(url.fragment(), None);
    }
}

#[tokio::test]
async fn a8_a_refusal_is_told_without_our_secrets() {
    let said = format!(
        r#"{{"error":"invalid_request","error_description":"no {} {}"}}"#,
        state().expose(),
        secrets().nonce()
    );
    let (outcome, _) = pushed(move |_| says("400 Bad Request", &said), |_, _| {}).await;
    let error = outcome.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("invalid_request: no [secret] [secret]"),
        "{text}"
    );
    assert!(!error.is_an_outage());
    let (outcome, _) = pushed(|_| says("503 Unavailable", "{}"), |_, _| {}).await;
    assert!(outcome.unwrap_err().is_an_outage());
}

/// A client that signs, its registration, and what verifies its signatures.
fn signer() -> (OAuthClient, Registration, JwkSet) {
    prove().unwrap();
    let files = key_files(true);
    let pem = std::fs::read(&files.signing[0]).unwrap();
    let key = SigningKey::from_pem(&pem, SigningAlgorithm::PS256).unwrap();
    let set = json!({"keys": [key.public_jwk()]}).to_string();
    let client = client_with(&files);
    let registration = Registration {
        keys: Some(files),
        ..registration()
    };
    (client, registration, JwkSet::parse(set.as_bytes()).unwrap())
}

/// Header and claims of a request object with that signature.
fn opened(object: &str, set: &JwkSet) -> (Value, Value) {
    let claims = verify(object, SigningAlgorithm::PS256, VerifyWith::Keys(set)).unwrap();
    let header = URL_SAFE_NO_PAD
        .decode(object.split('.').next().unwrap())
        .unwrap();
    (
        serde_json::from_slice(&header).unwrap(),
        serde_json::from_slice(&claims).unwrap(),
    )
}

#[tokio::test]
async fn a9_a_signed_request_is_for_the_issuer_and_says_everything_inside() {
    let mut oauth = bank();
    oauth.request_object_signing_alg = Some(SigningAlgorithm::PS256);
    oauth.authorization.max_age = Some(300);
    oauth.authorization.details = vec![json!({"type": "accounts"})];
    oauth.calls.authorization.add = [("sub", "guichet-1"), ("jti", "x"), ("request", "y")]
        .map(|(name, value)| (name.to_owned(), Template::parse(value).unwrap()))
        .into();
    let (client, registration, set) = signer();
    let url = placed(&client, &oauth, &registration).await.unwrap();
    assert_eq!(names(&url), ["client_id", "request"]);
    let object = url.query_pairs().nth(1).unwrap().1;
    let (header, claims) = opened(&object, &set);
    assert_eq!(header["typ"], "oauth-authz-req+jwt");
    assert_eq!(claims["iss"], "guichet-1");
    assert_eq!(claims["client_id"], "guichet-1");
    assert_eq!(claims["aud"], "https://bank.example");
    let time = |name: &str| claims[name].as_i64().unwrap();
    assert_eq!(time("iat"), now().as_second());
    assert_eq!(time("exp") - time("nbf"), 300);
    assert!(time("nbf") <= time("iat") && time("iat") < time("exp"));
    assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
    for absent in ["sub", "request", "request_uri"] {
        assert_eq!(claims.get(absent), None, "{absent}");
    }
    assert_eq!(claims["state"], state().expose());
    assert_eq!(claims["max_age"], 300);
    assert_eq!(
        claims["authorization_details"],
        json!([{"type": "accounts"}])
    );
    assert_eq!(claims["redirect_uri"], registration.redirect_uri.as_str());
    let again = placed(&client, &oauth, &registration).await.unwrap();
    let again = opened(&again.query_pairs().nth(1).unwrap().1, &set).1;
    assert_ne!(again["jti"], claims["jti"], "each is made anew");
}

#[tokio::test]
async fn a9_with_openid_what_its_standard_demands_is_said_outside_as_well() {
    let mut oauth = bank();
    oauth.request_object_signing_alg = Some(SigningAlgorithm::PS256);
    oauth.scopes = vec!["openid".to_owned()];
    let (client, registration, _) = signer();
    let url = placed(&client, &oauth, &registration).await.unwrap();
    assert_eq!(
        names(&url),
        ["response_type", "client_id", "scope", "request"]
    );
}

#[tokio::test]
async fn a9_a_signed_request_is_pushed_as_it_is() {
    let server = FakeServer::start(|_| says("201 Created", SOUND));
    let mut oauth = bank();
    oauth.request_object_signing_alg = Some(SigningAlgorithm::PS256);
    oauth.authorization.pushed_to = Some(server.url("/par"));
    let (client, registration, set) = signer();
    let url = placed(&client, &oauth, &registration).await.unwrap();
    assert_eq!(names(&url), ["client_id", "request_uri"]);
    let form = server.requests()[0].form();
    let sent: Vec<&str> = form.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(sent, ["client_id", "request"]);
    assert_eq!(opened(&form[1].1, &set).1["state"], state().expose());
}

#[tokio::test]
async fn a9_without_a_key_nobody_is_sent_anywhere() {
    let mut oauth = bank();
    oauth.request_object_signing_alg = Some(SigningAlgorithm::PS256);
    let refused = placed(&client(), &oauth, &registration()).await.err();
    assert!(
        matches!(refused, Some(PrepareError::Sign(_))),
        "{refused:?}"
    );
    let (client, registration, _) = signer();
    oauth.issuer = None;
    let refused = placed(&client, &oauth, &registration).await.err();
    assert_eq!(refused, Some(PrepareError::NoIssuer));
}
