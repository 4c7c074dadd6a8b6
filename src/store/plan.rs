//! Turns the changes of a step into what a backend writes, for both backends.

use std::collections::BTreeMap;
use std::collections::btree_map;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::encoding::{self, Unknown, Written};
use super::outcome::{Entry, Result, Retention};
use crate::steps::Line;
use crate::steps::due::Due;
use crate::steps::record::{Changes, Key, Life, List, Record, SOFT_DELETED, View};

/// How many characters a command id has.
pub(super) const COMMAND: usize = 11;

/// How many ids of the commands that last wrote it a record keeps.
const LAST_COMMANDS: usize = 8;

/// The id of one command: a step that is applied once, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommandId(String);

impl CommandId {
    /// The written form: [`COMMAND`] characters.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Makes command ids, no two alike.
#[derive(Default)]
pub(super) struct CommandIds {
    /// Seeded by the operating system, so that two processes make different ids.
    seed: RandomState,
    next: AtomicU64,
}

impl CommandIds {
    /// A new id.
    pub(super) fn next(&self) -> CommandId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        CommandId(URL_SAFE_NO_PAD.encode(self.seed.hash_one(number).to_be_bytes()))
    }
}

/// One key as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    /// The key.
    pub(super) key: Key,
    /// The record, if there was one.
    pub(super) record: Option<Arc<Record>>,
    /// The ids of the commands that wrote it, the newest first, with commas between; empty: no record.
    pub(super) commands: String,
    /// Its fields that this version does not know.
    pub(super) unknown: Option<Unknown>,
}

impl Read {
    /// A key that has no record.
    pub(super) fn nothing(key: Key) -> Self {
        Self {
            key,
            record: None,
            commands: String::new(),
            unknown: None,
        }
    }
}

/// What was read for a step.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// The records.
    pub(super) view: View,
    /// Every key that was looked at.
    pub(super) reads: BTreeMap<Key, Read>,
}

impl Loaded {
    /// Whether that command wrote any of these records.
    pub(super) fn was_written_by(&self, command: &CommandId) -> bool {
        let mut commands = self.reads.values().map(|read| read.commands.split(','));
        commands.any(|mut commands| commands.any(|it| it == command.as_str()))
    }

    /// Adds what was read later.
    pub(super) fn add(&mut self, later: Self) {
        for read in later.reads.into_values() {
            self.insert(read);
        }
    }

    /// Adds a key that was read, unless it was before.
    pub(super) fn insert(&mut self, read: Read) {
        let btree_map::Entry::Vacant(place) = self.reads.entry(read.key.clone()) else {
            return;
        };
        if let Some(record) = &read.record {
            self.view.insert(read.key.clone(), record.clone());
        }
        place.insert(read);
    }

    /// What was read under that key, if it was looked at.
    pub(super) fn read(&self, key: &Key) -> Option<&Read> {
        self.reads.get(key)
    }
}

/// What a backend is to write, all or nothing.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Keys, and the id of the command that must have written each last; empty: there must be no record.
    pub(super) unchanged: Vec<(Key, String)>,
    /// A list that must have fewer entries than that.
    pub(super) room: Option<(List, u64)>,
    /// Records to keep.
    pub(super) puts: Vec<Put>,
    /// Keys of records to delete.
    pub(super) deletes: Vec<Key>,
    /// Places in lists to take, or, as `None`, to give up.
    pub(super) places: Vec<(List, Key, Option<Timestamp>)>,
    /// What waits in which line, and what no longer does.
    pub(super) due: Vec<Waiting>,
}

/// A record that waits in a line until it is due, or that leaves it.
#[derive(Debug, PartialEq)]
pub(super) struct Waiting {
    /// The line.
    pub(super) line: Line,
    /// What waits.
    pub(super) entry: Entry,
    /// When it is due; `None`: it leaves the line.
    pub(super) at: Option<Timestamp>,
}

impl Waiting {
    /// Leaves the line.
    pub(super) fn no_longer(line: Line, entry: Entry) -> Self {
        Self {
            line,
            entry,
            at: None,
        }
    }
}

/// The entry in its line of the record of that key.
fn entry(key: &Key, due: &Due) -> Entry {
    Entry {
        key: key.clone(),
        behind: due.behind.clone(),
    }
}

/// A record to keep.
#[derive(Debug, PartialEq)]
pub(super) struct Put {
    /// The record, as it will be read.
    pub(super) kept: Read,
    /// The record, as it is written.
    pub(super) written: Written,
    /// The keys of what belongs to it.
    pub(super) links: Vec<Key>,
    /// How long it is kept; `None`: until it is deleted.
    pub(super) life: Option<Duration>,
}

impl Plan {
    /// The plan for the changes of a step.
    pub(super) fn of(
        loaded: &Loaded,
        changes: Changes,
        command: &CommandId,
        (now, retention): (Timestamp, Retention),
    ) -> Result<Self> {
        let mut plan = Self {
            places: changes.places,
            room: changes.room,
            ..Self::default()
        };
        for (line, key, behind) in changes.left {
            let entry = Entry { key, behind };
            plan.due.push(Waiting::no_longer(line, entry));
        }
        for read in loaded.reads.values() {
            let last = read.commands.get(..COMMAND).unwrap_or_default();
            plan.unchanged.push((read.key.clone(), last.to_owned()));
        }
        for (key, record) in changes.records {
            let before = loaded.view.record(&key);
            plan.place(&key, before, record.as_ref());
            let Some(record) = record else {
                plan.deletes.push(key);
                continue;
            };
            let read = loaded.read(&key);
            let unknown = read.and_then(|read| read.unknown.as_ref());
            let earlier = read.map_or("", |read| read.commands.as_str());
            let earlier = earlier.split(',').filter(|it| !it.is_empty());
            let mut commands = vec![command.as_str()];
            commands.extend(earlier.take(LAST_COMMANDS - 1));
            plan.puts.push(Put {
                written: encoding::write(&record, unknown)?,
                links: record.links(),
                life: life(record.life(), now, retention),
                kept: Read {
                    key,
                    commands: commands.join(","),
                    unknown: unknown.cloned(),
                    record: Some(Arc::new(record)),
                },
            });
        }
        Ok(plan)
    }

    /// The lines in which something will be due when this is written: what is put there, and what was behind
    /// something that leaves.
    pub(super) fn lines_with_work(&self, now: Timestamp) -> Vec<Line> {
        let is_work = |waiting: &&Waiting| match waiting.at {
            Some(at) => at <= now,
            None => waiting.entry.behind.is_some(),
        };
        let mut lines: Vec<Line> = Vec::new();
        for waiting in self.due.iter().filter(is_work) {
            if !lines.contains(&waiting.line) {
                lines.push(waiting.line.clone());
            }
        }
        lines
    }

    /// The changes of lists and lines that follow from a changed record.
    fn place(&mut self, key: &Key, before: Option<&Record>, after: Option<&Record>) {
        let listed = |record: Option<&Record>| record.and_then(Record::listed);
        match (listed(before), listed(after)) {
            (was, Some(is)) if was.as_ref() != Some(&is) => {
                self.places.push((is.0, key.clone(), Some(is.1)));
            }
            (Some(was), None) => self.places.push((was.0, key.clone(), None)),
            _ => {}
        }
        let due = |record: Option<&Record>| record.and_then(Record::due);
        match (due(before), due(after)) {
            (was, Some(is)) if was.as_ref() != Some(&is) => {
                if let Some(was) = was.filter(|was| was.line != is.line) {
                    let left = entry(key, &was);
                    self.due.push(Waiting::no_longer(was.line, left));
                }
                self.due.push(Waiting {
                    entry: entry(key, &is),
                    line: is.line,
                    at: Some(is.at),
                });
            }
            (Some(was), None) => {
                let left = entry(key, &was);
                self.due.push(Waiting::no_longer(was.line, left));
            }
            _ => {}
        }
    }
}

/// How long from now a record is kept.
fn life(life: Life, now: Timestamp, retention: Retention) -> Option<Duration> {
    let until =
        |moment: Timestamp| Duration::try_from(moment.duration_since(now)).unwrap_or_default();
    let kept = retention.finished;
    let left = |kept: Duration, since: Timestamp| {
        let since = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        kept.saturating_sub(since)
    };
    match life {
        Life::Unlimited => None,
        Life::Retained(since) => Some(left(kept, since)),
        Life::Delivered(since) => Some(left(retention.delivered, since)),
        Life::RetainedOrFor(since, least) => Some(until(since).saturating_add(kept.max(least))),
        Life::For(time) => Some(time),
        Life::Until(moment, more) => Some(until(moment).saturating_add(more)),
    }
}

/// How long a list keeps an entry; `None`: until a step removes it.
pub(super) fn listed_for(list: &List, retention: Retention) -> Option<Duration> {
    list.is_forgetful()
        .then(|| retention.finished.max(SOFT_DELETED))
}
