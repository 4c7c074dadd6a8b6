//! `guichet consents`: the consents that end soon.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::app;
use crate::config::{Config, Environment};
use crate::domain::id::{ClientId, InstitutionCode};

/// How many are shown, if nothing else is asked for.
const SHOWN: usize = 1000;

/// One day, in seconds.
const DAY: u64 = 24 * 60 * 60;

/// List the consents that end soon, the first at the top.
#[derive(Args)]
pub struct Options {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Those that end within so many days.
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=3650))]
    within: u64,
    /// Of one client.
    #[arg(long, value_name = "CLIENT")]
    client: Option<ClientId>,
    /// At one institution.
    #[arg(long, value_name = "CODE")]
    institution: Option<InstitutionCode>,
    /// At most so many.
    #[arg(long, value_name = "COUNT", default_value_t = SHOWN)]
    limit: usize,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let file = options
        .config
        .context("--config is missing: name the configuration file")?;
    let (config, _) = Config::load(Some(&file), &Environment::of_process()?)?;
    let (store, _) = app::open_store(&config).await?;
    let until = app::now(&store).await? + std::time::Duration::from_secs(options.within * DAY);
    let ending = store.consents(options.limit, |consent| {
        let is_of_client = options
            .client
            .as_ref()
            .is_none_or(|it| *it == consent.client);
        let code = options.institution.as_ref();
        let is_there = code.is_none_or(|it| *it == consent.institution);
        consent.ends_at <= until && is_of_client && is_there
    });
    for (member, consent) in ending.await? {
        let (end, client, institution) = (consent.ends_at, &consent.client, &consent.institution);
        println!("{end}  {member}  {client}  {institution}");
    }
    Ok(())
}
