//! Nothing is kept longer than it is good for.

use std::time::Duration;

use ::redis::AsyncCommands as _;
use guichet::domain::id::ClientId;
use guichet::domain::secret::ResponseHandle;
use guichet::flow::held;
use guichet::flow::idempotency::{self, Admission, KeyedRequest};
use guichet::flow::registration::CallbackEndpoint;
use serde_json::json;
use url::Url;

use crate::support::at_the_bank::AtTheBank;
use crate::support::behaviour::{Behaviour, Gate};
use crate::support::gateway::{
    Backend, CLIENT, FORM_BANK_GUID, TestGateway, eventually, parameter,
};

const LIMIT: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A little more than the default time at the institution.
const AUTHORIZATION: Duration = Duration::from_secs(15 * 60 + 1);

crate::on_both_stores!(
    an_attempts_secrets_go_when_its_response_is_claimed,
    an_attempts_secrets_go_when_its_window_ends,
    what_has_ended_is_forgotten_in_time,
    a_posted_response_waits_for_two_minutes,
    of_many_posted_responses_the_newest_eight_wait,
    a_keyed_response_is_kept_for_a_day,
    a_dead_holders_key_is_free_after_five_seconds,
);

/// How many attempts the store has whose PKCE verifier and nonce it keeps.
async fn sealed_attempts(gateway: &TestGateway) -> usize {
    let windows = match gateway.store.strip_prefix("sqlite:") {
        Some(_) => records(gateway, 'w'),
        None => {
            let mut redis = connection(gateway).await;
            let mut windows = Vec::new();
            for key in keys(gateway, "w").await {
                windows.push(redis.get(key).await.expect("answered"));
            }
            windows
        }
    };
    let sealed = windows
        .iter()
        .map(|window| window.matches("\"sealed\":").count());
    sealed.sum()
}

/// The records of the kind with that letter, in the file.
fn records(gateway: &TestGateway, kind: char) -> Vec<String> {
    let file = gateway.store.strip_prefix("sqlite:").expect("a file");
    let file = rusqlite::Connection::open(gateway.folder.path().join(file)).expect("it opens");
    let sql = "SELECT value FROM records WHERE substr(key, 1, 1) = ?";
    let mut sql = file.prepare(sql).expect("sound");
    let records = sql
        .query_map([kind.to_string()], |row| row.get(0))
        .expect("asked");
    records.collect::<Result<_, _>>().expect("texts")
}

async fn connection(gateway: &TestGateway) -> ::redis::aio::MultiplexedConnection {
    let client = ::redis::Client::open(gateway.store.as_str()).expect("an address");
    let connection = client.get_multiplexed_async_connection().await;
    connection.expect("a connection")
}

/// The keys whose suffix begins with that letter.
async fn keys(gateway: &TestGateway, letter: &str) -> Vec<String> {
    let mut redis = connection(gateway).await;
    let keys: Vec<String> = redis
        .keys(format!("*}}{letter}????????*"))
        .await
        .expect("answered");
    keys
}

async fn an_attempts_secrets_go_when_its_response_is_claimed(backend: Backend) {
    let bank = AtTheBank::new(backend).await;
    let gateway = &bank.gateway;
    assert_eq!(
        sealed_attempts(gateway).await,
        1,
        "they are needed until then"
    );
    let gate = Gate::closed();
    gateway.bank.next_token(Behaviour::Hold(gate.clone()));
    let (visitor, response) = (bank.visitor, bank.response.url());
    let returning = tokio::spawn(async move { visitor.follow(&response).await });
    gateway.bank.wait_for_token_requests(1, LIMIT).await;
    assert_eq!(sealed_attempts(gateway).await, 0, "claimed");
    gate.open();
    returning.await.expect("no panic");
    assert_eq!(sealed_attempts(gateway).await, 0, "connected");
}

async fn an_attempts_secrets_go_when_its_window_ends(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let begin = async || {
        let (member, link) = gateway.member().await;
        let visitor = gateway.visitor();
        let authorization = gateway.open(&visitor, &link).await;
        assert_eq!(sealed_attempts(&gateway).await, 1, "one is under way");
        (member, link, visitor, authorization)
    };
    let (_, _, visitor, authorization) = begin().await;
    let refusal = gateway
        .bank
        .refusal_for(&authorization, "access_denied", "no");
    visitor.follow(&refusal.url()).await;
    assert_eq!(sealed_attempts(&gateway).await, 0, "declined");

    let (_, _, _, authorization) = begin().await;
    let response = gateway.bank.code_for(&authorization).url();
    gateway.visitor().follow(&response).await;
    assert_eq!(sealed_attempts(&gateway).await, 0, "in another browser");

    let (member, ..) = begin().await;
    let path = format!("/members/{member}/oauth_window_uri");
    assert_eq!(gateway.nexus("GET", &path, None).await.0, 200);
    assert_eq!(sealed_attempts(&gateway).await, 0, "superseded");

    let (member, ..) = begin().await;
    let (status, _) = gateway
        .nexus("DELETE", &format!("/members/{member}"), None)
        .await;
    assert!(matches!(status, 200 | 204), "{status}");
    assert_eq!(sealed_attempts(&gateway).await, 0, "its member was deleted");

    let (_, link, visitor, _) = begin().await;
    let resumed = visitor.get(&link).await;
    assert_eq!(resumed.name(), Some("resume"), "{}", resumed.body);
    assert_eq!(visitor.post(&link, &[]).await.status, 302);
    assert_eq!(
        sealed_attempts(&gateway).await,
        1,
        "the one that was replaced"
    );
    gateway.pass(AUTHORIZATION);
    let ended = async || (sealed_attempts(&gateway).await == 0).then_some(());
    eventually(ended).await;
}

/// On SQLite the sweep forgets; on Redis everything that has ended ends by itself.
async fn what_has_ended_is_forgotten_in_time(backend: Backend) {
    let bank = AtTheBank::of(backend, FORM_BANK_GUID).await;
    let gateway = &bank.gateway;
    let pairs = bank.response.pairs();
    let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let held = gateway
        .visitor()
        .post(&bank.response.redirect_uri, &fields)
        .await;
    let next = held.location().expect("a location");
    let page = bank.visitor.follow(&next).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let keyed = json!({"user": {"id": "keyed"}});
    let api_key = gateway.api_key.clone();
    let (status, _) = gateway
        .call("POST", "/users", Some(keyed), |request| {
            request
                .basic_auth(CLIENT, Some(api_key))
                .header("Idempotency-Key", "k1")
        })
        .await;
    assert!(matches!(status, 200 | 201), "{status}");
    let push = gateway
        .aggregator
        .wait_for(|pushes| !pushes.is_empty(), LIMIT)
        .await;
    let job = push[0].json()["job_guid"]
        .as_str()
        .expect("a job")
        .to_owned();
    let report = format!("/aggregation/jobs/{job}/report");
    let done = Some(json!({"status": "succeeded"}));
    assert_eq!(gateway.aggregation(&report, done).await.0, 200);

    if backend == Backend::Redis {
        let mut redis = connection(gateway).await;
        for letter in ["w", "a", "h", "j", "s", "i"] {
            let keys = keys(gateway, letter).await;
            assert!(!keys.is_empty(), "there is none of {letter}");
            for key in keys {
                let left_ms: i64 = redis.pttl(&key).await.expect("answered");
                assert!(left_ms > 0, "{key} stays for ever");
            }
        }
        return;
    }
    let ended = ['w', 'a', 'h', 'j', 's', 'i'];
    for kind in ended {
        assert!(
            !records(gateway, kind).is_empty(),
            "there is none of {kind}"
        );
    }
    gateway.pass(400 * DAY);
    eventually(async || {
        ended
            .iter()
            .all(|kind| records(gateway, *kind).is_empty())
            .then_some(())
    })
    .await;
}

/// A flow at the bank that uses `form_post`, and how to post its response: where that is held.
async fn posting(backend: Backend) -> (AtTheBank, Vec<(&'static str, String)>) {
    let bank = AtTheBank::of(backend, FORM_BANK_GUID).await;
    let pairs = bank.response.pairs();
    (bank, pairs)
}

async fn post(gateway: &TestGateway, to: &Url, pairs: &[(&'static str, String)]) -> ResponseHandle {
    let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let held = gateway.visitor().post(to, &fields).await;
    assert_eq!(held.status, 303, "{}", held.body);
    let next = held.location().expect("a location");
    let handle = parameter(&next, "answer").expect("a handle");
    ResponseHandle::parse(&handle).expect("a handle")
}

async fn is_held(gateway: &TestGateway, handle: &ResponseHandle) -> bool {
    let endpoint =
        CallbackEndpoint::find(&gateway.inside, CLIENT, "fake_bank_form").expect("registered");
    let held = held::held(&gateway.inside, &endpoint, handle).await;
    held.expect("answered").is_some()
}

async fn a_posted_response_waits_for_two_minutes(backend: Backend) {
    let (bank, pairs) = posting(backend).await;
    let gateway = &bank.gateway;
    let handle = post(gateway, &bank.response.redirect_uri, &pairs).await;
    gateway.pass(Duration::from_secs(115));
    assert!(is_held(gateway, &handle).await);
    gateway.pass(Duration::from_secs(5));
    assert!(!is_held(gateway, &handle).await);
}

async fn of_many_posted_responses_the_newest_eight_wait(backend: Backend) {
    let (bank, pairs) = posting(backend).await;
    let gateway = &bank.gateway;
    let mut handles = Vec::new();
    for _ in 0..10 {
        handles.push(post(gateway, &bank.response.redirect_uri, &pairs).await);
        gateway.pass(SECOND);
    }
    for (nth, handle) in handles.iter().enumerate() {
        assert_eq!(is_held(gateway, handle).await, nth >= 2, "the {nth}th");
    }
}

/// What a keyed request meets.
async fn admission(gateway: &TestGateway) -> Admission {
    let client: ClientId = CLIENT.parse().expect("a client id");
    let request = KeyedRequest {
        client: &client,
        user: None,
        key: "k1",
        parts: [b"POST", b"/users", b"{}"],
    };
    let admission = idempotency::admit(&gateway.inside, &request).await;
    admission.expect("answered")
}

async fn a_keyed_response_is_kept_for_a_day(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let Admission::First(first) = admission(&gateway).await else {
        panic!("it is the first");
    };
    let kept = idempotency::keep(&gateway.inside, &first, b"answer").await;
    kept.expect("kept");
    gateway.pass(DAY - 10 * SECOND);
    let again = admission(&gateway).await;
    assert!(matches!(again, Admission::Replayed(response) if response == b"answer"));
    gateway.pass(10 * SECOND);
    assert!(matches!(admission(&gateway).await, Admission::First(_)));
}

async fn a_dead_holders_key_is_free_after_five_seconds(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    assert!(matches!(admission(&gateway).await, Admission::First(_)));
    gateway.pass(4 * SECOND);
    assert!(matches!(admission(&gateway).await, Admission::UnderWay));
    gateway.pass(SECOND);
    assert!(matches!(admission(&gateway).await, Admission::First(_)));
}
