//! The aggregator's door: lease a token for a job, report on it (`docs/AGGREGATION.md`).

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::Door;
use super::auth::AggregatorAccess;
use super::body::Fields;
use super::problem::{Kind, Problem};
use crate::domain::id::JobGuid;
use crate::domain::iso8601;
use crate::domain::job::{JobFailure, JobReport, Pulled};
use crate::flow::aggregate;
use secrecy::ExposeSecret;

/// `POST /aggregation/jobs/{guid}/lease`: the access token of the job's member, for this job only.
pub async fn lease(
    State(door): State<Door>,
    _aggregator: AggregatorAccess,
    Path(guid): Path<String>,
) -> Result<Json<Value>, Problem> {
    let leased = aggregate::lease(&door.gateway, job_guid(&guid)?).await?;
    let job = &leased.job;
    Ok(Json(json!({
        "job_guid": job.guid,
        "member_guid": job.member,
        "user_guid": job.user,
        "institution_code": job.institution,
        "access_token": leased.access_token.expose_secret(),
        "token_type": "Bearer",
        "scope": leased.scope,
        "expires_at": leased.expires_at.map(iso8601),
        "lease_expires_at": iso8601(job.due_at),
    })))
}

/// `POST /aggregation/jobs/{guid}/report`: started, succeeded or failed.
pub async fn report(
    State(door): State<Door>,
    _aggregator: AggregatorAccess,
    Path(guid): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let report = read_report(&body)?;
    let job = aggregate::report(&door.gateway, job_guid(&guid)?, report).await?;
    let job = job.ok_or_else(|| Problem::not_found("job"))?;
    Ok(Json(
        json!({"job": {"guid": job.guid, "status": job.status.name()}}),
    ))
}

fn job_guid(text: &str) -> Result<JobGuid, Problem> {
    text.parse().map_err(|_| Problem::not_found("job"))
}

fn read_report(body: &[u8]) -> Result<JobReport, Problem> {
    let fields = Fields::parse(body, "report")?;
    let wrong = |message: &str| Problem::new(Kind::Malformed, message);
    match fields.text("status")?.as_deref() {
        Some("started") => Ok(JobReport::Started),
        Some("succeeded") => Ok(JobReport::Succeeded(Pulled {
            transactions_created_count: fields.count("transactions_created_count")?,
            transactions_updated_count: fields.count("transactions_updated_count")?,
        })),
        Some("failed") => match fields.text("reason")?.as_deref() {
            Some("denied") => Ok(JobReport::Failed(JobFailure::Denied)),
            Some("impeded") => Ok(JobReport::Failed(JobFailure::Impeded)),
            Some("unavailable") => Ok(JobReport::Failed(JobFailure::Unavailable)),
            _ => Err(wrong(
                "reason must be denied, impeded or unavailable when status is failed.",
            )),
        },
        _ => Err(wrong("status must be started, succeeded or failed.")),
    }
}
