//! Duties, whatever their kind: taken up in fair shares, done, and given up when they are too old.
//!
//! - A line has a number of places: so many of its duties run at a time, and a few more wait for them in this process.
//! - Where something rests ([`Circuits`](super::circuits::Circuits)) nothing is taken up, but for one probe.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::time::Instant;

use super::circuits::{State, Target};
use super::{Gateway, Internal, aggregate, deliver, refresh, revoke};
use crate::domain::duty::DutyKind;
use crate::domain::endpoint::EndpointId;
use crate::domain::form::Kept;
use crate::domain::id::ClientId;
use crate::webhook::Webhooks;

pub use crate::store::{Ask, Duty, Line, QueuedWork, Reserved, Spot};

/// How much longer an event that was taken up stays with one worker than those before it, and it, may take.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// The same for calls to an institution.
const CALL: Duration = Duration::from_secs(5 * 60);

/// How many times as many duties as a line has places are taken up at a time, so that a place that becomes free is
/// used at once.
const AHEAD: usize = 4;

/// How many duties one look for those that are too old buries; the next look goes on.
const BURIED_AT_ONCE: usize = 1000;

/// Where duties are due.
pub fn queued(gateway: &Gateway) -> &QueuedWork {
    gateway.store.queued()
}

/// Takes up what is due; each duty is then to be [`perform`]ed.
pub async fn reserve(gateway: &Gateway, asks: &[Ask]) -> Result<Vec<Reserved>, Internal> {
    let now = gateway.now();
    let hold_until = |kind| match kind {
        DutyKind::Aggregate => now + gateway.settings.job_deadline,
        DutyKind::Deliver => now + delivery(gateway),
        DutyKind::Refresh | DutyKind::Revoke => now + CALL,
    };
    Ok(gateway.store.reserve_duties(asks, now, hold_until).await?)
}

/// How long an event that was taken up stays with one worker.
fn delivery(gateway: &Gateway) -> Duration {
    let ahead = u32::try_from(AHEAD).unwrap_or(u32::MAX);
    gateway.settings.delivery_timeout * ahead + SETTLED_WITHIN
}

/// What a line's duties need; `None`: this version does not know, or has not what they need.
pub fn target(gateway: &Gateway, line: &Line) -> Option<Target> {
    let client: ClientId = line.client().parse().ok()?;
    match line.kind()? {
        DutyKind::Aggregate => gateway.aggregator.as_ref().map(|_| Target::Aggregator),
        DutyKind::Deliver => {
            let endpoint = EndpointId::from_form(line.place().to_owned())?;
            Some(Target::Endpoint(client, endpoint))
        }
        DutyKind::Refresh | DutyKind::Revoke => {
            Some(Target::Institution(line.place().parse().ok()?))
        }
    }
}

/// How many duties may run at a time.
pub fn places(gateway: &Gateway, target: &Target) -> usize {
    match target {
        Target::Endpoint(..) => gateway.settings.places.endpoint,
        Target::Aggregator => gateway.settings.places.aggregator,
        Target::Institution(_) => gateway.settings.places.institution,
    }
}

/// How many duties of a line may be taken up, when so many have been.
pub fn room(gateway: &Gateway, line: &Line, taken: usize) -> usize {
    let Some(target) = target(gateway, line) else {
        return 0;
    };
    let most = match gateway.circuits.state(&target, Instant::now()) {
        State::Closed => places(gateway, &target) * AHEAD,
        State::Probe => 1,
        State::Open => 0,
    };
    most.saturating_sub(taken)
}

/// Tries a duty once, and records what became of it.
pub async fn perform(
    gateway: &Arc<Gateway>,
    webhooks: &Webhooks,
    duty: Duty,
) -> Result<(), Internal> {
    match duty {
        Duty::Push(job) => aggregate::push(gateway, *job).await,
        Duty::Deliver(event) => deliver::deliver(gateway, webhooks, *event).await,
        Duty::Refresh { member, at } => refresh::perform(gateway, at, member).await,
        Duty::Revoke(owed) => revoke::perform(gateway, *owed).await,
    }
}

/// Buries the events that have been due for longer than events are tried: nothing was sent where they go.
pub async fn bury_the_old(gateway: &Gateway) -> Result<(), Internal> {
    let now = gateway.now();
    let Some(age) = DutyKind::Deliver.schedule().age() else {
        return Ok(());
    };
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    let Ok(before) = now.checked_sub(age) else {
        return Ok(());
    };
    let spots = gateway.store.spots_due(before).await?;
    let is_delivery = |spot: &Spot| spot.line.kind() == Some(DutyKind::Deliver);
    for spot in spots.into_iter().filter(is_delivery) {
        let limit = BURIED_AT_ONCE;
        let ask = Ask { spot, limit };
        let held = |_| now + delivery(gateway);
        for reserved in gateway.store.reserve_duties(&[ask], before, held).await? {
            for duty in reserved.duties {
                if let Duty::Deliver(event) = duty {
                    deliver::bury(gateway, &event, "nothing was sent to its endpoint", None)
                        .await?;
                }
            }
        }
    }
    Ok(())
}
