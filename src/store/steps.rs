//! What the store's steps take and give back.

use jiff::Timestamp;

use crate::domain::client::UnboundCallback;
use crate::domain::data_request::DataRequest;
use crate::domain::event::Notice;
use crate::domain::id::{
    AttemptId, ClientId, InstitutionCode, JobGuid, MemberGuid, OauthStateGuid, UserGuid,
};
use crate::domain::job::{Job, JobReport, NewJob};
use crate::domain::member::{CallbackPayload, ConnectionStatus, Member, UseCase};
use crate::domain::secret::Digest;
use crate::domain::user::User;
use crate::domain::window::{
    AuthStatus, Binding, Ending, ErrorReason, NewAttempt, NewWindow, Window, WindowStatus,
};

/// What is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Events that no client has taken yet.
    pub events: Queue,
    /// Jobs that have not ended.
    pub jobs: Queue,
}

/// One of the queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// How many there are, due or not.
    pub length: u64,
    /// When the first of them is, or was, due.
    pub due_at: Option<Timestamp>,
}

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
    /// The store could not do the step, and would not if it were sent again.
    #[error("the store failed: {0}")]
    Failed(String),
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
    /// Its sealed credentials, for standard members.
    pub sealed_credentials: Option<Vec<u8>>,
    /// What its login may be known by, one for each seal key; the first is the member's own. Empty:
    /// its login is not known.
    pub fingerprints: Vec<Digest>,
    /// Its first job, for standard members that are to be aggregated at once. The member's
    /// `current_job` and `most_recent_job` name it.
    pub job: Option<NewJob>,
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
    /// This member of the same user, at the same institution, has the same login.
    Duplicate(MemberGuid),
    /// The client has no such user (any more).
    NoSuchUser,
}

/// What of a member is to change; `None` leaves a field as it is.
#[derive(Clone, Debug)]
pub struct MemberChange {
    /// Whose.
    pub user: UserGuid,
    /// Which.
    pub member: MemberGuid,
    /// `name`.
    pub name: Option<String>,
    /// `external_guid`; `Some(None)` takes it away.
    pub external_guid: Option<Option<String>>,
    /// `metadata`; `Some(None)` takes it away.
    pub metadata: Option<Option<String>>,
    /// `use_cases`.
    pub use_cases: Option<Vec<UseCase>>,
    /// `background_aggregation_is_disabled`.
    pub background_aggregation_is_disabled: Option<bool>,
    /// The newest `X-CALLBACK-PAYLOAD`.
    pub callback_payload: Option<CallbackPayload>,
    /// What its jobs are asked for from now on.
    pub data_request: Option<DataRequest>,
    /// New credentials, for standard members.
    pub credentials: Option<NewCredentials>,
    /// Told with the member as changed.
    pub updated: Vec<Notice>,
}

/// Credentials about to replace a member's.
#[derive(Clone, Debug)]
pub struct NewCredentials {
    /// The credentials, sealed.
    pub sealed: Vec<u8>,
    /// As in [`NewMember`].
    pub fingerprints: Vec<Digest>,
    /// The job that tries them; `None`: nothing is started.
    pub job: Option<NewJob>,
}

/// What a [`MemberChange`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberUpdate {
    /// The member as changed.
    Updated(Box<Member>),
    /// Another of the client's members has that `external_guid`. Nothing changed.
    ExternalGuidTaken(MemberGuid),
    /// This member of the same user, at the same institution, has the same login. Nothing changed.
    Duplicate(MemberGuid),
    /// The user has no such member.
    NoSuchMember,
}

/// An aggregation about to be ordered.
#[derive(Clone, Debug)]
pub struct JobOrder {
    /// Whose.
    pub user: UserGuid,
    /// Of which member.
    pub member: MemberGuid,
    /// The job.
    pub job: NewJob,
    /// The newest `X-CALLBACK-PAYLOAD`; `None` leaves the member's.
    pub callback_payload: Option<CallbackPayload>,
    /// Told with the member as being aggregated.
    pub updated: Vec<Notice>,
}

/// What a [`JobOrder`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Ordered {
    /// The job is queued; the member as it is now.
    Queued(Box<Member>),
    /// One is under way already. Nothing changed.
    UnderWay(Box<Member>),
    /// The member holds neither grant nor credentials, or its status rules an aggregation out
    /// ([`ConnectionStatus::may_be_aggregated`]). Nothing changed.
    Unfit(Box<Member>),
    /// The user has no such member.
    NoSuchMember,
}

/// The answers to a job's challenges, about to be kept.
#[derive(Clone, Debug)]
pub struct Answering {
    /// Whose member.
    pub user: UserGuid,
    /// Which.
    pub member: MemberGuid,
    /// The job whose questions are answered.
    pub job: JobGuid,
    /// The round they were asked in; questions of another round are not answered by these.
    pub round: u32,
    /// The answers, sealed.
    pub sealed_answers: Vec<u8>,
    /// The newest `X-CALLBACK-PAYLOAD`; `None` leaves the member's.
    pub callback_payload: Option<CallbackPayload>,
    /// Told with the member as changed.
    pub updated: Vec<Notice>,
}

/// What an [`Answering`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// The member is RESUMED, its job due again.
    Yes(Box<Member>),
    /// The member is not CHALLENGED by that round of that job (any more). Nothing changed.
    NotAsked(Box<Member>),
    /// The user has no such member.
    NoSuchMember,
}

/// What of a user is to change; `None` leaves a field as it is, `Some(None)` takes it away.
#[derive(Clone, Debug)]
pub struct UserChange {
    /// The tenant.
    pub client: ClientId,
    /// Which user.
    pub user: UserGuid,
    /// The client's own name for the user.
    pub id: Option<Option<String>>,
    /// `email`.
    pub email: Option<Option<String>>,
    /// `metadata`.
    pub metadata: Option<Option<String>>,
    /// `is_disabled`.
    pub is_disabled: Option<bool>,
}

/// What a [`UserChange`] led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserUpdate {
    /// The user as changed.
    Updated(Box<User>),
    /// Another of the client's users has that `id`. Nothing changed.
    IdTaken(UserGuid),
    /// The client has no such user.
    NoSuchUser,
}

/// A request with an `Idempotency-Key`.
#[derive(Clone, Debug)]
pub struct IdempotentRequest {
    /// The tenant.
    pub client: ClientId,
    /// Digest of whose key it is and of the key.
    pub key: Digest,
    /// Digest of what is asked: method, path, query and body.
    pub request: Digest,
    /// Until when nobody else may work on it: longer than a request can take.
    pub held_until: Timestamp,
    /// Until when the answer is kept.
    pub expires_at: Timestamp,
}

/// What an [`IdempotentRequest`] meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idempotence {
    /// Nothing: it is to be done, and its answer kept or the key given back.
    First,
    /// The same request is being worked on.
    UnderWay,
    /// The same request was answered; the sealed answer.
    Answered(Vec<u8>),
    /// Another request was made with this key.
    Differs,
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
    /// A look before another step: claims and changes nothing, whatever the policy.
    Look,
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
    /// Whether Continue made a newer one in its place.
    pub is_replaced: bool,
}

impl AttemptRecord {
    /// Whether one of the bindings a browser shows is that of this attempt, whose id is `attempt`.
    pub fn is_held_by(&self, attempt: &AttemptId, browser: &[Binding]) -> bool {
        browser
            .iter()
            .any(|shown| shown.attempt == *attempt && shown.digest.matches(&self.binding))
    }

    /// Whether its browser may still come back from the institution with an answer to it.
    pub fn is_unanswered(&self) -> bool {
        !self.is_replaced && self.window.status == WindowStatus::Opened
    }
}

/// A connection about to be committed.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The window, which must be `Returned`.
    pub window: OauthStateGuid,
    /// Another of the user's members that receives the grant, because [`Committed::Duplicate`] named
    /// it; `None`: the window's own.
    pub inbound: Option<MemberGuid>,
    /// What the login may be known by, one for each seal key; the first becomes the member's own.
    /// Empty: the institution does not say who signed in, and nothing is compared.
    pub fingerprints: Vec<Digest>,
    /// The sealed grant, replacing the receiving member's earlier one.
    pub sealed_grant: Vec<u8>,
    /// The job to queue, unless aggregation is skipped. One of the receiving member that is under way is
    /// replaced either way.
    pub job: Option<NewJob>,
    /// The newest `X-CALLBACK-PAYLOAD`; `None` leaves the receiving member's.
    pub callback_payload: Option<CallbackPayload>,
    /// Told with the outbound member as it was, under its next revision, when a merge removes it.
    pub deleted: Vec<Notice>,
    /// Told with the member as connected.
    pub updated: Vec<Notice>,
    /// Told with the window as succeeded.
    pub finished: Vec<Notice>,
}

/// What a [`Connection`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Committed {
    /// The receiving member is connected.
    Yes(Box<Subject>),
    /// This other member of the user, at the same institution, has the same login. Nothing changed.
    Duplicate(MemberGuid),
    /// The window's member is known to belong to another login, and no other member has this one.
    /// Nothing changed.
    OtherLogin,
    /// The window is no longer `Returned` (expired, superseded or deleted meanwhile). Nothing
    /// changed, and the grant must be given back.
    Over,
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
    /// The status that it must still have, where what was seen decides; `None`: any unfinished one.
    pub only_in: Option<WindowStatus>,
    /// What the institution said, for the operator.
    pub detail: Option<String>,
    /// The member the login turned out to belong to, where that is why it failed.
    pub inbound: Option<MemberGuid>,
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
    /// Told with the member as it was, under its next revision.
    pub deleted: Vec<Notice>,
    /// Told with its unfinished window as errored, if there was one.
    pub finished: Vec<Notice>,
}

/// What asking for what a job pulls with led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Lease {
    /// The job is pushed or started, and its member has what to pull with.
    Granted {
        /// The job.
        job: Box<Job>,
        /// What to pull with, sealed.
        sealed: SealedMeans,
        /// The answers to the job's newest challenges, sealed.
        sealed_answers: Option<Vec<u8>>,
    },
    /// The job is finished, waits for an answer, or was never pushed.
    Over,
    /// There is no such job, or its member has nothing to pull with.
    Unknown,
}

/// What a member's data is pulled with, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealedMeans {
    /// An OAuth member's grant.
    Grant(Vec<u8>),
    /// A standard member's credentials.
    Credentials(Vec<u8>),
}

/// A report about to be recorded.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Which job.
    pub job: JobGuid,
    /// What the aggregator (or our own patience) says.
    pub report: JobReport,
    /// The new due time after `Started` and `Challenged`.
    pub due_at: Timestamp,
    /// What it makes of the member.
    pub standing: Standing,
    /// Told with the member as changed. Of kind `ConnectionStatus` only when the status changed.
    pub changed: Vec<Notice>,
}

/// What a report makes of the member's status. A status that may not follow the member's own is not
/// written: the member stays as it is, and the rest of the report counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// If it never aggregated with success before; `None`: as it is.
    pub at_first: Option<ConnectionStatus>,
    /// Otherwise.
    pub later: Option<ConnectionStatus>,
    /// The report is a refusal: it is counted, and the third in a row
    /// ([`REFUSALS_THAT_PREVENT`](crate::domain::member::REFUSALS_THAT_PREVENT)) makes a standard
    /// member PREVENTED instead. Success begins the count anew.
    pub is_refusal: bool,
}

/// What a [`Reported`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// It is recorded; the job as it is now.
    Yes(Box<Job>),
    /// The job was finished before, or its questions were answered. Nothing changed.
    Over(Box<Job>),
    /// There is no such job.
    Unknown,
}
