//! The exchange: a code is exchanged for a token set.

use jiff::Timestamp;

use super::OAuthClient;
use super::attempt::AttemptSecrets;
use super::authorize::sends_pkce;
use super::code::AuthorizationCode;
use super::registered::Registered;
use super::scrub::Scrubber;
use super::token_endpoint::{ExchangeFailure, Exchanged, TokenError};
use super::token_response::Issued;
use crate::domain::secret::AuthorizationState;

/// What the authorization response brought, and what was kept for its attempt.
pub struct Authorized<'a> {
    /// The `state`; it is not sent again.
    pub state: &'a AuthorizationState,
    /// The code.
    pub code: &'a AuthorizationCode,
    /// The attempt's verifier and nonce.
    pub secrets: &'a AttemptSecrets,
}

impl OAuthClient {
    /// Exchanges a code for a token set (RFC 6749 section 4.1.3, RFC 7636 section 4.5), within the
    /// institution's time limit. One token request per call: it is sent a second time only when the first
    /// found no connection.
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
        } = *authorized;
        let scrubber = Scrubber::of_exchange(at, state, Some(code), Some(secrets));
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", at.registration.redirect_uri.as_str()),
        ];
        if sends_pkce(at.oauth) {
            fields.push(("code_verifier", secrets.verifier()));
        }
        let bound_to = self.thumbprint(at);
        let asked = self.request_tokens(at, &fields, at.scope(), scrubber, now);
        let mut exchanged = asked.await?;
        exchanged.token_set.bound_to = bound_to;
        match exchanged.fault.take() {
            None => {
                let consent = &mut exchanged.token_set.consent_expires_at;
                *consent = consent.or_else(|| now.checked_add(at.oauth.consent?).ok());
                Ok(exchanged)
            }
            Some(fault) => Err(Box::new(ExchangeFailure {
                error: TokenError::Unusable(fault),
                status: None,
                issued: Issued::from(&exchanged.token_set),
                scrubber: exchanged.scrubber,
            })),
        }
    }
}

#[cfg(test)]
mod tests;
