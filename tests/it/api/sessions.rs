//! How a Nexus session is opened, kept and ended (CONTRACT.md 1.1).

use std::time::Duration;

use serde_json::{Value, json};

use super::names;
use crate::support::gateway::{Backend, CLIENT, SSO_KEY, TestGateway};

const MINUTE: Duration = Duration::from_secs(60);

crate::on_both_stores!(
    an_api_token_opens_one_session,
    an_api_token_is_good_for_ten_minutes,
    a_session_slides_for_thirty_minutes,
    ended_sessions_are_over,
    the_sso_key_of_the_client_is_asked_for,
);

async fn api_token(gateway: &TestGateway) -> String {
    let path = format!("/{CLIENT}/users/{}/api_token", gateway.user);
    let (status, response) = sso(gateway, "GET", &path, SSO_KEY).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(names(&response), ["api_token"].into());
    let token = response["api_token"]["token"].as_str();
    token.expect("a token").to_owned()
}

async fn sso(gateway: &TestGateway, method: &str, path: &str, key: &str) -> (u16, Value) {
    gateway
        .call(method, path, None, |request| {
            request.header("MD-API-KEY", key)
        })
        .await
}

async fn begin(gateway: &TestGateway, token: &str) -> (u16, Value) {
    let body = json!({"session": {"skip_aggregation": true}});
    gateway
        .call("POST", "/sessions", Some(body), |request| {
            request.header("MD-API-TOKEN", token)
        })
        .await
}

async fn session(gateway: &TestGateway) -> String {
    let (status, response) = begin(gateway, &api_token(gateway).await).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(names(&response), ["session"].into());
    let token = response["session"]["token"].as_str();
    token.expect("a token").to_owned()
}

async fn members(gateway: &TestGateway, session: &str) -> (u16, Value) {
    gateway
        .call("GET", "/members", None, |request| {
            request.header("MD-Session-Token", session)
        })
        .await
}

async fn an_api_token_opens_one_session(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let token = api_token(&gateway).await;
    let (status, response) = begin(&gateway, &token).await;
    assert_eq!(status, 200, "{response}");
    let session = response["session"]["token"].as_str().expect("a token");
    assert_ne!(session, token);
    assert_eq!(
        members(&gateway, session).await,
        (200, json!({"members": []}))
    );
    assert_eq!(
        members(&gateway, &token).await.0,
        401,
        "a token is no session"
    );

    let (status, response) = begin(&gateway, &token).await;
    assert_eq!(status, 401, "{response}");
    let message = response["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("spent") && message.contains("api_token"),
        "{message}"
    );
    // The user's own name in the path, and the spelling with a suffix, do as well.
    let path = format!("/{CLIENT}/users/user-1/api_token.json");
    let (status, response) = sso(&gateway, "GET", &path, SSO_KEY).await;
    assert_eq!(status, 200, "{response}");
}

async fn an_api_token_is_good_for_ten_minutes(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (early, late) = (api_token(&gateway).await, api_token(&gateway).await);
    gateway.clock.advance(9 * MINUTE);
    assert_eq!(begin(&gateway, &early).await.0, 200);
    gateway.clock.advance(MINUTE);
    assert_eq!(begin(&gateway, &late).await.0, 401);
}

async fn a_session_slides_for_thirty_minutes(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let session = session(&gateway).await;
    for _ in 0..3 {
        gateway.clock.advance(29 * MINUTE);
        assert_eq!(
            members(&gateway, &session).await.0,
            200,
            "each call moves the end"
        );
    }
    gateway.clock.advance(30 * MINUTE);
    let (status, response) = members(&gateway, &session).await;
    assert_eq!(
        (status, &response["error"]["code"]),
        (401, &json!("4011")),
        "{response}"
    );
    let message = response["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("expired") && message.contains("POST /sessions"),
        "{message}"
    );
}

async fn ended_sessions_are_over(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let sessions = [session(&gateway).await, session(&gateway).await];
    let path = format!("/{CLIENT}/users/{}/sessions", gateway.user);
    let (status, response) = sso(&gateway, "DELETE", &path, SSO_KEY).await;
    assert_eq!((status, response), (200, json!({})));
    for ended in &sessions {
        assert_eq!(members(&gateway, ended).await.0, 401);
    }
    // The user may come again.
    let fresh = session(&gateway).await;
    assert_eq!(members(&gateway, &fresh).await.0, 200);
}

async fn the_sso_key_of_the_client_is_asked_for(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let user = gateway.user;
    for (path, key) in [
        (format!("/{CLIENT}/users/{user}/api_token"), "wrong"),
        (format!("/{CLIENT}/users/{user}/api_token"), ""),
        // The rival has no SSO key, and ours is none of its.
        (format!("/rival/users/{user}/api_token"), SSO_KEY),
        (format!("/rival/users/{user}/api_token"), ""),
        (format!("/nobody/users/{user}/api_token"), SSO_KEY),
        (
            format!("/{CLIENT}/users/{user}/api_token"),
            gateway.api_key.as_str(),
        ),
    ] {
        let (status, response) = sso(&gateway, "GET", &path, key).await;
        assert_eq!(status, 401, "{path} {key}: {response}");
        let message = response["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("MD-API-KEY"), "{message}");
    }
    let path = format!("/{CLIENT}/users/nobody/api_token");
    let (status, response) = sso(&gateway, "GET", &path, SSO_KEY).await;
    assert_eq!(
        (status, &response["error"]["code"]),
        (404, &json!("4040")),
        "{response}"
    );
}
