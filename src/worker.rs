//! What happens without a request: deadlines, pushes of jobs, deliveries of events.
//!
//! Everything due is in the store, so a worker that dies loses nothing: what it had reserved is due
//! again after a while. A step of this process that leaves work wakes the worker at once; work
//! that another process left, or that falls due, is found by looking.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::domain::event::{DELIVERY_TRIES, Event};
use crate::flow::{Gateway, Internal, aggregate, deadlines};
use crate::webhook::{self, Delivery, Webhooks};

/// How often the store is looked at without being woken.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many events are taken at a time, and delivered side by side.
const BATCH: usize = 32;

/// How long a reserved event stays with one worker; longer than a delivery may take.
const HOLD: Duration = Duration::from_secs(60);

/// Works until `shutdown`, then finishes what it has begun.
pub async fn run(gateway: Arc<Gateway>, webhooks: Webhooks, shutdown: CancellationToken) {
    let webhooks = Arc::new(webhooks);
    let deliveries = repeat("deliveries", &gateway, &shutdown, || {
        deliver_due(&gateway, &webhooks)
    });
    let pushes = repeat("pushes", &gateway, &shutdown, || {
        aggregate::push_due(&gateway)
    });
    let sweeps = repeat("deadlines", &gateway, &shutdown, || {
        deadlines::sweep(&gateway)
    });
    tokio::join!(deliveries, pushes, sweeps);
}

/// Does `work` again and again: at once while there is more, else when woken or after a while.
async fn repeat<F>(
    name: &'static str,
    gateway: &Gateway,
    shutdown: &CancellationToken,
    mut work: impl FnMut() -> F,
) where
    F: Future<Output = Result<usize, Internal>>,
{
    while !shutdown.is_cancelled() {
        // Interest is registered before the store is looked at, so that no wake-up is missed.
        let woken = gateway.nudge.notified();
        match work().await {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => {
                tracing::error!(work = name, %error, "worker step failed; it is repeated")
            }
        }
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// Delivers the events that are due. How many were taken up.
async fn deliver_due(gateway: &Arc<Gateway>, webhooks: &Arc<Webhooks>) -> Result<usize, Internal> {
    let now = gateway.clock.now();
    let events = gateway.store.reserve_events(now, now + HOLD, BATCH).await?;
    let count = events.len();
    let mut deliveries = JoinSet::new();
    for event in events {
        let (gateway, webhooks) = (gateway.clone(), webhooks.clone());
        deliveries.spawn(async move { deliver(&gateway, &webhooks, event).await });
    }
    while let Some(delivered) = deliveries.join_next().await {
        match delivered {
            Ok(outcome) => outcome?,
            Err(error) => tracing::error!(%error, "a delivery was cut off; it is repeated"),
        }
    }
    Ok(count)
}

/// Tries one event once, and says in the store what came of it.
async fn deliver(gateway: &Gateway, webhooks: &Webhooks, event: Event) -> Result<(), Internal> {
    let client = gateway.clients.get(&event.member.client);
    let Some(endpoint) = client.and_then(|client| client.webhook(event.kind)) else {
        tracing::info!(event = %event.guid, kind = event.kind.name(), "no longer subscribed; dropped");
        return Ok(gateway.store.finish_event(event.guid).await?);
    };
    let now = gateway.clock.now();
    let body = match webhook::payload(&event) {
        Ok(payload) => payload.to_string(),
        Err(error) => {
            tracing::error!(event = %event.guid, %error, "event cannot be written; buried");
            return Ok(gateway.store.bury_event(event.guid, now).await?);
        }
    };
    let delivery = webhooks
        .deliver(endpoint, event.guid, now, body.as_bytes())
        .await;
    let (id, kind, attempt) = (event.guid, event.kind.name(), event.attempt);
    match delivery {
        Delivery::Taken => {
            gateway.metrics.delivered("taken");
            tracing::info!(event = %id, kind, attempt, "event delivered");
            gateway.store.finish_event(id).await?;
        }
        Delivery::Gone => {
            gateway.metrics.delivered("gone");
            tracing::warn!(event = %id, kind, attempt, "the endpoint is gone; event buried");
            gateway.store.bury_event(id, now).await?;
        }
        Delivery::Again {
            reason,
            retry_after,
        } => {
            let wait = webhook::next_try(attempt, gateway.random.as_ref())
                .filter(|_| attempt < DELIVERY_TRIES);
            match wait.map(|wait| wait.max(retry_after.unwrap_or_default())) {
                Some(wait) => {
                    gateway.metrics.delivered("again");
                    tracing::warn!(event = %id, kind, attempt, reason, wait_s = wait.as_secs(), "event not taken; tried again later");
                    gateway.store.postpone_event(id, now + wait).await?;
                }
                None => {
                    gateway.metrics.delivered("dead");
                    tracing::error!(event = %id, kind, attempt, reason, "event never taken; buried");
                    gateway.store.bury_event(id, now).await?;
                }
            }
        }
    }
    Ok(())
}
