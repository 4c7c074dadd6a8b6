//! The change to another seal key: `guichet keys rotate`, beside a gateway that serves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use guichet::app;
use guichet::config::{Config, Environment};
use guichet::domain::id::{ClientId, MemberGuid, Partition};
use guichet::flow::rotate::{RotateError, rotate};
use guichet::seal::{self, Context, Field, Sealer};
use guichet::steps::record::Key;
use guichet::steps::sealed::SEALED_KINDS;
use guichet::store::{Found, GiveBack};
use serde_json::json;

use crate::support::aggregation::{challenged, lease, nth_job, nth_push, report};
use crate::support::behaviour::Behaviour;
use crate::support::fleet::Cluster;
use crate::support::gateway::{
    BANK, BANK_GUID, Backend, CLIENT, FORM_BANK_GUID, LOGIN, PAPER_BANK_GUID, PASSWORD, Setup,
    SystemRandom, TestGateway, eventually,
};
use crate::support::guichet::{Ran, Running, run};

crate::on_both_stores!(
    everything_is_sealed_anew_and_the_old_key_can_go,
    what_changes_meanwhile_is_not_lost,
    killed_in_the_middle_the_next_run_does_the_rest,
    what_does_not_open_is_named_and_left,
    nothing_is_sealed_under_a_key_that_no_gateway_has,
);

const LIMIT: Duration = Duration::from_secs(20);

/// The key that the gateways of tests begin with, and the one that follows.
const OLD: &str = r#"{ id = "test", key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" }"#;
const NEW: &str = r#"{ id = "next", key = "YW5vdGhlciBrZXkgb2YgMzIgYnl0ZXMgaXMgaGVyZS4=" }"#;

/// Writes those keys into the configuration.
fn configure(gateway: &TestGateway, keys: &[&str]) {
    let text = std::fs::read_to_string(gateway.file()).expect("a file");
    let lines = text
        .lines()
        .map(|line| match line.starts_with("keys = [{") {
            true => format!("keys = [{}]\n", keys.join(", ")),
            false => format!("{line}\n"),
        });
    std::fs::write(gateway.file(), lines.collect::<String>()).expect("written");
}

fn configured(gateway: &TestGateway) -> Config {
    let nothing = Environment::of(std::iter::empty::<(String, String)>());
    let loaded = Config::load(Some(&gateway.file()), &nothing);
    loaded.expect("it is sound").0
}

/// Keeps by what the configured keys are recognised, as `guichet serve` does when it starts.
async fn know_keys(gateway: &TestGateway) {
    let ring = app::key_ring(&configured(gateway)).expect("keys");
    let (store, now) = (&gateway.inside.store, gateway.clock.now());
    let known = store.know_seal_keys(ring.identities(), now).await;
    known.expect("they are no others");
}

/// Starts the gateway again, with those keys.
async fn restart_with(gateway: &mut TestGateway, keys: &[&str]) {
    gateway.stop().await;
    configure(gateway, keys);
    gateway.restart().await;
    know_keys(gateway).await;
}

/// Runs a command on the gateway's own configuration. On a thread of its own, so that the gateway goes on.
async fn guichet(gateway: &TestGateway, arguments: &[&str]) -> Ran {
    let file = gateway.file().to_str().expect("a path").to_owned();
    let arguments: Vec<String> = arguments.iter().map(|it| (*it).to_owned()).collect();
    let running = tokio::task::spawn_blocking(move || {
        let arguments = arguments.iter().map(String::as_str);
        run(arguments.chain(["--config", &file]))
    });
    running.await.expect("no panic")
}

/// Every record that may hold an envelope.
async fn sealed(gateway: &TestGateway) -> Vec<Found> {
    let mut all = Vec::new();
    let see = async |batch| {
        all.extend::<Vec<Found>>(batch);
        Ok(())
    };
    gateway.inside.store.each_sealed(see).await.expect("read");
    all
}

/// The envelopes in a record.
fn envelopes(found: &Found) -> Vec<Vec<u8>> {
    let mut record = found.record.clone().expect("it can be read");
    let envelopes = record.envelopes().into_iter();
    envelopes
        .map(|(_, envelope)| envelope.clone().into())
        .collect()
}

/// How many envelopes are under each key, and the kinds of records that hold any.
async fn under(gateway: &TestGateway) -> (BTreeMap<String, usize>, BTreeSet<char>) {
    let (mut keys, mut kinds) = (BTreeMap::new(), BTreeSet::new());
    for found in sealed(gateway).await {
        for envelope in envelopes(&found) {
            let id = seal::key_id(&envelope).expect("an envelope").to_owned();
            *keys.entry(id).or_default() += 1;
            kinds.insert(found.key.kind());
        }
    }
    (keys, kinds)
}

async fn standard_member(gateway: &TestGateway, login: &str, password: &str) -> String {
    let body = json!({"member": {"institution_guid": PAPER_BANK_GUID, "credentials": [
        {"guid": LOGIN, "value": login}, {"guid": PASSWORD, "value": password},
    ]}});
    let (status, created) = gateway.nexus("POST", "/members", Some(body)).await;
    assert_eq!(status, 200, "{created}");
    created["member"]["guid"]
        .as_str()
        .expect("a guid")
        .to_owned()
}

async fn connected(gateway: &TestGateway) -> MemberGuid {
    let (member, link) = gateway.member().await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    member
}

async fn everything_is_sealed_anew_and_the_old_key_can_go(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    // One of every kind. A token set:
    connected(&gateway).await;
    let mut jobs = vec![nth_job(&gateway, 1).await];
    // Credentials, and answers to what the bank asked:
    let member = standard_member(&gateway, "ada", "sesame").await;
    jobs.push(nth_job(&gateway, 2).await);
    let question = json!([{"type": "TEXT", "field_name": "pet", "label": "Your first pet?"}]);
    report(&gateway, &jobs[1], challenged(&question)).await;
    let path = format!("/members/{member}");
    let (_, asked) = gateway
        .nexus("GET", &format!("{path}/challenges"), None)
        .await;
    let answers = json!([{"guid": asked["challenges"][0]["guid"], "value": "rex"}]);
    let body = json!({"challenges": answers});
    let (status, resumed) = gateway
        .nexus("PUT", &format!("{path}/resume"), Some(body))
        .await;
    assert_eq!(status, 200, "{resumed}");
    nth_push(&gateway, 3).await;
    // An attempt:
    let (at_the_bank, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let response = gateway.bank.code_for(&gateway.open(&visitor, &link).await);
    // A response that came by POST:
    let body = json!({"member": {"institution_guid": FORM_BANK_GUID, "is_oauth": true}});
    let (_, link) = gateway.member_with(body).await;
    let poster = gateway.visitor();
    let posted = gateway.bank.code_for(&gateway.open(&poster, &link).await);
    let pairs = posted.pairs();
    let fields: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let elsewhere = gateway.visitor();
    let held = elsewhere.post(&posted.redirect_uri, &fields).await;
    let held = held.location().expect("a location");
    // The response to a request with a key:
    let repeated = async |gateway: &TestGateway| {
        let body = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
        let session = gateway.session.clone();
        let with = |request: reqwest::RequestBuilder| {
            let request = request.header("md-session-token", session);
            request.header("idempotency-key", "one")
        };
        gateway.call("POST", "/members", Some(body), with).await
    };
    let first = repeated(&gateway).await;
    // Tokens to give back:
    let unwanted = connected(&gateway).await;
    gateway.bank.on_revoke(Behaviour::unavailable());
    let (status, deleted) = gateway
        .nexus("DELETE", &format!("/members/{unwanted}"), None)
        .await;
    assert!((200..300).contains(&status), "{deleted}");
    gateway.bank.wait_for_revoke_requests(2, LIMIT).await;

    // What was heard in an attempt that failed:
    let (_, link) = gateway.member().await;
    gateway
        .bank
        .next_token(Behaviour::Error(400, "invalid_grant", "it is over"));
    let page = gateway.connect(&gateway.visitor(), &link).await;
    let code = page.support_code().to_owned();

    let mut lent = Vec::new();
    for job in &jobs {
        lent.push(lease(&gateway, job).await.1);
    }
    assert!(lent[0]["access_token"].is_string(), "{lent:?}");
    assert!(lent[1]["credentials"].is_array(), "{lent:?}");
    assert!(lent[1]["answers"].is_array(), "{lent:?}");
    let (keys, kinds) = under(&gateway).await;
    let every: BTreeSet<char> = SEALED_KINDS.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, every, "there is one of every kind");
    let count = keys["test"];

    restart_with(&mut gateway, &[NEW, OLD]).await;
    let ran = guichet(&gateway, &["keys", "rotate"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("test: 0 records"), "{ran:?}");
    assert_eq!(
        under(&gateway).await.0,
        BTreeMap::from([("next".to_owned(), count)])
    );
    assert_eq!(repeated(&gateway).await, first, "kept for its key");
    let again = guichet(&gateway, &["keys", "rotate"]).await;
    let sealed_anew = |line: &str| line.starts_with("pass") && !line.contains(" 0 sealed anew");
    assert!(!again.out.lines().any(sealed_anew), "{again:?}");

    restart_with(&mut gateway, &[NEW]).await;
    let checked = guichet(&gateway, &["check"]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(!checked.out.contains("not in seal.keys"), "{checked:?}");
    let reported = guichet(&gateway, &["institution", "report", &code]).await;
    assert!(reported.out.contains("it is over"), "{reported:?}");
    for (job, before) in jobs.iter().zip(&lent) {
        let (status, access) = lease(&gateway, job).await;
        assert_eq!(status, 200, "{access}");
        for part in ["access_token", "credentials", "answers"] {
            assert_eq!(access[part], before[part], "{part}");
        }
    }
    let page = visitor.follow(&response.url()).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let page = poster.follow(&held).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let (status, listed) = gateway.nexus("GET", "/members", None).await;
    let members = listed["members"].as_array().expect("a list");
    assert_eq!((status, members.len()), (200, 6), "{listed}");
    let is_told = |told: &[crate::support::loopback::Recorded]| {
        let bodies = told.iter().map(|told| told.json().to_string());
        let at_the_bank = at_the_bank.to_string();
        bodies
            .filter(|body| body.contains(&at_the_bank) && body.contains("finished"))
            .count()
            == 1
    };
    gateway.hooks.wait_for(is_told, LIMIT).await;
    gateway.bank.on_revoke(Behaviour::Honest);
    gateway.pass(Duration::from_secs(60 * 60));
    eventually(async || {
        let metrics = gateway.metrics().await;
        let revoked = |line: &str| {
            line.starts_with("guichet_revocations_total{") && line.contains("\"revoked\"} 1")
        };
        metrics.lines().any(revoked).then_some(())
    })
    .await;
}

/// The passwords that are kept, by member.
async fn passwords(gateway: &TestGateway, sealer: &Sealer) -> BTreeMap<String, String> {
    let client: ClientId = CLIENT.parse().expect("a client");
    let mut all = BTreeMap::new();
    for found in sealed(gateway).await {
        let Some(Ok(member)) = found.key.id_of('g').map(MemberGuid::from_compact) else {
            continue;
        };
        let member = member.to_string();
        let context = Context {
            client: Some(&client),
            subject: &member,
            field: Field::Credentials,
        };
        let opened = sealer.open(&context, &envelopes(&found)[0]);
        let opened = String::from_utf8_lossy(&opened.expect("it opens")).into_owned();
        let passwords = ["first", "second"].into_iter();
        let kept = passwords.filter(|it| opened.contains(it));
        all.insert(member.clone(), kept.collect::<String>());
    }
    all
}

/// What opens what was sealed under the first key alone.
fn alone(gateway: &TestGateway) -> Sealer {
    configure(gateway, &[NEW]);
    Sealer::new(app::key_ring(&configured(gateway)).expect("a key"))
}

async fn what_changes_meanwhile_is_not_lost(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    let mut members = Vec::new();
    for number in 0..24 {
        members.push(standard_member(&gateway, &format!("ada {number}"), "first").await);
    }
    restart_with(&mut gateway, &[NEW, OLD]).await;
    let changes = async {
        // Half of them, in the order in which they were made, while all are sealed anew.
        for (number, member) in members.iter().enumerate().step_by(2) {
            let login = format!("ada {number}");
            let body = json!({"member": {"credentials": [
                {"guid": LOGIN, "value": login}, {"guid": PASSWORD, "value": "second"},
            ]}});
            let path = format!("/members/{member}");
            let (status, changed) = gateway.nexus("PUT", &path, Some(body)).await;
            assert_eq!(status, 200, "{changed}");
        }
    };
    let rotating = rotate(&gateway.inside, |_| {});
    let (rotated, ()) = tokio::join!(rotating, changes);
    let pass = rotated.expect("all is sealed anew");
    assert_eq!((pass.left.len(), pass.unopened.len()), (0, 0), "{pass:?}");
    let kept = passwords(&gateway, &alone(&gateway)).await;
    assert_eq!(kept.len(), members.len());
    for (number, member) in members.iter().enumerate() {
        let expected = if number % 2 == 0 { "second" } else { "first" };
        assert_eq!(kept[member], expected, "{number}");
    }
}

/// Tokens to give back, sealed under the gateway's key, which nobody takes up: the gateway has stopped.
async fn owe(gateway: &TestGateway, count: usize) -> BTreeMap<MemberGuid, String> {
    let client: ClientId = CLIENT.parse().expect("a client");
    let partitions: Vec<Partition> = Partition::all().collect();
    let mut owed = BTreeMap::new();
    let mut steps = Vec::new();
    for number in 0..count {
        let member = MemberGuid::new(&SystemRandom, partitions[number % partitions.len()]);
        let (content, guid) = (format!("tokens {number}"), member.to_string());
        let context = Context {
            client: Some(&client),
            subject: &guid,
            field: Field::TokenSet,
        };
        let envelope = gateway
            .inside
            .sealer
            .seal(&SystemRandom, &context, content.as_bytes());
        steps.push(GiveBack {
            member,
            client: client.clone(),
            institution: BANK.parse().expect("a code"),
            generation: 1,
            sealed: vec![envelope],
        });
        owed.insert(member, content);
    }
    let (store, now) = (&gateway.inside.store, gateway.clock.now());
    for some in steps.chunks(100) {
        let keeping = some.iter().map(|step| store.owe_revocation(step, now));
        for kept in futures_util::future::join_all(keeping).await {
            kept.expect("kept");
        }
    }
    owed
}

/// Everything that is owed opens with the first key alone.
async fn all_open(gateway: &TestGateway, owed: &BTreeMap<MemberGuid, String>) {
    let (client, sealer): (ClientId, Sealer) = (CLIENT.parse().expect("a client"), alone(gateway));
    let mut found = BTreeMap::new();
    for record in sealed(gateway).await {
        let (member, _) = record.key.id().split_once('/').expect("a revocation");
        let member = MemberGuid::from_compact(member).expect("a member");
        let guid = member.to_string();
        let context = Context {
            client: Some(&client),
            subject: &guid,
            field: Field::TokenSet,
        };
        let opened = sealer.open(&context, &envelopes(&record)[0]);
        let opened = opened.expect("it opens").to_vec();
        found.insert(member, String::from_utf8(opened).expect("text"));
    }
    assert!(found == *owed, "{} of {}", found.len(), owed.len());
}

async fn killed_in_the_middle_the_next_run_does_the_rest(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    gateway.stop().await;
    let mut owed = BTreeMap::new();
    let mut left = 0;
    // A run that is at its end before it is killed shows nothing: then there is more to do for the next.
    for _ in 0..5 {
        owed.extend(owe(&gateway, 4000).await);
        configure(&gateway, &[NEW, OLD]);
        know_keys(&gateway).await;
        let file = gateway.file().to_str().expect("a path").to_owned();
        let killed = tokio::task::spawn_blocking(move || {
            let mut running = Running::start(["keys", "rotate", "--config", &file]);
            let line = running.line();
            assert!(line.starts_with("pass 1: "), "{line} {}", running.err());
            running.stop("KILL")
        });
        killed.await.expect("no panic");
        let (keys, _) = under(&gateway).await;
        let count = |id| keys.get(id).copied().unwrap_or_default();
        left = count("test");
        let whole = left + count("next");
        assert_eq!(whole, owed.len(), "each is under one or the other");
        if left > 0 && left < 4000 {
            break;
        }
    }
    assert!(left > 0, "it was killed in the middle");

    let ran = guichet(&gateway, &["keys", "rotate"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let pass = ran.out.lines().rfind(|line| line.starts_with("pass 1: "));
    let expected = format!(
        "pass 1: {} records looked at, {left} sealed anew",
        owed.len()
    );
    assert_eq!(pass, Some(expected.as_str()), "only the rest");
    all_open(&gateway, &owed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_every_node_is_looked_through() {
    let cluster = Cluster::shared().await;
    let setup = Setup {
        store: Some(cluster.url()),
        swaps: vec![("#store", "prefix = \"rotation:\"\naccept_volatile = true")],
        ..Setup::default()
    };
    let mut gateway = TestGateway::with(Backend::Redis, setup).await;
    gateway.stop().await;
    let owed = owe(&gateway, 200).await;
    configure(&gateway, &[NEW, OLD]);
    know_keys(&gateway).await;
    let ran = guichet(&gateway, &["keys", "rotate"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("test: 0 records"), "{ran:?}");
    all_open(&gateway, &owed).await;
}

async fn what_does_not_open_is_named_and_left(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    connected(&gateway).await;
    connected(&gateway).await;
    let access = async |gateway: &TestGateway| -> Vec<Found> {
        let mut all = sealed(gateway).await;
        all.retain(|found| found.key.kind() == 'g');
        all
    };
    // The tokens of one in the place of the other's.
    let [one, other] = &access(&gateway).await[..] else {
        panic!("two members");
    };
    let [moved, lost] = [one, other].map(|found| envelopes(found).remove(0));
    let put = vec![(lost, moved.clone())];
    let (store, now) = (&gateway.inside.store, gateway.clock.now());
    assert!(store.reseal(other, put, now).await.expect("a step"));
    let (sound, spoilt) = (one.key.clone(), other.key.clone());

    restart_with(&mut gateway, &[NEW, OLD]).await;
    let ran = guichet(&gateway, &["keys", "rotate"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.out.contains("test: 1 records are still sealed"),
        "{ran:?}"
    );
    for part in [&format!("access {}", spoilt.as_str()), "(access: 1)"] {
        assert!(ran.err.contains(part), "{part}: {ran:?}");
    }
    assert!(!ran.err.contains(sound.as_str()), "{ran:?}");
    let id_of = |key: &Key, all: &[Found]| {
        let found = all.iter().find(|found| found.key == *key);
        let envelope = envelopes(found.expect("it is there")).remove(0);
        let id = seal::key_id(&envelope).expect("an envelope").to_owned();
        (id, envelope)
    };
    let now = access(&gateway).await;
    assert_eq!(id_of(&sound, &now).0, "next");
    assert_eq!(id_of(&spoilt, &now), ("test".to_owned(), moved));

    // The key is missed when it is gone.
    configure(&gateway, &[NEW]);
    let checked = guichet(&gateway, &["check"]).await;
    let warning = "1 records are sealed under the seal key \"test\"";
    assert!(checked.out.contains(warning), "{checked:?}");
    let ran = guichet(&gateway, &["keys", "rotate"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("\"test\" is not in the key ring"),
        "{ran:?}"
    );
    configure(&gateway, &[NEW, OLD]);
    let checked = guichet(&gateway, &["check"]).await;
    assert!(!checked.out.contains("not in seal.keys"), "{checked:?}");
}

async fn nothing_is_sealed_under_a_key_that_no_gateway_has(backend: Backend) {
    let mut gateway = TestGateway::start(backend).await;
    connected(&gateway).await;
    gateway.stop().await;
    know_keys(&gateway).await;
    let before = under(&gateway).await;
    configure(&gateway, &[NEW, OLD]);
    let ran = guichet(&gateway, &["keys", "rotate"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("\"next\"") && ran.err.contains("restart"),
        "{ran:?}"
    );
    let changed = NEW.replace("next", "test");
    configure(&gateway, &[&changed]);
    let ran = guichet(&gateway, &["keys", "rotate"]).await;
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("seal.keys"), "{ran:?}");
    assert_eq!(under(&gateway).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_others_seal_under_the_old_key_it_is_not_said_to_be_done() {
    let mut gateway = TestGateway::start(Backend::Sqlite).await;
    connected(&gateway).await;
    gateway.stop().await;
    let file = gateway.folder.path().join("guichet.sqlite");
    let store = rusqlite::Connection::open(file).expect("it opens");
    let kept: (String, String) = store
        .query_row(
            "SELECT key, value FROM records WHERE key >= 'g' AND key < 'h'",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .expect("a token set");
    restart_with(&mut gateway, &[NEW, OLD]).await;
    let (key, value) = kept;
    // Another gateway, which has not been restarted.
    let rotated = rotate(&gateway.inside, |_| {
        let seals = store.execute("UPDATE records SET value = ? WHERE key = ?", (&value, &key));
        assert_eq!(seals.expect("written"), 1);
    })
    .await;
    assert!(matches!(rotated, Err(RotateError::Undone(id)) if id == "next"));
}
