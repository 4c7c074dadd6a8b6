//! Memory that outlives a request.
//!
//! The methods of [`Store`] are the domain's atomic steps and reads, never generic get and set. A change,
//! and the events and jobs it causes, are one step: all of it is kept or none. What a step decides stands
//! in [`steps`](crate::steps), once, with its law at the head of its file; a backend reads what the step
//! wants and writes what it changes.
//!
//! ```text
//! mod.rs, windows, members, jobs, users, names    the steps, by name
//! driver                                          taken once, and sent again when an answer was lost
//! plan, encoding                                  what is written for a change, in which form
//! sqlite | redis                                  read, compare, write
//! ```
//!
//! Secrets come as digests or sealed; the store never sees one in clear. Time is an argument: `now` is the
//! caller's clock, in whole milliseconds.

mod driver;
mod encoding;
mod jobs;
mod members;
mod names;
mod plan;
pub mod redis;
pub mod sqlite;
mod users;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use crate::steps::record::SOFT_DELETED;
pub use crate::steps::response::{HELD_RESPONSES, SETTLING};
pub use crate::steps::*;

use crate::metrics::Metrics;
use crate::steps::record::{Key, Queue as QueueName};
use plan::CommandIds;

/// Where everything is kept.
pub struct Store {
    backend: Backend,
    commands: CommandIds,
    metrics: Option<Arc<Metrics>>,
}

enum Backend {
    /// One file on this machine.
    Sqlite(sqlite::SqliteStore),
    /// A Redis or Valkey server.
    Redis(redis::RedisStore),
}

impl Store {
    fn on(backend: Backend) -> Self {
        Self {
            backend,
            commands: CommandIds::default(),
            metrics: None,
        }
    }

    /// The same, whose steps are measured.
    pub fn measured(self, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }
}

impl From<sqlite::SqliteStore> for Store {
    fn from(store: sqlite::SqliteStore) -> Self {
        Self::on(Backend::Sqlite(store))
    }
}

impl From<redis::RedisStore> for Store {
    fn from(store: redis::RedisStore) -> Self {
        Self::on(Backend::Redis(store))
    }
}

/// How long things are kept after they ended.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Finished windows and dead events: the timeline.
    pub finished: Duration,
}

/// What every step gives.
pub type Result<T> = std::result::Result<T, StoreError>;

/// What is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Events that no client has taken yet.
    pub events: Queue,
    /// Jobs that have not ended.
    pub jobs: Queue,
    /// How many records could not be read when they were due: set aside, so that nothing waits for them.
    pub set_aside: u64,
}

/// One of the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many there are, due or not.
    pub length: u64,
    /// When the first of them is, or was, due.
    pub due_at: Option<Timestamp>,
}

/// What a store step can fail with, beside its documented outcomes.
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
pub(crate) struct Place {
    key: Key,
    at: Timestamp,
}

impl Place {
    fn read(key: &str, at: i64) -> Result<Self> {
        let at = Timestamp::from_millisecond(at).ok();
        let place = Key::parse(key).zip(at).map(|(key, at)| Self { key, at });
        place.ok_or_else(|| StoreError::Unreadable(format!("a place in a list: {key}")))
    }
}

/// Something that was taken up, and the line it stood in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Due {
    line: String,
    key: Key,
}

impl Due {
    fn read(line: &str, key: &str) -> Result<Self> {
        let key = Key::parse(key)
            .ok_or_else(|| StoreError::Unreadable(format!("a key of what is due: {key}")))?;
        Ok(Self {
            line: line.to_owned(),
            key,
        })
    }
}

/// What is to be taken up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Take {
    /// From which queue.
    queue: QueueName,
    /// What is due now.
    now: Timestamp,
    /// Until when it is held.
    hold_until: Timestamp,
    /// At most so many.
    limit: usize,
    /// How many of one line may be held at once, counting those that are.
    places: u64,
}

/// The name of every step and read, as metrics have it.
pub const STEPS: &[&str] = &[
    "create_user",
    "user",
    "user_by_id",
    "users",
    "update_user",
    "delete_user",
    "add_api_key",
    "api_key",
    "api_keys",
    "retire_api_key",
    "put_api_token",
    "begin_session",
    "touch_session",
    "end_sessions",
    "begin_idempotent",
    "finish_idempotent",
    "release_idempotent",
    "create_member",
    "member",
    "member_by_external_guid",
    "deleted_member",
    "update_member",
    "members",
    "owner_of_member",
    "delete_member",
    "mint_window",
    "open_window",
    "claim_callback",
    "hold_answer",
    "held_answer",
    "attempt",
    "commit_connected",
    "fail_window",
    "fail_window_persistently",
    "retry_window",
    "windows",
    "window",
    "owner_of_window",
    "overdue_windows",
    "purge",
    "order_job",
    "answer_challenges",
    "reserve_jobs",
    "postpone_job",
    "job",
    "lease",
    "record_report",
    "reserve_events",
    "finish_event",
    "postpone_event",
    "bury_event",
    "queues",
    "set_aside_keys",
    "probe",
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_step_is_measured_under_a_name_that_is_listed() {
        let files = [
            include_str!("users.rs"),
            include_str!("members.rs"),
            include_str!("windows.rs"),
            include_str!("jobs.rs"),
        ];
        let mut names: Vec<&str> = files
            .iter()
            .flat_map(|code| code.split("self.timed(\"").skip(1))
            .filter_map(|call| call.split('"').next())
            .collect();
        let mut steps = super::STEPS.to_vec();
        names.sort_unstable();
        steps.sort_unstable();
        assert_eq!(names, steps);
    }
}
