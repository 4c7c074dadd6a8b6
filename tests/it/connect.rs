//! The main job: from a link to a connected, aggregated member, and everybody told.

use std::time::Duration;

use serde_json::json;

use crate::support::gateway::{Backend, FORM_BANK_GUID, TestGateway};

const LIMIT: Duration = Duration::from_secs(10);

crate::on_both_stores!(
    a_link_leads_to_a_connected_member,
    a_response_by_form_post_connects
);

async fn a_link_leads_to_a_connected_member(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");
    assert_eq!(gateway.state(member).await["auth_status"], 1);

    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(
        (page.status, page.name()),
        (200, Some("connected")),
        "{}",
        page.body
    );
    let connected = gateway.read(member).await;
    assert_eq!(connected["connection_status"], "CONNECTED");
    assert_eq!(connected["is_being_aggregated"], true);
    let state = gateway.state(member).await;
    assert_eq!(state["auth_status"], 2);
    assert_eq!(state["inbound_member_guid"], json!(member));
    assert_eq!(state["outbound_member_guid"], json!(member));

    let pushes = gateway
        .aggregator
        .wait_for(|pushes| !pushes.is_empty(), LIMIT)
        .await;
    let push = pushes[0].json();
    assert_eq!(push["member_guid"], json!(member));
    let job = push["job_guid"].as_str().expect("a job");
    let (status, lease) = gateway
        .aggregation(&format!("/aggregation/jobs/{job}/lease"), None)
        .await;
    assert_eq!(status, 200, "{lease}");
    let token = lease["access_token"].as_str().expect("a token");
    assert!(
        gateway.bank.honours(token),
        "the leased token is the bank's"
    );
    assert!(lease.get("refresh_token").is_none());

    let report = format!("/aggregation/jobs/{job}/report");
    let (status, _) = gateway
        .aggregation(&report, Some(json!({"status": "started"})))
        .await;
    assert_eq!(status, 200);
    let done = json!({"status": "succeeded", "transactions_created_count": 3});
    let (status, _) = gateway.aggregation(&report, Some(done)).await;
    assert_eq!(status, 200);
    let aggregated = gateway.read(member).await;
    assert_eq!(aggregated["is_being_aggregated"], false);
    assert!(aggregated["successfully_aggregated_at"].is_string());

    let told = gateway.hooks.wait_for(|told| told.len() >= 5, LIMIT).await;
    let mut kinds: Vec<String> = told
        .iter()
        .map(|event| {
            let body = event.json();
            body["action"].as_str().unwrap_or_default().to_owned()
        })
        .collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [
            "created",
            "finished",
            "member_data_updated",
            "updated",
            "updated"
        ]
    );
}

async fn a_response_by_form_post_connects(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {"institution_guid": FORM_BANK_GUID, "is_oauth": true}});
    let (member, link) = gateway.member_with(body).await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&authorization);
    let pairs = response.pairs();
    let fields: Vec<(&str, &str)> = pairs
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    // A cross-site POST comes without Lax cookies.
    let held = gateway
        .visitor()
        .post(&response.redirect_uri, &fields)
        .await;
    assert_eq!(held.status, 303, "{}", held.body);
    let page = visitor.follow(&held.location().expect("a location")).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}
