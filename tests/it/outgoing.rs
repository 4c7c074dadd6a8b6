//! Calls that leave by TLS: through the environment's proxy where that is asked for, else directly.

use crate::support::gateway::{Backend, Setup};
use crate::support::served::Served;
use crate::support::tls::{BANK_HOST, Shows, TlsFront, TunnelProxy, authority};
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
    assert!(!served.log().contains("HTTPS_PROXY"), "{}", served.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_without_the_setting_the_proxy_is_said_to_be_ignored_and_calls_go_direct() {
    let front = TlsFront::start(Shows::Good).await;
    let proxy = TunnelProxy::start(front.address()).await;
    let served = serve(&front.local_origin(), &proxy, "").await;
    front.is_before(&served.gateway.bank.token_url());
    let log = served.log();
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
