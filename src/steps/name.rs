//! Names that are unique within a client, and the client's lists of users. A name is reserved in its client's
//! slot, and the user or member that has it is in a partition's slot. One step touches one slot, so a name is
//! given in three steps:
//!
//! ```text
//! reserve ─▶ its holder is written ─▶ settle
//! ```
//!
//! - Only one reservation of a name exists at a time. If its holder is not written within [`RESERVED`],
//!   another may reserve the name. The first one learns that when it settles, and takes back what it wrote.
//! - A name is free if its holder does not use it. Who wants a held name looks up its holder and says what it
//!   found.
//! - While a name is reserved and its holder is not written yet, nobody else can have the name; the caller may
//!   ask again.
//! - A user is on the lists that it may be looked for in before it is written, and before its email address changes;
//!   it goes off them afterwards. So a list may have too many users, never too few, and who reads one looks at each
//!   user.

use std::iter;
use std::time::Duration;

use jiff::Timestamp;

use super::record::{Changes, KeptUser, Key, List, NameKind, NameOf, Reads, Record, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::id::{ClientId, MemberGuid, Partition, UserGuid};
use crate::domain::user::User;

/// How long a name stays reserved for a holder that is not written yet.
pub const RESERVED: Duration = Duration::from_secs(15);

/// A name that is unique within a client.
#[derive(Clone, Debug)]
pub struct Name {
    /// The tenant.
    pub client: ClientId,
    /// What kind of name it is.
    pub kind: NameKind,
    /// The name.
    pub name: String,
}

impl Name {
    /// The key of the record that says who holds it.
    pub fn key(&self) -> Key {
        Key::name(&self.client, self.kind, &self.name)
    }

    /// The record of a user or member that may have such a name, and where it is; `None`: no guid.
    pub fn holder(&self, holder: &str) -> Option<(Key, Partition)> {
        match self.kind {
            NameKind::UserId => {
                let guid = UserGuid::from_compact(holder).ok()?;
                Some((Key::user(guid), guid.partition()))
            }
            NameKind::ExternalGuid => {
                let guid = MemberGuid::from_compact(holder).ok()?;
                Some((Key::member(guid), guid.partition()))
            }
        }
    }

    /// Who holds it, as read.
    pub fn known<'a>(&self, view: &'a View) -> Option<&'a NameOf> {
        view.name(&self.client, self.kind, &self.name)
    }
}

/// A name is asked for.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// The name.
    pub name: Name,
    /// For whom: a compact guid.
    pub holder: String,
    /// The record of the name as it was when its holder was found not to use it.
    pub not_used: Option<NameOf>,
}

/// What a [`Reserve`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Reserved {
    /// It may be written now.
    Reserved,
    /// Another holds it. The caller looks up whether that one uses it.
    Held(NameOf),
    /// It is reserved for another, which may still be written.
    Pending,
}

impl Step for Reserve {
    type Outcome = Reserved;

    fn slot(&self) -> Slot {
        Slot::Client(self.name.client.clone())
    }

    fn reads(&self) -> Reads {
        Reads::of([self.name.key()])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Reserved, Changes) {
        let key = self.name.key();
        let known = self.name.known(view);
        if let Some(known) = known.filter(|known| known.holder != self.holder) {
            // What was found for an earlier reservation says nothing about this one.
            if self.not_used.as_ref() != Some(known) {
                return unchanged(Reserved::Held(known.clone()));
            }
            if !known.is_settled && now < known.reserved_at + RESERVED {
                return unchanged(Reserved::Pending);
            }
        }
        let mut changes = Changes::default();
        let name = NameOf {
            holder: self.holder.clone(),
            reserved_at: now,
            reservation: known.map_or(0, |known| known.reservation.wrapping_add(1)),
            is_settled: false,
        };
        changes.put(key, name);
        (Reserved::Reserved, changes)
    }
}

/// A name's holder was written.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The name.
    pub name: Name,
    /// Who holds it.
    pub holder: String,
}

impl Step for Settle {
    /// Whether the name is still its holder's.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        Slot::Client(self.name.client.clone())
    }

    fn reads(&self) -> Reads {
        Reads::of([self.name.key()])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (bool, Changes) {
        let known = self.name.known(view);
        if known.is_some_and(|known| known.holder != self.holder) {
            return unchanged(false);
        }
        let mut settled = known.cloned().unwrap_or(NameOf {
            holder: self.holder.clone(),
            reserved_at: now,
            reservation: 0,
            is_settled: false,
        });
        let mut changes = Changes::default();
        if !settled.is_settled {
            settled.is_settled = true;
            changes.put(self.name.key(), settled);
        }
        (true, changes)
    }
}

/// A name is given back by a holder that no longer uses it.
#[derive(Clone, Debug)]
pub struct GiveBack {
    /// The name.
    pub name: Name,
    /// Who held it.
    pub holder: String,
    /// The record of the name as it was when its holder was found not to use it; `None`: the holder was
    /// deleted or never written.
    pub as_seen: Option<NameOf>,
}

impl Step for GiveBack {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Client(self.name.client.clone())
    }

    fn reads(&self) -> Reads {
        Reads::of([self.name.key()])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> ((), Changes) {
        let known = self.name.known(view);
        let mut changes = Changes::default();
        let is_as_seen = |known: &NameOf| self.as_seen.as_ref().is_none_or(|seen| seen == known);
        if known.is_some_and(|known| known.holder == self.holder && is_as_seen(known)) {
            changes.delete(self.name.key());
        }
        ((), changes)
    }
}

/// A user or member was given a name whose reservation had gone to another meanwhile: it gets its earlier
/// name back. Nobody is told, as nobody is told when a creation is undone.
#[derive(Clone, Debug)]
pub struct PutBack {
    /// Which kind of name.
    pub kind: NameKind,
    /// The record of the user or member.
    pub holder: Key,
    /// Where that is.
    pub partition: Partition,
    /// The name that it must not keep. If it has another one by now, that stays.
    pub lost: String,
    /// Its earlier name.
    pub earlier: Option<String>,
}

impl Step for PutBack {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Partition(self.partition)
    }

    fn reads(&self) -> Reads {
        Reads::of([self.holder.clone()])
    }

    fn decide(&self, view: &View, _now: Timestamp) -> ((), Changes) {
        let mut changes = Changes::default();
        let lost = Some(&self.lost);
        match (self.kind, view.record(&self.holder)) {
            (NameKind::UserId, Some(Record::User(kept))) if kept.user.id.as_ref() == lost => {
                let user = User {
                    id: self.earlier.clone(),
                    ..kept.user.clone()
                };
                let deleted_at = kept.deleted_at;
                changes.put(self.holder.clone(), KeptUser { user, deleted_at });
            }
            (NameKind::ExternalGuid, Some(Record::Member(member)))
                if member.external_guid.as_ref() == lost =>
            {
                let mut member = member.clone();
                member.external_guid.clone_from(&self.earlier);
                changes.change_member(&mut member);
            }
            _ => {}
        }
        ((), changes)
    }
}

/// A user's places in lists of its client: that of all users, and that of the users of an email address.
#[derive(Clone, Debug)]
pub struct ListUser {
    /// The tenant.
    pub client: ClientId,
    /// The user.
    pub user: UserGuid,
    /// Each list, and when the user was created; `None`: it goes off that list.
    pub places: Vec<(List, Option<Timestamp>)>,
}

impl ListUser {
    /// The user comes onto its lists.
    pub fn on(user: &User) -> Self {
        Self::of(user, Some(user.created_at))
    }

    /// The user goes off its lists.
    pub fn off(user: &User) -> Self {
        Self::of(user, None)
    }

    /// The user is found by the email address that it has, or is about to have.
    pub fn by_email(user: &User) -> Self {
        let taken = List::of_email(user).map(|list| (list, Some(user.created_at)));
        Self::at(user, taken)
    }

    /// The user has another email address than before.
    pub fn moved(before: &User, after: &User) -> Self {
        let left = List::of_email(before).map(|list| (list, None));
        let taken = Self::by_email(after).places;
        Self::at(after, left.into_iter().chain(taken))
    }

    fn of(user: &User, created_at: Option<Timestamp>) -> Self {
        let all = List::Users(user.client.clone());
        let lists = iter::once(all).chain(List::of_email(user));
        Self::at(user, lists.map(|list| (list, created_at)))
    }

    fn at(user: &User, places: impl IntoIterator<Item = (List, Option<Timestamp>)>) -> Self {
        Self {
            client: user.client.clone(),
            user: user.guid,
            places: places.into_iter().collect(),
        }
    }
}

impl List {
    /// The list of those that have the user's email address, if it has one.
    fn of_email(user: &User) -> Option<Self> {
        let email = user.email.clone()?;
        Some(Self::UsersByEmail(user.client.clone(), email))
    }
}

impl Step for ListUser {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Client(self.client.clone())
    }

    fn reads(&self) -> Reads {
        Reads::default()
    }

    fn decide(&self, _view: &View, _now: Timestamp) -> ((), Changes) {
        let places = self.places.iter().cloned();
        let place = |(list, at)| (list, Key::user(self.user), at);
        let changes = Changes {
            places: places.map(place).collect(),
            ..Changes::default()
        };
        ((), changes)
    }
}
