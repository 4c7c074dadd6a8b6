//! The threads that own the connections: one that writes, a few that read.
//!
//! SQLite lets one connection write at a time and waits for the disk at each commit. So one thread
//! takes the steps that have queued up, runs them in one transaction, each in a savepoint of its
//! own, commits them together, and only then tells how each one ended: many steps share one wait.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::store::{Result, StoreError};

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

/// The queues into the threads. When it is dropped, what is queued is finished first.
pub(super) struct Threads {
    /// `None` only while it is dropped: the threads end when their queues do.
    queues: Option<(mpsc::Sender<Step>, mpsc::Sender<Read>)>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts one thread for `writer` and one for each of `readers`.
    pub fn start(writer: Connection, readers: Vec<Connection>) -> std::io::Result<Self> {
        let (steps, step_queue) = mpsc::channel(QUEUE);
        let (reads, read_queue) = mpsc::channel(QUEUE);
        let read_queue = Arc::new(Mutex::new(read_queue));
        // Built up front: were a later thread refused, dropping this would end the earlier ones.
        let mut started = Self {
            queues: Some((steps, reads)),
            threads: Vec::new(),
        };
        let mut start = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = Builder::new().name(name.to_owned()).spawn(run)?;
            started.threads.push(thread);
            Ok::<_, std::io::Error>(())
        };
        start("store-write", Box::new(|| keep_writing(writer, step_queue)))?;
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

    fn queues(&self) -> Result<&(mpsc::Sender<Step>, mpsc::Sender<Read>)> {
        self.queues.as_ref().ok_or_else(ended)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.queues = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so itself.
            let _ = thread.join();
        }
    }
}

fn unavailable(why: &str) -> StoreError {
    StoreError::Unavailable(why.into())
}

fn ended() -> StoreError {
    unavailable("the store's thread has ended")
}

/// Writes what is queued until the queue ends.
fn keep_writing(connection: Connection, mut queue: mpsc::Receiver<Step>) {
    while let Some(first) = queue.blocking_recv() {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            // Those behind it have waited, too. They are collected before any of them is answered:
            // who comes afterwards finds the file anew.
            let why = error.to_string();
            let mut waiting = vec![first];
            waiting.extend(std::iter::from_fn(|| queue.try_recv().ok()));
            for step in waiting {
                step(Err(&why))(Err(&why));
            }
            continue;
        }
        let mut replies = Vec::new();
        let mut next = Some(first);
        while let Some(step) = next {
            replies.push(step(Ok(&connection)));
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
            connection.execute_batch("COMMIT").map_err(|error| {
                // The transaction may be open still; the next one could not begin.
                if !connection.is_autocommit() {
                    let _ = connection.execute_batch("ROLLBACK");
                }
                error.to_string()
            })
        };
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
    let run = |sql: &str| {
        transaction
            .prepare_cached(sql)
            .and_then(|mut sql| sql.execute([]))
    };
    run("SAVEPOINT step")?;
    let outcome = step(transaction);
    if outcome.is_err() && !transaction.is_autocommit() {
        run("ROLLBACK TO step")?;
    }
    if !transaction.is_autocommit() {
        run("RELEASE step")?;
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
    let snapshot = connection.unchecked_transaction()?;
    read(&snapshot)
}
