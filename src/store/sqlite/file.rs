//! The file: opened, found fit, and brought to the layout of this version.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::store::{Result, StoreError};

/// Every layout there was, oldest first. `user_version` counts those that the file went through;
/// a change of the layout is a new entry, never an edit.
const LAYOUTS: [&str; 1] = [include_str!("schema.sql")];

/// Tells our files from those of other programs (`PRAGMA application_id`): "GUIC".
const APPLICATION: i32 = 0x4755_4943;

/// How long a step waits for another process that writes, such as a command that adds an API key.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many statements a connection keeps prepared; more than there are.
const STATEMENTS: usize = 128;

/// Opens the connection that writes, making the file first where there is none.
pub(super) fn open_to_write(path: &Path) -> Result<Connection> {
    create(path)?;
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    refuse_foreign(path, &connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| {
        row.get("journal_mode")
    })?;
    if mode != "wal" {
        return Err(unfit(
            path,
            "is where SQLite cannot keep a write-ahead log; use a local disk",
        ));
    }
    // A commit is answered when the disk has it, not when the operating system has.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Bytes: after a burst the log shrinks back to this.
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    migrate(path, &mut connection)?;
    Ok(connection)
}

/// Opens a connection that only reads, on a file that [`open_to_write`] found fit.
pub(super) fn open_to_read(path: &Path) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

fn open(path: &Path, mode: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(|error| unfit(path, &format!("cannot be opened: {error}")))?;
    connection.busy_timeout(PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Makes an empty file that only its owner may read; SQLite gives the files beside it the same
/// permissions.
fn create(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unfit(path, &format!("cannot be created: {error}"))),
    }
}

/// Refuses what is not a database, or is another program's, before anything in it is changed.
fn refuse_foreign(path: &Path, connection: &Connection) -> Result<()> {
    let number =
        |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    let application = match number("application_id") {
        Err(rusqlite::Error::SqliteFailure(error, _))
            if error.code == rusqlite::ErrorCode::NotADatabase =>
        {
            return Err(unfit(path, "is not an SQLite database"));
        }
        other => other?,
    };
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (tables > 0 || application != 0) {
        return Err(unfit(path, "is a database of another program"));
    }
    Ok(())
}

/// Brings the file to the newest layout in one transaction: all of it, or none.
fn migrate(path: &Path, connection: &mut Connection) -> Result<()> {
    // Immediate: of two processes that find an old file, the second sees what the first did.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let layout: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let newest = LAYOUTS.len() as i64;
    if layout > newest {
        let why = format!(
            "has layout {layout}, and this version of Guichet knows layouts up to {newest}: start \
             the newer version that wrote it, or restore a copy from before the upgrade"
        );
        return Err(unfit(path, &why));
    }
    let done = usize::try_from(layout)
        .map_err(|_| StoreError::Unreadable(format!("a layout numbered {layout}")))?;
    if done < LAYOUTS.len() {
        for layout in &LAYOUTS[done..] {
            transaction.execute_batch(layout)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", newest)?;
    }
    transaction.commit()?;
    Ok(())
}

fn unfit(path: &Path, why: &str) -> StoreError {
    StoreError::Unfit(format!("{} {why}", path.display()))
}
