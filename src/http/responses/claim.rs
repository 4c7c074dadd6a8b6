//! The response to a claim (`docs/AGGREGATION.md`).

use serde::Serialize;
use utoipa::ToSchema;

use super::lease::PullRequest;
use crate::aggregator::JobBody;
use crate::domain::job::Job;

/// Jobs that were handed out.
#[derive(Serialize, ToSchema)]
pub struct ClaimedBody<'a> {
    /// The jobs; each is what a push of it would be.
    #[schema(value_type = Vec<ClaimedJob>)]
    jobs: Vec<JobBody<'a>>,
}

impl<'a> ClaimedBody<'a> {
    /// Of these jobs.
    pub fn of(jobs: &'a [Job]) -> Self {
        Self {
            jobs: jobs.iter().map(JobBody::from).collect(),
        }
    }
}

/// A job that was handed out.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "described, never built: the body is that of a push"
)]
pub struct ClaimedJob<'a> {
    /// How many times it was handed out in this round, this one included. Name it in your reports.
    #[schema(example = 1)]
    attempt: u32,
    /// The data that the client asks for; if empty, pull what you usually pull.
    data_request: PullRequest<'a>,
    /// The institution, by code.
    #[schema(example = "mxbank")]
    institution_code: String,
    /// Always true: nobody asked for the pull. Missing if somebody did.
    #[schema(required = false, example = true)]
    is_background: bool,
    /// The job.
    #[schema(
        pattern = "^JOB-[0-9a-f-]{36}$",
        example = "JOB-68e96dd6-eabd-42d3-9f05-416897f0746c"
    )]
    job_guid: String,
    /// Always aggregate so far; ignore a job of a kind you do not know.
    #[schema(example = "aggregate")]
    kind: String,
    /// The member whose data is pulled.
    #[schema(
        pattern = "^MBR-[0-9a-f-]{36}$",
        example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c"
    )]
    member_guid: String,
    /// How many times it was given back to be begun anew. Name it in your reports.
    #[schema(example = 0)]
    round: u32,
}
