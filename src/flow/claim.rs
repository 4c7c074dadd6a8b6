//! claim: an aggregator takes up the jobs of its clients itself.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Instrument;

use super::duties::{self, Duty};
use super::{Gateway, Internal, aggregate, maintenance};
use crate::aggregator::Aggregator;
use crate::domain::duty::DutyKind;
use crate::domain::job::Job;
use crate::log_context;
use crate::store::{Ask, Spot};

/// The most jobs of one claim.
pub const MOST_JOBS: u32 = 100;

/// How long a claim waits at most, in seconds.
pub const LONGEST_WAIT_S: u32 = 30;

/// How many jobs that nobody claimed end at a time.
const BATCH: usize = 50;

/// What an aggregator asks for.
#[derive(Clone, Copy, Debug)]
pub struct ClaimRequest {
    /// The most jobs it takes; at least 1, at most [`MOST_JOBS`].
    pub most: usize,
    /// How long it waits if no job is due; at most [`LONGEST_WAIT_S`].
    pub wait: Duration,
}

/// Why nothing was claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Its jobs are pushed.
    #[error("the jobs of aggregator {0} are pushed to it; to claim them it needs mode = \"pull\"")]
    Pushed(String),
    /// Too many of its claims wait.
    #[error("too many claims of this aggregator wait already")]
    TooMany,
    /// It is not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

/// Hands out jobs of the aggregator's clients that are due, the clients in turn. If there is none, it waits for one; no
/// job in the end is no error.
///
/// Each job is held for the aggregator's deadline, as if it had been pushed and accepted; then it is due again. A caller
/// that has gone away by the time they are taken up gets none.
pub async fn claim(
    gateway: &Arc<Gateway>,
    aggregator: &Arc<Aggregator>,
    request: ClaimRequest,
) -> Result<Vec<Job>, ClaimError> {
    let Some(unclaimed) = gateway.claims.of(&aggregator.name) else {
        return Err(ClaimError::Pushed(aggregator.name.to_string()));
    };
    let until = Instant::now() + request.wait;
    // What other processes have queued since the last look.
    if unclaimed.ready() == 0 {
        let due = gateway.store.spots_due(gateway.now()).await;
        tell(gateway, due.map_err(Internal::from)?);
    }
    let mut place = None;
    loop {
        let mut told = std::pin::pin!(unclaimed.told());
        told.as_mut().enable();
        let jobs = take_up(gateway, aggregator, request.most).await?;
        if !jobs.is_empty() || Instant::now() >= until {
            return Ok(jobs);
        }
        if place.is_none() {
            place = Some(unclaimed.place().ok_or(ClaimError::TooMany)?);
        }
        tokio::select! {
            () = told => {}
            () = tokio::time::sleep_until(until) => return Ok(Vec::new()),
            () = gateway.claims.closed() => return Ok(Vec::new()),
        }
    }
}

/// Tells those who wait of jobs that are to be claimed. Returns where anything else is due.
pub fn tell(gateway: &Gateway, due: impl IntoIterator<Item = Spot>) -> Vec<Spot> {
    let is_other = |spot: &Spot| match duties::claimant(gateway, &spot.line) {
        Some(name) => {
            gateway.claims.add(name, spot.clone());
            false
        }
        None => true,
    };
    due.into_iter().filter(is_other).collect()
}

/// Ends the jobs that nobody has claimed for as long as jobs are tried.
pub async fn end_the_unclaimed(gateway: &Gateway) -> Result<(), Internal> {
    let Some(age) = DutyKind::Aggregate.schedule().age() else {
        return Ok(());
    };
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    let Ok(before) = gateway.now().checked_sub(age) else {
        return Ok(());
    };
    let spots = gateway.store.spots_due(before).await?;
    for spot in spots {
        if duties::claimant(gateway, &spot.line).is_none() {
            continue;
        }
        let ask = Ask { spot, limit: BATCH };
        loop {
            let reserved =
                duties::reserve_due_by(gateway, std::slice::from_ref(&ask), before).await?;
            let duties: Vec<Duty> = reserved.into_iter().flat_map(|it| it.duties).collect();
            if duties.is_empty() {
                break;
            }
            for duty in duties {
                let Duty::Push(job) = &duty else { continue };
                let ended = aggregate::ended(gateway, job);
                if !ended.instrument(log_context::span()).await? {
                    duties::give_back(gateway, &duty).await?;
                }
            }
        }
    }
    Ok(())
}

/// Takes up jobs in a task of its own: if the caller is gone when that is done, they are given back.
async fn take_up(
    gateway: &Arc<Gateway>,
    aggregator: &Arc<Aggregator>,
    most: usize,
) -> Result<Vec<Job>, Internal> {
    let (send, receive) = oneshot::channel();
    let (gateway_of_task, aggregator) = (gateway.clone(), aggregator.clone());
    gateway.spawn(async move {
        let gateway = gateway_of_task;
        let taken = hand_out(&gateway, &aggregator, most).await;
        let Err(Ok(jobs)) = send.send(taken) else {
            return;
        };
        for job in jobs {
            let duty = Duty::Push(Box::new(job));
            if let Err(error) = duties::give_back(&gateway, &duty).await {
                tracing::error!(%error, "a duty could not be done; it is due again later");
            }
        }
    });
    receive.await.map_err(|_| Internal::Interrupted)?
}

async fn hand_out(
    gateway: &Gateway,
    aggregator: &Aggregator,
    most: usize,
) -> Result<Vec<Job>, Internal> {
    let mut jobs = Vec::new();
    let Some(unclaimed) = gateway.claims.of(&aggregator.name) else {
        return Ok(jobs);
    };
    while jobs.len() < most {
        let asks = unclaimed.next(most - jobs.len());
        if asks.is_empty() {
            break;
        }
        let reserved = match duties::reserve(gateway, &asks).await {
            // What was taken up before must not be lost; the next look finds the rest.
            Err(error) if !jobs.is_empty() => {
                tracing::error!(%error, "what is due could not be taken up; tried again");
                break;
            }
            reserved => reserved?,
        };
        for reserved in reserved {
            unclaimed.found(&reserved);
            for duty in reserved.duties {
                let Duty::Push(job) = duty else { continue };
                let work = begin(gateway, &job).instrument(log_context::span());
                match work.await {
                    Ok(true) => jobs.push(*job),
                    Ok(false) => {}
                    Err(error) => {
                        tracing::error!(%error, "a duty could not be done; it is due again later");
                    }
                }
            }
        }
    }
    Ok(jobs)
}

/// Whether the job is handed out; it may have ended instead, or wait for its institution.
async fn begin(gateway: &Gateway, job: &Job) -> Result<bool, Internal> {
    log_context::job(job);
    if aggregate::ended(gateway, job).await? {
        return Ok(false);
    }
    if let Some(again_at) = maintenance::again_at(gateway, &job.institution) {
        aggregate::wait(gateway, job, again_at).await?;
        return Ok(false);
    }
    tracing::info!("job claimed");
    Ok(true)
}
