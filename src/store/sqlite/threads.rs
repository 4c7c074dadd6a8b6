//! The threads that own the connections: one that writes, a few that read.
//!
//! SQLite lets one connection write at a time and waits for the disk at each commit. So one thread
//! takes the steps that have queued up, runs them in one transaction, each in a savepoint of its
//! own, commits them together, and only then tells how each one ended: many steps share one wait.
//!
//! A step or read that panics fails alone: what it began is undone, and its thread goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::file::Opened;
use crate::store::outcome::{Result, StoreError};

/// How many steps may wait before those who bring more have to.
const QUEUE: usize = 1024;

/// How many steps are committed together at most, so that the first does not wait for ever.
const BATCH: usize = 256;

/// A queued step, called with the open transaction or with why there is none.
type Step = Box<dyn FnOnce(std::result::Result<&Connection, &str>) -> Reply + Send>;

/// Tells a step's outcome, or why the transaction that it was part of was not kept.
type Reply = Box<dyn FnOnce(std::result::Result<(), &str>) + Send>;

/// A queued read.
type Read = Box<dyn FnOnce(&Connection) + Send>;

/// How many probes must succeed after a write that failed, unless a write does: a disk that is full
/// may have room for a probe and for nothing else.
const PROBES: u32 = 5;

/// The last write that failed, unless a write has succeeded since.
type LastFailedWrite = Arc<Mutex<Option<Failed>>>;

/// A write that failed.
struct Failed {
    why: String,
    probes_to_come: u32,
}

/// The queues into the threads. When it is dropped, what is queued is finished first.
pub(super) struct Threads {
    /// `None` only while it is dropped: the threads end when their queues do.
    queues: Option<(mpsc::Sender<Step>, mpsc::Sender<Read>)>,
    threads: Vec<JoinHandle<()>>,
    last_failed: LastFailedWrite,
}

impl Threads {
    /// Starts one thread for `writer`, on the file it has opened, and one for each of `readers`.
    pub fn start(
        writer: Connection,
        file: Opened,
        readers: Vec<Connection>,
    ) -> std::io::Result<Self> {
        let (steps, step_queue) = mpsc::channel(QUEUE);
        let (reads, read_queue) = mpsc::channel(QUEUE);
        let read_queue = Arc::new(Mutex::new(read_queue));
        // Built up front: were a later thread refused, dropping this would end the earlier ones.
        let mut started = Self {
            queues: Some((steps, reads)),
            threads: Vec::new(),
            last_failed: LastFailedWrite::default(),
        };
        let last_failed = started.last_failed.clone();
        let mut start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = Builder::new().name(name.to_owned()).spawn(run)?;
            started.threads.push(thread);
            Ok::<_, std::io::Error>(())
        };
        start(
            "store-write",
            Box::new(move || keep_writing(&writer, &file, step_queue, &last_failed)),
        )?;
        for reader in readers {
            let queue = Arc::clone(&read_queue);
            start(
                "store-read",
                Box::new(move || keep_reading(&reader, &queue)),
            )?;
        }
        Ok(started)
    }

    /// Runs `step` in a transaction; returns when that is on disk.
    ///
    /// A caller that stops waiting does not stop the step.
    pub async fn write<T, F>(&self, step: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (sender, outcome) = oneshot::channel();
        // A failed send is a caller that no longer waits.
        let step: Step = Box::new(move |transaction| {
            let ended = transaction
                .map_err(unavailable)
                .and_then(|transaction| in_savepoint(transaction, step));
            Box::new(move |kept| {
                let _ = sender.send(kept.map_err(unavailable).and(ended));
            })
        });
        let (steps, _) = self.queues()?;
        steps.send(step).await.map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
    }

    /// Runs `read` on what is committed at one moment.
    pub async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let (sender, outcome) = oneshot::channel();
        let read: Read = Box::new(move |connection| {
            let _ = sender.send(in_snapshot(connection, read));
        });
        let (_, reads) = self.queues()?;
        reads.send(read).await.map_err(|_| ended())?;
        outcome.await.map_err(|_| ended())?
    }

    /// Runs `write`, and fails while the last other write failed, until enough probes have succeeded.
    pub async fn probe<F>(&self, write: F) -> Result<()>
    where
        F: FnOnce(&Connection) -> Result<()> + Send + 'static,
    {
        self.write(write).await?;
        let mut last_failed = self
            .last_failed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match last_failed.as_mut() {
            Some(failed) if failed.probes_to_come > 0 => {
                failed.probes_to_come -= 1;
                let why = format!("a write failed a moment ago: {}", failed.why);
                Err(unavailable(&why))
            }
            _ => {
                *last_failed = None;
                Ok(())
            }
        }
    }

    fn queues(&self) -> Result<&(mpsc::Sender<Step>, mpsc::Sender<Read>)> {
        self.queues.as_ref().ok_or_else(ended)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let Some((steps, reads)) = self.queues.take() else {
            return;
        };
        // The writer is the first of them, and closes its connection last: only one that writes brings the log into the
        // file when nobody else has it open.
        drop(reads);
        let readers = self.threads.drain(1.min(self.threads.len())..);
        // A thread that panicked has said so itself.
        readers.for_each(|thread| drop(thread.join()));
        drop(steps);
        self.threads
            .drain(..)
            .for_each(|thread| drop(thread.join()));
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.into())
}

fn ended() -> StoreError {
    unavailable("the store's thread has ended")
}

/// Writes what is queued until the queue ends.
fn keep_writing(
    connection: &Connection,
    file: &Opened,
    mut queue: mpsc::Receiver<Step>,
    last_failed: &LastFailedWrite,
) {
    let remember = |failed: Option<Failed>| {
        *last_failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
    };
    let failed = |why: &str| {
        Some(Failed {
            why: why.to_owned(),
            probes_to_come: PROBES,
        })
    };
    while let Some(first) = queue.blocking_recv() {
        let begin = || run(connection, "BEGIN IMMEDIATE");
        let begun = file
            .is_in_its_place()
            .and_then(|()| begin().map_err(|error| error.to_string()));
        if let Err(why) = begun {
            remember(failed(&why));
            // The steps behind it have waited as long. They are collected before any of them gets its reply, so that
            // a step that comes later tries the file again.
            let mut waiting = vec![first];
            waiting.extend(std::iter::from_fn(|| queue.try_recv().ok()));
            for step in waiting {
                step(Err(&why))(Err(&why));
            }
            continue;
        }
        let changes_before = connection.total_changes();
        let mut replies = Vec::new();
        let mut next = Some(first);
        while let Some(step) = next {
            replies.push(step(Ok(connection)));
            // SQLite itself gives the whole transaction up when, say, the disk is full.
            let is_lost = connection.is_autocommit();
            let has_room = replies.len() < BATCH;
            next = (has_room && !is_lost)
                .then(|| queue.try_recv().ok())
                .flatten();
        }
        let kept = if connection.is_autocommit() {
            Err("the database gave the transaction up".to_owned())
        } else {
            run(connection, "COMMIT").map_err(|error| {
                // The transaction may be open still; the next one could not begin.
                if !connection.is_autocommit() {
                    let _ = connection.execute_batch("ROLLBACK");
                }
                error.to_string()
            })
        };
        match &kept {
            Err(why) => remember(failed(why)),
            Ok(()) if connection.total_changes() > changes_before => remember(None),
            Ok(()) => {}
        }
        for reply in replies {
            reply(kept.as_ref().map(|&()| ()).map_err(String::as_str));
        }
    }
}

/// Runs one step so that its failure undoes what it did, and nothing else.
fn in_savepoint<T>(
    transaction: &Connection,
    step: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    run(transaction, "SAVEPOINT step")?;
    let outcome = caught(|| step(transaction));
    if outcome.is_err() && !transaction.is_autocommit() {
        run(transaction, "ROLLBACK TO step")?;
    }
    if !transaction.is_autocommit() {
        run(transaction, "RELEASE step")?;
    }
    outcome
}

/// Reads what is queued until the queue ends.
fn keep_reading(connection: &Connection, queue: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        // Whoever holds the lock waits for the next read; the others wait for the lock.
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        match next {
            Some(read) => read(connection),
            None => return,
        }
    }
}

/// Runs one read on one state of the file, however many statements it has.
fn in_snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T>,
) -> Result<T> {
    run(connection, "BEGIN DEFERRED")?;
    let outcome = caught(|| read(connection));
    // SQLite ends it by itself when the disk fails.
    if !connection.is_autocommit() {
        run(connection, "COMMIT")?;
    }
    outcome
}

/// Runs a statement that is not about data.
fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// The result of `run`, or an error if it panicked. What it changed is its own or is rolled back.
fn caught<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(StoreError::Failed(
            "it panicked; what it had begun is undone".to_owned(),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::super::file;
    use super::*;

    fn threads(folder: &tempfile::TempDir) -> Threads {
        let path = folder.path().join("store.sqlite");
        let (writer, opened) = file::open_to_write(&path).expect("it opens");
        let reader = file::open_to_read(&path).expect("it opens");
        Threads::start(writer, opened, vec![reader]).expect("threads")
    }

    fn count(connection: &Connection) -> Result<i64> {
        let sql = "SELECT count(*) FROM members";
        Ok(connection.query_row(sql, [], |row| row.get(0))?)
    }

    fn make_scratch(connection: &Connection) -> Result<()> {
        connection.execute("CREATE TABLE scratch (x)", [])?;
        Ok(())
    }

    #[tokio::test]
    async fn a_step_or_a_read_that_panics_fails_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let threads = threads(&folder);
        for _ in 0..3 {
            let failed = threads
                .write::<(), _>(|connection| {
                    make_scratch(connection)?;
                    panic!("a step panics")
                })
                .await;
            assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
            let failed = threads.read::<(), _>(|_| panic!("a read panics")).await;
            assert!(matches!(failed, Err(StoreError::Failed(_))), "{failed:?}");
        }
        threads.read(count).await.expect("readers go on");
        // What the steps that panicked had begun is not there: it can be made.
        threads
            .write(make_scratch)
            .await
            .expect("the writer goes on");
    }

    #[tokio::test]
    async fn after_a_write_that_failed_a_probe_alone_does_not_vouch_for_the_next_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let threads = threads(&folder);
        let fail = |connection: &Connection| {
            // What SQLite does when the disk is full.
            connection.execute_batch("ROLLBACK")?;
            Ok(())
        };
        let probe = async || threads.probe(|_| Ok(())).await;
        probe().await.expect("sound");
        threads.write(fail).await.expect_err("it failed");
        for _ in 0..PROBES {
            let told = probe().await.expect_err("doubted").to_string();
            assert!(told.contains("gave the transaction up"), "{told}");
        }
        probe().await.expect("sound again");

        threads.write(fail).await.expect_err("it failed");
        threads.write(make_scratch).await.expect("kept");
        threads
            .write(|c| Ok(c.execute("INSERT INTO scratch VALUES (1)", [])?))
            .await
            .expect("kept");
        probe().await.expect("a write went through");
    }
}
