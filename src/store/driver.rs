//! A step is applied once, however often it is sent.
//!
//! ```text
//!   load ─▶ decide ─▶ apply ──▶ done
//!    ▲                  │ another step changed what was read
//!    └──────────────────┤
//!    └─── wait ◀────────┘ no reply: it may have been written
//! ```
//!
//! While no reply comes, the step is sent again with the same command id. A record has the ids of the last commands
//! that wrote it, so a step that was written is recognised, and its outcome is still known here.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::outcome::{Ask, Entry, Found, Hold, Keeping, Place, Result, Spot, StoreError};
use super::plan::{CommandIds, Plan, Waiting};
use super::queued::QueuedWork;
use super::redis::{RedisStore, Tries};
use super::sqlite::SqliteStore;
use crate::metrics::{Metrics, Timing};
use crate::steps::Step;
use crate::steps::record::{Key, List, Reads, Slot, View};

/// How often a step may find that another step changed what it had read.
const CONFLICTS: usize = 256;

/// How much depends on a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// A caller waits for it, and can ask for it again.
    Usual,
    /// What follows it leaves this house, and cannot be taken back; so it must survive a failover.
    Leaving,
    /// It carries tokens that cannot be obtained again: it must not be lost, and must survive a failover.
    Irreplaceable,
}

impl Care {
    /// The waits before a step is sent again because no reply came: short ones where a caller waits, about a
    /// minute in all where it must not be lost: Sentinels take half a minute to replace a server, unless they are told
    /// otherwise.
    pub(super) fn waits(self) -> &'static [Duration] {
        const SHORT: &[Duration] = &[
            Duration::from_millis(20),
            Duration::from_millis(100),
            Duration::from_millis(400),
        ];
        const LONG: &[Duration] = &[
            Duration::from_millis(50),
            Duration::from_millis(150),
            Duration::from_millis(500),
            Duration::from_secs(1),
            Duration::from_secs(2),
            Duration::from_secs(4),
            Duration::from_secs(4),
            Duration::from_secs(4),
            Duration::from_secs(4),
            Duration::from_secs(8),
            Duration::from_secs(8),
            Duration::from_secs(8),
            Duration::from_secs(8),
            Duration::from_secs(8),
        ];
        match self {
            Self::Usual | Self::Leaving => SHORT,
            Self::Irreplaceable => LONG,
        }
    }

    fn keeping(self) -> Keeping {
        match self {
            Self::Usual => Keeping::Taken,
            Self::Leaving | Self::Irreplaceable => Keeping::Acknowledged,
        }
    }
}

/// Where everything is kept.
pub struct Store {
    pub(super) backend: Backend,
    commands: CommandIds,
    pub(super) queued: QueuedWork,
    metrics: Option<Arc<Metrics>>,
}

pub(super) enum Backend {
    /// One file on this machine.
    Sqlite(SqliteStore),
    /// A Redis or Valkey server.
    Redis(RedisStore),
}

impl Backend {
    /// The slot of a step; `None`: a file, which has no slots.
    fn slot_of(&self, step: &impl Step) -> Option<Slot> {
        match self {
            Self::Sqlite(_) => None,
            Self::Redis(_) => Some(step.slot()),
        }
    }
}

impl Store {
    fn on(backend: Backend) -> Self {
        Self {
            backend,
            commands: CommandIds::default(),
            queued: QueuedWork::default(),
            metrics: None,
        }
    }

    /// The same store, with its steps measured.
    pub fn measured(self, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }
}

impl From<SqliteStore> for Store {
    fn from(store: SqliteStore) -> Self {
        Self::on(Backend::Sqlite(store))
    }
}

impl From<RedisStore> for Store {
    fn from(store: RedisStore) -> Self {
        Self::on(Backend::Redis(store))
    }
}

impl Store {
    /// Measures the caller under that name until the returned value is dropped.
    pub(super) fn timed(&self, name: &'static str) -> Option<Timing<'_, 1>> {
        self.metrics.as_ref().map(|it| it.store_step.start([name]))
    }

    /// Runs a step.
    pub(super) async fn step<S>(&self, step: &S, now: Timestamp) -> Result<S::Outcome>
    where
        S: Step + Clone + Send + Sync + 'static,
        S::Outcome: Send + 'static,
    {
        self.step_with(Care::Usual, step, now).await
    }

    /// Runs a step that seldom changes anything. When it does not, it takes no turn among those that write.
    pub(super) async fn step_that_seldom_writes<S>(
        &self,
        step: &S,
        now: Timestamp,
    ) -> Result<S::Outcome>
    where
        S: Step + Clone + Send + Sync + 'static,
        S::Outcome: Send + 'static,
    {
        // On Redis every step reads first.
        if let Backend::Sqlite(store) = &self.backend
            && let Some(outcome) = store.unchanging(step.clone(), now).await?
        {
            return Ok(outcome);
        }
        self.step(step, now).await
    }

    /// Runs a step with that care.
    pub(super) async fn step_with<S>(
        &self,
        care: Care,
        step: &S,
        now: Timestamp,
    ) -> Result<S::Outcome>
    where
        S: Step + Clone + Send + Sync + 'static,
        S::Outcome: Send + 'static,
    {
        let command = self.commands.next();
        let mut waits = care.waits().iter();
        let mut tries = Tries::default();
        let mut conflicts = 0;
        loop {
            let tried = match &self.backend {
                Backend::Sqlite(store) => {
                    let taken = store.step(step.clone(), command.clone(), now).await;
                    taken.map(Some)
                }
                Backend::Redis(store) => {
                    let how = (now, care.keeping());
                    store.try_step(step, &command, how, &mut tries).await
                }
            };
            match tried {
                Ok(Some((outcome, lines))) => {
                    if !lines.is_empty() {
                        let slot = self.backend.slot_of(step);
                        let spot = |line| Spot {
                            line,
                            slot: slot.clone(),
                        };
                        self.queued.add(lines.into_iter().map(spot));
                    }
                    return Ok(outcome);
                }
                Ok(None) if conflicts < CONFLICTS => conflicts += 1,
                Ok(None) => {
                    let why = "others keep changing what this is about";
                    return Err(StoreError::Unavailable(why.into()));
                }
                Err(StoreError::Unavailable(cause)) => match waits.next() {
                    Some(wait) => {
                        if care == Care::Irreplaceable {
                            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                            tracing::warn!(%cause, wait_ms, "the store cannot be reached; step sent again");
                        }
                        tokio::time::sleep(*wait).await;
                    }
                    None => return Err(StoreError::Unavailable(cause)),
                },
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads records of one slot, at one moment. If the connection ended, the read is sent once more, so that the
    /// caller does not notice.
    pub(super) async fn look(&self, slot: Slot, reads: Reads) -> Result<View> {
        self.look_at(slot, reads, Keeping::Taken).await
    }

    /// Whether a read may see what does not survive a failover yet, so that what is told as done must be read by
    /// [`Self::look_lasting`].
    pub(super) async fn acknowledges(&self, slot: &Slot) -> Result<bool> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(false),
            Backend::Redis(store) => store.acknowledges(slot).await,
        }
    }

    /// As [`Self::look`]; what was read will still be so after a failover.
    pub(super) async fn look_lasting(&self, slot: Slot, reads: Reads) -> Result<View> {
        self.look_at(slot, reads, Keeping::Acknowledged).await
    }

    async fn look_at(&self, slot: Slot, reads: Reads, keeping: Keeping) -> Result<View> {
        let loaded = match &self.backend {
            Backend::Sqlite(store) => store.load(vec![reads]).await?.pop().unwrap_or_default(),
            Backend::Redis(store) => {
                let load = || store.load_kept(&slot, &reads, keeping);
                match load().await {
                    Err(StoreError::Unavailable(_)) => load().await?,
                    loaded => loaded?,
                }
            }
        };
        Ok(loaded.view)
    }

    /// Reads one record each of several slots.
    pub(super) async fn look_each(&self, reads: Vec<(Slot, Key)>) -> Result<Vec<View>> {
        let reads = reads
            .into_iter()
            .map(|(slot, key)| (slot, Reads::of([key])));
        let loaded = match &self.backend {
            Backend::Sqlite(store) => store.load(reads.map(|(_, reads)| reads).collect()).await?,
            Backend::Redis(store) => store.load_each(&reads.collect::<Vec<_>>()).await?,
        };
        Ok(loaded.into_iter().map(|loaded| loaded.view).collect())
    }

    /// A part of a list, and the length of the whole.
    pub(super) async fn places(
        &self,
        slot: &Slot,
        list: List,
        skip: u64,
        limit: u64,
    ) -> Result<(Vec<Place>, u64)> {
        match &self.backend {
            Backend::Sqlite(store) => store.places(list, skip, limit).await,
            Backend::Redis(store) => store.places(slot, &list, skip, limit).await,
        }
    }

    /// The keys in a list of every partition whose time has passed, the earliest first.
    pub(super) async fn past(
        &self,
        list: List,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Place>> {
        match &self.backend {
            Backend::Sqlite(store) => store.past(list, now, limit).await,
            Backend::Redis(store) => store.past(&list, now, limit).await,
        }
    }

    /// Shows every record of those kinds, batch by batch, at most about five hundred at a time. They are not of one
    /// moment, and one that comes, goes or moves meanwhile may be left out.
    pub(super) async fn each_batch(
        &self,
        kinds: &[char],
        mut see: impl AsyncFnMut(Vec<Found>) -> Result<()>,
    ) -> Result<()> {
        let store = match &self.backend {
            Backend::Sqlite(store) => store,
            Backend::Redis(store) => return store.each_batch(kinds, &mut see).await,
        };
        for kind in kinds {
            let mut behind = None;
            loop {
                let batch = store.batch(*kind, behind).await?;
                let Some(last) = batch.last() else { break };
                behind = Some(last.key.clone());
                see(batch).await?;
            }
        }
        Ok(())
    }

    /// Takes up what is due, and holds it: what was taken at each spot, `None` where its server is away.
    pub(super) async fn take(&self, asks: &[Ask], hold: Hold) -> Result<Vec<Option<Vec<Entry>>>> {
        match &self.backend {
            Backend::Sqlite(store) => store.take(asks.to_vec(), hold).await,
            Backend::Redis(store) => store.take(asks, hold).await,
        }
    }

    /// Removes from its line what cannot be read, and sets it aside.
    pub(super) async fn set_duty_aside(
        &self,
        spot: Spot,
        entry: Entry,
        now: Timestamp,
    ) -> Result<()> {
        let mut plan = Plan::default();
        plan.places
            .push((List::SetAside, entry.key.clone(), Some(now)));
        plan.due.push(Waiting::no_longer(spot.line, entry));
        self.write(spot.slot, plan, now).await
    }

    /// Removes from a list what cannot be read, and sets it aside.
    pub(super) async fn set_aside(&self, list: List, place: Place, now: Timestamp) -> Result<()> {
        let mut plan = Plan::default();
        plan.places
            .push((List::SetAside, place.key.clone(), Some(now)));
        plan.places.push((list, place.key, None));
        self.write(place.slot, plan, now).await
    }

    /// Writes into that slot.
    async fn write(&self, slot: Option<Slot>, plan: Plan, now: Timestamp) -> Result<()> {
        match (&self.backend, slot) {
            (Backend::Sqlite(store), _) => store.write(plan, now).await,
            (Backend::Redis(store), Some(slot)) => store.write(&slot, &plan, now).await,
            (Backend::Redis(_), None) => Ok(()),
        }
    }
}
