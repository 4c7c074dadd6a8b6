//! The aggregator's endpoints: claim jobs, lease the token or credentials of one, and report on it
//! (`docs/AGGREGATION.md`).

mod questions;

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::app_state::AppState;
use super::auth::AggregatorAccess;
use super::body::{Field, FieldError, Fields, Number, Sent, Word};
use super::endpoints::{Endpoints, endpoint};
use super::json;
use super::params::JobPath;
use super::problem::Problem;
use super::requests::{ClaimRequestBody, ReportRequestBody, ReportStatus};
use super::responses::{ClaimedBody, LeaseBody, ReportedBody, ReportedJob};
use crate::domain::id::JobGuid;
use crate::domain::job::{HandOut, JobFailure, Pulled};
use crate::flow::aggregate::{self, AggregatorReport};
use crate::flow::claim::{self, ClaimRequest};

/// How many jobs a claim is for that does not say it.
const USUAL_CLAIM: u32 = 10;

/// Its routes.
pub fn routes() -> Endpoints {
    Endpoints::new()
        .and(endpoint!(claim_jobs))
        .and(endpoint!(lease))
        .and(endpoint!(report))
}

/// Hand out jobs of your clients that are due, to an aggregator with `mode = "pull"`.
///
/// If none is due, the response waits until one is, for `wait_seconds` at most; then `jobs` is empty. Each job is yours
/// for the aggregator's `deadline_seconds`. A report `started` begins them anew; without a report that ends the job, it
/// is handed out again, with an `attempt` that is one higher.
#[utoipa::path(
    post, path = "/aggregation/jobs/claim",
    operation_id = "claimJobs", tag = "Aggregator",
    request_body = ClaimRequestBody,
    responses(
        (status = 200, description = "The jobs, none or up to `max`.", body = ClaimedBody),
        (status = 409, description = "The jobs of this aggregator are pushed to it (`jobs_are_pushed`)."),
        (status = 429, description = "64 claims of this aggregator wait already; or too many wrong credentials came from this address."),
    ),
)]
pub async fn claim_jobs(
    State(app): State<AppState>,
    AggregatorAccess(aggregator): AggregatorAccess,
    Sent(body): Sent,
) -> Result<Response, Problem> {
    let sent: ClaimRequestBody = Fields::of_request(&body, "", "claim")?.take();
    let most = sent.max.bounded()?.unwrap_or(USUAL_CLAIM);
    let wait = sent.wait_seconds.bounded()?.unwrap_or_default();
    let request = ClaimRequest {
        most: usize::try_from(most).unwrap_or(usize::MAX),
        wait: Duration::from_secs(wait.into()),
    };
    let jobs = claim::claim(&app.gateway, &aggregator, request).await?;
    Ok(Json(ClaimedBody::of(&jobs)).into_response())
}

/// Lend a job its member's access token or credentials, for this job only.
#[utoipa::path(
    post, path = "/aggregation/jobs/{guid}/lease",
    operation_id = "leaseJob", tag = "Aggregator", params(JobPath),
    responses(
        (status = 200, description = "The lease.", body = LeaseBody),
        (status = 409, description = "Nothing is lent, and `error.reason` says why: the job is finished, \
            waits for an answer or was never pushed (`job_not_open`); the access token has ended, and the \
            job has failed (`token_ended`); its member's token or credentials cannot be decrypted (`unreadable`)."),
        (status = 503, description = "The access token has ended and cannot be renewed now: the job is pushed again \
            later (`token_not_renewed`). Or the store cannot be reached."),
    ),
)]
pub async fn lease(
    State(app): State<AppState>,
    AggregatorAccess(aggregator): AggregatorAccess,
    Path(guid): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let leased = aggregate::lease(&app.gateway, &aggregator, job_guid(&guid)?).await?;
    Ok(json::response(
        &headers,
        StatusCode::OK,
        &LeaseBody::from(&leased),
    ))
}

/// Report on a job: started, succeeded, challenged or failed.
///
/// A report about a finished job changes nothing; the response is the job as it ended.
#[utoipa::path(
    post, path = "/aggregation/jobs/{guid}/report",
    operation_id = "reportJob", tag = "Aggregator", params(JobPath),
    request_body = ReportRequestBody,
    responses(
        (status = 200, description = "The job as it is now.", body = ReportedBody),
        (status = 409, description = "The job was handed out again since, or will be: `round` and `attempt` are not those \
            of the newest hand-out, and nothing was changed (`outdated`)."),
    ),
)]
pub async fn report(
    State(app): State<AppState>,
    AggregatorAccess(aggregator): AggregatorAccess,
    Path(guid): Path<String>,
    Sent(body): Sent,
) -> Result<Json<ReportedBody>, Problem> {
    let sent: ReportRequestBody = Fields::parse(&body, "report")?.take();
    let of = HandOut {
        round: sent.round.read()?,
        attempt: sent.attempt.bounded()?,
    };
    let said = read_report(&sent)?;
    let guid = job_guid(&guid)?;
    let job = aggregate::report(&app.gateway, &aggregator, guid, of, said).await?;
    let job = ReportedJob {
        guid: job.guid,
        status: job.status.name(),
    };
    Ok(Json(ReportedBody { job }))
}

fn job_guid(text: &str) -> Result<JobGuid, Problem> {
    text.parse().map_err(|_| Problem::not_found("job"))
}

fn read_report(report: &ReportRequestBody) -> Result<AggregatorReport, Problem> {
    Ok(match report.status.required()? {
        ReportStatus::Started => AggregatorReport::Started,
        ReportStatus::Succeeded => AggregatorReport::Succeeded(Pulled {
            transactions_created_count: count(&report.transactions_created_count)?,
            transactions_updated_count: count(&report.transactions_updated_count)?,
        }),
        ReportStatus::Challenged => {
            let asked = report.challenges.required()?;
            AggregatorReport::Challenged(
                asked
                    .iter()
                    .map(questions::read)
                    .collect::<Result<_, _>>()?,
            )
        }
        ReportStatus::Failed => {
            AggregatorReport::Failed(report.reason.required().map_err(|_| {
                let known = JobFailure::words().join(", ");
                report
                    .reason
                    .name()
                    .must_be(format!("one of {known} when status is failed"))
            })?)
        }
    })
}

fn count(field: &Field<Number>) -> Result<u64, FieldError> {
    Ok(field.read()?.unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: Value) -> Result<AggregatorReport, String> {
        let fields = Fields::parse(body.to_string().as_bytes(), "report").expect("a body");
        read_report(&fields.take()).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn every_reason_but_ours_is_read() {
        for failure in JobFailure::ALL {
            let read = read(json!({"status": "failed", "reason": failure.name()}));
            match failure {
                JobFailure::Unanswered | JobFailure::Replaced => {
                    let error = read.unwrap_err();
                    assert!(error.contains("reason must be one of denied, "), "{error}");
                    assert!(!error.contains(failure.name()), "{error}");
                }
                failure => assert_eq!(read, Ok(AggregatorReport::Failed(*failure))),
            }
        }
    }

    #[test]
    fn a_challenge_needs_questions() {
        let error = read(json!({"status": "challenged"})).unwrap_err();
        assert!(error.contains("challenges must be a list"), "{error}");
    }
}
