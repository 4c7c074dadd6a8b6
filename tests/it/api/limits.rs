//! How many requests a client may send in a second (contract section 2.5).

use crate::support::gateway::{Backend, CLIENT, RIVAL, Setup, TestGateway};
use crate::support::visitor::http;

/// Twenty at once, where one a second is let through: however slow the machine, some are refused.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_of_one_client_are_429_and_say_when_to_come_back() {
    let setup = Setup {
        swaps: vec![(
            "unknown_links_per_minute = 1000",
            "unknown_links_per_minute = 1000\nreads_per_client_per_second = 1",
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
            tokio::spawn(async move { request.send().await.expect("an answer") })
        })
        .collect();
    let mut statuses = Vec::new();
    for call in calls {
        let answer = call.await.expect("no panic");
        if answer.status() == 429 {
            assert_eq!(answer.headers()["retry-after"], "1");
        }
        statuses.push(answer.status().as_u16());
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
