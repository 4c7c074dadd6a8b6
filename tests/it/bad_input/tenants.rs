//! Tenants cannot see each other: what belongs to somebody else looks like what does not exist.

use std::collections::BTreeMap;

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::support::gateway::{BANK, Backend, RIVAL, TestGateway};
use crate::support::visitor::http;

crate::on_both_stores!(
    m3_a_stranger_cannot_tell_foreign_from_absent,
    m3_a_clients_other_users_are_strangers_too,
    the_rival_sees_none_of_it_in_its_lists,
);

/// Status, headers and body, but for what differs by nature.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, Vec<u8>>,
    body: String,
}

async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("a response");
    let headers = response.headers().iter();
    let headers = headers
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    Answer {
        status: response.status().as_u16(),
        headers,
        body: response.text().await.expect("a body"),
    }
}

/// The same guid with other digits: nobody's. The first ones stay, for they may say where it is kept.
fn absent(guid: &str) -> String {
    let (head, last) = guid.split_at(guid.len() - 1);
    format!("{head}{}", if last == "0" { "1" } else { "0" })
}

async fn m3_a_stranger_cannot_tell_foreign_from_absent(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, created) = gateway
        .rival("POST", "/users", Some(json!({"user": {"id": "theirs"}})))
        .await;
    let theirs = created["user"]["guid"].as_str().expect("a guid").to_owned();
    let key = gateway.key_of(RIVAL).await;
    let (member, _) = gateway.member().await;
    let member = member.to_string();
    let user = gateway.user.to_string();
    let state = gateway.state(member.parse().expect("a guid")).await;
    let state = state["guid"].as_str().expect("a guid").to_owned();
    let other_user = absent(&user);
    let other_member = absent(&member);
    let wanted = json!({"member": {"institution_code": BANK, "is_oauth": true}});

    let mut pairs: Vec<(&str, String, String, Option<&Value>)> = vec![
        (
            "GET",
            format!("/users/{user}"),
            format!("/users/{other_user}"),
            None,
        ),
        (
            "GET",
            "/users/user-1".to_owned(),
            "/users/user-x".to_owned(),
            None,
        ),
        (
            "GET",
            format!("/oauth_states/{state}"),
            format!("/oauth_states/{}", absent(&state)),
            None,
        ),
        (
            "GET",
            format!("/oauth_states?outbound_member_guid={member}"),
            format!("/oauth_states?outbound_member_guid={other_member}"),
            None,
        ),
        (
            "POST",
            format!("/users/{user}/members"),
            format!("/users/{other_user}/members"),
            Some(&wanted),
        ),
        (
            "GET",
            format!("/users/{user}/members"),
            format!("/users/{other_user}/members"),
            None,
        ),
    ];
    for (method, rest) in [("GET", ""), ("GET", "/oauth_window_uri"), ("DELETE", "")] {
        // A foreign user's member, and the foreign member under one's own user.
        pairs.push((
            method,
            format!("/users/{user}/members/{member}{rest}"),
            format!("/users/{other_user}/members/{other_member}{rest}"),
            None,
        ));
        pairs.push((
            method,
            format!("/users/{theirs}/members/{member}{rest}"),
            format!("/users/{theirs}/members/{other_member}{rest}"),
            None,
        ));
    }
    for (method, foreign, nobodys, body) in pairs {
        let ask = |path: &str| {
            let method = method.parse().expect("a method");
            let request = http()
                .request(method, gateway.at(path))
                .basic_auth(RIVAL, Some(&key));
            match body {
                Some(body) => answer(request.json(body)),
                None => answer(request.body("")),
            }
        };
        let (foreign_response, absent_response) = (ask(&foreign).await, ask(&nobodys).await);
        assert_eq!(foreign_response, absent_response, "{method} {foreign}");
        let is_list = foreign.starts_with("/oauth_states?");
        assert_eq!(
            foreign_response.status,
            if is_list { 200 } else { 404 },
            "{foreign}"
        );
        assert!(!foreign_response.body.contains(&member), "{foreign}");
    }
    assert_eq!(
        gateway.read(member.parse().expect("a guid")).await["guid"],
        member.as_str()
    );
}

async fn m3_a_clients_other_users_are_strangers_too(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, created) = gateway
        .platform("POST", "/users", Some(json!({"user": {"id": "second"}})))
        .await;
    assert_eq!(created["user"]["id"], "second");
    let body = json!({"member": {"institution_code": BANK, "is_oauth": true}});
    let (_, created) = gateway
        .platform("POST", "/users/second/members", Some(body))
        .await;
    let member = created["member"]["guid"].as_str().expect("a guid");
    let state = created["member"]["oauth_state_guid"]
        .as_str()
        .expect("a guid");
    for (method, foreign, nobodys) in [
        (
            "GET",
            format!("/members/{member}"),
            format!("/members/{}", absent(member)),
        ),
        (
            "DELETE",
            format!("/members/{member}"),
            format!("/members/{}", absent(member)),
        ),
        (
            "GET",
            format!("/members/{member}/oauth_window_uri"),
            format!("/members/{}/oauth_window_uri", absent(member)),
        ),
        (
            "GET",
            format!("/oauth_states/{state}"),
            format!("/oauth_states/{}", absent(state)),
        ),
    ] {
        let ask = |path: &str| {
            let request = http().request(method.parse().expect("a method"), gateway.at(path));
            answer(request.header("md-session-token", &gateway.session))
        };
        let (foreign_response, absent_response) = (ask(&foreign).await, ask(&nobodys).await);
        assert_eq!(foreign_response, absent_response, "{method} {foreign}");
        assert_eq!(foreign_response.status, 404, "{foreign}");
    }
    let path = format!("/oauth_states?outbound_member_guid={member}");
    let (_, states) = gateway.nexus("GET", &path, None).await;
    assert_eq!(states, json!({"oauth_states": []}));
    let path = format!("/users/second/members/{member}");
    assert_eq!(
        gateway.platform("GET", &path, None).await.0,
        200,
        "it is still there"
    );
}

async fn the_rival_sees_none_of_it_in_its_lists(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    gateway.member().await;
    let (status, answer) = gateway.rival("GET", "/users", None).await;
    assert_eq!((status, &answer["users"]), (200, &json!([])), "{answer}");
    assert_eq!(answer["pagination"]["total_entries"], 0);
}
