//! aggregate: a queued job → handed out to its aggregator, leased, reported.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::circuits::{Rests, Target};
use super::settle::{Attempt, Place};
use super::{Gateway, Internal, background, brakes, maintenance, refresh, seal_contexts};
use crate::aggregator::{Aggregator, Mode};
use crate::domain::challenge::{Challenge, ChallengeKind};
use crate::domain::credential::Credentials;
use crate::domain::duty::DutyKind;
use crate::domain::event::{EventKind, Notice};
use crate::domain::id::{CredentialGuid, JobGuid};
use crate::domain::job::{HandOut, JOB_TRIES, Job, JobFailure, JobReport, JobStatus, Pulled};
use crate::domain::member::{ConnectionStatus, StatusReason};
use crate::domain::token_set::TokenSet;
use crate::log_context;
use crate::seal::Context;
use crate::store::{
    self, AtInstitution, BrakeName, DutyName, Fate, Lease, Recorded, Reported, SealedAccess,
    StatusChange, TokenState, Want,
};

/// What was lent for one job.
pub struct Leased {
    /// The job.
    pub job: Job,
    /// The token or credentials to pull with.
    pub access: Access,
    /// The answers to the job's newest challenges, if there are any.
    pub answers: Option<Credentials>,
}

/// A member's token or credentials, in clear.
pub enum Access {
    /// Of an OAuth member.
    Token {
        /// The access token; the refresh token stays.
        access_token: SecretString,
        /// Its scope.
        scope: Option<String>,
        /// What was granted in detail (RFC 9396 section 7): JSON.
        authorization_details: Option<String>,
        /// When the token ends, if the institution says so.
        expires_at: Option<Timestamp>,
    },
    /// Of a standard member.
    Credentials(Credentials),
}

/// Why nothing was lent.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// There is no such job, or its member has nothing to pull with.
    #[error("there is no job {0}")]
    Unknown(JobGuid),
    /// The job is finished, waits for an answer, or was never handed out.
    #[error(
        "job {0} is finished, waits for an answer or was never handed out: nothing is lent for it"
    )]
    NotRunning(JobGuid),
    /// The access token has ended, and there is no way to a new one. The job has failed.
    #[error("the access token of job {0} has ended and cannot be renewed")]
    Ended(JobGuid),
    /// The access token has ended, and there is no new one yet. The job is handed out again then.
    #[error(
        "the access token of job {job} has ended and cannot be renewed now: the job is handed out again in {seconds} s"
    )]
    Later {
        /// The job.
        job: JobGuid,
        /// In how many seconds.
        seconds: u64,
    },
    /// What is sealed cannot be read with the keys configured.
    #[error("the member's token or credentials cannot be decrypted")]
    Unreadable,
    /// It is not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

/// Why a report changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The aggregator has no such job.
    #[error("there is no job {0}")]
    Unknown(JobGuid),
    /// It names another hand-out than the newest one.
    #[error(
        "job {job} was handed out again since, or will be: this report is not about round {round}, attempt {attempt}, and changes nothing"
    )]
    Outdated {
        /// The job.
        job: JobGuid,
        /// Its round.
        round: u32,
        /// Its attempt in that round.
        attempt: u32,
    },
    /// It is not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl ReportError {
    fn outdated(job: &Job) -> Self {
        tracing::info!("report about an earlier hand-out refused");
        Self::Outdated {
            job: job.guid,
            round: job.round,
            attempt: job.attempt,
        }
    }
}

/// A report as the aggregator makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AggregatorReport {
    /// It has begun.
    Started,
    /// It has pulled the data.
    Succeeded(Pulled),
    /// The institution asks the person something; at most
    /// [`CHALLENGES_LIMIT`](crate::domain::challenge::CHALLENGES_LIMIT) questions.
    Challenged(Vec<Question>),
    /// It could not.
    Failed(JobFailure),
}

/// A question that has no guid yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The institution's name for it.
    pub field_name: String,
    /// What the person is asked.
    pub label: String,
    /// What kind of question it is.
    pub kind: ChallengeKind,
}

/// Pushes a reserved job, unless nothing is left but to end it.
pub async fn push(gateway: &Arc<Gateway>, job: Job, place: Place) -> Result<(), Internal> {
    let Some(aggregator) = gateway.aggregator_of(&job.client) else {
        return Ok(());
    };
    log_context::job(&job);
    if ended(gateway, &job).await? {
        return Ok(());
    }
    let attempt = Attempt::of(DutyName::Job(job.guid), job.attempt);
    if let Some(again_at) = maintenance::again_at(gateway, &job.institution) {
        drop(place);
        return wait(gateway, &job, again_at).await;
    }
    let Mode::Push(endpoint, _) = &aggregator.mode else {
        // Only jobs that end are taken up here; any other is left to a claim.
        return attempt.give_back(gateway, Duration::ZERO).await;
    };
    log_context::endpoint(endpoint.url());
    let target = Target::Aggregator(aggregator.name.clone());
    let entered = match gateway.circuits.enter(&target, Instant::now()) {
        Ok(entered) => entered,
        Err(Rests(rest)) => return attempt.give_back(gateway, rest).await,
    };
    let pushed = endpoint.push(&job, gateway.clock.of_day()).await;
    drop(place);
    match pushed {
        Ok(()) => {
            gateway.circuits.worked(&target);
            tracing::info!("job pushed");
        }
        Err(error) => {
            tracing::warn!(%error, "job push failed");
            let asked = None;
            gateway
                .circuits
                .failed(&target, entered, asked, Instant::now());
            let (now, random) = (gateway.now(), gateway.random.as_ref());
            let tries = (job.attempt, job.created_at);
            let schedule = DutyKind::Aggregate.schedule();
            // After the last push that was not accepted it is due at once, and fails.
            let next = schedule.next(tries, asked, now, random).unwrap_or(now);
            attempt.settle(gateway, Fate::Postponed(next), None).await?;
        }
    }
    Ok(())
}

/// Lets a job wait that was taken up while its institution is not used: it is due then, and this try does not count.
pub(super) async fn wait(
    gateway: &Gateway,
    job: &Job,
    again_at: Timestamp,
) -> Result<(), Internal> {
    tracing::debug!("the institution is not used for now; the job waits");
    let attempt = Attempt::of(DutyName::Job(job.guid), job.attempt);
    attempt.settle(gateway, Fate::Untried(again_at), None).await
}

/// Ends a job that was taken up, if it is not to be handed out: nobody answered its questions in time, it was handed out
/// as often as jobs are, or it is too old. Returns whether it did.
pub(super) async fn ended(gateway: &Gateway, job: &Job) -> Result<bool, Internal> {
    let schedule = DutyKind::Aggregate.schedule();
    let failure = if job.status == JobStatus::Challenged {
        tracing::info!(round = job.round, "nobody answered; job failed");
        JobFailure::Unanswered
    } else if job.attempt > JOB_TRIES || schedule.is_over(job.created_at, gateway.now()) {
        tracing::warn!("the aggregator did not report; job failed");
        JobFailure::Unavailable
    } else {
        return Ok(false);
    };
    let failed = AggregatorReport::Failed(failure);
    record_usual(gateway, job, HandOut::default(), failed).await?;
    Ok(true)
}

/// Lends the token or credentials of the job's member to the aggregator, and the answers it waited for.
///
/// A token that has ended, or ends within a minute, is not lent but refreshed first. If there is no way to a new one the
/// job fails at once, whatever the aggregator does next, and the member is IMPAIRED until the person connects again. If
/// there is none yet the job is pushed again later.
pub async fn lease(
    gateway: &Arc<Gateway>,
    aggregator: &Aggregator,
    guid: JobGuid,
) -> Result<Leased, LeaseError> {
    let mut lease = lent(gateway, aggregator, guid).await?;
    let valid_at = refresh::valid_at(gateway.now());
    if let Some(token) = lease.token.as_ref().filter(|it| !it.is_valid_at(valid_at)) {
        let at = registration(&lease.job);
        let want = Want::ValidAt(valid_at, token.generation);
        match refresh::refresh(gateway, at, lease.job.member, want).await? {
            refresh::Outcome::Current => lease = lent(gateway, aggregator, guid).await?,
            refresh::Outcome::Later(again_at) => {
                tracing::warn!("access token has ended and cannot be renewed now; not lent");
                let attempt = Attempt::of(DutyName::Job(guid), lease.job.attempt);
                attempt
                    .settle(gateway, Fate::Untried(again_at), None)
                    .await?;
                let wait = again_at.duration_since(gateway.now()).as_secs();
                let seconds = wait.max(1).unsigned_abs();
                return Err(LeaseError::Later { job: guid, seconds });
            }
            refresh::Outcome::Ended => return end(gateway, &lease.job).await,
        }
    }
    let Lent {
        job,
        sealed,
        sealed_answers,
        ..
    } = lease;
    let (client, member, subject) = (&job.client, job.member.to_string(), guid.to_string());
    let access = match sealed {
        SealedAccess::TokenSet(sealed) => {
            let bytes = unseal(gateway, &seal_contexts::token_set(client, &member), &sealed)?;
            let token_set = TokenSet::from_bytes(&bytes).map_err(|error| {
                tracing::error!(%error, "a member's token set could not be read");
                LeaseError::Unreadable
            })?;
            Access::Token {
                access_token: token_set.access_token,
                scope: token_set.scope,
                authorization_details: token_set.authorization_details,
                expires_at: token_set.expires_at,
            }
        }
        SealedAccess::Credentials(sealed) => {
            let context = seal_contexts::credentials(client, &member);
            let bytes = unseal(gateway, &context, &sealed)?;
            Access::Credentials(Credentials::from_bytes(&bytes).ok_or(LeaseError::Unreadable)?)
        }
    };
    let answers = match sealed_answers {
        None => None,
        Some(sealed) => {
            let bytes = unseal(
                gateway,
                &seal_contexts::challenge_answers(client, &subject),
                &sealed,
            )?;
            Some(Credentials::from_bytes(&bytes).ok_or(LeaseError::Unreadable)?)
        }
    };
    tracing::info!(has_answers = answers.is_some(), "lease granted");
    Ok(Leased {
        job,
        access,
        answers,
    })
}

/// Whether the aggregator has that job: it is of one of its clients. To everybody else it does not exist.
fn is_of(gateway: &Gateway, aggregator: &Aggregator, job: &Job) -> bool {
    let own = gateway.aggregator_of(&job.client);
    own.is_some_and(|own| own.name == aggregator.name)
}

/// What the store lends for a job.
struct Lent {
    job: Job,
    sealed: SealedAccess,
    token: Option<Box<TokenState>>,
    sealed_answers: Option<Vec<u8>>,
}

async fn lent(
    gateway: &Gateway,
    aggregator: &Aggregator,
    guid: JobGuid,
) -> Result<Lent, LeaseError> {
    let lease = gateway.store.lease(guid).await.map_err(Internal::from)?;
    match lease {
        Lease::Granted { job, .. } | Lease::NotRunning(job)
            if !is_of(gateway, aggregator, &job) =>
        {
            Err(LeaseError::Unknown(guid))
        }
        Lease::Granted {
            job,
            sealed,
            token,
            sealed_answers,
        } => {
            log_context::job(&job);
            Ok(Lent {
                job: *job,
                sealed,
                token,
                sealed_answers,
            })
        }
        Lease::NotRunning(_) => Err(LeaseError::NotRunning(guid)),
        Lease::Unknown => Err(LeaseError::Unknown(guid)),
    }
}

/// A job whose member's access token has ended for good fails.
async fn end(gateway: &Gateway, job: &Job) -> Result<Leased, LeaseError> {
    tracing::warn!("access token has ended; not lent");
    let ended = StatusChange {
        reason: Some(StatusReason::ConsentEnded),
        ..status_change(&AggregatorReport::Failed(JobFailure::Impaired), true)
    };
    let failed = AggregatorReport::Failed(JobFailure::Impaired);
    record(gateway, job, HandOut::default(), failed, |_| ended).await?;
    Err(LeaseError::Ended(job.guid))
}

/// The brake for the pulls of a job's registration.
fn pulls(job: &Job) -> BrakeName {
    BrakeName {
        at: registration(job),
        of: store::Refused::Pulls,
    }
}

fn registration(job: &Job) -> AtInstitution {
    AtInstitution {
        client: job.client.clone(),
        institution: job.institution.clone(),
    }
}

fn unseal(
    gateway: &Gateway,
    context: &Context<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, LeaseError> {
    gateway.sealer.open(context, sealed).map_err(|error| {
        tracing::error!(%error, "a member's token or credentials could not be decrypted");
        LeaseError::Unreadable
    })
}

/// Records a report of the aggregator about one of its jobs.
///
/// A report about a finished job changes nothing and returns the job as it ended. A second report of the
/// same questions, while they wait for their answers, changes nothing either: the person is not asked
/// again. A report that names another hand-out than the newest one is refused.
///
/// If the institution refused the access token of a member that was pulled before, the token is refreshed and the job
/// is handed out once more.
pub async fn report(
    gateway: &Arc<Gateway>,
    aggregator: &Aggregator,
    guid: JobGuid,
    of: HandOut,
    reported: AggregatorReport,
) -> Result<Job, ReportError> {
    let found = gateway.store.job(guid).await.map_err(Internal::from)?;
    let job = found.filter(|job| is_of(gateway, aggregator, job));
    let job = job.ok_or(ReportError::Unknown(guid))?;
    log_context::job(&job);
    if is_repeated(&job, &reported) {
        return Ok(job);
    }
    if !job.status.is_finished() && !job.is_handed_out_as(of) {
        return Err(ReportError::outdated(&job));
    }
    let recorded = match reported {
        AggregatorReport::Failed(JobFailure::Denied) => denied(gateway, &job, of).await?,
        reported => record_usual(gateway, &job, of, reported).await?,
    };
    match recorded {
        Recorded::Recorded(job) | Recorded::JobFinished(job) => Ok(*job),
        Recorded::Outdated(job) => Err(ReportError::outdated(&job)),
        Recorded::Unknown => Err(ReportError::Unknown(guid)),
    }
}

/// Records that the institution refused what a job pulled with.
async fn denied(gateway: &Arc<Gateway>, job: &Job, of: HandOut) -> Result<Recorded, Internal> {
    let has_ended = job.status.is_finished();
    let access = gateway.store.access(job.user, &[job.member]).await?.pop();
    let token = access.flatten().and_then(|access| access.token);
    let refused = match token.filter(|_| !has_ended) {
        Some(token) => refused(gateway, job, &token).await?,
        None => Refused::AsReported,
    };
    let (failure, reason) = match refused {
        Refused::HandedOutAgain(job) => return Ok(Recorded::Recorded(job)),
        Refused::AsReported => {
            let denied = AggregatorReport::Failed(JobFailure::Denied);
            return record_usual(gateway, job, of, denied).await;
        }
        Refused::Lost(reason) => (JobFailure::Impaired, Some(reason)),
        Refused::Unknown => (JobFailure::Unavailable, None),
    };
    let failed = AggregatorReport::Failed(failure);
    let usual = status_change(&failed, true);
    let change = StatusChange {
        reason: reason.or(usual.reason),
        ..usual
    };
    record(gateway, job, of, failed, |_| change).await
}

/// What follows when the institution refused an access token where data is pulled.
enum Refused {
    /// It is recorded as it was reported: the member was never pulled, or there is nothing to refresh with.
    AsReported,
    /// There is a new token.
    HandedOutAgain(Box<Job>),
    /// The connection is lost.
    Lost(StatusReason),
    /// Not known yet, or the institution refuses everybody: the job fails, and nothing else changes.
    Unknown,
}

async fn refused(
    gateway: &Arc<Gateway>,
    job: &Job,
    token: &TokenState,
) -> Result<Refused, Internal> {
    log_context::job(job);
    let member = gateway.store.member(job.user, job.member).await?;
    let was_pulled = member.is_some_and(|it| it.successfully_aggregated_at.is_some());
    if !was_pulled || !token.is_renewable {
        return Ok(Refused::AsReported);
    }
    let at = registration(job);
    if job.is_with_new_token {
        let pulls = pulls(job);
        let counts = brakes::count_refusal(gateway, &pulls, job.member).await?;
        return Ok(match counts {
            true => Refused::Lost(StatusReason::Revoked),
            false => Refused::Unknown,
        });
    }
    let want = Want::Other(token.generation);
    match refresh::refresh(gateway, at, job.member, want).await? {
        refresh::Outcome::Current => {
            let again = gateway.store.push_again(job.guid, gateway.now()).await?;
            tracing::info!(
                "the institution refused the access token; the job is handed out again with a new one"
            );
            // Perhaps the same report came twice.
            let again = match again {
                Some(job) => Some(job),
                None => gateway.store.job(job.guid).await?,
            };
            Ok(again.map_or(Refused::Unknown, |job| {
                Refused::HandedOutAgain(Box::new(job))
            }))
        }
        refresh::Outcome::Ended => Ok(Refused::Lost(StatusReason::Revoked)),
        refresh::Outcome::Later(_) => Ok(Refused::Unknown),
    }
}

/// Records a report with its usual change of the member's status.
async fn record_usual(
    gateway: &Gateway,
    job: &Job,
    of: HandOut,
    reported: AggregatorReport,
) -> Result<Recorded, Internal> {
    let status_change = |is_oauth| status_change(&reported, is_oauth);
    record(gateway, job, of, reported.clone(), status_change).await
}

/// Records a report, with that change of the member's status; it is told whether the member connects by OAuth.
async fn record(
    gateway: &Gateway,
    job: &Job,
    of: HandOut,
    reported: AggregatorReport,
    status_change: impl Fn(bool) -> StatusChange,
) -> Result<Recorded, Internal> {
    if reported == AggregatorReport::Started && job.status == JobStatus::Queued {
        tracing::debug!("started before it was handed out");
    }
    let member = gateway.store.member(job.user, job.member).await?;
    let is_oauth = member.is_none_or(|member| member.is_oauth);
    let status_change = status_change(is_oauth);
    let aggregator = gateway.aggregator_of(&job.client);
    let patience = aggregator.map_or(Duration::ZERO, |it| match reported {
        AggregatorReport::Challenged(_) => it.answer_deadline,
        AggregatorReport::Started
        | AggregatorReport::Succeeded(_)
        | AggregatorReport::Failed(_) => it.deadline,
    });
    let succeeded = matches!(reported, AggregatorReport::Succeeded(_));
    let now = gateway.now();
    let reported = Reported {
        job: job.guid,
        of,
        due_at: now + patience,
        background_due: background::next(gateway, &job.client, &job.institution),
        status_change,
        changed: notices(gateway, job, &reported, &status_change),
        report: named(gateway, job, reported),
    };
    let recorded = gateway.store.record_report(&reported, now).await?;
    if let Recorded::Recorded(job) = &recorded {
        if is_oauth && succeeded {
            brakes::granted(gateway, &pulls(job)).await?;
        }
        let (status, failure) = (job.status.name(), job.failure.map(JobFailure::name));
        tracing::info!(status, failure, "job reported");
        let labels = [job.client.as_str(), job.institution.as_str(), status];
        gateway.metrics.job_reports.count(labels);
    }
    Ok(recorded)
}

/// Whether it was reported already and the response was lost: exactly these questions wait for their answers, or the job
/// is to be handed out again because its token was denied.
fn is_repeated(job: &Job, reported: &AggregatorReport) -> bool {
    let is_denied = *reported == AggregatorReport::Failed(JobFailure::Denied);
    let is_back = job.status == JobStatus::Queued && job.is_with_new_token;
    is_asked_already(job, reported) || is_denied && is_back
}

/// Whether exactly these questions wait for their answers already: then the response to the first report
/// was lost.
fn is_asked_already(job: &Job, reported: &AggregatorReport) -> bool {
    let AggregatorReport::Challenged(questions) = reported else {
        return false;
    };
    let is_same = |(asked, question): (&Challenge, &Question)| {
        asked.field_name == question.field_name
            && asked.label == question.label
            && asked.kind == question.kind
    };
    job.status == JobStatus::Challenged
        && job.challenges.len() == questions.len()
        && job.challenges.iter().zip(questions).all(is_same)
}

/// The report as the store keeps it: each question gets a guid.
fn named(gateway: &Gateway, job: &Job, reported: AggregatorReport) -> JobReport {
    match reported {
        AggregatorReport::Started => JobReport::Started,
        AggregatorReport::Succeeded(pulled) => JobReport::Succeeded(pulled),
        AggregatorReport::Failed(failure) => JobReport::Failed(failure),
        AggregatorReport::Challenged(questions) => JobReport::Challenged(
            questions
                .into_iter()
                .map(|question| Challenge {
                    guid: CredentialGuid::new(gateway.random.as_ref(), job.guid.partition()),
                    field_name: question.field_name,
                    label: question.label,
                    kind: question.kind,
                })
                .collect(),
        ),
    }
}

/// The status that a report leads to.
fn status_change(reported: &AggregatorReport, is_oauth: bool) -> StatusChange {
    use ConnectionStatus as Status;
    let always = |status| StatusChange {
        at_first: Some(status),
        later: Some(status),
        is_refusal: false,
        reason: None,
    };
    let failure = match reported {
        AggregatorReport::Started => return StatusChange::default(),
        AggregatorReport::Succeeded(_) => return always(Status::Connected),
        AggregatorReport::Challenged(_) => return always(Status::Challenged),
        AggregatorReport::Failed(failure) => failure,
    };
    match failure {
        JobFailure::Denied => StatusChange {
            at_first: Some(Status::Denied),
            // A consent that worked once has ended; credentials that worked once were changed.
            later: Some(match is_oauth {
                true => Status::Impaired,
                false => Status::Denied,
            }),
            is_refusal: true,
            reason: Some(StatusReason::Revoked),
        },
        JobFailure::Rejected => StatusChange {
            is_refusal: true,
            ..always(Status::Rejected)
        },
        JobFailure::Locked => always(Status::Locked),
        JobFailure::Impeded => always(Status::Impeded),
        JobFailure::Impaired => always(Status::Impaired),
        JobFailure::Failed => StatusChange {
            at_first: Some(Status::Failed),
            ..StatusChange::default()
        },
        // The consent is still valid although the first pull failed; credentials have not been accepted
        // yet.
        JobFailure::Unavailable => StatusChange {
            at_first: (!is_oauth).then_some(Status::Failed),
            ..StatusChange::default()
        },
        JobFailure::Degraded => always(Status::Degraded),
        JobFailure::Disconnected => always(Status::Disconnected),
        JobFailure::Reconnected => always(Status::Reconnected),
        JobFailure::Discontinued => always(Status::Discontinued),
        JobFailure::Closed => always(Status::Closed),
        JobFailure::Disabled => always(Status::Disabled),
        JobFailure::Unanswered => always(Status::Expired),
        // The step that stores the new credentials decides the member's status.
        JobFailure::Replaced => StatusChange::default(),
    }
}

/// Whether every status that the change may lead to is sent by the Connection Status webhook; PREVENTED,
/// after a refusal, is.
fn is_told_as_connection_status(status_change: &StatusChange) -> bool {
    let mut statuses = status_change
        .at_first
        .iter()
        .chain(&status_change.later)
        .peekable();
    statuses.peek().is_some() && statuses.all(|status| status.is_told_as_connection_status())
}

fn notices(
    gateway: &Gateway,
    job: &Job,
    reported: &AggregatorReport,
    status_change: &StatusChange,
) -> Vec<Notice> {
    let kinds: &[EventKind] = match reported {
        AggregatorReport::Started => &[],
        AggregatorReport::Succeeded(_) => &[
            EventKind::MemberUpdated,
            EventKind::Aggregation,
            EventKind::InitialDataReady,
            EventKind::JobStatus,
        ],
        AggregatorReport::Challenged(_) | AggregatorReport::Failed(_)
            if is_told_as_connection_status(status_change) =>
        {
            &[
                EventKind::MemberUpdated,
                EventKind::ConnectionStatus,
                EventKind::JobStatus,
            ]
        }
        AggregatorReport::Challenged(_) | AggregatorReport::Failed(_) => {
            &[EventKind::MemberUpdated, EventKind::JobStatus]
        }
    };
    match gateway.clients.get(&job.client) {
        Some(client) => gateway.notices(client, kinds, job.guid.partition()),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(failure: JobFailure, is_oauth: bool) -> StatusChange {
        status_change(&AggregatorReport::Failed(failure), is_oauth)
    }

    #[test]
    fn each_failure_makes_of_the_member_what_is_documented() {
        use ConnectionStatus as Status;
        let all = |status| (Some(status), Some(status));
        // Of an OAuth member at first and later, of a standard one at first and later.
        for (failure, oauth, standard) in [
            (
                JobFailure::Denied,
                (Some(Status::Denied), Some(Status::Impaired)),
                all(Status::Denied),
            ),
            (
                JobFailure::Rejected,
                all(Status::Rejected),
                all(Status::Rejected),
            ),
            (JobFailure::Locked, all(Status::Locked), all(Status::Locked)),
            (
                JobFailure::Impeded,
                all(Status::Impeded),
                all(Status::Impeded),
            ),
            (
                JobFailure::Impaired,
                all(Status::Impaired),
                all(Status::Impaired),
            ),
            (
                JobFailure::Failed,
                (Some(Status::Failed), None),
                (Some(Status::Failed), None),
            ),
            (
                JobFailure::Unavailable,
                (None, None),
                (Some(Status::Failed), None),
            ),
            (
                JobFailure::Degraded,
                all(Status::Degraded),
                all(Status::Degraded),
            ),
            (
                JobFailure::Disconnected,
                all(Status::Disconnected),
                all(Status::Disconnected),
            ),
            (
                JobFailure::Reconnected,
                all(Status::Reconnected),
                all(Status::Reconnected),
            ),
            (
                JobFailure::Discontinued,
                all(Status::Discontinued),
                all(Status::Discontinued),
            ),
            (JobFailure::Closed, all(Status::Closed), all(Status::Closed)),
            (
                JobFailure::Disabled,
                all(Status::Disabled),
                all(Status::Disabled),
            ),
            (
                JobFailure::Unanswered,
                all(Status::Expired),
                all(Status::Expired),
            ),
            (JobFailure::Replaced, (None, None), (None, None)),
        ] {
            for (is_oauth, expected) in [(true, oauth), (false, standard)] {
                let status_change = failed(failure, is_oauth);
                assert_eq!(
                    (status_change.at_first, status_change.later),
                    expected,
                    "{failure:?}, OAuth: {is_oauth}"
                );
                let counts = matches!(failure, JobFailure::Denied | JobFailure::Rejected);
                assert_eq!(status_change.is_refusal, counts, "{failure:?}");
            }
        }
    }

    #[test]
    fn only_documented_statuses_are_told_as_such() {
        let told: Vec<&str> = JobFailure::ALL
            .iter()
            .filter(|failure| is_told_as_connection_status(&failed(**failure, false)))
            .map(|failure| failure.name())
            .collect();
        assert_eq!(
            told,
            [
                "denied",
                "rejected",
                "locked",
                "impeded",
                "impaired",
                "unanswered"
            ]
        );
        let challenged = status_change(&AggregatorReport::Challenged(Vec::new()), true);
        assert!(is_told_as_connection_status(&challenged));
        for reported in [
            AggregatorReport::Started,
            AggregatorReport::Succeeded(Pulled::default()),
        ] {
            assert!(!is_told_as_connection_status(&status_change(
                &reported, true
            )));
        }
    }
}
