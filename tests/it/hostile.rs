//! A hostile institution gets nothing (`security` sections 1.3 to 1.5): every way in which it may answer wrongly,
//! as far as a gateway asks it for anything.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use serde_json::json;
use url::Url;

use crate::support::behaviour::{Behaviour, json_response};
use crate::support::gateway::{
    BANK, BANK_SECRET, Backend, CLIENT, RIVAL, Setup, TestGateway, bank_client_id,
};
use crate::support::loopback::Loopback;
use crate::support::strict_bank::knobs::{Authorize, Token};
use crate::support::strict_bank::{Brought, Place, Rules, STRICT, STRICT_GUID, Strict, StrictBank};
use crate::support::visitor::{Page, Visitor};

crate::on_both_stores!(
    a1_a_token_in_the_query_or_in_the_fragment_connects_nothing,
    c8_a_response_of_another_institution_reaches_no_token_endpoint,
);

/// How long a call may take, as the institution file says.
const LIMIT: Duration = Duration::from_secs(3);

/// The strict bank, and a gateway that knows it.
async fn strict(backend: Backend) -> (StrictBank, TestGateway) {
    let bank = StrictBank::start(Rules::default()).await;
    let timeouts = "[oauth.timeouts]\nconnect_seconds = 1\ntotal_seconds = 3";
    let setup = Setup {
        strict: Some(Strict {
            oauth: bank.oauth_table("client_secret_basic", timeouts),
            ..Strict::by_secret(&bank)
        }),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    (bank, gateway)
}

async fn member(gateway: &TestGateway) -> (MemberGuid, Url) {
    let body = json!({"member": {"institution_guid": STRICT_GUID, "is_oauth": true}});
    gateway.member_with(body).await
}

/// Nothing was exchanged and nothing connected.
async fn nothing_came_of_it(
    bank: &StrictBank,
    gateway: &TestGateway,
    member: MemberGuid,
    why: &str,
) {
    assert_eq!(bank.requests(Place::Token).len(), 0, "{why}");
    assert_eq!(gateway.bank.hits().token, 0, "{why}");
    let status = gateway.read(member).await["connection_status"].clone();
    assert_eq!(status, "PENDING", "{why}");
}

async fn a1_a_token_in_the_query_or_in_the_fragment_connects_nothing(backend: Backend) {
    for (knob, name) in [
        (Authorize::TokensInTheQuery, "provider-error"),
        // A server never sees it: to us it is no response at all.
        (Authorize::TokensInTheFragment, "no-answer"),
    ] {
        let (bank, gateway) = strict(backend).await;
        bank.turn(knob);
        let (guid, link) = member(&gateway).await;
        let page = bank.connect(&gateway.visitor(), &link).await;
        assert_eq!(page.name(), Some(name), "{}", page.body);
        assert!(!page.body.contains("CANARY"), "{}", page.body);
        nothing_came_of_it(&bank, &gateway, guid, name).await;
    }
}

async fn c8_a_response_of_another_institution_reaches_no_token_endpoint(backend: Backend) {
    let (bank, gateway) = strict(backend).await;
    // Begun at the hostile one, which sends the browser on to an honest one, with the client's name there.
    let (guid, link) = member(&gateway).await;
    let visitor = gateway.visitor();
    let begun = gateway.open(&visitor, &link).await;
    let callback = |institution: &str| {
        let path = format!("/oauth/redirect_from/{CLIENT}/{institution}");
        gateway.at(&path)
    };
    let mut bounced = gateway.bank.authorize_url();
    let pairs: Vec<(String, String)> = begun.query_pairs().into_owned().collect();
    for (name, value) in pairs {
        let value = match name.as_str() {
            "client_id" => bank_client_id(CLIENT, BANK),
            "redirect_uri" => callback(BANK).to_string(),
            _ => value,
        };
        bounced.query_pairs_mut().append_pair(&name, &value);
    }
    // The honest one gives a code, at its own callback: the attempt is not one of that.
    let honest = gateway.bank.code_for(&bounced);
    let page = visitor.follow(&honest.url()).await;
    assert_eq!(
        (page.status, page.name()),
        (400, Some("bad-return")),
        "{}",
        page.body
    );
    nothing_came_of_it(&bank, &gateway, guid, "at the other callback").await;
    // A network that leads it to the callback of the hostile one changes the address alone: `iss` is another.
    let mut carried = honest.clone();
    carried.redirect_uri = callback(STRICT);
    let page = visitor.follow(&carried.url()).await;
    assert_eq!(
        (page.status, page.name()),
        (200, Some("no-answer")),
        "{}",
        page.body
    );
    carried.iss = None;
    let page = visitor.follow(&carried.url()).await;
    assert_eq!(
        (page.status, page.name()),
        (200, Some("no-answer")),
        "{}",
        page.body
    );
    nothing_came_of_it(&bank, &gateway, guid, "at the callback of the hostile one").await;
    // None of it spent the attempt.
    let page = bank.response(&begun).await.deliver(&visitor).await;
    assert_eq!(page.name(), Some("connected"), "{:?}", bank.refusals());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c9_a_registration_serves_its_own_client_at_its_own_address() {
    let (bank, gateway) = strict(Backend::Sqlite).await;
    let (guid, link) = member(&gateway).await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let own = bank.response(&request).await;
    let at = |client: &str, institution: &str| Brought {
        to: gateway.at(&format!("/oauth/redirect_from/{client}/{institution}")),
        ..own.clone()
    };
    for elsewhere in [at(RIVAL, STRICT), at(CLIENT, BANK), at(RIVAL, BANK)] {
        let page = elsewhere.deliver(&visitor).await;
        assert_eq!(
            (page.status, page.name()),
            (400, Some("bad-return")),
            "{}",
            elsewhere.to
        );
        nothing_came_of_it(&bank, &gateway, guid, elsewhere.to.as_str()).await;
    }
    // No client says where an institution's endpoints are: the API only reads institutions.
    let institution = json!({"institution": {
        "code": "mine", "name": "Mine", "token_endpoint": "https://evil.example/token",
    }});
    for (method, path) in [
        ("POST", "/institutions".to_owned()),
        ("PUT", format!("/institutions/{STRICT}")),
        ("PATCH", format!("/institutions/{STRICT_GUID}")),
    ] {
        let (status, answer) = gateway
            .platform(method, &path, Some(institution.clone()))
            .await;
        assert!(
            [404, 405].contains(&status),
            "{method} {path}: {status} {answer}"
        );
    }
    let page = own.deliver(&visitor).await;
    assert_eq!(page.name(), Some("connected"), "{:?}", bank.refusals());
    // The code was exchanged with what that client is registered with.
    let exchanged = bank.requests(Place::Token);
    assert_eq!(exchanged.len(), 1);
    assert_eq!(
        exchanged[0].field("redirect_uri"),
        Some(at(CLIENT, STRICT).to.to_string())
    );
}

/// What a browser shows after the hostile institution sent it back so.
async fn sent_back(knob: Authorize) -> Page {
    let (bank, gateway) = strict(Backend::Sqlite).await;
    bank.turn(knob);
    let (guid, link) = member(&gateway).await;
    let page = bank.connect(&gateway.visitor(), &link).await;
    nothing_came_of_it(&bank, &gateway, guid, &format!("{knob:?}")).await;
    page
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_c7_c10_c11_c12_c13_c14_a_response_that_is_not_right_connects_nothing() {
    for (knob, name) in [
        (Authorize::IssDropped, "no-answer"),
        (Authorize::IssAltered, "no-answer"),
        (Authorize::StateDropped, "no-answer"),
        (Authorize::StateAltered, "no-answer"),
        (Authorize::StateTwice, "no-answer"),
        (Authorize::InTheFragment, "no-answer"),
        (Authorize::PostedUnasked, "no-answer"),
        (Authorize::HostileError, "cancelled"),
        (Authorize::CodeAndError, "no-answer"),
        (Authorize::CodeTwice, "no-answer"),
        (Authorize::OversizedCode, "no-answer"),
    ] {
        let page = sent_back(knob).await;
        assert_eq!(page.name(), Some(name), "{knob:?}: {}", page.body);
        assert!(
            !page.body.contains("<script>alert"),
            "{knob:?}: {}",
            page.body
        );
        assert!(
            !page.body.contains("javascript:"),
            "{knob:?}: {}",
            page.body
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c7_an_issuer_that_is_sent_and_not_advertised_is_compared_all_the_same() {
    let (bank, gateway) = strict(Backend::Sqlite).await;
    bank.turn(Authorize::IssNotAdvertised);
    let (_, link) = member(&gateway).await;
    let page = bank.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{:?}", bank.refusals());
    bank.turn(Authorize::IssAltered);
    let (guid, link) = member(&gateway).await;
    let page = bank.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("no-answer"), "{}", page.body);
    assert_eq!(gateway.read(guid).await["connection_status"], "PENDING");
    assert_eq!(bank.requests(Place::Token).len(), 1, "that of the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t10_t11_t12_a_token_response_that_is_not_right_connects_nothing_and_is_asked_for_once() {
    let canary = Loopback::start(|_| async { Ok(json_response(200, "{}".to_owned())) }).await;
    let (bank, gateway) = strict(Backend::Sqlite).await;
    bank.leads_to(canary.url("/"));
    for &knob in Token::ALL {
        let name = match knob {
            Token::Redirects301
            | Token::Redirects302
            | Token::Redirects303
            | Token::Redirects307
            | Token::Redirects308
            | Token::Html
            | Token::Huge
            | Token::Slow
            | Token::GzipBomb
            | Token::DuplicateKeys
            | Token::TypeUnknown
            | Token::CutAfterBody
            | Token::InvalidGrant
            | Token::Unavailable => "provider-error",
            Token::InvalidClient => "not-set-up",
            // Odd and honest, or of no concern to who asks for no proof, no details and no refresh.
            _ => "connected",
        };
        bank.be_honest();
        bank.turn(knob);
        let before = bank.requests(Place::Token).len();
        let (guid, link) = member(&gateway).await;
        let begun = std::time::Instant::now();
        let page = bank.connect(&gateway.visitor(), &link).await;
        assert_eq!(page.name(), Some(name), "{knob:?}: {}", page.body);
        // The limit, and as much again for a machine that has much to do.
        assert!(
            begun.elapsed() < LIMIT * 4,
            "{knob:?}: {:?}",
            begun.elapsed()
        );
        assert_eq!(bank.requests(Place::Token).len() - before, 1, "{knob:?}");
        let status = gateway.read(guid).await["connection_status"].clone();
        let expected = if name == "connected" {
            "CONNECTED"
        } else {
            "PENDING"
        };
        assert_eq!(status, expected, "{knob:?}");
    }
    bank.be_honest();
    bank.next(Place::Token, Behaviour::Deep(10_000));
    let (_, link) = member(&gateway).await;
    let page = bank.connect(&Visitor::new(), &link).await;
    assert_eq!(page.name(), Some("provider-error"), "{}", page.body);
    assert_eq!(canary.requests().len(), 0, "no redirect was followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_strict_bank_finds_nothing_wrong_with_any_request() {
    let (bank, gateway) = strict(Backend::Sqlite).await;
    let (guid, link) = member(&gateway).await;
    let page = bank.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{:?}", bank.refusals());
    let (status, answer) = gateway
        .nexus("DELETE", &format!("/members/{guid}"), None)
        .await;
    assert!(status < 300, "{answer}");
    let given_back = crate::support::gateway::eventually(async || {
        let requests = bank.requests(Place::Revoke);
        (!requests.is_empty()).then_some(requests)
    });
    let token = given_back.await[0].field("token").expect("a token");
    let is_given_back = async || {
        let known = bank.introspection(&token);
        (known["active"] == json!(false)).then_some(())
    };
    crate::support::gateway::eventually(is_given_back).await;
    assert_eq!(bank.refusals(), [""; 0]);
    for request in bank.requests(Place::Token) {
        assert!(!request.query.contains(BANK_SECRET) && request.query.is_empty());
        let names: Vec<String> = request.form().into_iter().map(|(name, _)| name).collect();
        let mut sorted = names.clone();
        sorted.sort();
        assert_eq!(
            sorted,
            ["code", "code_verifier", "grant_type", "redirect_uri"]
        );
    }
}
