//! Watch: what an institution shows of itself (its metadata, its keys, its certificates) is looked at every few hours.
//!
//! A change is told and kept, and changes nothing here: which endpoints are called, with which keys and how, is what the
//! institution's file says. An institution in maintenance is left alone.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tracing::Instrument;
use url::Url;

use super::{Gateway, Internal, maintenance};
use crate::domain::id::InstitutionCode;
use crate::domain::institution::{Institution, OAuth};
use crate::domain::random;
use crate::domain::watch::{Change, Shown, ShownCertificate};
use crate::log_context;
use crate::oauth::{Level, compare};
use crate::printable::printable;
use crate::store::{BeginLook, Look, TellShown};

/// After what parts of the time between two looks the first one of a process comes: at least, and how much more at most.
/// So a restart of many gateways is no burst.
const FIRST: [f64; 2] = [1.0 / 360.0, 1.0 / 36.0];

/// How long a text of an institution's may be, in characters.
const TEXT: usize = 4_000;

/// When a process looks at each institution next.
#[derive(Debug, Default)]
pub struct Watch(BTreeMap<InstitutionCode, Timestamp>);

/// Looks at every institution whose time has come, one after the other.
pub async fn go_on(gateway: &Gateway, watch: &mut Watch) -> Result<(), Internal> {
    let every = gateway.settings.watch_every;
    for institution in gateway.institutions.watched() {
        let now = gateway.now();
        let next = watch.0.entry(institution.code.clone());
        let next =
            next.or_insert_with(|| now + every.mul_f64(FIRST[0] + FIRST[1] * chance(gateway)));
        if now < *next || maintenance::closed(gateway, &institution.code).is_some() {
            continue;
        }
        // A tenth more or less, so that not everything comes at once for ever.
        let begin = BeginLook {
            institution: institution.code.clone(),
            every: every.mul_f64(0.9 + 0.2 * chance(gateway)),
        };
        match gateway.store.begin_look(&begin, now).await? {
            Look::NotBefore(time) => *next = time,
            Look::Begun => {
                *next = now + begin.every;
                let look = look(gateway, institution);
                look.instrument(log_context::span()).await?;
            }
        }
    }
    Ok(())
}

/// Any number from 0 to 1.
fn chance(gateway: &Gateway) -> f64 {
    let drawn: [u8; 4] = random::bytes(gateway.random.as_ref());
    f64::from(u32::from_le_bytes(drawn)) / f64::from(u32::MAX)
}

/// Looks at one institution now; what has changed since it was looked at before.
pub async fn look(gateway: &Gateway, institution: &Institution) -> Result<Vec<Change>, Internal> {
    log_context::institution(&institution.code);
    let Some(oauth) = &institution.oauth else {
        return Ok(Vec::new());
    };
    let (shown, unread) = see(gateway, oauth).await;
    let tell = TellShown {
        institution: institution.code.clone(),
        shown,
        unread,
    };
    let news = gateway.store.tell_shown(&tell, gateway.now()).await?;
    for detail in &news.unread {
        tracing::warn!(detail, "what an institution publishes could not be read");
    }
    for Change {
        aspect,
        text,
        is_usual,
    } in &news.changes
    {
        let labels = [institution.code.as_str(), aspect.name()];
        gateway.metrics.institution_changes.count(labels);
        let (aspect, change) = (aspect.name(), text);
        match is_usual {
            true => tracing::info!(
                aspect,
                change,
                "an institution has replaced a key or a certificate"
            ),
            false => tracing::warn!(
                aspect,
                change,
                "an institution shows something else than before; nothing of it is adopted"
            ),
        }
    }
    Ok(news.changes)
}

/// What can be read of it, and what cannot.
async fn see(gateway: &Gateway, oauth: &OAuth) -> (Shown, Vec<String>) {
    let mut shown = Shown::default();
    let mut unread = Vec::new();
    let mut cannot = |what: &str, error: String| {
        unread.push(printable(&format!("{what}: {error}"), TEXT));
    };
    if let Some(issuer) = &oauth.issuer {
        let address = oauth.discovery.metadata_url.as_ref();
        let found = gateway.oauth.discover(issuer, address, &oauth.allow_hosts);
        match found.await {
            Ok(found) => {
                let texts = found.metadata.texts().into_iter();
                let texts = texts.map(|(name, text)| (name, printable(&text, TEXT)));
                shown.metadata = Some(texts.collect());
                let findings = compare(oauth, &found.metadata).into_iter();
                let errors = findings.filter(|finding| finding.level == Level::Error);
                let errors = errors.map(|it| printable(&format!("{} {}", it.about, it.text), TEXT));
                shown.differences = Some(errors.collect());
            }
            Err(error) => cannot("metadata", error.to_string()),
        }
    }
    if oauth.discovery.jwks_uri.is_some() {
        match gateway.oauth.published_keys(oauth).await {
            Ok(keys) => {
                let named = |key: &crate::oauth::PublishedKey| {
                    (key.thumbprint.clone(), printable(&key.name(), 100))
                };
                shown.keys = Some(keys.iter().map(named).collect());
            }
            Err(error) => cannot("keys", error.to_string()),
        }
    }
    for (host, url) in hosts(oauth) {
        match gateway.oauth.tls(url).await {
            Ok(tls) => {
                if let Some(certificate) = tls.and_then(|tls| tls.certificate) {
                    let certificate = ShownCertificate {
                        fingerprint: certificate.fingerprint,
                        ends_at: certificate.ends_at,
                    };
                    shown.certificates.insert(host, certificate);
                }
            }
            Err(error) => cannot(&format!("certificate of {host}"), error),
        }
    }
    (shown, unread)
}

/// The hosts that are called, each with one of its addresses; those of plain http have no certificate.
fn hosts(oauth: &OAuth) -> BTreeMap<String, &Url> {
    let mut seen = BTreeSet::new();
    let named = oauth.endpoints().into_iter().filter_map(|(_, url)| {
        let port = url.port_or_known_default()?;
        let host = format!("{}:{port}", url.host_str()?);
        (url.scheme() == "https" && seen.insert(host.clone())).then_some((host, url))
    });
    named.collect()
}
