//! The end of a consent: it is told before, and then the connection is over.
//!
//! - What the institution said last counts, and where it says nothing what its file says.
//! - Each notice is told once, whoever else looks, also across restarts. Of those that were missed only the latest is
//!   told; those whose time had passed when the consent began are not.
//! - Nothing is told of a connection that is over already, or that went to another gateway.
//! - At the end the member is IMPAIRED, and its token set is erased here; a refresh token is given back. A job that pulls
//!   with it ends, so that its report changes nothing.
//! - What is frozen is looked at again later, as it may be thawed.

use std::time::Duration;

use jiff::Timestamp;

use super::consent_end::NoticeDays;
use super::event::Snapshot;
use super::member::{follow, replace_job};
use super::record::{AccessRecord, Changes, Consent, Key, Reads, Slot, View};
use super::revocation::owe;
use super::step::{Step, unchanged};
use crate::domain::event::Notice;
use crate::domain::id::MemberGuid;
use crate::domain::member::{ConnectionStatus, Member, StatusReason};

/// When a frozen one is looked at again.
const FROZEN_AGAIN: Duration = Duration::from_secs(24 * 60 * 60);

/// What is due of a consent is told, as a duty that is held until then.
#[derive(Clone, Debug)]
pub struct TellConsent {
    /// Whose.
    pub member: MemberGuid,
    /// Until when it is held by who took it up.
    pub held_until: Timestamp,
    /// When it is told.
    pub days: NoticeDays,
    /// Told with the member, if the consent ends soon.
    pub expiring: Vec<Notice>,
    /// Told with the member as IMPAIRED, if the consent has ended.
    pub ended: Vec<Notice>,
}

/// What a [`TellConsent`] led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentTold {
    /// There is nothing to tell now.
    Nothing,
    /// It ends in so many days at most.
    Expiring(u32),
    /// It has ended.
    Ended,
}

impl Step for TellConsent {
    type Outcome = ConsentTold;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        let keys = [Key::consent, Key::access, Key::member].map(|key| key(self.member));
        Reads::of(keys).then(&["j"])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (ConsentTold, Changes) {
        let held = view.consent(self.member);
        let Some(consent) = held.filter(|it| it.due_at == self.held_until) else {
            return unchanged(ConsentTold::Nothing);
        };
        let mut changes = Changes::default();
        let key = Key::consent(self.member);
        let Some(member) = view.member(self.member) else {
            changes.delete(key);
            return (ConsentTold::Nothing, changes);
        };
        let access = view.access(self.member).and_then(|it| it.token.as_ref());
        if access.is_some_and(|token| token.frozen_at.is_some()) {
            let due_at = now + FROZEN_AGAIN;
            changes.put(
                key,
                Consent {
                    due_at,
                    ..consent.clone()
                },
            );
            return (ConsentTold::Nothing, changes);
        }
        if now >= consent.ends_at {
            changes.delete(key);
            self.end(view, member, &mut changes, now);
            return (ConsentTold::Ended, changes);
        }
        let due_at = self.days.next(consent.ends_at, now);
        changes.put(
            key,
            Consent {
                due_at,
                ..consent.clone()
            },
        );
        let is_alive = view
            .access(self.member)
            .is_some_and(AccessRecord::is_in_use);
        match self.days.latest(consent.ends_at, now).filter(|_| is_alive) {
            Some(days) => {
                changes.tell(&self.expiring, &Snapshot::of(member), now);
                (ConsentTold::Expiring(days), changes)
            }
            None => (ConsentTold::Nothing, changes),
        }
    }
}

impl TellConsent {
    fn end(&self, view: &View, member: &Member, changes: &mut Changes, now: Timestamp) {
        if let Some(access) = view.access(self.member) {
            if access
                .token
                .as_ref()
                .is_some_and(|token| token.is_renewable)
            {
                owe(changes, self.member, access, now);
            }
            changes.delete(Key::access(self.member));
        }
        let mut member = member.clone();
        let before = member.status;
        replace_job(changes, view, &mut member, now);
        follow(&mut member, ConnectionStatus::Impaired);
        if member.status != before {
            member.status_reason = Some(StatusReason::ConsentEnded);
            changes.change_member(&mut member);
            changes.tell(&self.ended, &Snapshot::of(&member), now);
        }
    }
}
