//! Types that every part of the store uses.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::duty::DutyKind;
use crate::domain::id::InstitutionCode;
use crate::steps::due::Behind;
use crate::steps::record::{Key, Record, SealKeys, Slot, Watched};
use crate::steps::{Duty, Line};

/// How long things are kept after they ended.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Finished windows and dead events: the timeline.
    pub finished: Duration,
    /// Events that their client took, so that they can be sent again.
    pub delivered: Duration,
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

/// What waits in the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queues {
    /// The duties of each line that there are any of.
    pub lines: BTreeMap<Line, Queued>,
    /// How many records could not be read when they were due: set aside, so that nothing waits for them.
    pub set_aside: u64,
}

impl Queues {
    /// The duties of each kind that there are any of.
    pub fn kinds(&self) -> BTreeMap<DutyKind, Queued> {
        let mut kinds: BTreeMap<DutyKind, Queued> = BTreeMap::new();
        for (line, queued) in &self.lines {
            if let Some(kind) = line.kind() {
                let sum = kinds.entry(kind).or_default();
                *sum = sum.and(*queued);
            }
        }
        kinds
    }

    /// How many events each client has to be told still.
    pub fn events(&self) -> BTreeMap<&str, u64> {
        let mut clients = BTreeMap::new();
        let lines = self.lines.iter();
        for (line, queued) in lines.filter(|(line, _)| line.kind() == Some(DutyKind::Deliver)) {
            *clients.entry(line.client()).or_default() += queued.length;
        }
        clients
    }
}

/// What an operator should know of a store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Examined {
    /// The keys of records that could not be read and were set aside.
    pub set_aside: Vec<String>,
    /// The seal keys that its gateways ever had.
    pub seal_keys: SealKeys,
    /// How many records are sealed under each key that is not configured.
    pub sealed_elsewhere: BTreeMap<String, u64>,
    /// What waits in it.
    pub queues: Queues,
    /// What institutions show of themselves.
    pub watched: BTreeMap<InstitutionCode, Watched>,
}

/// The duties of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// How many there are, due or not.
    pub length: u64,
    /// When the first of them is, or was, due.
    pub due_at: Option<Timestamp>,
}

impl Queued {
    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            length: self.length + other.length,
            due_at: self.due_at.into_iter().chain(other.due_at).min(),
        }
    }
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

/// How many records of a store are looked at together when all of them are.
pub(super) const BATCH: usize = 500;

/// A record that a look at everything has found.
#[derive(Debug)]
pub struct Found {
    /// The slot it was found in. A file has no slots, and does not ask for them.
    pub(super) slot: Slot,
    /// Its key.
    pub key: Key,
    /// The record; `None`: it cannot be read.
    pub record: Option<Record>,
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

/// Where something is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// The line.
    pub line: Line,
    /// The slot of that part of the line; `None`: a file, which has no slots.
    pub(super) slot: Option<Slot>,
}

impl Spot {
    /// The whole line, as a file has it.
    pub fn of_file(line: Line) -> Self {
        Self { line, slot: None }
    }

    /// Whether events wait there.
    pub fn is_delivery(&self) -> bool {
        self.line.kind() == Some(DutyKind::Deliver)
    }
}

/// Which server something is at: two that hang or answer each for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Home(pub(super) Option<usize>);

/// What a look at everything has found.
#[derive(Debug, Default)]
pub(super) struct DueNow {
    /// Where something is due.
    pub(super) spots: Vec<Spot>,
    /// Whether the deadline of a window has passed.
    pub(super) has_overdue: bool,
}

/// What is to be taken up at one spot.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Where.
    pub spot: Spot,
    /// At most so many.
    pub limit: usize,
}

/// What was taken up for an [`Ask`].
#[derive(Clone, Debug)]
pub struct Reserved {
    /// Where.
    pub spot: Spot,
    /// The duties, held for the caller.
    pub duties: Vec<Duty>,
    /// Whether as many were due as were asked for, so that there may be more.
    pub may_be_more: bool,
}

/// What waits in a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Of any kind, as in a [`Place`].
    pub(super) key: Key,
    /// What it is behind; see [`Due::behind`](crate::steps::due::Due::behind).
    pub(super) behind: Option<Behind>,
}

impl Entry {
    /// Reads an entry where it was found.
    pub(super) fn found(text: &str) -> Self {
        let (key, behind) = match text.split_once(' ') {
            Some((key, behind)) => (key, Some(Behind::of(behind))),
            None => (text, None),
        };
        Self {
            key: Key::found(key),
            behind,
        }
    }

    /// The written form: the key, and what it is behind.
    pub(super) fn to_text(&self) -> String {
        match &self.behind {
            Some(behind) => format!("{} {}", self.key.as_str(), behind.as_str()),
            None => self.key.as_str().to_owned(),
        }
    }
}

/// What is held for the step that follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    /// What was due by then.
    pub(super) due_by: Timestamp,
    /// Until when it is held. The step that follows moves the due time.
    pub(super) until: Timestamp,
}
