//! The exchange: a code is exchanged for a token set.

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::OAuthClient;
use super::attempt::AttemptSecrets;
use super::authorize::sends_pkce;
use super::call::Filling;
use super::code::AuthorizationCode;
use super::id_token::{Expectations, IdTokenError};
use super::openid;
use super::registered::Registered;
use super::scrub::Scrubber;
use super::token_endpoint::{ExchangeFailure, Exchanged, TokenError};
use super::token_response::Issued;
use crate::domain::authorization::ResponseType;
use crate::domain::call::Call;
use crate::domain::connection_values::ConnectionValues;
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
    /// What belongs to the connection.
    pub values: &'a ConnectionValues,
}

impl OAuthClient {
    /// Exchanges a code for a token set (RFC 6749 section 4.1.3, RFC 7636 section 4.5), within the
    /// institution's time limit. One token request per call: it is sent a second time only when the first
    /// found no connection. Where the institution has a second exchange, that follows, within a limit of its own. Where
    /// `openid` was asked for, the ID token is verified. Where the code has to come with an ID token, that one is verified
    /// before anything is sent, and both must be about the same person.
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
        let mut first = of_connection(asked.await, values).and_then(without_fault)?;
        let judged = self.judge(at, &mut first, secrets, now).await;
        let is_other = |before: &Digest| {
            let person = first.token_set.person.as_ref();
            person.is_none_or(|person| !person.matches(before))
        };
        let judged = judged.and_then(|()| match vouched.as_ref().is_some_and(is_other) {
            true => Err(IdTokenError::OtherPerson.into()),
            false => Ok(()),
        });
        if let Err(error) = judged {
            return Err(Box::new(ExchangeFailure {
                error,
                status: None,
                issued: Issued::from(&first.token_set),
                scrubber: first.scrubber,
            }));
        }
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
            id_token,
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
                // The one that was verified; another one beside the second tokens says nothing more.
                long.id_token = id_token;
                let tokens = &mut long.token_set;
                tokens.person = short.person;
                let details = &mut tokens.authorization_details;
                *details = details.take().or(short.authorization_details);
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
            ..
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
