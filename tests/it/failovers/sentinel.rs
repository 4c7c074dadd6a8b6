//! One server with replicas and Sentinels.

use super::{PACE, SOME, gateway_on, most_are_connected, not_connected};
use crate::support::fleet::Watched;
use crate::support::traffic::{Flow, Traffic};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_killed_is_replaced_and_no_connection_that_was_told_is_lost() {
    let mut fleet = Watched::start(1).await;
    let gateway = gateway_on(fleet.url()).await;
    let traffic = Traffic::start(&gateway, 8, PACE).await;
    traffic.connects(SOME).await;
    fleet.servers[0].redis.kill9();
    fleet.replaced(0).await;
    traffic.connects(SOME).await;
    // The old one comes back, believing that it still takes the writes, and is told otherwise.
    fleet.servers[0].redis.restart();
    traffic.connects(SOME).await;
    fleet.follows(0).await;
    traffic.connects(SOME).await;
    most_are_connected(&traffic.account().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hangs_is_replaced_and_makes_nobody_connected_when_it_goes_on() {
    let fleet = Watched::start(1).await;
    let gateway = gateway_on(fleet.url()).await;
    let traffic = Traffic::start(&gateway, 8, PACE).await;
    traffic.connects(SOME).await;
    fleet.servers[0].redis.pause();
    fleet.replaced(0).await;
    traffic.connects(SOME).await;
    fleet.servers[0].redis.resume();
    traffic.connects(SOME).await;
    fleet.follows(0).await;
    most_are_connected(&traffic.account().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sentinel_that_hangs_delays_no_failover() {
    let mut fleet = Watched::start(1).await;
    let gateway = gateway_on(fleet.url()).await;
    let traffic = Traffic::start(&gateway, 8, PACE).await;
    traffic.connects(SOME).await;
    // The first that is asked.
    let hangs = fleet.sentinels.remove(0);
    hangs.pause();
    traffic.connects(SOME).await;
    fleet.servers[0].redis.kill9();
    fleet.replaced(0).await;
    traffic.connects(SOME).await;
    most_are_connected(&traffic.account().await);
}

/// Until the Sentinels name the new server, the old one goes on accepting what is lost. Nobody is told "connected" then,
/// and nobody is sent to the bank.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_is_ordered_loses_no_connection_that_was_told() {
    let flows = ordered(Watched::start(1).await).await;
    for flow in &flows {
        assert!(
            flow.page != "bad-return",
            "sent to the bank in vain: {flow:?}"
        );
    }
}

/// What the gateway recommends at start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_is_ordered_loses_hardly_a_link_where_the_master_demands_a_replica() {
    let fleet = Watched::start(1).await;
    for server in &fleet.servers {
        server.redis.command("CONFIG SET min-replicas-to-write 1");
    }
    let flows = ordered(fleet).await;
    let others = not_connected(&flows);
    // What was minted in the very milliseconds in which the replica left may be lost.
    assert!(others.len() < 4, "{others:#?}");
}

async fn ordered(fleet: Watched) -> Vec<Flow> {
    let gateway = gateway_on(fleet.url()).await;
    let traffic = Traffic::start(&gateway, 8, PACE / 2).await;
    traffic.connects(SOME).await;
    for _ in 0..2 {
        let before = fleet.named().expect("they agree");
        fleet.fail_over().await;
        traffic.connects(SOME).await;
        fleet.follows(before).await;
    }
    traffic.connects(SOME).await;
    traffic.account().await
}
