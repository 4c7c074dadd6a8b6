//! Tokens that are given back: what a member no longer needs, or never got.
//!
//! - Whatever takes a token set away from a member owes its revocation, in the same step. The member has it no more; what
//!   is needed to revoke it is sealed in the duty.
//! - What a window held for a confirmation that did not come is given back in the same way. A code is redeemed for that,
//!   so that nobody else can use it.
//! - A frozen one is not given back: it was exported, and lives on at another gateway.
//! - It is forgotten when it is done. When it is given up, that is kept, without the tokens.

use jiff::Timestamp;

use super::envelope::Envelope;
use super::record::{
    AccessRecord, Changes, KeptWindow, Key, Reads, Revocation, Slot, UnusedCode, View,
};
use super::step::{Step, unchanged};
use crate::domain::id::{ClientId, InstitutionCode, MemberGuid};
use crate::domain::window::Window;

/// A revocation that is due at once.
fn due(
    client: &ClientId,
    institution: &InstitutionCode,
    (sealed, code): (Vec<Envelope>, Option<UnusedCode>),
    now: Timestamp,
) -> Revocation {
    Revocation {
        client: client.clone(),
        institution: institution.clone(),
        sealed,
        code,
        since: now,
        attempt: 0,
        due_at: now,
        dead_at: None,
    }
}

/// Owes the revocation of what a member had, if it was a token set.
pub(super) fn owe(
    changes: &mut Changes,
    member: MemberGuid,
    access: &AccessRecord,
    now: Timestamp,
) {
    let token = access.token.as_ref();
    let Some(token) = token.filter(|token| token.frozen_at.is_none()) else {
        return;
    };
    let sealed = vec![access.sealed.clone()];
    let revocation = due(&token.client, &token.institution, (sealed, None), now);
    changes.put(Key::revocation(member, token.generation), revocation);
}

/// Owes the revocation of what a code is good for that nobody uses.
pub(super) fn owe_code(
    changes: &mut Changes,
    window: &Window,
    institution: &InstitutionCode,
    (code, generation): (UnusedCode, u64),
    now: Timestamp,
) {
    let revocation = due(&window.client, institution, (Vec::new(), Some(code)), now);
    changes.put(Key::revocation(window.member, generation), revocation);
}

/// Owes the revocation of what a window held that nobody confirmed.
pub(super) fn owe_unconfirmed(changes: &mut Changes, kept: &KeptWindow, now: Timestamp) {
    let Some(held) = &kept.authorization else {
        return;
    };
    let window = &kept.window;
    let secrets = kept.attempt(&held.attempt).and_then(|it| it.sealed.clone());
    if let Some((response, secrets)) = held.response.clone().zip(secrets) {
        let attempt = held.attempt.clone();
        let code = UnusedCode {
            attempt,
            response,
            secrets,
            values: window.options.oauth_values.clone(),
        };
        owe_code(
            changes,
            window,
            &held.institution,
            (code, held.generation),
            now,
        );
    }
    if let Some(tokens) = &held.tokens {
        let sealed = vec![tokens.clone()];
        let revocation = due(&window.client, &held.institution, (sealed, None), now);
        changes.put(Key::revocation(window.member, held.generation), revocation);
    }
}

/// Tokens that no member has, about to be given back.
#[derive(Clone, Debug)]
pub struct GiveBack {
    /// The member that they were meant for.
    pub member: MemberGuid,
    /// The client that they were issued to.
    pub client: ClientId,
    /// The institution that issued them.
    pub institution: InstitutionCode,
    /// Tells them from any others.
    pub generation: u64,
    /// The token sets, sealed as that member's.
    pub sealed: Vec<Vec<u8>>,
}

impl Step for GiveBack {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::default().and_drawn(Key::revocation(self.member, self.generation))
    }

    fn decide(&self, view: &View, now: Timestamp) -> ((), Changes) {
        if view.revocation(self.member, self.generation).is_some() {
            return unchanged(());
        }
        let sealed = self.sealed.iter().cloned().map(Into::into).collect();
        let revocation = due(&self.client, &self.institution, (sealed, None), now);
        let mut changes = Changes::default();
        changes.put(Key::revocation(self.member, self.generation), revocation);
        ((), changes)
    }
}
