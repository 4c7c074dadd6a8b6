//! The demo app over HTTP, with a gateway that the test plays. `sign_in` has what the app does where
//! banks have no pages of their own.

mod sign_in;

use std::sync::{Arc, Mutex};

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::signature::signed_headers;
use crate::tests::{API_KEY, USER, WEBHOOK_SECRET, World};
use crate::wire::now;

const LINK: &str = "http://127.0.0.1:9/oauth/predirect_to/MBR-1/token?x=1&y=2";

/// One member, its newest attempt, and what was asked.
#[derive(Default)]
struct Gateway {
    member: Mutex<Option<Value>>,
    state: Mutex<Option<Value>>,
    created: Mutex<Vec<Value>>,
    /// How many links were asked for, for members that were there already.
    minted: Mutex<usize>,
}

impl Gateway {
    fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/users/{user}/members", get(members).post(create))
            .route("/users/{user}/members/{member}", get(member).delete(delete))
            .route("/users/{user}/members/{member}/oauth_window_uri", get(mint))
            .route("/oauth_states", get(states))
            .layer(axum::middleware::from_fn(authorized))
            .with_state(Arc::clone(self))
    }

    fn is(&self, status: &str, aggregating: bool, attempt: Value) {
        *self.member.lock().expect("a lock") = Some(json!({
            "guid": "MBR-1",
            "name": "MX <Bank>",
            "institution_code": "mx_bank_oauth",
            "connection_status": status,
            "is_being_aggregated": aggregating,
            "is_oauth": true,
        }));
        *self.state.lock().expect("a lock") = Some(attempt);
    }
}

async fn authorized(request: axum::extract::Request, next: axum::middleware::Next) -> Response {
    let expected = format!("Basic {}", STANDARD.encode(format!("demo:{API_KEY}")));
    match request.headers().get("authorization") {
        Some(given) if *given == expected.as_str() => next.run(request).await,
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn members(State(gateway): State<Arc<Gateway>>, Path(user): Path<String>) -> Json<Value> {
    assert_eq!(user, USER);
    let members: Vec<_> = gateway
        .member
        .lock()
        .expect("a lock")
        .iter()
        .cloned()
        .collect();
    Json(json!({ "members": members }))
}

async fn create(State(gateway): State<Arc<Gateway>>, Json(body): Json<Value>) -> Response {
    gateway.created.lock().expect("a lock").push(body);
    gateway.is(
        "PENDING",
        false,
        json!({ "auth_status": 1, "error_reason": null }),
    );
    let member = json!({ "member": { "guid": "MBR-1", "oauth_window_uri": LINK } });
    (StatusCode::OK, Json(member)).into_response()
}

async fn member(
    State(gateway): State<Arc<Gateway>>,
    Path((_, guid)): Path<(String, String)>,
) -> Response {
    let member = gateway.member.lock().expect("a lock").clone();
    match member.filter(|member| member["guid"] == guid.as_str()) {
        Some(member) => Json(json!({ "member": member })).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn delete(State(gateway): State<Arc<Gateway>>) -> StatusCode {
    match gateway.member.lock().expect("a lock").take() {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

async fn mint(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    *gateway.minted.lock().expect("a lock") += 1;
    Json(json!({ "member": { "guid": "MBR-1", "oauth_window_uri": LINK } }))
}

async fn states(
    State(gateway): State<Arc<Gateway>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Json<Value> {
    assert_eq!(query[0], ("user_guid".to_owned(), USER.to_owned()));
    assert_eq!(query[1].0, "outbound_member_guid");
    let state = gateway.state.lock().expect("a lock").clone();
    let states: Vec<_> = state.into_iter().collect();
    Json(json!({ "oauth_states": states }))
}

async fn world() -> (World, Arc<Gateway>) {
    let gateway = Arc::new(Gateway::default());
    (World::with_gateway(gateway.router()).await, gateway)
}

async fn page(world: &World, path: &str) -> (StatusCode, String) {
    let url = format!("{}{path}", world.app);
    let response = world.http.get(url).send().await.expect("a response");
    let status = response.status();
    (status, response.text().await.expect("text"))
}

async fn state(world: &World) -> Value {
    let url = format!("{}/api/state/MBR-1", world.app);
    let response = world.http.get(url).send().await.expect("a response");
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.json().await.expect("JSON")
}

/// Posts a form as a browser on a page of `origin` does.
async fn submit(world: &World, path: &str, origin: &str, code: &str) -> reqwest::Response {
    send_form(world, path, origin, &[("institution_code", code)]).await
}

async fn send_form(
    world: &World,
    path: &str,
    origin: &str,
    fields: &[(&str, &str)],
) -> reqwest::Response {
    let url = format!("{}{path}", world.app);
    let request = world.http.post(url).header("origin", origin);
    request.form(fields).send().await.expect("a response")
}

#[tokio::test]
async fn connecting_without_script_leads_to_the_link() {
    let (world, gateway) = world().await;
    let (status, html) = page(&world, "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("id=\"connect-mx_bank_oauth\""), "{html}");
    assert!(
        html.contains(&format!("data-gateway=\"{}\"", world.gateway)),
        "{html}"
    );

    let response = submit(&world, "/connect", &world.app, "mx_bank_oauth").await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()["location"], LINK);
    let expected = json!({
        "member": { "institution_code": "mx_bank_oauth", "is_oauth": true },
        "referral_source": "BROWSER",
    });
    assert_eq!(*gateway.created.lock().expect("a lock"), [expected]);

    let response = submit(&world, "/members/MBR-1/connect", &world.app, "").await;
    assert_eq!(response.headers()["location"], LINK);
}

#[tokio::test]
async fn connecting_again_takes_up_the_member_that_is_pending() {
    let (world, gateway) = world().await;
    let asked = || {
        let created = gateway.created.lock().expect("a lock").len();
        (created, *gateway.minted.lock().expect("a lock"))
    };
    // What was asked for by then: members, and links for members that were there.
    for (status, code, members, links) in [
        ("PENDING", "mx_bank_oauth", 0, 1),
        ("PENDING", "mxcu_oauth", 1, 1),
        ("CONNECTED", "mx_bank_oauth", 2, 1),
        ("IMPAIRED", "mx_bank_oauth", 3, 1),
    ] {
        gateway.is(status, false, json!({ "auth_status": 1 }));
        let response = submit(&world, "/connect", &world.app, code).await;
        assert_eq!(response.headers()["location"], LINK, "{status} {code}");
        assert_eq!(asked(), (members, links), "{status} {code}");
    }
}

#[tokio::test]
async fn the_script_gets_the_link_as_json() {
    let (world, _) = world().await;
    let request = world.http.post(format!("{}/connect", world.app));
    let request = request.header("accept", "application/json");
    let request = request.form(&[("institution_code", "mxcu_oauth")]);
    let response = request.send().await.expect("a response");
    let link: Value = response.json().await.expect("JSON");
    let expected = json!({ "member_guid": "MBR-1", "oauth_window_uri": LINK });
    assert_eq!(link, expected);
}

#[tokio::test]
async fn forms_of_other_sites_and_unknown_banks_do_nothing() {
    let (world, gateway) = world().await;
    for origin in ["http://evil.example", "null"] {
        let response = submit(&world, "/connect", origin, "mx_bank_oauth").await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{origin}");
    }
    for (path, code) in [
        ("/connect", "no_such_bank"),
        ("/connect", "mxbank"),
        ("/sign-in", "no_such_bank"),
        ("/sign-in", "mx_bank_oauth"),
    ] {
        let response = submit(&world, path, &world.app, code).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path} {code}");
    }
    assert!(gateway.created.lock().expect("a lock").is_empty());
}

#[tokio::test]
async fn a_member_is_followed_from_pending_to_connected() {
    let (world, gateway) = world().await;
    gateway.is(
        "PENDING",
        false,
        json!({ "auth_status": 1, "error_reason": null }),
    );
    let followed = state(&world).await;
    assert_eq!(followed["connection_status"], "PENDING");
    assert_eq!(followed["auth_status"], 1);
    assert_eq!(followed["error_reason"], Value::Null);
    assert!(followed.get("accounts").is_none(), "nothing is pulled yet");

    gateway.is(
        "PENDING",
        false,
        json!({ "auth_status": 3, "error_reason": 1 }),
    );
    assert_eq!(state(&world).await["error_reason"], "CANCELLED");
    let (_, html) = page(&world, "/?member=MBR-1").await;
    assert!(html.contains("id=\"error-reason\">CANCELLED<"), "{html}");
    assert!(html.contains("id=\"connect-again\""), "{html}");
    assert!(html.contains("MX &#60;Bank&#62;"), "{html}");

    let success = json!({
        "auth_status": 2,
        "error_reason": null,
        "inbound_member_guid": "MBR-1",
    });
    gateway.is("CONNECTED", true, success);
    let followed = state(&world).await;
    assert_eq!(followed["connection_status"], "CONNECTED");
    assert_eq!(followed["is_being_aggregated"], true);
    let (_, html) = page(&world, "/?member=MBR-1").await;
    assert!(html.contains("data-status=\"CONNECTED\""), "{html}");
    assert!(!html.contains("id=\"connect-again\""), "{html}");
}

#[tokio::test]
async fn codes_and_guids_are_for_developers_only() {
    let (world, gateway) = world().await;
    let success = json!({ "auth_status": 3, "error_reason": 4, "inbound_member_guid": null });
    gateway.is("PENDING", false, success);
    let (_, html) = page(&world, "/?member=MBR-1").await;
    let (people, developers) = html
        .split_once("<details id=\"developer\"")
        .expect("a view for developers");
    // What is shown: neither tags nor what stands in them.
    let shown: String = people
        .split('<')
        .filter_map(|part| part.split_once('>').map(|(_, text)| text))
        .collect();
    for code in ["PENDING", "PROVIDER_ERROR", "MBR-1", "mx_bank_oauth"] {
        assert!(!shown.contains(code), "{code}: {shown}");
    }
    for words in ["Your bank has a problem", "Not finished"] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    for code in ["PENDING", "PROVIDER_ERROR", "MBR-1"] {
        assert!(developers.contains(code), "{code}: {developers}");
    }
}

#[tokio::test]
async fn everybody_has_a_logo_on_both_sides() {
    let (world, _) = world().await;
    for side in [&world.app, &world.bank] {
        for brand in ["demo_budget", "mx_bank", "mxcu"] {
            let url = format!("{side}/logos/{brand}.svg");
            let response = world.http.get(url).send().await.expect("a response");
            assert_eq!(response.headers()["content-type"], "image/svg+xml");
            assert!(response.text().await.expect("text").starts_with("<svg"));
        }
        let url = format!("{side}/logos/nobody.svg");
        let response = world.http.get(url).send().await.expect("a response");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_login_that_belongs_to_another_member_shows_that_one() {
    let (world, gateway) = world().await;
    let merged = json!({ "auth_status": 2, "inbound_member_guid": "MBR-1" });
    gateway.is("CONNECTED", false, merged);
    let (status, html) = page(&world, "/?member=MBR-outbound").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("id=\"member-guid\">MBR-1<"), "{html}");
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let (world, gateway) = world().await;
    let (status, html) = page(&world, "/?member=MBR-unknown").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(html.contains("does not know this connection"), "{html}");
    let (status, _) = page(&world, "/api/state/MBR-unknown").await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    gateway.is("PENDING", false, json!({ "auth_status": 1 }));
    let response = submit(&world, "/members/MBR-1/disconnect", &world.app, "").await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert!(gateway.member.lock().expect("a lock").is_none());
    let again = submit(&world, "/members/MBR-1/disconnect", &world.app, "").await;
    assert_eq!(again.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_gateway_that_is_not_there_is_said() {
    // A gateway without a single route, and so without an answer that could be used.
    let world = World::with_gateway(Router::new().fallback(|| async { "not JSON" })).await;
    let (status, html) = page(&world, "/").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("The gateway could not be reached"), "{html}");
    let (status, _) = page(&world, "/api/state/MBR-1").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
}

async fn tell(world: &World, headers: HeaderMap, body: &'static [u8]) -> StatusCode {
    let url = format!("{}/webhooks", world.app);
    let request = world.http.post(url).headers(headers).body(body);
    request.send().await.expect("a response").status()
}

#[tokio::test]
async fn signed_webhooks_are_shown_and_others_refused() {
    const BODY: &[u8] = br#"{"action":"updated","member":{"guid":"MBR-1"}}"#;
    let (world, _) = world().await;
    let headers = signed_headers(WEBHOOK_SECRET, "EVT-1", now(), BODY);
    assert_eq!(
        tell(&world, headers.clone(), BODY).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        tell(&world, headers.clone(), BODY).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(tell(&world, headers, b"{}").await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        tell(&world, HeaderMap::new(), BODY).await,
        StatusCode::UNAUTHORIZED
    );
    let headers = signed_headers(WEBHOOK_SECRET, "EVT-2", now(), b"no JSON");
    assert_eq!(
        tell(&world, headers, b"no JSON").await,
        StatusCode::BAD_REQUEST
    );

    let (_, list) = page(&world, "/api/webhooks").await;
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list["webhooks"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["webhooks"][0]["id"], "EVT-1");
    assert_eq!(list["webhooks"][0]["deliveries"], 2);
    let (_, html) = page(&world, "/").await;
    assert!(html.contains("<strong>updated</strong>"), "{html}");
}
