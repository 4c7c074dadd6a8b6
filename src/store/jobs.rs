//! Jobs and events.

use jiff::{SignedDuration, Timestamp};

use super::driver::{Backend, Care, Store};
use super::outcome::{Due, Queues, Result, StoreError, Take, Where};
use super::queued::QueuedWork;
use crate::domain::event::Event;
use crate::domain::id::{EventGuid, JobGuid};
use crate::domain::job::Job;
use crate::steps::event::{Fate, SettleEvent, TryEvent};
use crate::steps::job::{Postpone, Push};
use crate::steps::record::{Key, List, Queue, Reads, Slot};
use crate::steps::{Answered, Answering, JobOrder, Lease, Ordered, Recorded, Reported, Step};

/// How long what is due is held for the step that follows: longer than a step is sent again.
/// If nobody hears that something was taken, because the answer is lost or the process dies, it is due again
/// then. The step itself holds it for as long as the work may take.
const TAKEN_FOR: SignedDuration = SignedDuration::from_secs(30);

impl Store {
    /// Queues a job of the member, due at once.
    pub async fn order_job(&self, order: &JobOrder, now: Timestamp) -> Result<Ordered> {
        let _timing = self.timed("order_job");
        self.step(order, now).await
    }

    /// Keeps the answers to a job's challenges: the member is RESUMED, the job `Queued` and due at
    /// once, with its pushes counted anew.
    pub async fn answer_challenges(
        &self,
        answering: &Answering,
        now: Timestamp,
    ) -> Result<Answered> {
        let _timing = self.timed("answer_challenges");
        self.step(answering, now).await
    }

    /// Where jobs are due: steps of this process have queued them, or a look has found them.
    pub fn jobs_queued(&self) -> &QueuedWork {
        self.queued.of(Queue::Jobs)
    }

    /// Looks over everything once. Tells the worker where jobs and events are due, whoever queued them; returns
    /// whether there are [`overdue_windows`](Self::overdue_windows).
    pub async fn look_for_due(&self, now: Timestamp) -> Result<bool> {
        let _timing = self.timed("look_for_due");
        let due = match &self.backend {
            Backend::Sqlite(store) => store.due_now(now).await?,
            Backend::Redis(store) => store.due_now(now).await?,
        };
        for (queue, within) in due.queues {
            self.queued.of(queue).add(within);
        }
        Ok(due.has_overdue)
    }

    /// Takes up to `limit` due jobs: each is `Pushed` (a `Started` or `Challenged` one stays so), its
    /// attempt counted, its due time moved to `hold_until`. No job is given to two callers before that.
    pub async fn reserve_jobs(
        &self,
        within: Where,
        now: Timestamp,
        hold_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>> {
        let _timing = self.timed("reserve_jobs");
        let push = |key: &Key| {
            let job = JobGuid::from_compact(key.id_of('j')?).ok()?;
            Some(Push { job, hold_until })
        };
        let take = taking(Queue::Jobs, within, now, hold_until, limit);
        self.take_up(take, push).await
    }

    /// A push failed: the job is due again at `due_at`.
    pub async fn postpone_job(
        &self,
        job: JobGuid,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        let _timing = self.timed("postpone_job");
        self.step(&Postpone { job, due_at }, now).await
    }

    /// The job of that guid.
    pub async fn job(&self, job: JobGuid) -> Result<Option<Job>> {
        let _timing = self.timed("job");
        let slot = Slot::Partition(job.partition());
        let view = self.look(slot, Reads::of([Key::job(job)])).await?;
        Ok(view.job(job).map(|kept| kept.job.clone()))
    }

    /// What a job under way pulls with.
    pub async fn lease(&self, job: JobGuid) -> Result<Lease> {
        let _timing = self.timed("lease");
        let slot = Slot::Partition(job.partition());
        let view = self.look(slot, Lease::reads(job)).await?;
        Ok(Lease::of(&view, job))
    }

    /// Records a report; see [`steps::report`](crate::steps::report).
    pub async fn record_report(&self, reported: &Reported, now: Timestamp) -> Result<Recorded> {
        let _timing = self.timed("record_report");
        self.step_with(Care::Irreplaceable, reported, now).await
    }

    /// Where events are due: steps of this process have queued them, or a look has found them.
    pub fn events_queued(&self) -> &QueuedWork {
        self.queued.of(Queue::Events)
    }

    /// Takes up to `limit` due events, each counted as tried once more and due again at `hold_until`.
    pub async fn reserve_events(
        &self,
        within: Where,
        now: Timestamp,
        hold_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let _timing = self.timed("reserve_events");
        let try_event = |key: &Key| {
            let event = EventGuid::from_compact(key.id_of('e')?).ok()?;
            Some(TryEvent { event, hold_until })
        };
        let take = taking(Queue::Events, within, now, hold_until, limit);
        self.take_up(take, try_event).await
    }

    /// The event was taken by its client, or nobody wants it any more.
    pub async fn finish_event(&self, event: EventGuid, now: Timestamp) -> Result<()> {
        let _timing = self.timed("finish_event");
        let fate = Fate::Finished;
        self.step(&SettleEvent { event, fate }, now).await
    }

    /// The event is due again at `due_at`.
    pub async fn postpone_event(
        &self,
        event: EventGuid,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        let _timing = self.timed("postpone_event");
        let fate = Fate::Postponed(due_at);
        self.step(&SettleEvent { event, fate }, now).await
    }

    /// Nobody took the event: it is kept for the operator, and not tried again.
    pub async fn bury_event(&self, event: EventGuid, now: Timestamp) -> Result<()> {
        let _timing = self.timed("bury_event");
        let fate = Fate::Buried;
        self.step(&SettleEvent { event, fate }, now).await
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

    /// Takes up what is due, and takes its step. What is no longer there leaves its queue; what cannot be
    /// read is set aside, and the line goes on.
    async fn take_up<S, T>(&self, take: Take, step: impl Fn(&Key) -> Option<S>) -> Result<Vec<T>>
    where
        S: Step<Outcome = Option<T>> + Clone + Send + Sync + 'static,
        T: Send + 'static,
    {
        let (queue, now) = (take.queue, take.now);
        let due = self.take(take).await?;
        let taking = due
            .into_iter()
            .map(|due| self.take_one(queue, due, now, &step));
        let mut taken = Vec::new();
        for one in futures_util::future::join_all(taking).await {
            match one {
                Ok(one) => taken.extend(one),
                // The others are held for this caller by now.
                Err(error) => {
                    tracing::error!(%error, "one piece of due work could not be taken; it is due again");
                }
            }
        }
        Ok(taken)
    }

    async fn take_one<S, T>(
        &self,
        queue: Queue,
        due: Due,
        now: Timestamp,
        step: impl Fn(&Key) -> Option<S>,
    ) -> Result<Option<T>>
    where
        S: Step<Outcome = Option<T>> + Clone + Send + Sync + 'static,
        T: Send + 'static,
    {
        let taken = match step(&due.key) {
            None => Err(StoreError::Unreadable(
                "its key is of no kind that is due".to_owned(),
            )),
            Some(step) => self.step_with(Care::Leaving, &step, now).await,
        };
        match taken {
            Ok(Some(taken)) => Ok(Some(taken)),
            Ok(None) => self.drop_due(queue, due, false, now).await.map(|()| None),
            Err(StoreError::Unreadable(why)) => {
                tracing::error!(
                    key = due.key.as_str(),
                    why,
                    "a record cannot be read; set aside"
                );
                self.drop_due(queue, due, true, now).await.map(|()| None)
            }
            Err(error) => Err(error),
        }
    }
}

fn taking(
    queue: Queue,
    within: Where,
    now: Timestamp,
    hold_until: Timestamp,
    limit: usize,
) -> Take {
    Take {
        queue,
        within,
        now,
        hold_until: hold_until.min(now + TAKEN_FOR),
        limit,
        places: None,
    }
}
