//! `guichet serve`: production.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config_file::ConfigFile;
use crate::app;
use crate::config::{Config, Environment};
use crate::serve::{self, Listeners, descriptors};
use crate::store::{Store, StoreError};
use crate::telemetry;

/// How often a store that is away is tried.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// After how many tries a log line says again that the store is away: half a minute, or longer if a try
/// takes long.
const SAY_EVERY: u32 = 30;

#[derive(clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// End with exit code 4 when the store is away or loading, instead of waiting for it.
    #[arg(long)]
    no_wait: bool,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let environment = Environment::of_process()?;
    let (config, warnings) = Config::load(Some(&options.file.config), &environment)?;
    let sums = telemetry::install(config.log.format, &config.log.filter)?;
    descriptors::raise();
    if let Some(risk) = app::few_descriptors(&config.listen, descriptors::limit()) {
        tracing::warn!("{risk}");
    }
    for risk in &warnings {
        tracing::warn!("{risk}");
    }
    let stop = super::signal::on_signal();
    let operator = bind(config.listen.operator)?;
    // The public listener is not open yet: a connection is refused at once and not left waiting.
    drop(bind(config.listen.address)?);
    let Some((store, warnings)) = open(&config, &operator, !options.no_wait, &stop).await? else {
        return Ok(());
    };
    for risk in &warnings {
        tracing::warn!("{risk}");
    }
    let listeners = Listeners {
        public: bind(config.listen.address)?,
        operator,
    };
    let clients = names(config.clients.iter().map(|client| client.id.as_str()));
    let institutions = names(config.institutions.iter().map(|it| it.code.as_str()));
    let place = config.store.location.to_string();
    let server = app::build_on(store, config, app::Sources::real())?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        store = place,
        clients,
        institutions,
        address = %listeners.public.local_addr()?,
        operator = %listeners.operator.local_addr()?,
        public_url = %server.app.gateway.settings.public_url,
        "serving"
    );
    server.run(listeners, stop, sums).await
}

/// Opens the store. With `waits` it waits for a store that is away; a store that must not be used is
/// refused at once. `None`: told to stop meanwhile.
async fn open(
    config: &Config,
    operator: &TcpListener,
    waits: bool,
    stop: &CancellationToken,
) -> anyhow::Result<Option<(Store, Vec<String>)>> {
    let keys = app::key_ring(config)?.identities();
    let now = app::Sources::real().clocks.of_day();
    let open_once = async || {
        let (store, warnings) = app::open_store(config).await?;
        store.know_seal_keys(keys.clone(), now).await?;
        Ok::<_, StoreError>((store, warnings))
    };
    let away = match open_once().await {
        Err(StoreError::Unavailable(cause)) if waits => cause.to_string(),
        opened => return Ok(Some(opened?)),
    };
    let (why, told) = watch::channel(away);
    let opening = async {
        for attempt in 0_u32.. {
            if attempt % SAY_EVERY == 0 {
                let cause = why.borrow();
                tracing::warn!(cause = %*cause, "the store is away; waiting for it");
            }
            tokio::select! {
                () = tokio::time::sleep(TRY_EVERY) => {}
                () = stop.cancelled() => return Ok(None),
            }
            match open_once().await {
                Err(StoreError::Unavailable(cause)) => drop(why.send_replace(cause.to_string())),
                opened => return opened.map(Some),
            }
        }
        Ok(None)
    };
    Ok(serve::without_store(operator, told, opening).await??)
}

/// How many clients and institutions the first log line names at most.
const NAMED: usize = 20;

/// The first of them, and how many more there are.
fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let mut all: Vec<&str> = all.collect();
    all.sort_unstable();
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    match more {
        0 => all.join(", "),
        more => format!("{} and {more} more", all.join(", ")),
    }
}

pub(super) fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
}
