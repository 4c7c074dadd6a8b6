//! How many requests a client may send in a second (CONTRACT.md 2.5), how many may be sent about
//! one user, and what wrong credentials lead to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::RequestBuilder;
use serde_json::json;

use crate::support::gateway::{Backend, CLIENT, RIVAL, SSO_KEY, Setup, TestGateway};
use crate::support::random_token;
use crate::support::visitor::http;

/// Twenty at once, where one a second is let through: however slow the machine, some are refused.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_of_one_client_are_429_and_say_when_to_come_back() {
    let setup = Setup {
        swaps: vec![(
            "reads_per_user_per_second = 1999",
            "reads_per_user_per_second = 1\nreads_per_client_per_second = 1",
        )],
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let url = gateway.at("/users");
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let request = http()
                .get(url.clone())
                .basic_auth(CLIENT, Some(&gateway.api_key));
            tokio::spawn(async move { request.send().await.expect("a response") })
        })
        .collect();
    let mut statuses = Vec::new();
    for call in calls {
        let response = call.await.expect("no panic");
        if response.status() == 429 {
            assert_eq!(response.headers()["retry-after"], "1");
        }
        statuses.push(response.status().as_u16());
    }
    assert!(
        statuses.contains(&200) && statuses.contains(&429),
        "{statuses:?}"
    );
    // Other methods and other clients have counts of their own, and strangers none.
    let body = serde_json::json!({"user": {}});
    assert_eq!(gateway.platform("POST", "/users", Some(body)).await.0, 200);
    let key = gateway.key_of(RIVAL).await;
    let rival = |request: reqwest::RequestBuilder| request.basic_auth(RIVAL, Some(key));
    assert_eq!(gateway.call("GET", "/users", None, rival).await.0, 200);
    for _ in 0..5 {
        let stranger = |request: reqwest::RequestBuilder| request.basic_auth(CLIENT, Some("x"));
        assert_eq!(gateway.call("GET", "/users", None, stranger).await.0, 401);
    }
}

/// Two hundred at once by one user's session, or about one user by the client, where five a second are
/// let through: many are refused, and nobody else notices.
#[tokio::test(flavor = "multi_thread")]
async fn one_user_does_not_use_up_its_clients_limits() {
    let setup = Setup {
        swaps: vec![(
            "reads_per_user_per_second = 1999",
            "reads_per_user_per_second = 5\nreads_per_client_per_second = 100",
        )],
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let by_session =
        |request: RequestBuilder| request.header("MD-SESSION-TOKEN", gateway.session.clone());
    let by_key = |request: RequestBuilder| request.basic_auth(CLIENT, Some(&gateway.api_key));
    let floods: [(String, &dyn Fn(RequestBuilder) -> RequestBuilder); 3] = [
        ("/members".to_owned(), &by_session),
        (format!("/users/{}/members", gateway.user), &by_key),
        ("/users/user-1".to_owned(), &by_key),
    ];
    for (path, credentials) in floods {
        let calls: Vec<_> = (0..200)
            .map(|_| {
                let request = credentials(http().get(gateway.at(&path)));
                tokio::spawn(async move { request.send().await.expect("a response").status() })
            })
            .collect();
        let mut refused = 0;
        for call in calls {
            refused += usize::from(call.await.expect("no panic") == 429);
        }
        assert!(refused > 100, "{path}: {refused} of 200");
        // Somebody else's requests go through, as far as that user's own limit.
        let new = Some(json!({"user": {}}));
        let (_, other) = gateway.platform("POST", "/users", new).await;
        let other = other["user"]["guid"].as_str().expect("a guid");
        for _ in 0..4 {
            let path = format!("/users/{other}");
            assert_eq!(gateway.platform("GET", &path, None).await.0, 200, "others");
        }
    }
    let metrics = gateway.metrics().await;
    let limited = |limit: &str| format!("guichet_requests_limited_total{{limit=\"{limit}\"}} ");
    assert!(metrics.contains(&limited("user")), "{metrics}");
    assert!(
        !metrics.contains(&format!("{}0\n", limited("user"))),
        "{metrics}"
    );
    assert!(
        metrics.contains(&format!("{}0\n", limited("client"))),
        "{metrics}"
    );
}

/// What is counted in one flood of wrong credentials.
fn limited(keys: u32, sessions: u32, look_ups: u32) -> Setup {
    let limits = format!(
        "wrong_keys_per_minute = {keys}\nunknown_sessions_per_minute = {sessions}\n\
         failed_look_ups_per_minute = {look_ups}"
    );
    Setup {
        swaps: vec![("unknown_links_per_minute = 1000", limits.leak())],
        ..Setup::default()
    }
}

fn with(name: &'static str, value: String) -> impl FnOnce(RequestBuilder) -> RequestBuilder {
    move |request| request.header(name, value)
}

fn basic(id: &str, key: &str) -> impl FnOnce(RequestBuilder) -> RequestBuilder + use<> {
    with(
        "Authorization",
        format!("Basic {}", STANDARD.encode(format!("{id}:{key}"))),
    )
}

/// A key in the form of ours that nobody made.
fn wrong_key() -> String {
    format!("ogk_12345678_{}", random_token())
}

/// Wrong keys are counted by source and end in 429; right ones are taken from there all the same, also
/// those that were never seen there.
#[tokio::test(flavor = "multi_thread")]
async fn q1_wrong_keys_are_limited_by_source_and_counted() {
    let gateway = TestGateway::with(Backend::Sqlite, limited(5, 4, 1000)).await;
    let sso = format!("/{CLIENT}/users/user-1/api_token");
    // API keys, SSO keys and the aggregator's key share a count, sessions and SSO tokens another.
    let job = "/aggregation/jobs/JOB-ad533d14-b4f1-49a4-8093-b0ae9aa8d023/lease";
    let malformed = "x".repeat(43);
    for key in [&malformed, &wrong_key()] {
        let wrong = basic(CLIENT, key);
        assert_eq!(gateway.call("GET", "/users", None, wrong).await.0, 401);
        let wrong = with("MD-API-KEY", "wrong".to_owned());
        assert_eq!(gateway.call("GET", &sso, None, wrong).await.0, 401);
    }
    let wrong = with("Authorization", "Bearer wrong".to_owned());
    assert_eq!(gateway.call("POST", job, None, wrong).await.0, 401);
    let wrong = with("MD-API-KEY", "wrong".to_owned());
    assert_eq!(gateway.call("GET", &sso, None, wrong).await.0, 429);
    for key in [&malformed, &wrong_key()] {
        let wrong = basic(CLIENT, key);
        assert_eq!(gateway.call("GET", "/users", None, wrong).await.0, 429);
    }
    let wrong = with("Authorization", "Bearer wrong".to_owned());
    assert_eq!(gateway.call("POST", job, None, wrong).await.0, 429);
    // None of these was seen here before.
    assert_eq!(gateway.platform("GET", "/users", None).await.0, 200);
    let right = basic(RIVAL, &gateway.key_of(RIVAL).await);
    assert_eq!(gateway.call("GET", "/users", None, right).await.0, 200);
    let right = with("MD-API-KEY", SSO_KEY.to_owned());
    assert_eq!(gateway.call("GET", &sso, None, right).await.0, 200);
    let right = gateway.aggregation(job, None).await;
    assert_eq!(right.0, 404, "{}", right.1);

    for _ in 0..2 {
        let wrong = with("MD-SESSION-TOKEN", "wrong".to_owned());
        assert_eq!(gateway.call("GET", "/members", None, wrong).await.0, 401);
        let wrong = with("MD-API-TOKEN", "wrong".to_owned());
        assert_eq!(gateway.call("POST", "/sessions", None, wrong).await.0, 401);
    }
    for wrong in ["wrong".to_owned(), format!("00{}", random_token())] {
        let wrong = with("MD-SESSION-TOKEN", wrong);
        let (status, body) = gateway.call("GET", "/members", None, wrong).await;
        assert_eq!(status, 429);
        assert_eq!(body["error"]["code"], "4290", "{body}");
    }
    assert_eq!(
        gateway.nexus("GET", "/members", None).await.0,
        200,
        "a good session"
    );

    let metrics = gateway.metrics().await;
    for (credential, count) in [
        ("api_key", 2),
        ("sso_key", 2),
        ("aggregator_key", 1),
        ("session", 2),
        ("sso_token", 2),
    ] {
        let line =
            format!("guichet_credentials_refused_total{{credential=\"{credential}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

/// Guessing in the right form ends in 429 too, and then the store is asked for nothing any more.
#[tokio::test(flavor = "multi_thread")]
async fn q1_look_ups_of_wrong_credentials_end() {
    let gateway = TestGateway::with(Backend::Sqlite, limited(2, 2, 8)).await;
    let looked_up = async || gateway.store_steps("api_key").await;
    let before = looked_up().await;
    let guess = async || {
        let wrong = basic(CLIENT, &wrong_key());
        gateway.call("GET", "/users", None, wrong).await.0
    };
    for nth in 0..8 {
        let expected = if nth < 2 { 401 } else { 429 };
        assert_eq!(guess().await, expected, "{nth}");
    }
    // What cannot be a key is never looked up.
    let wrong = basic(CLIENT, "ogk_wrong");
    assert_eq!(gateway.call("GET", "/users", None, wrong).await.0, 429);
    assert_eq!(looked_up().await, before + 8);
    for _ in 0..5 {
        assert_eq!(guess().await, 429);
    }
    assert_eq!(gateway.platform("GET", "/users", None).await.0, 429);
    assert_eq!(looked_up().await, before + 8, "nothing is looked up");
    let metrics = gateway.metrics().await;
    let line = "guichet_requests_limited_total{limit=\"failed_look_ups\"} 6\n";
    assert!(metrics.contains(line), "{metrics}");
}
