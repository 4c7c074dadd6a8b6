//! Requests that must be refused.

use std::time::Duration;

use serde_json::{Value, json};

use super::{assert_nexus, assert_platform};
use crate::support::gateway::{BANK_GUID, Backend, CLIENT, TestGateway};
use crate::support::visitor::{Visitor, http};

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000000";

crate::on_both_stores!(
    an_unknown_member_is_404,
    an_unknown_session_is_401,
    an_expired_session_is_401,
    unknown_api_keys_are_401,
);

async fn gateway() -> TestGateway {
    TestGateway::start(Backend::Sqlite).await
}

async fn create(gateway: &TestGateway, member: Value) -> (u16, Value) {
    gateway
        .nexus("POST", "/members", Some(json!({ "member": member })))
        .await
}

/// Sends that text as the body of `POST /members`.
async fn post_text(gateway: &TestGateway, text: impl Into<reqwest::Body>) -> (u16, Value) {
    let session = gateway.session.clone();
    let with =
        |request: reqwest::RequestBuilder| request.header("MD-SESSION-TOKEN", session).body(text);
    gateway.call("POST", "/members", None, with).await
}

#[tokio::test]
async fn an_unknown_institution_is_422() {
    let gateway = gateway().await;
    let guid = format!("INS-{UNKNOWN}");
    let response = create(
        &gateway,
        json!({"institution_guid": guid, "is_oauth": true}),
    )
    .await;
    assert_nexus(
        response,
        (422, "4220"),
        &["institution_guid", &guid, "not an institution"],
    );
    let response = create(
        &gateway,
        json!({"institution_code": "no_bank", "is_oauth": true}),
    )
    .await;
    assert_nexus(
        response,
        (422, "4220"),
        &["institution_code", "no_bank", "not an institution"],
    );
    let body = json!({"member": {"institution_code": "no_bank", "is_oauth": true}});
    let response = gateway
        .platform("POST", "/users/user-1/members", Some(body))
        .await;
    let words = ["institution_code", "no_bank"];
    assert_platform(response, (422, "unprocessable_entity"), &words);
}

#[tokio::test]
async fn a_malformed_institution_is_422() {
    let gateway = gateway().await;
    for guid in [
        "",
        "nonsense",
        "INS-1",
        "MBR-11111111-1111-4111-8111-111111111111",
    ] {
        let response = create(
            &gateway,
            json!({"institution_guid": guid, "is_oauth": true}),
        )
        .await;
        assert_nexus(response, (422, "4220"), &["institution_guid", guid]);
    }
}

#[tokio::test]
async fn a_missing_field_is_400() {
    let gateway = gateway().await;
    for member in [
        json!({"is_oauth": true}),
        json!({"institution_guid": null, "is_oauth": true}),
    ] {
        let response = create(&gateway, member).await;
        assert_nexus(response, (400, "4001"), &["institution_guid is missing"]);
    }
    let response = create(&gateway, json!({"institution_guid": BANK_GUID})).await;
    assert_nexus(response, (400, "4001"), &["is_oauth"]);
    for empty in ["", " \n"] {
        let response = post_text(&gateway, empty).await;
        assert_nexus(response, (400, "4001"), &["body is empty", "\"member\""]);
    }
    let response = gateway
        .platform("POST", "/users/user-1/members", Some(json!({"member": {}})))
        .await;
    assert_platform(
        response,
        (400, "bad_request"),
        &["institution_code is missing"],
    );
}

#[tokio::test]
async fn a_wrong_type_is_400_and_names_the_field() {
    let gateway = gateway().await;
    for (field, value, expected) in [
        ("institution_guid", json!(5), "a string"),
        ("is_oauth", json!("yes"), "true or false"),
        ("is_oauth", json!(1), "true or false"),
        ("skip_aggregation", json!([]), "true or false"),
        ("skip_webhook", json!("no"), "true or false"),
        (
            "background_aggregation_is_disabled",
            json!({}),
            "true or false",
        ),
        ("name", json!(["x"]), "a string"),
        ("external_guid", json!(7), "a string"),
        ("metadata", json!({"a": 1}), "a string"),
        ("use_cases", json!("PFM"), "\"PFM\""),
        ("use_cases", json!(["PLAY"]), "\"PFM\""),
        ("referral_source", json!("TV"), "BROWSER or APP"),
        (
            "open_policy",
            json!("often"),
            "single, interstitial or multi",
        ),
        ("link_minutes", json!(-1), "a whole number"),
        ("link_minutes", json!("soon"), "a whole number"),
        ("link_minutes", json!(0), "between 1 and 60"),
        ("link_minutes", json!(61), "between 1 and 60"),
        ("authorization_minutes", json!(61), "between 1 and 60"),
    ] {
        let mut member = json!({"institution_guid": BANK_GUID, "is_oauth": true});
        member[field] = value.clone();
        let (status, response) = create(&gateway, member).await;
        let words = [field, expected];
        assert_eq!(status, 400, "{field} {value}: {response}");
        assert_nexus((status, response), (400, "4002"), &words);
    }
    for (body, word) in [
        ("[]", "object"),
        ("5", "object"),
        (r#"{"member":5}"#, "member"),
    ] {
        assert_nexus(post_text(&gateway, body).await, (400, "4002"), &[word]);
    }
    let (_, listed) = gateway.nexus("GET", "/members", None).await;
    assert_eq!(listed, json!({"members": []}), "nothing is left behind");
}

#[tokio::test]
async fn malformed_json_is_400_and_says_where() {
    let gateway = gateway().await;
    for body in [
        "{",
        "{\"member\": {\"is_oauth\": tru}}",
        "member=1",
        "\u{0}",
    ] {
        assert_nexus(
            post_text(&gateway, body).await,
            (400, "4002"),
            &["not JSON", "line 1", "column"],
        );
    }
    let response = post_text(&gateway, vec![b'"', 0xff, 0xfe, b'"']).await;
    assert_nexus(response, (400, "4002"), &["not JSON"]);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert_nexus(
        post_text(&gateway, deep).await,
        (400, "4002"),
        &["not JSON"],
    );
}

#[tokio::test]
async fn a_body_over_64_kb_is_413() {
    let gateway = gateway().await;
    let of_size = |size: usize| {
        let frame = r#"{"member":{"metadata":""}}"#.len();
        format!(
            r#"{{"member":{{"metadata":"{}"}}}}"#,
            "x".repeat(size - frame)
        )
    };
    // The largest that is read is read: another thing is wrong with it.
    let response = post_text(&gateway, of_size(64 * 1024)).await;
    assert_nexus(response, (400, "4001"), &["institution_guid"]);
    let response = post_text(&gateway, of_size(64 * 1024 + 1)).await;
    assert_nexus(response, (413, "4130"), &["64 kB"]);
    let body = json!({"user": {"metadata": "x".repeat(65 * 1024)}});
    let response = gateway.platform("POST", "/users", Some(body)).await;
    assert_platform(response, (413, "payload_too_large"), &["64 kB"]);
    // Pictures are sent back here.
    let pictures = async |size: usize| {
        let path = format!("/members/MBR-{UNKNOWN}/update_mfa");
        let text = json!("x".repeat(size - 2));
        gateway.nexus("PUT", &path, Some(text)).await.0
    };
    assert_ne!(pictures(256 * 1024).await, 413);
    assert_eq!(pictures(256 * 1024 + 1).await, 413);
}

async fn an_unknown_member_is_404(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let bytes = gateway.nexus("GET", "/members/%ff", None).await;
    assert_nexus(bytes, (404, "4040"), &["no such path"]);
    let unknown = format!("MBR-{UNKNOWN}");
    for guid in [
        unknown.as_str(),
        "nonsense",
        "MBR-1",
        "%00",
        "..%2f..",
        "USR-1",
    ] {
        for (method, path) in [
            ("GET", format!("/members/{guid}")),
            ("DELETE", format!("/members/{guid}")),
            ("GET", format!("/members/{guid}/oauth_window_uri")),
        ] {
            let response = gateway.nexus(method, &path, None).await;
            assert_nexus(response, (404, "4040"), &["no such member"]);
            let path = format!("/users/user-1{path}");
            let response = gateway.platform(method, &path, None).await;
            assert_platform(response, (404, "not_found"), &["no such member"]);
        }
        let response = gateway
            .nexus("GET", &format!("/oauth_states/{guid}"), None)
            .await;
        assert_nexus(response, (404, "4040"), &["no such OAuth state"]);
        let response = gateway
            .platform("GET", &format!("/users/{guid}"), None)
            .await;
        assert_platform(response, (404, "not_found"), &["no such user"]);
        for step in ["lease", "report"] {
            let path = format!("/aggregation/jobs/{guid}/{step}");
            let body = json!({"status": "started"});
            let response = gateway.aggregation(&path, Some(body)).await;
            assert_platform(response, (404, "not_found"), &["no such job"]);
        }
    }
}

/// Bytes that are no text, wherever a path has room for them.
#[tokio::test]
async fn a_path_that_is_no_text_is_404() {
    let gateway = gateway().await;
    for path in [
        "/members/%ff",
        "/members/%ff/oauth_window_uri",
        "/oauth_states/%c3%28",
    ] {
        assert_nexus(
            gateway.nexus("GET", path, None).await,
            (404, "4040"),
            &["path"],
        );
    }
    for path in ["/users/%ff", "/users/user-1/members/%ff"] {
        let response = gateway.platform("GET", path, None).await;
        assert_platform(response, (404, "not_found"), &["path"]);
    }
}

async fn an_unknown_session_is_401(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let with = async |session: &str| {
        let header = |request: reqwest::RequestBuilder| request.header("MD-SESSION-TOKEN", session);
        gateway.call("GET", "/members", None, header).await
    };
    let mut almost = gateway.session.clone();
    let last = almost.pop().expect("a character");
    almost.push(if last == 'A' { 'B' } else { 'A' });
    for unknown in ["", "x", almost.as_str(), gateway.api_key.as_str()] {
        let words = ["session", "POST /sessions"];
        assert_nexus(with(unknown).await, (401, "4011"), &words);
    }
    assert_eq!(
        with(&gateway.session).await.0,
        200,
        "the genuine one still counts"
    );
}

/// A path of the Nexus API alone says which header it wants.
#[tokio::test]
async fn no_session_at_all_is_401() {
    let gateway = gateway().await;
    let response = gateway
        .call("GET", "/members", None, |request| request)
        .await;
    assert_nexus(
        response,
        (401, "4010"),
        &["MD-SESSION-TOKEN is missing", "POST /sessions"],
    );
}

async fn an_expired_session_is_401(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    gateway.clock.advance(Duration::from_secs(30 * 60));
    let response = gateway.nexus("GET", "/members", None).await;
    assert_nexus(response, (401, "4011"), &["expired", "POST /sessions"]);
}

async fn unknown_api_keys_are_401(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let genuine = gateway.api_key.clone();
    let mut same_id = genuine.clone();
    let last = same_id.pop().expect("a character");
    same_id.push(if last == 'A' { 'B' } else { 'A' });
    let mut bodies = Vec::new();
    for (client, key) in [
        (CLIENT, "wrong"),
        (CLIENT, same_id.as_str()),
        ("rival", genuine.as_str()),
        ("nobody", genuine.as_str()),
        ("", ""),
    ] {
        let response = http()
            .get(gateway.at("/users"))
            .basic_auth(client, Some(key))
            .send()
            .await
            .expect("a response");
        assert_eq!(response.status(), 401, "{client} {key}");
        let challenge = response.headers()["www-authenticate"].to_str();
        assert!(challenge.is_ok_and(|challenge| challenge.starts_with("Basic ")));
        bodies.push(response.text().await.expect("a body"));
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "they look alike: {bodies:?}");
    assert!(bodies[0].contains("client_id:api_key"), "{}", bodies[0]);
    let (status, _) = gateway
        .call("GET", "/users", None, |request| {
            request.bearer_auth(&genuine)
        })
        .await;
    assert_eq!(status, 401, "a key is no Bearer token");
}

#[tokio::test]
async fn a_return_address_that_is_not_registered_is_400() {
    let gateway = gateway().await;
    let (member, _) = gateway.member().await;
    let unregistered = [
        "https://evil.example/done",
        "https://app.example/done/",
        "https://app.example/Done",
        "https://app.example:443/done",
        "https://app.example.evil.example/done",
        "https://app.example@evil.example/done",
        "javascript:alert(1)",
        "//app.example/done",
        "",
    ];
    let unregistered = unregistered.map(|address| (address, "return_addresses"));
    let never = [
        ("https://app.example/done#x", "fragment"),
        ("https://app.example/done\\", "backslashes"),
    ];
    for (address, named) in unregistered.into_iter().chain(never) {
        let mut path = gateway.at(&format!("/members/{member}/oauth_window_uri"));
        path.query_pairs_mut()
            .append_pair("referral_source", "APP")
            .append_pair("client_redirect_url", address);
        let path = format!("{}?{}", path.path(), path.query().unwrap_or_default());
        let response = gateway.nexus("GET", &path, None).await;
        assert_nexus(response, (400, "4002"), &["client_redirect_url", named]);
        let member = json!({
            "institution_guid": BANK_GUID, "is_oauth": true,
            "referral_source": "APP", "client_redirect_url": address,
        });
        assert_nexus(
            create(&gateway, member).await,
            (400, "4002"),
            &["client_redirect_url"],
        );
    }
    for scheme in ["com.example.other", "javascript", "mx", "a b"] {
        let member = json!({
            "institution_guid": BANK_GUID, "is_oauth": true,
            "referral_source": "APP", "ui_message_webview_url_scheme": scheme,
        });
        let words = ["ui_message_webview_url_scheme", "return_schemes"];
        assert_nexus(create(&gateway, member).await, (400, "4002"), &words);
    }
    let (_, listed) = gateway.nexus("GET", "/members", None).await;
    assert_eq!(
        listed["members"].as_array().map(Vec::len),
        Some(1),
        "nothing is left behind"
    );
    // In a BROWSER flow the address is ignored, never refused (`security` section 0).
    let path =
        format!("/members/{member}/oauth_window_uri?client_redirect_url=https://evil.example");
    assert_eq!(gateway.nexus("GET", &path, None).await.0, 200);
}

#[tokio::test]
async fn q1_credentials_in_the_address_are_400() {
    let gateway = gateway().await;
    for name in [
        "api_key",
        "MD-SESSION-TOKEN",
        "md-api-key",
        "client_secret",
        "access_token",
    ] {
        let response = gateway
            .nexus("GET", &format!("/members?{name}=x"), None)
            .await;
        assert_nexus(response, (400, "4002"), &["headers only"]);
        let response = gateway
            .platform("GET", &format!("/users?{name}=x"), None)
            .await;
        assert_platform(response, (400, "bad_request"), &["headers only"]);
    }
    let path = format!("/{CLIENT}/users/user-1/api_token?md-api-key=x");
    let response = gateway.call("GET", &path, None, |request| request).await;
    assert_nexus(response, (400, "4002"), &["headers only"]);
    let response = gateway
        .call("POST", "/sessions?md-api-token=x", None, |request| request)
        .await;
    assert_nexus(response, (400, "4002"), &["headers only"]);
}

#[tokio::test]
async fn unknown_paths_are_404_and_wrong_methods_405() {
    let gateway = gateway().await;
    let path = "/no/such/path";
    assert_nexus(
        gateway.nexus("GET", path, None).await,
        (404, "4040"),
        &["no such path"],
    );
    assert_platform(
        gateway.platform("GET", path, None).await,
        (404, "not_found"),
        &["path"],
    );
    for (method, path, allowed) in [
        ("PUT", "/members", "GET,HEAD,POST"),
        ("POST", "/oauth_states", "GET,HEAD"),
        ("GET", "/sessions", "POST"),
        ("PATCH", "/users", "GET,HEAD,POST"),
        ("GET", "/aggregation/jobs/JOB-1/lease", "POST"),
    ] {
        let page = Visitor::new()
            .send(method, &gateway.at(path), &[], None)
            .await;
        assert_eq!(page.status, 405, "{method} {path}");
        assert_eq!(page.header("allow"), Some(allowed), "{method} {path}");
        let response: Value = serde_json::from_str(&page.body).expect("JSON");
        let words = ["method", "Allow"];
        assert_platform((405, response), (405, "method_not_allowed"), &words);
    }
}
