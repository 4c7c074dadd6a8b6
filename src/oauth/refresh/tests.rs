use std::time::Duration;

use super::super::test_support::{at, client, oauth, registration};
use super::*;
use crate::domain::window::ErrorReason;
use crate::fake_server::{FakeServer, Reply, Request, json, response};
use secrecy::SecretString;

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("a time")
}

fn current(refresh_token: Option<&str>) -> TokenSet {
    TokenSet {
        access_token: SecretString::from("CANARY-access"),
        refresh_token: refresh_token.map(SecretString::from),
        scope: Some("accounts".to_owned()),
        expires_at: None,
        consent_expires_at: None,
        values: Default::default(),
        authorization_details: None,
        person: None,
        bound_to: None,
    }
}

type Outcome = Option<Result<Refreshed, Box<RefreshFailure>>>;

/// Refreshes at a server that responds like this; returns the outcome and the request.
async fn refresh(
    reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> (Outcome, Option<Request>) {
    let server = FakeServer::start(reply);
    let mut bank = oauth(&server.url("/"));
    bank.timeout = Duration::from_millis(500);
    bank.error_map = [
        ("consent_gone".to_owned(), ErrorReason::Denied),
        ("closed_today".to_owned(), ErrorReason::ProviderError),
    ]
    .into();
    let client = client();
    let registration = registration();
    let current = current(Some("CANARY-refresh"));
    let asked = client.refresh(at(&bank, &registration), &current, now());
    let outcome = asked.await;
    (outcome, server.requests().pop())
}

async fn granted(body: &'static str) -> Refreshed {
    match refresh(move |_| json("200 OK", body)).await {
        (Some(Ok(refreshed)), _) => refreshed,
        (Some(Err(failure)), _) => panic!("{}", failure.error),
        (None, _) => panic!("there is a refresh token"),
    }
}

fn shown(set: &TokenSet) -> (&str, Option<&str>, Option<&str>, Option<i64>) {
    (
        set.access_token.expose_secret(),
        set.refresh_token.as_ref().map(|it| it.expose_secret()),
        set.scope.as_deref(),
        set.expires_at.map(Timestamp::as_second),
    )
}

#[tokio::test]
async fn k3_what_a_response_leaves_out_stays_as_it_was() {
    let whole = r#"{"access_token":"a2","token_type":"Bearer","refresh_token":"r2","expires_in":60,"scope":"all"}"#;
    let expected = ("a2", Some("r2"), Some("all"), Some(1_800_000_060));
    assert_eq!(shown(&granted(whole).await.token_set), expected);
    let least = granted(r#"{"access_token":"a2"}"#).await;
    let expected = ("a2", Some("CANARY-refresh"), Some("accounts"), None);
    assert_eq!(shown(&least.token_set), expected);
    assert!(least.fault.is_none());
}

#[tokio::test]
async fn k3_new_tokens_are_given_whatever_else_the_response_holds() {
    for body in [
        r#"{"access_token":"a2","refresh_token":"r2","token_type":"DPoP"}"#,
        r#"{"access_token":"a2","refresh_token":"r2","id_token":"nonsense","token_type":"Bearer"}"#,
        r#"{"access_token":"a2","refresh_token":"r2","error":"server_error"}"#,
        r#"{"access_token":"a2","refresh_token":"r2","scope":7,"expires_in":"soon"}"#,
    ] {
        let refreshed = granted(body).await;
        let (access, refresh, ..) = shown(&refreshed.token_set);
        assert_eq!((access, refresh), ("a2", Some("r2")), "{body}");
        assert_eq!(refreshed.fault.is_some(), body.contains("DPoP"), "{body}");
    }
}

#[tokio::test]
async fn k3_a_new_refresh_token_is_kept_whatever_is_wrong_with_the_response() {
    let body = r#"{"access_token":"","refresh_token":"r2"}"#;
    for status in ["200 OK", "500 A"] {
        let (Some(Ok(refreshed)), _) = refresh(move |_| json(status, body)).await else {
            panic!("{status}: the token is lost");
        };
        let expected = (
            "CANARY-access",
            Some("r2"),
            Some("accounts"),
            Some(1_800_000_000),
        );
        assert_eq!(
            shown(&refreshed.token_set),
            expected,
            "its access token has ended"
        );
        assert!(refreshed.fault.is_some());
    }
}

#[tokio::test]
async fn the_request_is_that_of_rfc_6749_section_6() {
    let (_, request) = refresh(|_| json("200 OK", r#"{"access_token":"a2"}"#)).await;
    let request = request.expect("one");
    let form = request.form();
    let expected = [
        ("grant_type", "refresh_token"),
        ("refresh_token", "CANARY-refresh"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(form, expected);
    assert!(
        request
            .header("authorization")
            .is_some_and(|it| it.starts_with("Basic "))
    );
    let client = client();
    let (bank, registration) = (
        oauth(&"https://bank.example".parse().expect("a URL")),
        registration(),
    );
    let current = current(None);
    let asked = client.refresh(at(&bank, &registration), &current, now());
    assert!(asked.await.is_none(), "there is nothing to send");
}

#[tokio::test]
async fn k3_each_failure_means_what_became_of_the_token() {
    use RefreshMeaning::*;
    let error = |status: &'static str, body: &'static str| (json(status, body), body);
    let cases = [
        (
            error(
                "400 A",
                r#"{"error":"invalid_grant","error_description":"CANARY-refresh"}"#,
            ),
            Refused,
        ),
        (error("400 A", r#"{"error":"consent_gone"}"#), Refused),
        (error("403 A", r#"{"error":"access_denied"}"#), Unknown),
        (error("400 A", r#"{"error":"closed_today"}"#), Unknown),
        (error("400 A", r#"{"error":"server_error"}"#), Unknown),
        (error("500 A", r#"{"error":"invalid_grant"}"#), Unknown),
        (error("400 A", r#"{"error":"invalid_request"}"#), Unknown),
        (
            error("401 A", r#"{"error":"invalid_client"}"#),
            ClientRefused,
        ),
        (error("401 A", "{}"), ClientRefused),
        (error("429 A", "{}"), NotAsked),
        (error("500 A", "{}"), Unknown),
        (error("504 A", ""), Unknown),
        (error("200 OK", r#"{"access_token":""}"#), Unknown),
        (
            error("200 OK", r#"{"access_token":"a","access_token":"b"}"#),
            Unknown,
        ),
        (
            (
                response("200 OK", &[("content-type", "text/html")], b"<p>"),
                "html",
            ),
            Unknown,
        ),
        ((Reply::Silence, "silence"), Unknown),
        ((Reply::Bytes(Vec::new()), "hung up"), Unknown),
    ];
    for ((reply, name), expected) in cases {
        let reply = std::sync::Arc::new(std::sync::Mutex::new(Some(reply)));
        let once = move |_: &Request| {
            let mut reply = reply.lock().expect("not poisoned");
            reply.take().unwrap_or(Reply::Bytes(Vec::new()))
        };
        let (Some(Err(failure)), _) = refresh(once).await else {
            panic!("{name} gives no tokens");
        };
        assert_eq!(failure.meaning, expected, "{name}");
        assert!(
            !failure.error.to_string().contains("CANARY"),
            "{}",
            failure.error
        );
    }
}

#[tokio::test]
async fn k3_what_was_not_sent_was_not_used_up() {
    let mut bank = oauth(&"http://127.0.0.1:1".parse().expect("a URL"));
    let registration = registration();
    let client = client();
    for endpoint in ["http://127.0.0.1:1/token", "http://bank.example/token"] {
        bank.token_endpoint = endpoint.parse().expect("a URL");
        let current = current(Some("CANARY-refresh"));
        let asked = client
            .refresh(at(&bank, &registration), &current, now())
            .await;
        let Some(Err(failure)) = asked else {
            panic!("nobody listens");
        };
        assert_eq!(failure.meaning, RefreshMeaning::NotAsked, "{endpoint}");
    }
}
