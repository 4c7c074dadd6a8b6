//! Work that steps of this process have queued. The worker waits here and learns in which slots it is.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::outcome::Where;
use crate::steps::record::{Queue, Slot};

/// One value for each queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PerQueue<T> {
    pub(super) jobs: T,
    pub(super) events: T,
}

impl<T> PerQueue<T> {
    /// The value for that queue.
    pub(super) fn of(&self, queue: Queue) -> &T {
        match queue {
            Queue::Jobs => &self.jobs,
            Queue::Events => &self.events,
        }
    }
}

/// Work of one queue that this process has queued, for its worker.
#[derive(Default)]
pub struct QueuedWork {
    within: Mutex<Option<Where>>,
    told: Notify,
}

impl QueuedWork {
    /// Tells the worker that something is due in that slot.
    pub(super) fn add(&self, slot: Slot) {
        let mut within = self.within();
        if let Where::In(slots) = within.get_or_insert_with(|| Where::In(BTreeSet::new())) {
            slots.insert(slot);
        }
        drop(within);
        self.told.notify_one();
    }

    /// Tells the worker that something may be due in any slot, such as when a clock was set.
    pub fn add_everything(&self) {
        *self.within() = Some(Where::Everywhere);
        self.told.notify_one();
    }

    /// Waits until something was queued; where to look for it.
    pub async fn wait(&self) -> Where {
        loop {
            let within = self.within().take();
            match within {
                Some(within) => return within,
                None => self.told.notified().await,
            }
        }
    }

    fn within(&self) -> MutexGuard<'_, Option<Where>> {
        self.within.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
