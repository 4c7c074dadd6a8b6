//! Records, lists and what is due, in rows.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::steps::Step;
use crate::steps::record::{Key, List, Queue, Reads, Record};
use crate::store::encoding;
use crate::store::outcome::{self, Due, DueNow, Place, Result, Retention, Take, Where};
use crate::store::plan::{CommandId, Loaded, Plan, Read, listed_for};
use crate::store::queued::PerQueue;

/// Runs a step in the open transaction: reads, decides, writes.
pub(super) fn step<S: Step>(
    tx: &Connection,
    step: &S,
    command: &CommandId,
    now: Timestamp,
    retention: Retention,
) -> Result<(S::Outcome, PerQueue<bool>)> {
    let loaded = load_for(tx, step)?;
    let (outcome, changes) = step.decide(&loaded.view, now);
    if changes.is_empty() {
        return Ok((outcome, PerQueue::default()));
    }
    // The count stays true until the transaction ends, so there is room.
    let plan = Plan::of(&loaded, changes, command, (now, retention))?;
    let queued = plan.queues(now);
    write(tx, plan, now, retention)?;
    Ok((outcome, queued))
}

/// Decides a step without writing; `None`: it changes something, and has to be run.
pub(super) fn unchanging<S: Step>(
    tx: &Connection,
    step: &S,
    now: Timestamp,
) -> Result<Option<S::Outcome>> {
    let (outcome, changes) = step.decide(&load_for(tx, step)?.view, now);
    Ok(Some(outcome).filter(|_| changes.is_empty()))
}

/// Reads what a step wants.
fn load_for<S: Step>(tx: &Connection, step: &S) -> Result<Loaded> {
    let mut loaded = load(tx, &step.reads())?;
    for key in step.reads_then(&loaded.view) {
        follow(tx, &mut loaded, key, &[])?;
    }
    Ok(loaded)
}

/// Reads what is wanted.
pub(super) fn load(tx: &Connection, reads: &Reads) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    for key in &reads.keys {
        follow(tx, &mut loaded, key.clone(), reads.follow)?;
    }
    if let Some(list) = &reads.count {
        loaded.view.count = Some(length(tx, list)?);
    }
    Ok(loaded)
}

/// Reads one record, and what it leads to on these levels.
fn follow(tx: &Connection, loaded: &mut Loaded, key: Key, levels: &[&str]) -> Result<()> {
    if loaded.read(&key).is_none() {
        let kept: Option<(u32, String)> = tx
            .prepare_cached("SELECT form, value FROM records WHERE key = ?")?
            .query_row(params![key.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let mut read = Read::nothing(key.clone());
        if let Some((form, json)) = kept {
            let (record, unknown) = encoding::read(&key, form, &json)?;
            read.record = Some(Arc::new(record));
            read.unknown = unknown;
        }
        loaded.insert(read);
    }
    let Some((kinds, deeper)) = levels.split_first() else {
        return Ok(());
    };
    let links = loaded.view.record(&key).map(Record::links);
    for link in links.into_iter().flatten() {
        if kinds.contains(link.kind()) {
            follow(tx, loaded, link, deeper)?;
        }
    }
    Ok(())
}

/// Writes what was planned.
pub(super) fn write(
    tx: &Connection,
    plan: Plan,
    now: Timestamp,
    retention: Retention,
) -> Result<()> {
    for put in plan.puts {
        let ends = put.life.map(|life| millis(now).saturating_add(span(life)));
        tx.prepare_cached(
            "INSERT INTO records (key, form, value, expires_at) VALUES (?, ?, ?, ?)
             ON CONFLICT (key) DO UPDATE
             SET form = excluded.form, value = excluded.value, expires_at = excluded.expires_at",
        )?
        .execute(params![
            put.kept.key.as_str(),
            put.written.form,
            put.written.json,
            ends
        ])?;
    }
    for key in plan.deletes {
        tx.prepare_cached("DELETE FROM records WHERE key = ?")?
            .execute(params![key.as_str()])?;
    }
    for (list, key, place) in plan.places {
        let name = list.name();
        match place {
            None => tx
                .prepare_cached("DELETE FROM places WHERE list = ? AND key = ?")?
                .execute(params![name, key.as_str()])?,
            Some(place) => tx
                .prepare_cached(
                    "INSERT INTO places (list, key, place) VALUES (?, ?, ?)
                     ON CONFLICT (list, key) DO UPDATE SET place = excluded.place",
                )?
                .execute(params![name, key.as_str(), millis(place)])?,
        };
        if let (Some(place), Some(kept)) = (place, listed_for(&list, retention)) {
            tx.prepare_cached("DELETE FROM places WHERE list = ? AND place < ?")?
                .execute(params![name, millis(place).saturating_sub(span(kept))])?;
        }
    }
    for (queue, line, key, at) in plan.due {
        let (queue, key) = (queue.as_str(), key.as_str());
        match at {
            None => tx
                .prepare_cached("DELETE FROM due WHERE queue = ? AND line = ? AND key = ?")?
                .execute(params![queue, line, key])?,
            // An entry that is held stays held only if it is due at the same moment as before.
            Some(at) => tx
                .prepare_cached(
                    "INSERT INTO due (queue, line, key, at, held) VALUES (?, ?, ?, ?, 0)
                     ON CONFLICT (queue, line, key)
                     DO UPDATE SET held = held AND at = excluded.at, at = excluded.at",
                )?
                .execute(params![queue, line, key, millis(at)])?,
        };
    }
    Ok(())
}

/// How long a list is.
pub(super) fn length(tx: &Connection, list: &List) -> Result<u64> {
    let length: i64 = tx
        .prepare_cached("SELECT count(*) FROM places WHERE list = ?")?
        .query_row(params![list.name()], |row| row.get(0))?;
    Ok(length.unsigned_abs())
}

/// A part of a list.
pub(super) fn places(tx: &Connection, list: &List, skip: u64, limit: u64) -> Result<Vec<Place>> {
    let mut sql = tx.prepare_cached(
        "SELECT key, place FROM places WHERE list = ? ORDER BY place, seq LIMIT ? OFFSET ?",
    )?;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let rows = sql.query_map(params![list.name(), number(limit), number(skip)], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?))
    })?;
    rows.map(|row| {
        let (key, place) = row?;
        Ok(Place::found(None, &key, place))
    })
    .collect()
}

/// What is due, of everything.
pub(super) fn due_now(tx: &Connection, now: Timestamp) -> Result<DueNow> {
    let first = places(tx, &List::Deadlines, 0, 1)?;
    let mut due = DueNow {
        has_overdue: first.iter().any(|place| place.at <= now),
        ..DueNow::default()
    };
    for queue in Queue::ALL {
        if !due_lines(tx, queue, now)?.is_empty() {
            due.queues.push((queue, Where::Everywhere));
        }
    }
    Ok(due)
}

/// The lines of a queue that have anything due: the one that was not served for longest first.
fn due_lines(tx: &Connection, queue: Queue, now: Timestamp) -> Result<Vec<String>> {
    let mut sql = tx.prepare_cached(
        // Goes from line to line by the index, however many rows each has.
        "WITH RECURSIVE lines (line) AS (
             SELECT min(line) FROM due WHERE queue = ?1
             UNION ALL
             SELECT (SELECT min(line) FROM due WHERE queue = ?1 AND line > lines.line)
             FROM lines WHERE line IS NOT NULL)
         SELECT lines.line FROM lines
         LEFT JOIN served ON served.queue = ?1 AND served.line = lines.line
         WHERE (SELECT min(at) FROM due WHERE queue = ?1 AND line = lines.line) <= ?2
         ORDER BY coalesce(served.at, 0), lines.line",
    )?;
    let lines = sql.query_map(params![queue.as_str(), millis(now)], |row| row.get(0))?;
    Ok(lines.collect::<rusqlite::Result<_>>()?)
}

/// Takes up what is due: the line that was not served for longest first, and of each line no more than its
/// places.
pub(super) fn take(tx: &Connection, take: &Take) -> Result<Vec<Due>> {
    let lines = due_lines(tx, take.queue, take.now)?;
    let (queue, now) = (take.queue.as_str(), millis(take.now));
    let mut taken = Vec::new();
    for line in lines {
        let mut free = (take.limit - taken.len()) as u64;
        if let Some(places) = take.places {
            let held: i64 = tx
                .prepare_cached(
                    "SELECT count(*) FROM due WHERE queue = ? AND line = ? AND held AND at > ?",
                )?
                .query_row(params![queue, line, now], |row| row.get(0))?;
            free = free.min(places.saturating_sub(held.unsigned_abs()));
        }
        let keys: Vec<String> = tx
            .prepare_cached(
                "SELECT key FROM due WHERE queue = ? AND line = ? AND at <= ?
                 ORDER BY at, key LIMIT ?",
            )?
            .query_map(params![queue, line, now, free.cast_signed()], |row| {
                row.get(0)
            })?
            .collect::<rusqlite::Result<_>>()?;
        if keys.is_empty() {
            continue;
        }
        tx.prepare_cached(
            "INSERT INTO served (queue, line, at) VALUES (?, ?, ?)
             ON CONFLICT (queue, line) DO UPDATE SET at = excluded.at",
        )?
        .execute(params![queue, line, now])?;
        for key in keys {
            tx.prepare_cached(
                "UPDATE due SET at = ?, held = 1 WHERE queue = ? AND line = ? AND key = ?",
            )?
            .execute(params![millis(take.hold_until), queue, line, key])?;
            taken.push(Due {
                slot: None,
                line: line.clone(),
                key: Key::found(&key),
            });
        }
    }
    Ok(taken)
}

/// How much is in a queue, and when the first of it is due.
pub(super) fn queue(tx: &Connection, queue: Queue) -> Result<outcome::Queue> {
    let mut sql = tx.prepare_cached("SELECT count(*), min(at) FROM due WHERE queue = ?")?;
    let (length, first): (i64, Option<i64>) = sql.query_row(params![queue.as_str()], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    Ok(outcome::Queue {
        length: length.unsigned_abs(),
        due_at: first.and_then(|at| Timestamp::from_millisecond(at).ok()),
    })
}

/// How many rows one step deletes, so that others need not wait long.
const ROWS: usize = 500;

/// Deletes some of the records whose time is over; `true`: all of them.
pub(super) fn forget(tx: &Connection, now: Timestamp) -> Result<bool> {
    let deleted = tx
        .prepare_cached(
            "DELETE FROM records WHERE key IN
                 (SELECT key FROM records WHERE expires_at <= ?1 LIMIT ?2)",
        )?
        .execute(params![millis(now), ROWS as i64])?;
    Ok(deleted < ROWS)
}

fn millis(at: Timestamp) -> i64 {
    at.as_millisecond()
}

fn span(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
