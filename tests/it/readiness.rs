//! `/readyz`: it says whether requests are better sent elsewhere, and why.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use serde_json::json;

use crate::support::gateway::{Backend, Setup, TestGateway, eventually};
use crate::support::redis::Redis;
use crate::support::visitor::{Visitor, http};

/// What `/readyz` says.
async fn readiness(gateway: &TestGateway) -> (StatusCode, String) {
    asked(gateway.operator.join("readyz").expect("a path").as_str()).await
}

async fn asked(url: &str) -> (StatusCode, String) {
    let response = http().get(url).send().await.expect("a response");
    (response.status(), response.text().await.expect("a body"))
}

/// Waits until it is ready, or not; what it says then.
async fn until(gateway: &TestGateway, status: StatusCode) -> String {
    eventually(async || {
        let (answered, body) = readiness(gateway).await;
        (answered == status).then_some(body)
    })
    .await
}

async fn on(redis: &Redis) -> TestGateway {
    let setup = Setup {
        store: Some(redis.url()),
        ..Setup::default()
    };
    TestGateway::with(Backend::Redis, setup).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_while_the_server_takes_no_writes() {
    let redis = Redis::start();
    let gateway = on(&redis).await;
    assert_eq!(
        readiness(&gateway).await,
        (StatusCode::OK, "ready\n".to_owned())
    );
    for (sick, sound, word) in [
        (
            "CONFIG SET maxmemory 1",
            "CONFIG SET maxmemory 0",
            "maxmemory",
        ),
        (
            "CONFIG SET min-replicas-to-write 1",
            "CONFIG SET min-replicas-to-write 0",
            "replicas",
        ),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "read only"),
        (
            "ACL SETUSER default -set",
            "ACL SETUSER default +set",
            "can't run this command",
        ),
    ] {
        redis.command(sick);
        let body = until(&gateway, StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(body.starts_with("not ready: "), "{body}");
        assert!(body.contains(word), "{sick}: {body}");
        redis.command(sound);
        assert_eq!(until(&gateway, StatusCode::OK).await, "ready\n");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_takes_no_login_is_503_for_programs_and_busy_for_people_until_it_does() {
    let redis = Redis::start();
    redis.command("ACL SETUSER g on >first ~* +@all");
    let setup = Setup {
        store: Some(redis.url().replace("redis://", "redis://g:first@")),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Redis, setup).await;
    let (member, link) = gateway.member().await;
    let path = format!("/members/{member}");

    redis.command("ACL SETUSER g resetpass >second");
    redis.command("CLIENT KILL USER g");
    for _ in 0..20 {
        let (status, _) = gateway.nexus("GET", &path, None).await;
        assert_eq!(status, 503);
        let page = Visitor::new().get(&link).await;
        assert_eq!((page.status, page.name()), (503, Some("busy")));
    }
    until(&gateway, StatusCode::SERVICE_UNAVAILABLE).await;

    redis.command("ACL SETUSER g resetpass >first");
    until(&gateway, StatusCode::OK).await;
    let page = gateway.connect(&Visitor::new(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_often_it_is_asked_the_store_is_probed_once_a_second() {
    let redis = Redis::start();
    let gateway = on(&redis).await;
    let begun = std::time::Instant::now();
    let written = || {
        let stats = redis.command("INFO commandstats");
        let set = stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_set:calls="));
        let calls = set.and_then(|rest| rest.split(',').next());
        calls.map_or(0, |calls| calls.parse::<u64>().expect("a number"))
    };
    let before = written();
    for _ in 0..200 {
        assert_eq!(readiness(&gateway).await.0, StatusCode::OK);
    }
    let probes = written() - before;
    let seconds = begun.elapsed().as_secs() + 1;
    assert!(
        (1..=seconds + 1).contains(&probes),
        "{probes} in {seconds} s"
    );
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_when_the_file_is_no_longer_the_one_that_was_opened() {
    type Away = fn(&Path);
    let ways: [(&str, Away); 3] = [
        ("deleted", |path| {
            std::fs::remove_file(path).expect("deleted")
        }),
        ("moved away", |path| {
            std::fs::rename(path, path.with_extension("old")).expect("moved");
        }),
        ("replaced by a copy", |path| {
            let copy = path.with_extension("copy");
            std::fs::copy(path, &copy).expect("copied");
            std::fs::rename(copy, path).expect("moved");
        }),
    ];
    for (way, take) in ways {
        let gateway = TestGateway::start(Backend::Sqlite).await;
        assert_eq!(readiness(&gateway).await.0, StatusCode::OK);
        let path = gateway.folder.path().join("guichet.sqlite");
        take(&path);
        let body = until(&gateway, StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(
            body.contains("guichet.sqlite was deleted or replaced"),
            "{way}: {body}"
        );
        // What would be gone with the process is not taken.
        let user = json!({"user": {"id": "late"}});
        let (status, _) = gateway.platform("POST", "/users", Some(user)).await;
        assert_eq!(status, 503, "{way}");
    }
}

/// How often the server was sent that command.
fn calls(redis: &Redis, command: &str) -> u64 {
    let stats = redis.command("INFO commandstats");
    let name = format!("cmdstat_{command}:calls=");
    let line = stats.lines().find_map(|line| line.strip_prefix(&name));
    let count = line.and_then(|line| line.split(',').next());
    count.map_or(0, |count| count.parse().expect("a number"))
}

/// What an idle gateway asks in each second: once for the duties and the deadlines of each of sixteen partitions.
const LOOK: u64 = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_gateway_looks_into_redis_once_a_second_and_asks_little_else() {
    let redis = Redis::start();
    let setup = Setup {
        store: Some(redis.url()),
        ..Setup::default()
    };
    let _gateway = TestGateway::with(Backend::Redis, setup).await;
    // It has looked once, and the look has ended.
    let looks = || calls(&redis, "zrangebyscore");
    let others = || ["evalsha", "mget", "get", "zrange", "zcard"].map(|it| calls(&redis, it));
    let after =
        async |count: u64| eventually(async || Some(looks()).filter(|now| *now >= count)).await;
    let first = after(looks() + LOOK).await;
    let (began, asked) = (Instant::now(), others());
    let last = after(first + 3 * LOOK).await;
    assert_eq!((last - first) % LOOK, 0);
    let looks = u32::try_from((last - first) / LOOK).expect("few");
    let elapsed = began.elapsed();
    // Once a second it reads what operators say of institutions, every ten seconds it agrees on the time.
    let seconds = elapsed.as_secs() + 1;
    let most = seconds + 4 * (1 + seconds / 10);
    let asked: u64 = others().iter().sum::<u64>() - asked.iter().sum::<u64>();
    assert!(asked <= most, "{asked} in {elapsed:?}");
    assert!(
        elapsed > Duration::from_secs(1) * (looks - 1),
        "{looks} in {elapsed:?}"
    );
}
