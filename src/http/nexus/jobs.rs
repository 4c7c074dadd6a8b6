//! Jobs of the user's members.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};

use crate::domain::job::Job;
use crate::flow::order;
use crate::http::app_state::AppState;
use crate::http::auth::NexusUser;
use crate::http::json;
use crate::http::params::JobGuidPath;
use crate::http::problem::{ApiResult, Problem};
use crate::http::responses::{JobBody, JobResponse, MfaCredentialResponse, MfaCredentialsBody};

/// Read a job.
#[utoipa::path(
    get, path = "/jobs/{job_guid}",
    operation_id = "nexusReadJob", tag = "Nexus API", params(JobGuidPath),
    responses((status = 200, description = "The job.", body = JobBody)),
)]
pub async fn read(
    State(app): State<AppState>,
    user: NexusUser,
    Path(guid): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let job = found(&app, &user, &guid).await.map_err(Problem::in_nexus)?;
    let body = JobBody {
        job: JobResponse::from(&job),
    };
    Ok(json::response(&headers, StatusCode::OK, &body))
}

/// List the questions of a job's institution, in the form of credentials.
///
/// This is the older form of challenges; MX's own widget reads it.
#[utoipa::path(
    get, path = "/jobs/{job_guid}/mfa_credentials",
    operation_id = "nexusListMfaCredentials", tag = "Nexus API", params(JobGuidPath),
    responses((status = 200, description = "The questions.", body = MfaCredentialsBody)),
)]
pub async fn mfa_credentials(
    State(app): State<AppState>,
    user: NexusUser,
    Path(guid): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let job = found(&app, &user, &guid).await.map_err(Problem::in_nexus)?;
    let institution = app.gateway.institutions.get(&job.institution);
    let institution = institution.ok_or_else(|| Problem::not_found("institution").in_nexus())?;
    let body = MfaCredentialsBody {
        credentials: MfaCredentialResponse::list(institution.guid, &job.challenges),
    };
    Ok(json::response(&headers, StatusCode::OK, &body))
}

/// The job, if it is of one of the user's members.
async fn found(app: &AppState, user: &NexusUser, guid: &str) -> Result<Job, Problem> {
    let absent = || Problem::not_found("job");
    let guid = guid.parse().map_err(|_| absent())?;
    let job = order::job(&app.gateway, &user.user, guid).await?;
    job.ok_or_else(absent)
}
