//! The configuration: one documented TOML tree, the environment variables that override it, and the
//! institution files.
//!
//! `guichet.default.toml` explains every key. Unknown keys are refused, every error names its place, its
//! key and the remedy, and risky settings cause warnings. Everything that can be checked is checked here,
//! once, so that the rest of the crate has only valid settings.
//!
//! Secrets come from the tree, from a file (`…_file`) or from an environment variable (`…_env`). No
//! type that holds one can be printed.

mod address;
mod client_keys;
mod clients;
mod document;
mod fault;
pub mod institutions;
mod outgoing;
mod raw;
mod reading;
mod repair;
mod secrets;
mod sections;
mod storage;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use secrecy::SecretString;

pub use address::{HttpsUrl, Issuer, Network, PublicUrl};
pub use fault::{ConfigError, Fault, Place, Warning};
pub use outgoing::ProxySettings;
pub use reading::Environment;
pub use sections::{
    AggregatorMode, AggregatorSettings, ClientKeys, Consents, Limits, Links, Listen, Log,
    LogFilter, LogFormat, Operator, Sessions, WebhookSettings,
};
pub use storage::{SealKey, StoreLocation, StoreSettings};
pub use value::Moment;

use crate::domain::client::Client;
use crate::domain::id::ClientId;
use crate::domain::institution::Institution;
use clients::Surroundings;
use document::{Document, Reference};
use fault::Refused;
use reading::Reading;

/// The file that explains the keys.
const REFERENCE: Reference = Reference {
    name: "guichet.default.toml",
    text: include_str!("../guichet.default.toml"),
};

/// All settings of the gateway.
pub struct Config {
    /// The address under which people and institutions reach the gateway.
    pub public_url: PublicUrl,
    /// The addresses of the two listeners.
    pub listen: Listen,
    /// Who may use the operator's listener.
    pub operator: Operator,
    /// Where everything is kept.
    pub store: StoreSettings,
    /// The seal keys: at least one, the active one first.
    pub seal: Vec<SealKey>,
    /// How links live, unless a client says otherwise.
    pub links: Links,
    /// The limits.
    pub limits: Limits,
    /// How long sessions live.
    pub sessions: Sessions,
    /// The aggregators, which pull the data; without one no job is queued.
    pub aggregators: Vec<AggregatorSettings>,
    /// How events are delivered.
    pub webhooks: WebhookSettings,
    /// What is told of the end of consents.
    pub consents: Consents,
    /// What is told of the private keys that clients have at institutions.
    pub client_keys: ClientKeys,
    /// The proxy that outgoing calls go through, if any.
    pub proxy: Option<ProxySettings>,
    /// What is logged.
    pub log: Log,
    /// How often it is looked whether what institutions publish has changed.
    pub watch_every: Duration,
    /// The banks.
    pub institutions: Vec<Institution>,
    /// The API customers, their links' settings filled in from [`Self::links`].
    pub clients: Vec<Client>,
    /// The `MD-API-KEY` of each client that may get SSO tokens.
    pub sso_keys: BTreeMap<ClientId, SecretString>,
}

impl Config {
    /// Loads the configuration file at `path`, if there is one, the overrides in `environment`, and the
    /// institution files.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]: everything that is wrong, as far as it can be seen at once.
    pub fn load(
        path: Option<&Path>,
        environment: &Environment,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let Some(path) = path else {
            return Self::parse("", Path::new("(no configuration file)"), environment);
        };
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path, environment)
    }

    /// As [`Self::load`], from the `text` of `file`; relative paths start at its folder.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn parse(
        text: &str,
        file: &Path,
        environment: &Environment,
    ) -> Result<(Self, Vec<Warning>), ConfigError> {
        let name = file.display().to_string();
        let overrides = environment.overrides();
        let (tree, document): (raw::Tree, _) = Document::read(&name, text, &overrides, REFERENCE)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let mut reading = Reading::new(&document, folder, environment);
        let config = Self::build(&mut reading, tree);
        if reading.has_secrets() && reading::is_readable_by_all(file) {
            reading.warn(
                "",
                format!("{name} holds secrets and every user of this machine can read it; run: chmod o-rwx {name}"),
            );
        }
        reading.finish(config)
    }

    fn build(reading: &mut Reading<'_>, tree: raw::Tree) -> Result<Self, Refused> {
        warn_of_proxies(reading, &tree.public_url, &tree.listen);
        let operator = Operator::build(reading, tree.operator, &tree.listen);
        let store = StoreSettings::build(reading, tree.store);
        let seal = SealKey::build_all(reading, tree.seal);
        tree.links.check(reading, "links.link_minutes");
        tree.limits.check(reading);
        if tree.aggregator.is_none() && tree.aggregators.is_empty() {
            reading.warn(
                "aggregator",
                "there is none, so connected members' data is never pulled; add the section",
            );
        }
        let aggregators = AggregatorSettings::build_all(reading, tree.aggregator, tree.aggregators);
        if tree.webhooks.timeout < std::time::Duration::from_secs(5) {
            reading.warn(
                "webhooks.timeout_seconds",
                "slow receivers are cut off and get the same event again; give 5 seconds or more",
            );
        }
        let proxy = ProxySettings::build(reading, &tree.outgoing);
        let found = institutions::load(&reading.path(&tree.institutions.folder));
        let surroundings = Surroundings {
            public_url: &tree.public_url,
            links: &tree.links,
            webhooks: &tree.webhooks,
            institutions: &found,
            aggregators: aggregators.as_deref().ok(),
        };
        let (clients, sso_keys) = surroundings.clients(reading, tree.clients);
        client_keys::warn_of_the_shared(reading, &clients);
        warn_of_the_unused(reading, &clients, &found.institutions);
        warn_of_the_idle(
            reading,
            &clients,
            aggregators.as_deref().unwrap_or_default(),
        );
        let institutions = found.institutions;
        reading.take_over(found.faults, found.warnings);
        Ok(Self {
            public_url: tree.public_url,
            listen: tree.listen,
            operator: operator?,
            store: store?,
            seal,
            links: tree.links,
            limits: tree.limits,
            sessions: tree.sessions,
            aggregators: aggregators?,
            webhooks: tree.webhooks,
            consents: tree.consents,
            client_keys: tree.client_keys,
            proxy: proxy?,
            log: tree.log,
            watch_every: tree.institutions.watch_every,
            institutions,
            clients,
            sso_keys,
        })
    }
}

/// Warns of settings that have no use.
fn warn_of_the_unused(reading: &mut Reading<'_>, clients: &[Client], institutions: &[Institution]) {
    if clients.is_empty() {
        reading.warn(
            "clients",
            "there are none, so nobody can use the APIs; add [[clients]]",
        );
        return;
    }
    for institution in institutions.iter().filter(|it| it.oauth.is_some()) {
        if !clients
            .iter()
            .any(|client| client.registration(&institution.code).is_some())
        {
            reading.warn(
                "clients",
                format!(
                    "no client has a registration at {0}, so nobody can connect it; add \
                     [[clients.registrations]] with institution = \"{0}\", or remove its file",
                    institution.code
                ),
            );
        }
    }
}

/// Warns of aggregators without clients.
fn warn_of_the_idle(
    reading: &mut Reading<'_>,
    clients: &[Client],
    aggregators: &[AggregatorSettings],
) {
    for (i, aggregator) in aggregators.iter().enumerate() {
        let is_its = |client: &Client| client.aggregator.as_ref() == Some(&aggregator.name);
        if !clients.is_empty() && !clients.iter().any(is_its) {
            let problem = format!(
                "no client has the aggregator {0}, so it gets no jobs; give a client aggregator = \"{0}\", or remove it",
                aggregator.name
            );
            reading.warn(&format!("aggregators[{i}].name"), problem);
        }
    }
}

/// Limits and logs use source addresses, so these must be neither the proxy's nor forged.
fn warn_of_proxies(reading: &mut Reading<'_>, public_url: &PublicUrl, listen: &Listen) {
    if listen.trusted_proxies.iter().any(Network::is_everything) {
        reading.warn(
            "listen.trusted_proxies",
            "trusts every address, so anyone can forge theirs; name only your proxies",
        );
    }
    if listen.trusted_proxies.is_empty() && !public_url.is_loopback() {
        reading.warn(
            "listen.trusted_proxies",
            "is empty: every visitor of a proxy counts as one source address; name the proxy that \
             serves public_url",
        );
    }
}
