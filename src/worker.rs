//! What happens without a request: deadlines, pushes of jobs, deliveries of events.
//!
//! Everything due is in the store, so a worker that dies loses nothing: what it had reserved is due
//! again after a while. A step of this process that leaves work wakes the worker at once; work
//! that another process left, or that falls due, is found by looking.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::domain::event::{DELIVERY_TRIES, Event};
use crate::domain::job::Job;
use crate::flow::{Gateway, Internal, aggregate, deadlines};
use crate::log_context;
use crate::metrics::Delivered;
use crate::webhook::{self, Delivery, Message, Webhooks};

/// How often the store is looked at without being woken.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many deliveries, and how many pushes, are under way at a time: one that waits for a slow
/// receiver does not hold up the others.
const SIDE_BY_SIDE: usize = 32;

/// How long a reserved event stays with one worker: as long as a delivery may take at most.
const HOLD: Duration = Duration::from_secs(60);

/// Works until `shutdown`, then finishes what it has begun.
pub async fn run(gateway: Arc<Gateway>, webhooks: Webhooks, shutdown: CancellationToken) {
    let webhooks = Arc::new(webhooks);
    tokio::join!(
        crew(Line::Deliveries, &gateway, &webhooks, &shutdown),
        crew(Line::Pushes, &gateway, &webhooks, &shutdown),
        sweep(&gateway, &shutdown),
    );
}

/// A line of work with a crew of its own: slow receivers do not hold up the aggregator.
#[derive(Clone, Copy, Debug)]
enum Line {
    Deliveries,
    Pushes,
}

/// One piece of work.
enum Errand {
    Deliver(Box<Event>),
    Push(Box<Job>),
}

impl Line {
    /// Takes up to `limit` pieces that are due.
    async fn take_due(self, gateway: &Gateway, limit: usize) -> Result<Vec<Errand>, Internal> {
        Ok(match self {
            Self::Deliveries => {
                let now = gateway.clock.now();
                let events = gateway.store.reserve_events(now, now + HOLD, limit).await?;
                let errand = |event| Errand::Deliver(Box::new(event));
                events.into_iter().map(errand).collect()
            }
            Self::Pushes => {
                let jobs = aggregate::take_due(gateway, limit).await?;
                jobs.into_iter()
                    .map(|job| Errand::Push(Box::new(job)))
                    .collect()
            }
        })
    }
}

impl Errand {
    async fn run(self, gateway: &Gateway, webhooks: &Webhooks) -> Result<(), Internal> {
        match self {
            Self::Deliver(event) => deliver(gateway, webhooks, *event).await,
            Self::Push(job) => aggregate::push(gateway, *job).await,
        }
    }
}

/// Takes what is due and does it, side by side, until `shutdown`; then waits for what was begun.
async fn crew(
    line: Line,
    gateway: &Arc<Gateway>,
    webhooks: &Arc<Webhooks>,
    shutdown: &CancellationToken,
) {
    let room = Arc::new(Semaphore::new(SIDE_BY_SIDE));
    let tasks = TaskTracker::new();
    while !shutdown.is_cancelled() {
        // Interest is registered before the store is looked at, so that no wake-up is missed.
        let woken = gateway.nudge.notified();
        // Nothing is taken up without room to do it.
        drop(room.acquire().await);
        let free = room.available_permits();
        let taken = line.take_due(gateway, free).await.unwrap_or_else(|error| {
            tracing::error!(?line, %error, "due work could not be read from the store; tried again");
            Vec::new()
        });
        let may_be_more = taken.len() == free;
        for errand in taken {
            let permit = room.clone().try_acquire_owned();
            let (gateway, webhooks) = (gateway.clone(), webhooks.clone());
            let work = async move {
                if let Err(error) = errand.run(&gateway, &webhooks).await {
                    tracing::error!(?line, %error, "a background step failed; it is repeated later");
                }
                drop(permit);
            };
            tasks.spawn(work.instrument(log_context::span()));
        }
        tokio::select! {
            _ = room.acquire(), if may_be_more => {}
            () = woken, if !may_be_more => {}
            () = tokio::time::sleep(LOOK_EVERY), if !may_be_more => {}
            () = shutdown.cancelled() => {}
        }
    }
    tasks.close();
    tasks.wait().await;
}

/// Makes deadlines true, again and again.
async fn sweep(gateway: &Gateway, shutdown: &CancellationToken) {
    while !shutdown.is_cancelled() {
        match deadlines::sweep(gateway).await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => tracing::error!(%error, "a sweep failed; it is repeated"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// Tries one event once, and says in the store what came of it.
async fn deliver(gateway: &Gateway, webhooks: &Webhooks, event: Event) -> Result<(), Internal> {
    log_context::event(&event);
    let subscriber = gateway.clients.get(&event.member.client);
    let Some(endpoint) = subscriber.and_then(|client| client.webhook(event.kind)) else {
        tracing::info!("no longer subscribed; event dropped");
        return Ok(gateway.store.finish_event(event.guid).await?);
    };
    let now = gateway.clock.now();
    let message = match Message::of(&event) {
        Ok(Some(message)) => message,
        Ok(None) => return Ok(gateway.store.finish_event(event.guid).await?),
        Err(error) => {
            tracing::error!(%error, "event cannot be written; not tried again");
            return Ok(gateway.store.bury_event(event.guid, now).await?);
        }
    };
    log_context::endpoint(&endpoint.url);
    let client = event.member.client.as_str();
    let timing = gateway.metrics.webhook_delivery.start([client]);
    let delivery = webhooks.deliver(endpoint, &message, now).await;
    drop(timing);
    let (id, tries) = (event.guid, event.attempt);
    let result = match delivery {
        Delivery::Taken => {
            tracing::info!("webhook delivered");
            gateway.store.finish_event(id).await?;
            Delivered::Delivered
        }
        Delivery::Gone => {
            tracing::warn!("the webhook endpoint is gone; event not tried again");
            gateway.store.bury_event(id, now).await?;
            Delivered::Gone
        }
        Delivery::Again {
            reason,
            retry_after,
        } => {
            let wait = webhook::next_try(tries, gateway.random.as_ref())
                .filter(|_| tries < DELIVERY_TRIES);
            match wait.map(|wait| wait.max(retry_after.unwrap_or_default())) {
                Some(wait) => {
                    let wait_s = wait.as_secs();
                    tracing::warn!(reason, wait_s, "webhook delivery failed; tried again later");
                    gateway.store.postpone_event(id, now + wait).await?;
                    Delivered::Retried
                }
                None => {
                    tracing::error!(reason, "webhook delivery failed for the last time");
                    gateway.store.bury_event(id, now).await?;
                    Delivered::Abandoned
                }
            }
        }
    };
    let counters = &gateway.metrics.webhook_deliveries;
    counters.count([client, result.name()]);
    Ok(())
}
