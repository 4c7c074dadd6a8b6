//! The Redis store: Redis or Valkey servers, shared by any number of gateways.
//!
//! ```text
//! load ─▶ decide (steps) ─▶ apply: written if what was read is still so; else load again
//! ```
//!
//! - A step is two round trips, `load` and `apply`, and one where nothing changes, or where what it wants to
//!   read was seen a moment ago (`recent.rs`). `keys.rs` has the keys, `scripts.rs` the three scripts, none
//!   of which knows what a record means.
//! - A step whose reply was lost is sent again with the same command id. It is recognised by the command id in
//!   the records it wrote.
//! - Unfinished records are kept until a step finishes or deletes them. Finished records have a time to live, so
//!   nothing has to be purged.
//! - A pending link costs at most 400 bytes of the server's memory
//!   (`bench/src/bin/bytes_per_link.rs` measures it).
//! - [`RedisStore::open`] refuses a server that may lose what it accepted (`fitness.rs`).

mod answers;
mod cluster;
mod connection;
mod endpoint;
mod failure;
mod fitness;
mod hash_slot;
mod keys;
mod link;
mod map;
mod recent;
mod resolver;
mod scripts;
mod sentinel;
mod server;
#[cfg(test)]
mod tests;

use std::mem;
use std::sync::Arc;

use futures_util::future::select_ok;
use jiff::Timestamp;
use redis::{Cmd, Value};

use self::keys::{Keys, partitions};
use self::link::Link;
use self::recent::Recent;
use self::scripts::Call;
use self::server::Asked;
use super::encoding;
use super::outcome::{
    Ask, BATCH, DueNow, Entry, Found, Hold, Home, Keeping, Place, Queued, Queues, Result,
    Retention, Spot, StoreError,
};
use super::plan::{CommandId, Loaded, Plan, Read};
use crate::domain::redis_address::RedisAddress;
use crate::steps::record::{Key, List, Reads, Slot};
use crate::steps::{Line, Step};

/// No limit. There are as many lines as the clients have endpoints and institutions.
const ALL: i64 = -1;

/// How the store is used.
#[derive(Clone, Copy, Debug)]
pub struct RedisSettings {
    /// How long things are kept after they ended; at least a second.
    pub retention: Retention,
    /// Use a server that may lose accepted data, with a warning instead of a refusal.
    pub accept_volatile: bool,
    /// How many replicas must have what has to survive a failover, before it counts as kept. `None`: one, where
    /// the server has a replica.
    pub acknowledged_by: Option<u64>,
}

/// A store on Redis or Valkey, 6.2 or newer: one server, one with Sentinels, or a cluster.
pub struct RedisStore {
    link: Link,
    keys: Keys,
    retention: Retention,
    recent: Recent,
}

/// The earlier tries of a step.
pub(super) struct Tries<T> {
    /// Whether there were none.
    is_first: bool,
    /// The try that was sent and whose reply was lost.
    sent: Option<Sent<T>>,
}

impl<T> Default for Tries<T> {
    fn default() -> Self {
        Self {
            is_first: true,
            sent: None,
        }
    }
}

struct Sent<T> {
    /// Its outcome, if it arrived.
    outcome: T,
    /// The records it then wrote.
    written: Vec<Key>,
    /// The records that were there and that it then deleted.
    deleted: Vec<Key>,
    /// The lines in which it then queued something.
    queued: Vec<Line>,
}

impl RedisStore {
    /// Connects to the servers at `address`, where all keys begin with `prefix`. Gives warnings for the
    /// operator.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when nobody answers within three seconds, [`StoreError::Unfit`]
    /// when the server refuses us, must not be trusted as it is set up, or holds what another version
    /// wrote in another layout.
    pub async fn open(
        address: &RedisAddress,
        prefix: &str,
        settings: RedisSettings,
    ) -> Result<(Self, Vec<String>)> {
        let keys = Keys::new(prefix).ok_or_else(|| {
            StoreError::Unfit("the prefix of the store's keys must not contain { or }".to_owned())
        })?;
        let link = Link::open(address, settings.acknowledged_by).await?;
        let warnings = fitness::check(&link, settings.accept_volatile).await?;
        fitness::check_layout(&link, &keys).await?;
        for server in link.servers() {
            server.load_scripts().await?;
        }
        let retention = settings.retention;
        Ok((
            Self {
                link,
                keys,
                retention,
                recent: Recent::default(),
            },
            warnings,
        ))
    }

    /// Tries a step once. `None`: another step changed what this one had read; it has to be tried again.
    pub(super) async fn try_step<S: Step>(
        &self,
        step: &S,
        command: &CommandId,
        (now, keeping): (Timestamp, Keeping),
        tries: &mut Tries<S::Outcome>,
    ) -> Result<Option<(S::Outcome, Vec<Line>)>> {
        let remembered = mem::take(&mut tries.is_first).then(|| self.recall(step));
        if let Some(loaded) = remembered.flatten() {
            let (outcome, changes) = step.decide(&loaded.view, now);
            if !changes.is_empty() {
                let plan = Plan::of(&loaded, changes, command, (now, self.retention))?;
                let slot = step.slot();
                return self.send(&slot, plan, outcome, (now, keeping), tries).await;
            }
        }
        let slot = step.slot();
        let mut loaded = self.load(&slot, &step.reads()).await?;
        let more = step.reads_then(&loaded.view);
        if !more.is_empty() {
            let later = self.load(&slot, &Reads::of(more)).await?;
            loaded.add(later);
        }
        // Look after reading: if the earlier request arrived before, its command is found.
        if let Some(earlier) = &tries.sent
            && self.has_arrived(&slot, earlier, command, keeping).await?
        {
            let sent = tries.sent.take();
            return Ok(sent.map(|sent| (sent.outcome, sent.queued)));
        }
        let (outcome, changes) = step.decide(&loaded.view, now);
        if changes.is_empty() {
            return Ok(Some((outcome, Vec::new())));
        }
        let plan = Plan::of(&loaded, changes, command, (now, self.retention))?;
        self.send(&slot, plan, outcome, (now, keeping), tries).await
    }

    /// Whether a step whose answer was lost was written. One that only deletes leaves no command behind, so it
    /// counts as written when what it deletes is gone.
    async fn has_arrived<T>(
        &self,
        slot: &Slot,
        earlier: &Sent<T>,
        command: &CommandId,
        keeping: Keeping,
    ) -> Result<bool> {
        if earlier.written.is_empty() && !earlier.deleted.is_empty() {
            let deleted = Reads::of(earlier.deleted.clone());
            let left = self.load_kept(slot, &deleted, keeping).await?;
            return Ok(left.view.records().next().is_none());
        }
        let written = Reads::of(earlier.written.clone());
        let found = self.load_kept(slot, &written, keeping).await?;
        Ok(found.was_written_by(command))
    }

    /// What a step wants to read, as far as it was seen a moment ago. `None`: not all of it was.
    fn recall<S: Step>(&self, step: &S) -> Option<Loaded> {
        let reads = step.reads();
        let mut loaded = Loaded::default();
        let mut keys = reads.keys;
        let mut levels = reads.follow.iter();
        loop {
            for key in mem::take(&mut keys) {
                let read = self.recent.recall(&key);
                let is_drawn = || reads.drawn.contains(&key);
                let read = read.or_else(|| is_drawn().then(|| Read::nothing(key.clone())))?;
                if let (Some(kinds), Some(record)) = (levels.as_slice().first(), &read.record) {
                    let links = record.links().into_iter();
                    keys.extend(links.filter(|link| kinds.contains(link.kind())));
                }
                loaded.insert(read);
            }
            if levels.next().is_none() {
                break;
            }
        }
        for key in step.reads_then(&loaded.view) {
            loaded.insert(self.recent.recall(&key)?);
        }
        Some(loaded)
    }

    /// Writes what a step changes.
    async fn send<T>(
        &self,
        slot: &Slot,
        plan: Plan,
        outcome: T,
        (now, keeping): (Timestamp, Keeping),
        tries: &mut Tries<T>,
    ) -> Result<Option<(T, Vec<Line>)>> {
        let call = Call::apply(&self.keys, slot, &plan, (now, self.retention));
        let queued = plan.lines_with_work(now);
        let written: Vec<Key> = plan.puts.iter().map(|put| put.kept.key.clone()).collect();
        // Until the reply comes it is unknown whether these were written.
        self.recent.forget(written.iter().chain(&plan.deletes));
        let is_first = tries.sent.is_none();
        let there = plan.unchanged.iter().filter(|(_, last)| !last.is_empty());
        let mut deleted: Vec<Key> = there.map(|(key, _)| key.clone()).collect();
        deleted.retain(|key| plan.deletes.contains(key));
        tries.sent = Some(Sent {
            outcome,
            written,
            deleted,
            queued,
        });
        let is_written = self.ask(slot, call, keeping).await? == Value::Int(1);
        if is_written {
            self.recent.see(plan.puts.into_iter().map(|put| put.kept));
        } else {
            self.recent
                .forget(plan.unchanged.iter().map(|(key, _)| key));
        }
        // If an earlier request got no reply, that one may have arrived meanwhile and be the reason why this one
        // was refused. So it stays remembered, and the next try looks for it.
        let known = tries.sent.take_if(|_| is_written || is_first);
        let known = known.filter(|_| is_written);
        Ok(known.map(|sent| (sent.outcome, sent.queued)))
    }

    /// Reads records of several slots in one round trip. The records of one slot are read at one moment.
    pub(super) async fn load_each(&self, reads: &[(Slot, Reads)]) -> Result<Vec<Loaded>> {
        let mut loaded = Vec::with_capacity(reads.len());
        let commands = reads.iter().map(|(slot, reads)| self.values(slot, reads));
        let answers = self.link.query_all(commands).await?;
        for ((_, reads), answer) in reads.iter().zip(answers) {
            loaded.push(self.seen(of_values(&reads.keys, answer)?));
        }
        Ok(loaded)
    }

    /// Reads records of one slot, in one round trip.
    pub(super) async fn load(&self, slot: &Slot, reads: &Reads) -> Result<Loaded> {
        self.load_kept(slot, reads, Keeping::Taken).await
    }

    /// Reads records of one slot, in one round trip. With [`Keeping::Acknowledged`] what was read will still be
    /// there after a failover.
    pub(super) async fn load_kept(
        &self,
        slot: &Slot,
        reads: &Reads,
        keeping: Keeping,
    ) -> Result<Loaded> {
        if reads.keys.is_empty() {
            return Ok(Loaded::default());
        }
        if let Some(list) = &reads.count {
            let commands = vec![
                self.values(slot, reads),
                length(&self.keys.list(slot, list)),
            ];
            let [values, length] = two(self.link.query_all(commands).await?)?;
            let mut loaded = of_values(&reads.keys, values)?;
            loaded.view.count = Some(number(length)?);
            return Ok(self.seen(loaded));
        }
        if reads.follow.is_empty() {
            let values = self.ask(slot, self.values(slot, reads), keeping).await?;
            return Ok(self.seen(of_values(&reads.keys, values)?));
        }
        let call = Call::load(&self.keys, slot, reads);
        let answer = self.ask(slot, call, keeping).await?;
        let mut parts = parts(answer)?.into_iter();
        let mut loaded = Loaded::default();
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let key = Key::parse(&text(name)?).ok_or_else(|| unreadable("a key"))?;
            loaded.insert(of_value(key, value)?);
        }
        Ok(self.seen(loaded))
    }

    /// Whether what has to survive a failover is acknowledged by replicas, so that a read may see what is not yet.
    pub(super) async fn acknowledges(&self, slot: &Slot) -> Result<bool> {
        self.link
            .has_to_be_acknowledged(&self.keys.base(slot))
            .await
    }

    async fn ask(&self, slot: &Slot, asked: impl Into<Asked>, keeping: Keeping) -> Result<Value> {
        match keeping {
            Keeping::Taken => self.link.query(asked).await,
            Keeping::Acknowledged => {
                let mut mark = redis::cmd("SET");
                mark.arg(self.keys.mark(slot)).arg(1).arg("PX").arg(60_000);
                self.link.query_acknowledged(asked, mark).await
            }
        }
    }

    fn seen(&self, loaded: Loaded) -> Loaded {
        self.recent.see(loaded.reads.values().cloned());
        loaded
    }

    /// The command that reads the records of these keys.
    fn values(&self, slot: &Slot, reads: &Reads) -> Cmd {
        let mut command = redis::cmd("MGET");
        for key in &reads.keys {
            command.arg(self.keys.record(slot, key));
        }
        command
    }

    /// Writes a plan that is not based on anything read.
    pub(super) async fn write(&self, slot: &Slot, plan: &Plan, now: Timestamp) -> Result<()> {
        let call = Call::apply(&self.keys, slot, plan, (now, self.retention));
        self.link.query(call).await.map(drop)
    }

    /// A part of a list, and the length of the whole.
    pub(super) async fn places(
        &self,
        slot: &Slot,
        list: &List,
        skip: u64,
        limit: u64,
    ) -> Result<(Vec<Place>, u64)> {
        let name = self.keys.list(slot, list);
        let last = skip
            .saturating_add(limit)
            .saturating_sub(1)
            .min(i64::MAX.unsigned_abs());
        let mut range = redis::cmd("ZRANGE");
        range.arg(&name).arg(skip).arg(last).arg("WITHSCORES");
        let [length, range] = two(self.link.query_all(vec![length(&name), range]).await?)?;
        let places = match limit {
            0 => Vec::new(),
            _ => of_scores(slot, range)?,
        };
        Ok((places, number(length)?))
    }

    /// The keys in a list of every partition whose time has passed, the earliest first: one round trip. Partitions whose
    /// server is away are left out.
    pub(super) async fn past(
        &self,
        list: &List,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Place>> {
        let now = now.as_millisecond();
        let slots = partitions();
        let commands = slots
            .iter()
            .map(|slot| up_to(&self.keys.list(slot, list), now, limit as i64));
        let mut places = Vec::new();
        let answers = self.link.query_those_there(commands).await?;
        for (slot, answer) in slots.iter().zip(answers) {
            places.extend(answer.map_or(Ok(Vec::new()), |it| of_scores(slot, it))?);
        }
        places.sort_by_key(|place| place.at);
        places.truncate(limit);
        Ok(places)
    }

    /// Which server has what is due in a slot.
    pub(super) fn home(&self, slot: &Slot) -> Home {
        match self.link.is_cluster() {
            true => Home(self.link.place(&self.keys.lines(slot))),
            false => Home(None),
        }
    }

    /// Takes up what is due at those spots, in one round trip. What is due at a server that is away is left for later.
    pub(super) async fn take(&self, asks: &[Ask], hold: Hold) -> Result<Vec<Option<Vec<Entry>>>> {
        let slot = |ask: &Ask| ask.spot.slot.clone().unwrap_or(Slot::Store);
        let calls = asks
            .iter()
            .map(|ask| Call::take(&self.keys, &slot(ask), ask, hold));
        let answers = self.link.query_those_there(calls).await?;
        let each = answers.into_iter().map(|answer| match answer {
            Some(answer) => self.taken(answer).map(Some),
            None => Ok(None),
        });
        each.collect()
    }

    /// Reads what was taken up.
    fn taken(&self, answer: Value) -> Result<Vec<Entry>> {
        let mut parts = parts(answer)?.into_iter();
        let mut taken = Vec::new();
        while let Some(entry) = parts.next() {
            let entry = Entry::found(&text(entry)?);
            // If it cannot be read, the step that follows reports that.
            let record = parts.next().unwrap_or(Value::Nil);
            self.recent.see(of_value(entry.key.clone(), record).ok());
            taken.push(entry);
        }
        Ok(taken)
    }

    /// What is due, of everything, in one round trip. What is due at a server that is away is left for later.
    pub(super) async fn due_now(&self, now: Timestamp) -> Result<DueNow> {
        let now = now.as_millisecond();
        let slots = partitions();
        let lines = slots
            .iter()
            .map(|slot| up_to(&self.keys.lines(slot), now, ALL));
        let windows = slots
            .iter()
            .map(|slot| up_to(&self.keys.list(slot, &List::Deadlines), now, 1));
        let mut answers = self.link.query_those_there(lines.chain(windows)).await?;
        let mut due = DueNow::default();
        for window in answers.split_off(slots.len()).into_iter().flatten() {
            due.has_overdue |= !parts(window)?.is_empty();
        }
        for (slot, answer) in slots.into_iter().zip(answers) {
            let lines: Vec<(String, f64)> = answer.map_or(Ok(Vec::new()), value)?;
            let spot = |(line, _): &(String, f64)| Spot {
                line: Line::found(line),
                slot: Some(slot.clone()),
            };
            due.spots.extend(lines.iter().map(spot));
        }
        Ok(due)
    }

    /// Shows every record of those kinds, batch by batch, in no order. One that comes, goes or moves to another server
    /// meanwhile may be left out.
    pub(super) async fn each_batch(
        &self,
        kinds: &[char],
        see: &mut impl AsyncFnMut(Vec<Found>) -> Result<()>,
    ) -> Result<()> {
        let pattern = self.keys.of_kinds(kinds);
        for server in self.link.servers() {
            let mut cursor = 0_u64;
            loop {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(&pattern);
                scan.arg("COUNT").arg(BATCH);
                let (next, names): (u64, Vec<String>) = server.ask(&scan).await?;
                let keys = names.iter().filter_map(|name| self.keys.found(name));
                let batch = self.load_found(keys.collect()).await?;
                if !batch.is_empty() {
                    see(batch).await?;
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Reads the records of these keys, as far as they are still there.
    async fn load_found(&self, keys: Vec<(Slot, Key)>) -> Result<Vec<Found>> {
        let gets = keys.iter().map(|(slot, key)| {
            let mut get = redis::cmd("GET");
            get.arg(self.keys.record(slot, key));
            get
        });
        let values = self.link.query_all(gets).await?;
        let mut found = Vec::with_capacity(keys.len());
        for ((slot, key), value) in keys.into_iter().zip(values) {
            if value == Value::Nil {
                continue;
            }
            let read = of_value(key.clone(), value).ok();
            found.push(Found {
                slot,
                key,
                record: read.and_then(|it| it.record).map(Arc::unwrap_or_clone),
            });
        }
        Ok(found)
    }

    /// How much is on its way.
    pub(super) async fn queues(&self) -> Result<Queues> {
        let slots = partitions();
        let lengths = slots
            .iter()
            .map(|slot| length(&self.keys.list(slot, &List::SetAside)));
        let mut queues = Queues::default();
        for answer in self.link.query_all(lengths).await? {
            queues.set_aside += number(answer)?;
        }
        let lines = slots
            .iter()
            .map(|slot| up_to(&self.keys.lines(slot), "+inf", ALL));
        let mut found = Vec::new();
        for (slot, answer) in slots.iter().zip(self.link.query_all(lines).await?) {
            for (line, first) in value::<Vec<(String, f64)>>(answer)? {
                found.push((self.keys.due(slot, &line), Line::found(&line), first));
            }
        }
        let lengths = found.iter().map(|(name, _, _)| length(name));
        let lengths = self.link.query_all(lengths).await?;
        for ((_, line, first), answer) in found.into_iter().zip(lengths) {
            let queued = Queued {
                length: number(answer)?,
                due_at: Timestamp::from_millisecond(first as i64).ok(),
            };
            let sum = queues.lines.entry(line).or_default();
            *sum = sum.and(queued);
        }
        Ok(queues)
    }

    /// What time it is by the clock of the server that has what concerns the store as a whole.
    pub(super) async fn time(&self) -> Result<Timestamp> {
        let server = self.link.server(&self.keys.store())?;
        let (seconds, micros): (i64, i32) = server.ask(&redis::cmd("TIME")).await?;
        Timestamp::new(seconds, micros.saturating_mul(1_000))
            .map_err(|error| StoreError::Failed(format!("its server's clock: {error}")))
    }

    /// Writes through the same path as a step: a key that nobody reads. In a cluster it is enough that one server takes
    /// a write: there are people whom it serves.
    pub(super) async fn probe(&self) -> Result<()> {
        let probes = self.probes();
        select_ok(probes.map(|it| Box::pin(self.link.query(it))))
            .await
            .map(drop)
    }

    /// The same, where every server has to take it.
    pub(super) async fn probe_everywhere(&self) -> Result<()> {
        self.link.query_all(self.probes()).await.map(drop)
    }

    fn probes(&self) -> impl Iterator<Item = Call> {
        let slots = match self.link.is_cluster() {
            true => partitions(),
            false => vec![Slot::Store],
        };
        slots
            .into_iter()
            .map(|slot| Call::probe(&self.keys.base(&slot)))
    }
}

/// Asks for the length of a sorted set.
fn length(name: &str) -> Cmd {
    let mut command = redis::cmd("ZCARD");
    command.arg(name);
    command
}

/// Asks for the first of a sorted set, with their scores, none of them higher than that: at most so many, or [`ALL`].
fn up_to(name: &str, score: impl redis::ToRedisArgs, limit: i64) -> Cmd {
    let mut command = redis::cmd("ZRANGEBYSCORE");
    command.arg(name).arg("-inf").arg(score).arg("WITHSCORES");
    command.arg("LIMIT").arg(0).arg(limit);
    command
}

/// The records of `MGET`.
fn of_values(keys: &[Key], answer: Value) -> Result<Loaded> {
    let mut loaded = Loaded::default();
    for (key, value) in keys.iter().zip(parts(answer)?) {
        loaded.insert(of_value(key.clone(), value)?);
    }
    Ok(loaded)
}

/// Reads a record as `scripts.rs` writes it.
fn of_value(key: Key, value: Value) -> Result<Read> {
    if value == Value::Nil {
        return Ok(Read::nothing(key));
    }
    let text = text(value)?;
    let lines = text.split_once('\n');
    let (head, json) = lines.ok_or_else(|| unreadable("a record without its first line"))?;
    let mut head = head.split(' ');
    let commands = head.next().unwrap_or_default();
    let form = head.next().and_then(|form| form.parse().ok());
    let form = form.ok_or_else(|| unreadable("the form of a record"))?;
    let (record, unknown) = encoding::read(&key, form, json)?;
    Ok(Read {
        key,
        record: Some(Arc::new(record)),
        commands: commands.to_owned(),
        unknown,
    })
}

/// Keys with their scores.
fn of_scores(slot: &Slot, answer: Value) -> Result<Vec<Place>> {
    let scored: Vec<(String, f64)> = value(answer)?;
    let place = |(key, score): &(String, f64)| Place::found(Some(slot), key, *score as i64);
    Ok(scored.iter().map(place).collect())
}

fn value<T: redis::FromRedisValue>(answer: Value) -> Result<T> {
    redis::from_redis_value(answer).map_err(|_| unreadable("an answer of another form"))
}

fn number(answer: Value) -> Result<u64> {
    value(answer)
}

fn text(answer: Value) -> Result<String> {
    value(answer)
}

fn parts(answer: Value) -> Result<Vec<Value>> {
    match answer {
        Value::Array(parts) => Ok(parts),
        _ => Err(unreadable("an answer that should be a list")),
    }
}

fn two(answers: Vec<Value>) -> Result<[Value; 2]> {
    answers
        .try_into()
        .map_err(|_| unreadable("an answer for each of two commands"))
}

/// The server's reply is not what this version writes.
fn unreadable(what: &str) -> StoreError {
    StoreError::Unreadable(format!("{what} in Redis"))
}
