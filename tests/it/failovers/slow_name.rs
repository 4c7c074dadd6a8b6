//! A name that takes long to resolve.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::cluster::{UNDELAYED, without_replicas};
use super::{PACE, SOME, gateway_with, most_are_connected};
use crate::support::gateway::eventually;
use crate::support::served;
use crate::support::traffic::{Flow, Traffic};

/// What resolves names for the gateway: one of them only while a file is not there.
const RESOLVER: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*resolve)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    resolve = dlsym(RTLD_NEXT, "getaddrinfo");
    if (name && !strcmp(name, "slow.guichet.test")) {
        while (!access(getenv("SLOW_WHILE"), F_OK)) usleep(10000);
        name = "127.0.0.1";
    }
    return resolve(name, service, hints, found);
}
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_takes_long_to_resolve_delays_nobody_whose_partition_is_elsewhere() {
    let fleet = without_replicas().await;
    let client = fleet.owner("g:4{c:acme}");
    let slow = (client + 1) % 3;
    let gateway = gateway_with(fleet.url(), "").await;
    let mut gateway = Arc::into_inner(gateway).expect("it is ours alone");
    gateway.stop().await;
    fleet.nodes.iter().enumerate().for_each(|(number, node)| {
        let name = if number == slow {
            "slow.guichet.test"
        } else {
            "localhost"
        };
        node.redis
            .command(&format!("CONFIG SET cluster-announce-hostname {name}"));
        node.redis
            .command("CONFIG SET cluster-preferred-endpoint-type hostname");
    });
    fleet.know_name(slow, "slow.guichet.test").await;

    let folder = gateway.folder.path();
    let (source, library) = (folder.join("resolver.c"), folder.join("resolver.so"));
    std::fs::write(&source, RESOLVER).expect("a file");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source)
        .arg("-ldl")
        .status();
    assert!(compiled.expect("a C compiler, as Rust needs one").success());
    let is_slow = folder.join("is-slow");
    let environment = vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("SLOW_WHILE", is_slow.display().to_string()),
    ];
    let process = served::process_of(&gateway, &environment).await;
    let gateway = Arc::new(gateway);
    let traffic = Traffic::start(&gateway, 16, PACE).await;
    traffic.connects(SOME).await;

    let partitions = fleet.partitions_of(slow);
    let is_elsewhere = |flow: &Flow| !partitions.contains(&flow.user.partition());
    std::fs::write(&is_slow, "").expect("a file");
    fleet.nodes[slow].redis.command("CLIENT KILL TYPE normal");
    let begun = tokio::time::Instant::now();
    traffic.connects_where(3 * SOME, is_elsewhere).await;
    let flows = traffic.ended();
    for flow in flows
        .iter()
        .filter(|it| it.began > begun && is_elsewhere(it))
    {
        assert!(flow.is_connected() && flow.took < UNDELAYED, "{flow:?}");
    }
    let here = flows
        .iter()
        .filter(|it| it.began > begun && !is_elsewhere(it) && it.is_connected());
    assert_eq!(here.count(), 0, "the name is slow: {}", process.log());
    std::fs::remove_file(&is_slow).expect("it is there");
    traffic
        .connects_where(SOME, |flow| !is_elsewhere(flow))
        .await;
    most_are_connected(&traffic.end().await);

    // Nor does it keep the process from its end.
    let losses = || {
        process
            .log()
            .matches("connection to the store is lost")
            .count()
    };
    let before = losses();
    std::fs::write(&is_slow, "").expect("a file");
    fleet.nodes[slow].redis.command("CLIENT KILL TYPE normal");
    eventually(async || (losses() > before).then_some(())).await;
    let ending = tokio::task::spawn_blocking(move || drop(process));
    let ended = tokio::time::timeout(Duration::from_secs(20), ending).await;
    ended.expect("it ends in time").expect("no panic");
}
