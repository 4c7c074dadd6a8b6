//! Deadlines are true without visitors, and an attempt that ran out can be tried again.

use std::sync::Arc;
use std::time::Duration;

use crate::support::behaviour::{Behaviour, Gate};
use crate::support::gateway::{Backend, TestGateway};
use crate::support::loopback::Recorded;
use crate::support::visitor::{Page, Visitor};

const LIMIT: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);
/// A little more than the default life of a link.
const LINK_LIFE: Duration = Duration::from_secs(10 * 60 + 1);
/// A little more than the default time at the institution.
const AUTHORIZATION: Duration = Duration::from_secs(15 * 60 + 1);

/// `SESSION_ERROR` as the API numbers it.
const SESSION_ERROR: u8 = 6;

crate::on_both_stores!(
    a_link_nobody_follows_runs_out_by_itself,
    an_attempt_that_runs_out_can_be_tried_again,
    an_attempt_cut_off_half_way_ends_with_a_way_to_try_again,
    another_try_is_offered_for_a_while_only,
);

async fn a_link_nobody_follows_runs_out_by_itself(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    gateway.pass(LINK_LIFE);

    let state = gateway
        .state_when(member, |state| state["auth_status"] == 3)
        .await;
    assert_eq!(state["error_reason"], SESSION_ERROR);
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");
    told_once(&gateway, 1).await;

    let visitor = gateway.visitor();
    let page = visitor.get(&link).await;
    assert_eq!((page.status, page.name()), (410, Some("expired")));
    assert!(!offers_another_try(&page), "nobody had begun");
    assert_eq!(visitor.cookie_header(), None, "the link claims nothing");
}

async fn an_attempt_that_runs_out_can_be_tried_again(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    gateway.pass(AUTHORIZATION);
    let state = gateway
        .state_when(member, |state| state["auth_status"] == 3)
        .await;
    assert_eq!(state["error_reason"], SESSION_ERROR);

    // The person comes back after all, too late.
    let late = gateway.bank.code_for(&authorization).url();
    let page = visitor.follow(&late).await;
    assert_eq!((page.status, page.name()), (410, Some("expired")));
    assert_eq!(gateway.bank.hits().token, 0, "a late code is not exchanged");
    assert!(offers_another_try(&page), "{}", page.body);

    let stranger = gateway.visitor().post(&page.url, &[]).await;
    assert_eq!(stranger.status, 404, "it is that browser's to try again");

    let connected = try_again(&gateway, &visitor, &page).await;
    assert_eq!(connected.name(), Some("connected"), "{}", connected.body);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    assert_eq!(gateway.bank.hits().token, 1);
    told_once(&gateway, 2).await;
}

async fn an_attempt_cut_off_half_way_ends_with_a_way_to_try_again(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = Arc::new(gateway.visitor());
    let authorization = gateway.open(&visitor, &link).await;
    let gate = Gate::closed();
    gateway.bank.next_token(Behaviour::Hold(gate.clone()));
    let callback = gateway.bank.code_for(&authorization).url();
    let returning = tokio::spawn({
        let (visitor, callback) = (visitor.clone(), callback.clone());
        async move { visitor.get(&callback).await }
    });
    gateway.bank.wait_for_token_requests(1, LIMIT).await;
    gateway.pass(AUTHORIZATION);
    let state = gateway
        .state_when(member, |state| state["auth_status"] == 3)
        .await;
    assert_eq!(state["error_reason"], SESSION_ERROR);
    gate.open();
    // What the exchange yields is too late: it is given back, not kept.
    gateway.bank.wait_for_revoke_requests(1, LIMIT).await;
    let back = returning.await.expect("no panic");
    assert_eq!(back.status, 303, "{}", back.body);
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");
    assert_eq!(gateway.bank.live_tokens(), 0);

    let page = visitor.follow(&back.location().expect("a location")).await;
    assert_eq!((page.status, page.name()), (410, Some("expired")));
    assert!(offers_another_try(&page), "{}", page.body);
    let connected = try_again(&gateway, &visitor, &page).await;
    assert_eq!(connected.name(), Some("connected"), "{}", connected.body);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}

async fn another_try_is_offered_for_a_while_only(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    gateway.open(&visitor, &link).await;
    gateway.pass(AUTHORIZATION);
    gateway
        .state_when(member, |state| state["auth_status"] == 3)
        .await;
    let page = visitor.get(&link).await;
    assert_eq!((page.status, page.name()), (410, Some("expired")));
    let result = gateway.at(page.between("action=\"", "\"").expect("a form"));
    gateway.pass(14 * MINUTE);
    assert!(offers_another_try(&visitor.get(&result).await));
    gateway.pass(2 * MINUTE);
    let page = visitor.get(&result).await;
    assert!(!offers_another_try(&page), "{}", page.body);
    let refused = visitor.post(&result, &[]).await;
    assert_eq!((refused.status, refused.name()), (410, Some("expired")));
}

/// Exactly `times` states are told to have finished.
async fn told_once(gateway: &TestGateway, times: usize) {
    let finished = |told: &[Recorded]| {
        let is_finish = |event: &&Recorded| event.json()["action"] == "finished";
        told.iter().filter(is_finish).count()
    };
    let told = gateway
        .hooks
        .wait_for(|told| finished(told) >= times, LIMIT)
        .await;
    assert_eq!(finished(&told), times);
}

fn offers_another_try(page: &Page) -> bool {
    page.body.contains("data-action=\"retry\"")
}

async fn try_again(gateway: &TestGateway, visitor: &Visitor, page: &Page) -> Page {
    let departure = visitor.post(&page.url, &[]).await;
    assert_eq!(departure.status, 303, "{}", departure.body);
    let authorization = departure.location().expect("a location");
    visitor
        .follow(&gateway.bank.code_for(&authorization).url())
        .await
}
