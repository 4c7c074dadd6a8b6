//! Deadlines take effect without visitors: a window whose deadline passes becomes ERRORED by itself.

use tracing::Instrument;

use super::failure::end;
use super::{Gateway, Internal};
use crate::domain::window::{Ending, ErrorReason, Window};
use crate::log_context;

/// How many windows one sweep ends at most; the next sweep goes on.
const SWEEP: usize = 500;

/// Ends the windows whose deadline has passed, and deletes what was kept long enough. Returns how many
/// ended.
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
