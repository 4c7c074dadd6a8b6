//! What nobody needs any more is given back to its institution, however long that takes (`security` K5).

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use serde_json::json;

use crate::support::behaviour::{Behaviour, response};
use crate::support::gateway::{Backend, Setup, TestGateway, eventually};
use crate::support::served::Served;

const LIMIT: Duration = Duration::from_secs(10);

crate::on_both_stores!(
    k5_a_deleted_members_tokens_are_revoked_refresh_token_first,
    k5_a_deleted_users_tokens_are_revoked,
    k5_a_bank_that_asks_for_time_is_left_alone_and_asked_again,
    k5_after_a_day_a_revocation_is_given_up_and_counted,
    k5_what_a_new_consent_replaces_is_revoked_unless_the_bank_would_end_both,
    k5_a_bank_without_an_endpoint_is_counted,
    k5_a_revocation_outlives_the_process,
);

async fn connected(gateway: &TestGateway) -> MemberGuid {
    let (member, link) = gateway.member().await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    member
}

async fn deleted(gateway: &TestGateway, member: MemberGuid) {
    let path = format!("/users/{}/members/{member}", gateway.user);
    let (status, response) = gateway.platform("DELETE", &path, None).await;
    assert!((200..300).contains(&status), "{response}");
}

/// The kinds of token that were given back, in order.
fn given_back(gateway: &TestGateway) -> Vec<String> {
    let requests = gateway.bank.revoke_requests().into_iter();
    requests
        .filter_map(|request| request.field("token_type_hint"))
        .collect()
}

/// How many revocations ended so.
async fn counted(gateway: &TestGateway, result: &str) -> bool {
    let name = format!(
        "guichet_revocations_total{{client=\"acme\",institution=\"fake_bank\",result=\"{result}\"}} 1"
    );
    gateway.metrics().await.contains(&name)
}

async fn k5_a_deleted_members_tokens_are_revoked_refresh_token_first(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    deleted(&gateway, member).await;
    gateway.bank.wait_for_revoke_requests(2, LIMIT).await;
    eventually(async || counted(&gateway, "revoked").await.then_some(())).await;
    assert_eq!(given_back(&gateway), ["refresh_token", "access_token"]);
    assert_eq!(gateway.bank.live_tokens(), 0);
    assert_eq!(gateway.bank.hits().revoke, 2, "once");
}

async fn k5_a_deleted_users_tokens_are_revoked(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for _ in 0..3 {
        connected(&gateway).await;
    }
    let path = format!("/users/{}", gateway.user);
    let (status, response) = gateway.platform("DELETE", &path, None).await;
    assert!((200..300).contains(&status), "{response}");
    eventually(async || (gateway.bank.live_tokens() == 0).then_some(())).await;
}

async fn k5_a_bank_that_asks_for_time_is_left_alone_and_asked_again(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    gateway.bank.on_revoke(Behaviour::made(|_, _| {
        let mut away = response(503, "text/plain", "");
        let hour = "3600".parse().expect("a header");
        away.headers_mut().insert("retry-after", hour);
        away
    }));
    deleted(&gateway, member).await;
    gateway.bank.wait_for_revoke_requests(2, LIMIT).await;
    let owed = async |attempt: u32| {
        eventually(async || {
            let queues = gateway.inside.store.queues().await.expect("counted");
            let kind = guichet::domain::duty::DutyKind::Revoke;
            let due = queues.kinds().get(&kind)?.due_at?;
            let now = gateway.clock.now();
            (due.duration_since(now).as_secs() > 3000).then_some(attempt)
        })
        .await
    };
    owed(1).await;
    gateway.pass(Duration::from_secs(3590));
    assert_eq!(gateway.bank.hits().revoke, 2, "left alone");
    gateway.bank.on_revoke(Behaviour::Honest);
    gateway.pass(Duration::from_secs(11));
    eventually(async || (gateway.bank.live_tokens() == 0).then_some(())).await;
}

async fn k5_after_a_day_a_revocation_is_given_up_and_counted(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    gateway.bank.on_revoke(Behaviour::unavailable());
    deleted(&gateway, member).await;
    for nth in 1..=4 {
        gateway.bank.wait_for_revoke_requests(2 * nth, LIMIT).await;
        eventually(async || {
            let queues = gateway.inside.store.queues().await.expect("counted");
            let kind = guichet::domain::duty::DutyKind::Revoke;
            let Some(due) = queues.kinds().get(&kind).and_then(|it| it.due_at) else {
                return Some(());
            };
            let wait = due.duration_since(gateway.clock.now());
            // Not held by who is at it.
            (wait.as_secs() < 290 || wait.as_secs() > 310).then_some(())
        })
        .await;
        gateway.pass(Duration::from_secs(9 * 60 * 60));
    }
    eventually(async || counted(&gateway, "given_up").await.then_some(())).await;
}

async fn k5_what_a_new_consent_replaces_is_revoked_unless_the_bank_would_end_both(
    backend: Backend,
) {
    for (oauth, live) in [("", 2), ("revoke_replaced = false\n", 4)] {
        let setup = Setup {
            oauth: oauth.to_owned(),
            ..Setup::default()
        };
        let gateway = TestGateway::with(backend, setup).await;
        let member = connected(&gateway).await;
        let path = format!("/users/{}/members/{member}/oauth_window_uri", gateway.user);
        let (_, minted) = gateway.platform("GET", &path, None).await;
        let link = minted["member"]["oauth_window_uri"]
            .as_str()
            .expect("a link");
        let page = gateway
            .connect(&gateway.visitor(), &link.parse().expect("a link"))
            .await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        eventually(async || (gateway.bank.live_tokens() == live).then_some(())).await;
        // What is kept is what can be lent.
        let found = gateway.read(member).await;
        assert_eq!(found["connection_status"], "CONNECTED", "{}", json!(found));
    }
}

async fn k5_a_bank_without_an_endpoint_is_counted(backend: Backend) {
    let setup = Setup {
        swaps: vec![("revocation_endpoint", "#revocation_endpoint")],
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let member = connected(&gateway).await;
    deleted(&gateway, member).await;
    eventually(async || counted(&gateway, "no_endpoint").await.then_some(())).await;
    assert_eq!(gateway.bank.hits().revoke, 0);
}

async fn k5_a_revocation_outlives_the_process(backend: Backend) {
    let mut crash = Served::start(backend).await;
    let member = connected(&crash.gateway).await;
    crash.gateway.bank.on_revoke(Behaviour::unavailable());
    deleted(&crash.gateway, member).await;
    crash.gateway.bank.wait_for_revoke_requests(1, LIMIT).await;
    crash.kill();
    crash.gateway.bank.on_revoke(Behaviour::Honest);
    crash.succeed().await;
    crash.gateway.pass(Duration::from_secs(301));
    let bank = &crash.gateway.bank;
    eventually(async || (bank.live_tokens() == 0).then_some(())).await;
}
