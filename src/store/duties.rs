//! Duties: found, taken up, settled.

use jiff::{SignedDuration, Timestamp};

use super::driver::{Backend, Care, Store};
use super::outcome::{Ask, DueNow, Entry, Hold, Home, Queues, Reserved, Result, Spot, StoreError};
use super::queued::QueuedWork;
use crate::steps::duty::TakeUp;
use crate::steps::record::List;
use crate::steps::{Duty, DutyName, Line, Settle};

/// How long what is due is held for the step that follows: longer than a step is sent again.
/// If nobody hears that something was taken, because the answer is lost or the process dies, it is due again
/// then. The step itself holds it for as long as the work may take.
const TAKEN_FOR: SignedDuration = SignedDuration::from_secs(30);

impl Store {
    /// Where duties are due: steps of this process have queued them, or a look has found them.
    pub fn queued(&self) -> &QueuedWork {
        &self.queued
    }

    /// Looks over everything once. Tells the worker where duties are due, whoever queued them; returns
    /// whether there are [`overdue_windows`](Self::overdue_windows).
    pub async fn look_for_due(&self, now: Timestamp) -> Result<bool> {
        let _timing = self.timed("look_for_due");
        let due = self.due_now(now).await?;
        self.queued.add(due.spots);
        Ok(due.has_overdue)
    }

    /// Where anything is due.
    pub async fn spots_due(&self, now: Timestamp) -> Result<Vec<Spot>> {
        let _timing = self.timed("spots_due");
        Ok(self.due_now(now).await?.spots)
    }

    /// Which server a spot is at: what is taken up at one is not kept waiting by another.
    pub fn home(&self, spot: &Spot) -> Home {
        match (&self.backend, &spot.slot) {
            (Backend::Redis(store), Some(slot)) => store.home(slot),
            _ => Home(None),
        }
    }

    /// Takes up duties that were due by then, at each spot at most as many as asked for; none behind another one. Each counts as
    /// tried once more, and is given to nobody else before `hold_until` of its line. What is due at a server that is
    /// away is left for later.
    pub async fn reserve_duties(
        &self,
        asks: &[Ask],
        (due_by, now): (Timestamp, Timestamp),
        hold_until: impl Fn(&Line) -> Timestamp,
    ) -> Result<Vec<Reserved>> {
        let _timing = self.timed("reserve_duties");
        let lines = asks.iter().map(|ask| &ask.spot.line);
        let until = lines
            .map(&hold_until)
            .chain([now + TAKEN_FOR])
            .min()
            .unwrap_or(now);
        let taken = self.take(asks, Hold { due_by, until }).await?;
        let each = asks.iter().zip(taken).map(async |(ask, entries)| {
            let entries = entries.unwrap_or_default();
            let may_be_more = entries.len() >= ask.limit;
            let hold_until = hold_until(&ask.spot.line);
            let taking = entries
                .into_iter()
                .map(|entry| self.take_up(&ask.spot, entry, now, hold_until));
            let taken = futures_util::future::join_all(taking).await;
            Reserved {
                spot: ask.spot.clone(),
                duties: taken.into_iter().flatten().collect(),
                may_be_more,
            }
        });
        Ok(futures_util::future::join_all(each).await)
    }

    /// Records what became of a duty.
    pub async fn settle_duty(&self, settle: &Settle, now: Timestamp) -> Result<()> {
        let _timing = self.timed("settle_duty");
        self.step(settle, now).await
    }

    /// How much is on its way.
    pub async fn queues(&self) -> Result<Queues> {
        let _timing = self.timed("queues");
        match &self.backend {
            Backend::Sqlite(store) => store.queues().await,
            Backend::Redis(store) => store.queues().await,
        }
    }

    /// The keys of the records that could not be read when they were due.
    pub async fn set_aside_keys(&self) -> Result<Vec<String>> {
        let _timing = self.timed("set_aside_keys");
        let most = usize::from(u16::MAX);
        let places = self.past(List::SetAside, Timestamp::MAX, most).await?;
        let key = |place: super::outcome::Place| place.key.as_str().to_owned();
        Ok(places.into_iter().map(key).collect())
    }

    /// Whether every server of the store takes a write; [`Self::probe`] is content with one.
    pub async fn probe_everywhere(&self) -> Result<()> {
        let _timing = self.timed("probe_everywhere");
        match &self.backend {
            Backend::Sqlite(store) => store.probe().await,
            Backend::Redis(store) => store.probe_everywhere().await,
        }
    }

    /// Whether the store takes a write: makes a small one that changes nothing anybody reads.
    pub async fn probe(&self) -> Result<()> {
        let _timing = self.timed("probe");
        match &self.backend {
            Backend::Sqlite(store) => store.probe().await,
            Backend::Redis(store) => store.probe().await,
        }
    }

    async fn due_now(&self, now: Timestamp) -> Result<DueNow> {
        match &self.backend {
            Backend::Sqlite(store) => store.due_now(now).await,
            Backend::Redis(store) => store.due_now(now).await,
        }
    }

    /// Takes the step that takes up a duty. What cannot be read is set aside, and the line goes on.
    async fn take_up(
        &self,
        spot: &Spot,
        entry: Entry,
        now: Timestamp,
        hold_until: Timestamp,
    ) -> Option<Duty> {
        let taken = match DutyName::of(&entry.key) {
            None => Err(StoreError::Unreadable(
                "its key is of no kind that is due".to_owned(),
            )),
            Some(duty) => {
                let step = TakeUp {
                    duty,
                    line: spot.line.clone(),
                    behind: entry.behind.clone(),
                    hold_until,
                };
                self.step_with(Care::Leaving, &step, now).await
            }
        };
        let left = match taken {
            Ok(taken) => return taken,
            Err(StoreError::Unreadable(why)) => {
                let key = entry.key.as_str();
                tracing::error!(key, why, "a record cannot be read; set aside");
                self.set_duty_aside(spot.clone(), entry, now).await
            }
            Err(error) => Err(error),
        };
        // The others are held for this caller by now.
        if let Err(error) = left {
            tracing::error!(%error, "one duty that is due could not be taken; it is due again");
        }
        None
    }
}
