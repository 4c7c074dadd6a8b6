//! Encrypted connections, and a user who may do no more than the documentation says.

use std::sync::Arc;

use super::cluster::UNHURRIED;
use super::gateway_with;
use crate::support::fleet::{self, Cluster, Doors, Node, Shape, Watched};
use crate::support::served;
use crate::support::tls;

/// A whole flow through a gateway that is a process of its own, so that it can trust an authority of the tests.
///
/// `open` is the address without encryption, for what a test prepares.
async fn a_whole_flow(open: String, guarded: String, nodes: &[&Node]) {
    let gateway = gateway_with(open.clone(), "").await;
    let mut gateway = Arc::into_inner(gateway).expect("it is ours alone");
    gateway.stop().await;
    let text = std::fs::read_to_string(gateway.file()).expect("a configuration");
    assert!(text.contains(&open), "{text}");
    std::fs::write(gateway.file(), text.replace(&open, &guarded)).expect("a file");
    let trusted = vec![("SSL_CERT_FILE", tls::authority())];
    let process = served::process_of(&gateway, &trusted).await;
    let (member, link) = gateway.member().await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(
        page.name(),
        Some("connected"),
        "{}\n{}",
        page.body,
        process.log()
    );
    assert_eq!(gateway.read(member).await["connection_status"], "CONNECTED");
    let told = |received: &[_]| received.len() >= 3;
    gateway
        .hooks
        .wait_for(told, std::time::Duration::from_secs(20))
        .await;
    for node in nodes {
        let refused = node.redis.ask("ACL LOG").expect("a list");
        assert!(refused.is_empty(), "{refused:?}\n{}", process.log());
        let used = node.redis.ask("CLIENT LIST TYPE normal").expect("a list");
        assert!(
            used.iter()
                .any(|it| it.contains(&format!("user={}", fleet::USER))),
            "{used:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_flow_on_one_server_by_tls_and_as_a_user_with_few_permissions() {
    let (node, guarded) = fleet::alone(Doors::Guarded).await;
    let open = format!("{}1", node.redis.url());
    a_whole_flow(open, guarded, &[&node]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_flow_with_sentinels_by_tls_and_as_users_with_few_permissions() {
    let fleet = Watched::behind(Doors::Guarded, 1).await;
    let open = format!("{}1", fleet.servers[0].redis.url());
    a_whole_flow(open, fleet.url(), &[&fleet.servers[0]]).await;
    for sentinel in &fleet.sentinels {
        let refused = sentinel.ask("ACL LOG").expect("a list");
        assert!(refused.is_empty(), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_flow_on_a_cluster_by_tls_and_as_a_user_with_few_permissions() {
    let shape = Shape {
        doors: Doors::Guarded,
        timeout: UNHURRIED,
        ..Shape::default()
    };
    let fleet = Cluster::start(shape).await;
    let masters: Vec<&Node> = fleet.nodes.iter().take(3).collect();
    let open: Vec<String> = masters
        .iter()
        .map(|it| format!("127.0.0.1:{}", it.redis.port()))
        .collect();
    let open = format!("redis+cluster://{}", open.join(","));
    a_whole_flow(open, fleet.url(), &masters).await;
}
