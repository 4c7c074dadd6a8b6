//! Authorization responses that arrive in another browser, and those from another issuer (`security`
//! C3-C7).

use std::time::Duration;

use guichet::domain::support_code::SupportCode;
use serde_json::json;
use url::Url;

use crate::support::dump::everything;
use crate::support::fake_bank::CallbackParams;
use crate::support::gateway::{Backend, Setup, TestGateway};

const LIMIT: Duration = Duration::from_secs(10);

crate::on_both_stores!(
    c3_the_cookie_of_another_attempt_is_none,
    c4_a_response_in_another_browser_is_burnt,
    c5_an_ignored_response_leaves_the_attempt_to_its_browser,
);

fn ignoring() -> Setup {
    Setup {
        registration: "unbound_callback = \"ignore\"".to_owned(),
        ..Setup::default()
    }
}

async fn c3_the_cookie_of_another_attempt_is_none(backend: Backend) {
    let gateway = TestGateway::with(backend, ignoring()).await;
    let (victim, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let cookie = visitor.cookie_header().expect("a cookie");
    let (name, value) = cookie.split_once('=').expect("a pair");
    let response = gateway.bank.code_for(&request);

    let (_, own_link) = gateway.member().await;
    let attacker = gateway.visitor();
    gateway.open(&attacker, &own_link).await;
    let own = attacker.cookie_header().expect("a cookie");
    let (own_name, own_value) = own.split_once('=').expect("a pair");
    let tries = [
        // Its own cookie, its own value under the victim's name, the victim's under its own name.
        vec![(own_name, own_value)],
        vec![(name, own_value)],
        vec![(own_name, value)],
        vec![(name, &value[..42])],
        vec![(name, "")],
    ];
    for cookies in tries {
        let browser = gateway.visitor();
        for (name, value) in cookies {
            browser.plant(name, value);
        }
        let page = browser.follow(&response.url()).await;
        assert_eq!(
            (page.status, page.name()),
            (400, Some("wrong-browser")),
            "{}",
            page.body
        );
    }
    assert_eq!(gateway.bank.hits().token, 0);
    assert_eq!(gateway.read(victim).await["connection_status"], "PENDING");
    let page = visitor.follow(&response.url()).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

async fn c4_a_response_in_another_browser_is_burnt(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&request);

    let page = gateway.visitor().follow(&response.url()).await;
    assert_eq!(
        (page.status, page.name()),
        (400, Some("wrong-browser")),
        "{}",
        page.body
    );
    gateway.bank.wait_for_revoke_requests(1, LIMIT).await;
    let state = gateway.state(member).await;
    assert_eq!(
        (&state["auth_status"], &state["error_reason"]),
        (&json!(3), &json!(6)),
        "{state}"
    );
    assert!(state["inbound_member_guid"].is_null());

    let page = visitor.follow(&response.url()).await;
    assert_eq!(
        (page.name(), page.reason()),
        (Some("used"), Some("SESSION_ERROR")),
        "{}",
        page.body
    );
    assert!(
        page.form().is_none(),
        "nothing to try again: the link is spent"
    );
    let attempt = page.url.path().rsplit('/').next().expect("an attempt");
    let code = SupportCode::of(&attempt.parse().expect("an attempt's id"));
    let shown = format!("<code translate=\"no\">{code}</code>");
    assert!(page.body.contains(&shown), "{shown}: {}", page.body);
    assert_eq!(
        gateway.bank.hits().token,
        1,
        "redeemed once, by nobody else"
    );
    let revoked = gateway.bank.revoke_requests();
    let token = revoked[0].field("token").expect("a token");
    assert!(!gateway.bank.honours(&token));
    let dump = everything(&gateway).await;
    assert!(
        !dump
            .windows(token.len())
            .any(|part| part == token.as_bytes())
    );
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");
    let told = gateway
        .hooks
        .wait_for(
            |told| {
                told.iter()
                    .any(|event| event.json()["action"] == "finished")
            },
            LIMIT,
        )
        .await;
    assert!(
        !told
            .iter()
            .any(|event| event.json()["member"]["connection_status"] == "CONNECTED")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_a_refusal_in_another_browser_ends_the_attempt_without_a_request() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let refusal = gateway.bank.refusal_for(&request, "access_denied", "no");
    let page = gateway.visitor().follow(&refusal.url()).await;
    assert_eq!(page.name(), Some("wrong-browser"));
    let state = gateway.state(member).await;
    assert_eq!(
        (&state["auth_status"], &state["error_reason"]),
        (&json!(3), &json!(6)),
        "{state}"
    );
    assert_eq!(
        (gateway.bank.hits().token, gateway.bank.hits().revoke),
        (0, 0)
    );
}

async fn c5_an_ignored_response_leaves_the_attempt_to_its_browser(backend: Backend) {
    let gateway = TestGateway::with(backend, ignoring()).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&request);
    for _ in 0..3 {
        let page = gateway.visitor().follow(&response.url()).await;
        assert_eq!(
            (page.status, page.name()),
            (400, Some("wrong-browser")),
            "{}",
            page.body
        );
    }
    assert_eq!(
        (gateway.bank.hits().token, gateway.bank.hits().revoke),
        (0, 0)
    );
    assert_eq!(gateway.state(member).await["auth_status"], 1);
    let page = visitor.follow(&response.url()).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c6_a_response_without_issuer_is_refused_where_one_is_promised() {
    let setup = Setup {
        oauth: "iss = \"required\"".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&request);
    for iss in [None, Some(String::new())] {
        let without = CallbackParams {
            iss,
            ..response.clone()
        };
        let page = visitor.follow(&without.url()).await;
        assert_eq!(
            (page.status, page.name()),
            (200, Some("no-answer")),
            "{}",
            page.body
        );
    }
    assert_eq!(gateway.bank.hits().token, 0);
    assert_eq!(gateway.state(member).await["auth_status"], 1);
    let page = visitor.follow(&response.url()).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c7_another_issuer_is_refused_to_the_letter() {
    // Not promised here, but compared when it is there.
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    let response = gateway.bank.code_for(&request);
    let right = gateway.bank.issuer();
    let port = Url::parse(&right).expect("a URL").port().expect("a port");
    for wrong in [
        String::new(),
        format!("{right}/"),
        format!("{right} "),
        format!("{right}%20"),
        right.replace("http:", "HTTP:"),
        right.replace("http:", "https:"),
        right.replace(&port.to_string(), &(port ^ 1).to_string()),
        right.replace("127", "%3127"),
        right.replace("127.0.0.1", "127.0.0.01"),
        right[..right.len() - 1].to_owned(),
        "https://evil.example".to_owned(),
    ] {
        let page = visitor
            .follow(
                &CallbackParams {
                    iss: Some(wrong.clone()),
                    ..response.clone()
                }
                .url(),
            )
            .await;
        assert_eq!(
            (page.status, page.name()),
            (200, Some("no-answer")),
            "{wrong:?}"
        );
    }
    assert_eq!(gateway.bank.hits().token, 0);
    assert_eq!(gateway.state(member).await["auth_status"], 1);
    let silent = CallbackParams {
        iss: None,
        ..response
    };
    let page = visitor.follow(&silent.url()).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}
