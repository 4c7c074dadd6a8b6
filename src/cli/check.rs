//! `guichet check`: says in words what is wrong, and what is risky.

use std::path::Path;

use crate::app;
use crate::config::{Config, Environment};

pub(super) async fn run(file: &Path) -> anyhow::Result<()> {
    let (config, warnings) = Config::load(Some(file), &Environment::of_process()?)?;
    println!("configuration: {} is sound", file.display());
    println!("institutions: {}", config.institutions.len());
    println!("clients: {}", config.clients.len());
    let (store, doubts) = app::open_store(&config).await?;
    store.probe().await?;
    println!("store: reached");
    for warning in warnings.iter().map(ToString::to_string).chain(doubts) {
        println!("warning: {warning}");
    }
    Ok(())
}
