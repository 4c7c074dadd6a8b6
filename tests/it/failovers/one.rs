//! One server, or a name in front of several.

use super::{PACE, SOME, all_are_connected, gateway_on};
use crate::support::fleet::{Node, settles};
use crate::support::traffic::Traffic;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_server_is_a_replica_everybody_waits_and_no_flow_is_lost() {
    let servers = Node::followed(1).await;
    let (one, other) = (&servers[0].redis, &servers[1].redis);
    let gateway = gateway_on(format!("{}1", one.url())).await;
    let traffic = Traffic::start(&gateway, 8, PACE).await;
    traffic.connects(SOME).await;
    one.command("CLIENT PAUSE 5000 WRITE");
    settles("the replica has everything", || {
        servers[0].has_replicas(1).then_some(())
    })
    .await;
    other.command("REPLICAOF NO ONE");
    one.command(&format!("REPLICAOF 127.0.0.1 {}", other.port()));
    one.command("CLIENT UNPAUSE");
    settles("somebody is told", || {
        (one.errors("READONLY") > 0).then_some(())
    })
    .await;
    settles("it follows", || {
        (one.info("replication", "master_link_status")? == "up").then_some(())
    })
    .await;
    one.command("REPLICAOF NO ONE");
    other.command(&format!("REPLICAOF 127.0.0.1 {}", one.port()));
    traffic.connects(SOME).await;
    all_are_connected(&traffic.account().await);
}
