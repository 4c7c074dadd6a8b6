//! Where duties are due: steps of this process have queued them, or a look has found them. The worker waits here.

use std::collections::BTreeSet;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::outcome::Spot;

/// Where something is due, for the worker of this process.
#[derive(Default)]
pub struct QueuedWork {
    spots: Mutex<BTreeSet<Spot>>,
    told: Notify,
}

impl QueuedWork {
    /// Tells the worker that something is due there.
    pub(super) fn add(&self, spots: impl IntoIterator<Item = Spot>) {
        let mut known = self.spots();
        let before = known.len();
        known.extend(spots);
        if known.len() > before {
            self.told.notify_one();
        }
    }

    /// Where something was queued since this was asked last.
    pub fn take(&self) -> BTreeSet<Spot> {
        mem::take(&mut *self.spots())
    }

    /// Waits until something was queued; where.
    pub async fn wait(&self) -> BTreeSet<Spot> {
        loop {
            let spots = self.take();
            if !spots.is_empty() {
                return spots;
            }
            self.told.notified().await;
        }
    }

    fn spots(&self) -> MutexGuard<'_, BTreeSet<Spot>> {
        self.spots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
