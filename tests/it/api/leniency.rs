//! What older and careless clients send, and what a stranger to a member is not told.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::gateway::{BANK_GUID, Backend, CLIENT, TestGateway};

/// Paths of both APIs and of the aggregator, with a slash at the end; two slashes are another path.
#[tokio::test(flavor = "multi_thread")]
async fn a_slash_at_the_end_of_a_path_is_taken() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (member, _) = gateway.member().await;
    let user = Some(json!({"user": {}}));
    assert_eq!(gateway.platform("POST", "/users/", user).await.0, 200);
    for path in [
        "/users/",
        "/users/?page=1",
        "/users/user-1/",
        &format!("/users/user-1/members/{member}/status/"),
        "/institutions/",
    ] {
        assert_eq!(gateway.platform("GET", path, None).await.0, 200, "{path}");
    }
    for path in [
        "/members/",
        &format!("/members/{member}/"),
        "/oauth_states/",
    ] {
        assert_eq!(gateway.nexus("GET", path, None).await.0, 200, "{path}");
    }
    let job = "/aggregation/jobs/JOB-ad533d14-b4f1-49a4-8093-b0ae9aa8d023/lease/";
    let (status, response) = gateway.aggregation(job, None).await;
    assert_eq!(status, 404, "{response}");
    assert!(
        response.to_string().contains("job"),
        "the job is not there, the path is: {response}"
    );
    assert_eq!(gateway.platform("GET", "/users//", None).await.0, 404);
    // A key names the request, however its path was written.
    let keyed = async |path: &str| {
        let user = Some(json!({"user": {}}));
        let with = |request: reqwest::RequestBuilder| {
            let request = request.basic_auth(CLIENT, Some(&gateway.api_key));
            request.header("Idempotency-Key", "one")
        };
        gateway.call("POST", path, user, with).await
    };
    assert_eq!(keyed("/users").await, keyed("/users/").await);
}

/// Compressed bodies and byte order marks are refused in words, whoever sends them.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_compressed_or_marked_is_told_so() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let plain = br#"{"user": {"metadata": "m"}}"#;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain).expect("compressed");
    let packed = encoder.finish().expect("compressed");
    let marked = |mark: &[u8]| [mark, plain].concat();
    for (body, encoding, status, word) in [
        (packed.clone(), Some("gzip"), 415, "compressed"),
        (packed.clone(), None, 415, "compressed"),
        (packed, Some("br"), 415, "compressed"),
        (plain.to_vec(), Some("deflate"), 415, "compressed"),
        (marked(b"\xef\xbb\xbf"), None, 400, "byte order mark"),
        (marked(b"\xff\xfe"), None, 400, "byte order mark"),
        (marked(b"\xfe\xff"), None, 400, "byte order mark"),
        (plain.to_vec(), None, 200, ""),
        (plain.to_vec(), Some("identity"), 200, ""),
    ] {
        let with = |request: reqwest::RequestBuilder| {
            let request = request
                .basic_auth(CLIENT, Some(&gateway.api_key))
                .header("content-type", "application/json")
                .body(body.clone());
            match encoding {
                Some(encoding) => request.header("content-encoding", encoding),
                None => request,
            }
        };
        let (got, response) = gateway.call("POST", "/users", None, with).await;
        assert_eq!(got, status, "{encoding:?} {word}: {response}");
        assert!(response.to_string().contains(word), "{response}");
    }
}

crate::on_both_stores!(
    a_session_is_not_told_which_member_of_another_user_has_a_name,
    a_name_that_looks_like_a_guid_is_refused,
    errors_speak_the_media_type_that_was_asked_for,
    an_empty_list_of_use_cases_says_nothing,
);

async fn a_session_is_not_told_which_member_of_another_user_has_a_name(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (status, other) = gateway
        .platform("POST", "/users", Some(json!({"user": {}})))
        .await;
    assert_eq!(status, 200, "{other}");
    let path = format!(
        "/users/{}/members",
        other["user"]["guid"].as_str().unwrap_or_default()
    );
    let body = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true, "id": "mine"}});
    let (status, theirs) = gateway.platform("POST", &path, Some(body)).await;
    assert_eq!(status, 202, "{theirs}");

    let body = json!({"member": {
        "institution_guid": BANK_GUID, "is_oauth": true, "external_guid": "mine",
    }});
    let (status, response) = gateway.nexus("POST", "/members", Some(body)).await;
    assert_eq!(status, 422, "{response}");
    let guid = theirs["member"]["guid"].as_str().expect("a guid");
    assert!(!response.to_string().contains(guid), "{response}");

    let (own, _) = gateway.member().await;
    let change = json!({"member": {"external_guid": "mine"}});
    let (status, response) = gateway
        .nexus("PUT", &format!("/members/{own}"), Some(change))
        .await;
    assert_eq!(status, 422, "{response}");
    assert!(!response.to_string().contains(guid), "{response}");
}

async fn a_name_that_looks_like_a_guid_is_refused(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let uuid = "68e96dd6-eabd-42d3-9f05-416897f0746c";
    let user = json!({"user": {"id": format!("USR-{uuid}")}});
    let member = json!({"member": {
        "institution_guid": BANK_GUID, "is_oauth": true, "id": format!("MBR-{uuid}"),
    }});
    for (path, body) in [
        ("/users".to_owned(), user),
        (format!("/users/{}/members", gateway.user), member),
    ] {
        let (status, response) = gateway.platform("POST", &path, Some(body)).await;
        assert_eq!(status, 400, "{response}");
        let message = response["error"]["message"].as_str().unwrap_or_default();
        assert!(
            message.starts_with("id must be a name of your own"),
            "{message}"
        );
    }
}

async fn errors_speak_the_media_type_that_was_asked_for(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for (path, accept) in [
        ("/members/MBR-1", "application/vnd.mx.nexus.v1+json"),
        ("/members/MBR-1", "application/vnd.mx.nexus.beta+json"),
        ("/users/nobody", "application/vnd.mx.api.v1+json"),
        ("/nothing", "application/vnd.moneydesktop.v1+json"),
    ] {
        let url = gateway.url.join(path).expect("a path");
        let request = reqwest::Client::builder()
            .build()
            .expect("a client")
            .get(url)
            .header("accept", accept);
        let request = match path.starts_with("/members") {
            true => request.header("MD-SESSION-TOKEN", &gateway.session),
            false => request.basic_auth(CLIENT, Some(&gateway.api_key)),
        };
        let response = request.send().await.expect("a response");
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(response.headers()["content-type"], accept, "{path}");
    }
}

async fn an_empty_list_of_use_cases_says_nothing(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {
        "institution_guid": BANK_GUID, "is_oauth": true, "use_cases": Value::Array(Vec::new()),
    }});
    let (member, _) = gateway.member_with(body).await;
    assert_eq!(gateway.read(member).await["use_cases"], json!(["PFM"]));
}
