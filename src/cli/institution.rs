//! `guichet institution`: what an operator decides about one while the gateway runs.

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use crate::app;
use crate::config::{Config, Environment};
use crate::domain::id::InstitutionCode;
use crate::store::{AtInstitution, BrakeName, Refused, ReleaseBrake};

#[derive(clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Take off the brake that goes on when an institution refuses nearly everybody. Its refusals then count, for a
    /// day: members it refuses become IMPAIRED.
    Release {
        /// The institution's code.
        code: InstitutionCode,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let Command::Release { code, config } = options.command;
    let (config, _) = Config::load(Some(&config), &Environment::of_process()?)?;
    let clients = config.clients.iter();
    let registered: Vec<_> = clients
        .filter(|client| client.registration(&code).is_some())
        .map(|client| client.id.clone())
        .collect();
    if registered.is_empty() {
        bail!(
            "no client is registered at an institution {code}; see the institution files and [[clients.registrations]]"
        );
    }
    let (store, _) = app::open_store(&config).await?;
    let now = app::now(&store).await?;
    let mut released = 0;
    for client in registered {
        for of in Refused::ALL {
            let at = AtInstitution {
                client: client.clone(),
                institution: code.clone(),
            };
            let release = ReleaseBrake {
                brake: BrakeName { at, of },
                by_hand: true,
            };
            if store.release_brake(&release, now).await? {
                released += 1;
                println!("{client} at {code}: refused {} count again", of.name());
            }
        }
    }
    if released == 0 {
        println!("{code}: no brake was on");
    }
    Ok(())
}
