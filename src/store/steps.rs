//! What the store's steps take and give back.

use jiff::Timestamp;

use crate::domain::client::UnboundCallback;
use crate::domain::event::Notice;
use crate::domain::id::{
    AttemptId, ClientId, InstitutionCode, JobGuid, MemberGuid, OauthStateGuid, UserGuid,
};
use crate::domain::job::{Job, JobReport, NewJob};
use crate::domain::member::{ConnectionStatus, Member};
use crate::domain::secret::Digest;
use crate::domain::window::{
    AuthStatus, Binding, Ending, ErrorReason, NewAttempt, NewWindow, Window,
};

/// What a store step can fail with, beside its documented outcomes.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store did not answer, or not in time. Whether the step happened may be unknown; every
    /// step can be repeated.
    #[error("the store is not available: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the store holds is not what this version writes.
    #[error("the store holds something unreadable: {0}")]
    Unreadable(String),
    /// The store must not be used as it is set up.
    #[error("{0}")]
    Unfit(String),
}

/// How an attempt to create a user ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserCreation {
    /// The user is kept.
    Created,
    /// The client already has a user of that `id`.
    IdTaken(UserGuid),
}

/// One page of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Counted from 1.
    pub page: u32,
    /// At most 1000.
    pub per_page: u32,
}

/// A page of a listing and how much there is in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
}

/// An API key as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// The key's id: the readable part of the key.
    pub id: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was retired; `None`: it works.
    pub retired_at: Option<Timestamp>,
}

/// How an attempt to add an API key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAddition {
    /// The key works.
    Added,
    /// The client already has two active keys: one must be retired first.
    TooMany,
}

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOwner {
    /// The one user it is for.
    pub user: UserGuid,
    /// The tenant.
    pub client: ClientId,
}

/// A member about to be kept, together with its first window.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// The member, revision 1. Its `latest_window` is the window's guid when there is one.
    pub member: Member,
    /// Its first window, for OAuth members.
    pub window: Option<NewWindow>,
    /// Told with the member as created.
    pub created: Vec<Notice>,
}

/// How an attempt to create a member ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberCreation {
    /// The member, and its window, are kept.
    Created,
    /// The client already has a member of that `external_guid`.
    ExternalGuidTaken(MemberGuid),
}

/// How a browser asks for a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knock {
    /// A navigation: claims under `single` and `multi`, changes nothing under `interstitial`.
    Navigate,
    /// The interstitial page's button.
    Begin,
    /// The Continue button: claims again for the browser that holds the binding.
    Continue,
}

/// A browser at a window.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The window its link names.
    pub window: OauthStateGuid,
    /// The member its link names; another one's window is unknown.
    pub member: MemberGuid,
    /// How it asks.
    pub knock: Knock,
    /// The bindings the browser shows, at most ten.
    pub browser: Vec<Binding>,
    /// The attempt that is kept if the window is claimed.
    pub attempt: NewAttempt,
}

/// What an [`Opening`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Opened {
    /// The window is claimed: `attempt` is kept, bound to this browser.
    Claimed(Box<Subject>),
    /// A page has to be shown first (`interstitial`, not yet claimed). Nothing changed.
    AskFirst(Box<Subject>),
    /// This browser claimed it before and it is unfinished. Nothing changed.
    Resumable(Box<Subject>),
    /// Another browser claimed it, or it was opened as often as it may be. Nothing changed.
    Taken(Box<Subject>),
    /// It is finished, or its deadline has passed unnoticed. Nothing changed.
    Over {
        /// The window, and the member unless it was deleted.
        window: Box<Window>,
        /// The member, unless it was deleted.
        member: Option<Box<Member>>,
        /// The newest of the window's attempts that this browser made.
        own_attempt: Option<AttemptId>,
    },
    /// There is no such window, or it is another member's.
    Unknown,
}

/// A window with its member.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The window.
    pub window: Window,
    /// The member that left through it.
    pub member: Member,
}

/// An institution's answer asking to be taken up.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The attempt its `state` names.
    pub attempt: AttemptId,
    /// The client the callback path names.
    pub client: ClientId,
    /// The institution the callback path names.
    pub institution: InstitutionCode,
    /// The bindings the browser shows.
    pub browser: Vec<Binding>,
    /// What to do when none of them is the attempt's.
    pub unbound: UnboundCallback,
    /// Told with the window as burnt.
    pub burnt: Vec<Notice>,
}

/// What a [`Claim`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Claimed {
    /// This answer, and no other, may be exchanged. The window is `Returned`.
    Yes {
        /// The window and its member.
        subject: Box<Subject>,
        /// The attempt's sealed secrets.
        sealed: Vec<u8>,
    },
    /// It arrived in another browser and the policy is `burn`: the window is
    /// `Errored(SessionError, Unbound)`, and this answer, and no other, may be redeemed and revoked.
    Burnt {
        /// The window and its member.
        subject: Box<Subject>,
        /// The attempt's sealed secrets.
        sealed: Vec<u8>,
    },
    /// It arrived in another browser and the policy is `ignore`. Nothing changed.
    Ignored,
    /// The attempt's window was claimed or finished before, or is past its deadline, or the attempt
    /// was replaced by a newer one. Nothing changed.
    Settled,
    /// There is no such attempt at that path. Nothing changed.
    Unknown,
}

/// An attempt as its outcome page needs it.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// The window it belongs to.
    pub window: Window,
    /// The window's member, unless it was deleted.
    pub member: Option<Member>,
    /// What its browser holds.
    pub binding: Digest,
}

/// A connection about to be committed.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The window, which must be `Returned`.
    pub window: OauthStateGuid,
    /// The sealed grant, replacing the member's earlier one.
    pub sealed_grant: Vec<u8>,
    /// The job to queue, unless aggregation is skipped or one is under way.
    pub job: Option<NewJob>,
    /// Told with the member as connected.
    pub updated: Vec<Notice>,
    /// Told with the window as succeeded.
    pub finished: Vec<Notice>,
}

/// A window about to be ended without success.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which one.
    pub window: OauthStateGuid,
    /// Why.
    pub reason: ErrorReason,
    /// How.
    pub ending: Ending,
    /// What the institution said, for the operator.
    pub detail: Option<String>,
    /// Told with the window as errored.
    pub finished: Vec<Notice>,
}

/// "Try again": a new window for the same member, claimed by the same browser in the same step.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The attempt that failed.
    pub failed: AttemptId,
    /// The bindings the browser shows.
    pub browser: Vec<Binding>,
    /// The new window; its options are the failed window's, its deadline counts from the opening.
    pub window: NewWindow,
    /// The new attempt.
    pub attempt: NewAttempt,
}

/// What a [`Retry`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Retried {
    /// The new window is claimed.
    Claimed(Box<Subject>),
    /// The failed attempt is not this browser's, is not known, or did not fail.
    Refused,
    /// It was retried three times, its time is over, or a newer window exists for the member.
    Over,
}

/// Which OAuth states to list.
#[derive(Clone, Copy, Debug)]
pub struct WindowQuery {
    /// Only this member's.
    pub member: Option<MemberGuid>,
    /// Only those of this status.
    pub auth_status: Option<AuthStatus>,
    /// At most this many, newest first.
    pub limit: usize,
}

/// A member about to be deleted.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// Whose.
    pub user: UserGuid,
    /// Which.
    pub member: MemberGuid,
    /// Told with the member as it was.
    pub deleted: Vec<Notice>,
    /// Told with its unfinished window as errored, if there was one.
    pub finished: Vec<Notice>,
}

/// What asking for a job's grant led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Lease {
    /// The job is unfinished and its member has a grant.
    Granted {
        /// The job.
        job: Job,
        /// The sealed grant.
        sealed_grant: Vec<u8>,
    },
    /// The job is finished, or was never pushed.
    Over,
    /// There is no such job, or its member has no grant.
    Unknown,
}

/// A report about to be recorded.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Which job.
    pub job: JobGuid,
    /// What the aggregator (or our own patience) says.
    pub report: JobReport,
    /// The new due time after `Started`.
    pub due_at: Timestamp,
    /// The member's status after a failure, if it never aggregated with success before.
    pub status_at_first: Option<ConnectionStatus>,
    /// The member's status after a failure otherwise.
    pub status_later: Option<ConnectionStatus>,
    /// Told with the member as changed. Of kind `ConnectionStatus` only when the status changed.
    pub changed: Vec<Notice>,
}

/// What a [`Reported`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// It is recorded; the job as it is now.
    Yes(Box<Job>),
    /// The job was finished before. Nothing changed.
    Over(Box<Job>),
    /// There is no such job.
    Unknown,
}
