//! What must survive a failover counts once a replica has it.

use std::time::Duration;

use guichet::domain::id::MemberGuid;
use guichet::store::Claimed;
use tokio::time::timeout;
use url::Url;

use super::gateway_with;
use crate::store_contract::Bench;
use crate::store_contract::fixtures::at;
use crate::support::behaviour::{Behaviour, Gate};
use crate::support::fleet::{Node, Watched, settles};
use crate::support::gateway::TestGateway;
use crate::support::visitor::{Page, Visitor};

/// How long a person may be kept at the bank's page, on a machine that is busy.
const AT_MOST: Duration = Duration::from_secs(6);

/// Enough for a token request to arrive.
const LIMIT: Duration = Duration::from_secs(20);

/// Somebody who has agreed at the bank: the member, the browser, and the address that the bank sends it to.
async fn at_the_bank(gateway: &TestGateway) -> (MemberGuid, Visitor, Url) {
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let callback = gateway.bank.code_for(&authorization).url();
    (member, visitor, callback)
}

fn is_busy(page: &Page) {
    let seen = (page.status, page.name());
    assert_eq!(seen, (503, Some("busy")), "{}", page.body);
}

/// Loads a page again as long as it asks for that, at most so often.
async fn patient(visitor: &Visitor, mut page: Page) -> Page {
    for _ in 0..30 {
        if page.name() != Some("busy") {
            return visitor.follow_from(page).await;
        }
        page = visitor.get(&page.url.clone()).await;
    }
    page
}

/// Without a write there is nothing to wait for, and an acknowledgement of something earlier says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_waits_while_nothing_can_be_written_that_a_replica_could_acknowledge() {
    let servers = Node::followed(1).await;
    let gateway = gateway_with(servers[0].redis.url(), "").await;
    let (_, visitor, callback) = at_the_bank(&gateway).await;
    let page = patient(&visitor, visitor.get(&callback).await).await;
    assert_eq!(page.name(), Some("connected"));
    servers[0].redis.command("CONFIG SET maxmemory 1");
    let page = timeout(AT_MOST, visitor.get(&page.url)).await;
    let page = page.expect("a page in time");
    is_busy(&page);
    servers[0].redis.command("CONFIG SET maxmemory 0");
    let page = patient(&visitor, page).await;
    assert_eq!(page.name(), Some("connected"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_no_replica_acknowledges_people_are_asked_to_wait_and_no_code_is_sent() {
    let servers = Node::followed(1).await;
    let gateway = gateway_with(servers[0].redis.url(), "").await;
    let (member, visitor, callback) = at_the_bank(&gateway).await;
    servers[1].redis.pause();
    let page = timeout(AT_MOST, visitor.get(&callback)).await;
    let page = page.expect("a page in time");
    is_busy(&page);
    let refresh = page.header("refresh").expect("it asks again by itself");
    assert!(refresh.starts_with("2; url="), "{refresh}");
    // From then on it is known that it came, and the person waits for the outcome.
    let again = visitor.get(&callback).await;
    if let Some(result) = again.location() {
        let page = visitor.get(&result).await;
        assert_eq!(page.name(), Some("connecting"), "{}", page.body);
    } else {
        assert_eq!(again.name(), Some("busy"), "{}", again.body);
    }
    assert_eq!(gateway.bank.hits().token, 0, "no code is sent");
    assert_eq!(gateway.read(member).await["connection_status"], "PENDING");
    servers[1].redis.resume();
    let page = patient(&visitor, visitor.get(&callback).await).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(gateway.bank.hits().token, 1);
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_no_replica_has_is_not_shown_as_connected() {
    let servers = Node::followed(1).await;
    let gateway = gateway_with(servers[0].redis.url(), "").await;
    let (member, visitor, callback) = at_the_bank(&gateway).await;
    let gate = Gate::closed();
    gateway.bank.next_token(Behaviour::Hold(gate.clone()));
    let returned = visitor.get(&callback).await;
    assert_eq!(returned.status, 303, "{}", returned.body);
    let result = returned.location().expect("the outcome's address");
    gateway.bank.wait_for_token_requests(1, LIMIT).await;
    servers[1].redis.pause();
    gate.open();
    // It is written, as who reads without care sees.
    gateway
        .member_when(member, |it| it["connection_status"] == "CONNECTED")
        .await;
    let page = visitor.get(&result).await;
    is_busy(&page);
    servers[1].redis.resume();
    let page = patient(&visitor, visitor.get(&result).await).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(gateway.bank.hits().token, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_by_0_waits_for_no_replica() {
    let servers = Node::followed(1).await;
    let gateway = gateway_with(servers[0].redis.url(), "acknowledged_by = 0").await;
    servers[1].redis.pause();
    let (_, link) = gateway.member().await;
    let page = timeout(AT_MOST, gateway.connect(&gateway.visitor(), &link)).await;
    assert_eq!(page.expect("in time").name(), Some("connected"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_by_2_waits_for_the_second_replica() {
    let mut servers = Node::followed(1).await;
    let gateway = gateway_with(servers[0].redis.url(), "acknowledged_by = 2").await;
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let page = visitor.get(&link).await;
    is_busy(&page);
    assert_eq!(gateway.hooks.received().len(), 0, "nothing leaves");
    Node::follow(&mut servers).await;
    // What was taken up, and could not be counted as a try, is held for a while.
    gateway.pass(Duration::from_secs(91));
    gateway.hooks.wait_for(|told| !told.is_empty(), LIMIT).await;
    let mut page = visitor.get(&link).await;
    // The link was claimed for this browser, which was asked to wait.
    if page.status != 302 {
        page = visitor.press(&page, "continue").await;
    }
    let authorization = page.location().expect("the bank");
    let callback = gateway.bank.code_for(&authorization).url();
    let page = patient(&visitor, visitor.get(&callback).await).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_goes_is_waited_for_a_moment_and_then_done_without() {
    let mut servers = Node::followed(1).await;
    let gateway = gateway_with(servers[0].redis.url(), "").await;
    let (_, visitor, callback) = at_the_bank(&gateway).await;
    servers[1].redis.kill9();
    let page = patient(&visitor, visitor.get(&callback).await).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

/// It was replaced while it hung, and is cut off from the Sentinels and its replicas when it goes on; the gateway,
/// which asked nothing meanwhile, sees only this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_was_replaced_and_is_cut_off_with_us_takes_no_response_from_the_bank() {
    let fleet = Watched::start(1).await;
    let bench = Bench::redis_at(fleet.url(), Vec::new()).await;
    let visited = bench.visited().await;
    let claim = bench.a_claim(&visited);
    fleet.servers[0].redis.pause();
    let now = fleet.replaced(0).await;
    fleet.sentinels.iter().for_each(|it| it.pause());
    fleet.servers[0].redis.resume();
    let replicas = || {
        fleet.servers[0]
            .redis
            .info("replication", "connected_slaves")
    };
    settles("its replicas have left it", || {
        replicas().filter(|it| it == "0")
    })
    .await;

    let claiming = bench.store.claim_callback(&claim, at(20));
    tokio::pin!(claiming);
    let early = timeout(Duration::from_secs(8), &mut claiming).await;
    assert!(
        early.is_err(),
        "accepted by a server that was replaced: {early:?}"
    );
    let attempt = bench.store.attempt(&visited.attempt.id);
    let seen = timeout(Duration::from_secs(8), attempt).await;
    let is_told = matches!(&seen, Ok(Ok(Some(it))) if it.window.status.is_finished());
    assert!(!is_told, "{seen:?}");
    fleet.sentinels.iter().for_each(|it| it.resume());
    let claimed = claiming.await.expect("the one that counts takes it");
    assert!(matches!(claimed, Claimed::Accepted { .. }), "{claimed:?}");
    assert_eq!(fleet.named(), Some(now));
}
