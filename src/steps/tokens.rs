//! Token sets about to be kept, by whatever brings them: a connection, a refresh, a new member.

use jiff::Timestamp;

use super::consent_end::ConsentEnd;
use super::record::{AccessRecord, TokenState};
use crate::domain::member::Member;

/// A token set about to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTokens {
    /// Tells it from those before and after it, whoever keeps them.
    pub generation: u64,
    /// The token set, sealed.
    pub sealed: Vec<u8>,
    /// Whether it has a refresh token.
    pub is_renewable: bool,
    /// When the access token ends, as the institution says or as is assumed.
    pub ends_at: Option<Timestamp>,
    /// When it is to be refreshed although nobody needs it.
    pub due_at: Option<Timestamp>,
    /// When the consent ends, or the access that nothing can renew.
    pub consent: Option<ConsentEnd>,
    /// The thumbprint of the client certificate that the access token may be bound to.
    pub bound_to: Option<String>,
}

impl NewTokens {
    /// Of a token set that has no refresh token and no known end.
    pub fn unending(sealed: Vec<u8>) -> Self {
        Self {
            generation: 0,
            sealed,
            is_renewable: false,
            ends_at: None,
            due_at: None,
            consent: None,
            bound_to: None,
        }
    }

    /// They, as what that member is pulled with.
    pub(super) fn record(&self, member: &Member) -> AccessRecord {
        AccessRecord {
            sealed: self.sealed.clone().into(),
            token: Some(self.state(member)),
        }
    }

    /// What is known of them, as those of that member.
    pub(super) fn state(&self, member: &Member) -> TokenState {
        TokenState {
            client: member.client.clone(),
            institution: member.institution.clone(),
            generation: self.generation,
            replaced: None,
            is_renewable: self.is_renewable,
            ends_at: self.ends_at,
            running: None,
            doubt: None,
            refused_at: None,
            not_asked: 0,
            other_login_at: None,
            bound_to: self.bound_to.clone(),
            frozen_at: None,
            due_at: self.due_at,
        }
    }
}
