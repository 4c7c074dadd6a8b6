//! Revocation of tokens (RFC 7009).

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::OAuthClient;
use super::reason::{self, Meaning, SetupFault};
use super::registered::Registered;
use super::reply::{OAuthError, Refusal, Unfit};
use super::scrub::Scrubber;
use super::token_response::Issued;
use super::transport_error::TransportError;
use crate::domain::institution::OAuth;

/// Why tokens may still be valid at their institution. None of these holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// The institution has no revocation endpoint.
    #[error("the institution has no revocation endpoint")]
    NoEndpoint,
    /// The call failed.
    #[error(transparent)]
    Call(#[from] TransportError),
    /// The call failed, and the institution asks to wait that long.
    #[error("{1}; it asks to wait {0:?}")]
    Later(Duration, TransportError),
    /// The institution refused (RFC 7009 section 2.2.1).
    #[error("the institution refused the revocation: {}", .0.said)]
    Refused(Refusal),
    /// The institution does not revoke tokens of this kind.
    #[error("the institution does not revoke tokens of this kind")]
    UnsupportedTokenType,
}

impl RevokeError {
    /// Whether nothing more can be done: the institution has no way to take such tokens back, so they end by themselves.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::NoEndpoint | Self::UnsupportedTokenType)
    }

    /// What the operator has to correct, if that is why.
    pub fn setup_fault(&self, oauth: &OAuth) -> Option<SetupFault> {
        let meaning = match self {
            Self::Call(error) | Self::Later(_, error) => error.meaning_to_a_client(),
            Self::Refused(refusal) => reason::of_call(oauth, &refusal.error),
            Self::NoEndpoint | Self::UnsupportedTokenType => return None,
        };
        match meaning {
            Meaning::NotSetUp(fault) => Some(fault),
            Meaning::Reason(_) => None,
        }
    }
}

impl OAuthClient {
    /// Revokes tokens: refresh tokens first, because at most institutions that ends the access tokens of
    /// the same grant as well, then access tokens. All are tried; the first error that
    /// another try may mend is returned, else the first of all. `scrubber`
    /// knows the secrets of the exchange they came from; `now` is what a date in `Retry-After` is compared with.
    ///
    /// Each call has the institution's time limit. A success response for a token that the institution
    /// does not know is a success (RFC 7009 section 2.2).
    pub async fn revoke(
        &self,
        at: Registered<'_>,
        issued: &Issued,
        scrubber: &Scrubber,
        now: Timestamp,
    ) -> Result<(), RevokeError> {
        let endpoint = at.revocation_endpoint().ok_or(RevokeError::NoEndpoint)?;
        let mut scrubber = scrubber.clone();
        scrubber.learn_client(at.registration);
        for token in issued.all() {
            scrubber.learn(token.expose_secret());
        }
        let revoke = async |token: &SecretString, hint| {
            let fields = [("token", token.expose_secret()), ("token_type_hint", hint)];
            let reply = self.post(at, endpoint, &fields).await?;
            match reply.judge(false) {
                Err(Unfit::Refused(error)) => Err(refused(&error, &scrubber)),
                // A success response says everything with its status.
                _ if reply.is_success() => Ok(()),
                Err(Unfit::Unusable(error)) => Err(match reply.asks_to_wait(now) {
                    Some(wait) => RevokeError::Later(wait, error),
                    None => error.into(),
                }),
                Ok(()) => Ok(()),
            }
        };
        let mut outcome = Ok(());
        let mut is_refresh_gone = false;
        for token in &issued.refresh {
            let revoked = revoke(token, "refresh_token").await;
            is_refresh_gone |= revoked.is_ok();
            outcome = both(outcome, revoked);
        }
        for token in &issued.access {
            match revoke(token, "access_token").await {
                // The grant ended with its refresh token; the access token ends by itself.
                Err(RevokeError::UnsupportedTokenType) if is_refresh_gone => {}
                revoked => outcome = both(outcome, revoked),
            }
        }
        outcome
    }
}

/// The outcome of both: an error that another try may mend goes before one that is final.
fn both(one: Result<(), RevokeError>, other: Result<(), RevokeError>) -> Result<(), RevokeError> {
    match (&one, &other) {
        (Err(first), Err(second)) if first.is_final() && !second.is_final() => other,
        (Err(_), _) => one,
        (Ok(()), _) => other,
    }
}

fn refused(error: &OAuthError, scrubber: &Scrubber) -> RevokeError {
    let refusal = error.scrubbed(scrubber);
    match refusal.error.as_str() {
        "unsupported_token_type" => RevokeError::UnsupportedTokenType,
        _ => RevokeError::Refused(refusal),
    }
}

#[cfg(test)]
mod tests;
