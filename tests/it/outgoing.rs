//! Calls that leave by TLS: through the environment's proxy where that is asked for, and what becomes of a
//! flow whose institution cannot be trusted.

use serde_json::json;

use crate::support::gateway::{Backend, Setup};
use crate::support::served::Served;
use crate::support::tls::{BANK_HOST, Shows, TlsFront, TunnelProxy, another_authority, authority};
use crate::support::visitor::Page;

/// A gateway that trusts the tests' authority and has that proxy in its environment. It calls the bank, by
/// TLS, at `origin`.
async fn serve(origin: &str, proxy: &TunnelProxy, tables: &str) -> Served {
    let setup = Setup {
        bank_origin: Some(origin.to_owned()),
        environment: vec![
            ("SSL_CERT_FILE", authority()),
            ("HTTPS_PROXY", proxy.url()),
            ("NO_PROXY", String::new()),
        ],
        tables: tables.to_owned(),
        ..Setup::default()
    };
    Served::with(Backend::Sqlite, setup).await
}

/// A flow; where it ends.
async fn connect(served: &Served) -> Page {
    let (_, link) = served.gateway.member().await;
    let visitor = served.gateway.visitor();
    served.gateway.connect(&visitor, &link).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_a_member_at_an_https_bank_connects_through_the_environments_proxy() {
    let front = TlsFront::start(Shows::Good).await;
    let proxy = TunnelProxy::start(front.address()).await;
    let origin = format!("https://{BANK_HOST}");
    let served = serve(&origin, &proxy, "[outgoing]\nproxy = \"environment\"\n").await;
    front.is_before(&served.gateway.bank.token_url());
    let page = connect(&served).await;
    assert_eq!(page.name(), Some("connected"), "{}", served.log());
    assert_eq!(proxy.tunnels(), [format!("{BANK_HOST}:443")]);
    assert_eq!(served.gateway.bank.hits().token, 1);
    let log = served.log_at_the_end().await;
    assert!(!log.contains("HTTPS_PROXY"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_without_the_setting_the_proxy_is_said_to_be_ignored_and_calls_go_direct() {
    let front = TlsFront::start(Shows::Good).await;
    let proxy = TunnelProxy::start(front.address()).await;
    let served = serve(&front.local_origin(), &proxy, "").await;
    front.is_before(&served.gateway.bank.token_url());
    let log = served.log_with(1, "HTTPS_PROXY is set and ignored").await;
    let said =
        |line: &str| line.contains("WARN") && line.contains("HTTPS_PROXY is set and ignored");
    assert!(log.lines().any(said), "{log}");
    let page = connect(&served).await;
    assert_eq!(page.name(), Some("connected"), "{}", served.log());
    // Where only the proxy could lead, nothing goes.
    let served = serve(&format!("https://{BANK_HOST}"), &proxy, "").await;
    let page = connect(&served).await;
    assert_eq!(page.name(), Some("provider-error"), "{}", served.log());
    assert_eq!(proxy.tunnels(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t13_an_institution_that_tls_cannot_trust_is_the_operators_fault() {
    for (shows, trusted, words) in [
        (Shows::SelfSigned, authority(), "certificate"),
        (Shows::Good, another_authority(), "certificate"),
        (Shows::Expired, authority(), "expired"),
        (Shows::Elsewhere, authority(), "not valid for name"),
        (Shows::Demanding, authority(), "alert"),
        (Shows::Old, authority(), "incompatible"),
    ] {
        let front = TlsFront::start(shows).await;
        let setup = Setup {
            bank_origin: Some(front.local_origin()),
            environment: vec![("SSL_CERT_FILE", trusted)],
            ..Setup::default()
        };
        let served = Served::with(Backend::Sqlite, setup).await;
        let gateway = &served.gateway;
        front.is_before(&gateway.bank.token_url());
        let (member, link) = gateway.member().await;
        let visitor = gateway.visitor();
        let authorization = gateway.open(&visitor, &link).await;
        let response = gateway.bank.code_for(&authorization);
        let page = visitor.follow(&response.url()).await;
        assert_eq!(
            (page.status, page.name()),
            (200, Some("not-set-up")),
            "{shows:?}: {}",
            served.log()
        );
        assert!(!page.body.contains("data-action=\"retry\""), "{shows:?}");
        let state = gateway.state(member).await;
        assert_eq!(
            (&state["auth_status"], &state["error_reason"]),
            (&json!(3), &json!(5)),
            "{shows:?}"
        );
        let member = gateway.read(member).await;
        assert_eq!(member["connection_status"], "PENDING", "{shows:?}");
        assert_eq!(gateway.bank.hits().token, 0, "{shows:?}");

        let ours = "guichet::flow::failure: no trusted connection (TLS) to the institution";
        let log = served.log_with(1, ours).await;
        let told: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(" ERROR "))
            .collect();
        assert_eq!(told.len(), 1, "told once: {shows:?}: {log}");
        assert!(told[0].contains(ours), "{}", told[0]);
        assert!(
            told[0].to_lowercase().contains(words),
            "{shows:?}: {}",
            told[0]
        );
        let secrets = [
            response.code.expect("a code"),
            response.state.expect("a state"),
            crate::support::gateway::BANK_SECRET.to_owned(),
        ];
        for secret in secrets {
            assert!(!log.contains(&secret), "{shows:?}: {log}");
        }
        let metrics = gateway.operator.join("metrics").expect("a path");
        let counted = gateway.visitor().get(&metrics).await.body;
        let line = counted.lines().find(|line| {
            line.starts_with("guichet_institution_not_set_up_total{")
                && line.contains("institution=\"fake_bank\"")
                && line.contains("cause=\"tls\"")
                && line.contains("client=\"acme\"")
        });
        assert!(
            line.is_some_and(|line| line.ends_with(" 1")),
            "{shows:?}: {counted}"
        );
    }
}
