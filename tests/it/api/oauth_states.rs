//! OAuth states: what a member service polls (CONTRACT.md 6.1).

use std::time::Duration;

use serde_json::{Value, json};

use super::{assert_guid, assert_time, names};
use crate::support::gateway::{Backend, TestGateway};

crate::on_both_stores!(
    a_state_has_the_documented_fields_from_the_mint_on,
    states_are_filtered_and_come_newest_first,
    the_first_look_at_a_finished_state_is_remembered,
    a_clients_key_sees_the_states_of_whom_it_names,
);

async fn states(gateway: &TestGateway, query: &str) -> Vec<Value> {
    let path = format!("/oauth_states?{query}");
    let (status, response) = gateway.nexus("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(names(&response), ["oauth_states"].into());
    response["oauth_states"].as_array().expect("a list").clone()
}

async fn a_state_has_the_documented_fields_from_the_mint_on(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let body = json!({"member": {
        "institution_guid": crate::support::gateway::BANK_GUID, "is_oauth": true,
    }});
    let (_, response) = gateway.nexus("POST", "/members", Some(body)).await;
    let member = &response["member"]["guid"];
    let state = gateway
        .state(member.as_str().expect("a guid").parse().expect("a guid"))
        .await;
    assert_eq!(
        names(&state),
        [
            "auth_status",
            "created_at",
            "error_reason",
            "first_retrieved_at",
            "guid",
            "inbound_member_guid",
            "outbound_member_guid",
            "updated_at",
            "user_guid",
        ]
        .into()
    );
    let guid = assert_guid(&state, "guid", "OAS-");
    assert_eq!(
        response["member"]["oauth_state_guid"], guid,
        "the mint named it"
    );
    assert_eq!(state["auth_status"], 1);
    assert_eq!(state["outbound_member_guid"], *member);
    assert_eq!(state["user_guid"], json!(gateway.user));
    for empty in ["error_reason", "inbound_member_guid", "first_retrieved_at"] {
        assert!(state[empty].is_null(), "{empty}: {state}");
    }
    assert_time(&state, "created_at");
    assert_time(&state, "updated_at");
    let (status, read) = gateway
        .nexus("GET", &format!("/oauth_states/{guid}"), None)
        .await;
    assert_eq!((status, read), (200, json!({"oauth_state": state})));
}

async fn states_are_filtered_and_come_newest_first(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (first, _) = gateway.member().await;
    let mut minted = vec![gateway.state(first).await["guid"].clone()];
    for _ in 0..2 {
        gateway.clock.advance(Duration::from_secs(1));
        let path = format!("/members/{first}/oauth_window_uri");
        let (_, response) = gateway.nexus("GET", &path, None).await;
        minted.push(response["member"]["oauth_state_guid"].clone());
    }
    gateway.clock.advance(Duration::from_secs(1));
    let (second, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await;

    let guids = |states: &[Value]| -> Vec<Value> {
        states.iter().map(|state| state["guid"].clone()).collect()
    };
    minted.reverse();
    let of_first = states(&gateway, &format!("outbound_member_guid={first}")).await;
    assert_eq!(guids(&of_first), minted);
    let statuses: Vec<&Value> = of_first.iter().map(|state| &state["auth_status"]).collect();
    assert_eq!(statuses, [1, 3, 3], "a newer link supersedes");
    assert_eq!(of_first[1]["error_reason"], 6);

    let all = states(&gateway, "").await;
    assert_eq!(all.len(), 4);
    assert_eq!(all[0]["outbound_member_guid"], json!(second));
    for (query, count) in [
        ("auth_status=1".to_owned(), 1),
        ("auth_status=2".to_owned(), 1),
        ("auth_status=3".to_owned(), 2),
        (format!("auth_status=1&outbound_member_guid={first}"), 1),
        (format!("auth_status=1&outbound_member_guid={second}"), 0),
        (
            "outbound_member_guid=MBR-00000000-0000-4000-8000-000000000000".to_owned(),
            0,
        ),
        ("outbound_member_guid=nonsense".to_owned(), 0),
    ] {
        assert_eq!(states(&gateway, &query).await.len(), count, "{query}");
    }
    let (status, response) = gateway
        .nexus("GET", "/oauth_states?auth_status=9", None)
        .await;
    assert_eq!(status, 400, "{response}");
    let message = response["error"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("auth_status must be"), "{message}");
}

async fn the_first_look_at_a_finished_state_is_remembered(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let state = gateway.state(member).await;
    let path = format!("/oauth_states/{}", state["guid"].as_str().expect("a guid"));
    let read = async || gateway.nexus("GET", &path, None).await.1["oauth_state"].clone();
    assert!(
        read().await["first_retrieved_at"].is_null(),
        "it is not finished"
    );
    gateway.connect(&gateway.visitor(), &link).await;

    read().await;
    let first = read().await;
    assert_eq!(first["auth_status"], 2);
    assert_time(&first, "first_retrieved_at");
    gateway.clock.advance(Duration::from_secs(60));
    assert_eq!(read().await, first, "set once");
}

async fn a_clients_key_sees_the_states_of_whom_it_names(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, _) = gateway.member().await;
    let state = gateway.state(member).await;
    let list = format!("/oauth_states?outbound_member_guid={member}");
    let by_user = format!("/oauth_states?user_guid={}", gateway.user);
    for list in [
        &list,
        &by_user,
        &format!("{by_user}&outbound_member_guid={member}"),
    ] {
        let (status, response) = gateway.platform("GET", list, None).await;
        assert_eq!(
            (status, response),
            (200, json!({"oauth_states": [state]})),
            "{list}"
        );
    }
    let stranger = "/oauth_states?user_guid=USR-68e96dd6-eabd-42d3-9f05-416897f0746c";
    let (status, response) = gateway.platform("GET", stranger, None).await;
    assert_eq!((status, response), (200, json!({"oauth_states": []})));
    let read = format!("/oauth_states/{}", state["guid"].as_str().expect("a guid"));
    let (status, response) = gateway.platform("GET", &read, None).await;
    assert_eq!((status, response), (200, json!({"oauth_state": state})));
    let (status, response) = gateway.platform("GET", "/oauth_states", None).await;
    assert_eq!(status, 400, "{response}");
    let message = response["error"]["message"].as_str().unwrap_or_default();
    assert!(
        message.starts_with("user_guid or outbound_member_guid is missing"),
        "{message}"
    );
}
