//! Calls to institutions: how they are made, how many at a time, and which certificate they show.

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::support::behaviour::{Behaviour, Gate};
use crate::support::gateway::{BANK_GUID, Backend, Setup, Subject, TestGateway, eventually};
use crate::support::served::Served;
use crate::support::tls::{Shows, TlsFront, authority, file, thumbprint};
use crate::support::visitor::{Page, Visitor};

/// A gateway that calls a bank by TLS at `front`, and is told more by `setup`.
async fn serve(front: &TlsFront, setup: Setup) -> Served {
    let setup = Setup {
        bank_origin: Some(front.local_origin()),
        environment: vec![("SSL_CERT_FILE", authority())],
        ..setup
    };
    let served = Served::with(Backend::Sqlite, setup).await;
    front.is_before(&served.gateway.bank.token_url());
    served
}

/// A whole flow; where it ends.
async fn connect(gateway: &TestGateway) -> Page {
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    gateway.connect(&visitor, &link).await
}

/// A person at the bank, and the authorization response they are about to bring.
async fn at_the_bank(gateway: &TestGateway) -> (Visitor, url::Url) {
    let (_, link) = gateway.member().await;
    let visitor = gateway.visitor();
    let request = gateway.open(&visitor, &link).await;
    (visitor, gateway.bank.code_for(&request).url())
}

/// A folder with a certificate and its key, as the names say.
fn certificate(name: &str, into: &TempDir) -> [std::path::PathBuf; 2] {
    let to = ["certificate.pem", "key.pem"].map(|name| into.path().join(name));
    for (from, to) in ["pem", "key.pem"].into_iter().zip(&to) {
        let content = std::fs::read(file(&format!("{name}.{from}"))).expect("a file");
        std::fs::write(to, content).expect("written");
    }
    to
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t5_the_certificate_is_shown_to_the_endpoints_of_its_registration_and_x2_changes_without_a_restart()
 {
    let (usual, alias) = (
        TlsFront::start(Shows::Asking).await,
        TlsFront::start(Shows::Asking).await,
    );
    let folder = tempfile::tempdir().expect("a folder");
    let files = certificate("client", &folder);
    let setup = Setup {
        client_authentication: Some("tls_client_auth"),
        certificate: Some(files.clone()),
        oauth: format!(
            "[oauth.mtls_endpoint_aliases]\ntoken_endpoint = \"{}/token\"\n",
            alias.local_origin()
        ),
        ..Setup::default()
    };
    let served = serve(&usual, setup).await;
    let gateway = &served.gateway;
    alias.is_before(&gateway.bank.token_url());
    assert_eq!(
        connect(gateway).await.name(),
        Some("connected"),
        "{}",
        served.log()
    );
    let shown = |front: &TlsFront| front.seen().into_iter().map(|it| it.certificate);
    let client = Some(thumbprint(&files[0]));
    assert!(shown(&alias).all(|it| it == client) && !alias.seen().is_empty());
    assert!(usual.seen().is_empty(), "the alias is asked instead");
    let requests = gateway.bank.token_requests();
    assert_eq!(
        requests[0].field("client_id").as_deref(),
        Some("acme-at-fake_bank")
    );
    assert_eq!(requests[0].field("client_secret"), None);
    assert_eq!(requests[0].header("authorization"), None);

    // The revocation endpoint has no alias.
    let (member, link) = gateway.member().await;
    let visitor = gateway.visitor();
    assert_eq!(
        gateway.connect(&visitor, &link).await.name(),
        Some("connected")
    );
    let path = format!("/users/{}/members/{member}", gateway.user);
    let (status, response) = gateway.platform("DELETE", &path, None).await;
    assert!((200..300).contains(&status), "{response}");
    gateway
        .bank
        .wait_for_revoke_requests(1, Duration::from_secs(20))
        .await;
    assert!(shown(&usual).all(|it| it == client) && !usual.seen().is_empty());

    certificate("newer", &folder);
    served
        .log_with(1, "the client certificate changed; it is used from now on")
        .await;
    assert_eq!(connect(gateway).await.name(), Some("connected"));
    let newest = alias.seen().pop().expect("a connection");
    assert_eq!(newest.certificate, Some(thumbprint(&file("newer.pem"))));

    // One that does not fit is not used, and that is said.
    std::fs::copy(file("client.pem"), &files[0]).expect("copied");
    let log = served.log_with(1, "the one before stays in use").await;
    assert!(log.contains("not that of the first certificate"), "{log}");
    assert_eq!(connect(gateway).await.name(), Some("connected"));
    let newest = alias.seen().pop().expect("a connection");
    assert_eq!(newest.certificate, Some(thumbprint(&file("newer.pem"))));
    let metrics = gateway.operator.join("metrics").expect("a path");
    let counted = gateway.visitor().get(&metrics).await.body;
    let of = |name: &str| {
        let is_its = |line: &&str| {
            line.starts_with(name) && line.contains("acme") && line.contains("\"fake_bank\"")
        };
        counted.lines().find(is_its).map(str::to_owned)
    };
    let unsound = of("guichet_client_certificates_unsound_total{");
    assert!(
        unsound.is_some_and(|line| line.ends_with(" 1")),
        "{counted}"
    );
    assert!(
        of("guichet_client_certificate_expires_seconds{").is_some(),
        "{counted}"
    );
    assert!(!log.contains("PRIVATE KEY"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_of_a_flow_share_a_connection_and_have_ids_that_are_in_its_log_lines() {
    let front = TlsFront::start(Shows::Good).await;
    let setup = Setup {
        subject: Some(Subject::Identify),
        oauth: "interaction_id_header = \"x-fapi-interaction-id\"\ntraceparent = true\n\
                [oauth.headers]\nx-fapi-financial-id = \"7\"\n"
            .to_owned(),
        ..Setup::default()
    };
    let served = serve(&front, setup).await;
    let gateway = &served.gateway;
    gateway.bank.signs_in("ada");
    assert_eq!(
        connect(gateway).await.name(),
        Some("connected"),
        "{}",
        served.log()
    );
    assert_eq!(front.seen().len(), 1, "one connection");
    let calls = [
        gateway.bank.token_requests().remove(0),
        gateway.bank.identify_requests().remove(0),
    ];
    let ids = calls.map(|call| {
        assert_eq!(call.header("x-fapi-financial-id"), Some("7"));
        assert!(
            call.header("traceparent")
                .is_some_and(|it| it.starts_with("00-"))
        );
        call.header("x-fapi-interaction-id")
            .expect("an id")
            .to_owned()
    });
    assert_ne!(ids[0], ids[1]);
    let log = served.log_with(1, "member connected").await;
    let lines = |text: &str, id: &str| {
        let is_it =
            |line: &&str| line.contains(text) && line.contains(&format!("interaction_id={id}"));
        log.lines().filter(is_it).count()
    };
    for id in &ids {
        assert_eq!(lines("the institution was called", id), 1, "{log}");
    }
    assert_eq!(lines("member connected", &ids[1]), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_institution_that_speaks_http_2_is_called_by_it() {
    let front = TlsFront::start(Shows::Http2).await;
    let served = serve(&front, Setup::default()).await;
    assert_eq!(
        connect(&served.gateway).await.name(),
        Some("connected"),
        "{}",
        served.log()
    );
    let by_http2: usize = front.seen().iter().map(|it| it.by_http2).sum();
    assert_eq!((by_http2, served.gateway.bank.hits().token), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_calls_at_once_a_person_is_told_at_once_and_their_code_is_not_sent() {
    let setup = Setup {
        oauth: "calls_at_once = 1\n".to_owned(),
        ..Setup::default()
    };
    let gateway = TestGateway::with(Backend::Sqlite, setup).await;
    let gate = Gate::closed();
    gateway.bank.next_token(Behaviour::Hold(gate.clone()));
    let (first, answer) = at_the_bank(&gateway).await;
    let result = first.get(&answer).await.location().expect("a result");
    gateway
        .bank
        .wait_for_token_requests(1, Duration::from_secs(20))
        .await;
    for _ in 0..6 {
        let (visitor, answer) = at_the_bank(&gateway).await;
        let page = visitor.follow(&answer).await;
        assert_eq!(page.name(), Some("provider-error"), "{}", page.body);
    }
    assert_eq!(gateway.bank.hits().token, 1);
    gate.open();
    eventually(async || {
        let page = first.follow(&result).await;
        (page.name() == Some("connected")).then_some(())
    })
    .await;
    // That many who were turned away did not open its circuit.
    assert_eq!(connect(&gateway).await.name(), Some("connected"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_institution_rests_a_person_is_told_at_once_and_their_code_is_not_sent() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let fails = || Behaviour::Says(503, "text/plain", "busy".to_owned());
    let refuses = Behaviour::Error(400, "invalid_grant", "no");
    let mut people = Vec::new();
    for _ in 0..10 {
        people.push(at_the_bank(&gateway).await);
    }
    let waiting = at_the_bank(&gateway).await;
    for (nth, (visitor, answer)) in people.iter().enumerate() {
        // A refusal shows that it works, so only the last five are five in a row.
        let next = if nth == 4 { refuses.clone() } else { fails() };
        gateway.bank.next_token(next);
        let page = visitor.follow(answer).await;
        assert_eq!(page.name(), Some("provider-error"), "{}", page.body);
        assert_eq!(gateway.bank.hits().token, nth + 1);
    }
    let (visitor, answer) = waiting;
    let page = visitor.follow(&answer).await;
    assert_eq!(page.name(), Some("provider-error"), "{}", page.body);
    assert_eq!(gateway.bank.hits().token, 10, "the code was not sent");
    let body = json!({"member": {"institution_guid": BANK_GUID, "is_oauth": true}});
    let (status, answer) = gateway.nexus("POST", "/members", Some(body)).await;
    assert_eq!(status, 400, "{answer}");
}

/// How many people come at once, and how many of their exchanges may be under way: `docs/PERFORMANCE.md` has more of both.
#[expect(
    clippy::disallowed_methods,
    reason = "how much is measured is asked for where the tests are started"
)]
fn asked_for(variable: &str, usual: usize) -> usize {
    let asked = std::env::var(variable).ok();
    asked.map_or(usual, |asked| asked.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_at_an_institution_that_hangs_take_bounded_memory() {
    let people = asked_for("GUICHET_TEST_PEOPLE", 200);
    let at_once = asked_for("GUICHET_TEST_CALLS_AT_ONCE", 50);
    let setup = Setup {
        links: "members_per_user = 10000\n".to_owned(),
        oauth: format!("calls_at_once = {at_once}\n[oauth.timeouts]\ntotal_seconds = 60\n"),
        ..Setup::default()
    };
    let served = Served::with(Backend::Sqlite, setup).await;
    let gateway = &served.gateway;
    let metrics = gateway.operator.join("metrics").expect("a path");
    let resident = async || {
        let text = gateway.visitor().get(&metrics).await.body;
        let line = text
            .lines()
            .find_map(|it| it.strip_prefix("process_resident_memory_bytes "));
        line.and_then(|bytes| bytes.parse::<f64>().ok())
            .expect("a size")
            / 1e6
    };
    let gate = Gate::closed();
    gateway.bank.on_token(Behaviour::Hold(gate.clone()));
    let mut waiting = Vec::new();
    for _ in 0..people {
        waiting.push(at_the_bank(gateway).await);
    }
    let before = resident().await;
    // Fewer at a time than one source may have connections.
    for some in waiting.chunks(200) {
        let brought = some.iter().map(|(visitor, answer)| visitor.get(answer));
        futures_util::future::join_all(brought).await;
    }
    let under_way = people.min(at_once);
    let patience = Duration::from_secs(30);
    gateway
        .bank
        .wait_for_token_requests(under_way, patience)
        .await;
    let after = resident().await;
    println!(
        "{people} people, {at_once} calls at once: {before:.0} MB before, {after:.0} MB while they wait"
    );
    assert_eq!(gateway.bank.hits().token, under_way);
    assert!(after < before + 40.0, "{before} MB, then {after} MB");
    gate.open();
}
