//! `Idempotency-Key`: a POST that comes twice is done once.

use std::time::Duration;

use guichet::domain::data_request::DataRequest;
use guichet::flow::WebhookChoice;
use guichet::flow::access::{self, UserRequest};
use guichet::flow::idempotency::{self, Admission, KeyedRequest, Origin};
use guichet::flow::members::{self, Created, InstitutionName, MemberRequest};
use guichet::flow::mint::MintOptions;
use serde_json::{Value, json};

use crate::support::gateway::{BANK, Backend, CLIENT, RIVAL, TestGateway};
use crate::support::visitor::http;

crate::on_both_stores!(
    the_same_request_again_is_replayed,
    another_request_with_the_key_is_422,
    errors_are_replayed_too_but_for_those_that_pass,
    a_key_is_its_clients_and_its_sessions_own,
    requests_at_the_same_time_are_done_once,
    decision_40_what_a_request_created_is_found_again_when_its_response_was_lost,
    decision_40_what_is_a_day_old_is_not_found_again,
);

/// A response: status, whether it is a replay, media type and body.
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
    let response = request.send().await.expect("a response");
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

/// The request is taken up, creates its member, and its gateway dies before anybody hears of it.
async fn create_and_die(gateway: &TestGateway, path: &str, key: &str, body: &Value) -> Value {
    let inside = &gateway.inside;
    let client = inside
        .clients
        .get(&CLIENT.parse().expect("an id"))
        .expect("there")
        .clone();
    let sent = serde_json::to_vec(body).expect("JSON");
    let keyed = KeyedRequest {
        client: &client.id,
        user: None,
        key,
        parts: [b"POST", path.as_bytes(), &sent],
    };
    let admitted = idempotency::admit(inside, &keyed).await.expect("answered");
    let Admission::First(first) = admitted else {
        panic!("it is the first");
    };
    let origin = Some(Origin::of(&first));
    if path == "/users" {
        let request = UserRequest {
            id: body["user"]["id"].as_str().map(str::to_owned),
            origin,
            ..UserRequest::default()
        };
        let user = access::create_user(inside, &client.id, request).await;
        return json!(user.expect("created").guid);
    }
    let user = access::user(inside, &client.id, "user-1").await;
    let user = user.expect("answered").expect("there");
    let request = MemberRequest {
        institution: InstitutionName::Code(BANK.parse().expect("a code")),
        is_oauth: true,
        skip_aggregation: false,
        name: None,
        external_guid: body["member"]["id"].as_str().map(str::to_owned),
        metadata: None,
        use_cases: None,
        background_aggregation_is_disabled: false,
        link_options: MintOptions::default(),
        credentials: None,
        data_request: DataRequest::default(),
        callback_payload: None,
        webhooks: WebhookChoice::default(),
        origin,
    };
    match members::create(inside, &client, &user, request)
        .await
        .expect("created")
    {
        Created::Linked(minted) => json!(minted.member.guid),
        Created::Standard(_) => panic!("it connects by OAuth"),
    }
}

async fn decision_40_what_a_request_created_is_found_again_when_its_response_was_lost(
    backend: Backend,
) {
    let gateway = TestGateway::start(backend).await;
    let path = "/users/user-1/members";
    let named = json!({"member": {"institution_code": BANK, "is_oauth": true, "id": "mine"}});
    for (key, body) in [("k-1", wanted()), ("k-2", named)] {
        let guid = create_and_die(&gateway, path, key, &body).await;
        let early = post(&gateway, path, key, &body).await;
        assert_eq!(early.status, 409, "somebody may work on it: {early:?}");
        gateway.pass(Duration::from_secs(5));
        let found = post(&gateway, path, key, &body).await;
        assert_eq!((found.status, found.replayed), (202, false), "{found:?}");
        assert_eq!(found.body["member"]["guid"], guid);
        let link = found.body["member"]["oauth_window_uri"]
            .as_str()
            .expect("a new link");
        let page = gateway
            .connect(&gateway.visitor(), &link.parse().expect("a URL"))
            .await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        let again = post(&gateway, path, key, &body).await;
        assert!(again.replayed, "{again:?}");
    }
    let (_, listed) = gateway.platform("GET", path, None).await;
    assert_eq!(
        listed["pagination"]["total_entries"], 2,
        "one for each request"
    );

    let body = json!({"user": {"id": "partner-9"}});
    let guid = create_and_die(&gateway, "/users", "k-3", &body).await;
    gateway.pass(Duration::from_secs(5));
    let found = post(&gateway, "/users", "k-3", &body).await;
    assert_eq!(
        (found.status, &found.body["user"]["guid"]),
        (200, &guid),
        "{found:?}"
    );
}

async fn decision_40_what_is_a_day_old_is_not_found_again(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let path = "/users/user-1/members";
    let old = create_and_die(&gateway, path, "k-1", &wanted()).await;
    gateway.pass(Duration::from_secs(24 * 60 * 60));
    let other = post(&gateway, path, "k-1", &wanted()).await;
    assert_eq!(other.status, 202, "{other:?}");
    assert_ne!(other.body["member"]["guid"], old);
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
        .expect("a response");
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
