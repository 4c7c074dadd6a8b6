//! Deadlines take effect without visitors: a window whose deadline passes becomes ERRORED by itself.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::failure::end;
use super::rounds::{self, Round};
use super::{Gateway, Internal, claim, duties};
use crate::domain::window::{Ending, ErrorReason, Window, WindowStatus};
use crate::log_context;

/// How many windows one sweep ends at most; the next sweep goes on.
const SWEEP: usize = 500;

/// How many windows are ended side by side: few enough that requests beside them do not wait long.
const SIDE_BY_SIDE: usize = 32;

/// How often what was kept long enough is deleted, and what is too old is given up.
const UPKEEP_EVERY: SignedDuration = SignedDuration::from_secs(60);

/// Looks for everything that is due, whoever left it: the worker is told where duties are due. Returns
/// whether there are windows to [`sweep`].
pub async fn look(gateway: &Gateway) -> Result<bool, Internal> {
    Ok(gateway.store.look_for_due(gateway.now()).await?)
}

/// Ends the windows whose deadline has passed, several side by side: together they wait for the store about as long
/// as one does. Returns how many ended.
pub async fn sweep(gateway: &Arc<Gateway>) -> Result<usize, Internal> {
    let overdue = gateway.store.overdue_windows(gateway.now(), SWEEP).await?;
    let mut ended = 0;
    for windows in overdue.chunks(SIDE_BY_SIDE) {
        let mut expiries = JoinSet::new();
        for window in windows {
            let (gateway, window) = (gateway.clone(), window.clone());
            // One window must not keep the others waiting.
            let expiry = async move {
                expire(&gateway, &window).await.unwrap_or_else(|error| {
                    tracing::error!(%error, "a deadline could not be applied");
                    false
                })
            };
            expiries.spawn(expiry.instrument(log_context::span()));
        }
        let expired = expiries.join_all().await;
        ended += expired.into_iter().filter(|is_ended| *is_ended).count();
    }
    Ok(ended)
}

/// What a process knows of its upkeep.
#[derive(Default)]
pub struct Upkeep {
    /// When it last began.
    last: Option<Timestamp>,
    round: Round,
}

/// Deletes what was kept long enough, gives up what is too old and looks after members, unless that was done less than
/// a minute ago.
pub async fn upkeep(gateway: &Arc<Gateway>, upkeep: &mut Upkeep) -> Result<(), Internal> {
    let now = gateway.now();
    let is_recent = |last: Timestamp| now.duration_since(last).abs() < UPKEEP_EVERY;
    if !upkeep.last.is_some_and(is_recent) {
        gateway.store.purge(now).await?;
        duties::bury_the_old(gateway).await?;
        claim::end_the_unclaimed(gateway).await?;
        duties::bury_beyond_bounds(gateway).await?;
        rounds::go_on(gateway, &mut upkeep.round).await?;
        upkeep.last = Some(now);
    }
    Ok(())
}

/// Ends one window whose deadline has passed; `false` when something else ended it first.
pub(super) async fn expire(gateway: &Gateway, window: &Window) -> Result<bool, Internal> {
    let reason = ErrorReason::SessionError;
    let ending = match window.status {
        WindowStatus::Authorized => Ending::Unconfirmed,
        _ => Ending::Expired,
    };
    let ended = end(gateway, window, reason, ending, None).await?;
    if ended && ending == Ending::Unconfirmed {
        tracing::warn!("no confirmation came in time; attempt ended");
    } else if ended {
        tracing::info!("deadline passed");
    }
    Ok(ended)
}
