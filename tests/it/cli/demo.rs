//! `guichet demo`, as the README and headless tests use it.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::guichet::{Ran, Running, run};
use crate::support::redis::Redis;
use crate::support::visitor::{Visitor, http};

/// The longest that the sandbox's aggregator may take.
const LIMIT: Duration = Duration::from_secs(30);

fn names(object: &Value) -> BTreeSet<&str> {
    object
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field]
        .as_str()
        .unwrap_or_else(|| panic!("{field}: {object}"))
}

/// Starts a demo on free ports; it, and the line it said.
fn demo(more: &[&str]) -> (Running, Value) {
    let fixed = ["demo", "--json", "--port-base", "0"];
    let mut running = Running::start(fixed.into_iter().chain(more.iter().copied()));
    let line = running.line();
    let said = serde_json::from_str(&line);
    let said = said.unwrap_or_else(|error| panic!("{error}: {line:?} {}", running.err()));
    (running, said)
}

/// Exactly the documented names, and addresses as origins.
fn assert_documented(said: &Value) {
    let expected = [
        "app",
        "bank",
        "gateway",
        "institutions",
        "nexus",
        "operator",
        "platform",
    ];
    assert_eq!(names(said), expected.into());
    assert_eq!(names(&said["platform"]), ["api_key", "client_id"].into());
    assert_eq!(names(&said["nexus"]), ["session_token", "user_guid"].into());
    for (part, host) in [
        ("gateway", "http://127.0.0.1:"),
        ("operator", "http://127.0.0.1:"),
        ("bank", "http://localhost:"),
        ("app", "http://localhost:"),
    ] {
        let port = text(said, part).strip_prefix(host);
        assert!(
            port.is_some_and(|port| port.parse::<u16>().is_ok()),
            "{part}: {said}"
        );
    }
    let institutions = said["institutions"].as_array().expect("a list");
    for institution in institutions {
        assert_eq!(names(institution), ["code", "guid", "name"].into());
    }
    let published = json!("INS-68e96dd6-eabd-42d3-9f05-416897f0746c");
    assert!(
        institutions.iter().any(|institution| {
            institution["code"] == "mx_bank_oauth" && institution["guid"] == published
        }),
        "{said}"
    );
}

async fn get(address: &str, said: &Value) -> Value {
    let request = http().get(address);
    let request = request.header("md-session-token", text(&said["nexus"], "session_token"));
    let response = request.send().await.expect("a response");
    response.json().await.expect("JSON")
}

/// The whole flow at the bank that approves at once; the member, once it was aggregated.
async fn connect(said: &Value) -> Value {
    let gateway = text(said, "gateway");
    let institutions = said["institutions"].as_array().expect("a list");
    let bank = institutions
        .iter()
        .find(|institution| text(institution, "code").ends_with("_auto"))
        .expect("a bank that approves at once");
    let created = http()
        .post(format!("{gateway}/members"))
        .header("md-session-token", text(&said["nexus"], "session_token"))
        .json(&json!({"member": {"institution_guid": bank["guid"], "is_oauth": true}}))
        .send()
        .await
        .expect("a response");
    let created: Value = created.json().await.expect("JSON");
    let member = &created["member"];
    assert_eq!(member["user_guid"], said["nexus"]["user_guid"], "{created}");

    let visitor = Visitor::new();
    let link = text(member, "oauth_window_uri").parse().expect("a URL");
    let opened = visitor.get(&link).await;
    let authorization = opened.location().expect("the bank");
    assert!(
        authorization.as_str().starts_with(text(said, "bank")),
        "{authorization}"
    );
    let answered = Visitor::new().get(&authorization).await;
    let page = visitor
        .follow(&answered.location().expect("the way back"))
        .await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);

    let address = format!("{gateway}/members/{}", text(member, "guid"));
    let deadline = Instant::now() + LIMIT;
    loop {
        let read = get(&address, said).await["member"].clone();
        if read["successfully_aggregated_at"].is_string() {
            return read;
        }
        assert!(Instant::now() < deadline, "not aggregated: {read}");
        tokio::task::yield_now().await;
    }
}

/// Stops it, and it leaves neither folder nor word behind.
fn assert_stops(running: Running, signal: &str) {
    let temporary = running.temporary.path().to_owned();
    let left = || std::fs::read_dir(&temporary).map_or(0, |folder| folder.count());
    assert_eq!(left(), 1, "its folder");
    let pointer = std::fs::read_dir(&temporary).expect("a folder");
    let made: Vec<_> = pointer
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .collect();
    let Ran { code, out, err } = running.stop(signal);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    assert!(
        made.iter().all(|folder| !folder.exists()),
        "{made:?} is left"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_says_one_line_and_the_whole_flow_works() {
    let (running, said) = demo(&[]);
    assert_documented(&said);
    let member = connect(&said).await;
    assert_eq!(member["connection_status"], "CONNECTED");
    assert_eq!(member["is_being_aggregated"], false);

    // The app has what was pulled.
    let address = format!("{}/api/state/{}", text(&said, "app"), text(&member, "guid"));
    let state = get(&address, &said).await;
    assert_eq!(state["connection_status"], "CONNECTED", "{state}");
    let accounts = state["accounts"].as_array().map_or(0, Vec::len);
    assert!(accounts > 0, "{state}");

    // The API key of the line is the client's.
    let users = http()
        .get(format!("{}/users", text(&said, "gateway")))
        .basic_auth(
            text(&said["platform"], "client_id"),
            said["platform"]["api_key"].as_str(),
        );
    assert_eq!(users.send().await.expect("a response").status(), 200);
    let metrics = format!("{}/metrics", text(&said, "operator"));
    let metrics = http().get(metrics).send().await.expect("a response");
    assert_eq!(metrics.status(), 200);
    assert_stops(running, "TERM");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_demo_runs_on_redis() {
    let store = Redis::shared().fresh_database();
    let (running, said) = demo(&["--store", &store]);
    assert_documented(&said);
    let member = connect(&said).await;
    assert_eq!(member["connection_status"], "CONNECTED");
    assert_stops(running, "INT");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kept_folder_is_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("demo");
    let data = data.to_str().expect("text");
    let (running, said) = demo(&["--data", data]);
    let member = connect(&said).await;
    assert_eq!(running.stop("TERM").code, Some(0));

    let (running, said) = demo(&["--data", data]);
    let address = format!(
        "{}/members/{}",
        text(&said, "gateway"),
        text(&member, "guid")
    );
    let read = get(&address, &said).await;
    assert_eq!(read["member"]["connection_status"], "CONNECTED", "{read}");
    assert_eq!(running.stop("INT").code, Some(0));
}

#[test]
fn a_port_in_use_is_named_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let ran = run(["demo", "--json", "--port-base", &port.to_string()]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    let words = format!("cannot listen on 127.0.0.1:{port}");
    assert!(
        ran.err.contains(&words) && ran.err.contains("--port-base"),
        "{ran:?}"
    );
}

/// Without `--json` it is for people: where to click, and lines to paste.
#[test]
fn the_demo_tells_people_where_to_click() {
    let mut running = Running::start(["demo", "--port-base", "0"]);
    let mut said = String::new();
    while !said.contains("Ctrl-C") {
        let line = running.line();
        assert!(!line.is_empty(), "it ended: {}", running.err());
        said.push_str(&line);
    }
    for words in [
        "http://localhost:",
        "http://127.0.0.1:",
        "MD-SESSION-TOKEN",
        "curl -s",
        "-u 'demo:",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_stops(running, "INT");
}
