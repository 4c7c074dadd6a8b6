//! The exchange: a code is exchanged for a token set.

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::OAuthClient;
use super::attempt::AttemptSecrets;
use super::authorize::sends_pkce;
use super::call::Filling;
use super::code::AuthorizationCode;
use super::registered::Registered;
use super::scrub::Scrubber;
use super::token_endpoint::{ExchangeFailure, Exchanged, TokenError};
use super::token_response::Issued;
use crate::domain::call::Call;
use crate::domain::connection_values::ConnectionValues;
use crate::domain::secret::AuthorizationState;

/// What the authorization response brought, and what was kept for its attempt.
pub struct Authorized<'a> {
    /// The `state`; it is not sent again.
    pub state: &'a AuthorizationState,
    /// The code.
    pub code: &'a AuthorizationCode,
    /// The attempt's verifier and nonce.
    pub secrets: &'a AttemptSecrets,
    /// What belongs to the connection.
    pub values: &'a ConnectionValues,
}

impl OAuthClient {
    /// Exchanges a code for a token set (RFC 6749 section 4.1.3, RFC 7636 section 4.5), within the
    /// institution's time limit. One token request per call: it is sent a second time only when the first
    /// found no connection. Where the institution has a second exchange, that follows, within a limit of its own.
    ///
    /// `now` is what the tokens' lifetime counts from.
    pub async fn exchange(
        &self,
        at: Registered<'_>,
        authorized: &Authorized<'_>,
        now: Timestamp,
    ) -> Result<Exchanged, Box<ExchangeFailure>> {
        let Authorized {
            state,
            code,
            secrets,
            values,
        } = *authorized;
        let scrubber = Scrubber::of_exchange(at, state, Some(code), Some(secrets));
        let mut parameters = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", at.redirect_uri()),
        ];
        let mut own = vec![("code", code.expose())];
        if sends_pkce(at.oauth) {
            let verifier = ("code_verifier", secrets.verifier());
            parameters.push(verifier);
            own.push(verifier);
        }
        let filling = Filling {
            at,
            own: &own,
            values,
        };
        let call = &at.oauth.calls.token;
        let bound_to = self.thumbprint(at);
        let asked = self.request_tokens(call, &parameters, &filling, at.scope(), scrubber, now);
        let first = of_connection(asked.await, values).and_then(without_fault)?;
        let mut exchanged = match &at.oauth.calls.second_exchange {
            None => first,
            Some(call) => self.exchange_again(at, call, first, now).await?,
        };
        exchanged.token_set.bound_to = bound_to;
        let consent = &mut exchanged.token_set.consent_expires_at;
        *consent = consent.or_else(|| now.checked_add(at.oauth.consent?).ok());
        Ok(exchanged)
    }

    /// Exchanges the tokens of an exchange once more. What the second response leaves out stays as the first
    /// had it. If the second gives none, those of the first are to be revoked.
    async fn exchange_again(
        &self,
        at: Registered<'_>,
        call: &Call,
        first: Exchanged,
        now: Timestamp,
    ) -> Result<Exchanged, Box<ExchangeFailure>> {
        let Exchanged {
            token_set: short,
            subject,
            scrubber,
            ..
        } = first;
        let mut own = vec![("access_token", short.access_token.expose_secret())];
        let refresh_token = short.refresh_token.as_ref();
        own.extend(refresh_token.map(|token| ("refresh_token", token.expose_secret())));
        let filling = Filling {
            at,
            own: &own,
            values: &short.values,
        };
        let scope = short.scope.clone();
        let asked = self.request_tokens(call, &[], &filling, scope, scrubber, now);
        let second = of_connection(asked.await, &short.values).and_then(without_fault);
        match second {
            Ok(mut long) => {
                long.subject = long.subject.or(subject);
                let tokens = &mut long.token_set;
                tokens.refresh_token = tokens.refresh_token.take().or(short.refresh_token);
                tokens.consent_expires_at = tokens.consent_expires_at.or(short.consent_expires_at);
                Ok(long)
            }
            Err(mut failure) => {
                failure.issued.add(&short);
                Err(failure)
            }
        }
    }
}

/// The outcome of a token request for the connection that these values belong to.
fn of_connection(
    outcome: Result<Exchanged, Box<ExchangeFailure>>,
    values: &ConnectionValues,
) -> Result<Exchanged, Box<ExchangeFailure>> {
    match outcome {
        Ok(mut exchanged) => {
            exchanged.token_set.values = values.clone();
            Ok(exchanged)
        }
        Err(mut failure) => {
            failure.issued = failure.issued.of_connection(values);
            Err(failure)
        }
    }
}

/// Tokens in a response with a fault are of no use for a new connection.
fn without_fault(mut exchanged: Exchanged) -> Result<Exchanged, Box<ExchangeFailure>> {
    match exchanged.fault.take() {
        None => Ok(exchanged),
        Some(fault) => Err(Box::new(ExchangeFailure {
            error: TokenError::Unusable(fault),
            status: None,
            issued: Issued::from(&exchanged.token_set),
            scrubber: exchanged.scrubber,
        })),
    }
}

#[cfg(test)]
mod tests;
