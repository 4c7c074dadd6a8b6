use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::super::json::JsonError;
use super::super::reason::{Meaning, SetupFault};
use super::super::reply::Refusal;
use super::super::test_support::{at as registered, client, oauth, registration, secrets};
use super::super::token_endpoint::TokenError;
use super::super::token_response::UnusableTokenResponse;
use super::super::transport_error::{MediaType, TransportError};
use super::*;
use crate::domain::client::Registration;
use crate::domain::client_authentication::{BasicEncoding, ClientAuthentication};
use crate::domain::institution::{OAuth, Pkce};
use crate::domain::token_set::TokenSet;
use crate::domain::window::ErrorReason;
use crate::fake_server::{FakeServer, Reply, Request, json, response};

const GOOD: &str = r#"{"access_token":"CANARY-access","token_type":"Bearer","expires_in":3600,
    "refresh_token":"CANARY-refresh","scope":"accounts","id_token":"x.y.z"}"#;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

async fn exchange_with(
    client: &OAuthClient,
    oauth: &OAuth,
    registration: &Registration,
) -> Result<TokenSet, TokenError> {
    outcome(client, oauth, registration)
        .await
        .map(|exchanged| exchanged.token_set)
        .map_err(|failed| failed.error)
}

async fn outcome(
    client: &OAuthClient,
    oauth: &OAuth,
    registration: &Registration,
) -> Result<Exchanged, Box<ExchangeFailure>> {
    let authorized = Authorized {
        state: &AuthorizationState::parse(&format!("07{}", "s".repeat(43))).unwrap(),
        code: &AuthorizationCode::parse("CANARY-code/+=").unwrap(),
        secrets: &secrets(),
        values: &ConnectionValues::default(),
    };
    let at = registered(oauth, registration);
    client.exchange(at, &authorized, now()).await
}

async fn exchange(oauth: &OAuth) -> Result<TokenSet, TokenError> {
    exchange_with(&client(), oauth, &registration()).await
}

/// Exchanges at a server that responds like this.
async fn at(
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Result<TokenSet, TokenError> {
    within_limit(Duration::from_secs(30), reply).await
}

/// Exchanges, in at most `limit`, at a server that responds like this. It must get exactly one request,
/// and an error must not contain any secret.
async fn within_limit(
    limit: Duration,
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Result<TokenSet, TokenError> {
    let server = FakeServer::start(reply);
    let mut oauth = oauth(&server.url("/"));
    oauth.timeout = limit;
    let outcome = exchange(&oauth).await;
    assert_eq!(server.requests().len(), 1);
    if let Err(error) = &outcome {
        let texts = format!("{error} {error:?}");
        let tells = texts.contains("CANARY") || texts.contains("vvvv");
        assert!(!tells, "{texts}");
        assert!(!error.to_string().chars().any(char::is_control), "{texts}");
        assert!(error.to_string().chars().count() < 500);
    }
    outcome
}

fn call(error: TransportError) -> Option<TokenError> {
    Some(TokenError::Call(error))
}

#[tokio::test]
async fn t1_the_token_request_has_exactly_what_the_standard_names() {
    let server = FakeServer::start(|_| json("200 OK", GOOD));
    let token_set = exchange(&oauth(&server.url("/"))).await.ok().unwrap();
    assert_eq!(token_set.access_token.expose_secret(), "CANARY-access");
    let refresh_token = token_set.refresh_token.unwrap();
    assert_eq!(refresh_token.expose_secret(), "CANARY-refresh");
    assert_eq!(token_set.scope.as_deref(), Some("accounts"));
    assert_eq!(
        token_set.expires_at.unwrap() - now(),
        jiff::Span::new().seconds(3600).fieldwise()
    );

    let [request] = &server.requests()[..] else {
        panic!("one request");
    };
    assert!(request.head.starts_with("POST /token HTTP/1.1\r\n"));
    let header = |name| request.header(name);
    assert_eq!(
        header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(header("accept"), Some("application/json"));
    assert_eq!(header("accept-encoding"), None);
    let mut form = request.form();
    form.sort();
    let redirect_uri = registration().redirect_uri;
    let expected = [
        ("code", "CANARY-code/+="),
        ("code_verifier", &"v".repeat(43)),
        ("grant_type", "authorization_code"),
        ("redirect_uri", redirect_uri.as_str()),
    ];
    assert_eq!(form, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
}

#[tokio::test]
async fn an_exchange_can_be_a_task_of_its_own() {
    let server = FakeServer::start(|_| json("200 OK", GOOD));
    let oauth = oauth(&server.url("/"));
    let task = tokio::spawn(async move { exchange(&oauth).await.is_ok() });
    assert!(task.await.unwrap());
}

#[tokio::test]
async fn t2_basic_authentication_form_encodes_id_and_secret() {
    let server = FakeServer::start(|_| json("200 OK", GOOD));
    let mut registration = registration();
    registration.client_id = "id:1".to_owned();
    let secret = SecretString::from("a:b+c%/é&");
    registration.client_authentication =
        ClientAuthentication::ClientSecretBasic(BasicEncoding::Form, secret);
    let client = client();
    exchange_with(&client, &oauth(&server.url("/")), &registration)
        .await
        .ok()
        .unwrap();
    let request = server.requests().remove(0);
    let credentials = request
        .header("authorization")
        .unwrap()
        .strip_prefix("Basic ");
    let credentials = STANDARD.decode(credentials.unwrap()).unwrap();
    assert_eq!(credentials, b"id%3A1:a%3Ab%2Bc%25%2F%C3%A9%26");
    assert!(
        !request
            .form()
            .iter()
            .any(|(name, _)| name.starts_with("client"))
    );
}

#[tokio::test]
async fn t1_one_way_of_client_authentication_is_used() {
    for (way, expected) in [
        (
            ClientAuthentication::ClientSecretPost(SecretString::from("CANARY-client-secret")),
            vec!["guichet-1", "CANARY-client-secret"],
        ),
        (ClientAuthentication::None, vec!["guichet-1"]),
    ] {
        let server = FakeServer::start(|_| json("200 OK", GOOD));
        let mut oauth = oauth(&server.url("/"));
        let mut registration = registration();
        registration.client_authentication = way;
        oauth.pkce = Pkce::Off {
            reason: "refused".to_owned(),
        };
        let client = client();
        let exchanged = exchange_with(&client, &oauth, &registration).await;
        exchanged.ok().unwrap();
        let request = server.requests().remove(0);
        assert_eq!(request.header("authorization"), None);
        let form = request.form();
        let sent: Vec<&str> = form
            .iter()
            .filter(|(name, _)| name.starts_with("client"))
            .map(|(_, value)| &**value)
            .collect();
        assert_eq!(sent, expected);
        assert!(!form.iter().any(|(name, _)| name == "code_verifier"));
    }
}

#[tokio::test]
async fn nothing_is_sent_in_clear_to_another_machine() {
    let mut bank = oauth(&"https://bank.example".parse().unwrap());
    bank.token_endpoint = "http://bank.example/token".parse().unwrap();
    let error = exchange(&bank).await.err();
    assert_eq!(error, call(TransportError::Insecure));
    let configuration = Meaning::NotSetUp(SetupFault::Configuration);
    assert_eq!(error.unwrap().meaning(&bank), configuration);
}

#[tokio::test]
async fn t8_another_token_type_is_refused() {
    let body = r#"{"access_token":"CANARY","token_type":"DPoP"}"#;
    let error = at(|_| json("200 OK", body)).await.err().unwrap();
    let text = "the token response is of no use: the token type is DPoP instead of Bearer";
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn t9_a_response_without_expiry_and_scope_is_enough() {
    let body = r#"{"access_token":"a","token_type":"bearer"}"#;
    let token_set = at(|_| json("200 OK", body)).await.ok().unwrap();
    assert_eq!(token_set.expires_at, None);
    assert_eq!(token_set.scope.as_deref(), Some("accounts transactions"));
    assert!(token_set.refresh_token.is_none());
}

#[tokio::test]
async fn t10_no_redirect_is_followed() {
    for status in ["301 A", "302 B", "303 C", "307 D", "308 E"] {
        let canary = FakeServer::start(|_| json("200 OK", GOOD));
        let target = canary.url("/token").to_string();
        let error = at(move |_| response(status, &[("location", &target)], b""))
            .await
            .err();
        let number = status[..3].parse().unwrap();
        assert_eq!(error, call(TransportError::Redirected(number)));
        assert!(canary.requests().is_empty());
    }
}

#[tokio::test]
async fn t11_a_response_that_is_too_long_is_not_read() {
    let error = at(|_| json("200 OK", &format!("{{\"a\":\"{}\"}}", "x".repeat(70_000)))).await;
    let error = error.err().unwrap();
    assert!(matches!(
        error,
        TokenError::Call(TransportError::TooLong(_))
    ));
    assert_eq!(error.to_string(), "the response is longer than 65536 bytes");
    // Without an announced length, and without an end.
    let error = at(|_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
        bytes.resize(1_000_000, b' ');
        Reply::Bytes(bytes)
    });
    assert!(matches!(
        error.await.err(),
        Some(TokenError::Call(TransportError::TooLong(_)))
    ));
}

#[tokio::test]
async fn t11_a_response_that_drips_or_never_comes_ends_at_the_limit() {
    let limit = Duration::from_millis(500);
    let drip = |_: &Request| {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
        bytes.resize(60_000, b' ');
        Reply::Drip(bytes)
    };
    let timed_out = call(TransportError::TimedOut(limit));
    assert_eq!(within_limit(limit, drip).await.err(), timed_out);
    let silence = |_: &Request| Reply::Silence;
    assert_eq!(within_limit(limit, silence).await.err(), timed_out);
}

#[tokio::test]
async fn t11_only_unambiguous_json_is_read() {
    let html: &[(&str, &str)] = &[("content-type", "text/html")];
    for body in ["<p>CANARY", GOOD] {
        let error = at(move |_| response("200 OK", html, body.as_bytes())).await;
        assert_eq!(
            error.err(),
            call(TransportError::MediaType(MediaType::Html))
        );
    }
    let packed: &[(&str, &str)] = &[
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    for body in [b"\x1f\x8b\x08", GOOD.as_bytes()] {
        let error = at(move |_| response("200 OK", packed, body)).await.err();
        assert_eq!(error, call(TransportError::Encoded));
    }
    let form: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];
    let error = at(move |_| response("200 OK", form, b"access_token=CANARY")).await;
    assert_eq!(
        error.err(),
        call(TransportError::MediaType(MediaType::Other))
    );

    let deep = format!("{{\"a\":{}", "[".repeat(5000));
    for (body, expected) in [
        (
            r#"{"access_token":"CANARY1","token_type":"Bearer","access_token":"CANARY2"}"#,
            JsonError::Duplicate,
        ),
        (r#"["CANARY"]"#, JsonError::NotAnObject),
        ("{\"access_token\":\"CANARY", JsonError::Syntax),
        (&deep, JsonError::Depth),
    ] {
        let body = body.to_owned();
        let error = at(move |_| json("200 OK", &body)).await.err();
        assert_eq!(error, call(TransportError::Json(expected)));
    }
}

#[tokio::test]
async fn a_complete_token_response_is_one_however_it_is_wrapped() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    let headers: [&[(&str, &str)]; 11] = [
        &[("content-type", "Application/JSON; charset=utf-8")],
        &[("content-type", "text/plain; charset=utf-8")],
        &[("content-type", "text/javascript")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/octet-stream")],
        &[("content-type", "")],
        &[],
        &[JSON, ("content-encoding", "identity")],
        &[JSON, ("content-encoding", "utf-8")],
        &[JSON, ("content-encoding", "UTF-8")],
        &[JSON, ("content-encoding", "")],
    ];
    for headers in headers {
        let outcome = at(move |_| response("200 OK", headers, GOOD.as_bytes())).await;
        assert!(outcome.is_ok(), "{headers:?}: {:?}", outcome.err());
    }
    for status in ["200 OK", "201 Created", "202 Accepted", "203 A", "206 A"] {
        assert!(at(move |_| json(status, GOOD)).await.is_ok(), "{status}");
    }
    for body in [
        format!("\u{feff}{GOOD}"),
        format!("\r\n {GOOD}\n"),
        r#"{"access_token":"a"}"#.to_owned(),
        r#"{"access_token":"a","error":null}"#.to_owned(),
        r#"{"access_token":"a","error":""}"#.to_owned(),
        r#"{"access_token":"a","error":"none"}"#.to_owned(),
        r#"{"access_token":"a","nested":{"x":1,"x":2},"amount":1e999}"#.to_owned(),
    ] {
        let what = body.clone();
        assert!(at(move |_| json("200 OK", &body)).await.is_ok(), "{what}");
    }
}

#[tokio::test]
async fn an_error_without_a_token_is_that_error_whatever_its_status_or_label() {
    let body = r#"{"error":"x_withdrawn","error_description":"gone","access_token":""}"#;
    for status in [
        "200 OK", "201 A", "302 A", "400 A", "401 A", "418 A", "500 A", "503 A",
    ] {
        for label in ["application/json", "text/plain", "text/html"] {
            let reply = move |_: &Request| {
                let headers = [
                    ("content-type", label),
                    ("location", "https://elsewhere.example"),
                ];
                response(status, &headers, body.as_bytes())
            };
            let error = at(reply).await.err().unwrap();
            let told = "the institution refused the token request: x_withdrawn: gone";
            assert_eq!(error.to_string(), told, "{status} {label}");
            let mut oauth = oauth(&"https://bank.example".parse().unwrap());
            oauth.error_map = [("x_withdrawn".to_owned(), ErrorReason::Cancelled)].into();
            let cancelled = Meaning::Reason(ErrorReason::Cancelled);
            assert_eq!(error.meaning(&oauth), cancelled);
        }
    }
}

/// What an institution issued in a response that was refused.
async fn left_by(
    limit: Duration,
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Vec<String> {
    let server = FakeServer::start(reply);
    let mut oauth = oauth(&server.url("/"));
    oauth.timeout = limit;
    let failed = outcome(&client(), &oauth, &registration()).await;
    let failed = failed.err().expect("it is refused");
    let mut tokens = Vec::new();
    for token in failed.issued.all() {
        let token = token.expose_secret();
        assert_eq!(failed.scrubber.shown(token, 100), "[secret]");
        tokens.push(token.to_owned());
    }
    tokens
}

#[tokio::test]
async fn i10_what_held_a_token_and_is_refused_keeps_it_to_be_given_back() {
    let held = r#"{"refresh_token":"CANARY-r","access_token":"CANARY-a","#;
    let long = Duration::from_secs(10);
    for (what, body) in [
        ("another type", format!(r#"{held}"token_type":"mac"}}"#)),
        ("a member twice", format!(r#"{held}"x":1,"x":2}}"#)),
        (
            "too deep",
            format!(r#"{held}"x":{}{}}}"#, "[".repeat(900), "]".repeat(900)),
        ),
        (
            "too long",
            format!(r#"{held}"x":"{}"}}"#, "x".repeat(70_000)),
        ),
        ("cut", held.to_owned()),
        ("more after it", format!(r#"{held}"x":1}} <p>"#)),
    ] {
        let left = left_by(long, move |_| json("200 OK", &body)).await;
        assert_eq!(left, ["CANARY-r", "CANARY-a"], "{what}");
    }
    let body = format!(r#"{held}"access_token":"CANARY-b"}}"#);
    let left = left_by(long, move |_| json("200 OK", &body)).await;
    assert_eq!(left, ["CANARY-r", "CANARY-a", "CANARY-b"]);

    let html: &[(&str, &str)] = &[("content-type", "text/html")];
    let left = left_by(long, move |_| response("200 OK", html, GOOD.as_bytes())).await;
    assert_eq!(left, ["CANARY-refresh", "CANARY-access"]);
    let body = format!(r#"{held}"error":"invalid_grant"}}"#);
    let left = left_by(long, move |_| json("400 A", &body)).await;
    assert_eq!(left, ["CANARY-r", "CANARY-a"]);

    // The connection breaks, or the time is over, after the tokens came.
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n";
    let cut = format!("{head}{held}");
    let left = left_by(long, move |_| Reply::Bytes(cut.clone().into_bytes())).await;
    assert_eq!(left, ["CANARY-r", "CANARY-a"]);
    let slow = format!("{head}{held}{}", " ".repeat(9000));
    let short = Duration::from_millis(2500);
    let left = left_by(short, move |_| Reply::Drip(slow.clone().into_bytes())).await;
    assert_eq!(left, ["CANARY-r", "CANARY-a"]);
}

#[tokio::test]
async fn t11_a_response_without_a_sound_token_is_of_no_use() {
    for body in [
        r#"{"token_type":"Bearer","x":"CANARY"}"#,
        r#"{"access_token":["CANARY"],"token_type":"Bearer"}"#,
        r#"{"access_token":"","token_type":"Bearer"}"#,
        r#"{"access_token":"a\u0000b"}"#,
        "{}",
    ] {
        let error = at(move |_| json("200 OK", body)).await.err();
        let expected = TokenError::Unusable(UnusableTokenResponse::NoToken);
        assert_eq!(error, Some(expected), "{body}");
    }
}

#[tokio::test]
async fn t11_a_status_without_an_oauth_error_is_named() {
    for (status, body) in [
        ("500 A", "<p>"),
        ("503 A", ""),
        ("400 A", r#"{"message":"no"}"#),
        ("400 A", r#"{"error":{"code":1}}"#),
        ("400 A", r#"{"error":"a","error":"b"}"#),
    ] {
        let error = at(move |_| json(status, body)).await.err();
        let number = status[..3].parse().unwrap();
        assert_eq!(error, call(TransportError::Status(number)));
    }
    let error = at(|_| json("204 A", "")).await.err();
    assert_eq!(error, call(TransportError::Json(JsonError::Syntax)));
}

#[tokio::test]
async fn a_refused_client_is_the_operators_to_mend() {
    let bank = oauth(&"https://bank.example".parse().unwrap());
    for (status, body) in [
        ("401 A", r#"{"error":"invalid_client"}"#),
        ("400 A", r#"{"error":"invalid_client"}"#),
        ("200 A", r#"{"error":"invalid_client"}"#),
        ("400 A", r#"{"error":"unauthorized_client"}"#),
        ("401 A", "<p>who are you?"),
        ("401 A", ""),
    ] {
        let error = at(move |_| json(status, body)).await.err().unwrap();
        let refused = Meaning::NotSetUp(SetupFault::ClientRefused);
        assert_eq!(error.meaning(&bank), refused, "{status} {body}");
    }
    let error = at(|_| json("400 A", r#"{"error":"invalid_grant"}"#)).await;
    let provider = Meaning::Reason(ErrorReason::ProviderError);
    assert_eq!(error.err().unwrap().meaning(&bank), provider);
}

#[tokio::test]
async fn t12_a_cut_connection_is_not_tried_again() {
    let cut =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{\"a";
    for bytes in [&b""[..], cut] {
        let error = at(move |_| Reply::Bytes(bytes.to_vec())).await.err();
        assert!(matches!(
            error,
            Some(TokenError::Call(TransportError::Broken(_)))
        ));
    }
}

#[tokio::test]
async fn a_refusal_keeps_the_institutions_words_without_our_secrets() {
    // An institution that repeats everything it was sent.
    let error = at(|request| {
        let said = String::from_utf8_lossy(&request.body).into_owned();
        let code = &request.form()[1].1;
        json(
            "400 Bad Request",
            &serde_json::json!({
                "error": "invalid_grant",
                "error_description": format!("{code} CANARY-client-secret\r\n{said}"),
            })
            .to_string(),
        )
    });
    let error = error.await.err().unwrap();
    let TokenError::Refused(Refusal { error: code, said }) = &error else {
        panic!("{error}");
    };
    assert_eq!(code, "invalid_grant");
    assert!(said.starts_with(r"invalid_grant: [secret] [secret]\u{d}\u{a}grant_type="));
    let mut oauth = oauth(&"https://bank.example".parse().unwrap());
    let meaning = |reason| Meaning::Reason(reason);
    assert_eq!(error.meaning(&oauth), meaning(ErrorReason::ProviderError));
    oauth.error_map = [("invalid_grant".to_owned(), ErrorReason::Denied)].into();
    assert_eq!(error.meaning(&oauth), meaning(ErrorReason::Denied));
}
