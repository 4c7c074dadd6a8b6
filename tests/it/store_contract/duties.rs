//! What tests ask of duties, whatever line they are in.

use guichet::domain::duty::DutyKind;
use guichet::domain::event::Event;
use guichet::domain::id::{EventGuid, JobGuid};
use guichet::domain::job::Job;
use guichet::store::{Ask, Duty, DutyName, Fate, Result, Settle, Store};
use jiff::Timestamp;

pub trait Duties {
    /// Takes up to `limit` due jobs.
    async fn jobs_due(&self, now: Timestamp, hold: Timestamp, limit: usize) -> Result<Vec<Job>>;
    /// Takes up to `limit` due events.
    async fn events_due(&self, now: Timestamp, hold: Timestamp, limit: usize)
    -> Result<Vec<Event>>;
    /// What becomes of an event.
    async fn settle_event(&self, event: EventGuid, fate: Fate, now: Timestamp) -> Result<()>;
    /// A push failed.
    async fn postpone_job(&self, job: JobGuid, due_at: Timestamp, now: Timestamp) -> Result<()>;

    /// Its client has it.
    async fn finish_event(&self, event: EventGuid, now: Timestamp) -> Result<()> {
        self.settle_event(event, Fate::Done, now).await
    }

    /// It is tried again then.
    async fn postpone_event(
        &self,
        event: EventGuid,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        self.settle_event(event, Fate::Postponed(due_at), now).await
    }

    /// Nobody took it.
    async fn bury_event(&self, event: EventGuid, now: Timestamp) -> Result<()> {
        self.settle_event(event, Fate::Buried, now).await
    }
}

async fn take_due(
    store: &Store,
    kind: DutyKind,
    (now, hold): (Timestamp, Timestamp),
    limit: usize,
) -> Result<Vec<Duty>> {
    let mut taken = Vec::new();
    for spot in store.spots_due(now).await? {
        let limit = limit - taken.len();
        if spot.line.kind() == Some(kind) && limit > 0 {
            let asks = [Ask { spot, limit }];
            let reserved = store.reserve_duties(&asks, (now, now), |_| hold).await?;
            taken.extend(reserved.into_iter().flat_map(|it| it.duties));
        }
    }
    Ok(taken)
}

impl Duties for Store {
    async fn jobs_due(&self, now: Timestamp, hold: Timestamp, limit: usize) -> Result<Vec<Job>> {
        let taken = take_due(self, DutyKind::Aggregate, (now, hold), limit).await?;
        let job = |duty| match duty {
            Duty::Push(job) => *job,
            other => panic!("no job: {other:?}"),
        };
        Ok(taken.into_iter().map(job).collect())
    }

    async fn events_due(
        &self,
        now: Timestamp,
        hold: Timestamp,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let taken = take_due(self, DutyKind::Deliver, (now, hold), limit).await?;
        let event = |duty| match duty {
            Duty::Deliver(event) => *event,
            other => panic!("no event: {other:?}"),
        };
        Ok(taken.into_iter().map(event).collect())
    }

    async fn settle_event(&self, event: EventGuid, fate: Fate, now: Timestamp) -> Result<()> {
        let settle = Settle {
            duty: DutyName::Event(event),
            attempt: None,
            fate,
            tried: None,
        };
        self.settle_duty(&settle, now).await
    }

    async fn postpone_job(&self, job: JobGuid, due_at: Timestamp, now: Timestamp) -> Result<()> {
        let settle = Settle {
            duty: DutyName::Job(job),
            attempt: None,
            fate: Fate::Postponed(due_at),
            tried: None,
        };
        self.settle_duty(&settle, now).await
    }
}
