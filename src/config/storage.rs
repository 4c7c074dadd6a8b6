//! `[store]` and `[seal]`: where everything is kept, and the seal keys.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::fault::Refused;
use super::raw;
use super::reading::Reading;
use super::secrets::Written;
use super::value::Section;
use crate::domain::redis_address::{InvalidRedisAddress, RedisAddress};

/// `[store]`: where everything is kept.
pub struct StoreSettings {
    /// The place.
    pub location: StoreLocation,
    /// The prefix of every Redis key.
    pub prefix: String,
    /// Use a Redis server that may lose or evict data.
    pub accept_volatile: bool,
    /// How many replicas must have what has to survive a failover; `None`: one, where there is one.
    pub acknowledged_by: Option<u64>,
    /// How long finished windows and dead events are kept.
    pub keep_finished: Duration,
    /// How long OAuth members are kept that nobody connects.
    pub keep_unconnected: Duration,
    /// How long it is kept what was heard in attempts that failed.
    pub keep_reports: Duration,
}

/// The backend and its address.
pub enum StoreLocation {
    /// A file of the embedded store.
    Sqlite(PathBuf),
    /// Redis or Valkey servers.
    Redis(RedisAddress),
}

impl fmt::Display for StoreLocation {
    /// For a log: without user name, password and query.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Redis(address) => address.fmt(f),
        }
    }
}

impl StoreSettings {
    pub(super) fn build(reading: &mut Reading<'_>, raw: raw::Store) -> Result<Self, Refused> {
        let written = Written {
            inline: raw.url,
            file: raw.url_file,
            env: raw.url_env,
        };
        let url = reading.store_url("store.url", written);
        let location = url.and_then(|url| match url {
            Some(url) => StoreLocation::of(reading, url),
            None => Ok(StoreLocation::Sqlite(
                reading.path("guichet.sqlite".as_ref()),
            )),
        });
        let prefix = raw.prefix.unwrap_or_else(|| "g:".to_owned());
        let sound = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b);
        if prefix.len() > 32 || !prefix.bytes().all(sound) {
            reading.wrong(
                "store.prefix",
                "must be at most 32 letters, digits or -_.:/ (braces would change where a cluster \
                 keeps the keys)",
            );
        }
        if raw.accept_volatile {
            reading.warn(
                "store.accept_volatile",
                "the Redis server is used even if it may lose links, grants and events; keep this \
                 for tests",
            );
        }
        let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        Ok(Self {
            location: location?,
            prefix,
            accept_volatile: raw.accept_volatile,
            acknowledged_by: raw.acknowledged_by.map(|it| it.0),
            keep_finished: days(raw.keep_finished_days.0),
            keep_unconnected: days(raw.keep_unconnected_days.0),
            keep_reports: days(raw.keep_reports_days.0),
        })
    }
}

impl StoreLocation {
    fn of(reading: &mut Reading<'_>, url: SecretString) -> Result<Self, Refused> {
        match url.expose_secret().strip_prefix("sqlite:") {
            Some(path) if path.is_empty() || path.starts_with(':') || path.starts_with("//") => {
                Err(reading.wrong(
                    "store.url",
                    "names no file; write sqlite:guichet.sqlite or sqlite:/var/lib/guichet/guichet.sqlite",
                ))
            }
            Some(path) => Ok(Self::Sqlite(reading.path(path.as_ref()))),
            None => redis(reading, url.expose_secret()).map(Self::Redis),
        }
    }
}

fn redis(reading: &mut Reading<'_>, url: &str) -> Result<RedisAddress, Refused> {
    let address: RedisAddress = url
        .parse()
        .map_err(|error: InvalidRedisAddress| reading.wrong("store.url", error.to_string()))?;
    if !address.is_encrypted && !address.is_loopback() {
        reading.warn(
            "store.url",
            "the Redis server is reached over the network without TLS; write rediss for redis unless \
             the network itself is encrypted",
        );
    }
    Ok(address)
}

/// One key of `[seal]`: tokens and credentials are sealed under it.
pub struct SealKey {
    /// Its id, stored with everything it sealed.
    pub id: String,
    /// The key.
    pub key: Zeroizing<[u8; 32]>,
}

impl SealKey {
    /// The keys, the active one first.
    pub(super) fn build_all(reading: &mut Reading<'_>, raw: raw::Seal) -> Vec<Self> {
        if raw.keys.is_empty() {
            reading.wrong(
                "seal.keys",
                "has no key, and grants are never kept unsealed; make one with `openssl rand \
                 -base64 32 > seal.key` and write keys = [{ id = \"2026-01\", key_file = \
                 \"seal.key\" }] under [seal]",
            );
        }
        let mut ids: Vec<String> = Vec::new();
        let mut keys: Vec<Self> = Vec::new();
        for (i, Section(raw)) in raw.keys.into_iter().enumerate() {
            let at = format!("seal.keys[{i}]");
            let sound = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            if raw.id.is_empty() || raw.id.len() > 32 || !raw.id.bytes().all(sound) {
                reading.wrong(
                    &format!("{at}.id"),
                    "must be 1 to 32 letters, digits or -_.",
                );
            }
            if ids.contains(&raw.id) {
                reading.wrong(
                    &format!("{at}.id"),
                    "is the id of another key too; what was sealed names its key by id, so give \
                     each its own",
                );
            }
            ids.push(raw.id.clone());
            let written = Written {
                inline: raw.key,
                file: raw.key_file,
                env: raw.key_env,
            };
            let key_name = format!("{at}.key");
            match reading.seal_key(&key_name, written) {
                Ok(Some(key)) => keys.push(Self { id: raw.id, key }),
                Ok(None) => {
                    reading.wrong(&key_name, "is missing; give key_file, key_env or key");
                }
                Err(Refused) => {}
            }
        }
        keys
    }
}
