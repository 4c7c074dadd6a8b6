//! The three scripts, and their arguments: each by its name, in the order in which the script reads them.
//!
//! Scripts know keys, the names of commands, times and bytes. What any of it means is decided by
//! [`steps`](crate::steps).

use std::sync::LazyLock;
use std::time::Duration;

use jiff::Timestamp;
use redis::Script;

use super::keys::Keys;
use crate::steps::record::{Key, Reads, Slot};
use crate::store::outcome::{Ask, Hold, Retention};
use crate::store::plan::{Plan, Put, listed_for};

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])*
        static $name: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!($file)));)*

        /// Every script.
        pub(super) fn all() -> impl Iterator<Item = &'static Script> {
            [$(&*$name),*].into_iter()
        }
    };
}

scripts! {
    LOAD = "load.lua";
    APPLY = "apply.lua";
    TAKE = "take.lua";
}

/// One call of a script.
pub(super) struct Call {
    script: &'static Script,
    keys: Parts,
    arguments: Parts,
}

/// Texts behind each other, in one piece of memory.
#[derive(Default)]
struct Parts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Parts {
    /// Adds one, of several pieces.
    fn push(&mut self, pieces: &[&str]) {
        for piece in pieces {
            self.bytes.extend_from_slice(piece.as_bytes());
        }
        self.ends.push(self.bytes.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(&0).chain(&self.ends);
        let each = begins.zip(&self.ends);
        each.filter_map(|(begin, end)| self.bytes.get(*begin..*end))
    }
}

impl Call {
    fn new(script: &'static Script) -> Self {
        Self {
            script,
            keys: Parts::default(),
            arguments: Parts::default(),
        }
    }

    fn key(&mut self, base: &str, name: &str) {
        self.keys.push(&[base, name]);
    }

    fn argument(&mut self, argument: &str) {
        self.arguments.push(&[argument]);
    }

    /// A number, or that there is none.
    fn number(&mut self, number: Option<i64>) {
        self.argument(&number.map_or(String::new(), |number| number.to_string()));
    }

    fn count(&mut self, of: usize) {
        self.argument(&of.to_string());
    }

    /// Reads records, and what they lead to.
    pub(super) fn load(keys: &Keys, slot: &Slot, reads: &Reads) -> Self {
        let base = keys.base(slot);
        let mut call = Self::new(&LOAD);
        for key in &reads.keys {
            call.key(&base, key.as_str());
        }
        call.argument(&base);
        for kinds in reads.follow {
            call.argument(kinds);
        }
        call
    }

    /// Writes what was planned, provided that what was read is still so.
    pub(super) fn apply(
        keys: &Keys,
        slot: &Slot,
        plan: &Plan,
        (now, retention): (Timestamp, Retention),
    ) -> Self {
        let base = keys.base(slot);
        let mut call = Self::new(&APPLY);
        call.count(plan.unchanged.len());
        for (key, command) in &plan.unchanged {
            call.key(&base, key.as_str());
            call.argument(command);
        }
        call.number(plan.room.as_ref().map(|(_, room)| room.cast_signed()));
        if let Some((list, _)) = &plan.room {
            call.key(&base, &list.name());
        }
        call.count(plan.puts.len());
        for put in &plan.puts {
            call.key(&base, put.kept.key.as_str());
            call.record(put);
            call.number(put.life.map(millis));
        }
        call.count(plan.deletes.len());
        for key in &plan.deletes {
            call.key(&base, key.as_str());
        }
        call.count(plan.places.len());
        for (list, key, place) in &plan.places {
            let kept = place.and_then(|_| listed_for(list, retention));
            call.key(&base, &list.name());
            call.argument(key.as_str());
            call.number(place.map(|at| at.as_millisecond()));
            call.argument(if list.is_of_creation() { "1" } else { "" });
            call.number(kept.map(millis));
        }
        call.number(Some(now.as_millisecond()));
        call.count(plan.due.len());
        for waiting in &plan.due {
            let (line, entry) = (waiting.line.as_str(), &waiting.entry);
            let due = keys.due(slot, line);
            call.key(&keys.lines(slot), "");
            call.key(&due, "");
            match &entry.behind {
                Some(behind) => call.key(&keys.behind(slot, line, behind.as_str()), ""),
                None => call.key(&due, ""),
            }
            call.argument(line);
            call.argument(&entry.to_text());
            call.number(waiting.at.map(|at| at.as_millisecond()));
        }
        call
    }

    /// Writes a key of that base that nobody reads, and that is gone after a minute, as steps are written.
    pub(super) fn probe(base: &str) -> Self {
        let mut call = Self::new(&APPLY);
        call.count(0);
        call.number(None);
        call.count(1);
        call.key(base, "probe");
        call.argument("1");
        call.number(Some(60_000));
        call.count(0);
        call.count(0);
        call.number(Some(0));
        call.count(0);
        call
    }

    /// Takes up what is due at one spot.
    pub(super) fn take(keys: &Keys, slot: &Slot, ask: &Ask, hold: Hold) -> Self {
        let line = ask.spot.line.as_str();
        let mut call = Self::new(&TAKE);
        call.key(&keys.lines(slot), "");
        call.key(&keys.due(slot, line), "");
        call.argument(&keys.base(slot));
        call.argument(line);
        call.number(Some(hold.due_by.as_millisecond()));
        call.number(Some(hold.until.as_millisecond()));
        call.count(ask.limit);
        call
    }

    /// The script that is called.
    pub(super) fn script(&self) -> &'static Script {
        self.script
    }

    /// The command that calls it by its hash.
    pub(super) fn command(&self) -> redis::Cmd {
        let size = self.keys.bytes.len() + self.arguments.bytes.len() + 64;
        let parts = self.keys.ends.len() + self.arguments.ends.len() + 3;
        let mut command = redis::Cmd::with_capacity(parts, size);
        command.arg("EVALSHA").arg(self.script.get_hash());
        command.arg(self.keys.ends.len());
        for part in self.keys.iter().chain(self.arguments.iter()) {
            command.arg(part);
        }
        command
    }

    /// A record as it is kept: the commands that wrote it, the number of its form and the keys it leads to in
    /// one line, and then the record.
    fn record(&mut self, put: &Put) {
        let links: Vec<&str> = put.links.iter().map(Key::as_str).collect();
        let form = put.written.form.to_string();
        let head = [&put.kept.commands, " ", &form, " ", &links.join(" ")];
        self.arguments
            .bytes
            .extend(head.iter().flat_map(|piece| piece.bytes()));
        self.arguments.push(&["\n", &put.written.json]);
    }
}

/// A time to live in milliseconds: at least a second, at most a thousand years, which the server
/// can still add to its clock.
fn millis(life: Duration) -> i64 {
    const MOST: i64 = 1000 * 365 * 24 * 60 * 60 * 1000;
    i64::try_from(life.as_millis()).map_or(MOST, |millis| millis.clamp(1000, MOST))
}
