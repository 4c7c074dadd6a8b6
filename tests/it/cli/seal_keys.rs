//! A seal key that is changed under its id.

use reqwest::StatusCode;

use super::Installation;
use crate::support::gateway::eventually;
use crate::support::guichet::{Running, run, write};
use crate::support::redis::Redis;
use crate::support::visitor::http;

const ANOTHER: &str = "YW5vdGhlciBrZXkgb2YgMzIgYnl0ZXMgaXMgaGVyZS4=\n";

/// Starts the gateway, and ends it as soon as it serves.
async fn serves(installation: &Installation) {
    let running = Running::start(["serve", "--config", &installation.file]);
    let ready = format!("http://127.0.0.1:{}/readyz", installation.operator);
    eventually(async || {
        let response = http().get(&ready).send().await.ok()?;
        (response.status() == StatusCode::OK).then_some(())
    })
    .await;
    let ran = running.stop("TERM");
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

async fn a_changed_key_is_refused(installation: &Installation) {
    serves(installation).await;
    assert_eq!(installation.check().code, Some(0));

    let folder = installation.folder.path();
    let first = std::fs::read_to_string(folder.join("seal.key")).expect("a key");
    write(folder, "seal.key", ANOTHER);
    let refused = [
        installation.check(),
        run(["serve", "--config", &installation.file]),
    ];
    for ran in refused {
        assert_eq!(ran.code, Some(4), "{ran:?}");
        assert!(
            ran.err.contains("seal.keys") && ran.err.contains("2026-01"),
            "{ran:?}"
        );
        assert!(!ran.err.contains(ANOTHER.trim()), "{ran:?}");
    }

    // The remedy that it names.
    write(folder, "seal.key", &first);
    write(folder, "next.key", ANOTHER);
    installation.edit(
        "keys = [{ id",
        "keys = [{ id = \"2026-02\", key_file = \"next.key\" }, { id",
    );
    serves(installation).await;
    assert_eq!(installation.check().code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_key_that_is_changed_under_its_id_is_refused_on_sqlite() {
    a_changed_key_is_refused(&Installation::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seal_key_that_is_changed_under_its_id_is_refused_on_redis() {
    let redis = Redis::start();
    a_changed_key_is_refused(&Installation::with_store(&redis.url())).await;
}
