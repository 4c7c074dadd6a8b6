//! Members by the Nexus API.

use serde_json::{Value, json};

use super::{assert_guid, assert_time, names};
use crate::support::gateway::{BANK, BANK_GUID, Backend, PAPER_BANK_GUID, Setup, TestGateway};
use crate::support::visitor::http;

crate::on_both_stores!(
    a_created_member_has_the_documented_fields,
    what_was_sent_is_kept,
    a_request_may_be_beside_inside_or_without_the_root,
    a_new_link_has_the_documented_fields_and_replaces_the_old,
    an_institution_without_oauth_is_refused_by_the_documented_words,
    an_external_guid_names_one_member_of_a_client,
    a_user_has_so_many_members_and_no_more,
    skip_aggregation_at_mint_wins_over_the_one_at_create,
    a_deleted_member_is_gone_and_its_link_with_it,
    responses_have_the_media_type_that_was_asked_for,
    m8_a_mint_is_never_cached,
);

/// What `guid` says of itself: the documented fields of CONTRACT.md 1.2 and two of ours.
const FIELDS: [&str; 26] = [
    "aggregated_at",
    "background_aggregation_is_disabled",
    "connection_status",
    "connection_status_id",
    "connection_status_message",
    "connection_status_reason",
    "consent_expires_at",
    "created_at",
    "external_guid",
    "guid",
    "institution_code",
    "institution_guid",
    "is_being_aggregated",
    "is_managed_by_user",
    "is_manual",
    "is_oauth",
    "is_user_created",
    "metadata",
    "most_recent_job_guid",
    "name",
    "needs_updated_credentials",
    "oauth_window_uri",
    "revision",
    "successfully_aggregated_at",
    "use_cases",
    "user_guid",
];

fn wanted() -> Value {
    json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}})
}

async fn a_created_member_has_the_documented_fields(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (status, response) = gateway.nexus("POST", "/members", Some(wanted())).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(names(&response), ["member"].into());
    let mut member = response["member"].clone();

    let guid = assert_guid(&member, "guid", "MBR-").to_owned();
    assert_guid(&member, "oauth_state_guid", "OAS-");
    assert_time(&member, "created_at");
    let link = member["oauth_window_uri"].as_str().expect("a link");
    let expected = gateway.at(&format!("/oauth/predirect_to/{guid}/ow_"));
    let token = link.strip_prefix(expected.as_str()).expect("our own link");
    assert_eq!(token.len(), 45, "two of the partition, 43 random");
    let message = member["connection_status_message"].as_str();
    assert!(
        message.is_some_and(|message| message.contains("Fake Bank")),
        "{member}"
    );

    let fields = member.as_object_mut().expect("an object");
    fields.remove("oauth_state_guid");
    assert_eq!(names(&member), FIELDS.into());
    for (field, value) in [
        ("aggregated_at", Value::Null),
        ("background_aggregation_is_disabled", json!(false)),
        ("connection_status", json!("PENDING")),
        ("connection_status_id", json!(21)),
        ("external_guid", Value::Null),
        ("institution_code", json!(BANK)),
        ("institution_guid", json!(BANK_GUID)),
        ("is_being_aggregated", json!(false)),
        ("is_managed_by_user", json!(true)),
        ("is_manual", json!(false)),
        ("is_oauth", json!(true)),
        ("is_user_created", json!(true)),
        ("metadata", Value::Null),
        ("most_recent_job_guid", Value::Null),
        ("name", json!("Fake Bank")),
        ("needs_updated_credentials", json!(false)),
        ("revision", json!(1)),
        ("successfully_aggregated_at", Value::Null),
        ("use_cases", json!(["PFM"])),
        ("user_guid", json!(gateway.user)),
    ] {
        assert_eq!(member[field], value, "{field}");
    }

    // Every later read has the same, but for the link: only its digest was kept.
    member["oauth_window_uri"] = Value::Null;
    let (status, read) = gateway
        .nexus("GET", &format!("/members/{guid}"), None)
        .await;
    assert_eq!((status, &read["member"]), (200, &member));
    let (status, listed) = gateway.nexus("GET", "/members", None).await;
    assert_eq!((status, listed), (200, json!({"members": [member]})));
}

async fn what_was_sent_is_kept(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {
        "institution_code": BANK,
        "is_oauth": true,
        "name": "My own name",
        "external_guid": "acct-link-42",
        "metadata": "{\"shelf\":\"Ünï\"}",
        "use_cases": ["MONEY_MOVEMENT", "PFM"],
        "background_aggregation_is_disabled": true,
    }});
    let (guid, _) = gateway.member_with(body.clone()).await;
    let read = gateway.read(guid).await;
    for field in [
        "name",
        "external_guid",
        "metadata",
        "use_cases",
        "background_aggregation_is_disabled",
    ] {
        assert_eq!(read[field], body["member"][field], "{field}");
    }
}

async fn a_request_may_be_beside_inside_or_without_the_root(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let address = "https://app.example/done";
    let member = json!({"institution_guid": BANK_GUID, "is_oauth": true});
    let options = json!({"referral_source": "APP", "client_redirect_url": address});
    let merged = |parts: &[&Value]| {
        let fields = parts
            .iter()
            .flat_map(|part| part.as_object().expect("an object"));
        fields
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Value>()
    };
    let contrary = json!({"referral_source": "BROWSER"});
    for body in [
        merged(&[&json!({"member": member}), &options]),
        json!({"member": merged(&[&member, &options])}),
        merged(&[&member, &options]),
        // Beside wins over inside.
        merged(&[&json!({"member": merged(&[&member, &contrary])}), &options]),
    ] {
        let (guid, link) = gateway.member_with(body.clone()).await;
        let visitor = gateway.visitor();
        let authorization = gateway.open(&visitor, &link).await;
        let back = gateway.bank.code_for(&authorization).url();
        let page = visitor.follow(&back).await;
        let location = page.location().map(String::from);
        let expected = format!("{address}?status=success&member_guid={guid}");
        assert_eq!((page.status, location), (303, Some(expected)), "{body}");
    }
}

async fn a_new_link_has_the_documented_fields_and_replaces_the_old(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (guid, first) = gateway.member().await;
    let path =
        format!("/members/{guid}/oauth_window_uri?referral_source=BROWSER&enable_app2app=true");
    let (status, response) = gateway.nexus("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    let member = &response["member"];
    let expected = ["expires_at", "guid", "oauth_state_guid", "oauth_window_uri"];
    assert_eq!(names(member), expected.into());
    assert_eq!(member["guid"], json!(guid));
    assert_time(member, "expires_at");
    let second = member["oauth_window_uri"].as_str().expect("a link");
    assert_ne!(second, first.as_str());

    let superseded = gateway.visitor().get(&first).await;
    assert_eq!(
        (superseded.status, superseded.name()),
        (410, Some("superseded"))
    );
    let page = gateway
        .connect(&gateway.visitor(), &second.parse().expect("a URL"))
        .await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

async fn an_institution_without_oauth_is_refused_by_the_documented_words(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {"institution_guid": PAPER_BANK_GUID, "is_oauth": true}});
    let (status, response) = gateway.nexus("POST", "/members", Some(body)).await;
    assert_eq!(status, 400, "{response}");
    assert_eq!(response["error"]["message"], "Member cannot use OAuth");
    let (_, listed) = gateway.nexus("GET", "/members", None).await;
    assert_eq!(listed, json!({"members": []}), "nothing is left behind");
}

async fn an_external_guid_names_one_member_of_a_client(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {
        "institution_guid": BANK_GUID, "is_oauth": true, "external_guid": "mine",
    }});
    let (guid, _) = gateway.member_with(body.clone()).await;
    let (status, response) = gateway.nexus("POST", "/members", Some(body)).await;
    assert_eq!(
        (status, &response["error"]["code"]),
        (422, &json!("4220")),
        "{response}"
    );
    let message = response["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("external_guid is taken by another member"),
        "{message}"
    );
    assert_eq!(response["error"]["guid"], json!(guid));

    // The Platform API calls it `id` and says 409.
    let path = format!("/users/{}/members", gateway.user);
    let body = json!({"member": {"institution_code": BANK, "is_oauth": true, "id": "mine"}});
    let (status, response) = gateway.platform("POST", &path, Some(body.clone())).await;
    assert_eq!(
        (status, &response["guid"]),
        (409, &json!(guid)),
        "{response}"
    );
    assert_eq!(response["error"]["status"], "conflict");
    let message = response["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("id is taken by another member"),
        "{message}"
    );

    // It is free again once the member is gone.
    let (status, _) = gateway
        .nexus("DELETE", &format!("/members/{guid}"), None)
        .await;
    assert_eq!(status, 200);
    let (status, response) = gateway.platform("POST", &path, Some(body)).await;
    assert_eq!(status, 202, "{response}");
}

/// `design` decision 7: an explicit value at mint wins; otherwise create's, until the first success.
async fn a_user_has_so_many_members_and_no_more(backend: Backend) {
    let setup = Setup {
        swaps: vec![(
            "deletes_per_user_per_second = 149",
            "deletes_per_user_per_second = 149\nmembers_per_user = 2",
        )],
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let mut created = Vec::new();
    for _ in 0..2 {
        let (status, response) = gateway.nexus("POST", "/members", Some(wanted())).await;
        assert_eq!(status, 200, "{response}");
        created.push(
            response["member"]["guid"]
                .as_str()
                .expect("a guid")
                .to_owned(),
        );
    }
    let (status, response) = gateway.nexus("POST", "/members", Some(wanted())).await;
    assert_eq!(status, 400, "{response}");
    let message = response["error"]["message"].as_str().expect("a message");
    assert!(
        message.contains("2 members") && message.contains("delete"),
        "{message}"
    );
    let path = format!("/users/{}/members", gateway.user);
    let (status, response) = gateway.platform("POST", &path, Some(wanted())).await;
    assert_eq!(status, 400, "{response}");
    let path = format!("/members/{}", created[0]);
    let (status, _) = gateway.nexus("DELETE", &path, None).await;
    assert!(matches!(status, 200 | 204), "{status}");
    let (status, response) = gateway.nexus("POST", "/members", Some(wanted())).await;
    assert_eq!(status, 200, "{response}");
}

async fn skip_aggregation_at_mint_wins_over_the_one_at_create(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for (at_create, at_mint, aggregates) in [
        (false, None, true),
        (true, None, false),
        (true, Some(false), true),
        (false, Some(true), false),
    ] {
        let body = json!({"member": {
            "institution_guid": BANK_GUID, "is_oauth": true, "skip_aggregation": at_create,
        }});
        let (guid, mut link) = gateway.member_with(body).await;
        if let Some(skip) = at_mint {
            let path = format!("/members/{guid}/oauth_window_uri?skip_aggregation={skip}");
            let (_, response) = gateway.nexus("GET", &path, None).await;
            let minted = response["member"]["oauth_window_uri"].as_str();
            link = minted.expect("a link").parse().expect("a URL");
        }
        let page = gateway.connect(&gateway.visitor(), &link).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        let read = gateway.read(guid).await;
        let case = format!("create {at_create}, mint {at_mint:?}");
        assert_eq!(read["is_being_aggregated"], aggregates, "{case}");
        assert_eq!(
            read["most_recent_job_guid"].is_string(),
            aggregates,
            "{case}"
        );
        if at_create && !aggregates {
            // After the first success, create's value is forgotten.
            let path = format!("/members/{guid}/oauth_window_uri");
            let (_, response) = gateway.nexus("GET", &path, None).await;
            let minted = response["member"]["oauth_window_uri"].as_str();
            let link = minted.expect("a link").parse().expect("a URL");
            gateway.connect(&gateway.visitor(), &link).await;
            assert_eq!(
                gateway.read(guid).await["is_being_aggregated"],
                true,
                "{case}"
            );
        }
    }
}

async fn a_deleted_member_is_gone_and_its_link_with_it(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (guid, link) = gateway.member().await;
    let state = gateway.state(guid).await;
    let path = format!("/members/{guid}");
    let (status, response) = gateway.nexus("DELETE", &path, None).await;
    assert_eq!((status, response), (200, json!({})));
    assert_eq!(gateway.nexus("GET", &path, None).await.0, 404);
    assert_eq!(gateway.nexus("DELETE", &path, None).await.0, 404);
    let mint = format!("{path}/oauth_window_uri");
    assert_eq!(gateway.nexus("GET", &mint, None).await.0, 404);
    let (_, listed) = gateway.nexus("GET", "/members", None).await;
    assert_eq!(listed, json!({"members": []}));

    let opened = gateway.visitor().get(&link).await;
    assert!((400..500).contains(&opened.status), "{}", opened.status);
    assert_eq!(gateway.bank.hits().authorize, 0);
    // The state stays, ended: SESSION_ERROR (`design` decision 11).
    let path = format!("/oauth_states/{}", state["guid"].as_str().expect("a guid"));
    let (status, response) = gateway.nexus("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(response["oauth_state"]["auth_status"], 3);
    assert_eq!(response["oauth_state"]["error_reason"], 6);
}

async fn responses_have_the_media_type_that_was_asked_for(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for (asked, answered) in [
        (
            "application/vnd.mx.nexus.v1+json",
            "application/vnd.mx.nexus.v1+json",
        ),
        (
            "application/vnd.moneydesktop.v2+json",
            "application/vnd.moneydesktop.v2+json",
        ),
        (
            "text/html, application/vnd.mx.api.v1+json;q=0.9",
            "application/vnd.mx.api.v1+json",
        ),
        ("application/json", "application/json; charset=utf-8"),
        ("*/*", "application/json; charset=utf-8"),
        (
            "application/vnd.made-up+json",
            "application/json; charset=utf-8",
        ),
    ] {
        // Every vendor's JSON is JSON.
        let is_json = !asked.contains(',') && asked.contains("json");
        let sent = if is_json { asked } else { "application/json" };
        let response = http()
            .post(gateway.at("/members"))
            .header("accept", asked)
            .header("content-type", sent)
            .header("md-session-token", &gateway.session)
            .body(wanted().to_string())
            .send()
            .await
            .expect("a response");
        assert_eq!(response.status(), 200, "{asked}");
        assert_eq!(response.headers()["content-type"], answered, "{asked}");
        assert!(response.json::<Value>().await.expect("JSON")["member"].is_object());
    }
}

async fn m8_a_mint_is_never_cached(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (guid, _) = gateway.member().await;
    let mut links = Vec::new();
    for _ in 0..2 {
        let path = format!("/members/{guid}/oauth_window_uri");
        let response = http()
            .get(gateway.at(&path))
            .header("md-session-token", &gateway.session)
            .header("if-none-match", "*")
            .send()
            .await
            .expect("a response");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert!(!response.headers().contains_key("etag"));
        let body: Value = response.json().await.expect("JSON");
        links.push(body["member"]["oauth_window_uri"].clone());
    }
    assert_ne!(links[0], links[1]);
}

/// A burst over the configured limit is told when to come back.
#[tokio::test]
async fn m9_a_burst_of_mints_is_told_to_wait() {
    let setup = Setup {
        mints_per_member_per_minute: Some(2),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let (guid, _) = gateway.member().await;
    let path = format!("/members/{guid}/oauth_window_uri");
    let mint = || {
        http()
            .get(gateway.at(&path))
            .header("md-session-token", &gateway.session)
            .send()
    };
    for _ in 0..2 {
        assert_eq!(mint().await.expect("a response").status(), 200);
    }
    let refused = mint().await.expect("a response");
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    let body: Value = refused.json().await.expect("JSON");
    assert_eq!(body["error"]["code"], "4290");
    // Another member of the same client is not made to wait.
    let (other, _) = gateway.member().await;
    let path = format!("/users/{}/members/{other}/oauth_window_uri", gateway.user);
    let (status, response) = gateway.platform("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
}
