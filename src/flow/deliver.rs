//! deliver: an event → sent to its client, tried again, or given up.

use tokio::time::Instant;

use super::circuits::{Rests, Target};
use super::settle::{Attempt, Place};
use super::{Gateway, Internal};
use crate::domain::duty::DutyKind;
use crate::domain::event::Event;
use crate::log_context;
use crate::metrics::Delivered;
use crate::store::{DeliveryTry, DutyName, Fate};
use crate::webhook::{Delivery, Message, Webhooks};

/// Tries one event once, and records the outcome in the store.
pub async fn deliver(
    gateway: &Gateway,
    webhooks: &Webhooks,
    event: Event,
    place: Place,
) -> Result<(), Internal> {
    log_context::event(&event);
    let attempt = Attempt::of(DutyName::Event(event.guid), event.attempt);
    let client = gateway.clients.get(&event.member.client);
    let Some(endpoint) = client.and_then(|client| client.webhook(event.kind)) else {
        tracing::info!("no longer subscribed; event dropped");
        return attempt.settle(gateway, Fate::Dropped, None).await;
    };
    let message = match Message::of(&event) {
        Ok(Some(message)) => message,
        Ok(None) => return attempt.settle(gateway, Fate::Dropped, None).await,
        Err(error) => {
            tracing::error!(%error, "event cannot be written; not tried again");
            return attempt.settle(gateway, Fate::Buried, None).await;
        }
    };
    log_context::endpoint(&endpoint.url);
    // What it was kept for: an address that was changed meanwhile does not change its line.
    let target = Target::Endpoint(event.member.client.clone(), event.endpoint);
    let began = Instant::now();
    let entered = match gateway.circuits.enter(&target, began) {
        Ok(entered) => entered,
        Err(Rests(rest)) => return attempt.give_back(gateway, rest).await,
    };
    let client = event.member.client.as_str();
    let timing = gateway.metrics.webhook_delivery.start([client]);
    let at = gateway.clock.of_day();
    let answered = webhooks.deliver(endpoint, &message, at).await;
    drop((timing, place));
    let tried = DeliveryTry {
        at,
        duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        status: answered.status,
        answer: answered.text,
    };
    let result = match answered.delivery {
        Delivery::Delivered => {
            gateway.circuits.worked(&target);
            tracing::info!("webhook delivered");
            attempt.settle(gateway, Fate::Done, Some(tried)).await?;
            Delivered::Delivered
        }
        Delivery::Gone => {
            gateway.circuits.worked(&target);
            tracing::warn!("the webhook endpoint is gone; event not tried again");
            attempt.settle(gateway, Fate::Buried, Some(tried)).await?;
            Delivered::Gone
        }
        Delivery::Again {
            reason,
            retry_after,
        } => {
            gateway
                .circuits
                .failed(&target, entered, retry_after, Instant::now());
            let (now, random) = (gateway.now(), gateway.random.as_ref());
            let tries = (event.attempt, event.owed_since);
            let schedule = DutyKind::Deliver.schedule();
            match schedule.next(tries, retry_after, now, random) {
                Some(next) => {
                    let wait_s = next.duration_since(now).as_secs();
                    tracing::warn!(reason, wait_s, "webhook delivery failed; tried again later");
                    attempt
                        .settle(gateway, Fate::Postponed(next), Some(tried))
                        .await?;
                    Delivered::Retried
                }
                None => return bury(gateway, &event, &reason, Some(tried)).await,
            }
        }
    };
    let counters = &gateway.metrics.webhook_deliveries;
    counters.count([client, result.name()]);
    Ok(())
}

/// Gives up an event: it is kept for the operator.
pub(super) async fn bury(
    gateway: &Gateway,
    event: &Event,
    reason: &str,
    tried: Option<DeliveryTry>,
) -> Result<(), Internal> {
    log_context::event(event);
    tracing::error!(reason, "webhook delivery failed for the last time");
    let attempt = Attempt::of(DutyName::Event(event.guid), event.attempt);
    attempt.settle(gateway, Fate::Buried, tried).await?;
    let counters = &gateway.metrics.webhook_deliveries;
    counters.count([event.member.client.as_str(), Delivered::Abandoned.name()]);
    Ok(())
}
