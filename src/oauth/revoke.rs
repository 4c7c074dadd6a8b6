//! Revocation of tokens (RFC 7009).

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};

use super::OAuthClient;
use super::call::Filling;
use super::reason::{self, Meaning, SetupFault};
use super::registered::Registered;
use super::reply::{OAuthError, Refusal, Reply, Unfit};
use super::scrub::Scrubber;
use super::token_endpoint::TokenError;
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
    /// The client got no token of its own to do it with.
    #[error("no token for the client itself: {0}")]
    ClientToken(TokenError),
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
            Self::ClientToken(error) => error.meaning(oauth),
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
    /// the same grant as well, then access tokens. If the connection has a consent that is deleted by itself, that
    /// comes before them. All are tried; the first error that
    /// another try may mend is returned, else the first of all. `scrubber`
    /// knows the secrets of the exchange they came from; `now` is what a date in `Retry-After` is compared with, and when the
    /// client's assertions are made.
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
        if !at.oauth.takes_back() {
            return Err(RevokeError::NoEndpoint);
        }
        let mut scrubber = scrubber.clone();
        scrubber.learn_client(at.registration);
        for token in issued.all() {
            scrubber.learn(token.expose_secret());
        }
        let mut outcome = self.delete_consent(at, issued, &scrubber, now).await;
        let oauth = at.oauth;
        if oauth.revocation_endpoint.is_none() && oauth.calls.revocation.url.is_none() {
            return outcome;
        }
        let revoke = async |token: &SecretString, hint| {
            let parameters = [("token", token.expose_secret()), ("token_type_hint", hint)];
            let filling = Filling {
                at,
                own: &parameters,
                values: &issued.values,
            };
            let (call, endpoint) = (&oauth.calls.revocation, at.revocation_endpoint());
            let asked = self.call(call, endpoint, &parameters, &filling, now);
            let reply = asked.await?;
            ended(&reply, &scrubber, now)
        };
        let mut is_refresh_gone = false;
        for token in &issued.refresh {
            let revoked = revoke(token, "refresh_token").await;
            is_refresh_gone |= revoked.is_ok();
            outcome = both(outcome, revoked);
        }
        // Where an access token renews itself, it is both.
        let is_revoked = |token: &SecretString| {
            let mut revoked = issued.refresh.iter();
            revoked.any(|it| it.expose_secret() == token.expose_secret())
        };
        for token in issued.access.iter().filter(|token| !is_revoked(token)) {
            match revoke(token, "access_token").await {
                // The grant ended with its refresh token; the access token ends by itself.
                Err(RevokeError::UnsupportedTokenType) if is_refresh_gone => {}
                revoked => outcome = both(outcome, revoked),
            }
        }
        outcome
    }

    /// Deletes the connection's consent, if it has one and the institution's file describes how. One that is
    /// gone already is deleted.
    async fn delete_consent(
        &self,
        at: Registered<'_>,
        issued: &Issued,
        scrubber: &Scrubber,
        now: Timestamp,
    ) -> Result<(), RevokeError> {
        let Some(call) = &at.oauth.calls.delete_consent else {
            return Ok(());
        };
        if issued.values.consent_id().is_none() {
            return Ok(());
        }
        let token = self.client_token(at, call, &issued.values, now).await;
        let token = token.map_err(RevokeError::ClientToken)?;
        let mut scrubber = scrubber.clone();
        let access_token = issued.access.last().map(ExposeSecret::expose_secret);
        let client_token = token.as_ref().map(ExposeSecret::expose_secret);
        client_token
            .into_iter()
            .for_each(|token| scrubber.learn(token));
        let known = [
            ("access_token", access_token),
            ("client_token", client_token),
        ];
        let own: Vec<(&str, &str)> = known
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        let filling = Filling {
            at,
            own: &own,
            values: &issued.values,
        };
        let reply = self.call(call, None, &[], &filling, now).await?;
        match reply.status() {
            404 | 410 => Ok(()),
            _ => ended(&reply, &scrubber, now),
        }
    }
}

/// What the reply to a call that ends something says.
fn ended(reply: &Reply, scrubber: &Scrubber, now: Timestamp) -> Result<(), RevokeError> {
    match reply.judge(false) {
        Err(Unfit::Refused(error)) => Err(refused(&error, scrubber)),
        // A success response says everything with its status.
        _ if reply.is_success() => Ok(()),
        Err(Unfit::Unusable(error)) => Err(match reply.asks_to_wait(now) {
            Some(wait) => RevokeError::Later(wait, error),
            None => error.into(),
        }),
        Ok(()) => Ok(()),
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
