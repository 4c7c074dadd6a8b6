//! `guichet serve`: production.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::Context;

use crate::app;
use crate::config::{Config, Environment};
use crate::serve::Listeners;
use crate::telemetry;

pub(super) async fn run(file: &Path) -> anyhow::Result<()> {
    let (config, warnings) = Config::load(Some(file), &Environment::of_process()?)?;
    telemetry::install(config.log.format, &config.log.filter);
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let listeners = Listeners {
        public: bind(config.listen.address)?,
        operator: bind(config.listen.operator)?,
    };
    let (server, doubts) = app::build(config, app::Sources::real()).await?;
    for doubt in &doubts {
        tracing::warn!("{doubt}");
    }
    tracing::info!(
        address = %listeners.public.local_addr()?,
        operator = %listeners.operator.local_addr()?,
        public_url = %server.door.gateway.settings.public_url,
        "serving"
    );
    server.run(listeners, super::on_signal()).await
}

pub(super) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
}
