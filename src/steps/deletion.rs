//! Deleted members.
//!
//! - A member's unfinished window ends with it, its token set (which is given back) or credentials and its unfinished
//!   job go at once, and its windows stay readable.
//! - A PENDING OAuth member is gone. Any other is soft-deleted: kept for a while, found by one read alone,
//!   and purged when another one takes its name or its login.
//! - An OAuth member that nobody connected for long is deleted by itself, unless a link of it is under way.
//! - What is kept, and what events show, is the member as it was, under its next revision, so that receivers take it
//!   for the newest.

use jiff::Timestamp;

use super::event::Snapshot;
use super::record::{
    Changes, DeletedMember, FormerName, KeptWindow, Key, List, LoginOf, Reads, Slot, View,
};
use super::revocation::owe;
use super::step::{Step, unchanged};
use crate::domain::event::Notice;
use crate::domain::id::{MemberGuid, UserGuid};
use crate::domain::member::{ConnectionStatus, Member};
use crate::domain::secret::Digest;
use crate::domain::window::{Ending, ErrorReason, WindowStatus};

/// A member about to be deleted.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// Whose.
    pub user: UserGuid,
    /// Which.
    pub member: MemberGuid,
    /// Only if it is abandoned: an OAuth member that nobody connected, without a link under way and without a sign of
    /// life since then. `None`: in any case.
    pub only_abandoned_since: Option<Timestamp>,
    /// Told with the member as it was, under its next revision.
    pub deleted: Vec<Notice>,
    /// Told with its unfinished window as errored, if there was one.
    pub finished: Vec<Notice>,
}

impl Step for Deletion {
    /// The member as it was, under its next revision; `None`: no such member.
    type Outcome = Option<Member>;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        let keys = [Key::member, Key::access, Key::consent].map(|key| key(self.member));
        Reads::of(keys).then(&["wj"])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Option<Member>, Changes) {
        let member = view.member(self.member);
        let Some(mut member) = member.filter(|member| member.user == self.user).cloned() else {
            return unchanged(None);
        };
        let newest = member.latest_window.and_then(|guid| view.window(guid));
        let is_abandoned_since = |then| is_abandoned(&member, newest, then);
        if !self.only_abandoned_since.is_none_or(is_abandoned_since) {
            return unchanged(None);
        }
        member.revision += 1;
        let mut changes = Changes::default();
        if let Some(open) = newest.filter(|newest| !newest.window.status.is_finished()) {
            let ended = open.clone().finished(
                WindowStatus::Errored(ErrorReason::SessionError, Ending::MemberDeleted),
                now,
                &mut changes,
            );
            let snapshot = Snapshot::of(&member).with_window(&ended.window);
            changes.tell(&self.finished, &snapshot, now);
            changes.put_window(ended);
        }
        changes.tell(&self.deleted, &Snapshot::of(&member), now);
        if let Some(access) = view.access(self.member) {
            owe(&mut changes, self.member, access, now);
        }
        remove(&mut changes, &member, now);
        if !is_unconnected(&member) {
            keep(&mut changes, &member, now);
        }
        (Some(member), changes)
    }
}

/// Whether it is an OAuth member that nobody connected yet. When such a member is deleted, nothing of it is kept.
pub(super) fn is_unconnected(member: &Member) -> bool {
    member.is_oauth && member.status == ConnectionStatus::Pending
}

/// Whether it is an OAuth member that nobody connected, and nothing was done about it since then: it has no link under
/// way, and its newest one, if that is still known, ended before.
fn is_abandoned(member: &Member, newest: Option<&KeptWindow>, since: Timestamp) -> bool {
    let is_quiet =
        |kept: &KeptWindow| kept.window.status.is_finished() && kept.window.updated_at <= since;
    is_unconnected(member) && member.created_at <= since && newest.is_none_or(is_quiet)
}

/// Removes a member whose window has ended.
pub(super) fn remove(changes: &mut Changes, member: &Member, now: Timestamp) {
    changes.delete(Key::member(member.guid));
    changes.delete(Key::access(member.guid));
    changes.delete(Key::consent(member.guid));
    if let Some(job) = member.current_job {
        changes.delete(Key::job(job));
    }
    if let Some(print) = &member.fingerprint {
        changes.delete(Key::login(member.user, &member.institution, print));
    }
    if let Some(window) = member.latest_window {
        let list = List::DeletedMembers(member.user);
        changes.places.push((list, Key::window(window), Some(now)));
    }
}

/// Keeps a member that was removed, and the records that say that it had its name and its login.
fn keep(changes: &mut Changes, member: &Member, now: Timestamp) {
    if let Some(print) = &member.fingerprint {
        let login = LoginOf {
            member: member.guid,
            is_deleted: true,
        };
        changes.put(Key::login(member.user, &member.institution, print), login);
    }
    if let Some(name) = &member.external_guid {
        let former = FormerName {
            member: member.guid,
        };
        changes.put(Key::former_name(member.user, name), former);
    }
    let deleted = DeletedMember {
        member: member.clone(),
        deleted_at: now,
    };
    changes.put(Key::deleted(member.guid), deleted);
    let list = List::DeletedMembers(member.user);
    changes
        .places
        .push((list, Key::deleted(member.guid), Some(now)));
}

/// Purges the soft-deleted members of the same user that had the name or the login of `member`.
pub(super) fn purge_former(
    changes: &mut Changes,
    view: &View,
    member: &Member,
    fingerprints: &[Digest],
) {
    if let Some(name) = &member.external_guid
        && let Some(former) = view.former_name(member.user, name)
    {
        changes.delete(Key::deleted(former.member));
        changes.delete(Key::former_name(member.user, name));
    }
    for print in fingerprints {
        let login = view.login(member.user, &member.institution, print);
        if let Some(former) = login.filter(|login| login.is_deleted) {
            changes.delete(Key::deleted(former.member));
            changes.delete(Key::login(member.user, &member.institution, print));
        }
    }
}

/// A soft-deleted member of a user that is being deleted.
#[derive(Clone, Debug)]
pub struct Forget {
    /// The user.
    pub user: UserGuid,
    /// The key of the member as it was.
    pub key: Key,
}

impl Step for Forget {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Partition(self.user.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([self.key.clone()])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> ((), Changes) {
        if view.record(&self.key).is_none() {
            return unchanged(());
        }
        let mut changes = Changes::default();
        changes.delete(self.key.clone());
        ((), changes)
    }
}
