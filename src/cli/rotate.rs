//! `guichet keys rotate`: seals everything in the store under the first of the seal keys.

use std::collections::BTreeSet;

use anyhow::bail;

use super::config_file::ConfigFile;
use crate::app;
use crate::config::{Config, Environment};
use crate::flow::rotate::{self, Pass};
use crate::store;

pub(super) async fn run(file: &ConfigFile) -> anyhow::Result<()> {
    let (config, _) = Config::load(Some(&file.config), &Environment::of_process()?)?;
    let keys = app::key_ring(&config)?.identities();
    let (store, _) = app::open_store(&config).await?;
    store::check_seal_keys(&store.seal_keys().await?, &keys)?;
    let server = app::build_on(store, config, app::Sources::real())?;
    let gateway = &server.app.gateway;
    let pass = rotate::rotate(gateway, tell).await?;
    for unopened in &pass.named {
        eprintln!("{unopened}");
    }
    let configured = keys.iter().map(|(id, _)| id);
    let others: BTreeSet<&String> = configured
        .chain(pass.left.keys())
        .filter(|id| *id != gateway.sealer.active_key())
        .collect();
    for id in others {
        match pass.left.get(id) {
            None => {
                println!("{id}: 0 records are sealed under it; it can be removed from seal.keys")
            }
            Some(left) => println!("{id}: {left} records are still sealed under it; keep it"),
        }
    }
    if !pass.unopened.is_empty() {
        let kinds = pass.unopened.iter();
        let kinds: Vec<String> = kinds
            .map(|(kind, count)| format!("{kind}: {count}"))
            .collect();
        let count: u64 = pass.unopened.values().sum();
        let kinds = kinds.join(", ");
        bail!("{count} records could not be opened and are as they were ({kinds})");
    }
    Ok(())
}

fn tell(pass: &Pass) {
    let Pass {
        number,
        records,
        resealed,
        ..
    } = pass;
    println!("pass {number}: {records} records looked at, {resealed} sealed anew");
}
