//! The private keys that clients have at institutions: they are read again when their files change, the operator is told
//! when they are old, and their public halves are published.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tracing::Instrument;

use super::registration::CallbackEndpoint;
use super::{Gateway, Internal};
use crate::domain::client::KeyFiles;
use crate::domain::id::{ClientId, InstitutionCode};
use crate::log_context;
use crate::oauth::KeyInUse;
use crate::watched_files::Look;

/// Which keys of which registration were said to be old.
#[derive(Default)]
pub struct Told(HashSet<(ClientId, InstitutionCode, String)>);

/// What was found of files: whether they changed, and the keys in use now.
struct Seen {
    look: Look,
    keys: Vec<KeyInUse>,
}

/// The public keys of a client at an institution, as a JWK set (RFC 7517 section 5); `None`: it has none there.
pub fn published(gateway: &Gateway, client: &str, institution: &str) -> Option<String> {
    let endpoint = CallbackEndpoint::find(gateway, client, institution)?;
    let files = endpoint.registered().registration.keys.as_ref()?;
    let keys = gateway.oauth.client_keys().current(files)?;
    Some(keys.public().to_string())
}

/// Looks at the files of all keys; what changed is used from then on.
pub async fn look(gateway: &Arc<Gateway>, told: &mut Told) -> Result<(), Internal> {
    let reader = gateway.clone();
    let looked = tokio::task::spawn_blocking(move || {
        let keys = reader.oauth.client_keys();
        let seen = |(files, look): (KeyFiles, Look)| {
            let keys = keys.in_use(&files);
            (files, Seen { look, keys })
        };
        keys.look().into_iter().map(seen).collect()
    });
    let looked: HashMap<KeyFiles, Seen> = looked.await.map_err(|_| Internal::Interrupted)?;
    for client in gateway.clients.ids() {
        let Some(client) = gateway.clients.get(client) else {
            continue;
        };
        for registration in client.registrations.values() {
            let files = registration.keys.as_ref();
            let Some(seen) = files.and_then(|files| looked.get(files)) else {
                continue;
            };
            let names = (&client.id, &registration.institution);
            let tell = async { tell(gateway, names, seen, told) };
            tell.instrument(log_context::span()).await;
        }
    }
    Ok(())
}

fn tell(
    gateway: &Gateway,
    (client, institution): (&ClientId, &InstitutionCode),
    seen: &Seen,
    told: &mut Told,
) {
    log_context::client(client);
    log_context::institution(institution);
    let labels = [client.as_str(), institution.as_str()];
    match &seen.look {
        Look::Unchanged => {}
        Look::Changed => {
            let signs = seen.keys.iter().filter(|key| key.signs);
            let signs: Vec<&str> = signs.map(|key| key.kid.as_str()).collect();
            let published: HashSet<&str> = seen.keys.iter().map(|it| it.kid.as_str()).collect();
            let (signs, published) = (signs.join(", "), published.len());
            tracing::info!(
                signs,
                published,
                "the client keys changed; they are used from now on"
            );
        }
        Look::Unsound(error) => {
            gateway.metrics.client_keys_unsound.count(labels);
            tracing::error!(%error, "the client keys changed and cannot be used; the ones before stay in use");
        }
    }
    let now = gateway.clock.of_day();
    let ages = seen.keys.iter().filter_map(|key| age(key, now));
    let oldest = ages.max().unwrap_or_default();
    let gauge = &gateway.metrics.client_key_age;
    gauge.set(labels, oldest.as_secs_f64());
    for key in &seen.keys {
        let is_old = age(key, now).filter(|age| *age >= gateway.settings.client_key_old_after);
        let name = (client.clone(), institution.clone(), key.kid.clone());
        if let Some(age) = is_old
            && told.0.insert(name)
        {
            let (kid, days) = (&key.kid, days(age));
            tracing::warn!(kid, days, "a client key is old; replace it");
        }
    }
}

/// A warning, if a key is old.
pub fn risk(key: &KeyInUse, now: Timestamp, old_after: Duration) -> Option<String> {
    let age = age(key, now).filter(|age| *age >= old_after)?;
    Some(format!(
        "was written {} days ago; replace it (docs/INSTITUTIONS.md says how, without a failed request)",
        days(age)
    ))
}

/// How long ago a key was written; `None`: that is not known.
pub fn age(key: &KeyInUse, now: Timestamp) -> Option<Duration> {
    let age: SignedDuration = now.duration_since(key.written_at?);
    Some(Duration::try_from(age).unwrap_or_default())
}

/// The same in whole days.
pub fn days(age: Duration) -> u64 {
    age.as_secs() / (24 * 60 * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x2_a_key_is_old_from_the_configured_age_on() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let mut key = KeyInUse {
            file: "key.pem".into(),
            kid: "k".to_owned(),
            usage: "sig",
            algorithms: vec!["PS256"],
            signs: true,
            written_at: Some(at("2026-01-01T00:00:00Z")),
        };
        let old_after = Duration::from_secs(400 * 24 * 60 * 60);
        let mut told = |now: &str, written: Option<&str>| {
            key.written_at = written.map(at);
            risk(&key, at(now), old_after)
        };
        let written = Some("2026-01-01T00:00:00Z");
        assert_eq!(told("2027-02-04T23:59:59Z", written), None);
        let old = told("2027-02-05T00:00:00Z", written).expect("a risk");
        assert!(old.contains("400 days ago; replace it"), "{old}");
        // Of a file from the future, or without a time, nothing is known.
        assert_eq!(told("2025-01-01T00:00:00Z", written), None);
        assert_eq!(told("2099-01-01T00:00:00Z", None), None);
    }
}
