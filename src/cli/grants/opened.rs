//! The gateway in whose place a command acts, and its clients.

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;

use crate::app;
use crate::config::{Config, StoreLocation};
use crate::domain::id::ClientId;
use crate::flow::{Gateway, Internal, maintenance, timeline};
use crate::store::{self, StoreError};

/// What a command does with the store.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Reads,
    Writes,
    /// Writes what is sealed under the active seal key.
    Seals,
}

/// The gateway of the configuration, for a command that does something in its place.
pub(super) async fn open(config: Config, access: Access) -> anyhow::Result<Arc<Gateway>> {
    let sources = app::Sources::real();
    let keys = app::key_ring(&config)?.identities();
    if let StoreLocation::Sqlite(path) = &config.store.location {
        let path: &Path = path;
        if access == Access::Reads && !path.exists() {
            let path = path.display();
            return Err(StoreError::Unfit(format!(
                "the store {path} is not there yet: guichet serve makes it at its first start"
            ))
            .into());
        }
    }
    let (store, _) = app::open_store(&config).await?;
    let known = store.seal_keys().await?;
    store::check_seal_keys(&known, &keys)?;
    if access == Access::Seals {
        let active = keys.first().map_or("", |(id, _)| id.as_str());
        // What is sealed under it must open at the gateways that run.
        if !known.keys.is_empty() && !known.keys.contains_key(active) {
            bail!(
                "no gateway has started with the seal key {active} yet, so none could open what is sealed under it; \
                 restart every gateway with this configuration first"
            );
        }
        store.know_seal_keys(keys, sources.clocks.of_day()).await?;
    }
    let gateway = app::build_on(store, config, sources)?.app.gateway.clone();
    if access != Access::Reads {
        timeline::agree(&gateway).await;
        // Nothing is refreshed at an institution in maintenance, here as little as by a gateway that runs.
        maintenance::look(&gateway).await.map_err(failed)?;
    }
    Ok(gateway)
}

/// That client, or all of them.
pub(super) fn clients(config: &Config, one: Option<&ClientId>) -> anyhow::Result<Vec<ClientId>> {
    let all = config.clients.iter().map(|client| client.id.clone());
    let Some(one) = one else {
        return Ok(all.collect());
    };
    let known: Vec<ClientId> = all.collect();
    if !known.contains(one) {
        let known: Vec<&str> = known.iter().map(ClientId::as_str).collect();
        bail!(
            "there is no client {one} in the configuration; it has: {}",
            known.join(", ")
        );
    }
    Ok(vec![one.clone()])
}

/// As the command ends for it: a fault of the store has an exit code of its own.
pub(super) fn failed(error: Internal) -> anyhow::Error {
    match error {
        Internal::Store(error) => error.into(),
        other => other.into(),
    }
}
