//! The names, addresses and shared secrets of the demo's parts.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::domain::random::{self, Random};

/// The client that stands for a member service.
pub const CLIENT: &str = "demo";

/// That client's own name for its one user.
pub const USER: &str = "demo-user";

/// The demo's `client_id` at the sandbox bank.
pub const BANK_CLIENT: &str = "guichet-demo";

/// The four sockets and their public addresses.
pub struct Addresses {
    pub gateway: TcpListener,
    pub bank: TcpListener,
    pub app: TcpListener,
    pub operator: TcpListener,
    pub gateway_url: Url,
    pub bank_url: Url,
    pub app_url: Url,
    pub operator_url: Url,
}

/// The secrets that the demo's parts share; new at every start.
pub struct Secrets {
    pub bank: String,
    pub aggregator_signing: String,
    pub aggregator_key: String,
    pub webhook_signing: String,
    pub sso_key: String,
}

impl Addresses {
    /// Binds all four, from that port on.
    pub fn bind(port_base: u16) -> anyhow::Result<Self> {
        let bind = |offset: u16| -> anyhow::Result<TcpListener> {
            let port = match port_base {
                0 => 0,
                base => base
                    .checked_add(offset)
                    .context("--port-base must be at most 65526")?,
            };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            TcpListener::bind(address).with_context(|| {
                format!("cannot listen on {address}; choose other ports with --port-base, 0 takes free ones")
            })
        };
        let (gateway, bank, app, operator) = (bind(0)?, bind(1)?, bind(2)?, bind(9)?);
        let url = |host: &str, listener: &TcpListener| -> anyhow::Result<Url> {
            Ok(Url::parse(&format!(
                "http://{host}:{}/",
                listener.local_addr()?.port()
            ))?)
        };
        Ok(Self {
            // Bank and app have another host name than the gateway, so that browsers treat them as other
            // sites, as in production.
            gateway_url: url("127.0.0.1", &gateway)?,
            bank_url: url("localhost", &bank)?,
            app_url: url("localhost", &app)?,
            operator_url: url("127.0.0.1", &operator)?,
            gateway,
            bank,
            app,
            operator,
        })
    }
}

impl Secrets {
    /// Draws them all.
    pub fn draw(random: &dyn Random) -> Self {
        let text = || STANDARD.encode(random::bytes::<32>(random));
        Self {
            bank: text(),
            aggregator_signing: format!("whsec_{}", text()),
            aggregator_key: text(),
            webhook_signing: format!("whsec_{}", text()),
            sso_key: text(),
        }
    }
}
