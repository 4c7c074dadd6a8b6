//! What institutions publish of themselves: a change is told, and nothing of it is adopted.

use std::time::Duration;

use guichet::domain::watch::{Aspect, Change};
use guichet::flow::watch;
use serde_json::json;

use crate::support::gateway::{BANK, Backend, FORM_BANK, Setup, TestGateway, eventually};
use crate::support::guichet::{Ran, run};

const HOUR: Duration = Duration::from_secs(60 * 60);

crate::on_both_stores!(
    s1_an_endpoint_that_moves_is_told_and_the_pinned_one_stays,
    a_key_that_is_replaced_is_told_as_something_usual,
    what_cannot_be_read_is_told_and_what_was_seen_stays,
    one_gateway_looks_every_few_hours,
);

/// A gateway whose bank publishes metadata and keys. Unless it watches, only the test looks at them.
async fn watching(backend: Backend, is_watched: bool) -> TestGateway {
    let setup = Setup {
        oauth: format!("pkce = \"required\"\nwatch = {is_watched}"),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    gateway.bank.publishes_metadata(&json!({}));
    gateway.bank.publishes_keys(&["one"]);
    gateway
}

/// What a look at the bank finds changed.
async fn look(gateway: &TestGateway) -> Vec<Change> {
    let institution = gateway
        .inside
        .institutions
        .get(&BANK.parse().expect("a code"));
    let institution = institution.expect("the bank").clone();
    let looked = watch::look(&gateway.inside, &institution).await;
    looked.expect("answered")
}

async fn check(gateway: &TestGateway) -> Ran {
    let file = gateway.file().to_str().expect("a path").to_owned();
    let running = tokio::task::spawn_blocking(move || run(["check", "--config", &file]));
    running.await.expect("no panic")
}

async fn s1_an_endpoint_that_moves_is_told_and_the_pinned_one_stays(backend: Backend) {
    let gateway = watching(backend, false).await;
    assert_eq!(look(&gateway).await, []);
    let elsewhere = "https://elsewhere.example/token";
    gateway
        .bank
        .publishes_metadata(&json!({ "token_endpoint": elsewhere }));
    let changes = look(&gateway).await;
    let aspects: Vec<Aspect> = changes.iter().map(|change| change.aspect).collect();
    assert_eq!(aspects, [Aspect::File, Aspect::Metadata], "{changes:?}");
    let moved = format!(
        "token_endpoint is {elsewhere}; it was {}",
        gateway.bank.token_url()
    );
    assert_eq!(changes[1].text, moved);
    assert!(changes.iter().all(|change| !change.is_usual));
    assert_eq!(look(&gateway).await, [], "it is told once");

    let (_, link) = gateway.member().await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    assert_eq!(gateway.bank.hits().token, 1, "where the file says");

    let metrics = gateway.metrics().await;
    let counted = format!(
        "guichet_institution_changes_total{{institution=\"{BANK}\",aspect=\"metadata\"}} 1"
    );
    assert!(metrics.contains(&counted), "{metrics}");
    let ran = check(&gateway).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = |line: &&str| {
        line.starts_with(&format!("warning: institution {BANK}: ")) && line.ends_with(&moved)
    };
    assert_eq!(ran.out.lines().filter(told).count(), 1, "{}", ran.out);
}

async fn a_key_that_is_replaced_is_told_as_something_usual(backend: Backend) {
    let gateway = watching(backend, false).await;
    let file = format!("institutions/{BANK}.toml");
    let file = gateway.folder.path().join(file);
    let mut gateway = gateway;
    let mut text = std::fs::read_to_string(&file).expect("a file");
    text.push_str(&format!("jwks_uri = \"{}\"\n", gateway.bank.keys_url()));
    std::fs::write(&file, text).expect("written");
    gateway.restart().await;
    assert_eq!(look(&gateway).await, []);
    gateway.bank.publishes_keys(&["one", "two"]);
    let changes = look(&gateway).await;
    let [change] = &changes[..] else {
        panic!("one change: {changes:?}");
    };
    assert_eq!((change.aspect, change.is_usual), (Aspect::Keys, true));
    assert_eq!(change.text, "the key two is new");
    gateway.bank.publishes_keys(&["two"]);
    assert_eq!(look(&gateway).await[0].text, "the key one is gone");
    let ran = check(&gateway).await;
    assert!(
        ran.out.contains(&format!("note: institution {BANK}: ")),
        "{}",
        ran.out
    );
}

async fn what_cannot_be_read_is_told_and_what_was_seen_stays(backend: Backend) {
    let gateway = watching(backend, false).await;
    assert_eq!(look(&gateway).await, []);
    for broken in ["<html>", "{}", r#"{"issuer":"https://evil.example"}"#] {
        let path = "/.well-known/oauth-authorization-server";
        gateway.bank.publishes(path, broken.to_owned());
        assert_eq!(look(&gateway).await, [], "{broken}");
        let ran = check(&gateway).await;
        let told = format!("warning: institution {BANK}: could not be read: metadata: ");
        assert!(ran.out.contains(&told), "{}", ran.out);
    }
    gateway
        .bank
        .publishes_metadata(&json!({ "scopes_supported": ["accounts", "transactions"] }));
    let changes = look(&gateway).await;
    let [change] = &changes[..] else {
        panic!("one change: {changes:?}");
    };
    assert_eq!(
        change.text,
        "scopes_supported is new: accounts transactions"
    );
}

async fn one_gateway_looks_every_few_hours(backend: Backend) {
    let gateway = watching(backend, true).await;
    let _beside = gateway.beside().await;
    // Two institutions are at this bank.
    let looked = async |count: usize| {
        let codes = [BANK, FORM_BANK].map(|code| code.parse().expect("a code"));
        eventually(async || (gateway.bank.metadata_hits() >= count).then_some(())).await;
        eventually(async || {
            let seen = gateway
                .inside
                .store
                .watched(&codes)
                .await
                .expect("answered");
            let now = gateway.clock.now();
            let is_fresh = |watched: &guichet::steps::record::Watched| now < watched.next_at;
            (seen.len() == 2 && seen.values().all(is_fresh)).then_some(())
        })
        .await;
        assert_eq!(gateway.bank.metadata_hits(), count, "one of the two looks");
    };
    assert_eq!(gateway.bank.metadata_hits(), 0, "a start is no burst");
    gateway.pass(HOUR / 5);
    looked(2).await;
    gateway.pass(7 * HOUR);
    looked(4).await;
}
