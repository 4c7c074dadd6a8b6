//! One login is connected once: refused to standard members, merged into the member that has it over
//! OAuth, refused or allowed as the client's policy says.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use serde_json::{Value, json};
use url::Url;

use crate::support::aggregation::{lease, nth_job, report};
use crate::support::behaviour::Behaviour;
use crate::support::gateway::{
    BANK_GUID, Backend, LOGIN, PAPER_BANK_GUID, PASSWORD, Setup, Subject, TestGateway, eventually,
    parameter,
};
use crate::support::loopback::Recorded;
use crate::support::visitor::Page;

const LIMIT: Duration = Duration::from_secs(10);

/// UNKNOWN_ERROR.
const UNKNOWN: u8 = 0;
/// PROVIDER_ERROR.
const PROVIDER: u8 = 4;

crate::on_both_stores!(
    a_standard_login_is_refused_to_a_second_member,
    a_standard_login_is_free_for_others,
    a_merge_gives_the_grant_to_the_member_that_has_the_login,
    whether_the_receiving_member_is_for_pfm_counts,
    a_merge_brings_the_newer_callback_payload,
    a_merge_tells_the_app_the_other_member,
    the_token_response_may_say_who_signed_in,
    a_refusal_names_the_member_and_gives_the_grant_back,
    a_refusal_tells_the_app_the_other_member,
    where_duplicates_are_allowed_nobody_is_asked_who_signed_in,
    where_the_institution_names_nobody_both_are_connected,
    a_login_never_joins_two_users,
    another_login_does_not_take_over_a_member,
    another_members_login_goes_to_that_member,
    the_same_login_again_is_no_duplicate,
    an_institution_that_does_not_say_who_it_was_is_an_error,
);

async fn a_standard_login_is_refused_to_a_second_member(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (status, response) = standard(&gateway, "ada", "sesame").await;
    assert_eq!(status, 200, "{response}");
    let first = response["member"]["guid"].clone();
    // Another password, and white space around, do not make it another login.
    for (login, password) in [("ada", "sesame"), (" ada ", "other")] {
        let (status, response) = standard(&gateway, login, password).await;
        assert_eq!(status, 422, "{response}");
        assert_eq!(response["error"]["code"], "4220");
        assert_eq!(response["error"]["guid"], first);
        let path = format!("/users/{}/members", gateway.user);
        let body = json!({"member": {
            "institution_code": "paper_bank", "credentials": pair(login, password),
        }});
        let (status, response) = gateway.platform("POST", &path, Some(body)).await;
        assert_eq!(status, 409, "{response}");
        assert_eq!(response["guid"], first);
    }
    let (status, response) = standard(&gateway, "bob", "sesame").await;
    assert_eq!(status, 200, "{response}");
    let second = response["member"]["guid"].as_str().expect("a guid");
    let path = format!("/members/{second}");
    let update = json!({"member": {"credentials": pair("ada", "sesame")}});
    let (status, response) = gateway.nexus("PUT", &path, Some(update)).await;
    assert_eq!(status, 422, "{response}");
    assert_eq!(response["error"]["guid"], first);
    // Its own login again is none.
    let update = json!({"member": {"credentials": pair("bob", "new")}});
    assert_eq!(gateway.nexus("PUT", &path, Some(update)).await.0, 200);
}

async fn a_standard_login_is_free_for_others(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, response) = standard(&gateway, "ada", "sesame").await;
    let other = user(&gateway, "user-2").await;
    let path = format!("/users/{other}/members");
    let body = json!({"member": {
        "institution_code": "paper_bank", "credentials": pair("ada", "sesame"),
    }});
    let (status, of_other) = gateway.platform("POST", &path, Some(body)).await;
    assert_eq!(status, 202, "another user's: {of_other}");
    // A deleted member's login is free again.
    let path = format!(
        "/members/{}",
        response["member"]["guid"].as_str().expect("a guid")
    );
    assert_eq!(gateway.nexus("DELETE", &path, None).await.0, 200);
    let (status, response) = standard(&gateway, "ada", "sesame").await;
    assert_eq!(status, 200, "{response}");
}

async fn a_merge_gives_the_grant_to_the_member_that_has_the_login(backend: Backend) {
    let gateway = identifying(backend, "").await;
    gateway.bank.signs_in("ada");
    let first = Linked::new(&gateway).await;
    first.connects(&gateway).await;
    let job = nth_job(&gateway, 1).await;
    report(&gateway, &job, json!({"status": "succeeded"})).await;

    let second = Linked::new(&gateway).await;
    let page = second.connects(&gateway).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let state = second.state(&gateway).await;
    assert_eq!(state["auth_status"], 2);
    assert!(state["error_reason"].is_null());
    assert_eq!(state["outbound_member_guid"], json!(second.member));
    assert_eq!(state["inbound_member_guid"], json!(first.member));
    // The one that was waiting for its first connection is gone.
    let path = format!("/members/{}", second.member);
    assert_eq!(gateway.nexus("GET", &path, None).await.0, 404);
    let (_, response) = gateway.nexus("GET", "/members", None).await;
    assert_eq!(response["members"].as_array().map(Vec::len), Some(1));
    let read = gateway.read(first.member).await;
    assert_eq!(read["connection_status"], "CONNECTED");
    assert_eq!(read["is_being_aggregated"], true);

    let told = gateway
        .hooks
        .wait_for(
            |told| told.iter().any(|event| is_deleted(event, second.member)),
            LIMIT,
        )
        .await;
    assert!(!told.iter().any(|event| is_deleted(event, first.member)));
    let deleted = told.iter().find(|event| is_deleted(event, second.member));
    let deleted = deleted.expect("just seen").json();
    assert_eq!(deleted["member"]["revision"], 2, "newer than its creation");
    let finished = finished(&gateway, &second).await;
    assert_eq!(finished["inbound_member_guid"], json!(first.member));
    // The member has the newer grant.
    let (status, leased) = lease(&gateway, &nth_job(&gateway, 2).await).await;
    assert_eq!(status, 200, "{leased}");
    assert_eq!(leased["member_guid"], json!(first.member));
    let asked = gateway.bank.identify_requests();
    let token = leased["access_token"].as_str().expect("a token");
    assert!(gateway.bank.honours(token));
    assert_eq!(
        asked.last().and_then(|asked| asked.header("authorization")),
        Some(&*format!("Bearer {token}"))
    );
}

async fn whether_the_receiving_member_is_for_pfm_counts(backend: Backend) {
    for (receiving, outbound, is_pulled) in [
        ("MONEY_MOVEMENT", "PFM", false),
        ("PFM", "MONEY_MOVEMENT", true),
    ] {
        let gateway = identifying(backend, "").await;
        gateway.bank.signs_in("ada");
        let first = Linked::for_use(&gateway, receiving).await;
        first.connects(&gateway).await;
        let read = gateway.read(first.member).await;
        assert_eq!(read["connection_status"], "CONNECTED");
        assert_eq!(read["is_being_aggregated"], is_pulled, "{receiving}");
        if is_pulled {
            let job = nth_job(&gateway, 1).await;
            report(&gateway, &job, json!({"status": "succeeded"})).await;
        }
        let second = Linked::for_use(&gateway, outbound).await;
        second.connects(&gateway).await;
        let state = second.state(&gateway).await;
        assert_eq!(state["inbound_member_guid"], json!(first.member));
        let read = gateway.read(first.member).await;
        assert_eq!(read["is_being_aggregated"], is_pulled, "{receiving}");
    }
}

async fn a_merge_brings_the_newer_callback_payload(backend: Backend) {
    let gateway = identifying(backend, "").await;
    gateway.bank.signs_in("ada");
    let first = Linked::with_payload(&gateway, "Zmlyc3Q=").await;
    first.connects(&gateway).await;
    let second = Linked::with_payload(&gateway, "c2Vjb25k").await;
    second.connects(&gateway).await;
    let job = nth_job(&gateway, 2).await;
    report(&gateway, &job, json!({"status": "succeeded"})).await;
    let pulled = |event: &Recorded| event.json()["action"] == "member_data_updated";
    let told = gateway
        .hooks
        .wait_for(|told| told.iter().any(pulled), LIMIT)
        .await;
    let pulled = told.into_iter().find(pulled).expect("just seen");
    assert_eq!(pulled.json()["member_guid"], json!(first.member));
    assert_eq!(pulled.json()["callback_payload"], "c2Vjb25k");
    assert_eq!(pulled.header("x-callback-payload"), Some("c2Vjb25k"));
}

async fn a_merge_tells_the_app_the_other_member(backend: Backend) {
    let gateway = identifying(backend, "").await;
    gateway.bank.signs_in("ada");
    let first = Linked::new(&gateway).await;
    first.connects(&gateway).await;
    let second = Linked::of_app(&gateway).await;
    let page = second.connects(&gateway).await;
    let back = page.location().expect("a way back");
    assert_eq!(parameter(&back, "status").as_deref(), Some("success"));
    assert_eq!(
        parameter(&back, "member_guid"),
        Some(first.member.to_string())
    );
    assert_eq!(
        parameter(&back, "outbound_member_guid"),
        Some(second.member.to_string())
    );
}

async fn the_token_response_may_say_who_signed_in(backend: Backend) {
    let setup = Setup {
        subject: Some(Subject::TokenResponse),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    gateway.bank.signs_in("ada");
    let first = Linked::new(&gateway).await;
    first.connects(&gateway).await;
    let second = Linked::new(&gateway).await;
    second.connects(&gateway).await;
    let state = second.state(&gateway).await;
    assert_eq!(state["inbound_member_guid"], json!(first.member));
    gateway.bank.signs_in("bob");
    let third = Linked::new(&gateway).await;
    third.connects(&gateway).await;
    let state = third.state(&gateway).await;
    assert_eq!(state["inbound_member_guid"], json!(third.member));
    assert!(gateway.bank.identify_requests().is_empty());
}

async fn a_refusal_names_the_member_and_gives_the_grant_back(backend: Backend) {
    let gateway = identifying(backend, "duplicates = \"refuse\"").await;
    gateway.bank.signs_in("ada");
    let first = Linked::new(&gateway).await;
    first.connects(&gateway).await;
    let live = gateway.bank.live_tokens();

    let second = Linked::new(&gateway).await;
    let page = second.connects(&gateway).await;
    assert_eq!(page.name(), Some("duplicate"), "{}", page.body);
    assert!(page.form().is_none(), "trying again would not help");
    let state = second.state(&gateway).await;
    assert_eq!(state["auth_status"], 3);
    assert_eq!(state["error_reason"], UNKNOWN);
    assert_eq!(state["outbound_member_guid"], json!(second.member));
    assert_eq!(state["inbound_member_guid"], json!(first.member));
    let read = gateway.read(second.member).await;
    assert_eq!(read["connection_status"], "PENDING");
    given_back(&gateway, live).await;
    assert_eq!(
        gateway.read(first.member).await["connection_status"],
        "CONNECTED"
    );
    let finished = finished(&gateway, &second).await;
    assert_eq!(finished["inbound_member_guid"], json!(first.member));
    assert_eq!(finished["error_reason"], UNKNOWN);
}

async fn a_refusal_tells_the_app_the_other_member(backend: Backend) {
    let gateway = identifying(backend, "duplicates = \"refuse\"").await;
    gateway.bank.signs_in("ada");
    let first = Linked::new(&gateway).await;
    first.connects(&gateway).await;
    let second = Linked::of_app(&gateway).await;
    let page = second.connects(&gateway).await;
    let back = page.location().expect("a way back");
    assert_eq!(parameter(&back, "status").as_deref(), Some("error"));
    assert_eq!(
        parameter(&back, "error_reason").as_deref(),
        Some("UNKNOWN_ERROR")
    );
    assert_eq!(
        parameter(&back, "member_guid"),
        Some(first.member.to_string())
    );
}

async fn where_duplicates_are_allowed_nobody_is_asked_who_signed_in(backend: Backend) {
    let gateway = identifying(backend, "duplicates = \"allow\"").await;
    gateway.bank.signs_in("ada");
    both_are_connected(&gateway).await;
    assert!(gateway.bank.identify_requests().is_empty());
}

async fn where_the_institution_names_nobody_both_are_connected(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    gateway.bank.signs_in("ada");
    both_are_connected(&gateway).await;
}

async fn a_login_never_joins_two_users(backend: Backend) {
    let gateway = identifying(backend, "").await;
    gateway.bank.signs_in("ada");
    Linked::new(&gateway).await.connects(&gateway).await;
    let other = user(&gateway, "user-2").await;
    let path = format!("/users/{other}/members");
    let body = json!({"member": {"institution_code": "fake_bank", "is_oauth": true}});
    let (status, response) = gateway.platform("POST", &path, Some(body)).await;
    assert_eq!(status, 202, "{response}");
    let of_other = Linked::of(&response);
    of_other.connects(&gateway).await;
    let path = format!("{path}/{}", of_other.member);
    let (_, response) = gateway.platform("GET", &path, None).await;
    assert_eq!(response["member"]["connection_status"], "CONNECTED");
}

async fn another_login_does_not_take_over_a_member(backend: Backend) {
    let gateway = identifying(backend, "").await;
    gateway.bank.signs_in("ada");
    let first = Linked::new(&gateway).await;
    first.connects(&gateway).await;
    let job = nth_job(&gateway, 1).await;
    let live = gateway.bank.live_tokens();

    gateway.bank.signs_in("bob");
    let again = first.again(&gateway).await;
    let page = again.connects(&gateway).await;
    assert_eq!(page.name(), Some("other-login"), "{}", page.body);
    let state = again.state(&gateway).await;
    assert_eq!(state["auth_status"], 3);
    assert_eq!(state["error_reason"], UNKNOWN);
    assert!(state["inbound_member_guid"].is_null());
    given_back(&gateway, live).await;
    let read = gateway.read(first.member).await;
    assert_eq!(read["connection_status"], "CONNECTED");
    // Its own grant still works.
    let (_, leased) = lease(&gateway, &job).await;
    let token = leased["access_token"].as_str().expect("a token");
    assert!(gateway.bank.honours(token));
}

async fn another_members_login_goes_to_that_member(backend: Backend) {
    let gateway = identifying(backend, "").await;
    gateway.bank.signs_in("ada");
    let of_ada = Linked::new(&gateway).await;
    of_ada.connects(&gateway).await;
    gateway.bank.signs_in("bob");
    let of_bob = Linked::new(&gateway).await;
    of_bob.connects(&gateway).await;
    // Ada's member is to be connected again, and Bob signs in.
    let again = of_ada.again(&gateway).await;
    let page = again.connects(&gateway).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let state = again.state(&gateway).await;
    assert_eq!(state["auth_status"], 2);
    assert_eq!(state["inbound_member_guid"], json!(of_bob.member));
    // Nobody is removed: both were connected before.
    for linked in [&of_ada, &of_bob] {
        let read = gateway.read(linked.member).await;
        assert_eq!(read["connection_status"], "CONNECTED");
    }
}

async fn the_same_login_again_is_no_duplicate(backend: Backend) {
    let gateway = identifying(backend, "duplicates = \"refuse\"").await;
    gateway.bank.signs_in("ada");
    let linked = Linked::new(&gateway).await;
    linked.connects(&gateway).await;
    let again = linked.again(&gateway).await;
    let page = again.connects(&gateway).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let state = again.state(&gateway).await;
    assert_eq!(state["inbound_member_guid"], json!(linked.member));
}

async fn an_institution_that_does_not_say_who_it_was_is_an_error(backend: Backend) {
    let gateway = identifying(backend, "").await;
    gateway.bank.signs_in("ada");
    for behaviour in [
        Behaviour::unavailable(),
        Behaviour::Html,
        Behaviour::Without("sub"),
        Behaviour::With("sub", json!("")),
        Behaviour::With("sub", json!({"id": 1})),
        Behaviour::Redirect(302, gateway.bank.identify_url()),
        Behaviour::HangUp,
    ] {
        gateway.bank.on_identify(behaviour.clone());
        let linked = Linked::new(&gateway).await;
        let page = linked.connects(&gateway).await;
        assert_eq!(page.name(), Some("provider-error"), "{behaviour:?}");
        let state = linked.state(&gateway).await;
        assert_eq!(state["auth_status"], 3, "{behaviour:?}");
        assert_eq!(state["error_reason"], PROVIDER, "{behaviour:?}");
        let read = gateway.read(linked.member).await;
        assert_eq!(read["connection_status"], "PENDING", "{behaviour:?}");
        given_back(&gateway, 0).await;
    }
    gateway.bank.on_identify(Behaviour::Honest);
    let linked = Linked::new(&gateway).await;
    let page = linked.connects(&gateway).await;
    assert_eq!(page.name(), Some("connected"));
}

/// A gateway whose bank says at an endpoint of its own who signed in.
async fn identifying(backend: Backend, client: &str) -> TestGateway {
    let setup = Setup {
        subject: Some(Subject::Identify),
        client: client.to_owned(),
        ..Setup::default()
    };
    TestGateway::with(backend, setup).await
}

/// An OAuth member, the link it was made with and the link's state.
struct Linked {
    member: MemberGuid,
    link: Url,
    state: String,
}

impl Linked {
    async fn new(gateway: &TestGateway) -> Self {
        Self::by(gateway, json!({})).await
    }

    /// One that returns to an app.
    async fn of_app(gateway: &TestGateway) -> Self {
        let way = json!({
            "referral_source": "APP", "client_redirect_url": "https://app.example/done",
        });
        Self::by(gateway, way).await
    }

    /// One whose data is for that use alone.
    async fn for_use(gateway: &TestGateway, use_case: &str) -> Self {
        Self::by(gateway, json!({"member": {"use_cases": [use_case]}})).await
    }

    async fn by(gateway: &TestGateway, mut body: Value) -> Self {
        body["member"]["institution_guid"] = json!(BANK_GUID);
        body["member"]["is_oauth"] = json!(true);
        let (status, response) = gateway.nexus("POST", "/members", Some(body)).await;
        assert_eq!(status, 200, "{response}");
        Self::of(&response)
    }

    /// One whose webhooks say that again.
    async fn with_payload(gateway: &TestGateway, payload: &str) -> Self {
        let body = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
        let (status, response) = gateway
            .call("POST", "/members", Some(body), |request| {
                request
                    .header("MD-SESSION-TOKEN", &gateway.session)
                    .header("X-CALLBACK-PAYLOAD", payload)
            })
            .await;
        assert_eq!(status, 200, "{response}");
        Self::of(&response)
    }

    /// A new link for the member.
    async fn again(&self, gateway: &TestGateway) -> Self {
        let path = format!("/members/{}/oauth_window_uri", self.member);
        let (status, response) = gateway.nexus("GET", &path, None).await;
        assert_eq!(status, 200, "{response}");
        Self::of(&response)
    }

    fn of(response: &Value) -> Self {
        let text = |name: &str| response["member"][name].as_str().expect("text").to_owned();
        Self {
            member: text("guid").parse().expect("a guid"),
            link: text("oauth_window_uri").parse().expect("a URL"),
            state: text("oauth_state_guid"),
        }
    }

    /// Goes through it in a browser of its own; where that ends.
    async fn connects(&self, gateway: &TestGateway) -> Page {
        gateway.connect(&gateway.visitor(), &self.link).await
    }

    async fn state(&self, gateway: &TestGateway) -> Value {
        let path = format!("/oauth_states/{}", self.state);
        let (status, response) = gateway.nexus("GET", &path, None).await;
        assert_eq!(status, 200, "{response}");
        response["oauth_state"].clone()
    }
}

async fn both_are_connected(gateway: &TestGateway) {
    for _ in 0..2 {
        let linked = Linked::new(gateway).await;
        let page = linked.connects(gateway).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        let state = linked.state(gateway).await;
        assert_eq!(state["inbound_member_guid"], json!(linked.member));
        let read = gateway.read(linked.member).await;
        assert_eq!(read["connection_status"], "CONNECTED");
    }
}

/// Waits until no more tokens live than before.
async fn given_back(gateway: &TestGateway, live: usize) {
    eventually(async || (gateway.bank.live_tokens() == live).then_some(())).await;
}

fn pair(login: &str, password: &str) -> Value {
    json!([{"guid": LOGIN, "value": login}, {"guid": PASSWORD, "value": password}])
}

async fn standard(gateway: &TestGateway, login: &str, password: &str) -> (u16, Value) {
    let body = json!({"member": {
        "institution_guid": PAPER_BANK_GUID, "credentials": pair(login, password),
    }});
    gateway.nexus("POST", "/members", Some(body)).await
}

async fn user(gateway: &TestGateway, id: &str) -> String {
    let body = json!({"user": {"id": id}});
    let (status, response) = gateway.platform("POST", "/users", Some(body)).await;
    assert_eq!(status, 200, "{response}");
    response["user"]["guid"]
        .as_str()
        .expect("a guid")
        .to_owned()
}

fn is_deleted(event: &Recorded, member: MemberGuid) -> bool {
    let body = event.json();
    body["action"] == "deleted" && body["member"]["guid"] == json!(member)
}

/// What the event about the end of that link says of its state.
async fn finished(gateway: &TestGateway, linked: &Linked) -> Value {
    let of_it = |event: &Recorded| {
        let body = event.json();
        let state = body["oauth_state"].clone();
        (state["guid"] == json!(linked.state)).then_some(state)
    };
    let told = gateway
        .hooks
        .wait_for(
            |told| told.iter().any(|event| of_it(event).is_some()),
            LIMIT,
        )
        .await;
    told.iter().find_map(of_it).expect("just seen")
}
