//! Every line of one attempt says whose it is, at every level that is printed, in both formats; so do
//! the lines of deliveries and pushes.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::behaviour::Behaviour;
use crate::support::gateway::{BANK, Backend, CLIENT, Setup, TestGateway, eventually};
use crate::support::receiver::Reply;
use crate::support::served::Served;

crate::on_both_stores!(
    every_line_of_an_attempt_says_whose_it_is,
    what_fails_says_whose_it_is_at_every_level,
    the_first_and_the_last_line_say_what_runs_and_what_is_waited_for,
);

async fn logging(backend: Backend, filter: &str) -> Served {
    let setup = Setup {
        tables: format!("[log]\nformat = \"json\"\nfilter = \"{filter}\"\n"),
        ..Setup::default()
    };
    Served::with(backend, setup).await
}

/// The lines so far; each is flat.
fn lines(served: &Served) -> Vec<Value> {
    let log = served.log();
    // The last one may be half written.
    let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let read = |line: &str| -> Value {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let fields = line.as_object().expect("an object");
        assert!(
            fields.values().all(|it| !it.is_object() && !it.is_array()),
            "{line}"
        );
        line
    };
    whole.lines().map(read).collect()
}

/// The lines with one of these messages, once each is there.
async fn with(served: &Served, messages: &[&str]) -> Vec<Value> {
    eventually(async || {
        let found: Vec<Value> = lines(served)
            .into_iter()
            .filter(|line| messages.contains(&line["message"].as_str().unwrap_or_default()))
            .collect();
        let seen: BTreeSet<_> = found
            .iter()
            .map(|line| line["message"].to_string())
            .collect();
        (seen.len() == messages.len()).then_some(found)
    })
    .await
}

/// Holds the lines to those fields and values; a value of `None`: it is there.
fn all_have(lines: &[Value], fields: &[(&str, Option<&str>)]) {
    for line in lines {
        for (field, value) in fields {
            match value {
                Some(value) => assert_eq!(line[field], *value, "{field} of {line}"),
                None => assert!(!line[field].is_null(), "{field} of {line}"),
            }
        }
    }
}

/// A declined flow; the member, its state, and the support code that the person was shown.
async fn declined(gateway: &TestGateway) -> (String, String, String) {
    let (member, link) = gateway.member().await;
    let state = gateway.state(member).await["guid"]
        .as_str()
        .expect("a guid")
        .to_owned();
    let visitor = gateway.visitor();
    let authorization = gateway.open(&visitor, &link).await;
    let refusal = gateway
        .bank
        .refusal_for(&authorization, "access_denied", "not now");
    let page = visitor.follow(&refusal.url()).await;
    assert_eq!(page.name(), Some("cancelled"), "{}", page.body);
    let is_code = |word: &&str| {
        word.len() == 8
            && word
                .bytes()
                .all(|it| b"34679ACDEFGHJKMNPQRTVWXY".contains(&it))
    };
    let mut words = page.body.split(|c: char| !c.is_ascii_alphanumeric());
    let shown = words.find(is_code).expect("a support code on the page");
    (member.to_string(), state, shown.to_owned())
}

async fn every_line_of_an_attempt_says_whose_it_is(backend: Backend) {
    let served = logging(backend, "guichet=trace,info").await;
    let (member, state, shown) = declined(&served.gateway).await;
    let about = [
        ("client", Some(CLIENT)),
        ("institution", Some(BANK)),
        ("member", Some(member.as_str())),
        ("oauth_state", Some(state.as_str())),
    ];
    let minted = with(&served, &["member created"]).await;
    all_have(&minted, &about);
    let of_attempt = with(&served, &["link opened", "flow failed", "outcome shown"]).await;
    all_have(&of_attempt, &about);
    all_have(
        &of_attempt,
        &[("support_code", Some(&shown)), ("attempt", None)],
    );
    // Whatever else was written while the attempt was known.
    let attempt = of_attempt[0]["attempt"].clone();
    let of_it = |line: &Value| line["attempt"] == attempt;
    let all: Vec<Value> = lines(&served).into_iter().filter(of_it).collect();
    assert!(all.len() >= of_attempt.len());
    all_have(&all, &about);
    all_have(&all, &[("support_code", Some(&shown))]);

    let told = with(&served, &["webhook delivered"]).await;
    let host = served.gateway.hooks.url();
    let host = format!(
        "{}:{}",
        host.host_str().expect("a host"),
        host.port().expect("a port")
    );
    let of_delivery = [
        ("client", Some(CLIENT)),
        ("institution", Some(BANK)),
        ("member", Some(member.as_str())),
        ("event", None),
        ("kind", None),
        ("tries", Some("1")),
        ("endpoint_host", Some(host.as_str())),
    ];
    all_have(&told, &of_delivery);
}

async fn what_fails_says_whose_it_is_at_every_level(backend: Backend) {
    let served = logging(backend, "warn").await;
    let gateway = &served.gateway;
    gateway.hooks.answer_with(Reply::Status(503));
    gateway.aggregator.answer_with(Reply::Status(503));
    let (member, state, shown) = declined(gateway).await;
    let failed = with(&served, &["flow failed"]).await;
    let about = [
        ("client", Some(CLIENT)),
        ("institution", Some(BANK)),
        ("member", Some(member.as_str())),
        ("oauth_state", Some(state.as_str())),
        ("support_code", Some(shown.as_str())),
        ("detail", None),
    ];
    all_have(&failed, &about);

    let (_, link) = gateway.member().await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let failed = with(
        &served,
        &[
            "webhook delivery failed; tried again later",
            "job push failed",
        ],
    )
    .await;
    let owed = [
        ("client", Some(CLIENT)),
        ("institution", Some(BANK)),
        ("member", None),
        ("tries", Some("1")),
        ("endpoint_host", None),
    ];
    all_have(&failed, &owed);

    let (_, link) = gateway.member().await;
    gateway
        .bank
        .next_token(Behaviour::With("access_token", Value::Null));
    gateway.connect(&gateway.visitor(), &link).await;
    let failed = with(&served, &["flow failed"]).await;
    all_have(
        &failed,
        &[
            ("client", Some(CLIENT)),
            ("oauth_state", None),
            ("support_code", None),
        ],
    );
    assert!(
        lines(&served).iter().all(|line| line["level"] != "INFO"),
        "the filter is on"
    );
}

async fn the_first_and_the_last_line_say_what_runs_and_what_is_waited_for(backend: Backend) {
    let served = logging(backend, "info").await;
    let serving = with(&served, &["serving"]).await.remove(0);
    assert_eq!(serving["version"], env!("CARGO_PKG_VERSION"));
    let store = serving["store"].as_str().expect("a store");
    match backend {
        Backend::Sqlite => assert!(store.starts_with("sqlite:"), "{store}"),
        Backend::Redis => assert!(store.starts_with("redis://127.0.0.1:"), "{store}"),
    }
    let (clients, institutions) = (&serving["clients"], &serving["institutions"]);
    assert!(clients.to_string().contains(CLIENT), "{clients}");
    assert!(institutions.to_string().contains(BANK), "{institutions}");
    for address in ["address", "operator", "public_url"] {
        assert!(serving[address].is_string(), "{serving}");
    }
    served.terminate();
    let stopping = with(&served, &["stopping, waiting for exchanges and deliveries"]).await;
    all_have(&stopping, &[("tasks", None), ("longest_s", None)]);
    with(&served, &["stopped"]).await;
}
