//! Clocks are set by an hour, either way, and differ between gateways: nothing stands still, nothing is done twice, and
//! nobody's link ends before its time.

use std::time::Duration;

use serde_json::json;

use crate::support::aggregation::{job, lease, lease_at, nth_push, report};
use crate::support::behaviour::{Behaviour, Gate};
use crate::support::gateway::{Backend, MovableClock, TestGateway, eventually};
use crate::support::loopback::Recorded;
use crate::support::receiver::Reply;

const LIMIT: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

crate::on_both_stores!(
    r2_a_flow_goes_on_while_its_clock_is_set,
    r2_what_is_tried_again_is_tried_in_time_when_a_clock_is_set,
    r2_a_restart_finds_what_is_due_by_a_clock_that_was_ahead,
    r2_tokens_are_lent_and_renewed_while_their_clock_is_set,
);

type Set = fn(&MovableClock, Duration);
const EITHER_WAY: [Set; 2] = [MovableClock::go_back, MovableClock::go_ahead];

async fn r2_a_flow_goes_on_while_its_clock_is_set(backend: Backend) {
    for [set, back] in [EITHER_WAY, [EITHER_WAY[1], EITHER_WAY[0]]] {
        let gateway = TestGateway::start(backend).await;
        let visitor = gateway.visitor();
        // Before each leg of a flow.
        set(&gateway.clock, HOUR);
        let (member, link) = gateway.member().await;
        back(&gateway.clock, HOUR);
        gateway.clock.advance(9 * MINUTE);
        let authorization = gateway.open(&visitor, &link).await;
        set(&gateway.clock, HOUR);
        let page = visitor
            .get(&gateway.bank.code_for(&authorization).url())
            .await;
        back(&gateway.clock, HOUR);
        let page = visitor.follow_from(page).await;
        assert_eq!((page.status, page.name()), (200, Some("connected")));
        assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
        let finished = |told: &[Recorded]| {
            let is_finish = |event: &&Recorded| event.json()["action"] == "finished";
            told.iter().filter(is_finish).count()
        };
        let told = gateway.hooks.wait_for(|told| finished(told) >= 1, LIMIT);
        assert_eq!(finished(&told.await), 1);
        nth_push(&gateway, 1).await;
    }
}

async fn r2_what_is_tried_again_is_tried_in_time_when_a_clock_is_set(backend: Backend) {
    for set in EITHER_WAY {
        let gateway = TestGateway::start(backend).await;
        gateway.hooks.answer_with(Reply::RetryAfter(503, 600));
        gateway.member().await;
        tried(&gateway, 1).await;
        gateway.hooks.answer_with(Reply::Status(204));
        set(&gateway.clock, HOUR);
        gateway.pass(9 * MINUTE);
        again_at_the_end_of(&gateway, 2 * MINUTE).await;
    }
}

async fn r2_a_restart_finds_what_is_due_by_a_clock_that_was_ahead(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    gateway.hooks.answer_with(Reply::RetryAfter(503, 600));
    gateway.member().await;
    tried(&gateway, 1).await;
    gateway.hooks.answer_with(Reply::Status(204));
    gateway.stop().await;
    gateway.clock.go_back(HOUR);
    gateway.restart().await;
    // It serves, so it has asked the store for the time.
    gateway.metrics().await;
    gateway.pass(9 * MINUTE);
    again_at_the_end_of(&gateway, 2 * MINUTE).await;
}

async fn r2_tokens_are_lent_and_renewed_while_their_clock_is_set(backend: Backend) {
    for set in EITHER_WAY {
        let gateway = TestGateway::start(backend).await;
        let (_, link) = gateway.member().await;
        gateway.connect(&gateway.visitor(), &link).await;
        let first = job(&nth_push(&gateway, 1).await);
        let (_, lent) = lease(&gateway, &first).await;
        set(&gateway.clock, HOUR);
        let (_, same) = lease(&gateway, &first).await;
        assert_eq!(lent["access_token"], same["access_token"]);
        gateway.pass(HOUR + 10 * MINUTE);
        let (status, renewed) = lease(&gateway, &first).await;
        assert_eq!(status, 200, "{renewed}");
        assert_ne!(lent["access_token"], renewed["access_token"]);
        let done = report(&gateway, &first, json!({"status": "succeeded"})).await;
        assert_eq!(done, (200, "SUCCEEDED".to_owned()));
    }
}

/// Gateways that share a server: each with a clock of its own, two hours from the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r2_racing_gateways_whose_clocks_differ_make_one_token_request() {
    let gateway = &TestGateway::start(Backend::Redis).await;
    let (early, late) = (MovableClock::default(), MovableClock::default());
    early.go_back(HOUR);
    late.go_ahead(HOUR);
    let others = [
        gateway.beside_at(&early).await,
        gateway.beside_at(&late).await,
    ];
    let (_, link) = gateway.member().await;
    gateway.connect(&gateway.visitor(), &link).await;
    let first = job(&nth_push(gateway, 1).await);
    let passed = HOUR + 10 * MINUTE;
    for clock in [&gateway.clock, &early, &late] {
        clock.advance(passed);
    }
    let gate = Gate::closed();
    gateway.bank.next_token(Behaviour::Hold(gate.clone()));
    let token_calls = || gateway.bank.hits().token;
    let before = token_calls();
    let origins = [&gateway.url, &others[0].url, &others[1].url].repeat(10);
    let leases: Vec<_> = origins
        .into_iter()
        .map(|origin| {
            let (origin, job) = (origin.clone(), first.clone());
            tokio::spawn(async move { lease_at(&origin, &job).await })
        })
        .collect();
    eventually(async || (token_calls() > before).then_some(())).await;
    gate.open();
    let lent = futures_util::future::join_all(leases).await;
    let mut lent: Vec<String> = lent
        .into_iter()
        .map(|it| it.expect("no panic")["access_token"].to_string())
        .collect();
    lent.dedup();
    assert_eq!((lent.len(), token_calls() - before), (1, 1));
}

/// Waits until a delivery was tried so often.
async fn tried(gateway: &TestGateway, times: usize) {
    gateway
        .hooks
        .wait_for(|told| told.len() >= times, LIMIT)
        .await;
    crate::webhooks::settled(gateway).await;
}

/// Nothing was sent a second time yet, and it is when that much time has passed.
async fn again_at_the_end_of(gateway: &TestGateway, time: Duration) {
    assert_eq!(gateway.hooks.received().len(), 1);
    gateway.pass(time);
    gateway.hooks.wait_for(|told| told.len() >= 2, LIMIT).await;
}
