//! Duties, whatever their kind: taken up in fair shares, done, and given up when they are too old.
//!
//! - A line has a number of places: so many of its duties run at a time, and a few more wait for them in this process.
//! - Where an institution is in maintenance nothing is taken up that needs its token endpoint.
//! - Where something rests ([`Circuits`](super::circuits::Circuits)) nothing is taken up, but for one probe.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::circuits::{State, Target};
use super::settle::{Attempt, Place};
use super::{
    Gateway, Internal, aggregate, background, consents, deliver, maintenance, refresh, revoke,
};
use crate::aggregator::{self, Mode};
use crate::domain::duty::DutyKind;
use crate::domain::endpoint::EndpointId;
use crate::domain::form::Kept;
use crate::domain::id::{AggregatorName, ClientId};
use crate::webhook::Webhooks;

pub use crate::store::{Ask, Duty, Home, Line, QueuedWork, Reserved, Spot};

/// How much longer an event that was taken up stays with one worker than those before it, and it, may take.
const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// The same for calls to an institution.
const CALL: Duration = Duration::from_secs(5 * 60);

/// How many times as many duties as a line has places are taken up at a time, so that a place that becomes free is
/// used at once.
const AHEAD: usize = 4;

/// The most duties of a line that are taken up ahead.
const MOST_OF_A_LINE: usize = 64;

/// How long a call to an institution without a person takes at most.
const INSTITUTION: Duration = Duration::from_secs(61);

/// How much longer than the call itself a try may take.
const MARGIN: Duration = Duration::from_secs(5);

/// How many duties run at a time that need nobody but the store.
const AT_THE_STORE: usize = 8;

/// How many jobs that nobody reports end at a time, where none are pushed.
const ENDED_AT_ONCE: usize = 4;

/// A moment.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How many duties one look for those that are too old buries; the next look goes on.
const BURIED_AT_ONCE: u64 = 1000;

/// More than the time until the next try of any event.
const NEXT_TRY: Duration = Duration::from_secs(24 * 60 * 60);

/// How many of them at a time.
const BATCH: usize = 50;

/// Where duties are due.
pub fn queued(gateway: &Gateway) -> &QueuedWork {
    gateway.store.queued()
}

/// Which server of the store a spot is at.
pub fn home(gateway: &Gateway, spot: &Spot) -> Home {
    gateway.store.home(spot)
}

/// Takes up what is due; each duty is then to be [`perform`]ed, or handed to its [`claimant`].
pub async fn reserve(gateway: &Gateway, asks: &[Ask]) -> Result<Vec<Reserved>, Internal> {
    reserve_due_by(gateway, asks, gateway.now()).await
}

/// Takes up what was due by then.
pub async fn reserve_due_by(
    gateway: &Gateway,
    asks: &[Ask],
    due_by: Timestamp,
) -> Result<Vec<Reserved>, Internal> {
    let now = gateway.now();
    let hold_until = |line: &Line| now + held_for(gateway, line);
    let store = &gateway.store;
    Ok(store
        .reserve_duties(asks, (due_by, now), hold_until)
        .await?)
}

/// The aggregator that claims the duties of a line; `None`: they are done here.
pub fn claimant<'g>(gateway: &'g Gateway, line: &Line) -> Option<&'g AggregatorName> {
    if !line.hands_out_jobs() {
        return None;
    }
    let aggregator = gateway.aggregator_of(&line.client().parse().ok()?)?;
    matches!(aggregator.mode, Mode::Pull).then_some(&aggregator.name)
}

/// How long a duty of a line stays with whoever took it up.
fn held_for(gateway: &Gateway, line: &Line) -> Duration {
    let ahead = u32::try_from(AHEAD).unwrap_or(u32::MAX);
    let aggregator = || gateway.aggregator_of(&line.client().parse().ok()?);
    match line.kind() {
        Some(DutyKind::Aggregate) => aggregator().map_or(CALL, |it| it.deadline),
        Some(DutyKind::Deliver) => gateway.settings.delivery_timeout * ahead + SETTLED_WITHIN,
        Some(DutyKind::Background | DutyKind::Refresh | DutyKind::Revoke | DutyKind::Notify)
        | None => CALL,
    }
}

/// Whether there is time left to try a duty of a line that was taken up then.
pub fn is_in_time(gateway: &Gateway, line: &Line, taken_up: Instant) -> bool {
    let takes = match line.kind() {
        Some(DutyKind::Aggregate) => aggregator::TIMEOUT,
        Some(DutyKind::Deliver) => gateway.settings.delivery_timeout,
        // The store alone.
        Some(DutyKind::Background | DutyKind::Notify) => Duration::ZERO,
        Some(DutyKind::Refresh | DutyKind::Revoke) | None => INSTITUTION,
    };
    // Where it is hardly held for longer than a try takes, what gets a place at once is tried.
    let left = held_for(gateway, line).saturating_sub(takes + MARGIN);
    taken_up.elapsed() <= left.max(AT_ONCE)
}

/// What a line's duties need; `None`: this version does not know, or has not what they need, or they are claimed.
pub fn target(gateway: &Gateway, line: &Line) -> Option<Target> {
    if claimant(gateway, line).is_some() {
        return None;
    }
    let client: ClientId = line.client().parse().ok()?;
    match line.kind()? {
        DutyKind::Aggregate => {
            let aggregator = gateway.aggregator_of(&client)?;
            Some(Target::Aggregator(aggregator.name.clone()))
        }
        DutyKind::Deliver => {
            let endpoint = EndpointId::from_form(line.place().to_owned())?;
            Some(Target::Endpoint(client, endpoint))
        }
        DutyKind::Background | DutyKind::Refresh => {
            Some(Target::Institution(line.place().parse().ok()?))
        }
        DutyKind::Revoke => Some(Target::Revocation(line.place().parse().ok()?)),
        DutyKind::Notify => Some(Target::Store),
    }
}

/// How many duties may run at a time.
pub fn places(gateway: &Gateway, target: &Target) -> usize {
    match target {
        Target::Endpoint(..) => gateway.settings.places.endpoint,
        Target::Aggregator(name) => match gateway.aggregators.get(name).map(|it| &it.mode) {
            Some(Mode::Push(_, places)) => *places,
            Some(Mode::Pull) | None => ENDED_AT_ONCE,
        },
        Target::Institution(_) | Target::Revocation(_) => gateway.settings.places.institution,
        Target::Store => AT_THE_STORE,
    }
}

/// How many duties of a line may be taken up, when so many have been.
pub fn room(gateway: &Gateway, line: &Line, taken: usize) -> usize {
    let Some(target) = target(gateway, line) else {
        return 0;
    };
    if let Target::Institution(institution) = &target
        && maintenance::is_announced(gateway, institution)
    {
        return 0;
    }
    let places = places(gateway, &target);
    let most = match (gateway.circuits.state(&target, Instant::now()), line.kind()) {
        (State::Closed, _) => places.max((places * AHEAD).min(MOST_OF_A_LINE)),
        // Jobs that end need no call; the others are given back until it works.
        (_, Some(DutyKind::Aggregate)) => places,
        (State::Probe, _) => 1,
        (State::Open, _) => 0,
    };
    most.saturating_sub(taken)
}

/// Tries a duty once, and records what became of it.
pub async fn perform(
    gateway: &Arc<Gateway>,
    webhooks: &Webhooks,
    duty: Duty,
    place: Place,
) -> Result<(), Internal> {
    match duty {
        Duty::Push(job) => aggregate::push(gateway, *job, place).await,
        Duty::Deliver(event) => deliver::deliver(gateway, webhooks, *event, place).await,
        Duty::Background(member, held_until) => {
            drop(place);
            background::perform(gateway, *member, held_until).await
        }
        Duty::Refresh {
            member,
            at,
            held_until,
        } => refresh::perform(gateway, at, member, held_until).await,
        Duty::Revoke(owed) => revoke::perform(gateway, *owed).await,
        Duty::Notify {
            member,
            at,
            held_until,
        } => consents::tell(gateway, at, member, held_until).await,
    }
}

/// Gives a duty back that there is no time for: it is due at once.
pub async fn give_back(gateway: &Gateway, duty: &Duty) -> Result<(), Internal> {
    let nth = match duty {
        Duty::Push(job) => Some(job.attempt),
        Duty::Deliver(event) => Some(event.attempt),
        Duty::Revoke(owed) => Some(owed.revocation.attempt),
        Duty::Background(..) | Duty::Refresh { .. } => None,
        // It is due again after its hold, unless its consent was replaced meanwhile.
        Duty::Notify { .. } => return Ok(()),
    };
    let duty = duty.name();
    Attempt { duty, nth }
        .give_back(gateway, Duration::ZERO)
        .await
}

/// Buries the oldest events of every client that has more of them than are kept, wherever they go.
pub async fn bury_beyond_bounds(gateway: &Gateway) -> Result<(), Internal> {
    let queues = gateway.store.queues().await?;
    let most = gateway.settings.most_waiting;
    let beyond: Vec<(&str, u64)> = queues
        .events()
        .into_iter()
        .filter(|(_, waiting)| *waiting > most)
        .collect();
    if beyond.is_empty() {
        return Ok(());
    }
    let now = gateway.now();
    let last = now + NEXT_TRY;
    let waits = gateway.store.spots_due(last).await?;
    for (client, waiting) in beyond {
        let mut too_many = waiting - most;
        let is_its = |spot: &&Spot| spot.is_delivery() && spot.line.client() == client;
        let spots: Vec<&Spot> = waits.iter().filter(is_its).collect();
        let mut buried = 0;
        // First what is due, then what waits for its next try, since everything of its member waits behind it. Some of
        // each place in turn: within one, what has been due for longest goes first.
        for due_by in [now, last] {
            while too_many > 0 {
                let before = buried;
                for spot in &spots {
                    let limit = BATCH.min(usize::try_from(too_many).unwrap_or(usize::MAX));
                    let why = "too many events of its client wait";
                    let count = bury_some(gateway, spot, limit, due_by, why).await?;
                    buried += count;
                    too_many = too_many.saturating_sub(count);
                }
                if buried == before {
                    break;
                }
            }
        }
        if buried > 0 {
            tracing::error!(
                client,
                buried,
                "too many events of a client wait; the oldest were given up"
            );
        }
    }
    Ok(())
}

/// Buries events of a line that were due by then. Returns how many.
async fn bury_some(
    gateway: &Gateway,
    spot: &Spot,
    limit: usize,
    due_by: Timestamp,
    why: &str,
) -> Result<u64, Internal> {
    let asks = [Ask {
        spot: spot.clone(),
        limit,
    }];
    let mut buried = 0;
    for reserved in reserve_due_by(gateway, &asks, due_by).await? {
        for duty in reserved.duties {
            if let Duty::Deliver(event) = duty {
                deliver::bury(gateway, &event, why, None).await?;
                buried += 1;
            }
        }
    }
    Ok(buried)
}

/// Buries the events that have waited for longer than events are tried, where nothing is sent because it rests.
pub async fn bury_the_old(gateway: &Gateway) -> Result<(), Internal> {
    let schedule = DutyKind::Deliver.schedule();
    let Some(age) = schedule.age() else {
        return Ok(());
    };
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    let Ok(before) = gateway.now().checked_sub(age) else {
        return Ok(());
    };
    let rests = |spot: &Spot| {
        let target = target(gateway, &spot.line);
        let state = |target| gateway.circuits.state(&target, Instant::now());
        spot.is_delivery() && target.is_some_and(|target| state(target) != State::Closed)
    };
    let spots = gateway.store.spots_due(before).await?;
    let mut left = BURIED_AT_ONCE;
    for spot in spots.into_iter().filter(rests) {
        // One that is buried makes room for the next of its member, which may be too old as well.
        while left > 0 {
            let why = "nothing was sent to its endpoint";
            let limit = BATCH.min(usize::try_from(left).unwrap_or(usize::MAX));
            let buried = bury_some(gateway, &spot, limit, before, why).await?;
            if buried == 0 {
                break;
            }
            left = left.saturating_sub(buried);
        }
    }
    Ok(())
}
