//! Everything that can be repeated has a bound (docs/SECURITY.md, "Bounds"): each row names the test that
//! holds it, and the sizes are held here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::gateway::{Backend, CLIENT, PAPER_BANK, TestGateway};
use crate::support::package_folder;

/// The names of all tests: functions marked as one, and those that run on both stores.
pub fn tests() -> BTreeSet<String> {
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
                let (mut is_marked, mut is_listing) = (false, false);
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
                        (None, Some(listed)) if is_listing => {
                            found.insert(listed.to_owned());
                        }
                        _ => {}
                    }
                    // The whole list.
                    let list = line.strip_suffix(");").and_then(|it| it.split_once("!("));
                    if let Some((_, list)) = list.filter(|(called, _)| called.contains("on_")) {
                        let names = list.split(',').map(str::trim);
                        found.extend(names.filter(|it| !it.is_empty()).map(str::to_owned));
                    }
                    let marks = ["#[test]", "#[tokio::test"];
                    let begins = marks.iter().any(|mark| line.starts_with(mark));
                    is_listing = (line.contains("on_") && line.ends_with("!("))
                        || (is_listing && line != ");");
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

/// The rows of the table: what can be repeated, its bound, and the tests that hold it.
fn rows() -> Vec<[String; 3]> {
    let document = package_folder().join("docs/SECURITY.md");
    let document = fs::read_to_string(document).expect("docs/SECURITY.md");
    let rows = document
        .lines()
        .skip_while(|line| *line != "| what can be repeated | bound | tested by |")
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let rows = rows.map(|row| {
        let cells = row.trim_matches('|').split('|');
        let cells: Vec<String> = cells.map(|cell| cell.trim().to_owned()).collect();
        cells.try_into().expect("three cells")
    });
    rows.collect()
}

#[test]
fn every_bound_is_held_by_a_test() {
    let (rows, known) = (rows(), tests());
    for [what, _, held_by] in &rows {
        let tests: Vec<&str> = held_by.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {what}");
        for test in tests {
            assert!(known.contains(test), "there is no test {test}: {what}");
        }
    }
    assert!(rows.len() > 20, "only {} rows", rows.len());
}

/// The rows whose numbers are settings, and which those are, in the order of the row. The numbers of all
/// others stand in the tests that the row names.
const SETTINGS: [(&str, &[&str]); 10] = [
    ("connections", &["connections", "connections_per_source"]),
    ("links that nobody minted", &["unknown_links_per_minute"]),
    (
        "authorization responses, visits of outcome pages and buttons pressed there, that belong to no attempt of the browser",
        &["unknown_attempts_per_minute"],
    ),
    (
        "wrong keys (API, SSO, aggregator)",
        &["wrong_keys_per_minute"],
    ),
    (
        "unknown sessions and SSO tokens",
        &["unknown_sessions_per_minute"],
    ),
    (
        "looking up wrong keys, sessions and SSO tokens that have the form of ours",
        &["failed_look_ups_per_minute"],
    ),
    (
        "requests of one client",
        &[
            "reads_per_client_per_second",
            "writes_per_client_per_second",
            "deletes_per_client_per_second",
            "mints_per_client_per_second",
        ],
    ),
    (
        "requests about one user",
        &[
            "reads_per_user_per_second",
            "writes_per_user_per_second",
            "deletes_per_user_per_second",
            "mints_per_user_per_second",
        ],
    ),
    ("links for one member", &["mints_per_member_per_minute"]),
    ("members of one user", &["members_per_user"]),
];

/// The whole numbers in a text, in which a space parts the thousands.
fn numbers(text: &str) -> Vec<i64> {
    let mut numbers: Vec<i64> = Vec::new();
    let mut goes_on = false;
    for word in text.split(' ') {
        let number = word.parse().ok();
        match (number, numbers.last_mut()) {
            (Some(more), Some(last)) if goes_on && word.len() == 3 => *last = *last * 1000 + more,
            (Some(number), _) => numbers.push(number),
            (None, _) => {}
        }
        goes_on = number.is_some();
    }
    numbers
}

#[test]
fn bounds_that_are_settings_have_the_numbers_of_the_reference_file() {
    let file = package_folder().join("guichet.default.toml");
    let file = fs::read_to_string(file).expect("guichet.default.toml");
    let file: toml::Table = file.parse().expect("TOML");
    let mut limits: BTreeSet<&str> = file["limits"]
        .as_table()
        .expect("a table")
        .keys()
        .map(String::as_str)
        .collect();
    let rows = rows();
    for (what, keys) in SETTINGS {
        let row = rows.iter().find(|row| row[0] == what);
        let [_, bound, _] = row.unwrap_or_else(|| panic!("there is no row {what}"));
        let section = if what == "connections" {
            "listen"
        } else {
            "limits"
        };
        let set = keys.iter().map(|key| {
            limits.remove(key);
            file[section][*key].as_integer().expect("a number")
        });
        assert_eq!(numbers(bound), set.collect::<Vec<_>>(), "{what}: {bound}");
    }
    assert!(limits.is_empty(), "in no row: {limits:?}");
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
    let fits = with("x-callback-payload", 1024);
    let body = json!({"member": {"institution_code": PAPER_BANK}});
    let (status, response) = gateway.call("POST", &members, Some(body), fits).await;
    assert_eq!(status, 400, "{response}");
    assert!(
        !response.to_string().contains("X-CALLBACK-PAYLOAD"),
        "{response}"
    );
    let payload = with("x-callback-payload", 1025);
    let body = json!({"member": {"institution_code": PAPER_BANK}});
    let (status, response) = gateway.call("POST", &members, Some(body), payload).await;
    assert_eq!(status, 400, "{response}");
    assert!(
        response.to_string().contains("X-CALLBACK-PAYLOAD"),
        "{response}"
    );
}
