//! The aggregation job: an order to pull one member's data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::challenge::Challenge;
use super::data_request::DataRequest;
use super::form;
use super::id::{ClientId, InstitutionCode, JobGuid, MemberGuid, UserGuid};

/// How many times a job is pushed before it fails.
pub const JOB_TRIES: u32 = 3;

/// A job as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The guid for the API and the aggregator.
    pub guid: JobGuid,
    /// The member whose data is pulled.
    pub member: MemberGuid,
    /// The user of the member.
    pub user: UserGuid,
    /// The tenant.
    pub client: ClientId,
    /// The institution.
    pub institution: InstitutionCode,
    /// How far it has come.
    pub status: JobStatus,
    /// How many times it was pushed.
    pub attempt: u32,
    /// When it is due: to be pushed, or, once pushed, to be pushed again or given up.
    #[serde(with = "form")]
    pub due_at: Timestamp,
    /// When it was queued.
    #[serde(with = "form")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(with = "form")]
    pub updated_at: Timestamp,
    /// The data that it asks for.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub data_request: DataRequest,
    /// The open questions of the institution; empty unless the job is `Challenged`.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub challenges: Vec<Challenge>,
    /// How many times the institution has asked during this job: the number of the newest questions.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub round: u32,
    /// Whether nobody asked for it: it keeps the member's data fresh.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_background: bool,
    /// Whether it was pushed again with a new access token, because the institution had refused the one before.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_with_new_token: bool,
    /// Why it failed, when it did.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub failure: Option<JobFailure>,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// It is pushed at its due time.
    Queued,
    /// Pushed, or being pushed; the aggregator has until the due time.
    Pushed,
    /// The aggregator said that it has started.
    Started,
    /// The institution has a question; the person has until the due time.
    Challenged,
    /// The data was pulled.
    Succeeded,
    /// The data was not pulled, and the job is not tried again.
    Failed,
}

impl JobStatus {
    /// Every status.
    pub const ALL: [JobStatus; 6] = [
        Self::Queued,
        Self::Pushed,
        Self::Started,
        Self::Challenged,
        Self::Succeeded,
        Self::Failed,
    ];

    /// The name the API and the store use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Pushed => "PUSHED",
            Self::Started => "STARTED",
            Self::Challenged => "CHALLENGED",
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
    /// The data that it asks for.
    pub data_request: DataRequest,
    /// Whether nobody asked for it.
    pub is_background: bool,
}

macro_rules! failures {
    ($($(#[$doc:meta])* $variant:ident $name:literal;)*) => {
        /// Why a job failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum JobFailure {
            $($(#[$doc])* $variant,)*
        }

        impl JobFailure {
            /// Every failure.
            pub const ALL: &'static [JobFailure] = &[$(JobFailure::$variant),*];

            /// The name the aggregator's API and the store use.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The failure with this name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

failures! {
    /// The institution refused the token or the credentials.
    Denied "denied";
    /// The institution did not accept the answer to its question.
    Rejected "rejected";
    /// The institution has locked the account.
    Locked "locked";
    /// The person must act at the institution first.
    Impeded "impeded";
    /// Some or all of what is needed to sign in is missing or has ended.
    Impaired "impaired";
    /// The institution does not accept the request; the same request again will not help.
    Failed "failed";
    /// The institution or the aggregator did not work; another try may.
    Unavailable "unavailable";
    /// The connection has trouble: three or more failures in a short time.
    Degraded "degraded";
    /// Three or more failures, and no success for two weeks.
    Disconnected "disconnected";
    /// The data now comes from elsewhere, and the person must be there for the first pull.
    Reconnected "reconnected";
    /// The institution is no longer offered.
    Discontinued "discontinued";
    /// The connection was closed at the institution.
    Closed "closed";
    /// Pulling is paused for now.
    Disabled "disabled";
    /// Nobody answered the institution's question in time. Only the gateway sets this.
    Unanswered "unanswered";
    /// The credentials it was to try were replaced by new ones. Only the gateway sets this.
    Replaced "replaced";
}

impl JobFailure {
    /// Whether only the gateway sets it: an aggregator may not report it.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Unanswered | Self::Replaced)
    }
}

/// What an aggregator reports of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobReport {
    /// It has begun.
    Started,
    /// It has pulled the data.
    Succeeded(Pulled),
    /// The institution has a question for the person.
    Challenged(Vec<Challenge>),
    /// It failed.
    Failed(JobFailure),
}

/// How much a job pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulled {
    /// Transactions that were not known before.
    pub transactions_created_count: u64,
    /// Transactions that changed.
    pub transactions_updated_count: u64,
}
