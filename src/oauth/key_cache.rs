//! The keys of institutions, kept in memory for a while (OpenID Connect Core section 10.1.1).
//!
//! - They are kept for as long as the institution says, but for ten minutes at least and a day at most; an hour
//!   where it does not say. After that they count no more, whether newer ones can be read or not.
//! - A key that is not among them may be new: then they are read anew, but at most once a minute, so that a
//!   stranger's invention costs the institution nothing.
//! - One request is under way at a time. Who finds what he needs does not wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use url::Url;

use super::fetch::Fetcher;
use super::published_keys::{KeySetError, PublishedKeys};
use super::transport_error::TransportError;
use crate::domain::allowed_host::AllowedHost;
use crate::jose::JwkSet;

/// For how long keys are kept: at least, where nobody says, and at most.
const LIFE: [Duration; 3] = [
    Duration::from_secs(10 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(24 * 60 * 60),
];

/// How long the keys are not read anew, after they were read or could not be.
const PAUSE: Duration = Duration::from_secs(60);

/// The same, where there are none and they could not be read.
const PAUSE_WITHOUT: Duration = Duration::from_secs(5);

/// Why an institution's keys are not known. None of these holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Its file does not say where they are.
    #[error("the institution's file has no jwks_uri")]
    NotConfigured,
    /// They could not be read.
    #[error("the institution's keys could not be read: {0}")]
    Call(#[from] TransportError),
    /// They are not to be relied on.
    #[error("the institution's keys are of no use: {0}")]
    Unusable(#[from] KeySetError),
}

/// The keys of all institutions, by their address.
#[derive(Default)]
pub struct KeyCache(Mutex<HashMap<Url, Arc<Kept>>>);

/// Those of one address.
#[derive(Default)]
struct Kept {
    known: Mutex<Known>,
    /// Held by whoever reads them.
    reading: tokio::sync::Mutex<()>,
}

/// What is known of them.
#[derive(Default)]
struct Known {
    /// The keys, and until when they count.
    keys: Option<(Arc<JwkSet>, Instant)>,
    /// Why they could not be read the last time.
    error: Option<KeysError>,
    /// When they may be read again.
    again_at: Option<Instant>,
}

impl Known {
    /// What there is without reading: keys that suffice, or cannot be read anew yet; `None`: they are to be read.
    fn now(
        &self,
        now: Instant,
        is_enough: &impl Fn(&JwkSet) -> bool,
    ) -> Option<Result<Arc<JwkSet>, KeysError>> {
        let may_read = self.again_at.is_none_or(|again_at| again_at <= now);
        match &self.keys {
            Some((keys, until)) if now < *until => {
                (is_enough(keys) || !may_read).then(|| Ok(keys.clone()))
            }
            _ if may_read => None,
            _ => self.error.clone().map(Err),
        }
    }

    fn learn(&mut self, now: Instant, read: Result<(JwkSet, Duration), KeysError>) {
        match read {
            Ok((keys, life)) => {
                self.keys = Some((Arc::new(keys), now + life));
                self.error = None;
                self.again_at = Some(now + PAUSE);
            }
            Err(error) => {
                self.keys.take_if(|(_, until)| *until <= now);
                let pause = match self.keys {
                    Some(_) => PAUSE,
                    None => PAUSE_WITHOUT,
                };
                self.error = Some(error);
                self.again_at = Some(now + pause);
            }
        }
    }
}

impl Kept {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeyCache {
    /// The keys at that address. They are read anew if those that are kept are not enough and may be out of date.
    pub async fn keys(
        &self,
        fetcher: &Fetcher,
        (at, allow_hosts): (&Url, &[AllowedHost]),
        now: Instant,
        is_enough: impl Fn(&JwkSet) -> bool,
    ) -> Result<Arc<JwkSet>, KeysError> {
        let kept = self.at(at);
        if let Some(keys) = kept.known().now(now, &is_enough) {
            return keys;
        }
        let _reading = kept.reading.lock().await;
        // Somebody else may have read them meanwhile.
        if let Some(keys) = kept.known().now(now, &is_enough) {
            return keys;
        }
        let read = read(fetcher, at, allow_hosts).await;
        let read = read.map(|(_, keys, life)| (keys, life));
        let mut known = kept.known();
        known.learn(now, read);
        let unread = || known.error.clone().unwrap_or(KeysError::NotConfigured);
        let keys = known.keys.as_ref().map(|(keys, _)| keys.clone());
        keys.ok_or_else(unread)
    }

    fn at(&self, address: &Url) -> Arc<Kept> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(address.clone()).or_default().clone()
    }
}

/// Reads the keys at that address: as they are published, as they verify, and for how long they count.
pub async fn read(
    fetcher: &Fetcher,
    at: &Url,
    allow_hosts: &[AllowedHost],
) -> Result<(PublishedKeys, JwkSet, Duration), KeysError> {
    let document = fetcher.fetch(allow_hosts, at).await?;
    let published = PublishedKeys::parse(&document.bytes)?;
    let keys = JwkSet::parse(&document.bytes).map_err(|_| KeySetError::NoKeys)?;
    let [least, usual, most] = LIFE;
    let life = document.max_age.unwrap_or(usual).clamp(least, most);
    Ok((published, keys, life))
}
