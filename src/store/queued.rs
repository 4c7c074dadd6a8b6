//! Work that steps of this process have queued, and what a look for due work has found. The worker waits here and
//! learns in which slots it is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::outcome::Where;
use crate::steps::record::Queue;

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

/// Work of one queue, for the worker of this process.
#[derive(Default)]
pub struct QueuedWork {
    within: Mutex<Option<Where>>,
    told: Notify,
}

impl QueuedWork {
    /// Tells the worker that something is due there.
    pub(super) fn add(&self, more: Where) {
        let mut within = self.within();
        *within = Some(match (within.take(), more) {
            (Some(Where::In(mut slots)), Where::In(more)) => {
                slots.extend(more);
                Where::In(slots)
            }
            (None, more) => more,
            _ => Where::Everywhere,
        });
        drop(within);
        self.told.notify_one();
    }

    /// Tells the worker that something may be due in any slot, such as when a clock was set.
    pub fn add_everything(&self) {
        self.add(Where::Everywhere);
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
