//! What became of a duty is recorded.

use jiff::Timestamp;

use super::{Gateway, Internal};
use crate::store::{DeliveryTry, DutyName, Fate, Settle};

/// Records what became of a duty, and how the try went where that is kept.
pub(super) async fn settle(
    gateway: &Gateway,
    duty: DutyName,
    fate: Fate,
    tried: Option<DeliveryTry>,
) -> Result<(), Internal> {
    let settle = Settle { duty, fate, tried };
    Ok(gateway.store.settle_duty(&settle, gateway.now()).await?)
}

/// Gives back a duty that cannot be tried now: it is due then, and the try does not count.
pub(super) async fn give_back(
    gateway: &Gateway,
    duty: DutyName,
    at: Timestamp,
) -> Result<(), Internal> {
    settle(gateway, duty, Fate::Untried(at), None).await
}
