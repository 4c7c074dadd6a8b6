//! `serve` and a store that is away, at start and later.

use std::path::Path;

use reqwest::StatusCode;
use serde_json::json;

use super::Installation;
use crate::support::gateway::eventually;
use crate::support::guichet::Running;
use crate::support::process::{Guarded, free_port};
use crate::support::redis::Redis;
use crate::support::visitor::http;

/// The status and the body of what is there; none when nobody is.
async fn asked(port: u16, path: &str) -> Option<(StatusCode, String)> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let response = http().get(url).send().await.ok()?;
    Some((response.status(), response.text().await.ok()?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_waits_for_a_store_that_is_away_and_says_so() {
    let mut redis = Redis::start();
    redis.kill9();
    let installation = Installation::with_store(&redis.url());
    let mut running = Running::start(["serve", "--config", &installation.file]);
    let (status, body) = eventually(async || asked(installation.operator, "/readyz").await).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        body.starts_with("not ready: waits for its store: "),
        "{body}"
    );
    let alive = asked(installation.operator, "/healthz").await;
    assert_eq!(alive, Some((StatusCode::OK, "alive\n".to_owned())));
    let public = asked(installation.public, "/").await;
    assert_eq!(public, None, "the public listener is closed");
    let said = "the store is away; waiting for it";
    eventually(async || running.err().contains(said).then_some(())).await;
    assert_eq!(running.err().matches(said).count(), 1, "{}", running.err());

    redis.restart();
    eventually(async || {
        let ready = asked(installation.operator, "/readyz").await?;
        (ready.0 == StatusCode::OK).then_some(())
    })
    .await;
    assert!(asked(installation.public, "/openapi.json").await.is_some());
    assert!(running.runs());
    let ran = running.stop("TERM");
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_that_waits_can_be_stopped() {
    let store = format!("redis://127.0.0.1:{}/", free_port());
    let installation = Installation::with_store(&store);
    let running = Running::start(["serve", "--config", &installation.file]);
    eventually(async || asked(installation.operator, "/readyz").await).await;
    let ran = running.stop("TERM");
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn serve_ends_instead_of_waiting_where_it_is_told_to() {
    let store = format!("redis://127.0.0.1:{}/", free_port());
    let installation = Installation::with_store(&store);
    let ran = crate::support::guichet::run(["serve", "--no-wait", "--config", &installation.file]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
}

#[test]
fn serve_refuses_a_store_that_waiting_does_not_mend() {
    let redis = Redis::start();
    redis.command("CONFIG SET maxmemory-policy allkeys-lru");
    let unfit = redis.url();
    let no_such_database = redis.url() + "99999";
    let wrong_password = unfit.replace("redis://", "redis://:secret@");
    for (store, word) in [
        (unfit, "noeviction"),
        (no_such_database, "databases"),
        (wrong_password, "remove the password"),
    ] {
        let installation = Installation::with_store(&store);
        let arguments = ["serve", "--config", &installation.file];
        let ran = crate::support::guichet::run(arguments);
        assert_eq!(ran.code, Some(4), "{store}: {ran:?}");
        assert!(ran.err.contains(word), "{store}: {ran:?}");
        assert!(!ran.err.contains("unreadable"), "{store}: {ran:?}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_ready_while_the_disk_is_full() {
    let installation = Installation::new();
    let key = installation.keys("create", &[]).out.trim().to_owned();
    let file = installation.folder.path().join("guichet.sqlite");
    // In blocks of 512 bytes: room for a few writes.
    let blocks = std::fs::metadata(&file).expect("a file").len() / 512 + 40;
    let limited = format!("ulimit -f {blocks}; trap '' XFSZ; exec \"$@\"");
    let program = env!("CARGO_BIN_EXE_guichet");
    let log = installation.folder.path().join("log");
    let arguments = [
        "-c",
        &limited,
        "sh",
        program,
        "serve",
        "--config",
        &installation.file,
    ];
    let _running = Guarded::start(Path::new("sh"), arguments, &log, None);
    eventually(async || {
        let ready = asked(installation.operator, "/readyz").await?;
        (ready.0 == StatusCode::OK).then_some(())
    })
    .await;
    let write = async || {
        let user = json!({"user": {"metadata": "m".repeat(4000)}});
        let request = http().post(format!("http://127.0.0.1:{}/users", installation.public));
        let request = request.basic_auth("acme", Some(&key)).json(&user);
        request.send().await.expect("a response").status()
    };
    eventually(async || (write().await == StatusCode::SERVICE_UNAVAILABLE).then_some(())).await;
    // Whether or not there is room for a smaller write than the one that failed.
    eventually(async || {
        let (status, body) = asked(installation.operator, "/readyz").await?;
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(body)
    })
    .await;
    for _ in 0..20 {
        assert_eq!(write().await, StatusCode::SERVICE_UNAVAILABLE);
        let (status, body) = asked(installation.operator, "/readyz")
            .await
            .expect("served");
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        assert!(body.starts_with("not ready: writes fail: "), "{body}");
    }
    let users = http().get(format!("http://127.0.0.1:{}/users", installation.public));
    let read = users.basic_auth("acme", Some(&key)).send().await;
    assert_eq!(
        read.expect("a response").status(),
        StatusCode::OK,
        "reads go on"
    );
}
