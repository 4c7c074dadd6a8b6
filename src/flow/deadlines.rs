//! Deadlines are true without visitors: what runs out becomes ERRORED by itself.

use super::{Gateway, Internal};
use crate::domain::event::EventKind;
use crate::domain::window::{Ending, ErrorReason, Window};
use crate::store::Failure;

/// How many windows one sweep ends at most; the next sweep goes on.
const SWEEP: usize = 500;

/// Ends the windows whose deadline has passed, and forgets what was kept long enough. How many ended.
pub async fn sweep(gateway: &Gateway) -> Result<usize, Internal> {
    let overdue = gateway.store.overdue_windows(gateway.now(), SWEEP).await?;
    let mut ended = 0;
    for window in &overdue {
        match expire(gateway, window).await {
            Ok(is_ended) => ended += usize::from(is_ended),
            // One window must not keep the others waiting.
            Err(error) => {
                tracing::error!(oauth_state = %window.guid, %error, "a deadline could not be made true");
            }
        }
    }
    gateway.store.purge(gateway.now()).await?;
    Ok(ended)
}

/// Ends one window whose deadline has passed; `false` when something else ended it first.
pub(super) async fn expire(gateway: &Gateway, window: &Window) -> Result<bool, Internal> {
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
        reason: ErrorReason::SessionError,
        ending: Ending::Expired,
        detail: None,
        inbound: None,
        finished,
    };
    let ended = gateway
        .store
        .fail_window(&failure, gateway.now())
        .await?
        .is_some();
    if ended {
        gateway.metrics.failed(ErrorReason::SessionError);
        gateway.wake_worker();
        tracing::info!(oauth_state = %window.guid, member = %window.member, "deadline passed");
    }
    Ok(ended)
}
