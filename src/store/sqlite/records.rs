//! Records, lists and what is due, in rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::steps::due::Behind;
use crate::steps::record::{Key, List, Reads, Record, Slot};
use crate::steps::{Line, Step};
use crate::store::encoding;
use crate::store::outcome::{
    Ask, BATCH, DueNow, Entry, Found, Hold, Place, Queued, Result, Retention, Spot,
};
use crate::store::plan::{CommandId, Loaded, Plan, Read, Waiting, listed_for};

/// Runs a step in the open transaction: reads, decides, writes.
pub(super) fn step<S: Step>(
    tx: &Connection,
    step: &S,
    command: &CommandId,
    now: Timestamp,
    retention: Retention,
) -> Result<(S::Outcome, Vec<Line>)> {
    let loaded = load_for(tx, step)?;
    let (outcome, changes) = step.decide(&loaded.view, now);
    if changes.is_empty() {
        return Ok((outcome, Vec::new()));
    }
    // The count stays true until the transaction ends, so there is room.
    let plan = Plan::of(&loaded, changes, command, (now, retention))?;
    let queued = plan.lines_with_work(now);
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
    for waiting in &plan.due {
        wait(tx, waiting, now)?;
    }
    Ok(())
}

/// Lets an entry wait in its line, or leave it. Of those behind the same only the first has a due time.
fn wait(tx: &Connection, waiting: &Waiting, now: Timestamp) -> Result<()> {
    let (line, entry) = (waiting.line.as_str(), &waiting.entry);
    let (key, behind) = (
        entry.key.as_str(),
        entry.behind.as_ref().map(Behind::as_str),
    );
    if let Some(at) = waiting.at {
        tx.prepare_cached(
            "INSERT INTO due (line, key, behind, since, at) VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT (line, key) DO UPDATE SET at = excluded.at",
        )?
        .execute(params![line, key, behind, millis(at)])?;
        if behind.is_some() {
            tx.prepare_cached(
                "UPDATE due SET at = NULL WHERE line = ?1 AND key = ?2 AND seq >
                     (SELECT min(seq) FROM due WHERE line = ?1 AND behind = ?3)",
            )?
            .execute(params![line, key, behind])?;
        }
        return Ok(());
    }
    tx.prepare_cached("DELETE FROM due WHERE line = ? AND key = ?")?
        .execute(params![line, key])?;
    if behind.is_some() {
        tx.prepare_cached(
            "UPDATE due SET at = min(since, ?3) WHERE at IS NULL AND seq =
                 (SELECT min(seq) FROM due WHERE line = ?1 AND behind = ?2)",
        )?
        .execute(params![line, behind, millis(now)])?;
    }
    Ok(())
}

/// Of a list that has no limit.
const KEPT_LENGTH: &str = "SELECT coalesce(max(length), 0) FROM lengths WHERE list = ?";

/// How long a list is.
pub(super) fn length(tx: &Connection, list: &List) -> Result<u64> {
    let sql = match list {
        List::Users(_) | List::UsersByEmail(..) => KEPT_LENGTH,
        _ => "SELECT count(*) FROM places WHERE list = ?",
    };
    let length: i64 = tx
        .prepare_cached(sql)?
        .query_row(params![list.name()], |row| row.get(0))?;
    Ok(length.unsigned_abs())
}

const FORWARDS: &str =
    "SELECT key, place FROM places WHERE list = ? ORDER BY place, seq LIMIT ? OFFSET ?";
const BACKWARDS: &str =
    "SELECT key, place FROM places WHERE list = ? ORDER BY place DESC, seq DESC LIMIT ? OFFSET ?";

/// A part of a list, and the length of the whole. SQLite steps over all that is before the part, so it comes from
/// the nearer end.
pub(super) fn places(
    tx: &Connection,
    list: &List,
    skip: u64,
    limit: u64,
) -> Result<(Vec<Place>, u64)> {
    let total = length(tx, list)?;
    let behind = total.saturating_sub(skip);
    let shown = limit.min(behind);
    let behind = behind - shown;
    let is_near_the_end = behind < skip;
    let (sql, over) = match is_near_the_end {
        true => (BACKWARDS, behind),
        false => (FORWARDS, skip),
    };
    let mut sql = tx.prepare_cached(sql)?;
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let rows = sql.query_map(params![list.name(), number(shown), number(over)], place)?;
    let mut places: Vec<Place> = rows.collect::<rusqlite::Result<_>>()?;
    if is_near_the_end {
        places.reverse();
    }
    Ok((places, total))
}

const PAST: &str =
    "SELECT key, place FROM places WHERE list = ? AND place <= ? ORDER BY place, seq LIMIT ?";

/// The first of a list, if their time has passed.
pub(super) fn past(
    tx: &Connection,
    list: &List,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Place>> {
    let mut sql = tx.prepare_cached(PAST)?;
    let rows = sql.query_map(params![list.name(), millis(now), limit as i64], place)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Reads a key and its place.
fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    let key: String = row.get(0)?;
    Ok(Place::found(None, &key, row.get(1)?))
}

/// What is due, of everything.
pub(super) fn due_now(tx: &Connection, now: Timestamp) -> Result<DueNow> {
    let mut due = DueNow {
        has_overdue: !past(tx, &List::Deadlines, now, 1)?.is_empty(),
        ..DueNow::default()
    };
    let spot = |line: String| Spot {
        line: Line::found(&line),
        slot: None,
    };
    due.spots = due_lines(tx, now)?.into_iter().map(spot).collect();
    Ok(due)
}

/// The lines that have anything due.
fn due_lines(tx: &Connection, now: Timestamp) -> Result<Vec<String>> {
    let mut sql = tx.prepare_cached(
        // Goes from line to line by the index, however many rows each has.
        "WITH RECURSIVE lines (line) AS (
             SELECT min(line) FROM due
             UNION ALL
             SELECT (SELECT min(line) FROM due WHERE line > lines.line)
             FROM lines WHERE line IS NOT NULL)
         SELECT line FROM lines
         WHERE EXISTS (SELECT 1 FROM due WHERE line = lines.line AND at <= ?)",
    )?;
    let lines = sql.query_map(params![millis(now)], |row| row.get(0))?;
    Ok(lines.collect::<rusqlite::Result<_>>()?)
}

/// Takes up what is due in a line.
pub(super) fn take(tx: &Connection, ask: &Ask, hold: Hold) -> Result<Vec<Entry>> {
    let (line, limit) = (ask.spot.line.as_str(), ask.limit as i64);
    let found = |row: &Row<'_>| {
        let (key, behind): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        Ok(Entry {
            key: Key::found(&key),
            behind: behind.as_deref().map(Behind::of),
        })
    };
    let taken: Vec<Entry> = tx
        .prepare_cached(
            "SELECT key, behind FROM due WHERE line = ? AND at <= ? ORDER BY at, seq LIMIT ?",
        )?
        .query_map(params![line, millis(hold.due_by), limit], found)?
        .collect::<rusqlite::Result<_>>()?;
    for entry in &taken {
        tx.prepare_cached("UPDATE due SET at = ? WHERE line = ? AND key = ?")?
            .execute(params![millis(hold.until), line, entry.key.as_str()])?;
    }
    Ok(taken)
}

/// The next records of a kind behind that key, in the order of their keys: so many, or fewer at the end.
pub(super) fn batch(tx: &Connection, kind: char, behind: Option<&Key>) -> Result<Vec<Found>> {
    let from = kind.to_string();
    let next = char::from_u32(u32::from(kind) + 1).unwrap_or(kind);
    let mut sql = tx.prepare_cached(
        "SELECT key, form, value FROM records WHERE key > ? AND key < ? ORDER BY key LIMIT ?",
    )?;
    let rows = sql.query_map(
        // No record that there may be several of is named by its letter alone.
        params![
            behind.map_or(from.as_str(), Key::as_str),
            next.to_string(),
            BATCH as i64
        ],
        |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get(1)?,
                row.get::<_, String>(2)?,
            ))
        },
    )?;
    let mut batch = Vec::new();
    for row in rows {
        let (key, form, json) = row?;
        let key = Key::found(&key);
        let read = encoding::read(&key, form, &json);
        batch.push(Found {
            slot: Slot::Store,
            record: read.ok().map(|(record, _)| record),
            key,
        });
    }
    Ok(batch)
}

/// How much is in each line, and when the first of it is due.
pub(super) fn queued(tx: &Connection) -> Result<BTreeMap<Line, Queued>> {
    let mut sql = tx.prepare_cached("SELECT line, count(*), min(at) FROM due GROUP BY line")?;
    let lines = sql.query_map((), |row| {
        let (length, first): (i64, Option<i64>) = (row.get(1)?, row.get(2)?);
        let queued = Queued {
            length: length.unsigned_abs(),
            due_at: first.and_then(|at| Timestamp::from_millisecond(at).ok()),
        };
        Ok((Line::found(&row.get::<_, String>(0)?), queued))
    })?;
    Ok(lines.collect::<rusqlite::Result<_>>()?)
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

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::domain::id::ClientId;

    const NOW: i64 = 1_767_225_600_000;

    /// A file in memory with that many users of a client and that many pending links.
    fn file(entries: i64) -> Connection {
        let file = Connection::open_in_memory().expect("it opens");
        file.execute_batch(include_str!("schema.sql"))
            .expect("laid out");
        let fill = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2)
             INSERT INTO places (list, key, place) SELECT ?1, 'w' || n, ?3 + n FROM n";
        for list in [users().name(), List::Deadlines.name()] {
            file.execute(fill, params![list, entries, NOW])
                .expect("filled");
        }
        file
    }

    fn users() -> List {
        let client: ClientId = "acme".parse().expect("a client");
        List::Users(client)
    }

    /// How many steps SQLite's machine took for a statement since the last time.
    fn steps_of(file: &Connection, sql: &str) -> i32 {
        let statement = file.prepare_cached(sql).expect("prepared");
        statement.reset_status(StatementStatus::VmStep)
    }

    #[test]
    fn looks_at_a_long_list_cost_no_more_than_at_a_short_one() {
        let costs = [10_u64, 10_000].map(|entries| {
            let file = file(entries.cast_signed());
            let first = Timestamp::from_millisecond(NOW + 1).expect("a time");
            let past = past(&file, &List::Deadlines, first, 5).expect("read");
            assert_eq!(past.len(), 1);
            for skip in [0, entries - 5] {
                let (page, total) = places(&file, &users(), skip, 5).expect("read");
                assert_eq!(total, entries);
                let expected: Vec<String> =
                    (skip + 1..=skip + 5).map(|n| format!("w{n}")).collect();
                let keys: Vec<&str> = page.iter().map(|place| place.key.as_str()).collect();
                assert_eq!(keys, expected);
            }
            [PAST, KEPT_LENGTH, FORWARDS, BACKWARDS].map(|sql| steps_of(&file, sql))
        });
        assert!(costs[0].iter().all(|steps| *steps > 0), "{costs:?}");
        assert_eq!(costs[0], costs[1]);
    }

    #[test]
    fn every_part_of_a_list_is_the_same_from_either_end() {
        let file = file(7);
        for skip in 0..9 {
            for limit in 0..9 {
                let (page, total) = places(&file, &users(), skip, limit).expect("read");
                assert_eq!(total, 7);
                let expected = (1..=7_u64).skip(skip as usize).take(limit as usize);
                let expected: Vec<String> = expected.map(|n| format!("w{n}")).collect();
                let keys: Vec<&str> = page.iter().map(|place| place.key.as_str()).collect();
                assert_eq!(keys, expected, "{skip} {limit}");
            }
        }
    }

    #[test]
    fn the_length_of_a_list_of_users_is_kept() {
        let file = file(3);
        let remove = "DELETE FROM places WHERE list = ? AND key = ?";
        for (key, left) in [("w2", 2), ("w2", 2), ("w1", 1), ("w3", 0)] {
            file.execute(remove, params![users().name(), key])
                .expect("removed");
            assert_eq!(length(&file, &users()).expect("counted"), left, "{key}");
        }
        let rows: i64 = file
            .query_row("SELECT count(*) FROM lengths", [], |row| row.get(0))
            .expect("counted");
        assert_eq!(rows, 0, "an empty list has no row");
    }
}
