//! The sandbox as a whole, and what its parts' tests share.

use std::net::TcpListener;
use std::time::Duration;

use axum::Router;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{BankClient, Listeners, PlatformCredentials, Sandbox, Settings, institutions};

pub(super) const CLIENT_ID: &str = "gate:1";
pub(super) const CLIENT_SECRET: &str = "p%ss &word=";
pub(super) const REDIRECT_URI: &str = "http://127.0.0.1:9/back?kept=1";
pub(super) const AGGREGATOR_SECRET: &str = "whsec_YWdncmVnYXRvci1zZWNyZXQtMDEyMzQ1";
pub(super) const AGGREGATOR_KEY: &str = "aggregator-key";
pub(super) const WEBHOOK_SECRET: &str = "whsec_d2ViaG9vay1zZWNyZXQtMDEyMzQ1Njc4";
pub(super) const API_KEY: &str = "api-key";
pub(super) const USER: &str = "USR-1";

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(20);

/// A sandbox of its own for one test, with a gateway that the test wrote.
pub(super) struct World {
    pub(super) http: reqwest::Client,
    pub(super) bank: String,
    pub(super) app: String,
    pub(super) gateway: String,
    sandbox: Sandbox,
    shutdown: CancellationToken,
}

impl World {
    /// With nothing where the gateway should be.
    pub(super) async fn start() -> Self {
        Self::with_gateway(Router::new()).await
    }

    /// With `gateway` served where the gateway should be.
    pub(super) async fn with_gateway(gateway: Router) -> Self {
        Self::with(gateway, |_| ()).await
    }

    /// With `change` made to the usual settings.
    pub(super) async fn with(gateway: Router, change: impl FnOnce(&mut Settings)) -> Self {
        let (gateway_listener, gateway_url) = listener();
        let (bank_listener, bank) = listener();
        let (app_listener, app) = listener();
        gateway_listener.set_nonblocking(true).expect("a socket");
        let served = tokio::net::TcpListener::from_std(gateway_listener).expect("a socket");
        tokio::spawn(async move { axum::serve(served, gateway).await });
        let listeners = Listeners {
            bank: bank_listener,
            app: app_listener,
        };
        let shutdown = CancellationToken::new();
        let mut settings = settings(&bank, &app, &gateway_url);
        change(&mut settings);
        let sandbox = Sandbox::start(listeners, settings, shutdown.clone())
            .await
            .expect("the sandbox starts");
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client");
        Self {
            http,
            bank,
            app,
            gateway: gateway_url,
            sandbox,
            shutdown,
        }
    }

    pub(super) async fn stats(&self) -> serde_json::Value {
        let url = format!("{}/stats", self.bank);
        let response = self.http.get(url).send().await.expect("a response");
        response.json().await.expect("JSON")
    }
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    (listener, format!("http://{address}"))
}

fn settings(bank: &str, app: &str, gateway: &str) -> Settings {
    let url = |text: &str| Url::parse(text).expect("an address");
    Settings {
        bank_url: url(bank),
        app_url: url(app),
        gateway_url: url(gateway),
        clients: vec![BankClient {
            id: CLIENT_ID.to_owned(),
            secret: CLIENT_SECRET.into(),
            name: "Demo <Budget>".to_owned(),
            redirect_uris: vec![
                "http://127.0.0.1:9/other".to_owned(),
                REDIRECT_URI.to_owned(),
            ],
        }],
        institutions: institutions(),
        platform: PlatformCredentials {
            client_id: "demo".to_owned(),
            api_key: API_KEY.into(),
        },
        user_guid: USER.to_owned(),
        aggregator_secret: AGGREGATOR_SECRET.into(),
        aggregator_key: AGGREGATOR_KEY.into(),
        webhook_secret: WEBHOOK_SECRET.into(),
        slow_token: Duration::from_millis(250),
        confirms: false,
    }
}

/// Waits until `ask` has a result; fails the test if it takes too long.
pub(super) async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            tokio::task::yield_now().await;
        }
    });
    found.await.expect("it happens in time")
}

#[tokio::test]
async fn everything_stops_when_told_to() {
    let world = World::start().await;
    assert_eq!(world.stats().await["authorize"], 0);
    world.shutdown.cancel();
    let stopped = tokio::time::timeout(PATIENCE, world.sandbox.stopped).await;
    stopped
        .expect("in time")
        .expect("without a panic")
        .expect("without an error");
    let gone = world.http.get(&world.bank).send().await;
    assert!(gone.expect_err("nobody listens").is_connect());
}

#[tokio::test]
async fn only_loopback_is_served() {
    let listeners = Listeners {
        bank: TcpListener::bind("0.0.0.0:0").expect("a port"),
        app: TcpListener::bind("127.0.0.1:0").expect("a port"),
    };
    let settings = settings(
        "http://localhost:1",
        "http://localhost:2",
        "http://localhost:3",
    );
    let refused = Sandbox::start(listeners, settings, CancellationToken::new()).await;
    let text = format!("{:#}", refused.expect_err("refused"));
    assert!(text.contains("not a loopback address"), "{text}");
}

#[tokio::test]
async fn unusable_settings_are_refused() {
    let listeners = || Listeners {
        bank: TcpListener::bind("127.0.0.1:0").expect("a port"),
        app: TcpListener::bind("127.0.0.1:0").expect("a port"),
    };
    let good = settings(
        "http://localhost:1",
        "http://localhost:2",
        "http://localhost:3",
    );
    let mail = Settings {
        gateway_url: Url::parse("mailto:gateway@localhost").expect("an address"),
        ..good.clone()
    };
    let secret = Settings {
        webhook_secret: "not-a-secret".into(),
        ..good
    };
    for (settings, expected) in [
        (mail, "not an http or https address"),
        (secret, "a signing secret must be whsec_ and then base64"),
    ] {
        let refused = Sandbox::start(listeners(), settings, CancellationToken::new()).await;
        let text = format!("{:#}", refused.expect_err("refused"));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn settings_keep_their_secrets_to_themselves() {
    let settings = settings(
        "http://localhost:1",
        "http://localhost:2",
        "http://localhost:3",
    );
    let text = format!("{settings:?}");
    for secret in [
        CLIENT_SECRET,
        API_KEY,
        AGGREGATOR_SECRET,
        AGGREGATOR_KEY,
        WEBHOOK_SECRET,
    ] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn the_usual_institutions_can_be_told_apart() {
    let usual = institutions();
    for (at, one) in usual.iter().enumerate() {
        assert!(usual[..at].iter().all(|other| other.guid != one.guid));
        assert!(usual[..at].iter().all(|other| other.code != one.code));
        let uuid = one.guid.strip_prefix("INS-").expect("the prefix");
        assert!(uuid::Uuid::parse_str(uuid).is_ok(), "{uuid}");
    }
    let fields: Vec<_> = usual.iter().flat_map(|one| &one.credentials).collect();
    assert_eq!(fields.len(), 4);
    for (at, one) in fields.iter().enumerate() {
        assert!(fields[..at].iter().all(|other| other.guid != one.guid));
        let uuid = one.guid.strip_prefix("CRD-").expect("the prefix");
        assert!(uuid::Uuid::parse_str(uuid).is_ok(), "{uuid}");
    }
    let auto: Vec<_> = usual.iter().filter(|one| one.auto).collect();
    assert_eq!(auto.len(), 1);
    assert_eq!(auto[0].code, "mx_bank_oauth_auto");
}
