//! The sandbox's bank as the institution of a gateway under test, whose clock can be moved.

use std::time::Duration;

use guichet_sandbox::{BankClient, Listeners, PlatformCredentials, Sandbox, Settings};
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};
use url::Url;

use super::gateway::TestGateway;
use super::process::Port;
use super::settings::{AGGREGATOR_KEY, BANK, BANK_SECRET, CLIENT, SIGNING_SECRET, bank_client_id};
use super::visitor::http;

/// The institution of the sandbox that [`BANK`] is.
const INSTITUTION: &str = "mx_bank_oauth";

/// A running sandbox. It stops when it is dropped.
pub struct SandboxBank {
    url: Url,
    _shutdown: DropGuard,
    _ports: [Port; 2],
}

impl SandboxBank {
    /// Starts it, and restarts the gateway with it in the place of its bank.
    pub async fn behind(gateway: &mut TestGateway) -> Self {
        let ports = [Port::take(), Port::take()];
        let origin = |port: &Port| {
            let origin = format!("http://127.0.0.1:{}", port.number());
            Url::parse(&origin).expect("a URL")
        };
        let url = origin(&ports[0]);
        let settings = Settings {
            confirms: false,
            bank_url: url.clone(),
            app_url: origin(&ports[1]),
            gateway_url: gateway.url.clone(),
            clients: vec![BankClient {
                id: bank_client_id(CLIENT, BANK),
                secret: BANK_SECRET.to_owned().into(),
                name: "Acme Budget".to_owned(),
                redirect_uris: vec![format!(
                    "{}oauth/redirect_from/{CLIENT}/{BANK}",
                    gateway.url
                )],
            }],
            institutions: guichet_sandbox::institutions(),
            platform: PlatformCredentials {
                client_id: CLIENT.to_owned(),
                api_key: gateway.api_key.clone().into(),
            },
            user_guid: gateway.user.to_string(),
            aggregator_secret: SIGNING_SECRET.to_owned().into(),
            aggregator_key: AGGREGATOR_KEY.to_owned().into(),
            webhook_secret: SIGNING_SECRET.to_owned().into(),
            slow_token: Duration::ZERO,
        };
        let listeners = Listeners {
            bank: ports[0].listen(),
            app: ports[1].listen(),
        };
        let shutdown = CancellationToken::new();
        let sandbox = Sandbox::start(listeners, settings, shutdown.clone()).await;
        sandbox.expect("a sandbox");
        let at = |path: &str| url.join(&format!("/{INSTITUTION}{path}")).expect("a path");
        let bank = &gateway.bank;
        let moved = [
            (bank.authorize_url(), at("/authorize")),
            (bank.token_url(), at("/token")),
            (bank.revoke_url(), at("/revoke")),
        ];
        let moved = moved.map(|(from, to)| [from, to].map(|url| format!("\"{url}\"")));
        let mut swaps = moved.to_vec();
        let issuers = [bank.issuer(), at("").to_string()];
        swaps.push(issuers.map(|issuer| format!("issuer = \"{issuer}\"")));
        let swaps: Vec<_> = swaps.iter().map(|[from, to]| (&**from, &**to)).collect();
        gateway.rewrite_institution(BANK, &swaps);
        gateway.restart().await;
        Self {
            url,
            _shutdown: shutdown.drop_guard(),
            _ports: ports,
        }
    }

    /// How often something happened there, as its statistics say.
    pub async fn counted(&self, name: &str) -> u64 {
        let stats = self.url.join("/stats").expect("a path");
        let response = http().get(stats).send().await.expect("a response");
        let text = response.text().await.expect("a body");
        let stats: Value = serde_json::from_str(&text).expect("JSON");
        stats[name].as_u64().expect("a number")
    }
}
