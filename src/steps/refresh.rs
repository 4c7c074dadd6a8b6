//! Refreshes: new tokens for a refresh token (RFC 6749 section 6).
//!
//! ```text
//! current ─ begun ─▶ running ─┬─ new tokens ─────────────▶ current
//!    ▲                        ├─ nothing was asked ──────▶ as before
//!    │                        ├─ refused ────────────────▶ refused: REVOKED
//!    │                        └─ outcome unknown ────────▶ in doubt
//!    └── new tokens ── in doubt ── refused twice ────────▶ refused: REFRESH_LOST
//! ```
//!
//! - A refresh is written down before the institution is called, and has a fence: until that has passed nobody else
//!   refreshes. Where it passes and nothing was settled, the outcome is unknown.
//! - New tokens are kept in place of those that they were asked for with, and of nothing newer.
//! - An unknown outcome changes no status. The old token is tried again later; it is lost when it is refused twice then.
//! - A token that was known to be the newest and is refused has been revoked.
//! - A refusal that does not count, because the institution refuses everybody, changes no status.
//! - New tokens may come with another end of the consent; that is told.
//! - A refused token set is lent no more. It is kept for a day, and erased then, unless a refresh with it succeeds.
//! - A member that was IMPAIRED by its refusal is CONNECTED again by a refresh, and that is told once.
//! - Tokens of another person are kept, and neither lent nor refreshed: see [`other_login`](super::other_login).
//! - A time much further away than any that is written now was written before a clock was set back, and has passed.
//!   The clocks of gateways may differ by a few minutes: a fence holds all the same.

use std::time::Duration;

use jiff::Timestamp;

use super::consent_end;
use super::event::Snapshot;
use super::member::{follow, replace_job};
use super::record::{Changes, Doubt, Key, Reads, RunningRefresh, Slot, TokenState, View};
use super::step::{Step, unchanged};
use super::tokens::NewTokens;
use crate::domain::event::{EventKind, Notice};
use crate::domain::id::MemberGuid;
use crate::domain::member::{ConnectionStatus, Member, StatusReason};
use crate::domain::secret::Digest;

/// By how much the clocks of gateways may differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(10 * 60);

/// For how long a refused token set is kept.
pub const REFUSED_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a refresh is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// The access token is to be valid then; a newer one than that of the generation that was seen is good if it is
    /// valid now.
    ValidAt(Timestamp, u64),
    /// The access token of that generation is refused where data is pulled.
    Other(u64),
    /// It is due, and held until then by who took it up.
    Due(Timestamp),
}

/// A refresh about to begin.
#[derive(Clone, Debug)]
pub struct BeginRefresh {
    /// Whose token set.
    pub member: MemberGuid,
    /// Why.
    pub want: Want,
    /// Names this refresh.
    pub fence: Digest,
    /// For how long nobody else refreshes: longer than the call and keeping what it gives may take.
    pub fenced_for: Duration,
    /// How long to wait where the outcome of the last refresh is unknown.
    pub doubt: Duration,
    /// Told with the member as IMPAIRED, if it has nothing any more and nobody knows.
    pub changed: Vec<Notice>,
}

/// What a [`BeginRefresh`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    /// The institution is to be asked.
    Begun {
        /// The token set, sealed.
        sealed: Vec<u8>,
        /// Its generation.
        generation: u64,
        /// Whether it may have been used up before.
        is_in_doubt: bool,
        /// How many refreshes in a row the institution did not look at.
        not_asked: u32,
    },
    /// The access token is as it is wanted.
    Current,
    /// Another one is under way until then.
    UnderWay(Timestamp),
    /// It is tried again then.
    Later(Timestamp),
    /// There is no refresh token that could be used.
    Ended,
    /// It is frozen: see [`freeze`](super::freeze).
    Frozen,
}

/// A refresh whose outcome is known, or known to be unknown.
#[derive(Clone, Debug)]
pub struct SettleRefresh {
    /// Whose token set.
    pub member: MemberGuid,
    /// Names the refresh.
    pub fence: Digest,
    /// The generation of the token set that it was asked with.
    pub generation: u64,
    /// The outcome.
    pub outcome: RefreshOutcome,
    /// Told with the member as IMPAIRED, or as CONNECTED again.
    pub changed: Vec<Notice>,
}

/// The outcome of a refresh.
#[derive(Clone, Debug)]
pub enum RefreshOutcome {
    /// New tokens.
    Refreshed(NewTokens),
    /// The institution refused the token.
    Refused {
        /// Whether that counts; `false`: it refuses everybody.
        counts: bool,
        /// When the token is tried again, if it is.
        again_at: Timestamp,
    },
    /// The token may have been used up. It is tried again then.
    Unknown {
        /// When.
        again_at: Timestamp,
    },
    /// The token was not used: nobody was asked. It is tried again then.
    NotAsked {
        /// When.
        again_at: Timestamp,
    },
}

/// What a [`SettleRefresh`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// It is kept.
    Kept,
    /// The connection was lost; the member as it is now.
    Lost(Box<Member>, StatusReason),
    /// The member is connected again.
    Recovered(Box<Member>),
    /// The token set was replaced meanwhile by another refresh: what it kept is newer. Nothing changed.
    Superseded,
    /// The token set was replaced meanwhile by a new consent. Nothing changed.
    Replaced,
    /// The token set, or its member, is gone. Nothing changed.
    Gone,
}

/// Whether a time has come, or was written before the clock was set back: it is further away than `most`, and by more
/// than clocks differ.
pub(super) fn has_come(at: Timestamp, most: Duration, now: Timestamp) -> bool {
    let latest = now.checked_add(most + CLOCKS_DIFFER);
    at <= now || latest.is_ok_and(|latest| at > latest)
}

impl TokenState {
    /// Whether the access token is valid then, as far as is known, and may be lent.
    pub fn is_valid_at(&self, at: Timestamp) -> bool {
        let may_be_lent = self.refused_at.is_none() && self.other_login_at.is_none();
        may_be_lent && self.ends_at.is_none_or(|end| end > at)
    }
}

impl Step for BeginRefresh {
    type Outcome = Begun;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::access(self.member), Key::member(self.member)]).then(&["j"])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Begun, Changes) {
        let access = view.access(self.member);
        let state = access.and_then(|access| Some((access, access.token.as_ref()?)));
        let Some((access, before)) = state else {
            return unchanged(Begun::Ended);
        };
        let is_wanted = match self.want {
            Want::ValidAt(_, seen) if before.generation != seen => !before.is_valid_at(now),
            Want::ValidAt(at, _) => !before.is_valid_at(at),
            Want::Other(generation) => before.generation == generation,
            Want::Due(held_until) => before.due_at == Some(held_until),
        };
        if !is_wanted {
            return unchanged(Begun::Current);
        }
        if before.frozen_at.is_some() {
            return unchanged(Begun::Frozen);
        }
        if before.other_login_at.is_some() {
            return unchanged(Begun::Ended);
        }
        let mut token = before.clone();
        if let Some(running) = token.running.take() {
            if !has_come(running.until, self.fenced_for, now) {
                return unchanged(Begun::UnderWay(running.until));
            }
            // Whoever began it is gone, and with it the response.
            let refusals = token.doubt.map_or(0, |doubt| doubt.refusals);
            token.doubt = Some(Doubt {
                refusals,
                again_at: running.until + self.doubt,
            });
        }
        let kept = |token: TokenState, outcome| {
            if token == *before {
                return unchanged(outcome);
            }
            let mut changes = Changes::default();
            changes.put(Key::access(self.member), access.with(token));
            (outcome, changes)
        };
        if let Some(refused_at) = token.refused_at {
            if !matches!(self.want, Want::Due(_)) {
                return kept(token, Begun::Ended);
            }
            if now >= refused_at + REFUSED_KEPT {
                return (Begun::Ended, self.erased(view, now));
            }
        }
        if let Some(doubt) = token.doubt
            && !has_come(doubt.again_at, self.fenced_for + self.doubt, now)
        {
            token.due_at = Some(doubt.again_at);
            return kept(token, Begun::Later(doubt.again_at));
        }
        if !token.is_renewable {
            token.due_at = None;
            return kept(token, Begun::Ended);
        }
        let until = now + self.fenced_for;
        token.running = Some(RunningRefresh {
            fence: self.fence,
            until,
        });
        token.due_at = Some(until);
        let begun = Begun::Begun {
            sealed: access.sealed.clone().into(),
            generation: token.generation,
            is_in_doubt: token.doubt.is_some(),
            not_asked: token.not_asked,
        };
        kept(token, begun)
    }
}

impl BeginRefresh {
    /// The refused token set is erased. A member that was pulled with its last access token meanwhile is IMPAIRED now.
    fn erased(&self, view: &View, now: Timestamp) -> Changes {
        let mut changes = Changes::default();
        changes.delete(Key::access(self.member));
        if let Some(mut member) = view.member(self.member).cloned() {
            let before = member.status;
            replace_job(&mut changes, view, &mut member, now);
            follow(&mut member, ConnectionStatus::Impaired);
            if member.status != before {
                member.status_reason = Some(StatusReason::Revoked);
                changes.change_member(&mut member);
                changes.tell(&self.changed, &Snapshot::of(&member), now);
            }
        }
        changes
    }
}

impl Step for SettleRefresh {
    type Outcome = Settled;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        let keys = [Key::access, Key::member, Key::consent].map(|key| key(self.member));
        Reads::of(keys)
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Settled, Changes) {
        let access = view.access(self.member);
        let state = access.and_then(|access| Some((access, access.token.as_ref()?)));
        let (Some((access, before)), Some(member)) = (state, view.member(self.member)) else {
            return unchanged(Settled::Gone);
        };
        if before.generation != self.generation {
            return unchanged(match before.replaced == Some(self.generation) {
                true => Settled::Replaced,
                false => Settled::Superseded,
            });
        }
        let is_ours = before
            .running
            .as_ref()
            .is_some_and(|running| running.fence == self.fence);
        let mut member = member.clone();
        let mut access = access.clone();
        let mut token = before.clone();
        let mut settled = Settled::Kept;
        let ends_before = member.consent_expires_at;
        let mut changes = Changes::default();
        match &self.outcome {
            // Kept whoever is at it: these are the newest tokens that there are.
            RefreshOutcome::Refreshed(new) => {
                access.sealed = new.sealed.clone().into();
                token = TokenState {
                    frozen_at: before.frozen_at,
                    // A refresh of what was replaced may still be under way.
                    replaced: before.replaced,
                    other_login_at: before.other_login_at,
                    ..new.state(&member)
                };
                consent_end::keep(&mut changes, &mut member, new.consent);
                let was_lost = before.refused_at.is_some();
                if member.status == ConnectionStatus::Impaired && was_lost {
                    follow(&mut member, ConnectionStatus::Connected);
                    settled = Settled::Recovered(Box::new(member.clone()));
                }
            }
            _ if !is_ours => return unchanged(Settled::Superseded),
            RefreshOutcome::Unknown { again_at } => {
                token.doubt = Some(Doubt {
                    refusals: before.doubt.map_or(0, |doubt| doubt.refusals),
                    again_at: *again_at,
                });
                token.due_at = Some(*again_at);
            }
            RefreshOutcome::NotAsked { again_at } => {
                token.not_asked = token.not_asked.saturating_add(1);
                token.due_at = Some(*again_at);
            }
            RefreshOutcome::Refused { counts, again_at } => {
                let loses = match before.doubt {
                    _ if !counts => None,
                    None => Some(StatusReason::Revoked),
                    Some(doubt) if doubt.refusals > 0 => Some(StatusReason::RefreshLost),
                    Some(_) => None,
                };
                token.due_at = Some(*again_at);
                if let Some(doubt) = token.doubt.as_mut().filter(|_| *counts) {
                    doubt.refusals = doubt.refusals.saturating_add(1);
                    doubt.again_at = *again_at;
                }
                if let Some(reason) = loses.filter(|_| before.refused_at.is_none()) {
                    token.refused_at = Some(now);
                    follow(&mut member, ConnectionStatus::Impaired);
                    if member.status == ConnectionStatus::Impaired {
                        member.status_reason = Some(reason);
                    }
                    settled = Settled::Lost(Box::new(member.clone()), reason);
                }
                // What is kept in case it was the institution's fault is erased then.
                token.due_at = token
                    .refused_at
                    .map(|at| at + REFUSED_KEPT)
                    .or(token.due_at);
            }
        }
        token.running = None;
        access.token = Some(token);
        changes.put(Key::access(self.member), access);
        let status_before = view.member(self.member).map(|it| it.status);
        if let Settled::Lost(told, _) | Settled::Recovered(told) = &mut settled {
            let is_news = |notice: &&Notice| {
                notice.kind != EventKind::ConnectionStatus || status_before != Some(member.status)
            };
            let news: Vec<Notice> = self.changed.iter().filter(is_news).copied().collect();
            changes.change_member(&mut member);
            changes.tell(&news, &Snapshot::of(&member), now);
            **told = member;
        } else if consent_end::is_news(ends_before, member.consent_expires_at) {
            changes.change_member(&mut member);
            changes.tell(&self.changed, &Snapshot::of(&member), now);
        } else if member.consent_expires_at != ends_before {
            changes.put_member(member);
        }
        (settled, changes)
    }
}

/// What a member lost because its institution refused everybody is given back.
#[derive(Clone, Debug)]
pub struct Restore {
    /// Whose.
    pub member: MemberGuid,
    /// Told with the member as CONNECTED again, if only its pulls were refused.
    pub changed: Vec<Notice>,
}

impl Step for Restore {
    /// Whether it had lost anything.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::access(self.member), Key::member(self.member)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (bool, Changes) {
        let (Some(access), Some(member)) = (view.access(self.member), view.member(self.member))
        else {
            return unchanged(false);
        };
        let mut changes = Changes::default();
        let Some(mut token) = access.token.clone() else {
            return unchanged(false);
        };
        if token.refused_at.is_some() {
            // It is tried once more, at once, and kept for another day.
            token.refused_at = Some(now);
            token.doubt = None;
            token.due_at = Some(now);
            changes.put(Key::access(self.member), access.with(token));
            return (true, changes);
        }
        if member.status_reason != Some(StatusReason::Revoked) {
            return unchanged(false);
        }
        let mut member = member.clone();
        follow(&mut member, ConnectionStatus::Connected);
        changes.change_member(&mut member);
        changes.tell(&self.changed, &Snapshot::of(&member), now);
        (true, changes)
    }
}
