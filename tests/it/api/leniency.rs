//! What older and careless clients send, and what a stranger to a member is not told.

use serde_json::{Value, json};

use crate::support::gateway::{BANK_GUID, Backend, CLIENT, TestGateway};

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
    let (status, answer) = gateway.nexus("POST", "/members", Some(body)).await;
    assert_eq!(status, 422, "{answer}");
    let guid = theirs["member"]["guid"].as_str().expect("a guid");
    assert!(!answer.to_string().contains(guid), "{answer}");

    let (own, _) = gateway.member().await;
    let change = json!({"member": {"external_guid": "mine"}});
    let (status, answer) = gateway
        .nexus("PUT", &format!("/members/{own}"), Some(change))
        .await;
    assert_eq!(status, 422, "{answer}");
    assert!(!answer.to_string().contains(guid), "{answer}");
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
        let (status, answer) = gateway.platform("POST", &path, Some(body)).await;
        assert_eq!(status, 400, "{answer}");
        let message = answer["error"]["message"].as_str().unwrap_or_default();
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
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.headers()["content-type"], accept, "{path}");
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
