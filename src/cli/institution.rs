//! `guichet institution`: how one is described, and what an operator decides about it while the gateway runs.

mod check;
mod new;
mod report;

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use crate::app;
use crate::config::{Config, Environment, Moment};
use crate::domain::id::InstitutionCode;
use crate::domain::maintenance::{Maintenance, MaintenanceStatus, MaintenanceText};
use crate::store::{AtInstitution, BrakeName, Refused, ReleaseBrake, SetMaintenance};

#[derive(clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say what is wrong with an institution's file and what to write instead: the file by itself, against the
    /// institution's metadata and keys, and whether its hosts are reached. Changes nothing.
    Check(check::Options),
    /// Draft an institution's file from what its authorization server says of itself.
    New(new::Options),
    /// Write what an institution's service desk asks for about one attempt that failed: times, statuses, interaction ids,
    /// and what was said, without secrets.
    Report(report::Options),
    /// Take off the brake that goes on when an institution refuses nearly everybody. Its refusals then count, for a
    /// day: members it refuses become IMPAIRED.
    Release {
        /// The institution's code.
        code: InstitutionCode,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Say that an institution is not used for now: new links are refused, people who follow one get a page, and pulls
    /// wait. Every gateway sees it within seconds, and after a restart too.
    Maintenance {
        /// The institution's code.
        code: InstitutionCode,
        /// When it is over, such as 2026-12-01T06:00:00Z. Not given: when you say so.
        #[arg(long, value_name = "TIME", conflicts_with = "over")]
        until: Option<Moment>,
        /// What people are told in addition, on one line.
        #[arg(long, conflicts_with = "over")]
        text: Option<MaintenanceText>,
        /// It is over now.
        #[arg(long)]
        over: bool,
        /// The configuration file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    match options.command {
        Command::Check(options) => check::run(options).await,
        Command::New(options) => new::run(options).await,
        Command::Report(options) => report::run(options).await,
        Command::Release { code, config } => release(code, config).await,
        Command::Maintenance {
            code,
            config,
            over: true,
            ..
        } => set(code, None, config).await,
        Command::Maintenance {
            code,
            until,
            text,
            config,
            ..
        } => {
            let maintenance = Maintenance {
                status: MaintenanceStatus::Maintenance,
                until: until.map(|until| until.0),
                text,
            };
            set(code, Some(maintenance), config).await
        }
    }
}

/// Says that the institution is not used for now, or is again.
async fn set(
    code: InstitutionCode,
    maintenance: Option<Maintenance>,
    config: PathBuf,
) -> anyhow::Result<()> {
    let (config, _) = Config::load(Some(&config), &Environment::of_process()?)?;
    let Some(institution) = config.institutions.iter().find(|it| it.code == code) else {
        bail!("there is no institution {code}; see the institution files");
    };
    let (store, _) = app::open_store(&config).await?;
    let now = app::now(&store).await?;
    if maintenance.as_ref().is_some_and(|it| !it.is_on(now)) {
        bail!("--until is in the past; give a moment that is to come, or --over");
    }
    let set = SetMaintenance {
        institution: code.clone(),
        maintenance,
    };
    let before = store.set_maintenance(&set, now).await?;
    let by_file = institution.maintenance.as_ref().filter(|it| it.is_on(now));
    match (&set.maintenance, before, by_file) {
        (Some(said), ..) => match said.until {
            Some(until) => println!("{code}: in maintenance until {until}"),
            None => println!("{code}: in maintenance until you say --over"),
        },
        (None, _, Some(_)) => bail!(
            "{code}: its file still has [maintenance]; remove that and restart, and it is used again"
        ),
        (None, Some(_), None) => println!("{code}: used again"),
        (None, None, None) => println!("{code}: was not in maintenance"),
    }
    Ok(())
}

async fn release(code: InstitutionCode, config: PathBuf) -> anyhow::Result<()> {
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
