//! The aggregator's door: lease what a job pulls with, report on it (`docs/AGGREGATION.md`).

mod questions;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::Door;
use super::auth::AggregatorAccess;
use super::body::Fields;
use super::problem::{Kind, Problem};
use crate::domain::credential::Credentials;
use crate::domain::id::JobGuid;
use crate::domain::iso8601;
use crate::domain::job::{JobFailure, Pulled};
use crate::flow::aggregate::{self, Means, Said};

/// `POST /aggregation/jobs/{guid}/lease`: the access token or the credentials of the job's member, for
/// this job only.
pub async fn lease(
    State(door): State<Door>,
    _aggregator: AggregatorAccess,
    Path(guid): Path<String>,
) -> Result<Json<Value>, Problem> {
    let leased = aggregate::lease(&door.gateway, job_guid(&guid)?).await?;
    let job = &leased.job;
    let mut lease = json!({
        "job_guid": job.guid,
        "member_guid": job.member,
        "user_guid": job.user,
        "institution_code": job.institution,
        "data_request": job.data_request,
        "round": job.round,
        "answers": leased.answers.as_ref().map(values),
        "lease_expires_at": iso8601(job.due_at),
    });
    match &leased.means {
        Means::Token {
            access_token,
            scope,
            expires_at,
        } => {
            lease["access_token"] = access_token.expose_secret().into();
            lease["token_type"] = "Bearer".into();
            lease["scope"] = json!(scope);
            lease["expires_at"] = json!(expires_at.map(iso8601));
        }
        Means::Credentials(credentials) => lease["credentials"] = values(credentials),
    }
    Ok(Json(lease))
}

fn values(credentials: &Credentials) -> Value {
    let value = |credential: &crate::domain::credential::Credential| {
        json!({
            "guid": credential.guid,
            "field_name": credential.field_name,
            "value": credential.value.expose_secret(),
        })
    };
    credentials.0.iter().map(value).collect()
}

/// `POST /aggregation/jobs/{guid}/report`: started, succeeded, challenged or failed.
pub async fn report(
    State(door): State<Door>,
    _aggregator: AggregatorAccess,
    Path(guid): Path<String>,
    body: Bytes,
) -> Result<Json<Value>, Problem> {
    let said = read_report(&body)?;
    let job = aggregate::report(&door.gateway, job_guid(&guid)?, said).await?;
    let job = job.ok_or_else(|| Problem::not_found("job"))?;
    Ok(Json(
        json!({"job": {"guid": job.guid, "status": job.status.name()}}),
    ))
}

fn job_guid(text: &str) -> Result<JobGuid, Problem> {
    text.parse().map_err(|_| Problem::not_found("job"))
}

fn read_report(body: &[u8]) -> Result<Said, Problem> {
    let fields = Fields::parse(body, "report")?;
    let wrong = |message: String| Problem::new(Kind::Malformed, message);
    match fields.text("status")?.as_deref() {
        Some("started") => Ok(Said::Started),
        Some("succeeded") => Ok(Said::Succeeded(Pulled {
            transactions_created_count: fields.count("transactions_created_count")?,
            transactions_updated_count: fields.count("transactions_updated_count")?,
        })),
        Some("challenged") => {
            let questions = questions::read(fields.get("challenges"));
            questions.map(Said::Challenged).map_err(wrong)
        }
        Some("failed") => {
            let reason = fields.text("reason")?;
            let failure = reason
                .as_deref()
                .and_then(JobFailure::from_name)
                .filter(may_be_reported);
            failure.map(Said::Failed).ok_or_else(|| {
                let known: Vec<&str> = JobFailure::ALL
                    .iter()
                    .filter(|failure| may_be_reported(failure))
                    .map(|failure| failure.name())
                    .collect();
                wrong(format!(
                    "reason must be one of {} when status is failed.",
                    known.join(", ")
                ))
            })
        }
        _ => Err(wrong(
            "status must be started, succeeded, challenged or failed.".to_owned(),
        )),
    }
}

/// Whether it is the aggregator's to say.
fn may_be_reported(failure: &JobFailure) -> bool {
    *failure != JobFailure::Unanswered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<Said, String> {
        read_report(body.to_string().as_bytes()).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn every_reason_but_ours_is_read() {
        for failure in JobFailure::ALL {
            let read = read(json!({"status": "failed", "reason": failure.name()}));
            match failure {
                JobFailure::Unanswered => {
                    let error = read.unwrap_err();
                    assert!(error.contains("reason must be one of denied, "), "{error}");
                    assert!(!error.contains("unanswered"), "{error}");
                }
                failure => assert_eq!(read, Ok(Said::Failed(*failure))),
            }
        }
    }

    #[test]
    fn a_challenge_needs_questions() {
        let error = read(json!({"status": "challenged"})).unwrap_err();
        assert!(error.contains("challenges must be a list"), "{error}");
    }
}
