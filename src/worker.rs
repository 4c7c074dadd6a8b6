//! What happens without a request: deadlines, pushes of jobs, deliveries of events.
//!
//! Everything due is in the store, so nothing is lost if a worker dies: what it had reserved is due again
//! after a while. A step of this process that queues work wakes the line that does it. Work of other processes,
//! and work that becomes due, is found by one look at the store a second, over everything.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::domain::event::Event;
use crate::domain::job::Job;
use crate::flow::{Gateway, Internal, QueuedWork, Where, aggregate, deadlines, deliver};
use crate::log_context;
use crate::webhook::Webhooks;

/// How often the store is looked over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many deliveries, and how many pushes, are under way at a time: one that waits for a slow
/// receiver does not hold up the others.
const SIDE_BY_SIDE: usize = 32;

/// Works until `shutdown`, then finishes what it has begun.
pub async fn run(gateway: Arc<Gateway>, webhooks: Webhooks, shutdown: CancellationToken) {
    let webhooks = Arc::new(webhooks);
    let overdue = Notify::new();
    tokio::join!(
        run_line(Line::Deliveries, &gateway, &webhooks, &shutdown),
        run_line(Line::Pushes, &gateway, &webhooks, &shutdown),
        look(&gateway, &overdue, &shutdown),
        sweep(&gateway, &overdue, &shutdown),
        purge(&gateway, &shutdown),
    );
}

/// A kind of work with tasks of its own: slow receivers do not delay the aggregator.
#[derive(Clone, Copy, Debug)]
enum Line {
    Deliveries,
    Pushes,
}

/// One piece of work.
enum Task {
    Deliver(Box<Event>),
    Push(Box<Job>),
}

impl Line {
    /// Where work of this kind is due.
    fn queued(self, gateway: &Gateway) -> &QueuedWork {
        match self {
            Self::Deliveries => deliver::queued(gateway),
            Self::Pushes => aggregate::queued(gateway),
        }
    }

    /// Reserves up to `limit` pieces that are due.
    async fn take_due(
        self,
        gateway: &Gateway,
        within: Where,
        limit: usize,
    ) -> Result<Vec<Task>, Internal> {
        Ok(match self {
            Self::Deliveries => {
                let events = deliver::take_due(gateway, within, limit).await?;
                let task = |event| Task::Deliver(Box::new(event));
                events.into_iter().map(task).collect()
            }
            Self::Pushes => {
                let jobs = aggregate::take_due(gateway, within, limit).await?;
                jobs.into_iter()
                    .map(|job| Task::Push(Box::new(job)))
                    .collect()
            }
        })
    }
}

impl Task {
    async fn run(self, gateway: &Gateway, webhooks: &Webhooks) -> Result<(), Internal> {
        match self {
            Self::Deliver(event) => deliver::deliver(gateway, webhooks, *event).await,
            Self::Push(job) => aggregate::push(gateway, *job).await,
        }
    }
}

/// Reserves what is due and does it, several pieces at a time, until `shutdown`; then waits for the
/// running ones.
async fn run_line(
    line: Line,
    gateway: &Arc<Gateway>,
    webhooks: &Arc<Webhooks>,
    shutdown: &CancellationToken,
) {
    let room = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let tasks = TaskTracker::new();
    let mut within = Where::Everywhere;
    while !shutdown.is_cancelled() {
        // Only as many pieces are reserved as can run now.
        drop(room.acquire().await);
        let free = room.available_permits();
        let taken = line.take_due(gateway, within, free).await.unwrap_or_else(|error| {
            tracing::error!(?line, %error, "due work could not be read from the store; tried again");
            Vec::new()
        });
        let may_be_more = taken.len() == free;
        for task in taken {
            let permit = room.clone().try_acquire_owned();
            let (gateway, webhooks) = (gateway.clone(), webhooks.clone());
            let work = async move {
                if let Err(error) = task.run(&gateway, &webhooks).await {
                    tracing::error!(?line, %error, "a background step failed; it is repeated later");
                }
                drop(permit);
            };
            tasks.spawn(work.instrument(log_context::span()));
        }
        within = tokio::select! {
            _ = room.acquire(), if may_be_more => Where::Everywhere,
            queued = line.queued(gateway).wait(), if !may_be_more => queued,
            () = shutdown.cancelled() => break,
        };
    }
    tasks.close();
    tasks.wait().await;
}

/// Looks for what is due, again and again. The lines are told by the store, the sweep by `overdue`.
async fn look(gateway: &Gateway, overdue: &Notify, shutdown: &CancellationToken) {
    let mut looks = every_look();
    while is_next(&mut looks, shutdown).await {
        match deadlines::look(gateway).await {
            Ok(true) => overdue.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::error!(%error, "what is due could not be looked for; tried again")
            }
        }
    }
}

/// Ends overdue windows whenever there are any.
async fn sweep(gateway: &Arc<Gateway>, overdue: &Notify, shutdown: &CancellationToken) {
    loop {
        tokio::select! {
            () = overdue.notified() => {}
            () = shutdown.cancelled() => return,
        }
        while !shutdown.is_cancelled() {
            match deadlines::sweep(gateway).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "a sweep failed; it is repeated");
                    break;
                }
            }
        }
    }
}

/// Deletes what was kept long enough, again and again.
async fn purge(gateway: &Gateway, shutdown: &CancellationToken) {
    let mut looks = every_look();
    let mut last = None;
    while is_next(&mut looks, shutdown).await {
        if let Err(error) = deadlines::purge(gateway, &mut last).await {
            tracing::error!(%error, "what was kept long enough could not be deleted; it is tried again");
        }
    }
}

fn every_look() -> Interval {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks
}

/// Waits for the next look; `false`: there is none any more.
async fn is_next(looks: &mut Interval, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        _ = looks.tick() => true,
        () = shutdown.cancelled() => false,
    }
}
