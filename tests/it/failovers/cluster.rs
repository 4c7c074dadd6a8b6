//! A cluster: each hash slot has a master of its own, which may be replaced, and the slot may move.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{PACE, SOME, all_are_connected, gateway_on, most_are_connected};
use crate::support::fleet::{Cluster, Shape, settles};
use crate::support::gateway::eventually;
use crate::support::traffic::{Flow, Traffic, succeeded};
use crate::support::visitor::http;

/// Enough that every part of the hash slots has some.
const USERS: usize = 16;

/// The silence, in milliseconds, after which nodes count as gone that are not to fail.
pub(super) const UNHURRIED: u32 = 60_000;

/// A cluster in which nobody takes over.
pub(super) async fn without_replicas() -> Cluster {
    Cluster::start(Shape {
        replicas: 0,
        timeout: UNHURRIED,
        ..Shape::default()
    })
    .await
}

/// How long what happens while a server hangs is waited for.
const LIMIT: Duration = Duration::from_secs(30);

/// How long a flow may take whose servers are all well.
pub(super) const UNDELAYED: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_that_is_killed_is_replaced_and_no_connection_that_was_told_is_lost()
{
    let mut fleet = Cluster::start(Shape::default()).await;
    let gateway = gateway_on(fleet.url()).await;
    let traffic = Traffic::start(&gateway, USERS, PACE).await;
    traffic.connects(SOME).await;
    fleet.nodes[0].redis.kill9();
    fleet.takes_over(3, &[1, 2, 3]).await;
    traffic.connects(2 * SOME).await;
    fleet.nodes[0].redis.restart();
    fleet.follows(0).await;
    traffic.connects(SOME).await;
    most_are_connected(&traffic.account().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_of_a_cluster_that_hangs_is_replaced_and_makes_nobody_connected_when_it_goes_on() {
    let fleet = Cluster::start(Shape::default()).await;
    let gateway = gateway_on(fleet.url()).await;
    let traffic = Traffic::start(&gateway, USERS, PACE).await;
    traffic.connects(SOME).await;
    fleet.nodes[1].redis.pause();
    fleet.takes_over(4, &[0, 2, 4]).await;
    traffic.connects(2 * SOME).await;
    fleet.nodes[1].redis.resume();
    fleet.follows(1).await;
    traffic.connects(SOME).await;
    most_are_connected(&traffic.account().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_of_a_cluster_that_is_ordered_loses_no_flow() {
    let fleet = Cluster::start(Shape::default()).await;
    let gateway = gateway_on(fleet.url()).await;
    let traffic = Traffic::start(&gateway, USERS, PACE).await;
    traffic.connects(SOME).await;
    for (replica, master) in [(3, 0), (5, 2)] {
        fleet.fail_over(replica).await;
        fleet.follows(master).await;
    }
    traffic.connects(2 * SOME).await;
    all_are_connected(&traffic.account().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hash_slots_that_move_under_load_lose_no_flow() {
    let fleet = Cluster::start(Shape {
        empty: 1,
        timeout: UNHURRIED,
        ..Shape::default()
    })
    .await;
    let gateway = gateway_on(fleet.url()).await;
    let traffic = Traffic::start(&gateway, USERS, PACE).await;
    traffic.connects(SOME).await;
    let joined = fleet.nodes.len() - 1;
    let told = |code: &str| -> u64 { fleet.nodes.iter().map(|it| it.redis.errors(code)).sum() };
    // Half of a slot has moved: until everything has happened that clients are told then, it stays so.
    let mut is_first = true;
    let half = async || {
        if std::mem::take(&mut is_first) {
            let both = || (told("ASK") > 0 && told("TRYAGAIN") > 0).then_some(());
            settles(
                "somebody is sent to the new server, and somebody waits",
                both,
            )
            .await;
        }
    };
    let slots = fleet.used_slots(0);
    assert!(slots.len() > 2, "{slots:?}");
    let (first, others) = slots.split_at(1);
    fleet.reshard(first, (0, joined), 5, half).await;
    fleet.reshard(others, (0, joined), 100, async || {}).await;
    settles("somebody is told that it has moved", || {
        (told("MOVED") > 0).then_some(())
    })
    .await;
    traffic.connects(2 * SOME).await;
    all_are_connected(&traffic.account().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_is_ready_as_long_as_a_node_takes_writes() {
    let fleet = without_replicas().await;
    let gateway = gateway_on(fleet.url()).await;
    let ready = async || {
        // The last answer counts for a second.
        gateway.clock.advance(Duration::from_secs(2));
        let url = gateway.operator.join("/readyz").expect("a URL");
        http().get(url).send().await.expect("a response").status()
    };
    for node in &fleet.nodes {
        node.redis.pause();
        assert_eq!(ready().await, 200);
        node.redis.resume();
    }
    fleet.nodes.iter().for_each(|node| node.redis.pause());
    assert_eq!(ready().await, 503);
    fleet.nodes.iter().for_each(|node| node.redis.resume());
    eventually(async || (ready().await == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hangs_delays_nobody_whose_partition_is_elsewhere() {
    let fleet = without_replicas().await;
    let gateway = gateway_on(fleet.url()).await;
    let traffic = Traffic::start(&gateway, USERS, PACE).await;
    traffic.connects(SOME).await;
    // What concerns the client as a whole is at one node; the others are for its people alone.
    let client = fleet.owner("g:4{c:acme}");
    let hangs = (client + 1) % 3;
    let partitions = fleet.partitions_of(hangs);
    let is_elsewhere = |flow: &Flow| !partitions.contains(&flow.user.partition());
    fleet.nodes[hangs].redis.pause();
    let begun = tokio::time::Instant::now();
    traffic.connects_where(3 * SOME, is_elsewhere).await;
    let flows = traffic.ended();
    let during = flows
        .iter()
        .filter(|it| it.began > begun && is_elsewhere(it));
    let during: Vec<Flow> = during.cloned().collect();
    // What they cause is told, too.
    let told = |it: &Flow| it.member.clone().expect("a member");
    let theirs: BTreeSet<String> = during.iter().map(told).collect();
    gateway
        .hooks
        .wait_for(|received| theirs.is_subset(&succeeded(received)), LIMIT)
        .await;
    fleet.nodes[hangs].redis.resume();
    for flow in &during {
        assert!(flow.is_connected() && flow.took < UNDELAYED, "{flow:?}");
    }
    let slowest = during.iter().map(|it| it.took).max();
    println!("{} flows elsewhere, slowest {slowest:?}", during.len());
    traffic.connects(SOME).await;
    most_are_connected(&traffic.account().await);
}
