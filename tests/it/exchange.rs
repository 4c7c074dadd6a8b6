//! The exchange of the code, through the whole flow, with banks honest and hostile; and where
//! tokens may be seen: nowhere.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use guichet::domain::id::MemberGuid;
use serde_json::json;

use crate::support::behaviour::{Behaviour, Gate, response};
use crate::support::fake_bank::{Decoding, Registration};
use crate::support::gateway::{
    BANK_SECRET, Backend, CLIENT, FORM_BANK_GUID, Setup, TestGateway, bank_client_id, eventually,
};
use crate::support::receiver::WebhookReceiver;
use crate::support::served::Served;
use crate::support::visitor::{Page, Visitor};

const LIMIT: Duration = Duration::from_secs(20);

/// The media type of an honest token response.
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// `PROVIDER_ERROR` as the API numbers it.
const PROVIDER_ERROR: u8 = 4;

crate::on_both_stores!(
    t1_the_token_request_is_what_the_standards_name,
    a_refused_client_is_told_to_the_operator_and_promised_no_retry,
    what_the_institution_said_is_kept_for_the_operator_alone,
    k1_k6_secrets_are_seen_nowhere,
);

async fn t1_the_token_request_is_what_the_standards_name(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member().await;
    let authorization = gateway.open(&gateway.visitor(), &link).await;
    assert!(!authorization.as_str().contains("client_secret"));
    let (_, page) = attempt(&gateway, Behaviour::Honest).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);

    let request = gateway.bank.token_requests().remove(0);
    assert_eq!(
        (request.method.as_str(), request.query.as_str()),
        ("POST", "")
    );
    let media_type = request.header("content-type");
    assert_eq!(media_type, Some("application/x-www-form-urlencoded"));
    let mut names: Vec<String> = request.form().into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(
        names,
        ["code", "code_verifier", "grant_type", "redirect_uri"]
    );
    // T2: both halves are form-encoded before Base64 (RFC 6749 section 2.3.1).
    let basic = request.header("authorization").expect("Basic");
    let pair = STANDARD.decode(basic.strip_prefix("Basic ").expect("Basic"));
    let id = bank_client_id(CLIENT, "fake_bank");
    let expected = format!("{id}:a%3Ab%2Bc%25%2F%C3%A9%26");
    assert_eq!(pair.expect("Base64"), expected.into_bytes());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t1_a_secret_in_the_form_and_none_at_all() {
    for (way, expected) in [
        ("client_secret_post", vec!["client_id", "client_secret"]),
        ("none", vec!["client_id"]),
    ] {
        let setup = Setup {
            client_authentication: Some(way),
            ..Setup::default()
        };
        let gateway = TestGateway::with(Backend::Sqlite, setup).await;
        let (_, page) = attempt(&gateway, Behaviour::Honest).await;
        assert_eq!(page.name(), Some("connected"), "{way}: {}", page.body);
        let request = gateway.bank.token_requests().remove(0);
        assert_eq!(request.header("authorization"), None, "one way, not two");
        let mut sent: Vec<String> = request.form().into_iter().map(|(name, _)| name).collect();
        sent.retain(|name| name.starts_with("client"));
        sent.sort();
        assert_eq!(sent, expected, "{way}");
        if way != "none" {
            assert_eq!(request.field("client_secret").as_deref(), Some(BANK_SECRET));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t8_t9_token_responses_that_are_accepted() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    for good in [
        Behaviour::With("token_type", json!("bEARER")),
        Behaviour::Without("expires_in"),
        Behaviour::With("expires_in", json!("3600")),
        Behaviour::With("expires_in", json!(-1)),
        Behaviour::With("expires_in", json!(1e300)),
        Behaviour::Without("scope"),
        Behaviour::With("scope", json!("accounts")),
        Behaviour::Without("refresh_token"),
        // Nobody asked for it.
        Behaviour::With("id_token", json!("never.read.here")),
        Behaviour::With("padding", json!("x".repeat(60_000))),
        Behaviour::With("scope", json!(["accounts", "transactions"])),
        Behaviour::With("refresh_token", json!(7)),
        Behaviour::With("nested", json!({"a": [{"b": 1}]})),
        Behaviour::Without("token_type"),
        Behaviour::wrapped(200, &[], ""),
        Behaviour::wrapped(201, JSON, ""),
        Behaviour::wrapped(200, JSON, "\u{feff}"),
        Behaviour::wrapped(200, &[("content-type", "text/plain; charset=utf-8")], ""),
        Behaviour::wrapped(200, &[("content-type", "application/octet-stream")], ""),
        Behaviour::wrapped(200, &[("content-encoding", "utf-8")], ""),
        Behaviour::wrapped(200, &[("content-encoding", "")], ""),
    ] {
        let what = format!("{good:.60?}");
        let (member, page) = attempt(&gateway, good).await;
        assert_eq!(page.name(), Some("connected"), "{what}: {}", page.body);
        assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t8_t12_token_responses_that_are_refused() {
    let setup = Setup {
        oauth: "[oauth.timeouts]\nconnect_seconds = 1\ntotal_seconds = 3".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let canary = WebhookReceiver::start().await;
    let redirects =
        [301, 302, 303, 307, 308].map(|status| Behaviour::Redirect(status, canary.url()));
    let bad = [
        Behaviour::With("token_type", json!("mac")),
        Behaviour::With("access_token", json!("")),
        Behaviour::With("access_token", json!(["a", "b"])),
        Behaviour::Without("access_token"),
        Behaviour::Html,
        Behaviour::Says(200, "application/json", "[]".to_owned()),
        Behaviour::Says(200, "application/json", "{\"access_token\"".to_owned()),
        Behaviour::Says(204, "application/json", String::new()),
        Behaviour::Huge(1 << 20),
        Behaviour::Deep(10_000),
        Behaviour::DuplicateAccessToken,
        Behaviour::GzipBomb,
        Behaviour::HangUp,
        Behaviour::CutShort,
        Behaviour::Drip,
        Behaviour::Hold(Gate::closed()),
        Behaviour::invalid_grant(),
        Behaviour::unavailable(),
    ];
    for bad in bad.into_iter().chain(redirects) {
        let what = format!("{bad:.60?}");
        let before = gateway.bank.hits().token;
        let (member, page) = attempt(&gateway, bad).await;
        assert_eq!(
            (page.status, page.name()),
            (200, Some("provider-error")),
            "{what}"
        );
        let state = gateway.state(member).await;
        assert_eq!(state["auth_status"], 3, "{what}");
        assert_eq!(state["error_reason"], PROVIDER_ERROR, "{what}");
        assert_eq!(
            gateway.read(member).await["connection_status"],
            "PENDING",
            "{what}"
        );
        assert_eq!(
            gateway.bank.hits().token,
            before + 1,
            "a code is sent once: {what}"
        );
    }
    assert!(canary.received().is_empty(), "no redirect is followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i10_what_held_a_token_and_is_refused_is_given_back() {
    let setup = Setup {
        oauth: "[oauth.timeouts]\nconnect_seconds = 1\ntotal_seconds = 3".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    for refused in [
        Behaviour::With("token_type", json!("mac")),
        Behaviour::DuplicateAccessToken,
        Behaviour::With("login", json!({"a": 1})),
        Behaviour::Deep(10_000),
        Behaviour::Huge(1 << 20),
        Behaviour::wrapped(200, &[("content-type", "text/html")], ""),
        Behaviour::wrapped(500, JSON, ""),
        Behaviour::made(|_, honest| {
            let mut fields = honest.fields.clone();
            fields.insert("error".to_owned(), json!("invalid_grant"));
            response(
                400,
                "application/json",
                serde_json::Value::Object(fields).to_string(),
            )
        }),
    ] {
        let what = format!("{refused:.60?}");
        let is_good = matches!(refused, Behaviour::With("login", _));
        let (_, page) = attempt(&gateway, refused).await;
        let expected = if is_good {
            "connected"
        } else {
            "provider-error"
        };
        assert_eq!(page.name(), Some(expected), "{what}: {}", page.body);
        let live = if is_good { 2 } else { 0 };
        eventually(async || (gateway.bank.live_tokens() == live).then_some(())).await;
        gateway.bank.forget_tokens();
    }
}

/// A client whose secret has signs, at servers that decode HTTP Basic in each way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t2_the_basic_pair_is_encoded_as_the_institution_decodes_it() {
    const SECRET: &str = "a b+c%41/é&";
    for (encoding, decodings) in [
        ("form", &[Decoding::Form][..]),
        ("percent", &[Decoding::Form, Decoding::Percent]),
        ("raw", &[Decoding::Raw]),
    ] {
        let setup = Setup {
            oauth: format!("basic_encoding = \"{encoding}\""),
            swaps: vec![(BANK_SECRET, SECRET)],
            ..Setup::default()
        };
        let gateway = TestGateway::with(Backend::Sqlite, setup).await;
        gateway.bank.register(Registration {
            client_id: bank_client_id(CLIENT, "fake_bank"),
            client_secret: Some(SECRET.to_owned()),
            redirect_uri: gateway.at("oauth/redirect_from/acme/fake_bank").to_string(),
        });
        for decoding in [Decoding::Form, Decoding::Percent, Decoding::Raw] {
            gateway.bank.decodes_basic(decoding);
            let (_, page) = attempt(&gateway, Behaviour::Honest).await;
            let expected = match decodings.contains(&decoding) {
                true => "connected",
                false => "not-set-up",
            };
            assert_eq!(page.name(), Some(expected), "{encoding} at {decoding:?}");
        }
    }
}

async fn a_refused_client_is_told_to_the_operator_and_promised_no_retry(backend: Backend) {
    let served = Served::with(backend, Setup::default()).await;
    let gateway = &served.gateway;
    let mut flows = Vec::new();
    for refused in [
        Behaviour::invalid_client(),
        Behaviour::Error(400, "unauthorized_client", "not for codes"),
        Behaviour::Says(401, "text/html", "<p>who are you?".to_owned()),
    ] {
        flows.push(attempt(gateway, refused).await);
    }
    flows.push(self::refused(gateway, "unauthorized_client", "not you").await);
    for (member, page) in &flows {
        assert_eq!(
            (page.status, page.name()),
            (200, Some("not-set-up")),
            "{}",
            page.body
        );
        let words = "Acme Budget’s connection to Fake Bank is not set up correctly.";
        assert!(page.body.contains(words), "{}", page.body);
        assert!(
            !page.body.contains("data-action=\"retry\""),
            "no retry is promised"
        );
        assert!(page.body.contains("<code"), "a support code: {}", page.body);
        let state = gateway.state(*member).await;
        assert_eq!(
            (&state["auth_status"], &state["error_reason"]),
            (&json!(3), &json!(5))
        );
    }
    let refused = "the institution refused this client";
    let log = served.log_with(flows.len(), refused).await;
    let told = |line: &&str| line.contains("ERROR") && line.contains(refused);
    assert_eq!(log.lines().filter(told).count(), flows.len(), "{log}");
    let metrics = gateway.operator.join("metrics").expect("a path");
    let counted = gateway.visitor().get(&metrics).await.body;
    let line = counted.lines().find(|line| {
        line.starts_with("guichet_institution_not_set_up_total{")
            && line.contains("institution=\"fake_bank\"")
            && line.contains("cause=\"client_refused\"")
            && line.contains("client=\"acme\"")
    });
    assert!(line.is_some_and(|line| line.ends_with(" 4")), "{counted}");
    // The window was seen to end so: it is read from the store again.
    let (member, link) = gateway.member().await;
    gateway.bank.next_token(Behaviour::invalid_client());
    let visitor = gateway.visitor();
    let page = gateway.connect(&visitor, &link).await;
    let again = visitor.get(&page.url).await;
    assert_eq!(again.name(), Some("not-set-up"), "{member}: {}", again.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c10_each_error_has_its_reason_and_page() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    for (error, reason, page_name) in [
        ("access_denied", 1, "cancelled"),
        ("login_required", 2, "denied"),
        ("interaction_required", 3, "impeded"),
        ("consent_required", 3, "impeded"),
        ("temporarily_unavailable", 4, "provider-error"),
        ("invalid_scope", 4, "provider-error"),
        ("never_heard_of", 4, "provider-error"),
    ] {
        let (member, page) = refused(&gateway, error, "words").await;
        assert_eq!(page.name(), Some(page_name), "{error}: {}", page.body);
        let state = gateway.state(member).await;
        assert_eq!(
            (&state["auth_status"], &state["error_reason"]),
            (&json!(3), &json!(reason)),
            "{error}"
        );
    }
    assert_eq!(gateway.bank.hits().token, 0, "an error is no code");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_institution_can_name_its_own_errors() {
    let names = [
        ("UNKNOWN_ERROR", "provider-error"),
        ("CANCELLED", "cancelled"),
        ("DENIED", "denied"),
        ("IMPEDED", "impeded"),
        ("PROVIDER_ERROR", "provider-error"),
        ("SERVER_ERROR", "server-error"),
        ("SESSION_ERROR", "expired"),
    ];
    let own: String = (0..)
        .zip(names)
        .map(|(id, (name, _))| format!("x_{id} = \"{name}\"\n"))
        .collect();
    let setup = Setup {
        oauth: format!(
            "[oauth.errors]\naccess_denied = \"DENIED\"\ninvalid_grant = \"IMPEDED\"\n{own}"
        ),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    for (id, (name, page_name)) in (0..).zip(names) {
        let (member, page) = refused(&gateway, &format!("x_{id}"), "words").await;
        assert_eq!(page.name(), Some(page_name), "{name}: {}", page.body);
        assert_eq!(gateway.state(member).await["error_reason"], id, "{name}");
    }
    let (member, page) = refused(&gateway, "access_denied", "words").await;
    assert_eq!(page.name(), Some("denied"));
    assert_eq!(gateway.state(member).await["error_reason"], 2);
    // The map counts at the token endpoint too, whatever the status.
    for said in [
        Behaviour::invalid_grant(),
        Behaviour::Error(200, "invalid_grant", "no"),
        Behaviour::Error(503, "invalid_grant", "no"),
    ] {
        let (member, page) = attempt(&gateway, said).await;
        assert_eq!(page.name(), Some("impeded"));
        assert_eq!(gateway.state(member).await["error_reason"], 3);
    }
}

async fn what_the_institution_said_is_kept_for_the_operator_alone(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let words = "CANARY <b>blocked</b>";
    let (at_authorization, first) = refused(&gateway, "access_denied", words).await;
    let error = Behaviour::Error(400, "invalid_grant", "CANARY <b>blocked</b>");
    let (at_exchange, second) = attempt(&gateway, error).await;
    for (member, page) in [(at_authorization, first), (at_exchange, second)] {
        let state = gateway.state(member).await;
        let guid = state["guid"]
            .as_str()
            .expect("a guid")
            .parse()
            .expect("a guid");
        let (store, now) = (&gateway.inside.store, gateway.inside.clock.now());
        let window = store.window(gateway.user, guid, now).await;
        let detail = window.expect("a step").expect("a window").detail;
        assert!(detail.expect("kept").contains(words));
        for seen in [
            page.body,
            state.to_string(),
            gateway.read(member).await.to_string(),
        ] {
            assert!(!seen.contains("CANARY"), "{seen}");
        }
    }
    let told = gateway.hooks.wait_for(|told| told.len() >= 4, LIMIT).await;
    assert!(told.iter().all(|event| !event.text().contains("CANARY")));
}

async fn k1_k6_secrets_are_seen_nowhere(backend: Backend) {
    let setup = Setup {
        tables: "[log]\nfilter = \"trace\"".to_owned(),
        ..Setup::default()
    };
    let served = Served::with(backend, setup).await;
    let gateway = &served.gateway;
    let mut seen = Vec::new();
    let mut secrets = BTreeSet::from(["CANARY-refresh-token".to_owned(), BANK_SECRET.to_owned()]);
    for form_post in [false, true] {
        let (member, link) =
            match form_post {
                false => gateway.member().await,
                true => gateway
                    .member_with(
                        json!({"member": {"institution_guid": FORM_BANK_GUID, "is_oauth": true}}),
                    )
                    .await,
            };
        secrets.insert(link.path().rsplit('/').next().expect("a token").to_owned());
        let visitor = gateway.visitor();
        let departure = visitor.get(&link).await;
        let authorization = departure.location().expect("a location");
        let refresh_token = Behaviour::With("refresh_token", json!("CANARY-refresh-token"));
        gateway.bank.next_token(refresh_token);
        let response = gateway.bank.code_for(&authorization);
        secrets.insert(response.code.clone().expect("a code"));
        let back = match form_post {
            false => visitor.get(&response.url()).await,
            true => {
                let pairs = response.pairs();
                let fields: Vec<_> = pairs
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                let held = visitor.post(&response.redirect_uri, &fields).await;
                visitor.get(&held.location().expect("a location")).await
            }
        };
        let page = visitor.follow(&back.location().expect("a location")).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        let cookie = visitor.cookie_header().expect("a cookie");
        secrets.extend(
            cookie
                .split("; ")
                .filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())),
        );
        for page in [departure, back, page] {
            seen.push(page.body);
        }
        let nth = 1 + usize::from(form_post);
        let pushes = gateway
            .aggregator
            .wait_for(|pushes| pushes.len() >= nth, LIMIT)
            .await;
        let job = pushes[nth - 1].json()["job_guid"]
            .as_str()
            .expect("a job")
            .to_owned();
        let path = format!("/aggregation/jobs/{job}");
        let (status, lease) = gateway.aggregation(&format!("{path}/lease"), None).await;
        assert_eq!(status, 200, "{lease}");
        secrets.insert(lease["access_token"].as_str().expect("a token").to_owned());
        assert!(
            !lease.to_string().contains("CANARY"),
            "a refresh token is never lent"
        );
        let done = Some(json!({"status": "succeeded"}));
        seen.push(
            gateway
                .aggregation(&format!("{path}/report"), done)
                .await
                .1
                .to_string(),
        );
        seen.push(
            gateway
                .read(member)
                .await
                .to_string()
                .replace(link.as_str(), ""),
        );
        seen.push(gateway.state(member).await.to_string());
    }
    for request in gateway.bank.token_requests() {
        secrets.insert(request.field("code_verifier").expect("a verifier"));
        let basic = request.header("authorization").expect("Basic");
        secrets.insert(basic.strip_prefix("Basic ").expect("Basic").to_owned());
    }
    secrets.insert("a%3Ab%2Bc%25%2F%C3%A9%26".to_owned());
    secrets.insert(gateway.api_key.clone());
    secrets.insert(gateway.session.clone());
    // Two of each: created, updated (twice), finished, aggregated.
    let told = gateway.hooks.wait_for(|told| told.len() >= 10, LIMIT).await;
    let pushes = gateway.aggregator.received();
    seen.extend(
        told.iter()
            .chain(&pushes)
            .map(|sent| format!("{:?}{}", sent.headers, sent.text())),
    );
    let metrics = gateway.operator.join("metrics").expect("a path");
    seen.push(gateway.visitor().get(&metrics).await.body);
    let log = served.log_at_the_end().await;
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "the filter is on"
    );
    let attempts = log.matches("member connected").count();
    assert_eq!(attempts, 2, "this is the log of these flows");
    for text in &seen {
        for secret in &secrets {
            assert!(
                !text.contains(secret.as_str()),
                "{secret} is shown in {text}"
            );
        }
    }
    for secret in &secrets {
        let line = log.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "{secret} is logged");
    }
    // What Redis appends, or the SQLite file with its journal.
    let stored = match served.redis_folder() {
        Some(folder) => bytes_below(folder, ""),
        None => bytes_below(gateway.folder.path(), "guichet.sqlite"),
    };
    assert!(
        contains(&stored, b"fake_bank_form"),
        "this is what the store wrote"
    );
    for secret in &secrets {
        assert!(
            !contains(&stored, secret.as_bytes()),
            "{secret} is stored in clear"
        );
    }
}

/// One whole flow of a new member in a browser of its own, the bank doing so at the exchange.
async fn attempt(gateway: &TestGateway, behaviour: Behaviour) -> (MemberGuid, Page) {
    let (member, link) = gateway.member().await;
    gateway.bank.next_token(behaviour);
    let page = gateway.connect(&gateway.visitor(), &link).await;
    (member, page)
}

/// One flow that the bank ends with an error.
async fn refused(gateway: &TestGateway, error: &str, words: &str) -> (MemberGuid, Page) {
    let (member, link) = gateway.member().await;
    let visitor = Visitor::new();
    let authorization = gateway.open(&visitor, &link).await;
    let response = gateway.bank.refusal_for(&authorization, error, words);
    (member, visitor.follow(&response.url()).await)
}

/// Everything in the files below a folder whose names begin so.
fn bytes_below(folder: &Path, start: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str());
        if path.is_dir() {
            bytes.extend(bytes_below(&path, start));
        } else if name.is_some_and(|name| name.starts_with(start)) {
            bytes.extend(std::fs::read(&path).expect("a file"));
        }
    }
    bytes
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
