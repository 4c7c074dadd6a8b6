//! aggregate: a queued job → pushed to the aggregator, leased, reported.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;

use super::connect::{grant_context, persistently};
use super::{Gateway, Internal};
use crate::domain::event::{EventKind, Notice};
use crate::domain::grant::Grant;
use crate::domain::id::JobGuid;
use crate::domain::job::{JOB_TRIES, Job, JobFailure, JobReport, JobStatus};
use crate::domain::member::ConnectionStatus;
use crate::store::{Lease, Recorded, Reported, SealedMeans, Standing};

/// How long to wait before a job is pushed again after the n-th push was not taken.
const PUSH_WAITS_S: [u64; 2] = [5, 30];

/// An access token lent for one job.
pub struct Leased {
    /// The job.
    pub job: Job,
    /// The token; the refresh token stays.
    pub access_token: SecretString,
    /// What it is good for.
    pub scope: Option<String>,
    /// When the token ends, where the institution says.
    pub expires_at: Option<Timestamp>,
}

/// Why no token was lent.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// There is no such job, or its member has no grant.
    #[error("there is no job {0}")]
    Unknown(JobGuid),
    /// The job is finished.
    #[error("job {0} is finished: its token is no longer lent")]
    Over(JobGuid),
    /// The grant cannot be read with the keys configured.
    #[error("the member's grant cannot be read")]
    Unreadable,
    /// It is not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

/// Takes up to `limit` jobs that are due; each is then to be [`push`]ed.
pub async fn take_due(gateway: &Gateway, limit: usize) -> Result<Vec<Job>, Internal> {
    if gateway.aggregator.is_none() {
        return Ok(Vec::new());
    }
    let now = gateway.now();
    let hold_until = now + gateway.settings.job_deadline;
    Ok(gateway.store.reserve_jobs(now, hold_until, limit).await?)
}

/// Pushes a job that was taken; one that was pushed often enough has failed.
pub async fn push(gateway: &Gateway, job: Job) -> Result<(), Internal> {
    let Some(aggregator) = &gateway.aggregator else {
        return Ok(());
    };
    if job.attempt > JOB_TRIES {
        tracing::warn!(job = %job.guid, member = %job.member, "aggregator silent, job failed");
        report(
            gateway,
            job.guid,
            JobReport::Failed(JobFailure::Unavailable),
        )
        .await?;
        return Ok(());
    }
    match aggregator.push(&job, gateway.now()).await {
        Ok(()) => {
            tracing::info!(job = %job.guid, member = %job.member, attempt = job.attempt, "job pushed");
        }
        Err(error) => {
            tracing::warn!(job = %job.guid, attempt = job.attempt, %error, "job not taken");
            let pushes = job.attempt.saturating_sub(1) as usize;
            let wait = PUSH_WAITS_S.get(pushes).copied().unwrap_or_default();
            let due_at = gateway.now() + Duration::from_secs(wait);
            gateway
                .store
                .postpone_job(job.guid, due_at, gateway.now())
                .await?;
        }
    }
    Ok(())
}

/// Lends the access token of the job's member to the aggregator.
pub async fn lease(gateway: &Gateway, guid: JobGuid) -> Result<Leased, LeaseError> {
    let lease = gateway.store.lease(guid).await.map_err(Internal::from)?;
    let (job, sealed) = match lease {
        Lease::Granted {
            job,
            sealed: SealedMeans::Grant(sealed),
            ..
        } => (*job, sealed),
        Lease::Granted { .. } => todo!(),
        Lease::Over => return Err(LeaseError::Over(guid)),
        Lease::Unknown => return Err(LeaseError::Unknown(guid)),
    };
    let member = job.member.to_string();
    let opened = gateway
        .sealer
        .open(&grant_context(&job.client, &member), &sealed);
    let grant = match opened {
        Ok(bytes) => Grant::from_bytes(&bytes).ok_or(LeaseError::Unreadable)?,
        Err(error) => {
            tracing::error!(%member, %error, "a grant could not be unsealed");
            return Err(LeaseError::Unreadable);
        }
    };
    tracing::info!(job = %guid, %member, "token lent");
    Ok(Leased {
        job,
        access_token: grant.access_token,
        scope: grant.scope,
        expires_at: grant.expires_at,
    })
}

/// What the aggregator says of a job. `None`: there is no such job.
///
/// A report about a finished job changes nothing; the job as it ended is the answer.
pub async fn report(
    gateway: &Gateway,
    guid: JobGuid,
    report: JobReport,
) -> Result<Option<Job>, Internal> {
    let Some(job) = gateway.store.job(guid).await? else {
        return Ok(None);
    };
    if report == JobReport::Started && job.status == JobStatus::Queued {
        tracing::debug!(job = %guid, "started before it was pushed");
    }
    let (status_at_first, status_later) = statuses_after(&report);
    let now = gateway.now();
    let reported = Reported {
        job: guid,
        due_at: now + gateway.settings.job_deadline,
        standing: Standing {
            at_first: status_at_first,
            later: status_later,
            is_refusal: false,
        },
        changed: notices(gateway, &job, &report),
        report,
    };
    match persistently(|| Box::pin(gateway.store.record_report(&reported, now))).await? {
        Recorded::Yes(job) => {
            tracing::info!(job = %guid, member = %job.member, status = job.status.name(), "job reported");
            gateway.metrics.reported(job.status);
            gateway.wake_worker();
            Ok(Some(*job))
        }
        Recorded::Over(job) => Ok(Some(*job)),
        Recorded::Unknown => Ok(None),
    }
}

/// What a failure makes of the member: before its first successful aggregation, and later.
fn statuses_after(report: &JobReport) -> (Option<ConnectionStatus>, Option<ConnectionStatus>) {
    use ConnectionStatus::{Denied, Impaired, Impeded};
    match report {
        JobReport::Failed(JobFailure::Denied) => (Some(Denied), Some(Impaired)),
        JobReport::Failed(JobFailure::Impeded) => (Some(Impeded), Some(Impeded)),
        JobReport::Challenged(_) => todo!(),
        JobReport::Failed(_) | JobReport::Started | JobReport::Succeeded(_) => (None, None),
    }
}

fn notices(gateway: &Gateway, job: &Job, report: &JobReport) -> Vec<Notice> {
    let kinds: &[EventKind] = match report {
        JobReport::Started => &[],
        JobReport::Challenged(_) => todo!(),
        JobReport::Succeeded(_) => &[EventKind::MemberUpdated, EventKind::Aggregation],
        JobReport::Failed(_) => &[EventKind::MemberUpdated, EventKind::ConnectionStatus],
    };
    match gateway.clients.get(&job.client) {
        Some(client) => gateway.notices(client, kinds, job.guid.partition()),
        None => Vec::new(),
    }
}
