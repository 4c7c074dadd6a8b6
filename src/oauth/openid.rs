//! OpenID Connect: which ID token a response must have, and what it says of its tokens.
//!
//! - Where `openid` was asked for, tokens without a valid ID token connect nobody.
//! - A refresh may bring one (OpenID Connect Core section 12.2). It never costs the tokens, which are the newest that there
//!   are; but those of another person are not to be used.

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::OAuthClient;
use super::attempt::AttemptSecrets;
use super::id_token::{self, Expectations, IdToken, IdTokenError};
use super::registered::Registered;
use super::signed_response::{Protection, SignedResponseError};
use crate::domain::token_set::TokenSet;

impl OAuthClient {
    /// Verifies an ID token that the institution sent, with its keys as they are known or, if none of them fits, as they are
    /// now.
    ///
    /// # Errors
    ///
    /// [`IdTokenError`]; also if the institution's keys cannot be read.
    pub(super) async fn verify_id_token(
        &self,
        at: Registered<'_>,
        token: Option<&str>,
        expected: &Expectations<'_>,
        now: Timestamp,
    ) -> Result<IdToken, IdTokenError> {
        let token = token.ok_or(IdTokenError::Missing)?;
        let openid = &at.oauth.openid;
        let protection = Protection {
            signed: openid.id_token_signed_response_alg,
            encrypted: openid.id_token_encrypted_response,
        };
        let keys = self.keys_for(at, token, protection).await;
        let keys = keys.map_err(SignedResponseError::Keys)?;
        id_token::verify(token, protection, keys.keys(), expected, now)
    }

    /// Judges an ID token that came with refreshed tokens, which were those of the person in `token_set` before.
    ///
    /// # Errors
    ///
    /// [`IdTokenError`]. Whether the new tokens may be used says [`IdTokenError::is_about_others`].
    pub async fn judge_refreshed(
        &self,
        at: Registered<'_>,
        token_set: &TokenSet,
        id_token: &str,
        now: Timestamp,
    ) -> Result<(), IdTokenError> {
        let expected = Expectations {
            at_hash_of: Some(token_set.access_token.expose_secret()),
            ..of_any(at)?
        };
        let refreshed = self.verify_id_token(at, Some(id_token), &expected, now);
        let refreshed = refreshed.await?.person();
        match token_set
            .person
            .is_none_or(|person| person.matches(&refreshed))
        {
            true => Ok(()),
            false => Err(IdTokenError::OtherPerson),
        }
    }
}

/// What an ID token of an authorization must say, whatever it comes with.
///
/// # Errors
///
/// [`IdTokenError::Issuer`]: the institution's file has none.
pub fn of_authorization<'a>(
    at: Registered<'a>,
    secrets: &'a AttemptSecrets,
) -> Result<Expectations<'a>, IdTokenError> {
    Ok(Expectations {
        nonce: Some(secrets.nonce()),
        max_age: at.oauth.max_age(),
        acr_values: at.oauth.acr_values(),
        claims: Some(&at.oauth.openid.id_token_claims),
        ..of_any(at)?
    })
}

fn of_any(at: Registered<'_>) -> Result<Expectations<'_>, IdTokenError> {
    Ok(Expectations {
        issuer: at.oauth.issuer.as_deref().ok_or(IdTokenError::Issuer)?,
        client_id: &at.registration.client_id,
        nonce: None,
        at_hash_of: None,
        c_hash_of: None,
        s_hash_of: None,
        max_age: None,
        acr_values: None,
        claims: None,
    })
}
