//! `guichet grants`: connections that come from another gateway, or go to one (docs/MOVING.md).

mod export;
mod import;
mod opened;
mod row;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Subcommand;

use self::opened::{Access, clients, open};
use crate::config::{Config, Environment};
use crate::domain::id::{ClientId, MemberGuid};

#[derive(clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
    /// The configuration file.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Take grants in from a file: one JSON object a line. Without --yes nothing is changed: it says what is wrong, and
    /// what would be done. It may be repeated: what is in already is found.
    Import(import::Options),
    /// Write grants with their tokens in clear, for another gateway. They are frozen: no gateway here refreshes them any
    /// more.
    Export(export::Options),
    /// List the grants, and say which are frozen.
    List(Which),
    /// Let frozen grants be refreshed here again. Only for those that no other gateway uses.
    Thaw {
        /// Their members.
        #[arg(value_name = "MBR-…")]
        members: Vec<MemberGuid>,
        /// All of this client.
        #[arg(long, value_name = "CLIENT_ID")]
        client: Option<ClientId>,
    },
}

#[derive(clap::Args)]
struct Which {
    /// Of this client; of all unless given.
    #[arg(long, value_name = "CLIENT_ID")]
    client: Option<ClientId>,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let file = options
        .config
        .context("--config is missing: name the configuration file")?;
    let (config, _) = Config::load(Some(&file), &Environment::of_process()?)?;
    match options.command {
        Command::Import(options) => import::run(config, options).await,
        Command::Export(options) => export::run(config, options).await,
        Command::List(which) => {
            let clients = clients(&config, which.client.as_ref())?;
            let gateway = open(config, Access::Reads).await?;
            export::list(&gateway, &clients).await
        }
        Command::Thaw { members, client } => {
            if members.is_empty() == client.is_none() {
                bail!("name members, or say --client for all of a client; not both");
            }
            let clients = match &client {
                Some(_) => clients(&config, client.as_ref())?,
                None => Vec::new(),
            };
            let gateway = open(config, Access::Writes).await?;
            export::thaw(&gateway, members, &clients).await
        }
    }
}
