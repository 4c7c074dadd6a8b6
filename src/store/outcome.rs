//! Types that every part of the store uses.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::steps::record::{Key, Queue as QueueName, SealKeys, Slot};

/// How long things are kept after they ended.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Finished windows and dead events: the timeline.
    pub finished: Duration,
}

/// The result of every step.
pub type Result<T> = std::result::Result<T, StoreError>;

/// By whom something must be kept before it counts as kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// By the server that takes it.
    Taken,
    /// By replicas too, where there are any.
    Acknowledged,
}

/// What waits in the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Events that no client has taken yet.
    pub events: Queue,
    /// Jobs that have not ended.
    pub jobs: Queue,
    /// How many records could not be read when they were due: set aside, so that nothing waits for them.
    pub set_aside: u64,
}

/// What an operator should know of a store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Examined {
    /// The keys of records that could not be read and were set aside.
    pub set_aside: Vec<String>,
    /// The seal keys that its gateways ever had.
    pub seal_keys: SealKeys,
}

/// One of the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many there are, due or not.
    pub length: u64,
    /// When the first of them is, or was, due.
    pub due_at: Option<Timestamp>,
}

/// The errors of a step, beside its documented outcomes.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer, or not in time. Whether the step happened may be unknown; every
    /// step can be repeated.
    #[error("the store is not available: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the store holds is not what this version writes.
    #[error("the store holds something unreadable: {0}")]
    Unreadable(String),
    /// The store could not do the step, and would not if it were sent again.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The store must not be used as it is set up.
    #[error("{0}")]
    Unfit(String),
}

/// A key in a list, and the time that is its place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// The slot of the list; `None`: a file, which has no slots.
    pub(super) slot: Option<Slot>,
    /// Of any kind: whoever reads the record finds out what cannot be read, and sets it aside.
    pub(super) key: Key,
    pub(super) at: Timestamp,
}

impl Place {
    pub(super) fn found(slot: Option<&Slot>, key: &str, at: i64) -> Self {
        let beyond = if at < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        Self {
            slot: slot.cloned(),
            key: Key::found(key),
            at: Timestamp::from_millisecond(at).unwrap_or(beyond),
        }
    }
}

/// Something that was taken up, and the line it stood in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Due {
    /// The slot of the line; `None`: a file, which has no slots.
    pub(super) slot: Option<Slot>,
    pub(super) line: String,
    /// Of any kind, as in a [`Place`].
    pub(super) key: Key,
}

/// Where to look for what is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Where {
    /// Wherever anything may be.
    Everywhere,
    /// In these slots.
    In(BTreeSet<Slot>),
}

impl Where {
    /// In that slot.
    pub(super) fn one(slot: Slot) -> Self {
        Self::In(BTreeSet::from([slot]))
    }
}

/// What a look at everything has found.
#[derive(Debug, Default)]
pub(super) struct DueNow {
    /// Where each queue has something due.
    pub(super) queues: Vec<(QueueName, Where)>,
    /// Whether the deadline of a window has passed.
    pub(super) has_overdue: bool,
}

/// What is to be taken up.
#[derive(Clone, Debug)]
pub(super) struct Take {
    /// From which queue.
    pub(super) queue: QueueName,
    /// Where.
    pub(super) within: Where,
    /// What is due now.
    pub(super) now: Timestamp,
    /// Until when it is held for the step that follows. That one moves its due time, which ends this hold.
    pub(super) hold_until: Timestamp,
    /// At most so many.
    pub(super) limit: usize,
    /// How many of one line may be held at once, counting those that are; `None`: any number.
    pub(super) places: Option<u64>,
}
