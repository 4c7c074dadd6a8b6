//! Sealed rows that somebody who can write to the store puts in another's place: they do not open there,
//! whatever they hold. What is sealed with is built by each caller, so each is tried in the real stores.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::aggregation::{challenged, lease, nth_job, nth_push, report};
use crate::support::at_the_bank::is_led_back;
use crate::support::gateway::{
    BANK_GUID, Backend, FORM_BANK_GUID, LOGIN, PAPER_BANK_GUID, PASSWORD, RIVAL, TestGateway,
};

crate::on_both_stores!(
    k2_the_grant_of_another_member_does_not_open,
    k2_the_credentials_of_another_member_do_not_open,
    k2_the_answers_of_another_job_do_not_open,
    k2_the_secrets_of_another_attempt_do_not_open,
    k2_the_held_response_of_another_handle_does_not_open,
    k2_the_stored_response_of_another_key_does_not_open,
    k2_nothing_of_another_client_opens,
);

/// Where sealed things are.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// What members connect with: grants and credentials.
    Access,
    /// The secrets of attempts.
    Attempts,
    /// The answers to the questions of jobs.
    Answers,
    /// Authorization responses that came by POST.
    Held,
    /// Responses to requests with an `Idempotency-Key`.
    Stored,
}

impl Place {
    /// The letter of the records, and where in them it is.
    fn pointer(self) -> (char, &'static str) {
        match self {
            Self::Access => ('g', "/sealed"),
            Self::Attempts => ('w', "/attempts/0/sealed"),
            Self::Answers => ('j', "/sealed_answers"),
            Self::Held => ('h', "/sealed"),
            Self::Stored => ('i', "/sealed_response"),
        }
    }
}

fn file(gateway: &TestGateway) -> Connection {
    let file = gateway.folder.path().join("guichet.sqlite");
    let connection = Connection::open(file).expect("the store's file");
    let patience = std::time::Duration::from_secs(5);
    connection.busy_timeout(patience).expect("a setting");
    connection
}

async fn database(gateway: &TestGateway) -> ::redis::aio::MultiplexedConnection {
    let client = ::redis::Client::open(gateway.store.as_str()).expect("an address");
    client
        .get_multiplexed_async_connection()
        .await
        .expect("a connection")
}

/// The records of that kind, with their keys and what stands before them.
async fn records(gateway: &TestGateway, kind: char) -> Vec<(String, String, Value)> {
    let mut kept: Vec<(String, String, String)> = Vec::new();
    if gateway.store.starts_with("sqlite:") {
        let connection = file(gateway);
        let read = "SELECT key, value FROM records WHERE substr(key, 1, 1) = ?";
        let mut rows = connection.prepare(read).expect("a query");
        let rows = rows.query_map([kind.to_string()], |row| {
            Ok((row.get(0)?, String::new(), row.get(1)?))
        });
        kept.extend(rows.expect("rows").map(|row| row.expect("a row")));
    } else {
        let mut connection = database(gateway).await;
        let mut keys = ::redis::cmd("KEYS");
        // A guid or a digest follows: names of lists are short.
        keys.arg(format!("*}}{kind}{}*", "?".repeat(20)));
        let keys: Vec<String> = keys.query_async(&mut connection).await.expect("keys");
        for key in keys {
            let mut read = ::redis::cmd("GET");
            let record: String = read
                .arg(&key)
                .query_async(&mut connection)
                .await
                .expect("a record");
            let (head, json) = record.split_once('\n').expect("two lines");
            kept.push((key, format!("{head}\n"), json.to_owned()));
        }
    }
    let parsed = kept.into_iter().map(|(key, head, json)| {
        let json = serde_json::from_str(&json).expect("JSON");
        (key, head, json)
    });
    parsed.collect()
}

async fn write(gateway: &TestGateway, (key, head, record): &(String, String, Value)) {
    if gateway.store.starts_with("sqlite:") {
        let write = "UPDATE records SET value = ? WHERE key = ?";
        let changed = file(gateway).execute(write, (record.to_string(), key));
        assert_eq!(changed.expect("a write"), 1);
        return;
    }
    let mut connection = database(gateway).await;
    let mut write = ::redis::cmd("SET");
    write.arg(key).arg(format!("{head}{record}")).arg("KEEPTTL");
    let _: ::redis::Value = write.query_async(&mut connection).await.expect("a write");
}

/// Exchanges the two sealed things there are in that place.
async fn swap(gateway: &TestGateway, place: Place) {
    let (kind, pointer) = place.pointer();
    let mut records = records(gateway, kind).await;
    records.retain(|(_, _, record)| record.pointer(pointer).is_some());
    let [one, other] = &mut records[..] else {
        panic!("two things in {place:?}, not {}", records.len());
    };
    let first = one.2.pointer_mut(pointer).expect("it is there");
    let second = other.2.pointer_mut(pointer).expect("it is there");
    std::mem::swap(first, second);
    for record in &records {
        write(gateway, record).await;
    }
}

/// Says that the one job there is was another client's.
async fn give_job_to(gateway: &TestGateway, client: &str) {
    let mut jobs = records(gateway, 'j').await;
    let [job] = &mut jobs[..] else {
        panic!("one job, not {}", jobs.len());
    };
    *job.2.pointer_mut("/job/client").expect("it has one") = client.into();
    write(gateway, job).await;
}

/// Each of the jobs is lent what it should be.
async fn each_opens(gateway: &TestGateway, jobs: &[String]) {
    for job in jobs {
        let (status, lent) = lease(gateway, job).await;
        assert_eq!(status, 200, "{lent}");
    }
}

/// Nothing is lent for any of the jobs.
async fn none_opens(gateway: &TestGateway, jobs: &[String]) {
    for job in jobs {
        let (status, refused) = lease(gateway, job).await;
        assert_eq!(status, 409, "{refused}");
        assert_eq!(refused["error"]["reason"], "unreadable", "{refused}");
    }
}

/// Swapped, nothing opens; put back, everything does.
async fn does_not_open_elsewhere(gateway: &TestGateway, place: Place, jobs: &[String]) {
    each_opens(gateway, jobs).await;
    swap(gateway, place).await;
    none_opens(gateway, jobs).await;
    swap(gateway, place).await;
    each_opens(gateway, jobs).await;
}

async fn standard_member(gateway: &TestGateway, login: &str) -> Value {
    let body = json!({"member": {"institution_guid": PAPER_BANK_GUID, "credentials": [
        {"guid": LOGIN, "value": login}, {"guid": PASSWORD, "value": "sesame"},
    ]}});
    let (status, created) = gateway.nexus("POST", "/members", Some(body)).await;
    assert_eq!(status, 200, "{created}");
    created["member"]["guid"].clone()
}

async fn k2_the_grant_of_another_member_does_not_open(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let mut jobs = Vec::new();
    for nth in 1..=2 {
        let (_, link) = gateway.member().await;
        let page = gateway.connect(&gateway.visitor(), &link).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
        jobs.push(nth_job(&gateway, nth).await);
    }
    does_not_open_elsewhere(&gateway, Place::Access, &jobs).await;
}

async fn k2_the_credentials_of_another_member_do_not_open(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let mut jobs = Vec::new();
    for (nth, login) in [(1, "ada"), (2, "bea")] {
        standard_member(&gateway, login).await;
        jobs.push(nth_job(&gateway, nth).await);
    }
    does_not_open_elsewhere(&gateway, Place::Access, &jobs).await;
}

async fn k2_the_answers_of_another_job_do_not_open(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let mut jobs = Vec::new();
    for (nth, login) in [(1, "ada"), (3, "bea")] {
        let member = standard_member(&gateway, login).await;
        let member = format!("/members/{}", member.as_str().expect("a guid"));
        let job = nth_job(&gateway, nth).await;
        let question = json!([{"type": "TEXT", "field_name": "pet", "label": "Your first pet?"}]);
        report(&gateway, &job, challenged(&question)).await;
        let path = format!("{member}/challenges");
        let (_, asked) = gateway.nexus("GET", &path, None).await;
        let guid = &asked["challenges"][0]["guid"];
        let body = json!({"challenges": [{"guid": guid, "value": login}]});
        let (status, resumed) = gateway
            .nexus("PUT", &format!("{member}/resume"), Some(body))
            .await;
        assert_eq!(status, 200, "{resumed}");
        nth_push(&gateway, nth + 1).await;
        jobs.push(job);
    }
    does_not_open_elsewhere(&gateway, Place::Answers, &jobs).await;
}

async fn k2_the_secrets_of_another_attempt_do_not_open(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    let mut returns = Vec::new();
    for _ in 0..2 {
        let (_, link) = gateway.member().await;
        let visitor = gateway.visitor();
        let authorization = gateway.open(&visitor, &link).await;
        returns.push((visitor, gateway.bank.code_for(&authorization).url()));
    }
    swap(&gateway, Place::Attempts).await;
    // The gateway that wrote them remembers what it wrote; another one reads what is kept.
    gateway.restart().await;
    for (visitor, response) in &returns {
        let page = visitor.follow(response).await;
        assert_eq!(page.name(), Some("server-error"), "{}", page.body);
    }
    assert_eq!(
        gateway.bank.hits().token,
        0,
        "no code is sent with another's verifier"
    );
}

async fn k2_the_held_response_of_another_handle_does_not_open(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let mut returns = Vec::new();
    for _ in 0..2 {
        let body = json!({"member": {"institution_guid": FORM_BANK_GUID, "is_oauth": true}});
        let (_, link) = gateway.member_with(body).await;
        let visitor = gateway.visitor();
        let response = gateway.bank.code_for(&gateway.open(&visitor, &link).await);
        let pairs = response.pairs();
        let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let held = gateway
            .visitor()
            .post(&response.redirect_uri, &fields)
            .await;
        returns.push((visitor, held.location().expect("a location")));
    }
    swap(&gateway, Place::Held).await;
    for (visitor, held) in &returns {
        is_led_back(&visitor.follow(held).await, "another's answer");
    }
    assert_eq!(gateway.bank.hits().token, 0);
    swap(&gateway, Place::Held).await;
    for (visitor, held) in &returns {
        let page = visitor.follow(held).await;
        assert_eq!(page.name(), Some("connected"), "{}", page.body);
    }
}

async fn k2_the_stored_response_of_another_key_does_not_open(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let ask = async |key: &str| {
        let body = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
        let (gateway, session) = (&gateway, gateway.session.clone());
        let with = |request: reqwest::RequestBuilder| {
            request
                .header("md-session-token", session)
                .header("idempotency-key", key)
        };
        gateway.call("POST", "/members", Some(body), with).await
    };
    let (one, other) = (ask("one").await, ask("other").await);
    assert_eq!((one.0, other.0), (200, 200), "{one:?} {other:?}");
    assert_ne!(one.1, other.1);
    swap(&gateway, Place::Stored).await;
    for key in ["one", "other"] {
        let (status, refused) = ask(key).await;
        assert_eq!(status, 500, "{refused}");
        assert!(refused["member"].is_null(), "{refused}");
    }
    swap(&gateway, Place::Stored).await;
    assert_eq!((ask("one").await, ask("other").await), (one, other));
}

async fn k2_nothing_of_another_client_opens(backend: Backend) {
    for is_oauth in [true, false] {
        let gateway = TestGateway::start(backend).await;
        match is_oauth {
            true => {
                let (_, link) = gateway.member().await;
                gateway.connect(&gateway.visitor(), &link).await;
            }
            false => drop(standard_member(&gateway, "ada").await),
        }
        let jobs = [nth_job(&gateway, 1).await];
        each_opens(&gateway, &jobs).await;
        give_job_to(&gateway, RIVAL).await;
        none_opens(&gateway, &jobs).await;
    }
}
