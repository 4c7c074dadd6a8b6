//! What is kept of an attempt that failed, for the institution's service desk: enough to find the calls, no secret, and
//! not for long.

use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use guichet::domain::support_code::SupportCode;
use serde_json::json;

use crate::support::behaviour::{Behaviour, Honest};
use crate::support::gateway::{BANK, BANK_SECRET, Backend, Setup, Subject, TestGateway};
use crate::support::guichet::{Ran, run};
use crate::support::loopback::Recorded;
use crate::support::visitor::Page;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

crate::on_both_stores!(
    what_the_token_endpoint_said_is_reported_without_a_secret,
    a_refusal_in_the_browser_is_reported_though_nobody_was_called,
    every_call_of_the_attempt_is_reported,
    a_report_is_gone_after_its_days,
    where_none_are_kept_there_is_none,
);

/// Runs `guichet institution report` on the gateway's store.
async fn report(gateway: &TestGateway, code: &str) -> Ran {
    let file = gateway.file().to_str().expect("a path").to_owned();
    let code = code.to_owned();
    let running = tokio::task::spawn_blocking(move || {
        run(["institution", "report", &code, "--config", &file])
    });
    running.await.expect("no panic")
}

/// A flow at a bank whose token endpoint does this; where it ends.
async fn attempt(gateway: &TestGateway, behaviour: Behaviour) -> Page {
    gateway.bank.next_token(behaviour);
    let (_, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await
}

/// Fails, repeats everything that it was sent, and says by what the call is found.
fn repeats(request: &Recorded, _: &Honest) -> Response<Body> {
    let echo = format!(
        "{} {}",
        request.text(),
        request.header("authorization").unwrap_or_default()
    );
    let body = json!({
        "error": "server_error",
        "error_description": echo,
        "echo": echo,
        "access_token": "CANARY-access",
        "numbers": [1],
    });
    Response::builder()
        .status(500)
        .header("content-type", "application/json")
        .header(
            "x-fapi-interaction-id",
            "c770aef3-6784-41f7-8e0e-ff5f97bddb3a",
        )
        .header("set-cookie", "CANARY-cookie")
        .body(Body::from(body.to_string()))
        .expect("a response")
}

async fn what_the_token_endpoint_said_is_reported_without_a_secret(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let page = attempt(&gateway, Behaviour::made(repeats)).await;
    assert_eq!(page.name(), Some("provider-error"), "{}", page.body);
    let ran = report(&gateway, page.support_code()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in [
        &format!("support code  {}", page.support_code()),
        &format!("institution   {BANK}"),
        "client        acme",
        "client_id     acme-at-fake_bank",
        "reason        PROVIDER_ERROR",
        &format!("POST {}", gateway.bank.token_url()),
        "500, after ",
        "x-fapi-interaction-id: c770aef3-6784-41f7-8e0e-ff5f97bddb3a",
        "\"error\": \"server_error\"",
        "\"access_token\": [text of 13 characters]",
        "\"numbers\": [other]",
    ] {
        assert!(ran.out.contains(part), "no {part:?} in {}", ran.out);
    }
    let request = gateway.bank.token_requests().remove(0);
    let secrets = ["code", "code_verifier"].map(|name| request.field(name).expect("it was sent"));
    let basic = request.header("authorization").expect("Basic");
    let basic = basic.strip_prefix("Basic ").expect("Basic").to_owned();
    let secrets = secrets.into_iter().chain([basic, BANK_SECRET.to_owned()]);
    for secret in secrets.chain(["CANARY".to_owned()]) {
        assert!(!ran.out.contains(&secret), "{secret} in {}", ran.out);
    }
}

async fn a_refusal_in_the_browser_is_reported_though_nobody_was_called(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let refusal = gateway
        .bank
        .refusal_for(&authorization, "server_error", "out of order");
    let page = visitor.follow(&refusal.url()).await;
    let ran = report(&gateway, &page.support_code().to_lowercase()).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("out of order"), "{ran:?}");
    assert!(ran.out.contains("calls         none"), "{ran:?}");
}

async fn every_call_of_the_attempt_is_reported(backend: Backend) {
    let setup = Setup {
        subject: Some(Subject::Identify),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    gateway.bank.on_identify(Behaviour::Html);
    let page = attempt(&gateway, Behaviour::Honest).await;
    let ran = report(&gateway, page.support_code()).await;
    let at = |part: &str| {
        ran.out
            .find(part)
            .unwrap_or_else(|| panic!("no {part} in {}", ran.out))
    };
    let token = at(&format!("POST {}", gateway.bank.token_url()));
    let identify = at(&format!("GET {}", gateway.bank.identify_url()));
    assert!(token < identify, "the oldest first");
    assert!(ran.out.contains("\"access_token\": [text of "), "{ran:?}");
    assert!(ran.out.contains("<"), "the page it said: {ran:?}");
    let live = gateway.bank.token_requests().remove(0);
    let code = live.field("code").expect("it was sent");
    assert!(!ran.out.contains(&code), "{ran:?}");
}

async fn a_report_is_gone_after_its_days(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let page = attempt(&gateway, Behaviour::unavailable()).await;
    let code: SupportCode = page.support_code().parse().expect("a code");
    let store = &gateway.inside.store;
    let kept = async || {
        let now = gateway.clock.now();
        store.report(code, now).await.expect("answered").is_some()
    };
    assert!(kept().await);
    gateway.pass(7 * DAY - Duration::from_secs(60));
    assert!(kept().await);
    gateway.pass(Duration::from_secs(120));
    assert!(!kept().await);
    let other = report(&gateway, "AAAACCCC").await;
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(
        other.err.contains("there is no report of AAAACCCC"),
        "{other:?}"
    );
    let none = report(&gateway, "never").await;
    assert_eq!(none.code, Some(2), "{none:?}");
}

async fn where_none_are_kept_there_is_none(backend: Backend) {
    let setup = Setup {
        swaps: vec![("[store]", "[store]\nkeep_reports_days = 0")],
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let page = attempt(&gateway, Behaviour::unavailable()).await;
    let ran = report(&gateway, page.support_code()).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("kept for 0 days"), "{ran:?}");
}
