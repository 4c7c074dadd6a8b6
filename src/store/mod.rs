//! Memory that outlives a request.
//!
//! The methods of [`Store`] are the domain's atomic steps and reads, never generic get and set. A
//! change, and the events and jobs it causes, are one step: all of it is kept or none. Every step
//! may be sent again after [`StoreError::Unavailable`]; it then finds what the first one did.
//!
//! Two backends stand behind it, and one suite of tests (`tests/it/store_contract`) holds both to
//! what is written here. Secrets come as digests or sealed; the store never sees one in clear.
//!
//! Time is an argument: `now` is the caller's clock, in whole milliseconds.

pub mod redis;
pub mod sqlite;
mod steps;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub use steps::*;

use crate::domain::event::{Event, Notice};
use crate::domain::id::{
    AttemptId, ClientId, EventGuid, JobGuid, MemberGuid, OauthStateGuid, Partition, UserGuid,
};
use crate::domain::job::Job;
use crate::domain::member::Member;
use crate::domain::secret::Digest;
use crate::domain::user::User;
use crate::domain::window::{NewWindow, Window};
use crate::metrics::Metrics;

/// Where everything is kept.
pub struct Store {
    backend: Backend,
    metrics: Option<Arc<Metrics>>,
}

enum Backend {
    /// One file on this machine.
    Sqlite(sqlite::SqliteStore),
    /// A Redis or Valkey server.
    Redis(redis::RedisStore),
}

impl From<sqlite::SqliteStore> for Store {
    fn from(store: sqlite::SqliteStore) -> Self {
        Self {
            backend: Backend::Sqlite(store),
            metrics: None,
        }
    }
}

impl From<redis::RedisStore> for Store {
    fn from(store: redis::RedisStore) -> Self {
        Self {
            backend: Backend::Redis(store),
            metrics: None,
        }
    }
}

impl Store {
    /// The same, whose steps are measured.
    pub fn measured(self, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }
}

/// How long things are kept after they ended.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Finished windows and dead events: the timeline.
    pub finished: Duration,
}

/// Writes one `match` per operation, and measures it under its name.
macro_rules! on_either {
    ($self:ident.$operation:ident($($argument:expr),*)) => {{
        let metrics = $self.metrics.as_ref();
        let _timing = metrics.map(|it| it.store_step.start([stringify!($operation)]));
        match &$self.backend {
            Backend::Sqlite(store) => store.$operation($($argument),*).await,
            Backend::Redis(store) => store.$operation($($argument),*).await,
        }
    }};
}

/// The name of every step and read, as metrics have it.
pub const STEPS: &[&str] = &[
    "create_user",
    "user",
    "user_by_id",
    "users",
    "update_user",
    "delete_user",
    "add_api_key",
    "api_key",
    "api_keys",
    "retire_api_key",
    "put_api_token",
    "begin_session",
    "touch_session",
    "end_sessions",
    "begin_idempotent",
    "finish_idempotent",
    "release_idempotent",
    "create_member",
    "member",
    "member_by_external_guid",
    "deleted_member",
    "update_member",
    "order_job",
    "answer_challenges",
    "members",
    "owner_of_member",
    "delete_member",
    "mint_window",
    "open_window",
    "claim_callback",
    "hold_answer",
    "held_answer",
    "attempt",
    "commit_connected",
    "fail_window",
    "retry_window",
    "windows",
    "window",
    "owner_of_window",
    "overdue_windows",
    "purge",
    "reserve_jobs",
    "postpone_job",
    "job",
    "lease",
    "record_report",
    "reserve_events",
    "finish_event",
    "postpone_event",
    "bury_event",
    "queues",
    "probe",
];

/// How many posted answers are held for one attempt; the oldest gives way to another.
pub const HELD_ANSWERS: u32 = 8;

/// How long an exchange may take from the claim of its answer to the commit: twice an institution's
/// longest time limit, for the code and for who signed in, and the patience with a store that is
/// away. A window cut off in between ends then.
pub const SETTLING: Duration = Duration::from_secs(150);

/// How long a deleted member is kept before it is purged (contract section 1.4).
pub const SOFT_DELETED: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What every step gives.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Users, API keys and sessions.
impl Store {
    /// Keeps a new user. A user's `id`, where given, is unique within its client.
    pub async fn create_user(&self, user: &User) -> Result<UserCreation> {
        on_either!(self.create_user(user))
    }

    /// The client's user of that guid.
    pub async fn user(&self, client: &ClientId, user: UserGuid) -> Result<Option<User>> {
        on_either!(self.user(client, user))
    }

    /// The client's user of that `id`.
    pub async fn user_by_id(&self, client: &ClientId, id: &str) -> Result<Option<User>> {
        on_either!(self.user_by_id(client, id))
    }

    /// The client's users, oldest first.
    pub async fn users(&self, client: &ClientId, page: PageRequest) -> Result<Paged<User>> {
        on_either!(self.users(client, page))
    }

    /// Changes the user. Its members are given the new `id` with it, as their `user_id`.
    pub async fn update_user(&self, change: &UserChange) -> Result<UserUpdate> {
        on_either!(self.update_user(change))
    }

    /// Deletes the client's user with its sessions, SSO tokens and members. Members that are still
    /// there go without notice: callers delete them first. `None`: the client has no such user.
    pub async fn delete_user(
        &self,
        client: &ClientId,
        user: UserGuid,
        now: Timestamp,
    ) -> Result<Option<User>> {
        on_either!(self.delete_user(client, user, now))
    }

    /// Keeps a new API key of the client; at most two of a client's are active.
    pub async fn add_api_key(
        &self,
        client: &ClientId,
        id: &str,
        digest: Digest,
        now: Timestamp,
    ) -> Result<KeyAddition> {
        on_either!(self.add_api_key(client, id, digest, now))
    }

    /// The digest of the client's active key of that id.
    pub async fn api_key(&self, client: &ClientId, id: &str) -> Result<Option<Digest>> {
        on_either!(self.api_key(client, id))
    }

    /// The client's keys, oldest first, retired ones included.
    pub async fn api_keys(&self, client: &ClientId) -> Result<Vec<ApiKeyRecord>> {
        on_either!(self.api_keys(client))
    }

    /// Retires the client's key of that id; `false` when it has no such active key.
    pub async fn retire_api_key(
        &self,
        client: &ClientId,
        id: &str,
        now: Timestamp,
    ) -> Result<bool> {
        on_either!(self.retire_api_key(client, id, now))
    }

    /// Keeps an SSO token of the user until `expires_at`. It lives in the user's partition.
    pub async fn put_api_token(
        &self,
        owner: &SessionOwner,
        token: Digest,
        expires_at: Timestamp,
    ) -> Result<()> {
        on_either!(self.put_api_token(owner, token, expires_at))
    }

    /// Spends the SSO token and begins a session of its user, in one step; `None` when the token is
    /// unknown, spent or expired.
    pub async fn begin_session(
        &self,
        partition: Partition,
        token: Digest,
        session: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionOwner>> {
        on_either!(self.begin_session(partition, token, session, expires_at, now))
    }

    /// Whose session it is, moving its end to `expires_at`; `None` when unknown or expired.
    pub async fn touch_session(
        &self,
        partition: Partition,
        session: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionOwner>> {
        on_either!(self.touch_session(partition, session, expires_at, now))
    }

    /// Ends all sessions of the user, and forgets its unspent SSO tokens.
    pub async fn end_sessions(&self, user: UserGuid) -> Result<()> {
        on_either!(self.end_sessions(user))
    }
}

/// Requests that may come twice.
impl Store {
    /// Asks for an `Idempotency-Key`. Of any number of requests with one key exactly one gets `First`
    /// until it is answered, given back or `held_until` has passed; an answer is kept until
    /// `expires_at`.
    pub async fn begin_idempotent(
        &self,
        request: &IdempotentRequest,
        now: Timestamp,
    ) -> Result<Idempotence> {
        on_either!(self.begin_idempotent(request, now))
    }

    /// Keeps the sealed answer of a request that got `First`; nothing if the key was meanwhile given
    /// to another request.
    pub async fn finish_idempotent(
        &self,
        request: &IdempotentRequest,
        sealed_answer: &[u8],
        now: Timestamp,
    ) -> Result<()> {
        on_either!(self.finish_idempotent(request, sealed_answer, now))
    }

    /// Gives back the key of a request that got `First` and whose answer is not worth keeping.
    pub async fn release_idempotent(&self, request: &IdempotentRequest) -> Result<()> {
        on_either!(self.release_idempotent(request))
    }
}

/// Members.
impl Store {
    /// Keeps a new member with its first window or its credentials and first job, and the notices of
    /// its creation. An `external_guid`, where given, is unique within the client; a login, where
    /// known, within the user's living members of the institution. A soft-deleted member of the user
    /// that had the same `external_guid`, or the same login at the institution, is purged.
    pub async fn create_member(&self, new: &NewMember, now: Timestamp) -> Result<MemberCreation> {
        on_either!(self.create_member(new, now))
    }

    /// The user's member of that guid.
    pub async fn member(&self, user: UserGuid, member: MemberGuid) -> Result<Option<Member>> {
        on_either!(self.member(user, member))
    }

    /// The user's member of that `external_guid`.
    pub async fn member_by_external_guid(
        &self,
        client: &ClientId,
        user: UserGuid,
        external_guid: &str,
    ) -> Result<Option<Member>> {
        on_either!(self.member_by_external_guid(client, user, external_guid))
    }

    /// The user's soft-deleted member of that guid, for [`SOFT_DELETED`] after its deletion.
    pub async fn deleted_member(
        &self,
        user: UserGuid,
        member: MemberGuid,
        now: Timestamp,
    ) -> Result<Option<Member>> {
        on_either!(self.deleted_member(user, member, now))
    }

    /// Changes the member. New credentials replace the sealed ones and its fingerprint, begin the
    /// count of refusals anew, make it UPDATED, and fail its unfinished job as
    /// [`JobFailure::Replaced`](crate::domain::job::JobFailure::Replaced): whatever is reported of that
    /// one later is `Over`. An update that changes nothing creates no revision and no event.
    pub async fn update_member(
        &self,
        change: &MemberChange,
        now: Timestamp,
    ) -> Result<MemberUpdate> {
        on_either!(self.update_member(change, now))
    }

    /// Queues a job of the member, due at once.
    pub async fn order_job(&self, order: &JobOrder, now: Timestamp) -> Result<Ordered> {
        on_either!(self.order_job(order, now))
    }

    /// Keeps the answers to a job's challenges: the member is RESUMED, the job `Queued` and due at
    /// once, with its pushes counted anew.
    pub async fn answer_challenges(
        &self,
        answering: &Answering,
        now: Timestamp,
    ) -> Result<Answered> {
        on_either!(self.answer_challenges(answering, now))
    }

    /// The user's members, oldest first.
    pub async fn members(&self, user: UserGuid) -> Result<Vec<Member>> {
        on_either!(self.members(user))
    }

    /// Whose member it is, whoever asks: for callers that know the client and not the user.
    pub async fn owner_of_member(&self, member: MemberGuid) -> Result<Option<SessionOwner>> {
        on_either!(self.owner_of_member(member))
    }

    /// Deletes the user's member, and ends its unfinished window as
    /// `Errored(SessionError, MemberDeleted)`. Grant, credentials and unfinished job go at once, and
    /// windows stay readable. A PENDING OAuth member is gone; any other is soft-deleted: no read but
    /// [`Self::deleted_member`] finds it, and it is purged after [`SOFT_DELETED`]. What is given back,
    /// kept and told is the member as it was, under its next revision: the newest news of it. `None`:
    /// no such member.
    pub async fn delete_member(
        &self,
        deletion: &Deletion,
        now: Timestamp,
    ) -> Result<Option<Member>> {
        on_either!(self.delete_member(deletion, now))
    }
}

/// Windows and attempts.
impl Store {
    /// Keeps a new window of the member, `Issued`, and ends its unfinished one, if any, as
    /// `Errored(SessionError, Superseded)`. `superseded` is told with that one. `None`: no such
    /// member.
    pub async fn mint_window(
        &self,
        user: UserGuid,
        member: MemberGuid,
        window: &NewWindow,
        superseded: &[Notice],
        now: Timestamp,
    ) -> Result<Option<Member>> {
        on_either!(self.mint_window(user, member, window, superseded, now))
    }

    /// A browser follows a link.
    ///
    /// Exactly one of any number of browsers gets `Claimed` under `single` and `interstitial`. A
    /// claim keeps the attempt, makes the window `Opened`, and sets its deadline to the attempt's
    /// (or to as many minutes from now as its options say).
    /// A claim by `Continue` needs a binding of the window's newest attempt and ends that attempt;
    /// its deadline is not moved. Under `multi` every claim up to [`MULTI_OPENS`] keeps an attempt of its own.
    ///
    /// [`MULTI_OPENS`]: crate::domain::window::MULTI_OPENS
    pub async fn open_window(&self, opening: &Opening, now: Timestamp) -> Result<Opened> {
        on_either!(self.open_window(opening, now))
    }

    /// An institution's answer arrives. The checks run in this order: attempt known, path (client
    /// and institution of the window's member), already settled or late, binding. Exactly one of
    /// any number of claims of a window gets `Yes` or `Burnt`. After `Yes` the window's deadline is
    /// [`SETTLING`] away.
    pub async fn claim_callback(&self, claim: &Claim, now: Timestamp) -> Result<Claimed> {
        on_either!(self.claim_callback(claim, now))
    }

    /// Keeps an answer that came by POST, sealed, for the GET that follows it, until `expires_at`;
    /// `false` when no attempt of that id awaits an answer. Of one attempt [`HELD_ANSWERS`] are held: the
    /// oldest, by its end, gives way.
    pub async fn hold_answer(
        &self,
        attempt: &AttemptId,
        handle: Digest,
        sealed: &[u8],
        expires_at: Timestamp,
    ) -> Result<bool> {
        on_either!(self.hold_answer(attempt, handle, sealed, expires_at))
    }

    /// The answer held under that handle, if it has not expired.
    pub async fn held_answer(
        &self,
        partition: Partition,
        handle: Digest,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>> {
        on_either!(self.held_answer(partition, handle, now))
    }

    /// The attempt of that id with its window.
    pub async fn attempt(&self, attempt: &AttemptId) -> Result<Option<AttemptRecord>> {
        on_either!(self.attempt(attempt))
    }

    /// A member is connected: status CONNECTED, grant and fingerprint replaced, window `Succeeded`
    /// with that member as inbound, job queued in place of one under way
    /// ([`JobFailure::Replaced`](crate::domain::job::JobFailure::Replaced)), notices kept; all or nothing.
    ///
    /// The member is the window's own, or `inbound`. Where fingerprints are given, another living
    /// member of the user at the institution that has one of them is a `Duplicate`, unless it is the
    /// receiving one; `inbound` must have one of them, or the answer is as if it had not been named.
    /// When another receives the grant, the window's own member is removed if it is PENDING.
    pub async fn commit_connected(
        &self,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Committed> {
        on_either!(self.commit_connected(connection, now))
    }

    /// Ends an unfinished window without success; the member stays as it is. `None` when it was
    /// finished before, or is unknown, or is to end as `Expired` before its deadline: it was opened
    /// after somebody saw it overdue.
    pub async fn fail_window(&self, failure: &Failure, now: Timestamp) -> Result<Option<Window>> {
        on_either!(self.fail_window(failure, now))
    }

    /// "Try again", see [`Retry`]. Allowed for the browser of the failed attempt, while its window
    /// is the member's newest, was retried fewer than three times, and `now` is before
    /// [`Window::retry_ends`]. The new window's `retry_until` is the failed one's, or, where that ran
    /// out, the new attempt's deadline.
    pub async fn retry_window(&self, retry: &Retry, now: Timestamp) -> Result<Retried> {
        on_either!(self.retry_window(retry, now))
    }

    /// The user's windows, newest first.
    pub async fn windows(&self, user: UserGuid, query: WindowQuery) -> Result<Vec<Window>> {
        on_either!(self.windows(user, query))
    }

    /// The user's window of that guid. Reading a finished one for the first time sets its
    /// `first_retrieved_at`.
    pub async fn window(
        &self,
        user: UserGuid,
        window: OauthStateGuid,
        now: Timestamp,
    ) -> Result<Option<Window>> {
        on_either!(self.window(user, window, now))
    }

    /// Whose window it is, whoever asks.
    pub async fn owner_of_window(&self, window: OauthStateGuid) -> Result<Option<SessionOwner>> {
        on_either!(self.owner_of_window(window))
    }

    /// Unfinished windows whose deadline has passed, at most `limit`.
    pub async fn overdue_windows(&self, now: Timestamp, limit: usize) -> Result<Vec<Window>> {
        on_either!(self.overdue_windows(now, limit))
    }

    /// Forgets what has been kept long enough.
    pub async fn purge(&self, now: Timestamp) -> Result<()> {
        on_either!(self.purge(now))
    }
}

/// Jobs and events.
impl Store {
    /// Takes up to `limit` due jobs: each is `Pushed` (a `Started` or `Challenged` one stays so), its
    /// attempt counted, its due time moved to `hold_until`. No job is given to two callers before that.
    pub async fn reserve_jobs(
        &self,
        now: Timestamp,
        hold_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>> {
        on_either!(self.reserve_jobs(now, hold_until, limit))
    }

    /// A push failed: the job is due again at `due_at`.
    pub async fn postpone_job(
        &self,
        job: JobGuid,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        on_either!(self.postpone_job(job, due_at, now))
    }

    /// The job of that guid.
    pub async fn job(&self, job: JobGuid) -> Result<Option<Job>> {
        on_either!(self.job(job))
    }

    /// What a job under way pulls with.
    pub async fn lease(&self, job: JobGuid) -> Result<Lease> {
        on_either!(self.lease(job))
    }

    /// Records a report. Of a job that waits to be pushed after an answer, `Started` and `Challenged`
    /// are old news, and nothing changes. `Started` moves the due time. `Challenged` keeps the questions
    /// in place of earlier ones, counts the round, forgets earlier answers and moves the due time.
    /// `Succeeded` and `Failed` finish the job, forget its questions and answers, end the member's
    /// `current_job` and set `aggregated_at` (and, on success, `successfully_aggregated_at`). All but
    /// `Started` change the member's status as `standing` says and keep the notices; no end of a job
    /// leaves a member that awaits one: it becomes FAILED
    /// ([`awaits_a_job`](crate::domain::connection_status::ConnectionStatus::awaits_a_job)). `Failed(Unanswered)` is for a
    /// `Challenged` job alone: one that was answered just in time is `Over`, and goes on.
    pub async fn record_report(&self, reported: &Reported, now: Timestamp) -> Result<Recorded> {
        on_either!(self.record_report(reported, now))
    }

    /// Takes up to `limit` due events, each counted as tried once more and due again at `hold_until`.
    pub async fn reserve_events(
        &self,
        now: Timestamp,
        hold_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Event>> {
        on_either!(self.reserve_events(now, hold_until, limit))
    }

    /// The event was taken by its client, or nobody wants it any more.
    pub async fn finish_event(&self, event: EventGuid) -> Result<()> {
        on_either!(self.finish_event(event))
    }

    /// The event is due again at `due_at`.
    pub async fn postpone_event(&self, event: EventGuid, due_at: Timestamp) -> Result<()> {
        on_either!(self.postpone_event(event, due_at))
    }

    /// Nobody took the event: it is kept for the operator, and not tried again.
    pub async fn bury_event(&self, event: EventGuid, now: Timestamp) -> Result<()> {
        on_either!(self.bury_event(event, now))
    }

    /// How much is on its way.
    pub async fn queues(&self) -> Result<Queues> {
        on_either!(self.queues())
    }

    /// Whether the store takes a write: makes a small one that changes nothing anybody reads.
    pub async fn probe(&self) -> Result<()> {
        on_either!(self.probe())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_step_is_measured_under_a_name_that_is_listed() {
        let code = include_str!("mod.rs");
        let calls = code.split("on_either!(self.").skip(1);
        let names: Vec<&str> = calls.filter_map(|call| call.split('(').next()).collect();
        // The last one is this test's own text.
        let (_, steps) = names.split_last().expect("steps");
        assert_eq!(steps, super::STEPS);
    }
}
