//! Everything that can be repeated has a bound (docs/SECURITY.md, "Bounds"): each row names the test that
//! holds it, and the sizes are held here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::gateway::{Backend, CLIENT, PAPER_BANK, TestGateway};
use crate::support::package_folder;

/// The names of all tests: functions marked as one, and those that run on both stores.
fn tests() -> BTreeSet<String> {
    fn read(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder)
            .expect("a folder")
            .map(|entry| entry.expect("an entry"))
        {
            let path = entry.path();
            if path.is_dir() {
                read(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source");
                let mut is_marked = false;
                for line in text.lines().map(str::trim) {
                    let signature = line.strip_prefix("async ").unwrap_or(line);
                    let name = signature
                        .strip_prefix("fn ")
                        .and_then(|it| it.split_once('('));
                    match (name, line.strip_suffix(',')) {
                        (Some((name, _)), _) if is_marked => {
                            found.insert(name.to_owned());
                        }
                        // A line of a macro's list.
                        (None, Some(listed)) => {
                            found.insert(listed.to_owned());
                        }
                        _ => {}
                    }
                    let marks = ["#[test]", "#[tokio::test"];
                    let begins = marks.iter().any(|mark| line.starts_with(mark));
                    is_marked = begins || (is_marked && line.starts_with("#["));
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    for folder in ["tests/it", "src"] {
        read(&package_folder().join(folder), &mut found);
    }
    found
}

#[test]
fn every_bound_is_held_by_a_test() {
    let document = package_folder().join("docs/SECURITY.md");
    let document = fs::read_to_string(document).expect("docs/SECURITY.md");
    let rows = document
        .lines()
        .skip_while(|line| *line != "| what can be repeated | bound | held by |")
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let known = tests();
    let mut count = 0;
    for row in rows {
        let cell = row.trim_matches('|').rsplit('|').next().expect("a cell");
        let tests: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {row}");
        for test in tests {
            assert!(known.contains(test), "there is no test {test}: {row}");
        }
        count += 1;
    }
    assert!(count > 20, "only {count} rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_by_its_name() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let text = |length: usize| "x".repeat(length);
    let users = async |body: Value| gateway.platform("POST", "/users", Some(body)).await;
    let members = format!("/users/{}/members", gateway.user);
    let member = async |member: Value| {
        let body = json!({"member": member});
        gateway.platform("POST", &members, Some(body)).await
    };
    let value = |length: usize| {
        let credential = json!({"guid": "CRD-1", "value": text(length)});
        json!({"institution_code": PAPER_BANK, "credentials": [credential]})
    };
    let values: Vec<Value> = (0..51)
        .map(|_| json!({"guid": "CRD-1", "value": "v"}))
        .collect();
    for (got, word) in [
        (
            users(json!({"user": {"metadata": text(4097)}})).await,
            "metadata",
        ),
        (users(json!({"user": {"email": text(256)}})).await, "email"),
        (users(json!({"user": {"id": text(256)}})).await, "id"),
        (
            member(json!({"institution_code": PAPER_BANK, "name": text(256)})).await,
            "name",
        ),
        (member(value(4097)).await, "credentials"),
        (
            member(json!({"institution_code": PAPER_BANK, "credentials": values})).await,
            "credentials",
        ),
    ] {
        assert_eq!(got.0, 400, "{word}: {}", got.1);
        assert!(got.1.to_string().contains(word), "{word}: {}", got.1);
    }
    let fits = users(json!({"user": {"metadata": text(4096), "id": text(255)}})).await;
    assert_eq!(fits.0, 200, "{}", fits.1);

    let with = |name: &'static str, length: usize| {
        let key = gateway.api_key.clone();
        move |request: reqwest::RequestBuilder| {
            request
                .basic_auth(CLIENT, Some(key))
                .header(name, "x".repeat(length))
        }
    };
    let head = async |length| {
        gateway
            .call("GET", "/users", None, with("x-long", length))
            .await
            .0
    };
    assert_eq!((head(31 * 1024).await, head(65 * 1024).await), (200, 431));
    let payload = with("x-callback-payload", 1025);
    let body = json!({"member": {"institution_code": PAPER_BANK}});
    let (status, answer) = gateway.call("POST", &members, Some(body), payload).await;
    assert_eq!(status, 400, "{answer}");
    assert!(
        answer.to_string().contains("X-CALLBACK-PAYLOAD"),
        "{answer}"
    );
}
