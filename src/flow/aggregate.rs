//! aggregate: a queued job → pushed to the aggregator, leased, reported.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::circuits::{Rests, Target};
use super::settle::{Attempt, Place};
use super::{Gateway, Internal, background, brakes, maintenance, refresh, seal_contexts};
use crate::domain::challenge::{Challenge, ChallengeKind};
use crate::domain::credential::Credentials;
use crate::domain::duty::DutyKind;
use crate::domain::event::{EventKind, Notice};
use crate::domain::id::{CredentialGuid, JobGuid};
use crate::domain::job::{JOB_TRIES, Job, JobFailure, JobReport, JobStatus, Pulled};
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
    /// The job is finished, waits for an answer, or was never pushed.
    #[error("job {0} is finished, waits for an answer or was never pushed: nothing is lent for it")]
    NotRunning(JobGuid),
    /// The access token has ended, and there is no way to a new one. The job has failed.
    #[error("the access token of job {0} has ended and cannot be renewed")]
    Ended(JobGuid),
    /// The access token has ended, and there is no new one yet. The job is pushed again then.
    #[error(
        "the access token of job {job} has ended and cannot be renewed now: the job is pushed again in {seconds} s"
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

/// Pushes a reserved job. It fails instead if it was pushed three times already, or if nobody answered
/// its questions in time.
pub async fn push(gateway: &Arc<Gateway>, job: Job, place: Place) -> Result<(), Internal> {
    let Some(aggregator) = &gateway.aggregator else {
        return Ok(());
    };
    log_context::job(&job);
    log_context::endpoint(aggregator.url());
    if job.status == JobStatus::Challenged {
        tracing::info!(round = job.round, "nobody answered; job failed");
        report(
            gateway,
            job.guid,
            AggregatorReport::Failed(JobFailure::Unanswered),
        )
        .await?;
        return Ok(());
    }
    let is_over = DutyKind::Aggregate
        .schedule()
        .is_over(job.created_at, gateway.now());
    if job.attempt > JOB_TRIES || is_over {
        tracing::warn!("the aggregator did not report; job failed");
        report(
            gateway,
            job.guid,
            AggregatorReport::Failed(JobFailure::Unavailable),
        )
        .await?;
        return Ok(());
    }
    let attempt = Attempt::of(DutyName::Job(job.guid), job.attempt);
    if let Some(again_at) = maintenance::again_at(gateway, &job.institution) {
        tracing::debug!("the institution is not used for now; the job waits");
        drop(place);
        return attempt.settle(gateway, Fate::Untried(again_at), None).await;
    }
    let entered = match gateway.circuits.enter(&Target::Aggregator, Instant::now()) {
        Ok(entered) => entered,
        Err(Rests(rest)) => return attempt.give_back(gateway, rest).await,
    };
    let pushed = aggregator.push(&job, gateway.clock.of_day()).await;
    drop(place);
    match pushed {
        Ok(()) => {
            gateway.circuits.worked(&Target::Aggregator);
            tracing::info!("job pushed");
        }
        Err(error) => {
            tracing::warn!(%error, "job push failed");
            let asked = None;
            gateway
                .circuits
                .failed(&Target::Aggregator, entered, asked, Instant::now());
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

/// Lends the token or credentials of the job's member to the aggregator, and the answers it waited for.
///
/// A token that has ended, or ends within a minute, is not lent but refreshed first. If there is no way to a new one the
/// job fails at once, whatever the aggregator does next, and the member is IMPAIRED until the person connects again. If
/// there is none yet the job is pushed again later.
pub async fn lease(gateway: &Arc<Gateway>, guid: JobGuid) -> Result<Leased, LeaseError> {
    let mut lease = lent(gateway, guid).await?;
    let valid_at = refresh::valid_at(gateway.now());
    if let Some(token) = lease.token.as_ref().filter(|it| !it.is_valid_at(valid_at)) {
        let at = registration(&lease.job);
        let want = Want::ValidAt(valid_at, token.generation);
        match refresh::refresh(gateway, at, lease.job.member, want).await? {
            refresh::Outcome::Current => lease = lent(gateway, guid).await?,
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
            refresh::Outcome::Ended => return end(gateway, guid).await,
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

/// What the store lends for a job.
struct Lent {
    job: Job,
    sealed: SealedAccess,
    token: Option<Box<TokenState>>,
    sealed_answers: Option<Vec<u8>>,
}

async fn lent(gateway: &Gateway, guid: JobGuid) -> Result<Lent, LeaseError> {
    let lease = gateway.store.lease(guid).await.map_err(Internal::from)?;
    match lease {
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
        Lease::NotRunning => Err(LeaseError::NotRunning(guid)),
        Lease::Unknown => Err(LeaseError::Unknown(guid)),
    }
}

/// A job whose member's access token has ended for good fails.
async fn end(gateway: &Gateway, guid: JobGuid) -> Result<Leased, LeaseError> {
    tracing::warn!("access token has ended; not lent");
    let ended = StatusChange {
        reason: Some(StatusReason::ConsentEnded),
        ..status_change(&AggregatorReport::Failed(JobFailure::Impaired), true)
    };
    let failed = AggregatorReport::Failed(JobFailure::Impaired);
    record(gateway, guid, failed, |_| ended).await?;
    Err(LeaseError::Ended(guid))
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

/// Records a report of the aggregator. `None`: there is no such job.
///
/// A report about a finished job changes nothing and returns the job as it ended. A second report of the
/// same questions, while they wait for their answers, changes nothing either: the person is not asked
/// again.
///
/// If the institution refused the access token of a member that was pulled before, the token is refreshed and the job
/// is pushed once more.
pub async fn report(
    gateway: &Arc<Gateway>,
    guid: JobGuid,
    reported: AggregatorReport,
) -> Result<Option<Job>, Internal> {
    if reported != AggregatorReport::Failed(JobFailure::Denied) {
        let status_change = |is_oauth| status_change(&reported, is_oauth);
        return record(gateway, guid, reported.clone(), status_change).await;
    }
    let Some(job) = gateway.store.job(guid).await? else {
        return Ok(None);
    };
    // What was reported before it was pushed again, sent again because the response was lost.
    if job.status == JobStatus::Queued && job.is_with_new_token {
        return Ok(Some(job));
    }
    let lease = match gateway.store.lease(guid).await? {
        Lease::Granted {
            job,
            token: Some(token),
            ..
        } => Some((job, token)),
        _ => None,
    };
    let refused = match lease {
        Some((job, token)) => refused(gateway, &job, &token).await?,
        None => Refused::AsReported,
    };
    match refused {
        Refused::AsReported => {
            let status_change = |is_oauth| status_change(&reported, is_oauth);
            record(gateway, guid, reported.clone(), status_change).await
        }
        Refused::PushedAgain(job) => Ok(Some(*job)),
        Refused::Lost(reason) => {
            let failed = AggregatorReport::Failed(JobFailure::Impaired);
            let lost = StatusChange {
                reason: Some(reason),
                ..status_change(&failed, true)
            };
            record(gateway, guid, failed, |_| lost).await
        }
        Refused::Unknown => {
            let failed = AggregatorReport::Failed(JobFailure::Unavailable);
            let unchanged = status_change(&failed, true);
            record(gateway, guid, failed, |_| unchanged).await
        }
    }
}

/// What follows when the institution refused an access token where data is pulled.
enum Refused {
    /// It is recorded as it was reported: the member was never pulled, or there is nothing to refresh with.
    AsReported,
    /// There is a new token.
    PushedAgain(Box<Job>),
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
            tracing::info!("the institution refused the access token; pushed again with a new one");
            // Perhaps the same report came twice.
            let again = match again {
                Some(job) => Some(job),
                None => gateway.store.job(job.guid).await?,
            };
            Ok(again.map_or(Refused::Unknown, |job| Refused::PushedAgain(Box::new(job))))
        }
        refresh::Outcome::Ended => Ok(Refused::Lost(StatusReason::Revoked)),
        refresh::Outcome::Later(_) => Ok(Refused::Unknown),
    }
}

/// Records a report, with that change of the member's status; it is told whether the member connects by OAuth.
async fn record(
    gateway: &Gateway,
    guid: JobGuid,
    reported: AggregatorReport,
    status_change: impl Fn(bool) -> StatusChange,
) -> Result<Option<Job>, Internal> {
    let Some(job) = gateway.store.job(guid).await? else {
        return Ok(None);
    };
    log_context::job(&job);
    if is_asked_already(&job, &reported) {
        return Ok(Some(job));
    }
    if reported == AggregatorReport::Started && job.status == JobStatus::Queued {
        tracing::debug!("started before it was pushed");
    }
    let member = gateway.store.member(job.user, job.member).await?;
    let is_oauth = member.is_none_or(|member| member.is_oauth);
    let status_change = status_change(is_oauth);
    let patience = match reported {
        AggregatorReport::Challenged(_) => gateway.settings.answer_deadline,
        AggregatorReport::Started
        | AggregatorReport::Succeeded(_)
        | AggregatorReport::Failed(_) => gateway.settings.job_deadline,
    };
    let now = gateway.now();
    let reported = Reported {
        job: guid,
        due_at: now + patience,
        background_due: background::next(gateway, &job.client, &job.institution),
        status_change,
        changed: notices(gateway, &job, &reported, &status_change),
        report: named(gateway, &job, reported),
    };
    match gateway.store.record_report(&reported, now).await? {
        Recorded::Recorded(job) => {
            if is_oauth && job.status == JobStatus::Succeeded {
                brakes::granted(gateway, &pulls(&job)).await?;
            }
            let (status, failure) = (job.status.name(), job.failure.map(JobFailure::name));
            tracing::info!(status, failure, "job reported");
            let labels = [job.client.as_str(), job.institution.as_str(), status];
            gateway.metrics.job_reports.count(labels);
            Ok(Some(*job))
        }
        Recorded::JobFinished(job) => Ok(Some(*job)),
        Recorded::Unknown => Ok(None),
    }
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
