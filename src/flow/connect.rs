//! connect: a grant → the member CONNECTED, the grant sealed, the state SUCCESS, events and job, in
//! one atomic step.

use std::pin::Pin;
use std::time::Duration;

use super::callback::Door;
use super::open::means;
use super::{Gateway, Internal};
use crate::domain::event::EventKind;
use crate::domain::grant::Grant;
use crate::domain::id::{ClientId, JobGuid};
use crate::domain::job::NewJob;
use crate::store::seal::{Context, Field};
use crate::store::{Committed, Connection, StoreError, Subject};

/// How often a step that must not be lost is sent again while the store is away, and how long to
/// wait between: about twelve seconds in all.
const STORE_WAITS_MS: [u64; 7] = [50, 150, 500, 1_000, 2_000, 4_000, 4_000];

/// Commits `grant` for the window's member.
///
/// When the window ended meanwhile (superseded, expired, deleted) nothing is kept and the grant is
/// given back.
pub(super) async fn connect(
    gateway: &Gateway,
    door: &Door,
    subject: &Subject,
    grant: Grant,
) -> Result<(), Internal> {
    let member = &subject.member;
    let window = &subject.window;
    let partition = member.guid.partition();
    let random = gateway.random.as_ref();
    let skipped = window
        .options
        .skip_aggregation
        .map_or(!member.aggregates_by_default(), |skip| skip);
    let job = (!skipped && gateway.aggregator.is_some()).then(|| NewJob {
        guid: JobGuid::new(random, partition),
        data_request: member.data_request.clone(),
    });
    let guid = member.guid.to_string();
    let context = grant_context(&member.client, &guid);
    let connection = Connection {
        window: window.guid,
        inbound: None,
        fingerprints: Vec::new(),
        deleted: Vec::new(),
        sealed_grant: gateway.sealer.seal(random, &context, &grant.to_bytes()),
        job,
        updated: gateway.notices(&door.client, &[EventKind::MemberUpdated], partition),
        finished: gateway.notices(&door.client, &[EventKind::OauthStateFinished], partition),
    };
    let committed =
        persistently(|| Box::pin(gateway.store.commit_connected(&connection, gateway.now())))
            .await?;
    match committed {
        Committed::Yes(subject) => {
            gateway.metrics.connected();
            gateway.wake_worker();
            tracing::info!(member = %subject.member.guid, oauth_state = %window.guid, institution = %door.institution.code, "member connected");
        }
        Committed::Duplicate(_) | Committed::OtherLogin => todo!(),
        Committed::Over => {
            tracing::warn!(member = %member.guid, oauth_state = %window.guid, "window ended during the exchange; grant given back");
            give_back(gateway, door, &grant).await;
        }
    }
    Ok(())
}

/// What goes with a member's grant when it is sealed.
pub(super) fn grant_context<'a>(client: &'a ClientId, member: &'a str) -> Context<'a> {
    Context {
        client: Some(client),
        subject: member,
        field: Field::Grant,
    }
}

/// Revokes a grant that will not be used, if the institution has a way to.
pub(super) async fn give_back(gateway: &Gateway, door: &Door, grant: &Grant) {
    let Ok((oauth, registration)) = means(&door.client, &door.institution) else {
        return;
    };
    if oauth.revocation_endpoint.is_none() {
        return;
    }
    if let Err(error) = gateway.oauth.revoke(oauth, registration, grant).await {
        tracing::warn!(institution = %door.institution.code, %error, "an unused grant could not be revoked");
    }
}

/// One sending of a store step.
type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Sends a step again while the store is away: what it holds cannot be had a second time.
pub(super) async fn persistently<'a, T>(
    mut step: impl FnMut() -> Step<'a, T>,
) -> Result<T, StoreError> {
    let mut waits = STORE_WAITS_MS.into_iter();
    loop {
        match (step().await, waits.next()) {
            (Err(StoreError::Unavailable(cause)), Some(wait)) => {
                tracing::warn!(%cause, wait_ms = wait, "store away, step sent again");
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            (outcome, _) => return outcome,
        }
    }
}
