//! Deadlines are true without visitors: what runs out becomes ERRORED by itself.

use tracing::Instrument;

use super::{Gateway, Internal};
use crate::domain::event::EventKind;
use crate::domain::window::{Ending, ErrorReason, Window, WindowStatus};
use crate::log_context;
use crate::metrics;
use crate::store::Failure;

/// How many windows one sweep ends at most; the next sweep goes on.
const SWEEP: usize = 500;

/// Ends the windows whose deadline has passed, and forgets what was kept long enough. How many ended.
pub async fn sweep(gateway: &Gateway) -> Result<usize, Internal> {
    let overdue = gateway.store.overdue_windows(gateway.now(), SWEEP).await?;
    let mut ended = 0;
    for window in &overdue {
        // One window must not keep the others waiting.
        let expiry = async {
            expire(gateway, window).await.unwrap_or_else(|error| {
                tracing::error!(%error, "a deadline could not be applied");
                false
            })
        };
        let is_ended = expiry.instrument(log_context::span()).await;
        ended += usize::from(is_ended);
    }
    gateway.store.purge(gateway.now()).await?;
    Ok(ended)
}

/// Ends one window whose deadline has passed; `false` when something else ended it first.
pub(super) async fn expire(gateway: &Gateway, window: &Window) -> Result<bool, Internal> {
    let reason = ErrorReason::SessionError;
    let ended = end(gateway, window, reason, Ending::Expired, None).await?;
    if ended {
        tracing::info!("deadline passed");
    }
    Ok(ended)
}

/// Ends an unfinished window for no fault of the institution's, tells of it and counts it; `false` when
/// something else ended it first, or it is no longer in the status that `only_in` names.
pub(super) async fn end(
    gateway: &Gateway,
    window: &Window,
    reason: ErrorReason,
    ending: Ending,
    only_in: Option<WindowStatus>,
) -> Result<bool, Internal> {
    log_context::window(window);
    let member = gateway.store.member(window.user, window.member).await?;
    if let Some(member) = &member {
        log_context::member(member);
    }
    let finished = match gateway.clients.get(&window.client) {
        Some(client) => gateway.notices(
            client,
            &[EventKind::OauthStateFinished],
            window.guid.partition(),
        ),
        None => Vec::new(),
    };
    let failure = Failure {
        window: window.guid,
        reason,
        ending,
        only_in,
        detail: None,
        inbound: None,
        finished,
    };
    let ended = gateway.store.fail_window(&failure, gateway.now()).await?;
    if ended.is_some() {
        let institution = member.as_ref().map(|it| it.institution.as_str());
        gateway.metrics.flows_failed.count([
            window.client.as_str(),
            institution.unwrap_or(metrics::OTHER),
            failure.reason.name(),
        ]);
        gateway.wake_worker();
    }
    Ok(ended.is_some())
}
