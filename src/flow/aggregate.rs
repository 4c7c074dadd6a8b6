//! aggregate: a queued job → pushed to the aggregator, leased, reported.

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::circuits::Target;
use super::{Gateway, Internal, duties, seal_contexts};
use crate::domain::challenge::{Challenge, ChallengeKind};
use crate::domain::credential::Credentials;
use crate::domain::duty::DutyKind;
use crate::domain::event::{EventKind, Notice};
use crate::domain::id::{CredentialGuid, JobGuid};
use crate::domain::job::{JOB_TRIES, Job, JobFailure, JobReport, JobStatus, Pulled};
use crate::domain::member::ConnectionStatus;
use crate::domain::token_set::TokenSet;
use crate::log_context;
use crate::seal::Context;
use crate::store::{DutyName, Fate, Lease, Recorded, Reported, SealedAccess, Settle, StatusChange};

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
    /// The access token has ended, and there is no way yet to renew it. The job has failed.
    #[error("the access token of job {0} has ended and cannot be renewed yet")]
    Ended(JobGuid),
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
pub async fn push(gateway: &Gateway, job: Job) -> Result<(), Internal> {
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
    if job.attempt > JOB_TRIES {
        tracing::warn!("the aggregator did not report; job failed");
        report(
            gateway,
            job.guid,
            AggregatorReport::Failed(JobFailure::Unavailable),
        )
        .await?;
        return Ok(());
    }
    let name = DutyName::Job(job.guid);
    if gateway
        .circuits
        .enter(&Target::Aggregator, Instant::now())
        .is_err()
    {
        return duties::give_back(gateway, name).await;
    }
    match aggregator.push(&job, gateway.now()).await {
        Ok(()) => {
            gateway.circuits.worked(&Target::Aggregator);
            tracing::info!("job pushed");
        }
        Err(error) => {
            tracing::warn!(%error, "job push failed");
            let asked = None;
            gateway
                .circuits
                .failed(&Target::Aggregator, asked, Instant::now());
            let (now, random) = (gateway.now(), gateway.random.as_ref());
            let tries = (job.attempt, job.created_at);
            let schedule = DutyKind::Aggregate.schedule();
            let settle = Settle {
                duty: name,
                // After the last push that was not accepted it is due at once, and fails.
                fate: Fate::Postponed(schedule.next(tries, asked, now, random).unwrap_or(now)),
                tried: None,
            };
            gateway.store.settle_duty(&settle, now).await?;
        }
    }
    Ok(())
}

/// Lends the token or credentials of the job's member to the aggregator, and the answers it waited for.
///
/// A token that has ended is not lent: nothing could be pulled with it. The job fails at once, whatever
/// the aggregator does next, and the member is IMPAIRED until the person connects again.
pub async fn lease(gateway: &Gateway, guid: JobGuid) -> Result<Leased, LeaseError> {
    let lease = gateway.store.lease(guid).await.map_err(Internal::from)?;
    let (job, sealed, sealed_answers) = match lease {
        Lease::Granted {
            job,
            sealed,
            sealed_answers,
        } => (*job, sealed, sealed_answers),
        Lease::NotRunning => return Err(LeaseError::NotRunning(guid)),
        Lease::Unknown => return Err(LeaseError::Unknown(guid)),
    };
    log_context::job(&job);
    let (client, member, subject) = (&job.client, job.member.to_string(), guid.to_string());
    let access = match sealed {
        SealedAccess::TokenSet(sealed) => {
            let bytes = unseal(gateway, &seal_contexts::token_set(client, &member), &sealed)?;
            let token_set = TokenSet::from_bytes(&bytes).map_err(|error| {
                tracing::error!(%error, "a member's token set could not be read");
                LeaseError::Unreadable
            })?;
            let now = gateway.now();
            if token_set.expires_at.is_some_and(|end| end <= now) {
                tracing::warn!("access token has ended; not lent");
                report(
                    gateway,
                    guid,
                    AggregatorReport::Failed(JobFailure::Impaired),
                )
                .await?;
                return Err(LeaseError::Ended(guid));
            }
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
pub async fn report(
    gateway: &Gateway,
    guid: JobGuid,
    reported: AggregatorReport,
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
    let status_change = status_change(&reported, member.is_none_or(|member| member.is_oauth));
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
        status_change,
        changed: notices(gateway, &job, &reported, &status_change),
        report: named(gateway, &job, reported),
    };
    match gateway.store.record_report(&reported, now).await? {
        Recorded::Recorded(job) => {
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
        AggregatorReport::Succeeded(_) => &[EventKind::MemberUpdated, EventKind::Aggregation],
        AggregatorReport::Challenged(_) | AggregatorReport::Failed(_)
            if is_told_as_connection_status(status_change) =>
        {
            &[EventKind::MemberUpdated, EventKind::ConnectionStatus]
        }
        AggregatorReport::Challenged(_) | AggregatorReport::Failed(_) => {
            &[EventKind::MemberUpdated]
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
