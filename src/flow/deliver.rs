//! deliver: an event → sent to its client, tried again, or given up.

use std::time::Duration;

use super::{Gateway, Internal};
use crate::domain::event::{DELIVERY_TRIES, Event};
use crate::domain::random::{self, Random};
use crate::log_context;
use crate::metrics::Delivered;
use crate::store::{QueuedWork, Where};
use crate::webhook::{Delivery, Message, Webhooks};

/// How long a reserved event stays with one worker: as long as a delivery may take at most.
const HOLD: Duration = Duration::from_secs(60);

/// The pauses after the first try, the second, and so on, in seconds: 23 h 53 min in all. The first ones
/// are short, for a receiver that restarts; the last ones are long, for a receiver that has to be
/// repaired.
const GAPS: [u64; 11] = [
    5,
    30,
    2 * 60,
    5 * 60,
    15 * 60,
    30 * 60,
    60 * 60,
    2 * 60 * 60,
    4 * 60 * 60,
    6 * 60 * 60,
    10 * 60 * 60,
];

const _: () = assert!(GAPS.len() + 1 == DELIVERY_TRIES as usize);

/// The events that this process has queued.
pub fn queued(gateway: &Gateway) -> &QueuedWork {
    gateway.store.events_queued()
}

/// Reserves up to `limit` events that are due; each is then to be [`deliver`]ed.
pub async fn take_due(
    gateway: &Gateway,
    within: Where,
    limit: usize,
) -> Result<Vec<Event>, Internal> {
    let now = gateway.now();
    Ok(gateway
        .store
        .reserve_events(within, now, now + HOLD, limit)
        .await?)
}

/// Tries one event once, and records the outcome in the store.
pub async fn deliver(gateway: &Gateway, webhooks: &Webhooks, event: Event) -> Result<(), Internal> {
    log_context::event(&event);
    let now = gateway.now();
    let subscriber = gateway.clients.get(&event.member.client);
    let Some(endpoint) = subscriber.and_then(|client| client.webhook(event.kind)) else {
        tracing::info!("no longer subscribed; event dropped");
        return Ok(gateway.store.finish_event(event.guid, now).await?);
    };
    let message = match Message::of(&event) {
        Ok(Some(message)) => message,
        Ok(None) => return Ok(gateway.store.finish_event(event.guid, now).await?),
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
        Delivery::Delivered => {
            tracing::info!("webhook delivered");
            gateway.store.finish_event(id, now).await?;
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
            let wait = next_try(tries, gateway.random.as_ref()).filter(|_| tries < DELIVERY_TRIES);
            match wait.map(|wait| wait.max(retry_after.unwrap_or_default())) {
                Some(wait) => {
                    let wait_s = wait.as_secs();
                    tracing::warn!(reason, wait_s, "webhook delivery failed; tried again later");
                    gateway.store.postpone_event(id, now + wait, now).await?;
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

/// How long to wait after the `attempt`-th try, counted from 1; `None` after the last one.
///
/// Up to a tenth is added or subtracted at random, so that deliveries that failed together are not tried
/// again together.
fn next_try(attempt: u32, random: &dyn Random) -> Option<Duration> {
    let nth = usize::try_from(attempt.saturating_sub(1)).ok()?;
    let gap = Duration::from_secs(*GAPS.get(nth)?);
    let chance = f64::from(u32::from_le_bytes(random::bytes(random))) / f64::from(u32::MAX);
    Some(gap.mul_f64(0.9 + 0.2 * chance))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);

    impl Random for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    fn gaps(byte: u8) -> Vec<Duration> {
        let gap = |attempt| next_try(attempt, &Always(byte));
        (1..=DELIVERY_TRIES).map_while(gap).collect()
    }

    #[test]
    fn twelve_tries_take_about_a_day() {
        for (byte, hours) in [(0x00, 21.5), (0x80, 23.9), (0xff, 26.3)] {
            let gaps = gaps(byte);
            assert_eq!(gaps.len(), 11);
            let total: Duration = gaps.iter().sum();
            assert!(
                (total.as_secs_f64() / 3600.0 - hours).abs() < 0.1,
                "{total:?}"
            );
        }
        assert_eq!(next_try(DELIVERY_TRIES, &Always(0)), None);
        assert_eq!(next_try(u32::MAX, &Always(0)), None);
    }

    #[test]
    fn gaps_grow_and_differ_by_chance() {
        let (least, most) = (gaps(0x00), gaps(0xff));
        assert!(least.is_sorted() && most.is_sorted());
        for (least, most) in least.iter().zip(&most) {
            assert!((most.as_secs_f64() / least.as_secs_f64() - 1.1 / 0.9).abs() < 0.001);
        }
    }
}
