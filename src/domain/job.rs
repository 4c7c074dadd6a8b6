//! The aggregation job: the order to pull one member's data.

use jiff::Timestamp;

use super::id::{ClientId, InstitutionCode, JobGuid, MemberGuid, UserGuid};

/// How many times a job is pushed before it is failed.
pub const JOB_TRIES: u32 = 3;

/// A job as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The name the API and the aggregator use.
    pub guid: JobGuid,
    /// Whose data to pull.
    pub member: MemberGuid,
    /// Whose member it is.
    pub user: UserGuid,
    /// The tenant.
    pub client: ClientId,
    /// From where.
    pub institution: InstitutionCode,
    /// How far it has come.
    pub status: JobStatus,
    /// How many times it was pushed.
    pub attempt: u32,
    /// When it is due: to be pushed, or, once pushed, to be pushed again or given up.
    pub due_at: Timestamp,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    /// To be pushed at its due time.
    Queued,
    /// Pushed, or being pushed; the aggregator has until the due time.
    Pushed,
    /// The aggregator said that it has started.
    Started,
    /// The data was pulled.
    Succeeded,
    /// It was not, and will not be tried again.
    Failed,
}

impl JobStatus {
    /// Every status.
    pub const ALL: [JobStatus; 5] = [
        Self::Queued,
        Self::Pushed,
        Self::Started,
        Self::Succeeded,
        Self::Failed,
    ];

    /// The name the API and the store use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Pushed => "PUSHED",
            Self::Started => "STARTED",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
        }
    }

    /// The status with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// Whether nothing more can happen to it.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A job about to be queued.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// Its name.
    pub guid: JobGuid,
}

/// Why an aggregator could not pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobFailure {
    /// The institution refused the token: the member needs to connect again.
    Denied,
    /// The person must act at the institution first.
    Impeded,
    /// The institution or the aggregator did not work; the member stays as it is.
    Unavailable,
}

/// What an aggregator reports of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobReport {
    /// It has begun.
    Started,
    /// It has pulled the data.
    Succeeded(Pulled),
    /// It could not.
    Failed(JobFailure),
}

/// How much a job pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pulled {
    /// Transactions that were not known before.
    pub transactions_created_count: u64,
    /// Transactions that changed.
    pub transactions_updated_count: u64,
}
