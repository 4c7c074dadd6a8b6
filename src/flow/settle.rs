//! What became of a duty is recorded.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::{Gateway, Internal};
use crate::store::{DeliveryTry, DutyName, Fate, Settle};

/// The place of a duty among those that run at a time. It is given up when the call has ended, before that is recorded:
/// a part of the store that does not answer takes no places from what is kept elsewhere.
pub type Place = OwnedSemaphorePermit;

/// A try of a duty.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Of which.
    pub(super) duty: DutyName,
    /// Which try it was; `None`: that is not counted.
    pub(super) nth: Option<u32>,
}

impl Attempt {
    /// The `nth` try of a duty.
    pub(super) fn of(duty: DutyName, nth: u32) -> Self {
        Self {
            duty,
            nth: Some(nth),
        }
    }

    /// Records what became of the duty, and how the try went where that is kept. Nothing changes if somebody else has
    /// taken it up since.
    pub(super) async fn settle(
        self,
        gateway: &Gateway,
        fate: Fate,
        tried: Option<DeliveryTry>,
    ) -> Result<(), Internal> {
        let settle = Settle {
            duty: self.duty,
            attempt: self.nth,
            fate,
            tried,
        };
        Ok(gateway.store.settle_duty(&settle, gateway.now()).await?)
    }

    /// Gives the duty back: it cannot be tried before that time has passed, and this try does not count.
    pub(super) async fn give_back(self, gateway: &Gateway, rest: Duration) -> Result<(), Internal> {
        let at = gateway.now() + rest;
        self.settle(gateway, Fate::Untried(at), None).await
    }
}
