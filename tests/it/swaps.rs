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
    k2_the_held_answer_of_another_handle_does_not_open,
    k2_the_stored_response_of_another_key_does_not_open,
    k2_nothing_of_another_client_opens,
);

/// Where sealed things are.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// What members connect with: grants and credentials.
    Means,
    /// The secrets of attempts.
    Attempts,
    /// The answers to the questions of jobs.
    Answers,
    /// Answers that came by POST.
    Held,
    /// Responses to requests with an `Idempotency-Key`.
    Stored,
}

impl Place {
    /// Table, key and column in SQLite.
    fn column(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Means => ("grants", "member", "sealed"),
            Self::Attempts => ("attempts", "id", "sealed"),
            Self::Answers => ("jobs", "guid", "sealed_answers"),
            Self::Held => ("held_answers", "handle", "sealed"),
            Self::Stored => ("idempotent_requests", "key", "answer"),
        }
    }

    /// The suffix of the keys in Redis, and the field of those that are hashes.
    fn key(self) -> (char, Option<&'static str>) {
        match self {
            Self::Means => ('g', None),
            Self::Attempts => ('a', Some("z")),
            Self::Answers => ('q', None),
            Self::Held => ('h', Some("z")),
            Self::Stored => ('i', Some("z")),
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

/// The keys of that kind, of which there is one for each of `count` things.
async fn keys_of(
    connection: &mut ::redis::aio::MultiplexedConnection,
    kind: char,
    count: usize,
) -> Vec<String> {
    let keys: Vec<String> = ::redis::cmd("KEYS")
        // A guid or a digest follows: other keys, such as `ids`, are short.
        .arg(format!("*}}{kind}{}*", "?".repeat(20)))
        .query_async(connection)
        .await
        .expect("keys");
    assert_eq!(keys.len(), count, "{keys:?}");
    keys
}

/// Exchanges the two sealed things there are in that place.
async fn swap(gateway: &TestGateway, place: Place) {
    if gateway.store.starts_with("sqlite:") {
        let connection = file(gateway);
        let (table, key, column) = place.column();
        let read = format!("SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL");
        let mut rows = connection.prepare(&read).expect("a query");
        let rows: Vec<(String, Vec<u8>)> = rows
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("rows")
            .map(|row| row.expect("a row"))
            .collect();
        let [(one, first), (other, second)] = &rows[..] else {
            panic!("two things in {place:?}, not {}", rows.len());
        };
        let write = format!("UPDATE {table} SET {column} = ? WHERE {key} = ?");
        for (key, sealed) in [(one, second), (other, first)] {
            let changed = connection.execute(&write, (sealed, key)).expect("a write");
            assert_eq!(changed, 1);
        }
        return;
    }
    let mut connection = database(gateway).await;
    let (kind, field) = place.key();
    let keys = keys_of(&mut connection, kind, 2).await;
    let mut sealed: Vec<Vec<u8>> = Vec::new();
    for key in &keys {
        let read = match field {
            Some(field) => ::redis::cmd("HGET").arg(key).arg(field).to_owned(),
            None => ::redis::cmd("GET").arg(key).to_owned(),
        };
        sealed.push(read.query_async(&mut connection).await.expect("a value"));
    }
    for (key, sealed) in keys.iter().zip(sealed.iter().rev()) {
        let write = match field {
            Some(field) => ::redis::cmd("HSET")
                .arg(key)
                .arg(field)
                .arg(sealed)
                .to_owned(),
            None => ::redis::cmd("SET").arg(key).arg(sealed).to_owned(),
        };
        let _: ::redis::Value = write.query_async(&mut connection).await.expect("a write");
    }
}

/// Says that the one job there is was another client's.
async fn give_job_to(gateway: &TestGateway, client: &str) {
    if gateway.store.starts_with("sqlite:") {
        let changed = file(gateway).execute("UPDATE jobs SET client = ?", [client]);
        assert_eq!(changed.expect("a write"), 1);
        return;
    }
    let mut connection = database(gateway).await;
    let keys = keys_of(&mut connection, 'j', 1).await;
    let mut write = ::redis::cmd("HSET");
    write.arg(&keys[0]).arg("client").arg(client);
    let added: i64 = write.query_async(&mut connection).await.expect("a write");
    assert_eq!(added, 0, "the job has a client");
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
    does_not_open_elsewhere(&gateway, Place::Means, &jobs).await;
}

async fn k2_the_credentials_of_another_member_do_not_open(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let mut jobs = Vec::new();
    for (nth, login) in [(1, "ada"), (2, "bea")] {
        standard_member(&gateway, login).await;
        jobs.push(nth_job(&gateway, nth).await);
    }
    does_not_open_elsewhere(&gateway, Place::Means, &jobs).await;
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
    let gateway = TestGateway::start(backend).await;
    let mut returns = Vec::new();
    for _ in 0..2 {
        let (_, link) = gateway.member().await;
        let visitor = gateway.visitor();
        let authorization = gateway.open(&visitor, &link).await;
        returns.push((visitor, gateway.bank.code_for(&authorization).url()));
    }
    swap(&gateway, Place::Attempts).await;
    for (visitor, answer) in &returns {
        let page = visitor.follow(answer).await;
        assert_eq!(page.name(), Some("server-error"), "{}", page.body);
    }
    assert_eq!(
        gateway.bank.hits().token,
        0,
        "no code is sent with another's verifier"
    );
}

async fn k2_the_held_answer_of_another_handle_does_not_open(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let mut returns = Vec::new();
    for _ in 0..2 {
        let body = json!({"member": {"institution_guid": FORM_BANK_GUID, "is_oauth": true}});
        let (_, link) = gateway.member_with(body).await;
        let visitor = gateway.visitor();
        let answer = gateway.bank.code_for(&gateway.open(&visitor, &link).await);
        let pairs = answer.pairs();
        let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let held = gateway.visitor().post(&answer.redirect_uri, &fields).await;
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
