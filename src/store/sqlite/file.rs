//! The file: opened, checked, and given its layout if it is new.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::records;
use crate::domain::id::InstitutionCode;
use crate::domain::secret::Digest;
use crate::steps::record::{Key, List, Reads, Watched};
use crate::steps::sealed::SEALED_KINDS;
use crate::store::outcome::{Examined, Queues, Result, StoreError};
use crate::store::sealed_elsewhere::SealedElsewhere;

/// The layout, and its number (`user_version`).
const LAYOUT: &str = include_str!("schema.sql");
const NUMBER: i64 = 6;

/// Tells our files from those of other programs (`PRAGMA application_id`): "GUIC".
const APPLICATION: i32 = 0x4755_4943;

/// How long a step waits for another process that writes, such as a command that adds an API key.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long to wait before a change that SQLite does not wait for is asked for again.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// How many statements a connection keeps prepared; more than there are.
const STATEMENTS: usize = 128;

/// A file that was opened, and which one it was.
pub(super) struct Opened {
    path: PathBuf,
    identity: Option<Identity>,
}

/// What tells a file from another of the same name: its device and its number there.
type Identity = (u64, u64);

impl Opened {
    fn now(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            identity: identity(path),
        }
    }

    /// Fails if the path names another file by now, or none: what is written to the opened file would be lost when
    /// this process ends.
    pub(super) fn is_in_its_place(&self) -> std::result::Result<(), String> {
        if identity(&self.path) == self.identity {
            return Ok(());
        }
        let path = self.path.display();
        Err(format!(
            "{path} was deleted or replaced since it was opened, so nothing is written any more; put \
             it back, or restart to use what is there now"
        ))
    }
}

#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Not known on this system: no file is ever another one.
#[cfg(not(unix))]
fn identity(_path: &Path) -> Option<Identity> {
    None
}

/// Opens the connection that writes, making the file first where there is none.
pub(super) fn open_to_write(path: &Path) -> Result<(Connection, Opened)> {
    create(path)?;
    let mut connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    refuse_foreign(path, &connection)?;
    if journal_mode(&connection)? != "wal" {
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
    lay_out(path, &mut connection)?;
    Ok((connection, Opened::now(path)))
}

/// Asks for a write-ahead log, and gives the mode that there is then.
///
/// If several processes make the file together, all but one may be told at once that it is locked, because
/// SQLite's busy timeout does not cover this change. So it is tried again here.
fn journal_mode(connection: &Connection) -> Result<String> {
    let since = Instant::now();
    loop {
        let asked = connection.query_row("PRAGMA journal_mode = WAL", [], |row| {
            row.get("journal_mode")
        });
        match asked {
            Err(rusqlite::Error::SqliteFailure(error, _))
                if error.code == rusqlite::ErrorCode::DatabaseBusy
                    && since.elapsed() < PATIENCE =>
            {
                std::thread::sleep(ASK_AGAIN);
            }
            asked => return Ok(asked?),
        }
    }
}

/// Opens a connection that only reads, on a file that [`open_to_write`] found fit.
pub(super) fn open_to_read(path: &Path) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// What institutions show of themselves.
fn watched(connection: &Connection) -> Result<BTreeMap<InstitutionCode, Watched>> {
    let keys: Vec<String> = connection
        .prepare("SELECT key FROM records WHERE key GLOB 'z*'")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let codes = keys.iter().filter_map(|key| key.get(1..)?.parse().ok());
    let codes: Vec<InstitutionCode> = codes.collect();
    let wanted: Vec<Key> = codes.iter().map(Key::watched).collect();
    let loaded = records::load(connection, &Reads::of(wanted))?;
    let found = codes.into_iter().filter_map(|code| {
        let watched = loaded.view.watched(&code)?.clone();
        Some((code, watched))
    });
    Ok(found.collect())
}

/// Says whether [`open_to_write`] would take the file, changing nothing and making no file; `None` when
/// there is none. With `writes` it is also tried whether a write is taken. `configured` are the seal keys that there are.
pub(super) fn examine(
    path: &Path,
    configured: &[(String, Digest)],
    writes: bool,
) -> Result<Option<Examined>> {
    if !path.exists() {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        return match folder.is_none_or(Path::is_dir) {
            true => Ok(None),
            false => Err(unfit(path, "cannot be made: its folder is not there")),
        };
    }
    let log = path.with_file_name(format!(
        "{}-wal",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    // Without a log beside it nobody has the file open: it is read as it is, and SQLite makes no files
    // of its own beside it.
    let connection = match log.exists() {
        true => open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
        false => open(
            &unchanging(path),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
        )?,
    };
    refuse_foreign(path, &connection)?;
    let layout: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    refuse_other_layout(path, layout)?;
    let examined = match layout {
        NUMBER => {
            let loaded = records::load(&connection, &Reads::of([Key::seal_keys()]))?;
            let seal_keys = loaded.view.seal_keys().cloned().unwrap_or_default();
            let sealed_elsewhere = match seal_keys.has_others_than(configured) {
                true => sealed_elsewhere(&connection, configured)?,
                false => BTreeMap::new(),
            };
            Examined {
                sealed_elsewhere,
                set_aside: connection
                    .prepare("SELECT key FROM places WHERE list = ? ORDER BY place")?
                    .query_map([List::SetAside.name()], |row| row.get(0))?
                    .collect::<rusqlite::Result<_>>()?,
                seal_keys,
                queues: Queues {
                    lines: records::queued(&connection)?,
                    ..Queues::default()
                },
                watched: watched(&connection)?,
            }
        }
        _ => Examined::default(),
    };
    drop(connection);
    if writes {
        let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let write = format!("BEGIN IMMEDIATE; PRAGMA user_version = {layout}; COMMIT");
        let written = connection.execute_batch(&write);
        written.map_err(|error| unfit(path, &format!("takes no writes: {error}")))?;
    }
    Ok(Some(examined))
}

/// How many records are sealed under each key that is not among these.
fn sealed_elsewhere(
    connection: &Connection,
    configured: &[(String, Digest)],
) -> Result<BTreeMap<String, u64>> {
    let mut count = SealedElsewhere::than(configured);
    for (kind, _) in SEALED_KINDS {
        let mut behind = None;
        loop {
            let batch = records::batch(connection, *kind, behind.as_ref())?;
            let Some(last) = batch.last() else { break };
            behind = Some(last.key.clone());
            count.see(batch);
        }
    }
    Ok(count.records)
}

/// The file's name as SQLite reads names of files that nobody changes.
fn unchanging(path: &Path) -> PathBuf {
    let name = path.display().to_string();
    let name = name
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    format!("file:{name}?immutable=1").into()
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
    // One state of the file: another process may be making it ours between two looks.
    let connection = connection.unchecked_transaction()?;
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

/// Refuses what another version wrote in another layout. A file without one is new.
fn refuse_other_layout(path: &Path, layout: i64) -> Result<()> {
    let remedy = match layout {
        0 | NUMBER => return Ok(()),
        ..NUMBER => {
            "an earlier version wrote it, and nothing converts it: name another file, which is made \
             anew, or start the version that wrote this one"
        }
        _ => "start the newer version that wrote it, or restore a copy from before the upgrade",
    };
    let why =
        format!("has layout {layout}, and this version of Guichet reads layout {NUMBER}: {remedy}");
    Err(unfit(path, &why))
}

/// Gives a new file its layout in one transaction: all of it, or none.
fn lay_out(path: &Path, connection: &mut Connection) -> Result<()> {
    // Immediate: of two processes that find a new file, the second sees what the first did.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let layout: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    refuse_other_layout(path, layout)?;
    if layout == 0 {
        transaction.execute_batch(LAYOUT)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", NUMBER)?;
    }
    transaction.commit()?;
    Ok(())
}

fn unfit(path: &Path, why: &str) -> StoreError {
    StoreError::Unfit(format!("{} {why}", path.display()))
}
