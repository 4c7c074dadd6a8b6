//! A refresh: new tokens for a refresh token (RFC 6749 section 6).

use jiff::Timestamp;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::OAuthClient;
use super::call::Filling;
use super::reason::{self, RefreshMeaning};
use super::registered::Registered;
use super::scrub::Scrubber;
use super::token_endpoint::{ExchangeFailure, Exchanged, TokenError};
use super::transport_error::TransportError;
use crate::domain::token_set::TokenSet;

/// What a refresh gave.
pub struct Refreshed {
    /// The tokens. What the response leaves out stays as it was: the refresh token, the scope,
    /// the end of the consent, the person.
    pub token_set: TokenSet,
    /// What is wrong with the response, for the operator. The tokens are kept all the same: the institution may have
    /// ended the ones before.
    pub fault: Option<String>,
    /// The ID token, if one came and `openid` was asked for: to be judged once the tokens are kept.
    pub id_token: Option<Zeroizing<String>>,
    /// Keeps the secrets out of what else the institution says.
    pub scrubber: Scrubber,
}

/// A refresh that gave no tokens.
pub struct RefreshFailure {
    /// What it means for the refresh token.
    pub meaning: RefreshMeaning,
    /// Why.
    pub error: TokenError,
    /// Keeps the secrets out of what else the institution says.
    pub scrubber: Scrubber,
}

impl OAuthClient {
    /// Asks for new tokens, within the institution's time limit. One token request per call: it is sent a second time
    /// only when the first found no connection. `None`: `current` has no refresh token.
    ///
    /// `now` is what the tokens' lifetime counts from.
    pub async fn refresh(
        &self,
        at: Registered<'_>,
        current: &TokenSet,
        now: Timestamp,
    ) -> Option<Result<Refreshed, Box<RefreshFailure>>> {
        let token = current.refresh_token.as_ref()?;
        let mut scrubber = Scrubber::of([token.expose_secret()]);
        scrubber.learn(current.access_token.expose_secret());
        scrubber.learn_client(at.registration);
        let own = [
            ("refresh_token", token.expose_secret()),
            ("access_token", current.access_token.expose_secret()),
        ];
        let parameters = [("grant_type", "refresh_token"), own[0]];
        let filling = Filling {
            at,
            own: &own,
            values: &current.values,
        };
        let (call, scope) = (&at.oauth.calls.refresh, current.scope.clone());
        let bound_to = self.thumbprint(at);
        let asked = self.request_tokens(call, &parameters, &filling, scope, scrubber, now);
        Some(match asked.await {
            Ok(Exchanged {
                mut token_set,
                fault,
                sent_id_token,
                scrubber,
                ..
            }) => {
                let unchanged = || Some(token.clone());
                token_set.refresh_token = token_set.refresh_token.or_else(unchanged);
                let consent = &mut token_set.consent_expires_at;
                *consent = consent.or(current.consent_expires_at);
                token_set.values = current.values.clone();
                let details = &mut token_set.authorization_details;
                *details = details
                    .take()
                    .or_else(|| current.authorization_details.clone());
                token_set.person = current.person;
                token_set.bound_to = bound_to;
                Ok(Refreshed {
                    token_set,
                    fault: fault.map(|fault| fault.to_string()),
                    id_token: sent_id_token,
                    scrubber,
                })
            }
            Err(failure) => {
                let ExchangeFailure {
                    error,
                    status,
                    issued,
                    scrubber,
                } = *failure;
                // Whatever is wrong with the response: this is the newest refresh token that there is.
                match issued.newest(current, now) {
                    Some(token_set) => Ok(Refreshed {
                        token_set: TokenSet {
                            bound_to,
                            ..token_set
                        },
                        fault: Some(error.to_string()),
                        id_token: None,
                        scrubber,
                    }),
                    None => Err(Box::new(RefreshFailure {
                        meaning: meaning(at, &error, status),
                        error,
                        scrubber,
                    })),
                }
            }
        })
    }
}

fn meaning(at: Registered<'_>, error: &TokenError, status: Option<u16>) -> RefreshMeaning {
    match error {
        // Elsewhere an error is not the token endpoint's own word (RFC 6749 section 5.2).
        TokenError::Refused(refusal) if matches!(status, Some(200..=299 | 400 | 401)) => {
            reason::of_refresh(at.oauth, &refusal.error)
        }
        TokenError::Refused(_) => RefreshMeaning::Unknown,
        TokenError::Call(
            TransportError::Insecure
            | TransportError::Unwritable(_)
            | TransportError::Forbidden(_)
            | TransportError::Setup(_)
            | TransportError::Unreachable(_),
        ) => RefreshMeaning::NotAsked,
        TokenError::Call(TransportError::Status(401)) => RefreshMeaning::ClientRefused,
        TokenError::Call(TransportError::Status(429)) => RefreshMeaning::NotAsked,
        TokenError::Call(_)
        | TokenError::Unusable(_)
        | TokenError::IdToken(_)
        | TokenError::Vouching(_) => RefreshMeaning::Unknown,
    }
}

#[cfg(test)]
mod tests;
