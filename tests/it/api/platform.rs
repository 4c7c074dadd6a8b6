//! Users and members by the Platform API (CONTRACT.md 2).

use serde_json::{Value, json};

use super::{assert_guid, assert_time, names};
use crate::support::gateway::{BANK, Backend, TestGateway};

crate::on_both_stores!(
    a_user_has_the_documented_fields,
    users_come_in_pages,
    a_users_id_is_unique_within_its_client,
    a_member_has_the_documented_fields,
    members_come_in_pages,
    a_new_link_is_minted_by_key,
    a_member_is_deleted_without_content,
);

async fn a_user_has_the_documented_fields(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"user": {
        "id": "frieda", "email": "frieda@example.org", "metadata": "{}", "is_disabled": false,
    }});
    let (status, response) = gateway.platform("POST", "/users", Some(body)).await;
    assert_eq!(status, 200, "{response}");
    let user = &response["user"];
    let expected = [
        "created_at",
        "email",
        "guid",
        "id",
        "is_disabled",
        "metadata",
    ];
    assert_eq!(names(user), expected.into());
    let guid = assert_guid(user, "guid", "USR-");
    assert_time(user, "created_at");
    assert_eq!(user["id"], "frieda");
    assert_eq!(user["email"], "frieda@example.org");
    assert_eq!(user["metadata"], "{}");
    assert_eq!(user["is_disabled"], false);
    for identifier in [guid, "frieda"] {
        let path = format!("/users/{identifier}");
        assert_eq!(
            gateway.platform("GET", &path, None).await,
            (200, response.clone())
        );
    }
    // Nothing is required, but an object is.
    let (status, response) = gateway.platform("POST", "/users", Some(json!({}))).await;
    assert_eq!(status, 200, "{response}");
    assert!(response["user"]["id"].is_null());
}

async fn users_come_in_pages(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for number in 2..=27 {
        let body = json!({"user": {"id": format!("user-{number}")}});
        assert_eq!(gateway.platform("POST", "/users", Some(body)).await.0, 200);
    }
    let page = async |query: &str| {
        let (status, response) = gateway
            .platform("GET", &format!("/users?{query}"), None)
            .await;
        assert_eq!(status, 200, "{response}");
        response
    };
    let first = page("").await;
    assert_eq!(names(&first), ["pagination", "users"].into());
    assert_eq!(
        first["pagination"],
        json!({"current_page": 1, "per_page": 25, "total_entries": 27, "total_pages": 2})
    );
    let second = page("page=2").await;
    let ids = |page: &Value| -> Vec<String> {
        let users = page["users"].as_array().expect("a list");
        users
            .iter()
            .map(|user| user["id"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!((ids(&first).len(), ids(&second).len()), (25, 2));
    let mut all = [ids(&first), ids(&second)].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 27, "each user is on one page");
    let tenth = page("records_per_page=10&page=3").await;
    assert_eq!(ids(&tenth).len(), 7);
    assert_eq!(tenth["pagination"]["total_pages"], 3);
    // Out of range counts as the default.
    assert_eq!(
        page("records_per_page=5").await["pagination"]["per_page"],
        25
    );
    assert!(ids(&page("page=99").await).is_empty());
}

async fn a_users_id_is_unique_within_its_client(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"user": {"id": "user-1"}});
    let (status, response) = gateway.platform("POST", "/users", Some(body.clone())).await;
    assert_eq!(
        (status, &response["guid"]),
        (409, &json!(gateway.user)),
        "{response}"
    );
    assert_eq!(response["error"]["status"], "conflict");
    // Another client's users are its own.
    let (status, response) = gateway.rival("POST", "/users", Some(body)).await;
    assert_eq!(status, 200, "{response}");
}

fn wanted(id: &str) -> Value {
    json!({"member": {"institution_code": BANK, "is_oauth": true, "id": id}})
}

async fn a_member_has_the_documented_fields(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let path = format!("/users/{}/members", gateway.user);
    let (status, response) = gateway.platform("POST", &path, Some(wanted("one"))).await;
    assert_eq!(status, 202, "it will aggregate by itself: {response}");
    let mut member = response["member"].clone();
    assert!(member["oauth_window_uri"].is_string());
    member
        .as_object_mut()
        .expect("an object")
        .remove("oauth_state_guid");
    member["oauth_window_uri"] = Value::Null;
    for field in [
        "aggregated_at",
        "background_aggregation_is_disabled",
        "connection_status",
        "connection_status_message",
        "guid",
        "id",
        "institution_code",
        "institution_guid",
        "is_being_aggregated",
        "is_managed_by_user",
        "is_manual",
        "is_oauth",
        "metadata",
        "most_recent_job_guid",
        "name",
        "needs_updated_credentials",
        "oauth_window_uri",
        "successfully_aggregated_at",
        "use_cases",
        "user_guid",
        "user_id",
    ] {
        assert!(member.get(field).is_some(), "{field}: {member}");
    }
    assert_eq!(
        (&member["id"], &member["user_id"]),
        (&json!("one"), &json!("user-1"))
    );
    assert!(
        member.get("external_guid").is_none(),
        "that is Nexus's word"
    );
    let guid = member["guid"].as_str().expect("a guid");
    // By guid and by the user's own id.
    for user in [gateway.user.to_string(), "user-1".to_owned()] {
        let path = format!("/users/{user}/members/{guid}");
        let (status, read) = gateway.platform("GET", &path, None).await;
        assert_eq!((status, &read["member"]), (200, &member));
    }

    let mut body = wanted("two");
    body["member"]["skip_aggregation"] = json!(true);
    let (status, response) = gateway.platform("POST", &path, Some(body)).await;
    assert_eq!(status, 200, "nothing will be started: {response}");
}

async fn members_come_in_pages(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let path = "/users/user-1/members";
    for number in 0..11 {
        let body = wanted(&format!("member-{number}"));
        assert_eq!(gateway.platform("POST", path, Some(body)).await.0, 202);
    }
    let second = format!("{path}?records_per_page=10&page=2");
    let (status, response) = gateway.platform("GET", &second, None).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(names(&response), ["members", "pagination"].into());
    assert_eq!(
        response["pagination"],
        json!({"current_page": 2, "per_page": 10, "total_entries": 11, "total_pages": 2})
    );
    assert_eq!(response["members"].as_array().map(Vec::len), Some(1));
}

async fn a_new_link_is_minted_by_key(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, _) = gateway.member().await;
    let path = format!("/users/user-1/members/{member}/oauth_window_uri?referral_source=BROWSER");
    let (status, response) = gateway.platform("GET", &path, None).await;
    assert_eq!(
        (status, &response["member"]["guid"]),
        (200, &json!(member)),
        "{response}"
    );
    let link = response["member"]["oauth_window_uri"]
        .as_str()
        .expect("a link");
    let page = gateway
        .connect(&gateway.visitor(), &link.parse().expect("a URL"))
        .await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

async fn a_member_is_deleted_without_content(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, _) = gateway.member().await;
    let path = format!("/users/user-1/members/{member}");
    let (status, response) = gateway.platform("DELETE", &path, None).await;
    assert_eq!((status, response), (204, Value::Null));
    let (status, response) = gateway.platform("GET", &path, None).await;
    assert_eq!(
        (status, &response["error"]["type"]),
        (404, &json!("not_found_error"))
    );
    assert_eq!(gateway.platform("DELETE", &path, None).await.0, 404);
}
