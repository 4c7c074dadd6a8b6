//! `guichet check`: says in words what is wrong, and what is risky. Changes nothing.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::bail;
use url::Url;

use super::config_file::ConfigFile;
use crate::app;
use crate::config::{AggregatorMode, Config, Environment, StoreLocation};
use crate::domain::id::InstitutionCode;
use crate::domain::secret::Digest;
use crate::flow::{certificates, client_keys};
use crate::outgoing;
use crate::printable::printable;
use crate::serve::descriptors;
use crate::steps::record::{ToldChange, Watched};
use crate::store::sqlite::SqliteStore;
use crate::store::{self, Examined, Queues, StoreError};

/// How long a line about an institution may be, in characters.
const LINE: usize = 1_000;

#[derive(clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
    /// Also connect to every host that the configuration names, and try a write in the store.
    #[arg(long)]
    online: bool,
}

pub(super) async fn run(options: Options) -> anyhow::Result<()> {
    let file = &options.file.config;
    let (config, warnings) = Config::load(Some(file), &Environment::of_process()?)?;
    println!("configuration: {} is sound", file.display());
    println!("institutions: {}", config.institutions.len());
    println!("clients: {}", config.clients.len());
    for warning in &warnings {
        println!("warning: {warning}");
    }
    // `serve` raises the soft limit to the hard one.
    if let Some(risk) = app::few_descriptors(&config.listen, descriptors::hard_limit()) {
        println!("warning: {risk}");
    }
    tell_client_keys(&config)?;
    check_certificates(&config)?;
    let keys = app::key_ring(&config)?.identities();
    let store = check_store(&config, &keys, options.online).await;
    if options.online {
        // Both checks run, whatever the first one finds; the exit code is that of the store's fault.
        let hosts = check_hosts(&config).await;
        store?;
        return hosts;
    }
    Ok(store?)
}

/// Lists the private keys that clients have at institutions, and warns of old ones.
fn tell_client_keys(config: &Config) -> anyhow::Result<()> {
    let (all, now) = (app::client_keys(config)?, app::time_of_day());
    for client in &config.clients {
        for registration in client.registrations.values() {
            let Some(files) = &registration.keys else {
                continue;
            };
            for key in all.in_use(files) {
                let whose = format!(
                    "client key of {} at {}",
                    client.id, registration.institution
                );
                let does = match (key.usage, key.signs) {
                    ("sig", true) => "signs",
                    ("sig", false) => "published",
                    _ => "decrypts",
                };
                let age = client_keys::age(&key, now).map_or(String::new(), |age| {
                    format!(", {} days old", client_keys::days(age))
                });
                let (kid, algorithms) = (&key.kid, key.algorithms.join(" and "));
                let file = key.file.display();
                println!("{whose}: {kid} {algorithms} {does}{age} ({file})");
                if let Some(risk) = client_keys::risk(&key, now, config.client_keys.old_after) {
                    println!("warning: {whose}: {kid} {risk}");
                }
            }
        }
    }
    Ok(())
}

/// Says when the certificates end that clients show to institutions.
fn check_certificates(config: &Config) -> anyhow::Result<()> {
    let (all, now) = (app::certificates(config)?, app::time_of_day());
    for client in &config.clients {
        for registration in client.registrations.values() {
            let files = registration.certificate.as_ref();
            let Some(certificate) = files.and_then(|files| all.current(files)) else {
                continue;
            };
            let whose = format!(
                "client certificate of {} at {}",
                client.id, registration.institution
            );
            match certificates::risk(&certificate, now) {
                None => println!("{whose}: valid until {}", certificate.ends_at()),
                Some(risk) => println!("warning: {whose}: it {risk}"),
            }
        }
    }
    Ok(())
}

/// Checks whether the store can be used, and what is risky about it.
async fn check_store(
    config: &Config,
    keys: &[(String, Digest)],
    online: bool,
) -> Result<(), StoreError> {
    let examined = match &config.store.location {
        StoreLocation::Sqlite(path) => {
            let path: &Path = path;
            match SqliteStore::examine(path, keys, online)? {
                None => {
                    let path = path.display();
                    println!("store: {path} is not there yet; the first start makes it");
                    return Ok(());
                }
                Some(examined) => examined,
            }
        }
        StoreLocation::Redis(_) => {
            let (store, warnings) = app::open_store(config).await?;
            for warning in warnings {
                println!("warning: {warning}");
            }
            if online {
                store.probe_everywhere().await?;
            }
            Examined {
                set_aside: store.set_aside_keys().await?,
                seal_keys: store.seal_keys().await?,
                sealed_elsewhere: store.sealed_elsewhere(keys).await?,
                queues: store.queues().await?,
                watched: store
                    .watched(config.institutions.iter().map(|it| &it.code))
                    .await?,
            }
        }
    };
    println!("store: {}", if online { "takes writes" } else { "reached" });
    tell_set_aside(&examined.set_aside);
    tell_sealed_elsewhere(&examined.sealed_elsewhere);
    tell_waiting(&examined.queues, config.webhooks.most_waiting);
    tell_watched(&examined.watched);
    store::check_seal_keys(&examined.seal_keys, keys)
}

/// Warns of records that could not be read.
fn tell_set_aside(keys: &[String]) {
    if !keys.is_empty() {
        let (count, keys) = (keys.len(), keys.join(", "));
        println!("warning: {count} records could not be read and were set aside: {keys}");
    }
}

/// Warns of records that nothing opens, because their seal key is not configured.
fn tell_sealed_elsewhere(records: &BTreeMap<String, u64>) {
    for (id, count) in records {
        println!(
            "warning: {count} records are sealed under the seal key {id:?}, which is not in seal.keys, so nothing opens \
             them: put it back behind the first key, run guichet keys rotate, and remove it then. If it is lost, their \
             members have to connect again"
        );
    }
}

/// Warns of clients that take their events so slowly that the oldest are given up, or soon will be.
fn tell_waiting(queues: &Queues, most: u64) {
    for (client, waiting) in queues.events() {
        if waiting >= most / 5 * 4 {
            println!(
                "warning: {waiting} events of client {client} wait, and beyond {most} \
                 (webhooks.most_waiting) the oldest are given up: see to its endpoints; guichet events \
                 list --dead shows what was given up, guichet events replay sends it again"
            );
        }
    }
}

/// Tells what institutions show of themselves: what has changed, and what could not be read.
fn tell_watched(watched: &BTreeMap<InstitutionCode, Watched>) {
    for (code, watched) in watched {
        for ToldChange { at, change } in &watched.changes {
            let said = if change.is_usual { "note" } else { "warning" };
            let text = printable(&change.text, LINE);
            println!("{said}: institution {code}: {at}: {text}");
        }
        for unread in &watched.unread {
            let text = printable(unread, LINE);
            println!("warning: institution {code}: could not be read: {text}");
        }
    }
}

/// Connects to every host that is called while the gateway runs.
async fn check_hosts(config: &Config) -> anyhow::Result<()> {
    let mut hosts: BTreeMap<String, (Url, String)> = BTreeMap::new();
    let mut add = |url: &Url, what: String| {
        let origin = url.origin().ascii_serialization();
        hosts.entry(origin).or_insert_with(|| (url.clone(), what));
    };
    for institution in &config.institutions {
        let Some(oauth) = &institution.oauth else {
            continue;
        };
        for (_, url) in oauth.endpoints() {
            add(url, format!("institution {}", institution.code));
        }
    }
    for client in &config.clients {
        for webhook in &client.webhooks {
            add(&webhook.url, format!("webhooks of {}", client.id));
        }
    }
    for aggregator in &config.aggregators {
        if let AggregatorMode::Push { url, .. } = &aggregator.mode {
            add(url, format!("aggregator {}", aggregator.name));
        }
    }
    let way = app::outgoing(config)?;
    let mut unreached = 0;
    for (origin, (url, what)) in &hosts {
        match outgoing::reach(&way, url).await {
            Ok(()) => println!("{what}: {origin} is reached"),
            Err(error) => {
                println!("{what}: {origin} is not reached: {error}");
                unreached += 1;
            }
        }
    }
    if unreached > 0 {
        bail!("{unreached} of {} hosts are not reached", hosts.len());
    }
    Ok(())
}
