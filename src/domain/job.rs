//! The aggregation job: an order to pull one member's data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::challenge::Challenge;
use super::data_request::DataRequest;
use super::form;
use super::id::{ClientId, InstitutionCode, JobGuid, MemberGuid, UserGuid};

/// How many times a job is handed out in a round before it fails.
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
    /// How many times it was handed out, pushed or claimed, in this round.
    pub attempt: u32,
    /// When it is due: to be handed out, or, once it was, to be handed out again or given up.
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
    /// How many times the job was given back to be begun anew: after questions of the institution, whose number it is,
    /// with a new access token, or for what was asked for while it ran.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub round: u32,
    /// Whether nobody asked for it: it keeps the member's data fresh.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_background: bool,
    /// Whether it was pushed again with a new access token, because the institution had refused the one before.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_with_new_token: bool,
    /// What was asked for while it ran and its own request does not cover: it is handed out anew for each, once it has
    /// succeeded.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub joined: Vec<DataRequest>,
    /// Whether it was handed out anew for one of those.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_continued: bool,
    /// Why it failed, when it did.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub failure: Option<JobFailure>,
}

impl Job {
    /// Whether it ends when it is due: nobody has answered, or it was handed out for the last time. Otherwise it is then
    /// handed out.
    pub fn ends_when_due(&self) -> bool {
        self.status == JobStatus::Challenged || self.attempt >= JOB_TRIES
    }

    /// Joins what somebody asks for while it is unfinished; it is no background pull any more. Returns whether that
    /// changes it.
    pub fn join(&mut self, asked: &DataRequest) -> bool {
        let was_background = std::mem::take(&mut self.is_background);
        let known = std::iter::once(&self.data_request).chain(&self.joined);
        if known.into_iter().any(|it| it.covers(asked)) {
            return was_background;
        }
        // What waits to be handed out is read when it is.
        let own = (self.status == JobStatus::Queued).then_some(&mut self.data_request);
        for waiting in own.into_iter().chain(&mut self.joined) {
            if let Some(both) = waiting.joined(asked) {
                *waiting = both;
                return true;
            }
        }
        self.joined.push(asked.clone());
        true
    }

    /// It is to be handed out again, in a round of its own.
    pub fn begin_anew(&mut self, now: Timestamp) {
        self.status = JobStatus::Queued;
        self.challenges.clear();
        self.round += 1;
        self.attempt = 0;
        self.due_at = now;
        self.updated_at = now;
    }

    /// Whether that is its newest hand-out.
    pub fn is_handed_out_as(&self, named: HandOut) -> bool {
        // Its questions begin a round in which it was not handed out yet.
        let questions = u32::from(self.status == JobStatus::Challenged);
        let round = self.round.saturating_sub(questions);
        named.round.is_none_or(|named| named == round)
            && named.attempt.is_none_or(|named| named == self.attempt)
    }
}

/// One of the times a job was pushed or claimed, as far as a report names it: no two of one job are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HandOut {
    /// [`Job::round`]; `None`: not named.
    pub round: Option<u32>,
    /// [`Job::attempt`]; `None`: not named.
    pub attempt: Option<u32>,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// It is handed out at its due time.
    Queued,
    /// Handed out: pushed, being pushed, or claimed. The aggregator has until the due time.
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
