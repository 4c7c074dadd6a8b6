//! The Redis store: one Redis or Valkey server, shared by any number of gateways.
//!
//! - A step of one user is one Lua script on the keys of that user's partition, and one round trip:
//!   create or mint, open, claim, commit are the four of a whole flow. `redis/lib.lua` has what the
//!   scripts share, `keys.rs` the keys and the few steps that need a second slot, `record.rs` and
//!   `window_record.rs` the fields.
//! - What is unfinished is kept until it is finished; what is finished carries a time to live, so
//!   purging has nothing to do.
//! - A pending link costs at most 400 bytes of the server's memory, and about 270 with a short prefix
//!   (`bench/src/bin/bytes_per_link.rs` measures it).
//! - [`RedisStore::open`] refuses a server that may lose what it accepted (`fitness.rs`).

mod call;
mod connection;
mod events;
mod failure;
mod fitness;
mod idempotency;
mod jobs;
mod keys;
mod link;
mod members;
mod record;
mod reply;
mod sessions;
#[cfg(test)]
mod tests;
mod users;
mod window_record;
mod windows;

use std::time::Duration;

use jiff::Timestamp;

use self::call::Call;
use self::keys::Keys;
use self::link::Link;
use super::{Queue, Queues, Result, Retention, SOFT_DELETED, StoreError};
use crate::domain::id::Partition;

/// How long an attempt is kept at least after its deadline: its browser holds the cookie of the
/// outcome page for a day.
const OUTCOME: Duration = Duration::from_secs(24 * 60 * 60);

/// How the store is used.
#[derive(Clone, Copy, Debug)]
pub struct RedisSettings {
    /// How long things are kept after they ended; at least a second.
    pub retention: Retention,
    /// Use a server that may lose accepted data, with a warning instead of a refusal.
    pub accept_volatile: bool,
}

/// A store on one Redis or Valkey server, 6.2 or newer.
pub struct RedisStore {
    link: Link,
    keys: Keys,
    retention: Retention,
}

impl RedisStore {
    /// Connects to `url` (`redis://` or `rediss://`), where all keys begin with `prefix`. Gives
    /// warnings for the operator.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when nobody answers within three seconds, [`StoreError::Unfit`]
    /// when the server refuses us or must not be trusted as it is set up.
    pub async fn open(
        url: &str,
        prefix: &str,
        settings: RedisSettings,
    ) -> Result<(Self, Vec<String>)> {
        let keys = Keys::new(prefix).ok_or_else(|| {
            StoreError::Unfit("the prefix of the store's keys must not contain { or }".to_owned())
        })?;
        let link = Link::open(url).await?;
        let warnings = fitness::check(&link, settings.accept_volatile).await?;
        link.load_scripts().await?;
        let retention = settings.retention;
        Ok((
            Self {
                link,
                keys,
                retention,
            },
            warnings,
        ))
    }

    /// Takes the way of a step, and writes a key that nobody reads.
    pub(in crate::store) async fn probe(&self) -> Result<()> {
        self.link
            .call(Call::new(&call::PROBE, self.keys.store()))
            .await
            .map(drop)
    }

    /// Nothing to do: what is finished is forgotten by its time to live.
    pub(in crate::store) async fn purge(&self, _now: Timestamp) -> Result<()> {
        Ok(())
    }

    /// The retention as a time to live.
    fn retention(&self) -> u64 {
        millis(self.retention.finished)
    }

    /// How long a deleted member is listed as one: while its windows or itself can be found.
    fn listed(&self) -> u64 {
        self.retention().max(millis(SOFT_DELETED))
    }

    /// How long an attempt is kept: as long as its window can be read, and for a day after its
    /// deadline at least.
    fn attempt_life(&self, deadline: Timestamp, now: Timestamp) -> u64 {
        let left = Duration::try_from(deadline.duration_since(now)).unwrap_or_default();
        millis(left.saturating_add(self.retention.finished.max(OUTCOME)))
    }

    /// How much is on its way: one round trip for each queue.
    pub(in crate::store) async fn queues(&self) -> Result<Queues> {
        Ok(Queues {
            events: self.queue("de").await?,
            jobs: self.queue("dj").await?,
        })
    }

    async fn queue(&self, index: &str) -> Result<Queue> {
        let unreadable = |_| reply::unreadable("an index of what is due");
        let keys = Partition::all().map(|it| format!("{}{index}", self.keys.partition(it)));
        let (mut lengths, mut firsts) = (Vec::new(), Vec::new());
        for key in keys {
            lengths.push(redis::cmd("ZCARD").arg(&key).to_owned());
            let first = redis::cmd("ZRANGE")
                .arg(&key)
                .arg(0)
                .arg(0)
                .arg("WITHSCORES")
                .to_owned();
            firsts.push(first);
        }
        let mut queue = Queue {
            length: 0,
            due_at: None,
        };
        let partitions = lengths.len();
        let answers = self.link.query_all([lengths, firsts].concat()).await?;
        for (nth, answer) in answers.into_iter().enumerate() {
            if nth < partitions {
                queue.length += redis::from_redis_value::<u64>(answer).map_err(unreadable)?;
                continue;
            }
            let first: Vec<(String, f64)> = redis::from_redis_value(answer).map_err(unreadable)?;
            for (_, score) in first {
                let due_at = Timestamp::from_millisecond(score as i64).ok();
                queue.due_at = queue.due_at.into_iter().chain(due_at).min();
            }
        }
        Ok(queue)
    }

    /// Runs `call` for each partition, once it is known how many of the things due before `now` are
    /// to be taken where: the longest due first, at most `limit` in all. Two round trips, or one when
    /// nothing is due.
    async fn take_due(
        &self,
        index: &str,
        now: Timestamp,
        limit: usize,
        call: impl Fn(String, u64) -> Call,
    ) -> Result<Vec<redis::Value>> {
        let commands = Partition::all()
            .map(|partition| {
                let mut command = redis::cmd("ZRANGEBYSCORE");
                command
                    .arg(format!("{}{index}", self.keys.partition(partition)))
                    .arg("-inf")
                    .arg(now.as_millisecond())
                    .arg("WITHSCORES")
                    .arg("LIMIT")
                    .arg(0)
                    .arg(limit);
                command
            })
            .collect();
        let mut due = Vec::new();
        let answers = self.link.query_all(commands).await?;
        for (partition, answer) in Partition::all().zip(answers) {
            let scored: Vec<(String, f64)> = redis::from_redis_value(answer)
                .map_err(|_| reply::unreadable("an index of what is due"))?;
            due.extend(scored.into_iter().map(|(_, score)| (score, partition)));
        }
        due.sort_by(|a, b| a.0.total_cmp(&b.0));
        due.truncate(limit);

        let calls = Partition::all().filter_map(|partition| {
            let share = due.iter().filter(|(_, of)| *of == partition).count();
            (share > 0).then(|| call(self.keys.partition(partition), share as u64))
        });
        self.link.call_all(calls.collect()).await
    }
}

/// A time to live in milliseconds: at least a second, at most a thousand years, which the server
/// can still add to its clock.
fn millis(life: Duration) -> u64 {
    const MOST: u64 = 1000 * 365 * 24 * 60 * 60 * 1000;
    u64::try_from(life.as_millis()).map_or(MOST, |millis| millis.clamp(1000, MOST))
}
