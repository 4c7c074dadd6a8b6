//! The embedded store: one SQLite file.
//!
//! ```text
//! step ─▶ queue ─▶ one thread: BEGIN, the steps that wait, COMMIT ─▶ replies
//! read ─▶ queue ─▶ a few threads, each on a connection that cannot write
//! ```
//!
//! A step is answered after its commit is on disk (`synchronous=FULL`), so what was answered
//! survives a crash. Every step decides on what it reads inside its own transaction, and that
//! begins by taking the file's write lock: a second process on the same file is safe, and the two
//! take turns. The file must be on a local disk, because SQLite's locks are not to be trusted on
//! network file systems.
//!
//! What a step means is said where it is called: [`Store`](super::Store). Here are, each with its
//! rows and its steps, `users`, `sessions`, `members` (`changes` of them, and what is `deleted`),
//! `windows`, `attempts` (how browsers and answers meet windows), `outcomes` (how windows end),
//! `jobs` (and `orders`: how they begin and are answered), `events` and `idempotency`.
//!
//! A change of a member's status that the domain's table does not allow is refused by the database
//! itself, too: see `file`.

mod attempts;
mod changes;
mod deleted;
mod events;
mod file;
mod idempotency;
mod jobs;
mod members;
mod orders;
mod outcomes;
mod purge;
mod sessions;
mod threads;
mod users;
mod values;
mod windows;

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::{Result, Retention, StoreError};
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
    /// Opens the file at `path`, making it (readable by its owner alone) where there is none, and
    /// brings an older one to this version's layout.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unfit`], in words for the operator: the file cannot be made or opened, is not
    /// ours, or was written by a newer version. [`StoreError::Unavailable`]: another process keeps
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

    /// Says whether [`Self::open`] would take the file, changing nothing and making no file: `false` when
    /// there is none. With `writes` it is also tried whether a write is taken.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn examine(path: &Path, writes: bool) -> Result<bool> {
        file::examine(path, writes)
    }

    /// Takes the way of a step, and writes what is there already: one page.
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
