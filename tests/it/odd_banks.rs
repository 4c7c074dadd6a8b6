//! Institutions that deviate from the standards, connected by their files alone: each bank here insists on what its
//! file says, and refuses everything else.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Response};
use guichet::domain::id::MemberGuid;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::support::aggregation::{job, lease, nth_push};
use crate::support::behaviour::{json_response, response};
use crate::support::fake_bank::{FakeBank, Registration};
use crate::support::gateway::{
    BANK_GUID, BANK_SECRET, Backend, CLIENT, MovableClock, Setup, TestGateway, eventually,
    parameter,
};
use crate::support::loopback::{Loopback, Recorded, once};
use crate::support::visitor::Page;

const LIMIT: Duration = Duration::from_secs(20);
/// A little more than the access tokens of these banks are valid.
const TOKEN: Duration = Duration::from_secs(3601);

crate::on_both_stores!(
    a_bank_with_names_and_values_of_its_own_is_connected_refreshed_and_given_back,
    a_bank_by_get_with_two_exchanges_renews_by_the_access_token,
    tokens_of_the_first_exchange_are_given_back_if_the_second_fails,
    i10_a_consent_made_before_is_kept_with_its_connection_and_deleted_with_it,
    departing_can_fail_and_be_tried_again,
    a_consent_is_deleted_when_the_person_declines,
    a_bank_that_knows_redirect_uris_by_name_gives_an_id_token_as_bearer,
    a_sandbox_twin_is_an_institution_of_its_own,
    values_are_checked_when_a_link_is_minted,
);

/// A bank that says what the test makes of each request.
async fn bank(says: impl Fn(&Recorded) -> Response<Body> + Send + Sync + 'static) -> Loopback {
    let says = Arc::new(says);
    Loopback::start(move |request| {
        let said = says(&request);
        async move { Ok(said) }
    })
    .await
}

fn says(value: &Value) -> Response<Body> {
    json_response(200, value.to_string())
}

fn refuses(why: &str) -> Response<Body> {
    json_response(
        400,
        json!({"error": "invalid_request", "error_description": why}).to_string(),
    )
}

fn of_query(request: &Recorded, name: &str) -> Option<String> {
    let pairs = form_urlencoded::parse(request.query.as_bytes()).into_owned();
    once(pairs, name)
}

/// The requests at `path`, oldest first.
fn at(bank: &Loopback, path: &str) -> Vec<Recorded> {
    let requests = bank.requests().into_iter();
    requests.filter(|request| request.path == path).collect()
}

async fn minted(gateway: &TestGateway, values: Value) -> (MemberGuid, Url) {
    let member = json!({"institution_guid": BANK_GUID, "is_oauth": true});
    gateway
        .member_with(json!({"member": member, "oauth_values": values}))
        .await
}

/// The person agrees, and comes back with these parameters.
async fn comes_back(
    gateway: &TestGateway,
    visitor: &crate::support::visitor::Visitor,
    parameters: &[(&str, &str)],
) -> Page {
    let mut url = gateway.at("/oauth/redirect_from/acme/fake_bank");
    url.query_pairs_mut().extend_pairs(parameters);
    visitor.follow(&url).await
}

/// What is lent for the job that the `nth` push names.
async fn lent(gateway: &TestGateway, nth: usize) -> Value {
    let job = job(&nth_push(gateway, nth).await);
    let (status, lent) = lease(gateway, &job).await;
    assert_eq!(status, 200, "{lent}");
    lent
}

async fn deleted(gateway: &TestGateway, member: MemberGuid) {
    let path = format!("/users/{}/members/{member}", gateway.user);
    let (status, response) = gateway.platform("DELETE", &path, None).await;
    assert!((200..300).contains(&status), "{response}");
}

async fn a_bank_with_names_and_values_of_its_own_is_connected_refreshed_and_given_back(
    backend: Backend,
) {
    let bank = bank(|request| {
        if request.header("x-branch") != Some("0042") {
            return refuses("no branch");
        }
        let says_tokens = |nth: &str, end: i64| {
            let tokens = json!({"token": {"value": format!("access-{nth}"), "until": end}, "renewal": format!("refresh-{nth}")});
            says(&json!({"code": 0, "message": "OK", "data": tokens}))
        };
        let hour = 60 * 60 * 1000;
        let now = MovableClock::default().now().as_millisecond();
        match (&request.method, request.path.as_str()) {
            (&Method::POST, "/eu/token") => {
                let said = request.json();
                let is_sound = said["app_key"] == "acme-at-fake_bank"
                    && said["app_secret"] == BANK_SECRET
                    && said.get("redirect_uri").is_none()
                    && said["where"] == "0042";
                match (said["grant_type"].as_str(), is_sound) {
                    (Some("authorization_code"), true) if said["code"] == "the-code" => {
                        says_tokens("1", now + hour)
                    }
                    (Some("refresh_token"), true) if said["refresh_token"] == "refresh-1" => {
                        says_tokens("2", now + 20 * hour)
                    }
                    // With status 200, as everything that this bank says.
                    _ => says(&json!({"code": 40001, "message": "what is this?", "data": {}})),
                }
            }
            (&Method::DELETE, "/tokens/refresh-2") => says(&json!({"code": 0})),
            _ => refuses("nobody knows"),
        }
    })
    .await;
    let port = bank.url("/").port().expect("a port");
    let oauth = format!(
        r#"
scope_separator = ","
[oauth.authorize_parameters]
where = "{{branch}}"
[[oauth.values]]
name = "branch"
type = "digits"
min_length = 4
max_length = 4
[[oauth.values]]
name = "host"
type = "choice"
choices = ["127.0.0.1", "localhost"]
[[oauth.values]]
name = "region"
type = "text"
pattern = "[a-z]+"
[[oauth.calls]]
of = ["authorization"]
url = "http://{{host}}:{port}/authorize?v=1"
encoding = "plain"
omit = ["response_type"]
rename = {{ client_id = "app_key", state = "st" }}
response.members = {{ code = "auth_code", state = "st" }}
[[oauth.calls]]
of = ["token", "refresh"]
url = "http://{{host}}:{port}/{{region}}/token"
parameters_in = "json"
omit = ["redirect_uri"]
rename = {{ client_id = "app_key", client_secret = "app_secret" }}
add = {{ where = "{{branch}}" }}
headers = {{ x-branch = "{{branch}}" }}
[oauth.calls.response]
object = "data"
members = {{ access_token = "token.value", expires_in = "token.until", refresh_token = "renewal", error = "code", error_description = "message" }}
success = {{ member = "code", values = ["0"] }}
expires = "at"
[[oauth.calls]]
of = ["revocation"]
method = "DELETE"
url = "http://{{host}}:{port}/tokens/{{token}}"
omit = ["token", "token_type_hint"]
authentication = "none"
headers = {{ x-branch = "{{branch}}" }}
response.success = {{ member = "code", values = ["0"] }}
"#
    );
    let setup = Setup {
        oauth,
        client_authentication: Some("client_secret_post"),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let values = json!({"branch": "0042", "host": "localhost", "region": "eu"});
    let (member, link) = minted(&gateway, values).await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    assert_eq!(authorization.host_str(), Some("localhost"));
    let query = authorization.query().expect("a query");
    assert!(
        query.starts_with("v=1&app_key=acme-at-fake_bank&redirect_uri=http://127.0.0.1:"),
        "{query}"
    );
    assert!(
        query.contains("&scope=accounts,transactions&st="),
        "{query}"
    );
    assert!(query.ends_with("&where=0042"), "{query}");
    assert!(
        !query.contains("response_type") && !query.contains("&state="),
        "{query}"
    );
    let state = parameter(&authorization, "st").expect("a state");

    // Under the standard names this bank says something else.
    let back = [
        ("auth_code", "the-code"),
        ("code", "0"),
        ("st", state.as_str()),
        ("state", "x"),
    ];
    let page = comes_back(&gateway, &visitor, &back).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let first = lent(&gateway, 1).await;
    assert_eq!(first["access_token"], "access-1");
    assert!(first["expires_at"].is_string(), "{first}");

    gateway.pass(TOKEN);
    assert_eq!(lent(&gateway, 1).await["access_token"], "access-2");
    deleted(&gateway, member).await;
    let tokens = |all: &[Recorded]| {
        all.iter()
            .filter(|it| it.path.starts_with("/tokens/"))
            .count()
    };
    bank.wait_for(|all| tokens(all) >= 2, LIMIT).await;
    let revoked: Vec<String> = bank
        .requests()
        .into_iter()
        .skip(2)
        .map(|it| it.path)
        .collect();
    assert_eq!(revoked[..2], ["/tokens/refresh-2", "/tokens/access-2"]);
}

/// A bank by GET, with a form for a response, whose first tokens are exchanged for longer ones.
fn by_get(port: u16) -> String {
    format!(
        r#"
[[oauth.calls]]
of = ["token"]
method = "GET"
url = "http://127.0.0.1:{port}/token"
response.form = "form"
[[oauth.calls]]
of = ["second_exchange"]
method = "GET"
url = "http://127.0.0.1:{port}/exchange"
add = {{ grant_type = "longer", short = "{{access_token}}" }}
response.members = {{ refresh_token = "access_token" }}
[[oauth.calls]]
of = ["refresh"]
method = "GET"
url = "http://127.0.0.1:{port}/renew"
authentication = "none"
omit = ["grant_type"]
rename = {{ refresh_token = "access_token" }}
response.members = {{ refresh_token = "access_token" }}
[[oauth.calls]]
of = ["revocation"]
url = "http://127.0.0.1:{port}/revoke"
[[oauth.calls]]
of = ["identify"]
url = "http://127.0.0.1:{port}/me"
authentication = "none"
headers = {{ authorization = "Token {{access_token}}" }}
response.object = "data"
response.members = {{ sub = "user.number" }}
[oauth.subject]
from = "identify"
endpoint = "http://127.0.0.1:{port}/me"
field = "sub"
"#
    )
}

/// What [`by_get`] describes; `longer` is its second exchange.
async fn bank_by_get(longer: fn() -> Response<Body>) -> Loopback {
    bank(move |request| {
        let of = |name: &str| of_query(request, name);
        match (&request.method, request.path.as_str()) {
            (&Method::GET, "/token") if of("code").as_deref() == Some("the-code") => {
                let client = (of("client_id"), of("client_secret"));
                let secret = Some(BANK_SECRET.to_owned());
                assert_eq!(client, (Some("acme-at-fake_bank".to_owned()), secret));
                let form = "access_token=short&expires_in=60&scope=accounts";
                response(200, "application/x-www-form-urlencoded", form)
            }
            (&Method::GET, "/exchange") if of("short").as_deref() == Some("short") => longer(),
            (&Method::GET, "/renew") if of("access_token").as_deref() == Some("long") => {
                says(&json!({"access_token": "longer"}))
            }
            (&Method::GET, "/me") if request.header("authorization") == Some("Token long") => {
                says(&json!({"data": {"user": {"number": 4711}}}))
            }
            (&Method::POST, "/revoke") => says(&json!({})),
            _ => refuses("nobody knows"),
        }
    })
    .await
}

async fn connected_by_get(bank: &Loopback, backend: Backend) -> (TestGateway, MemberGuid, Page) {
    let setup = Setup {
        oauth: by_get(bank.url("/").port().expect("a port")),
        client_authentication: Some("client_secret_post"),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let state = parameter(&authorization, "state").expect("a state");
    let back = [("code", "the-code"), ("state", state.as_str())];
    let page = comes_back(&gateway, &visitor, &back).await;
    (gateway, member, page)
}

async fn a_bank_by_get_with_two_exchanges_renews_by_the_access_token(backend: Backend) {
    let bank = bank_by_get(|| says(&json!({"access_token": "long", "expires_in": 3600}))).await;
    let (gateway, member, page) = connected_by_get(&bank, backend).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(lent(&gateway, 1).await["access_token"], "long");
    assert_eq!(at(&bank, "/me").len(), 1);
    gateway.pass(TOKEN);
    assert_eq!(lent(&gateway, 1).await["access_token"], "longer");
    deleted(&gateway, member).await;
    eventually(async || (!at(&bank, "/revoke").is_empty()).then_some(())).await;
    let revoked: Vec<_> = at(&bank, "/revoke")
        .iter()
        .map(|it| it.field("token"))
        .collect();
    assert_eq!(revoked, [Some("longer".to_owned())], "one token, once");
}

async fn tokens_of_the_first_exchange_are_given_back_if_the_second_fails(backend: Backend) {
    let bank = bank_by_get(|| refuses("not today")).await;
    let (gateway, member, page) = connected_by_get(&bank, backend).await;
    assert_eq!(page.reason(), Some("PROVIDER_ERROR"), "{}", page.body);
    eventually(async || (!at(&bank, "/revoke").is_empty()).then_some(())).await;
    assert_eq!(
        at(&bank, "/revoke")[0].field("token").as_deref(),
        Some("short")
    );
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");
}

/// A bank that makes a consent first, for a client that has got a token of its own.
fn by_consent(port: u16) -> String {
    format!(
        r#"
consent_days = 90
[oauth.authorize_parameters]
scope = "AIS:{{consent_id}}"
[[oauth.calls]]
of = ["authorization"]
omit = ["scope"]
[[oauth.calls]]
of = ["client_token"]
url = "http://127.0.0.1:{port}/client"
add = {{ scope = "consents" }}
[[oauth.calls]]
of = ["consent"]
url = "http://127.0.0.1:{port}/consents"
json = {{ Data = {{ Permissions = ["ReadAccounts"], Until = "{{consent_ends_on}}" }}, Risk = {{}} }}
headers = {{ redirect-uri = "{{redirect_uri}}" }}
response.members = {{ consent_id = "Data.ConsentId" }}
[[oauth.calls]]
of = ["delete_consent"]
url = "http://127.0.0.1:{port}/consents/{{consent_id}}"
[[oauth.calls]]
of = ["token"]
add = {{ consent = "{{consent_id}}" }}
"#
    )
}

/// What [`by_consent`] describes; `made` is what it says when a consent is asked for.
async fn bank_by_consent(made: impl Fn() -> Response<Body> + Send + Sync + 'static) -> Loopback {
    bank(move |request| {
        let has_token = request.header("authorization") == Some("Bearer the-clients-own");
        match (&request.method, request.path.as_str()) {
            (&Method::POST, "/client") => {
                assert_eq!(
                    request.field("grant_type").as_deref(),
                    Some("client_credentials")
                );
                assert_eq!(request.field("scope").as_deref(), Some("consents"));
                says(&json!({"access_token": "the-clients-own", "expires_in": 60}))
            }
            (&Method::POST, "/consents") if has_token => {
                let said = request.json();
                assert_eq!(said["Data"]["Permissions"], json!(["ReadAccounts"]));
                let day = said["Data"]["Until"].as_str().expect("a day");
                let end: jiff::civil::Date = day.parse().expect("a day");
                let today = MovableClock::default()
                    .now()
                    .to_zoned(jiff::tz::TimeZone::UTC)
                    .date();
                assert!((end - today).get_days() >= 89, "{day}");
                made()
            }
            (&Method::DELETE, "/consents/urn%3Ac%2F1") if has_token => {
                response(204, "text/plain", "")
            }
            _ => refuses("nobody knows"),
        }
    })
    .await
}

fn consent() -> Response<Body> {
    json_response(201, json!({"Data": {"ConsentId": "urn:c/1"}}).to_string())
}

async fn gateway_by_consent(bank: &Loopback, backend: Backend) -> TestGateway {
    let setup = Setup {
        oauth: by_consent(bank.url("/").port().expect("a port")),
        ..Setup::default()
    };
    TestGateway::with(backend, setup).await
}

async fn i10_a_consent_made_before_is_kept_with_its_connection_and_deleted_with_it(
    backend: Backend,
) {
    let bank = bank_by_consent(consent).await;
    let gateway = gateway_by_consent(&bank, backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    assert_eq!(
        parameter(&authorization, "scope").as_deref(),
        Some("AIS:urn:c/1")
    );
    let callback = gateway.bank.code_for(&authorization).url();
    let page = visitor.follow(&callback).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let exchanged = &gateway.bank.token_requests()[0];
    assert_eq!(exchanged.field("consent").as_deref(), Some("urn:c/1"));
    assert_eq!(at(&bank, "/client").len(), 1);

    // A refresh keeps what belongs to the connection.
    lent(&gateway, 1).await;
    gateway.pass(TOKEN);
    lent(&gateway, 1).await;
    assert_eq!(gateway.bank.token_requests().len(), 2);
    assert!(at(&bank, "/consents/urn%3Ac%2F1").is_empty());
    deleted(&gateway, member).await;
    eventually(async || (at(&bank, "/consents/urn%3Ac%2F1").len() == 1).then_some(())).await;
    eventually(async || (gateway.bank.live_tokens() == 0).then_some(())).await;
}

async fn departing_can_fail_and_be_tried_again(backend: Backend) {
    let is_first = std::sync::atomic::AtomicBool::new(true);
    let made = move || match is_first.swap(false, std::sync::atomic::Ordering::SeqCst) {
        true => json_response(503, json!({"error": "temporarily_unavailable"}).to_string()),
        false => consent(),
    };
    let bank = bank_by_consent(made).await;
    let gateway = gateway_by_consent(&bank, backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let page = visitor.follow(&link).await;
    assert_eq!(page.reason(), Some("PROVIDER_ERROR"), "{}", page.body);
    assert_eq!(gateway.state(member).await["auth_status"], 3);
    assert_eq!(gateway.bank.hits().authorize, 0, "nobody was sent there");

    let again = visitor.press(&page, "retry").await;
    let authorization = again.location().expect("to the bank");
    assert_eq!(
        parameter(&authorization, "scope").as_deref(),
        Some("AIS:urn:c/1")
    );
    let callback = gateway.bank.code_for(&authorization).url();
    let page = visitor.follow(&callback).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

async fn a_consent_is_deleted_when_the_person_declines(backend: Backend) {
    let bank = bank_by_consent(consent).await;
    let gateway = gateway_by_consent(&bank, backend).await;
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let declined = gateway
        .bank
        .refusal_for(&authorization, "access_denied", "no");
    let page = visitor.follow(&declined.url()).await;
    assert_eq!(page.reason(), Some("CANCELLED"), "{}", page.body);
    eventually(async || (at(&bank, "/consents/urn%3Ac%2F1").len() == 1).then_some(())).await;
}

async fn a_bank_that_knows_redirect_uris_by_name_gives_an_id_token_as_bearer(backend: Backend) {
    let bank = bank(|request| {
        let is_sound = request.field("redirect_uri").as_deref() == Some("Acme_Production");
        match (request.path.as_str(), is_sound) {
            ("/token", true) => {
                says(&json!({"access_token": "no", "id_token": "yes", "expires_in": 3600}))
            }
            _ => refuses("nobody knows"),
        }
    })
    .await;
    let setup = Setup {
        oauth: format!(
            "[[oauth.calls]]\nof = [\"token\"]\nurl = \"{}\"\nresponse.members = {{ access_token = \"id_token\" }}\n",
            bank.url("/token")
        ),
        registration: "redirect_uri_alias = \"Acme_Production\"\n".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    assert_eq!(
        parameter(&authorization, "redirect_uri").as_deref(),
        Some("Acme_Production")
    );
    let state = parameter(&authorization, "state").expect("a state");
    let back = [("code", "the-code"), ("state", state.as_str())];
    let page = comes_back(&gateway, &visitor, &back).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(lent(&gateway, 1).await["access_token"], "yes");
}

async fn a_sandbox_twin_is_an_institution_of_its_own(backend: Backend) {
    const TWIN: &str = "INS-44444444-4444-4444-8444-444444444444";
    let twin = FakeBank::start().await;
    let name = format!(
        "name = \"Fake Bank\"\nsandbox = {{ guid = \"{TWIN}\", code = \"fake_twin\", oauth = {{ \
         authorization_endpoint = \"{}\", token_endpoint = \"{}\", revocation_endpoint = \"{}\", issuer = \"{}\" }} }}",
        twin.authorize_url(),
        twin.token_url(),
        twin.revoke_url(),
        twin.issuer(),
    );
    let setup = Setup {
        swaps: vec![("name = \"Fake Bank\"", Box::leak(name.into_boxed_str()))],
        registration: "[[clients.registrations]]\ninstitution = \"fake_twin\"\nclient_id = \"twin\"\nclient_secret = \"twin-secret\"\n"
            .to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    twin.register(Registration {
        client_id: "twin".to_owned(),
        client_secret: Some("twin-secret".to_owned()),
        redirect_uri: format!("{}oauth/redirect_from/{CLIENT}/fake_twin", gateway.url),
    });
    let body = json!({"member": {"institution_guid": TWIN, "is_oauth": true}});
    let (member, link) = gateway.member_with(body).await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let callback = twin.code_for(&authorization).url();
    let page = visitor.follow(&callback).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert!(page.body.contains("Fake Bank (sandbox)"), "{}", page.body);
    assert_eq!(gateway.read(member).await["institution_code"], "fake_twin");
    let real = gateway.bank.hits();
    assert_eq!((real.authorize, real.token), (0, 0));
}

async fn values_are_checked_when_a_link_is_minted(backend: Backend) {
    let setup = Setup {
        oauth: "[[oauth.values]]\nname = \"branch\"\ntype = \"digits\"\nmax_length = 4\n"
            .to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let member = json!({"institution_guid": BANK_GUID, "is_oauth": true});
    for (values, expected) in [
        (json!({}), "oauth_values.branch is missing"),
        (
            json!({"branch": "x"}),
            "oauth_values.branch must be 1 to 4 digits",
        ),
        (
            json!({"branch": "1", "more": "x"}),
            "oauth_values.more is not known at this institution",
        ),
        (
            json!({"branch": 1}),
            "oauth_values must be an object of at most 20 strings",
        ),
        (
            json!(["1"]),
            "oauth_values must be an object of at most 20 strings",
        ),
    ] {
        let body = json!({"member": member, "oauth_values": values});
        let (status, refused) = gateway.nexus("POST", "/members", Some(body)).await;
        assert_eq!(status, 400, "{refused}");
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    let (member, _) = minted(&gateway, json!({"branch": "42"})).await;
    let path = |query: &str| {
        format!(
            "/users/{}/members/{member}/oauth_window_uri{query}",
            gateway.user
        )
    };
    let (status, refused) = gateway.platform("GET", &path(""), None).await;
    assert_eq!(status, 400, "{refused}");
    let query = "?oauth_values=%7B%22branch%22%3A%2243%22%7D";
    let (status, minted) = gateway.platform("GET", &path(query), None).await;
    assert_eq!(status, 200, "{minted}");
}
