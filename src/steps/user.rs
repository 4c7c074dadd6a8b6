//! Users.
//!
//! - A user's `id` is unique within its client: see [`name`](super::name).
//! - A deleted user is no longer found after the first step of its deletion. The rest of it is deleted in small
//!   steps; if they are interrupted, the sweep goes on with them.

use jiff::Timestamp;

use super::record::{Changes, KeptUser, Key, Reads, SessionsEnded, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::{ClientId, UserGuid};
use crate::domain::user::User;

/// How an attempt to create a user ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserCreation {
    /// The user is kept.
    Created,
    /// It was created before, by the same request.
    Found(Box<User>),
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

impl PageRequest {
    /// How many entries stand before this page.
    pub fn skipped(self) -> u64 {
        u64::from(self.page.saturating_sub(1)) * u64::from(self.per_page)
    }

    /// This page of a list that is in memory.
    pub fn of<T>(self, all: impl IntoIterator<Item = T>) -> Paged<T> {
        let mut total = 0;
        let mut items = Vec::new();
        let first = self.skipped();
        let shown = first..first + u64::from(self.per_page);
        for item in all {
            if shown.contains(&total) {
                items.push(item);
            }
            total += 1;
        }
        Paged { items, total }
    }
}

/// A page of a listing and how much there is in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: u64,
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

/// A user about to be kept, whose `id` is reserved.
#[derive(Clone, Debug)]
pub struct NewUser {
    /// The user.
    pub user: User,
}

impl Step for NewUser {
    /// The user, if it was created before by the same request.
    type Outcome = Option<User>;

    fn slot(&self) -> Slot {
        Slot::Partition(self.user.guid.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::user(self.user.guid)])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> (Option<User>, Changes) {
        if let Some(kept) = view.user(self.user.guid) {
            return unchanged(Some(kept.user.clone()));
        }
        let mut changes = Changes::default();
        let kept = KeptUser {
            user: self.user.clone(),
            deleted_at: None,
        };
        changes.put(Key::user(self.user.guid), kept);
        (None, changes)
    }
}

impl Step for UserChange {
    /// What it led to, and the user as it was before.
    type Outcome = (UserUpdate, Option<User>);

    fn slot(&self) -> Slot {
        Slot::Partition(self.user.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::user(self.user)])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> (Self::Outcome, Changes) {
        let Some(before) = user_of(view, &self.client, self.user) else {
            return unchanged((UserUpdate::NoSuchUser, None));
        };
        let mut user = before.clone();
        if let Some(id) = &self.id {
            user.id.clone_from(id);
        }
        if let Some(email) = &self.email {
            user.email.clone_from(email);
        }
        if let Some(metadata) = &self.metadata {
            user.metadata.clone_from(metadata);
        }
        user.is_disabled = self.is_disabled.unwrap_or(user.is_disabled);
        let mut changes = Changes::default();
        if user != *before {
            let kept = KeptUser {
                user: user.clone(),
                deleted_at: None,
            };
            changes.put(Key::user(user.guid), kept);
        }
        let updated = UserUpdate::Updated(Box::new(user));
        ((updated, Some(before.clone())), changes)
    }
}

/// The client's user of that guid, as read.
pub fn user_of<'a>(view: &'a View, client: &ClientId, guid: UserGuid) -> Option<&'a User> {
    let kept = view.user(guid)?;
    (kept.user.client == *client && kept.deleted_at.is_none()).then_some(&kept.user)
}

/// The deletion of a user begins: it is no longer found, and its sessions end.
#[derive(Clone, Debug)]
pub struct UserDeletion {
    /// The tenant.
    pub client: ClientId,
    /// Which.
    pub user: UserGuid,
}

impl Step for UserDeletion {
    /// The user as it was; `None`: the client has no such user.
    type Outcome = Option<User>;

    fn slot(&self) -> Slot {
        Slot::Partition(self.user.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::user(self.user), Key::sessions_ended(self.user)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Option<User>, Changes) {
        let Some(user) = user_of(view, &self.client, self.user) else {
            return unchanged(None);
        };
        let mut changes = Changes::default();
        let kept = KeptUser {
            user: user.clone(),
            deleted_at: Some(now),
        };
        let before = view
            .sessions_ended(self.user)
            .map_or(0, |ended| ended.times);
        let ended = SessionsEnded {
            times: before + 1,
            is_last: true,
        };
        changes.put(Key::user(self.user), kept);
        changes.put(Key::sessions_ended(self.user), ended);
        (Some(user.clone()), changes)
    }
}

/// The end of a user's deletion, once nothing else is left of it.
#[derive(Clone, Debug)]
pub struct UserEnd {
    /// Which.
    pub user: UserGuid,
}

impl Step for UserEnd {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Partition(self.user.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::user(self.user)])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> ((), Changes) {
        let kept = view.user(self.user);
        if kept.is_none_or(|kept| kept.deleted_at.is_none()) {
            return unchanged(());
        }
        let mut changes = Changes::default();
        changes.delete(Key::user(self.user));
        ((), changes)
    }
}
