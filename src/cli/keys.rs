//! `guichet keys`: API keys of the configured clients, for the Platform API, the change to another seal key, and new keys
//! that clients have at institutions.

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;

use super::config_file::ConfigFile;
use super::{client_keys, rotate};
use crate::app;
use crate::config::{Config, Environment};
use crate::domain::id::ClientId;
use crate::domain::secret::ApiKey;
use crate::store::KeyAddition;

#[derive(clap::Args)]
pub(super) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args)]
struct Target {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The client whose keys they are.
    #[arg(long, value_name = "CLIENT_ID")]
    client: ClientId,
}

#[derive(Subcommand)]
enum Command {
    /// Create a key and print it. It is shown only once; the store keeps a digest. A client has at most
    /// two.
    Create(Target),
    /// List the client's keys by id.
    List(Target),
    /// Retire a key: it stops working at once.
    Retire {
        #[command(flatten)]
        target: Target,
        /// The key's id, as listed: the eight characters after `ogk_`. It may begin with a hyphen.
        #[arg(allow_hyphen_values = true)]
        id: String,
    },
    /// Seal everything in the store under the first of the seal keys, while gateways serve, and say which of the
    /// others are still needed. Changes no API key.
    Rotate(ConfigFile),
    /// Private keys that clients have at institutions. Changes no API key.
    #[command(subcommand)]
    Client(client_keys::Command),
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let target = match &options.command {
        Command::Rotate(file) => return rotate::run(file).await,
        Command::Client(command) => return client_keys::run(command),
        Command::Create(target) | Command::List(target) | Command::Retire { target, .. } => target,
    };
    let (config, _) = Config::load(Some(&target.config), &Environment::of_process()?)?;
    let client = &target.client;
    if !config
        .clients
        .iter()
        .any(|configured| configured.id == *client)
    {
        let known: Vec<&str> = config
            .clients
            .iter()
            .map(|client| client.id.as_str())
            .collect();
        bail!(
            "there is no client {client} in the configuration; it has: {}",
            known.join(", ")
        );
    }
    let (store, _) = app::open_store(&config).await?;
    let now = app::now(&store).await?;
    match &options.command {
        Command::Create(_) => {
            let key = ApiKey::new(app::Sources::real().random.as_ref());
            let added = store
                .add_api_key(client, key.id(), key.digest(client), now)
                .await?;
            if added == KeyAddition::TooMany {
                bail!(
                    "{client} has two active keys already; retire one first (guichet keys list, keys retire)"
                );
            }
            println!("{}", key.expose());
            eprintln!(
                "This is the only time the key is shown. User name: {client}, password: the key."
            );
        }
        Command::List(_) => {
            for key in store.api_keys(client).await? {
                let state = match key.retired_at {
                    Some(at) => format!("retired {at}"),
                    None => "active".to_owned(),
                };
                println!("{}  created {}  {state}", key.id, key.created_at);
            }
        }
        Command::Retire { id, .. } => {
            if !store.retire_api_key(client, id, now).await? {
                bail!("{client} has no active key {id}; guichet keys list names them");
            }
            println!("{id} retired");
        }
        Command::Rotate(_) | Command::Client(_) => {}
    }
    Ok(())
}
