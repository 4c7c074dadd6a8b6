//! Members: created, and changed by their member service.
//!
//! - A login, where known, is unique among the user's living members of the institution. (An
//!   `external_guid` is unique within the client: see [`name`](super::name).)
//! - An update that changes nothing creates no revision and no event.
//! - New credentials replace the sealed ones and the fingerprint, begin the count of refusals anew, make
//!   the member UPDATED, and fail its unfinished job as replaced; what that was to pull joins the new one.
//! - A user has at most [`NewMember::most_members`] members.

use jiff::Timestamp;

use super::consent_end;
use super::deletion::purge_former;
use super::event::Snapshot;
use super::link::issued;
use super::record::{
    AccessRecord, Changes, KeptJob, KeptWindow, Key, List, LoginOf, Reads, Slot, View,
};
use super::step::{Step, unchanged};
use super::tokens::NewTokens;
use crate::domain::data_request::DataRequest;
use crate::domain::event::Notice;
use crate::domain::id::{MemberGuid, UserGuid};
use crate::domain::job::{Job, JobFailure, JobStatus, NewJob};
use crate::domain::member::{CallbackPayload, ConnectionStatus, Member, UseCase};
use crate::domain::secret::Digest;
use crate::domain::window::NewWindow;

/// A member about to be kept, together with its first window.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// The member, revision 1. Its `latest_window` is the window's guid when there is one.
    pub member: Member,
    /// Its first window, for OAuth members.
    pub window: Option<NewWindow>,
    /// Its sealed credentials, for standard members.
    pub sealed_credentials: Option<Vec<u8>>,
    /// Its token set, for OAuth members that bring one: they are CONNECTED at once.
    pub tokens: Option<NewTokens>,
    /// What its login may be known by, one for each seal key; the first is the member's own. Empty:
    /// its login is not known.
    pub fingerprints: Vec<Digest>,
    /// Its first job, for standard members that are to be aggregated at once. The member's
    /// `current_job` and `most_recent_job` name it.
    pub job: Option<NewJob>,
    /// Told with the member as created.
    pub created: Vec<Notice>,
    /// How many members a user may have.
    pub most_members: u32,
}

/// How an attempt to create a member ended.
#[derive(Clone, Debug, PartialEq)]
pub enum MemberCreation {
    /// The member, and its window, are kept.
    Created,
    /// It was created before, by the same request.
    Found(Box<Member>),
    /// The client already has a member of that `external_guid`.
    ExternalGuidTaken(MemberGuid),
    /// This member of the same user, at the same institution, has the same login.
    Duplicate(MemberGuid),
    /// The user has as many members as a user may have.
    TooMany,
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

impl Step for NewMember {
    type Outcome = MemberCreation;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.guid.partition())
    }

    fn reads(&self) -> Reads {
        let member = &self.member;
        let mut keys = vec![Key::user(member.user)];
        keys.extend(logins(member, &self.fingerprints));
        let name = member.external_guid.as_deref();
        keys.extend(name.map(|name| Key::former_name(member.user, name)));
        Reads {
            count: Some(List::Members(member.user)),
            ..Reads::of(keys).and_drawn(Key::member(member.guid))
        }
    }

    fn decide(&self, view: &View, now: Timestamp) -> (MemberCreation, Changes) {
        if let Some(found) = view.member(self.member.guid) {
            return unchanged(MemberCreation::Found(Box::new(found.clone())));
        }
        let user = view.user(self.member.user);
        let is_there = user.is_some_and(|kept| {
            kept.user.client == self.member.client && kept.deleted_at.is_none()
        });
        if !is_there {
            return unchanged(MemberCreation::NoSuchUser);
        }
        if let Some(existing) = duplicate_of(view, &self.member, &self.fingerprints) {
            return unchanged(MemberCreation::Duplicate(existing));
        }
        let most = u64::from(self.most_members);
        if view.count.is_some_and(|members| members >= most) {
            return unchanged(MemberCreation::TooMany);
        }
        let mut changes = Changes {
            room: Some((List::Members(self.member.user), most)),
            ..Changes::default()
        };
        purge_former(&mut changes, view, &self.member, &self.fingerprints);
        let mut member = self.member.clone();
        member.fingerprint = None;
        set_fingerprint(&mut changes, &mut member, &self.fingerprints);
        if let Some(window) = &self.window {
            changes.put_window(KeptWindow::new(issued(&member, window, None, now)));
        }
        if let Some(sealed) = &self.sealed_credentials {
            let access = AccessRecord {
                sealed: sealed.clone().into(),
                token: None,
            };
            changes.put(Key::access(member.guid), access);
        }
        if let Some(tokens) = &self.tokens {
            changes.put(Key::access(member.guid), tokens.record(&member));
            consent_end::keep(&mut changes, &mut member, tokens.consent);
            follow(&mut member, ConnectionStatus::Connected);
        }
        if let Some(job) = &self.job {
            begin_job(&mut changes, job, None, &mut member, now);
        }
        changes.tell(&self.created, &Snapshot::of(&member), now);
        changes.put_member(member);
        (MemberCreation::Created, changes)
    }
}

impl Step for MemberChange {
    /// What it led to, and the `external_guid` that the member had before.
    type Outcome = (MemberUpdate, Option<String>);

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        let mut keys = vec![Key::member(self.member)];
        keys.extend(self.credentials.as_ref().map(|_| Key::access(self.member)));
        Reads::of(keys).then(&["j"])
    }

    fn reads_then(&self, view: &View) -> Vec<Key> {
        match (view.member(self.member), &self.credentials) {
            (Some(member), Some(new)) => logins(member, &new.fingerprints).collect(),
            _ => Vec::new(),
        }
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Self::Outcome, Changes) {
        let member = view.member(self.member);
        let Some(before) = member.filter(|member| member.user == self.user) else {
            return unchanged((MemberUpdate::NoSuchMember, None));
        };
        let mut member = self.applied_to(before.clone());
        let mut changes = Changes::default();
        // The same credentials are a change sent again because the reply was lost: no two envelopes are
        // alike.
        let kept = view.access(before.guid).map(|access| &*access.sealed);
        let credentials = self.credentials.as_ref();
        if let Some(new) = credentials.filter(|new| kept != Some(&*new.sealed)) {
            if let Some(existing) = duplicate_of(view, before, &new.fingerprints) {
                let named = before.external_guid.clone();
                return unchanged((MemberUpdate::Duplicate(existing), named));
            }
            let access = AccessRecord {
                sealed: new.sealed.clone().into(),
                token: None,
            };
            changes.put(Key::access(member.guid), access);
            set_fingerprint(&mut changes, &mut member, &new.fingerprints);
            member.refusals = 0;
            follow(&mut member, ConnectionStatus::Updated);
            let replaced = replace_job(&mut changes, view, &mut member, now);
            if let Some(job) = &new.job {
                begin_job(&mut changes, job, replaced, &mut member, now);
            }
        }
        if !changes.is_empty() || member != *before {
            changes.change_member(&mut member);
            changes.tell(&self.updated, &Snapshot::of(&member), now);
        }
        let named = before.external_guid.clone();
        ((MemberUpdate::Updated(Box::new(member)), named), changes)
    }
}

impl MemberChange {
    /// The member with the fields that the change names.
    fn applied_to(&self, mut member: Member) -> Member {
        fn set<T: Clone>(field: &mut T, new: &Option<T>) {
            if let Some(new) = new {
                field.clone_from(new);
            }
        }
        set(&mut member.name, &self.name);
        set(&mut member.external_guid, &self.external_guid);
        set(&mut member.metadata, &self.metadata);
        set(&mut member.use_cases, &self.use_cases);
        set(
            &mut member.background_aggregation_is_disabled,
            &self.background_aggregation_is_disabled,
        );
        set(&mut member.data_request, &self.data_request);
        if let Some(payload) = &self.callback_payload {
            member.callback_payload = Some(payload.clone());
        }
        member
    }
}

/// The client's own name for a member's user has changed.
#[derive(Clone, Debug)]
pub struct RenameUserOf {
    /// Which member.
    pub member: MemberGuid,
    /// The name.
    pub user_id: Option<String>,
}

impl Step for RenameUserOf {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::member(self.member)])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> ((), Changes) {
        let member = view.member(self.member);
        let Some(member) = member.filter(|member| member.user_id != self.user_id) else {
            return unchanged(());
        };
        let mut changes = Changes::default();
        changes.put_member(Member {
            user_id: self.user_id.clone(),
            ..member.clone()
        });
        ((), changes)
    }
}

/// The keys of a member's login, whichever seal key it is known under.
pub(super) fn logins(member: &Member, prints: &[Digest]) -> impl Iterator<Item = Key> {
    let login = |print| Key::login(member.user, &member.institution, print);
    prints.iter().map(login)
}

/// Another living member that is known by one of these fingerprints.
pub(super) fn duplicate_of(view: &View, member: &Member, prints: &[Digest]) -> Option<MemberGuid> {
    let known = |print| view.login(member.user, &member.institution, print);
    prints
        .iter()
        .filter_map(known)
        .find(|login| !login.is_deleted && login.member != member.guid)
        .map(|login| login.member)
}

/// Sets the member's fingerprint to the first of these; to none if there are none.
pub(super) fn set_fingerprint(changes: &mut Changes, member: &mut Member, prints: &[Digest]) {
    if let Some(before) = member.fingerprint {
        changes.delete(Key::login(member.user, &member.institution, &before));
    }
    member.fingerprint = prints.first().copied();
    if let Some(print) = &member.fingerprint {
        let login = LoginOf {
            member: member.guid,
            is_deleted: false,
        };
        changes.put(Key::login(member.user, &member.institution, print), login);
    }
}

/// Changes the member's status, unless the new one may not follow the present one. The reason for another status is gone
/// with it.
pub(super) fn follow(member: &mut Member, status: ConnectionStatus) {
    if let Ok(next) = member.status.then(status) {
        if next != member.status {
            member.status_reason = None;
        }
        member.status = next;
    }
}

/// Queues a job of the member, due at once; the member names it. What one that it replaces was to pull joins it.
pub(super) fn begin_job(
    changes: &mut Changes,
    new: &NewJob,
    replaced: Option<&Job>,
    member: &mut Member,
    now: Timestamp,
) {
    member.current_job = Some(new.guid);
    member.most_recent_job = Some(new.guid);
    let mut job = Job {
        guid: new.guid,
        member: member.guid,
        user: member.user,
        client: member.client.clone(),
        institution: member.institution.clone(),
        status: JobStatus::Queued,
        attempt: 0,
        due_at: now,
        created_at: now,
        updated_at: now,
        data_request: new.data_request.clone(),
        challenges: Vec::new(),
        round: 0,
        is_background: new.is_background,
        is_with_new_token: false,
        joined: Vec::new(),
        is_continued: false,
        failure: None,
    };
    let unserved = |job: &'_ Job| [vec![job.data_request.clone()], job.joined.clone()].concat();
    for asked in replaced.map(unserved).unwrap_or_default() {
        job.join(&asked);
    }
    changes.put_job(KeptJob {
        job,
        sealed_answers: None,
    });
}

/// Ends the member's unfinished job in favour of another; the job as it was.
pub(super) fn replace_job<'a>(
    changes: &mut Changes,
    view: &'a View,
    member: &mut Member,
    now: Timestamp,
) -> Option<&'a Job> {
    let replaced = member.current_job.take().and_then(|job| view.job(job))?;
    if replaced.job.status.is_finished() {
        return None;
    }
    changes.put_job(replaced.clone().failed(JobFailure::Replaced, now));
    Some(&replaced.job)
}

impl KeptJob {
    /// The job as it fails: it will not be tried again, and asks nothing any more.
    pub(super) fn failed(mut self, failure: JobFailure, now: Timestamp) -> Self {
        self.job.status = JobStatus::Failed;
        self.job.failure = Some(failure);
        self.job.challenges.clear();
        self.job.updated_at = now;
        self.sealed_answers = None;
        self
    }
}
