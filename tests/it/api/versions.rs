//! `Accept-Version` of the Platform API (CONTRACT.md 2.1).

use serde_json::json;

use crate::support::gateway::{Backend, CLIENT, TestGateway};

#[tokio::test]
async fn both_versions_and_none_are_spoken_and_no_other() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let asked = async |path: &str, version: Option<&'static str>| {
        let key = gateway.api_key.clone();
        let with = |request: reqwest::RequestBuilder| {
            let request = request.basic_auth(CLIENT, Some(key));
            match version {
                Some(version) => request.header("accept-version", version),
                None => request,
            }
        };
        gateway.call("GET", path, None, with).await
    };
    let (_, expected) = asked("/users", None).await;
    for version in [None, Some("v20111101"), Some("v20250224")] {
        let (status, mut response) = asked("/users", version).await;
        assert_eq!(status, 200, "{version:?}: {response}");
        let is_new = version == Some("v20250224");
        for user in response["users"].as_array_mut().expect("users") {
            let user = user.as_object_mut().expect("a user");
            assert_eq!(user.contains_key("email"), !is_new, "{user:?}");
            user.entry("email").or_insert(json!(null));
        }
        assert_eq!(response, expected);
    }
    for path in ["/users", "/institutions", "/institutions/fake_bank"] {
        for version in ["v20250225", "", "1", "v20111101,v20250224"] {
            let (status, response) = asked(path, Some(version)).await;
            assert_eq!(status, 406, "{path} {version:?}: {response}");
            assert_eq!(response["error"]["status"], json!("not_acceptable"));
            let message = response["error"]["message"].as_str().unwrap_or_default();
            assert!(message.contains("v20111101 or v20250224"), "{message}");
        }
    }
    // A session has no version.
    let with = |request: reqwest::RequestBuilder| {
        request
            .header("md-session-token", &gateway.session)
            .header("accept-version", "v9")
    };
    assert_eq!(gateway.call("GET", "/members", None, with).await.0, 200);
    // The release candidate is accepted only where its response is the same as the others'.
    let (member, _) = gateway.member().await;
    let user = format!("/users/{}", gateway.user);
    let member = format!("{user}/members/{member}");
    for (method, path, expected) in [
        ("GET", "/users".to_owned(), 406),
        ("GET", "/institutions".to_owned(), 406),
        ("GET", format!("{user}/members"), 406),
        ("GET", member.clone(), 406),
        ("GET", format!("{member}/oauth_window_uri"), 200),
        ("DELETE", member, 204),
        ("DELETE", user, 204),
    ] {
        let key = gateway.api_key.clone();
        let with = |request: reqwest::RequestBuilder| {
            let request = request.basic_auth(CLIENT, Some(key));
            request.header("accept-version", "rc20260430")
        };
        let (status, response) = gateway.call(method, &path, None, with).await;
        assert_eq!(status, expected, "{method} {path}: {response}");
    }
}
