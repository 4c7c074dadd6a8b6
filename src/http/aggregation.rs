//! The aggregator's endpoints: lease the token or credentials of a job, and report on it (`docs/AGGREGATION.md`).

mod questions;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::app_state::AppState;
use super::auth::AggregatorAccess;
use super::body::{Field, FieldError, Fields, Number, Sent, Word};
use super::endpoints::{Endpoints, endpoint};
use super::json;
use super::params::JobPath;
use super::problem::Problem;
use super::requests::{ReportRequestBody, ReportStatus};
use super::responses::{LeaseBody, ReportedBody, ReportedJob};
use crate::domain::id::JobGuid;
use crate::domain::job::{JobFailure, Pulled};
use crate::flow::aggregate::{self, AggregatorReport};

/// Its routes.
pub fn routes() -> Endpoints {
    Endpoints::new()
        .and(endpoint!(lease))
        .and(endpoint!(report))
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
    _aggregator: AggregatorAccess,
    Path(guid): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let leased = aggregate::lease(&app.gateway, job_guid(&guid)?).await?;
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
    responses((status = 200, description = "The job as it is now.", body = ReportedBody)),
)]
pub async fn report(
    State(app): State<AppState>,
    _aggregator: AggregatorAccess,
    Path(guid): Path<String>,
    Sent(body): Sent,
) -> Result<Json<ReportedBody>, Problem> {
    let said = read_report(&body)?;
    let job = aggregate::report(&app.gateway, job_guid(&guid)?, said).await?;
    let job = job.ok_or_else(|| Problem::not_found("job"))?;
    let job = ReportedJob {
        guid: job.guid,
        status: job.status.name(),
    };
    Ok(Json(ReportedBody { job }))
}

fn job_guid(text: &str) -> Result<JobGuid, Problem> {
    text.parse().map_err(|_| Problem::not_found("job"))
}

fn read_report(body: &[u8]) -> Result<AggregatorReport, Problem> {
    let report: ReportRequestBody = Fields::parse(body, "report")?.take();
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
        read_report(body.to_string().as_bytes()).map_err(|problem| format!("{problem:?}"))
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
