//! The embedded store: one SQLite file.
//!
//! ```text
//! step ─▶ queue ─▶ one thread: BEGIN, the steps that wait, COMMIT ─▶ replies
//! read ─▶ queue ─▶ a few threads, each on a connection that cannot write
//! ```
//!
//! A step is answered after its commit is on disk (`synchronous=FULL`), so what was answered
//! survives a crash. Every step reads, decides and writes inside its own transaction, and that
//! begins by taking the file's write lock: a second process on the same file is safe, and the two
//! take turns. The file must be on a local disk, because SQLite's locks are not to be trusted on
//! network file systems.
//!
//! What a step does is decided by [`steps`](crate::steps); `records` reads and writes their records.

mod file;
mod records;
mod threads;

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode};

use super::outcome::{
    Ask, DueNow, Entry, Examined, Found, Hold, Place, Queues, Result, Retention, StoreError,
};
use super::plan::{CommandId, Loaded, Plan};
use crate::domain::secret::Digest;
use crate::steps::Line;
use crate::steps::Step;
use crate::steps::record::{Key, List, Reads};
use threads::Threads;

/// How many reads run at the same time.
const READERS: usize = 3;

/// The embedded store.
///
/// Dropping it waits until the queued steps are on disk.
pub struct SqliteStore {
    threads: Threads,
    retention: Retention,
}

impl SqliteStore {
    /// Opens the file at `path`, making it (readable by its owner alone) where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unfit`], in words for the operator: the file cannot be made or opened, is not
    /// ours, or was written by another version in another layout. [`StoreError::Unavailable`]: another process keeps
    /// the file locked.
    pub fn open(path: &Path, retention: Retention) -> Result<SqliteStore> {
        let (writer, opened) = file::open_to_write(path)?;
        let readers = (0..READERS)
            .map(|_| file::open_to_read(path))
            .collect::<Result<Vec<_>>>()?;
        let threads = Threads::start(writer, opened, readers)
            .map_err(|error| StoreError::Unavailable(Box::new(error)))?;
        Ok(SqliteStore { threads, retention })
    }

    /// Says whether [`Self::open`] would take the file, changing nothing and making no file: `None` when
    /// there is none. With `writes` it is also tried whether a write is taken. `configured` are the seal keys that
    /// there are.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn examine(
        path: &Path,
        configured: &[(String, Digest)],
        writes: bool,
    ) -> Result<Option<Examined>> {
        file::examine(path, configured, writes)
    }

    /// Takes a step in one transaction.
    pub(super) async fn step<S>(
        &self,
        step: S,
        command: CommandId,
        now: Timestamp,
    ) -> Result<(S::Outcome, Vec<Line>)>
    where
        S: Step + Send + 'static,
        S::Outcome: Send + 'static,
    {
        let retention = self.retention;
        self.threads
            .write(move |tx| records::step(tx, &step, &command, now, retention))
            .await
    }

    /// Decides a step beside those that write; `None`: it changes something, and has to be taken.
    pub(super) async fn unchanging<S>(&self, step: S, now: Timestamp) -> Result<Option<S::Outcome>>
    where
        S: Step + Send + 'static,
        S::Outcome: Send + 'static,
    {
        self.threads
            .read(move |tx| records::unchanging(tx, &step, now))
            .await
    }

    /// Reads what is wanted, at one moment.
    pub(super) async fn load(&self, reads: Vec<Reads>) -> Result<Vec<Loaded>> {
        self.threads
            .read(move |tx| reads.iter().map(|reads| records::load(tx, reads)).collect())
            .await
    }

    /// Writes what was planned.
    pub(super) async fn write(&self, plan: Plan, now: Timestamp) -> Result<()> {
        let retention = self.retention;
        self.threads
            .write(move |tx| records::write(tx, plan, now, retention))
            .await
    }

    /// A part of a list, and the length of the whole.
    pub(super) async fn places(
        &self,
        list: List,
        skip: u64,
        limit: u64,
    ) -> Result<(Vec<Place>, u64)> {
        self.threads
            .read(move |tx| records::places(tx, &list, skip, limit))
            .await
    }

    /// What is due, of everything.
    pub(super) async fn due_now(&self, now: Timestamp) -> Result<DueNow> {
        self.threads.read(move |tx| records::due_now(tx, now)).await
    }

    /// The keys in a list whose time has passed, the earliest first.
    pub(super) async fn past(
        &self,
        list: List,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Place>> {
        self.threads
            .read(move |tx| records::past(tx, &list, now, limit))
            .await
    }

    /// Takes up what is due.
    pub(super) async fn take(&self, asks: Vec<Ask>, hold: Hold) -> Result<Vec<Option<Vec<Entry>>>> {
        let take = move |tx: &Connection| {
            let each = asks.iter().map(|ask| records::take(tx, ask, hold));
            each.map(|taken| taken.map(Some)).collect()
        };
        self.threads.write(take).await
    }

    /// The next records of that kind behind that key.
    pub(super) async fn batch(&self, kind: char, behind: Option<Key>) -> Result<Vec<Found>> {
        let read = move |tx: &Connection| records::batch(tx, kind, behind.as_ref());
        self.threads.read(read).await
    }

    /// How much is on its way.
    pub(super) async fn queues(&self) -> Result<Queues> {
        self.threads
            .read(|tx| {
                Ok(Queues {
                    lines: records::queued(tx)?,
                    set_aside: records::length(tx, &List::SetAside)?,
                })
            })
            .await
    }

    /// Forgets what may be forgotten.
    pub(super) async fn forget(&self, now: Timestamp) -> Result<()> {
        while !self
            .threads
            .write(move |tx| records::forget(tx, now))
            .await?
        {}
        Ok(())
    }

    /// Writes through the same path as a step: one page, with what it has already.
    pub(super) async fn probe(&self) -> Result<()> {
        let same = |connection: &Connection| {
            let layout: i64 =
                connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            connection.pragma_update(None, "user_version", layout)?;
            Ok(())
        };
        self.threads.probe(same).await
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error::*;
        let is_about_content = match &error {
            SqliteFailure(failure, _) => matches!(
                failure.code,
                ErrorCode::DatabaseCorrupt
                    | ErrorCode::NotADatabase
                    | ErrorCode::TypeMismatch
                    | ErrorCode::ConstraintViolation
            ),
            FromSqlConversionFailure(..)
            | IntegralValueOutOfRange(..)
            | InvalidColumnType(..)
            | InvalidColumnName(..)
            | Utf8Error(..) => true,
            _ => false,
        };
        if is_about_content {
            StoreError::Unreadable(error.to_string())
        } else {
            StoreError::Unavailable(Box::new(error))
        }
    }
}
