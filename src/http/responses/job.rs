//! Jobs.

use serde::Serialize;
use utoipa::ToSchema;

use super::ChallengeResponse;
use crate::domain::id::{JobGuid, MemberGuid};
use crate::domain::iso8601;
use crate::domain::job::{Job, JobFailure};

/// An aggregation job.
#[derive(Serialize, ToSchema)]
pub struct JobResponse<'a> {
    /// The open questions; empty unless `status` is CHALLENGED.
    challenges: Vec<ChallengeResponse<'a>>,
    /// When it was queued.
    #[schema(format = DateTime, example = "2026-03-01T09:30:00+00:00")]
    created_at: String,
    /// When it ended.
    #[schema(required, format = DateTime, example = "2026-03-01T09:30:20+00:00")]
    finished_at: Option<String>,
    /// Identifier.
    #[schema(value_type = String, pattern = "^JOB-[0-9a-f-]{36}$", example = "JOB-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: JobGuid,
    /// Whether it is finished.
    is_finished: bool,
    /// The member whose data it pulls.
    #[schema(value_type = String, pattern = "^MBR-[0-9a-f-]{36}$", example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    member_guid: MemberGuid,
    /// The reason, if it is FAILED.
    #[schema(required, example = json!(null))]
    reason: Option<&'static str>,
    /// How far it has come: QUEUED, PUSHED (the aggregator has it), STARTED, CHALLENGED, SUCCEEDED or
    /// FAILED.
    #[schema(example = "SUCCEEDED")]
    status: &'static str,
    /// When it last changed.
    #[schema(format = DateTime, example = "2026-03-01T09:30:20+00:00")]
    updated_at: String,
}

impl<'a> From<&'a Job> for JobResponse<'a> {
    fn from(job: &'a Job) -> Self {
        let is_finished = job.status.is_finished();
        Self {
            challenges: job.challenges.iter().map(ChallengeResponse::from).collect(),
            created_at: iso8601(job.created_at),
            finished_at: is_finished.then(|| iso8601(job.updated_at)),
            guid: job.guid,
            is_finished,
            member_guid: job.member,
            reason: job.failure.map(JobFailure::name),
            status: job.status.name(),
            updated_at: iso8601(job.updated_at),
        }
    }
}

/// One job.
#[derive(Serialize, ToSchema)]
pub struct JobBody<'a> {
    /// The job.
    pub job: JobResponse<'a>,
}
