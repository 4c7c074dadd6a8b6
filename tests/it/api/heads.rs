//! HEAD looks and never acts (RFC 9110 section 9.3.2), although some GETs of the API we follow do.

use crate::support::gateway::{Backend, CLIENT, SSO_KEY, TestGateway};

crate::on_both_stores!(a_head_never_does_what_a_get_does);

async fn a_head_never_does_what_a_get_does(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, _) = gateway.member().await;
    let before = gateway.read(member).await;
    for path in [
        format!("/members/{member}/aggregate"),
        format!("/members/{member}/refresh"),
        "/members/aggregate".to_owned(),
        format!("/members/{member}/oauth_window_uri"),
        format!("/users/{}/members/{member}/oauth_window_uri", gateway.user),
        format!("/{CLIENT}/users/{}/api_token", gateway.user),
        format!("/{CLIENT}/users/{}/api_token.json", gateway.user),
    ] {
        let url = gateway.url.join(&path).expect("a path");
        let request = reqwest::Client::builder()
            .build()
            .expect("a client")
            .head(url)
            .header("MD-API-KEY", SSO_KEY);
        let request = match path.starts_with("/users") {
            true => request.basic_auth(CLIENT, Some(&gateway.api_key)),
            false => request.header("MD-SESSION-TOKEN", &gateway.session),
        };
        let response = request.send().await.expect("a response");
        assert_eq!(response.status(), 405, "{path}");
        assert_eq!(response.headers()["allow"], "GET", "{path}");
    }
    assert_eq!(gateway.read(member).await, before, "nothing was done");
    // Where a GET only looks, so may a HEAD.
    let (status, _) = gateway
        .nexus("HEAD", &format!("/members/{member}"), None)
        .await;
    assert_eq!(status, 200);
}
