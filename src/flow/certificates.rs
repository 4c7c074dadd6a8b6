//! The certificates that clients show to institutions: they are read again when their files change, their ends are told
//! before they come, and what was issued to an earlier one is refreshed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tracing::Instrument;

use super::{Gateway, Internal};
use crate::client_certificate::ClientCertificate;
use crate::domain::client::CertificateFiles;
use crate::domain::id::{ClientId, InstitutionCode};
use crate::domain::member::Member;
use crate::domain::random;
use crate::log_context;
use crate::store::Rebind;
use crate::watched_files::Look;

use super::registration::CallbackEndpoint;

/// How many days before the end of a certificate it is told.
const NOTICE_DAYS: [i64; 3] = [30, 7, 1];

/// Over how long token sets are spread that are refreshed because the certificate changed.
const SPREAD: Duration = Duration::from_secs(60 * 60);

/// Of which certificates it was told that they end, and at which of the notices; one more: that they have ended.
#[derive(Default)]
pub struct Told(HashMap<(ClientId, InstitutionCode), (String, usize)>);

/// Looks at the files of all certificates; what changed is used from then on.
pub async fn look(gateway: &Arc<Gateway>, told: &mut Told) -> Result<(), Internal> {
    let reader = gateway.clone();
    let looked = tokio::task::spawn_blocking(move || reader.oauth.certificates().look());
    let looked: HashMap<CertificateFiles, Look> = looked
        .await
        .map_err(|_| Internal::Interrupted)?
        .into_iter()
        .collect();
    for client in gateway.clients.ids() {
        let Some(client) = gateway.clients.get(client) else {
            continue;
        };
        for registration in client.registrations.values() {
            let Some(files) = &registration.certificate else {
                continue;
            };
            let Some(certificate) = gateway.oauth.certificates().current(files) else {
                continue;
            };
            let look = looked.get(files).unwrap_or(&Look::Unchanged);
            let names = (&client.id, &registration.institution);
            let tell = async { tell(gateway, names, look, &certificate, told) };
            tell.instrument(log_context::span()).await;
        }
    }
    Ok(())
}

fn tell(
    gateway: &Gateway,
    (client, institution): (&ClientId, &InstitutionCode),
    look: &Look,
    certificate: &ClientCertificate,
    told: &mut Told,
) {
    log_context::client(client);
    log_context::institution(institution);
    let labels = [client.as_str(), institution.as_str()];
    let ends_at = certificate.ends_at();
    match look {
        Look::Unchanged => {}
        Look::Changed => {
            tracing::info!(%ends_at, "the client certificate changed; it is used from now on")
        }
        Look::Unsound(error) => {
            gateway.metrics.client_certificates_unsound.count(labels);
            tracing::error!(%error, "the client certificate changed and cannot be used; the one before stays in use");
        }
    }
    let left = ends_at.duration_since(gateway.clock.of_day());
    let metrics = &gateway.metrics.client_certificate_expires;
    metrics.set(labels, left.as_secs_f64());
    let notice = notice(left);
    let thumbprint = certificate.thumbprint().to_owned();
    let now_told = (thumbprint, notice);
    let key = (client.clone(), institution.clone());
    let before = told.0.insert(key, now_told.clone());
    let is_news = match before {
        Some((thumbprint, before)) if thumbprint == now_told.0 => notice > before,
        _ => notice > 0,
    };
    if !is_news {
        return;
    }
    match left.is_positive() {
        true => {
            let days_left = left.as_hours() / 24;
            tracing::warn!(days_left, %ends_at, "the client certificate ends soon");
        }
        false => tracing::error!(%ends_at, "the client certificate has ended"),
    }
}

/// How many of the notices are due, where so much time is left; one more: it has ended.
fn notice(left: SignedDuration) -> usize {
    let is_due = |days: &&i64| left <= SignedDuration::from_hours(24 * **days);
    NOTICE_DAYS.iter().filter(is_due).count() + usize::from(!left.is_positive())
}

/// A warning, if a certificate ends soon or has ended.
pub fn risk(certificate: &ClientCertificate, now: Timestamp) -> Option<String> {
    let ends_at = certificate.ends_at();
    let left = ends_at.duration_since(now);
    match (notice(left), left.is_positive()) {
        (0, _) => None,
        (_, true) => Some(format!(
            "ends in {} days, at {ends_at}; ask for a new one, and replace its files",
            left.as_hours() / 24
        )),
        (_, false) => Some(format!(
            "ended at {ends_at}, so the institution refuses every call; replace its files"
        )),
    }
}

/// Sees to it that a token set is refreshed soon that was issued to an earlier certificate than the one that is shown now.
pub(super) async fn rebind(gateway: &Gateway, member: &Member) -> Result<(), Internal> {
    let endpoint = CallbackEndpoint::of(gateway, &member.client, &member.institution);
    let Ok(endpoint) = endpoint else {
        return Ok(());
    };
    let Some(certificate) = gateway.oauth.certificate(endpoint.registered()) else {
        return Ok(());
    };
    let now = gateway.now();
    let chance = u32::from_le_bytes(random::bytes(gateway.random.as_ref()));
    let wait = SPREAD.mul_f64(f64::from(chance) / f64::from(u32::MAX));
    let rebind = Rebind {
        member: member.guid,
        certificate: certificate.thumbprint().to_owned(),
        due_at: now + wait,
        latest: now + SPREAD,
    };
    if gateway.store.rebind(&rebind, now).await? {
        log_context::member(member);
        tracing::debug!("the client certificate changed; the token set is refreshed soon");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_certificate::test_support::{CERTIFICATE, KEY};

    #[test]
    fn x2_the_end_of_a_certificate_is_told_30_7_and_1_days_before() {
        for (hours, expected) in [
            (31 * 24, 0),
            (30 * 24 + 1, 0),
            (30 * 24, 1),
            (8 * 24, 1),
            (7 * 24, 2),
            (25, 2),
            (24, 3),
            (1, 3),
            (0, 4),
            (-24, 4),
        ] {
            assert_eq!(
                notice(SignedDuration::from_hours(hours)),
                expected,
                "{hours}"
            );
        }
        let certificate = ClientCertificate::read(CERTIFICATE, KEY).expect("a certificate");
        let risk = |now: &str| risk(&certificate, now.parse().expect("a time"));
        assert_eq!(risk("2119-01-01T00:00:00Z"), None);
        let soon = risk("2119-12-20T00:00:00Z").expect("a risk");
        assert!(soon.contains("ends in 12 days"), "{soon}");
        let ended = risk("2120-01-02T00:00:00Z").expect("a risk");
        assert!(ended.contains("ended at 2120-01-01"), "{ended}");
    }
}
