//! Members without OAuth, as each API shows them.

use serde_json::{Value, json};

use super::{assert_guid, names};
use crate::support::aggregation::{challenged, nth_job, report};
use crate::support::gateway::{
    BANK, Backend, LOGIN, PAPER_BANK, PAPER_BANK_GUID, PASSWORD, TestGateway,
};
use crate::support::visitor::http;

crate::on_both_stores!(
    a_member_is_created_read_and_deleted_by_the_clients_own_id,
    the_same_login_is_refused_in_each_apis_words,
    questions_are_asked_and_answered_by_the_platform_api,
    the_older_names_of_the_nexus_api_do_the_same,
    a_change_may_be_unrooted_and_null_takes_away,
    an_aggregation_that_cannot_be_is_405_and_names_its_method,
    what_is_not_for_pfm_is_403,
    members_are_filtered_by_use_case,
    a_link_may_be_asked_for_by_post,
    wrong_headers_and_wishes_are_400,
    what_is_no_json_by_its_type_is_415,
);

const MEMBERS: &str = "/users/user-1/members";

fn wanted(login: &str) -> Value {
    json!({"member": {
        "institution_code": PAPER_BANK,
        "credentials": [{"guid": LOGIN, "value": login}, {"guid": PASSWORD, "value": "sesame"}],
    }})
}

/// Creates a member called `id`; its guid.
async fn create(gateway: &TestGateway, id: &str) -> String {
    let mut body = wanted(id);
    body["member"]["id"] = json!(id);
    let (status, answer) = gateway.platform("POST", MEMBERS, Some(body)).await;
    assert_eq!(status, 202, "{answer}");
    assert_guid(&answer["member"], "guid", "MBR-").to_owned()
}

async fn a_member_is_created_read_and_deleted_by_the_clients_own_id(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let guid = create(&gateway, "one").await;
    let mut skipped = wanted("two");
    skipped["member"]["skip_aggregation"] = json!(true);
    let (status, answer) = gateway.platform("POST", MEMBERS, Some(skipped)).await;
    assert_eq!(status, 200, "nothing is started: {answer}");

    let (status, by_guid) = gateway
        .platform("GET", &format!("{MEMBERS}/{guid}"), None)
        .await;
    assert_eq!(status, 200);
    let own = format!("{MEMBERS}/one");
    assert_eq!(
        gateway.platform("GET", &own, None).await,
        (200, by_guid.clone())
    );
    let member = &by_guid["member"];
    for field in [
        "error",
        "most_recent_job_detail_code",
        "most_recent_job_detail_text",
    ] {
        assert_eq!(member.get(field), Some(&Value::Null), "{field}");
    }
    assert!(!by_guid.to_string().contains("sesame"));

    let (status, answer) = gateway
        .platform("GET", &format!("{own}/status"), None)
        .await;
    assert_eq!(status, 200, "{answer}");
    let expected = [
        "aggregated_at",
        "challenges",
        "connection_status",
        "guid",
        "has_processed_account_numbers",
        "has_processed_accounts",
        "has_processed_transactions",
        "is_authenticated",
        "is_being_aggregated",
        "successfully_aggregated_at",
    ];
    assert_eq!(names(&answer["member"]), expected.into());
    let (status, answer) = gateway
        .platform("GET", &format!("{own}/credentials"), None)
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["credentials"][0]["field_type"], "TEXT");
    assert_eq!(answer["pagination"]["total_entries"], 3);

    assert_eq!(
        gateway.platform("DELETE", &own, None).await,
        (204, Value::Null)
    );
    assert_eq!(gateway.platform("GET", &own, None).await.0, 404);
}

async fn the_same_login_is_refused_in_each_apis_words(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let guid = create(&gateway, "ada").await;
    let (status, answer) = gateway.platform("POST", MEMBERS, Some(wanted("ada"))).await;
    assert_eq!((status, &answer["guid"]), (409, &json!(guid)), "{answer}");
    let (status, answer) = gateway.nexus("POST", "/members", Some(wanted("ada"))).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (422, &json!("4220")),
        "{answer}"
    );
    assert_eq!(answer["error"]["guid"], json!(guid));

    let mut taken = wanted("eve");
    taken["member"]["id"] = json!("ada");
    let (status, answer) = gateway.platform("POST", MEMBERS, Some(taken)).await;
    assert_eq!((status, &answer["guid"]), (409, &json!(guid)));
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("id is taken by another member"),
        "{message}"
    );
    create(&gateway, "eve").await;
    let path = format!("{MEMBERS}/eve");
    let change = json!({"member": {"id": "ada"}});
    let (status, answer) = gateway.platform("PUT", &path, Some(change)).await;
    assert_eq!((status, &answer["guid"]), (409, &json!(guid)), "{answer}");
}

fn question() -> Value {
    json!([{"type": "OPTIONS", "field_name": "account", "label": "Which?",
            "options": [{"label": "Savings", "value": "s"}]}])
}

async fn questions_are_asked_and_answered_by_the_platform_api(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    create(&gateway, "one").await;
    let path = format!("{MEMBERS}/one");
    let job = nth_job(&gateway, 1).await;
    let answers = json!({"member": {"challenges": []}});
    let resume = format!("{path}/resume");
    let (status, answer) = gateway.platform("PUT", &resume, Some(answers)).await;
    assert_eq!(status, 405, "nothing is asked: {answer}");
    report(&gateway, &job, challenged(&question())).await;

    let (status, answer) = gateway
        .platform("GET", &format!("{path}/challenges"), None)
        .await;
    assert_eq!(status, 200, "{answer}");
    let asked = &answer["challenges"][0];
    let fields = [
        "field_name",
        "guid",
        "image_data",
        "image_options",
        "label",
        "options",
        "type",
    ];
    assert_eq!(names(asked), fields.into());
    assert_eq!(asked["type"], "OPTIONS");
    let option = &asked["options"][0];
    assert_eq!(
        (
            &option["label"],
            &option["value"],
            &option["credential_guid"]
        ),
        (&json!("Savings"), &json!("s"), &asked["guid"])
    );
    assert_guid(option, "guid", "CRD-");
    assert_eq!(answer["pagination"]["total_entries"], 1);
    let (_, answer) = gateway
        .platform("GET", &format!("{path}/status"), None)
        .await;
    assert_eq!(&answer["member"]["challenges"][0], asked);

    let wrong = json!({"member": {"challenges": [{"guid": asked["guid"], "value": "x"}]}});
    assert_eq!(gateway.platform("PUT", &resume, Some(wrong)).await.0, 400);
    let right = json!({"challenges": [{"guid": asked["guid"], "value": "s"}]});
    let (status, answer) = gateway.platform("PUT", &resume, Some(right)).await;
    assert_eq!(status, 202, "{answer}");
    assert_eq!(answer["member"]["connection_status"], "RESUMED");
}

async fn the_older_names_of_the_nexus_api_do_the_same(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let guid = create(&gateway, "one").await;
    let job = nth_job(&gateway, 1).await;
    for path in [
        format!("/member/{guid}/credentials"),
        format!("/members/{guid}/credentials"),
    ] {
        let (status, answer) = gateway.nexus("GET", &path, None).await;
        assert_eq!(status, 200, "{answer}");
        let first = &answer["credentials"][0];
        let fields = [
            "display_order",
            "field_name",
            "field_type",
            "field_type_name",
            "guid",
            "institution_guid",
            "label",
            "mfa",
            "optional",
            "options",
        ];
        assert_eq!(names(first), fields.into());
        assert_eq!(first["field_type"], 3);
        assert_eq!(first["institution_guid"], PAPER_BANK_GUID);
        assert_eq!(first["mfa"], false);
    }
    report(&gateway, &job, challenged(&question())).await;
    let (status, answer) = gateway
        .nexus("GET", &format!("/jobs/{job}/mfa_credentials"), None)
        .await;
    assert_eq!(status, 200, "{answer}");
    let asked = &answer["credentials"][0];
    assert_eq!(
        (&asked["mfa"], &asked["field_type"]),
        (&json!(true), &json!(2))
    );
    let answers = json!({"member": {"challenges": [{"guid": asked["guid"], "value": "s"}]}});
    let path = format!("/members/{guid}/update_mfa");
    let (status, answer) = gateway.nexus("PUT", &path, Some(answers)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["member"]["connection_status"], "RESUMED");

    report(&gateway, &job, json!({"status": "succeeded"})).await;
    for (method, path) in [
        (
            "GET",
            format!("/members/{guid}/aggregate?include_transactions=true"),
        ),
        ("GET", format!("/members/{guid}/refresh")),
        ("POST", format!("/members/{guid}/unthrottled_aggregate")),
    ] {
        let (status, answer) = gateway.nexus(method, &path, None).await;
        assert_eq!(status, 200, "{path}: {answer}");
        assert_eq!(answer["member"]["is_being_aggregated"], true, "{path}");
    }
    let (status, answer) = gateway.nexus("GET", "/members/aggregate", None).await;
    assert_eq!((status, &answer["members"][0]["guid"]), (200, &json!(guid)));
}

async fn a_change_may_be_unrooted_and_null_takes_away(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let guid = create(&gateway, "one").await;
    let path = format!("/members/{guid}");
    let body = json!({"name": "My bank", "metadata": "m", "use_cases": ["MONEY_MOVEMENT"]});
    let (status, answer) = gateway.nexus("PUT", &path, Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["member"]["name"], "My bank");
    assert_eq!(answer["member"]["external_guid"], "one");
    let body = json!({"member": {"metadata": null, "external_guid": null}});
    let (status, answer) = gateway.nexus("PUT", &path, Some(body)).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["member"]["metadata"], Value::Null);
    assert_eq!(answer["member"]["external_guid"], Value::Null);
    assert_eq!(answer["member"]["use_cases"], json!(["MONEY_MOVEMENT"]));
    let path = format!("{MEMBERS}/{guid}");
    for empty in [json!({}), json!({"member": {}})] {
        let (status, answer) = gateway.platform("PUT", &path, Some(empty)).await;
        assert_eq!(status, 400, "{answer}");
    }
}

async fn an_aggregation_that_cannot_be_is_405_and_names_its_method(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, _) = gateway.member().await;
    let path = format!("{MEMBERS}/{member}/aggregate");
    let answer = http()
        .post(gateway.at(&path))
        .basic_auth("acme", Some(&gateway.api_key))
        .send()
        .await
        .expect("a response");
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.headers()["allow"], "POST");
    let body: Value = answer.json().await.expect("JSON");
    let message = body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("PENDING"), "{message}");
}

async fn what_is_not_for_pfm_is_403(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let mut body = wanted("ada");
    body["member"]["use_cases"] = json!(["MONEY_MOVEMENT"]);
    body["member"]["skip_aggregation"] = json!(true);
    let (_, created) = gateway.nexus("POST", "/members", Some(body)).await;
    let guid = assert_guid(&created["member"], "guid", "MBR-");
    let (status, answer) = gateway
        .nexus("GET", &format!("/members/{guid}/aggregate"), None)
        .await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (403, &json!("4030")),
        "{answer}"
    );
}

async fn members_are_filtered_by_use_case(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    create(&gateway, "one").await;
    let count = async |use_case: &str| {
        let path = format!("{MEMBERS}?use_case={use_case}");
        let (status, answer) = gateway.platform("GET", &path, None).await;
        (status, answer["pagination"]["total_entries"].clone())
    };
    assert_eq!(count("PFM").await, (200, json!(1)));
    assert_eq!(count("MONEY_MOVEMENT").await, (200, json!(0)));
    assert_eq!(count("PLAY").await.0, 400);
}

async fn a_link_may_be_asked_for_by_post(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, _) = gateway.member().await;
    let path = format!("{MEMBERS}/{member}/oauth_authorization_url");
    let wishes =
        json!({"referral_source": "APP", "client_redirect_url": "https://app.example/done"});
    for (path, body) in [
        (path.clone(), Some(wishes)),
        (format!("{path}?referral_source=BROWSER"), None),
    ] {
        let (status, answer) = gateway.platform("POST", &path, body).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(
            answer["authorization_url"],
            answer["member"]["oauth_window_uri"]
        );
    }
    let wishes = json!({"referral_source": "APP", "client_redirect_url": "https://evil.example"});
    let (status, answer) = gateway.platform("POST", &path, Some(wishes)).await;
    assert_eq!(status, 400, "{answer}");
}

async fn wrong_headers_and_wishes_are_400(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let with = |request: reqwest::RequestBuilder| {
        request
            .header("MD-SESSION-TOKEN", &gateway.session)
            .header("X-CALLBACK-PAYLOAD", "not base64!")
    };
    let (status, answer) = gateway
        .call("POST", "/members", Some(wanted("ada")), with)
        .await;
    assert_eq!(status, 400, "{answer}");
    assert!(
        answer.to_string().contains("X-CALLBACK-PAYLOAD"),
        "{answer}"
    );
    for (field, value) in [
        ("data_request", json!({"products": ["gold"]})),
        ("data_request", json!("transactions")),
        ("include_transactions", json!("perhaps")),
        ("credentials", json!("ada")),
        ("credentials", json!([{"guid": "ada", "value": "sesame"}])),
    ] {
        let mut body = wanted("ada");
        body["member"][field] = value;
        let (status, answer) = gateway.nexus("POST", "/members", Some(body)).await;
        assert_eq!(status, 400, "{answer}");
        let message = answer["error"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with(field), "{message}");
        assert!(!message.contains("sesame"), "{message}");
    }
    let body = json!({"member": {"institution_code": BANK, "is_oauth": true}, "data_request": {"products": ["transactions"]}});
    assert_eq!(gateway.nexus("POST", "/members", Some(body)).await.0, 200);
}

async fn what_is_no_json_by_its_type_is_415(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "*/*"] {
        let answer = http()
            .post(gateway.at("/members"))
            .header("md-session-token", &gateway.session)
            .header("content-type", media_type)
            .body(wanted("ada").to_string())
            .send()
            .await
            .expect("a response");
        assert_eq!(answer.status(), 415, "{media_type}");
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["error"]["code"], "4150");
    }
}
