//! The exchange: a code is exchanged for a token set.

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::OAuthClient;
use super::attempt::AttemptSecrets;
use super::authorize::sends_pkce;
use super::code::AuthorizationCode;
use super::id_token::{Expectations, IdTokenError};
use super::openid;
use super::registered::Registered;
use super::scrub::Scrubber;
use super::token_endpoint::{ExchangeFailure, Exchanged, TokenError};
use super::token_response::Issued;
use crate::domain::authorization::ResponseType;
use crate::domain::secret::{AuthorizationState, Digest};

/// What the authorization response brought, and what was kept for its attempt.
pub struct Authorized<'a> {
    /// The `state`; it is not sent again.
    pub state: &'a AuthorizationState,
    /// The code.
    pub code: &'a AuthorizationCode,
    /// The ID token that came with it, if one did.
    pub id_token: Option<&'a str>,
    /// The attempt's verifier and nonce.
    pub secrets: &'a AttemptSecrets,
}

impl OAuthClient {
    /// Exchanges a code for a token set (RFC 6749 section 4.1.3, RFC 7636 section 4.5), within the
    /// institution's time limit. One token request per call: it is sent a second time only when the first
    /// found no connection. Where `openid` was asked for, the ID token is verified. Where the code has to come with an ID
    /// token, that one is verified before anything is sent, and both must be about the same person.
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
            ..
        } = *authorized;
        let scrubber = Scrubber::of_exchange(at, state, Some(code), Some(secrets));
        let vouched = match self.vouched(at, authorized, now).await {
            Ok(vouched) => vouched,
            Err(error) => {
                return Err(Box::new(ExchangeFailure {
                    error: TokenError::Vouching(error),
                    status: None,
                    issued: Issued::default(),
                    scrubber,
                }));
            }
        };
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose()),
            ("redirect_uri", at.registration.redirect_uri.as_str()),
        ];
        if sends_pkce(at.oauth) {
            fields.push(("code_verifier", secrets.verifier()));
        }
        let asked = self.request_tokens(at, &fields, at.scope(), scrubber, now);
        let mut exchanged = asked.await?;
        let judged = self.judge(at, &mut exchanged, secrets, now).await;
        let is_other = |before: &Digest| {
            let person = exchanged.token_set.person.as_ref();
            person.is_none_or(|person| !person.matches(before))
        };
        let judged = judged.and_then(|()| match vouched.as_ref().is_some_and(is_other) {
            true => Err(IdTokenError::OtherPerson.into()),
            false => Ok(()),
        });
        match judged {
            Ok(()) => {
                let consent = &mut exchanged.token_set.consent_expires_at;
                *consent = consent.or_else(|| now.checked_add(at.oauth.consent?).ok());
                Ok(exchanged)
            }
            Err(error) => Err(Box::new(ExchangeFailure {
                error,
                status: None,
                issued: Issued::from(&exchanged.token_set),
                scrubber: exchanged.scrubber,
            })),
        }
    }

    /// Whose code it is, as the ID token that came with it vouches (OpenID Connect Core section 3.3.2.12, FAPI 1.0 Advanced
    /// section 5.2.3.1); `None`: codes come alone.
    async fn vouched(
        &self,
        at: Registered<'_>,
        authorized: &Authorized<'_>,
        now: Timestamp,
    ) -> Result<Option<Digest>, IdTokenError> {
        let Authorized {
            state,
            code,
            id_token,
            secrets,
        } = *authorized;
        if at.oauth.authorization.response_type == ResponseType::Code {
            return Ok(None);
        }
        let expected = Expectations {
            c_hash_of: Some(code.expose()),
            s_hash_of: Some(state.expose()),
            ..openid::of_authorization(at, secrets)?
        };
        let id_token = self.verify_id_token(at, id_token, &expected, now).await?;
        Ok(Some(id_token.person()))
    }

    /// Whether what came with the tokens is in order. Who signed in is noted.
    async fn judge(
        &self,
        at: Registered<'_>,
        exchanged: &mut Exchanged,
        secrets: &AttemptSecrets,
        now: Timestamp,
    ) -> Result<(), TokenError> {
        if let Some(fault) = exchanged.fault.take() {
            return Err(TokenError::Unusable(fault));
        }
        if !at.uses_openid() {
            return Ok(());
        }
        let token_set = &mut exchanged.token_set;
        let expected = Expectations {
            at_hash_of: Some(token_set.access_token.expose_secret()),
            ..openid::of_authorization(at, secrets)?
        };
        let sent = exchanged.sent_id_token.as_deref().map(String::as_str);
        let id_token = self.verify_id_token(at, sent, &expected, now).await?;
        token_set.person = Some(id_token.person());
        exchanged.id_token = Some(id_token);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
