//! Users changed and deleted (CONTRACT.md 2.4).

use serde_json::{Value, json};

use crate::support::gateway::{BANK, BANK_GUID, Backend, CLIENT, SSO_KEY, TestGateway};

crate::on_both_stores!(
    a_user_is_changed_by_guid_or_id,
    a_taken_id_is_409_and_names_its_owner,
    users_are_found_by_what_they_have,
    a_deleted_user_takes_its_members_and_sessions_along,
    nothing_is_begun_for_a_disabled_user,
);

async fn a_user_is_changed_by_guid_or_id(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"user": {"email": "ada@example.org", "metadata": "m", "is_disabled": true}});
    let (status, response) = gateway.platform("PUT", "/users/user-1", Some(body)).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(response["user"]["email"], "ada@example.org");
    assert_eq!(response["user"]["is_disabled"], true);
    assert_eq!(response["user"]["id"], "user-1");
    let path = format!("/users/{}", gateway.user);
    let body = json!({"email": null, "id": "renamed"});
    let (status, response) = gateway.platform("PUT", &path, Some(body)).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(response["user"]["email"], Value::Null);
    assert_eq!(response["user"]["metadata"], "m");
    assert_eq!(
        gateway.platform("GET", "/users/renamed", None).await,
        (200, response)
    );
    assert_eq!(gateway.platform("GET", "/users/user-1", None).await.0, 404);
    for empty in [json!({}), json!({"user": {}}), json!({"user": null})] {
        let (status, response) = gateway.platform("PUT", &path, Some(empty)).await;
        assert_eq!(
            (status, &response["error"]["status"]),
            (400, &json!("bad_request"))
        );
    }
    assert_eq!(gateway.platform("PUT", &path, None).await.0, 400);
    let body = json!({"user": {"email": 5}});
    assert_eq!(gateway.platform("PUT", &path, Some(body)).await.0, 400);
    let body = json!({"user": {"email": "x"}});
    assert_eq!(
        gateway.platform("PUT", "/users/nobody", Some(body)).await.0,
        404
    );
}

async fn a_taken_id_is_409_and_names_its_owner(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"user": {"id": "second"}});
    assert_eq!(gateway.platform("POST", "/users", Some(body)).await.0, 200);
    let body = json!({"user": {"id": "user-1"}});
    let (status, response) = gateway.platform("PUT", "/users/second", Some(body)).await;
    assert_eq!(
        (status, &response["guid"]),
        (409, &json!(gateway.user)),
        "{response}"
    );
}

async fn a_deleted_user_takes_its_members_and_sessions_along(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, _) = gateway.member().await;
    assert_eq!(
        gateway.platform("DELETE", "/users/user-1", None).await,
        (204, Value::Null)
    );
    for path in [
        "/users/user-1".to_owned(),
        format!("/users/{}", gateway.user),
        format!("/users/{}/members/{member}", gateway.user),
    ] {
        assert_eq!(gateway.platform("GET", &path, None).await.0, 404, "{path}");
    }
    assert_eq!(gateway.nexus("GET", "/members", None).await.0, 401);
    assert_eq!(
        gateway.platform("DELETE", "/users/user-1", None).await.0,
        404
    );
}

async fn users_are_found_by_what_they_have(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for body in [
        json!({"user": {"id": "ada", "email": "both@example.org", "is_disabled": true}}),
        json!({"user": {"id": "eve", "email": "both@example.org"}}),
    ] {
        assert_eq!(gateway.platform("POST", "/users", Some(body)).await.0, 200);
    }
    for (query, found) in [
        ("id=ada", vec!["ada"]),
        ("id=nobody", vec![]),
        ("email=both@example.org", vec!["ada", "eve"]),
        ("email=both@example.org&is_disabled=false", vec!["eve"]),
        ("id=ada&is_disabled=false", vec![]),
        ("is_disabled=true", vec!["ada"]),
    ] {
        let (status, response) = gateway
            .platform("GET", &format!("/users?{query}"), None)
            .await;
        assert_eq!(status, 200, "{response}");
        let users = response["users"].as_array().expect("a list").iter();
        let mut ids: Vec<_> = users.filter_map(|user| user["id"].as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, found, "{query}");
        assert_eq!(
            response["pagination"]["total_entries"],
            found.len(),
            "{query}"
        );
    }
    assert_eq!(
        gateway
            .platform("GET", "/users?is_disabled=maybe", None)
            .await
            .0,
        400
    );
}

/// Its sessions and unspent SSO tokens end, and there are no new ones, no links, members, jobs or
/// changes. What it has can be read and deleted, and all is as before once it is enabled.
async fn nothing_is_begun_for_a_disabled_user(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    let (member, _) = gateway.member().await;
    let sso = format!("/{CLIENT}/users/user-1/api_token");
    let by_sso = |request: reqwest::RequestBuilder| request.header("MD-API-KEY", SSO_KEY);
    let (status, unspent) = gateway.call("GET", &sso, None, by_sso).await;
    assert_eq!(status, 200, "{unspent}");
    let unspent = unspent["api_token"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let user = "/users/user-1";
    gateway.disable_user(true).await;

    let (status, response) = gateway.nexus("GET", "/members", None).await;
    assert_eq!((status, &response["error"]["code"]), (401, &json!("4011")));
    let by_token = |request: reqwest::RequestBuilder| request.header("MD-API-TOKEN", unspent);
    assert_eq!(
        gateway.call("POST", "/sessions", None, by_token).await.0,
        401
    );
    assert_eq!(gateway.call("GET", &sso, None, by_sso).await.0, 403);

    let members = format!("{user}/members");
    let one = format!("{members}/{member}");
    let new = json!({"member": {"institution_code": BANK, "is_oauth": true}});
    let name = json!({"member": {"name": "x"}});
    let answers = json!({"member": {"challenges": []}});
    for (method, path, body) in [
        ("GET", format!("{one}/oauth_window_uri"), None),
        ("POST", format!("{one}/oauth_authorization_url"), None),
        ("POST", members.clone(), Some(new)),
        ("POST", format!("{one}/aggregate"), None),
        ("PUT", format!("{one}/resume"), Some(answers)),
        ("PUT", one.clone(), Some(name)),
    ] {
        let (status, response) = gateway.platform(method, &path, body).await;
        assert_eq!(status, 403, "{method} {path}: {response}");
        assert_eq!(response["error"]["status"], "forbidden", "{response}");
        let message = response["error"]["message"].as_str().expect("a message");
        assert!(message.contains("disabled"), "{message}");
    }
    for path in [user, &members, &one] {
        assert_eq!(gateway.platform("GET", path, None).await.0, 200, "{path}");
    }

    gateway.disable_user(false).await;
    assert_eq!(
        gateway.nexus("GET", "/members", None).await.0,
        401,
        "it was ended"
    );
    gateway.sign_in().await;
    assert_eq!(gateway.nexus("GET", "/members", None).await.0, 200);
    let uri = format!("{one}/oauth_window_uri");
    assert_eq!(gateway.platform("GET", &uri, None).await.0, 200);
    let new = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
    assert_eq!(gateway.nexus("POST", "/members", Some(new)).await.0, 200);
    gateway.disable_user(true).await;
    assert_eq!(gateway.platform("DELETE", &one, None).await.0, 204);
}
