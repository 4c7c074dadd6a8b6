//! `Idempotency-Key`: a POST that comes twice is done once.

use serde_json::{Value, json};

use crate::support::gateway::{BANK, Backend, CLIENT, RIVAL, TestGateway};
use crate::support::visitor::http;

crate::on_both_stores!(
    the_same_request_again_is_replayed,
    another_request_with_the_key_is_422,
    errors_are_replayed_too_but_for_those_that_pass,
    a_key_is_its_clients_and_its_sessions_own,
    requests_at_the_same_time_are_done_once,
);

/// An answer: status, whether it is a replay, media type and body.
#[derive(Clone, Debug, PartialEq)]
struct Answer {
    status: u16,
    replayed: bool,
    media_type: String,
    body: Value,
}

async fn post(gateway: &TestGateway, path: &str, key: &str, body: &Value) -> Answer {
    let request = http()
        .post(gateway.at(path))
        .basic_auth(CLIENT, Some(&gateway.api_key));
    send(request, key, body).await
}

async fn send(request: reqwest::RequestBuilder, key: &str, body: &Value) -> Answer {
    let request = request.header("idempotency-key", key).json(body);
    let response = request.send().await.expect("an answer");
    let header = |name: &str| {
        let value = response.headers().get(name);
        let value = value.and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    Answer {
        status: response.status().as_u16(),
        replayed: header("idempotency-replayed") == "true",
        media_type: header("content-type"),
        body: response.json().await.unwrap_or_default(),
    }
}

fn wanted() -> Value {
    json!({"member": {"institution_code": BANK, "is_oauth": true}})
}

async fn the_same_request_again_is_replayed(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let path = "/users/user-1/members";
    let first = post(&gateway, path, "k-1", &wanted()).await;
    assert_eq!((first.status, first.replayed), (202, false), "{first:?}");
    let again = post(&gateway, path, "k-1", &wanted()).await;
    let expected = Answer {
        replayed: true,
        ..first
    };
    assert_eq!(again, expected, "link and all");
    let (_, listed) = gateway.platform("GET", path, None).await;
    assert_eq!(listed["pagination"]["total_entries"], 1);
    let other = post(&gateway, path, "k-2", &wanted()).await;
    assert_eq!((other.status, other.replayed), (202, false));
    // A day later the key is free.
    gateway
        .clock
        .advance(std::time::Duration::from_secs(24 * 60 * 60 + 1));
    let later = post(&gateway, path, "k-1", &wanted()).await;
    assert_eq!((later.status, later.replayed), (202, false));
}

async fn another_request_with_the_key_is_422(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"user": {"email": "ada@example.org"}});
    assert_eq!(post(&gateway, "/users", "k", &body).await.status, 200);
    let other = json!({"user": {"email": "eve@example.org"}});
    for (path, body) in [
        ("/users", &other),
        ("/users?page=2", &body),
        ("/users/user-1/members", &wanted()),
    ] {
        let answer = post(&gateway, path, "k", body).await;
        assert_eq!(answer.status, 422, "{path}: {answer:?}");
        assert!(
            answer.body.to_string().contains("Idempotency-Key"),
            "{answer:?}"
        );
    }
    for key in ["", "a b", &"k".repeat(256)] {
        let answer = post(&gateway, "/users", key, &body).await;
        assert_eq!(answer.status, 400, "{key}: {answer:?}");
    }
}

async fn errors_are_replayed_too_but_for_those_that_pass(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, _) = gateway.member().await;
    let path = format!("/users/user-1/members/{member}/aggregate");
    let first = post(&gateway, &path, "k-405", &json!({})).await;
    assert_eq!((first.status, first.replayed), (405, false), "{first:?}");
    let again = post(&gateway, &path, "k-405", &json!({})).await;
    assert_eq!((again.status, again.replayed), (405, true), "{again:?}");

    let request = http()
        .post(gateway.at("/users"))
        .basic_auth(CLIENT, Some("wrong"));
    let refused = send(request, "k-401", &json!({"user": {}})).await;
    assert_eq!(refused.status, 401);
    let answer = post(&gateway, "/users", "k-401", &json!({"user": {}})).await;
    assert_eq!((answer.status, answer.replayed), (200, false), "{answer:?}");
    // A key on what is no POST means nothing.
    let answer = http()
        .get(gateway.at("/users"))
        .basic_auth(CLIENT, Some(&gateway.api_key))
        .header("idempotency-key", "k-401")
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
}

async fn a_key_is_its_clients_and_its_sessions_own(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let session = |gateway: &TestGateway| {
        http()
            .post(gateway.at("/members"))
            .header("md-session-token", &gateway.session)
    };
    let first = send(session(&gateway), "k", &wanted()).await;
    assert_eq!((first.status, first.replayed), (200, false), "{first:?}");
    let again = send(session(&gateway), "k", &wanted()).await;
    assert_eq!((again.status, again.replayed), (200, true));
    assert_eq!(again.body, first.body);
    // The client itself, and another one, have keys of their own.
    let body = json!({"user": {}});
    let ours = post(&gateway, "/users", "k", &body).await;
    assert_eq!((ours.status, ours.replayed), (200, false), "{ours:?}");
    let key = gateway.key_of(RIVAL).await;
    let request = http()
        .post(gateway.at("/users"))
        .basic_auth(RIVAL, Some(key));
    let theirs = send(request, "k", &body).await;
    assert_eq!((theirs.status, theirs.replayed), (200, false), "{theirs:?}");
    assert_ne!(theirs.body, ours.body);
}

async fn requests_at_the_same_time_are_done_once(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"user": {"id": "once"}});
    let requests = (0..8).map(|_| {
        let request = http()
            .post(gateway.at("/users"))
            .basic_auth(CLIENT, Some(&gateway.api_key));
        let body = body.clone();
        tokio::spawn(async move { send(request, "k", &body).await })
    });
    let mut made = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        let answer = request.await.expect("no panic");
        match answer.status {
            200 => made.push(answer.body),
            // The first one was still running.
            409 => assert!(
                answer.body.to_string().contains("still running"),
                "{answer:?}"
            ),
            _ => panic!("{answer:?}"),
        }
    }
    assert!(!made.is_empty());
    made.dedup();
    assert_eq!(made.len(), 1, "one user: {made:?}");
}
