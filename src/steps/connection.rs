//! The commit: a member is connected. Status CONNECTED, token set and fingerprint replaced, window
//! `Succeeded` with that member as inbound, job queued, token set kept: all of it, or nothing.
//!
//! - Only a `Returned` window succeeds, once; or an `Authorized` one, with the token set that it held.
//! - The receiving member is the window's own, or another one that is known by the login. Where another
//!   receives it, the window's own is removed if it is PENDING.
//! - Where the login is known, no other living member of the user at the institution may have it, and a
//!   member that is known to belong to another login does not receive it.
//! - A token set is sealed for whom it is meant. Where the member named to receive it no longer has the login,
//!   nobody else does.
//! - A job that is under way pulls with the old token set: it is replaced.
//! - The old token set is given back, where the institution keeps the new one then.

use jiff::Timestamp;

use super::consent_end;
use super::deletion::{is_unconnected, remove};
use super::event::Snapshot;
use super::link::Subject;
use super::member::{begin_job, duplicate_of, follow, logins, replace_job, set_fingerprint};
use super::record::{Changes, KeptWindow, Key, Reads, Slot, View};
use super::revocation::owe;
use super::step::{Step, unchanged};
use super::tokens::NewTokens;
use crate::domain::event::Notice;
use crate::domain::id::{MemberGuid, OauthStateGuid};
use crate::domain::job::NewJob;
use crate::domain::member::{CallbackPayload, ConnectionStatus, Member};
use crate::domain::secret::Digest;
use crate::domain::window::WindowStatus;

/// A connection about to be committed.
#[derive(Clone, Debug)]
pub struct Connection {
    /// The window.
    pub window: OauthStateGuid,
    /// The status that it must have: `Returned`, or `Authorized` where its own token set was confirmed.
    pub only_in: WindowStatus,
    /// The window's member.
    pub outbound: MemberGuid,
    /// Another of the user's members that receives the token set, because [`Committed::Duplicate`] named
    /// it; `None`: the window's own.
    pub inbound: Option<MemberGuid>,
    /// What the login may be known by, one for each seal key; the first becomes the member's own.
    /// Empty: the institution does not say who signed in, and nothing is compared.
    pub fingerprints: Vec<Digest>,
    /// The token set, replacing the receiving member's earlier one.
    pub tokens: NewTokens,
    /// Whether the one that is replaced is given back.
    pub revokes_replaced: bool,
    /// The job to queue, unless aggregation is skipped. One of the receiving member that is under way is
    /// replaced either way.
    pub job: Option<NewJob>,
    /// When the member is pulled in the background next; `None`: it is not.
    pub background_due: Option<Timestamp>,
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
    Connected(Box<Subject>),
    /// This other member of the user, at the same institution, has the same login. Nothing changed.
    Duplicate(MemberGuid),
    /// The window's member is known to belong to another login, and no other member has this one.
    /// Nothing changed.
    OtherLogin,
    /// The member named to receive it does not have the login (any more), and nobody else can read what was
    /// sealed for it. Nothing changed.
    Moved,
    /// The window no longer has that status (expired, superseded or deleted meanwhile). Nothing
    /// changed, and the tokens must be revoked.
    WindowClosed,
}

impl Step for Connection {
    /// What it led to, and the member that a merge removed.
    type Outcome = (Committed, Option<Member>);

    fn slot(&self) -> Slot {
        Slot::Partition(self.window.partition())
    }

    fn reads(&self) -> Reads {
        let inbound = self.inbound.map(Key::member);
        let own = [Key::window(self.window), Key::member(self.outbound)];
        let keys: Vec<Key> = own.into_iter().chain(inbound).collect();
        Reads::of(keys).then(&["j"])
    }

    fn reads_then(&self, view: &View) -> Vec<Key> {
        let Some(kept) = view.window(self.window) else {
            return Vec::new();
        };
        let window = &kept.window;
        match window.status {
            status if status == self.only_in => {
                let own = view.member(self.outbound);
                let receiving = self.inbound.and_then(|named| view.member(named)).or(own);
                // One that was never connected has nothing that is replaced.
                let had = receiving.filter(|it| it.status != ConnectionStatus::Pending);
                let logins = own.map(|own| logins(own, &self.fingerprints));
                let logins = logins.into_iter().flatten();
                let had = had.map(|it| [Key::access(it.guid), Key::consent(it.guid)]);
                logins.chain(had.into_iter().flatten()).collect()
            }
            WindowStatus::Succeeded => {
                let inbound = window.inbound.into_iter();
                inbound
                    .flat_map(|it| [Key::member(it), Key::access(it)])
                    .filter(|key| view.record(key).is_none())
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Self::Outcome, Changes) {
        let Some(kept) = view.window(self.window) else {
            return unchanged((Committed::WindowClosed, None));
        };
        if kept.window.status != self.only_in {
            return unchanged((self.repeated(view, kept), None));
        }
        let Some(own) = view.member(kept.window.member) else {
            return unchanged((Committed::WindowClosed, None));
        };
        let named = self.named_inbound(view, own);
        let mut member = named.unwrap_or(own).clone();
        if let Some(existing) = duplicate_of(view, &member, &self.fingerprints) {
            return unchanged((Committed::Duplicate(existing), None));
        }
        // A login of another origin, such as one known under a key that is gone, tells nothing.
        let is_other_login = |known: Digest| {
            let prints = &self.fingerprints;
            !prints.contains(&known) && prints.iter().any(|it| it.shares_origin(&known))
        };
        if member.fingerprint.is_some_and(is_other_login) {
            return unchanged((Committed::OtherLogin, None));
        }
        if self.inbound.is_some_and(|named| named != member.guid) {
            return unchanged((Committed::Moved, None));
        }

        let mut changes = Changes::default();
        let mut succeeded = kept
            .clone()
            .finished(WindowStatus::Succeeded, now, &mut changes);
        succeeded.window.inbound = Some(member.guid);
        let mut removed = None;
        if named.is_some() && is_unconnected(own) {
            let mut outbound = own.clone();
            outbound.revision += 1;
            changes.tell(&self.deleted, &Snapshot::of(&outbound), now);
            remove(&mut changes, &outbound, now);
            removed = Some(outbound);
        }
        let replaced = view.access(member.guid);
        if let Some(replaced) = replaced.filter(|_| self.revokes_replaced) {
            owe(&mut changes, member.guid, replaced, now);
        }
        let mut access = self.tokens.record(&member);
        if let Some(token) = &mut access.token {
            let before = replaced.and_then(|it| it.token.as_ref());
            token.replaced = before.map(|it| it.generation);
        }
        changes.put(Key::access(member.guid), access);
        set_fingerprint(&mut changes, &mut member, &self.fingerprints);
        consent_end::keep(&mut changes, &mut member, self.tokens.consent);
        follow(&mut member, ConnectionStatus::Connected);
        let replaced = replace_job(&mut changes, view, &mut member, now);
        member.arrange_background(self.background_due);
        if let Some(job) = &self.job {
            begin_job(&mut changes, job, replaced, &mut member, now);
        }
        if let Some(payload) = &self.callback_payload {
            member.callback_payload = Some(payload.clone());
        }
        changes.change_member(&mut member);
        let window = succeeded.window.clone();
        let snapshot = Snapshot::of(&member).with_window(&window);
        changes.tell(&self.updated, &snapshot, now);
        changes.tell(&self.finished, &snapshot, now);
        changes.put_window(succeeded);
        let committed = Committed::Connected(Box::new(Subject { window, member }));
        ((committed, removed), changes)
    }
}

impl Connection {
    /// What is found when the window has another status: perhaps what this commit did itself, when
    /// it is sent again because the reply was lost. No two sealed token sets are alike.
    fn repeated(&self, view: &View, kept: &KeptWindow) -> Committed {
        let inbound = kept
            .window
            .inbound
            .filter(|_| kept.window.status == WindowStatus::Succeeded);
        let member = inbound.and_then(|inbound| view.member(inbound));
        let is_same = |member: &&Member| {
            let access = view.access(member.guid);
            access.is_some_and(|access| *access.sealed == *self.tokens.sealed)
        };
        match member.filter(is_same) {
            Some(member) => Committed::Connected(Box::new(Subject {
                window: kept.window.clone(),
                member: member.clone(),
            })),
            None => Committed::WindowClosed,
        }
    }

    /// The other member that is to receive the token set, if it still has the login.
    fn named_inbound<'a>(&self, view: &'a View, own: &Member) -> Option<&'a Member> {
        let named = view.member(self.inbound.filter(|named| *named != own.guid)?)?;
        let has_login = named
            .fingerprint
            .is_some_and(|known| self.fingerprints.contains(&known));
        let is_beside = named.user == own.user && named.institution == own.institution;
        (is_beside && has_login).then_some(named)
    }
}
