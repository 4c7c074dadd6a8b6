//! Events: facts that changed, written in the same atomic step as the change.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::endpoint::EndpointId;
use super::form;
use super::id::{EventGuid, JobGuid};
use super::job::Pulled;
use super::member::Member;
use super::window::Window;

/// The kinds of event a client can subscribe to, one address each (CONTRACT.md 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Member, action `created`.
    MemberCreated,
    /// Member, action `updated`.
    MemberUpdated,
    /// Member, action `deleted`.
    MemberDeleted,
    /// Connection Status, for the eight statuses it is documented for.
    ConnectionStatus,
    /// Aggregation: new data after a successful aggregation.
    Aggregation,
    /// Initial Data Ready: a member's data was pulled for the first time.
    InitialDataReady,
    /// Job Status: a job has ended, or waits for an answer.
    JobStatus,
    /// Guichet's own: a member's consent ends soon.
    ConsentExpiring,
    /// Guichet's own: an OAuth state became SUCCESS or ERRORED.
    OauthStateFinished,
}

impl form::Kept for EventKind {
    type Form = String;

    fn to_form(&self) -> String {
        self.name().to_owned()
    }

    fn from_form(form: String) -> Option<Self> {
        Self::from_name(&form)
    }
}

impl EventKind {
    /// Every kind.
    pub const ALL: [EventKind; 9] = [
        Self::MemberCreated,
        Self::MemberUpdated,
        Self::MemberDeleted,
        Self::ConnectionStatus,
        Self::Aggregation,
        Self::InitialDataReady,
        Self::JobStatus,
        Self::ConsentExpiring,
        Self::OauthStateFinished,
    ];

    /// The name used by the store and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::MemberCreated => "member.created",
            Self::MemberUpdated => "member.updated",
            Self::MemberDeleted => "member.deleted",
            Self::ConnectionStatus => "connection_status.changed",
            Self::Aggregation => "aggregation.finished",
            Self::InitialDataReady => "initial_data.ready",
            Self::JobStatus => "job_status.changed",
            Self::ConsentExpiring => "consent.expiring",
            Self::OauthStateFinished => "oauth_state.finished",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What is told of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobNews {
    /// How it stands.
    pub status: ToldJobStatus,
    /// Whether nobody asked for it.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_background: bool,
}

/// How a job stands, in the names of the Job Status webhook (CONTRACT.md 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ToldJobStatus {
    /// It waits for an answer to the institution's question.
    Challenged,
    /// It has pulled the data.
    Completed,
    /// The institution refused the token or the credentials.
    Denied,
    /// It has failed otherwise.
    Halted,
    /// The institution refused the credentials for the last time.
    Prevented,
}

impl ToldJobStatus {
    /// The name in the webhook.
    pub fn name(self) -> &'static str {
        match self {
            Self::Challenged => "CHALLENGED",
            Self::Completed => "COMPLETED",
            Self::Denied => "DENIED",
            Self::Halted => "HALTED",
            Self::Prevented => "PREVENTED",
        }
    }
}

/// An event to be stored together with the change it is about.
///
/// The store adds the member (and window) as the change leaves them, so an event never shows a later
/// state.
#[derive(Clone, Copy, Debug)]
pub struct Notice {
    /// The event's name.
    pub guid: EventGuid,
    /// Its kind.
    pub kind: EventKind,
    /// Where it goes.
    pub endpoint: EndpointId,
}

/// An event as the store keeps it until its client has accepted it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The event's name: the same at every try.
    pub guid: EventGuid,
    /// Its kind.
    pub kind: EventKind,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// The member as the change left it.
    pub member: Member,
    /// The window, when the event is about one.
    pub window: Option<Window>,
    /// The job and what it pulled, when the event is about one.
    pub job: Option<(JobGuid, Pulled)>,
    /// How that job stands.
    pub job_news: Option<JobNews>,
    /// When the change happened.
    pub happened_at: Timestamp,
    /// Since when it is to be delivered: since it happened, or since it is sent again.
    pub owed_since: Timestamp,
    /// How many times it was tried, this one included.
    pub attempt: u32,
}
