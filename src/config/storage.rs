//! `[store]` and `[seal]`: where everything is kept, and what it is sealed under.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use zeroize::Zeroizing;

use super::fault::ConfigError;
use super::raw;
use super::reading::{Reading, Written};
use super::value::Section;
use crate::domain::return_address::is_loopback;

/// `[store]`: where everything is kept.
pub struct StoreSettings {
    /// The place.
    pub location: StoreLocation,
    /// What leads every Redis key.
    pub prefix: String,
    /// Use a Redis server that may lose or evict what it was told to keep.
    pub accept_volatile: bool,
    /// How long finished windows and dead events are kept.
    pub keep_finished: Duration,
}

/// The backend and its address.
pub enum StoreLocation {
    /// A file of the embedded store.
    Sqlite(PathBuf),
    /// A `redis://` or `rediss://` address, which may hold a password.
    Redis(SecretString),
}

impl StoreSettings {
    pub(super) fn build(reading: &mut Reading<'_>, raw: raw::Store) -> Result<Self, ConfigError> {
        let written = Written {
            inline: raw.url,
            file: raw.url_file,
            env: raw.url_env,
        };
        let url = reading
            .store_url("store.url", written)?
            .unwrap_or_else(|| SecretString::from("sqlite:guichet.sqlite"));
        let location = match url.expose_secret().strip_prefix("sqlite:") {
            Some(path) if path.is_empty() || path.starts_with(':') || path.starts_with("//") => {
                return Err(reading.invalid(
                    "store.url",
                    "names no file; write sqlite:guichet.sqlite or sqlite:/var/lib/guichet/guichet.sqlite",
                ));
            }
            Some(path) => StoreLocation::Sqlite(reading.path(path.as_ref())),
            None => {
                check_redis(reading, url.expose_secret())?;
                StoreLocation::Redis(url)
            }
        };
        let prefix = raw.prefix.unwrap_or_else(|| "g:".to_owned());
        let sound = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/".contains(&b);
        if prefix.len() > 32 || !prefix.bytes().all(sound) {
            return Err(reading.invalid(
                "store.prefix",
                "must be at most 32 letters, digits or -_.:/ (braces would change where a cluster \
                 keeps the keys)",
            ));
        }
        if raw.accept_volatile {
            reading.warn(
                "store.accept_volatile",
                "the Redis server is used even if it may lose links, grants and events; keep this \
                 for tests",
            );
        }
        Ok(Self {
            location,
            prefix,
            accept_volatile: raw.accept_volatile,
            keep_finished: Duration::from_secs(raw.keep_finished_days.0 * 24 * 60 * 60),
        })
    }
}

fn check_redis(reading: &mut Reading<'_>, url: &str) -> Result<(), ConfigError> {
    let parsed = Url::parse(url).ok();
    let parsed = parsed.filter(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host());
    let Some(parsed) = parsed else {
        return Err(reading.invalid(
            "store.url",
            "is not the address of a store; write sqlite:FILE, redis://host:port or \
             rediss://host:port",
        ));
    };
    let is_local = is_loopback(&parsed) || parsed.host_str() == Some("127.0.0.1");
    if parsed.scheme() == "redis" && !is_local {
        reading.warn(
            "store.url",
            "the Redis server is reached over the network without TLS; use rediss:// unless the \
             network itself is encrypted",
        );
    }
    Ok(())
}

/// One key of `[seal]`, under which what institutions granted is sealed at rest.
pub struct SealKey {
    /// Its name, kept beside everything it sealed.
    pub id: String,
    /// The key.
    pub key: Zeroizing<[u8; 32]>,
}

impl SealKey {
    /// The keys, the active one first.
    pub(super) fn build_all(
        reading: &mut Reading<'_>,
        raw: raw::Seal,
    ) -> Result<Vec<Self>, ConfigError> {
        if raw.keys.is_empty() {
            return Err(reading.invalid(
                "seal.keys",
                "has no key, and grants are never kept unsealed; make one with `openssl rand \
                 -base64 32 > seal.key` and write keys = [{ id = \"2026-01\", key_file = \
                 \"seal.key\" }] under [seal]",
            ));
        }
        let mut keys: Vec<Self> = Vec::new();
        for (i, Section(raw)) in raw.keys.into_iter().enumerate() {
            let at = format!("seal.keys[{i}]");
            let sound = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            if raw.id.is_empty() || raw.id.len() > 32 || !raw.id.bytes().all(sound) {
                return Err(reading.invalid(
                    &format!("{at}.id"),
                    "must be 1 to 32 letters, digits or -_.",
                ));
            }
            if keys.iter().any(|key| key.id == raw.id) {
                return Err(reading.invalid(
                    &format!("{at}.id"),
                    "is the id of another key too; what was sealed names its key by id, so give \
                     each its own",
                ));
            }
            let written = Written {
                inline: raw.key,
                file: raw.key_file,
                env: raw.key_env,
            };
            let key_name = format!("{at}.key");
            let text = reading.secret(&key_name, written)?;
            let bytes = text.map(|text| STANDARD.decode(text.expose_secret()).map(Zeroizing::new));
            let Some(bytes) = bytes else {
                return Err(reading.invalid(&key_name, "is missing; give key_file, key_env or key"));
            };
            let mut key = Zeroizing::new([0; 32]);
            match bytes {
                Ok(bytes) if bytes.len() == key.len() => key.copy_from_slice(&bytes),
                _ => {
                    return Err(reading.invalid(
                        &key_name,
                        "is not 32 bytes in base64; make one with: openssl rand -base64 32",
                    ));
                }
            }
            keys.push(Self { id: raw.id, key });
        }
        Ok(keys)
    }
}
