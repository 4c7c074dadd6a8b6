//! Revocation: a grant is given back (RFC 7009).

use oauth2::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::Serializer;

use super::OAuthClient;
use super::proof::{NoSecret, Proof};
use super::reason::{self, Meaning, SetupFault};
use super::reply::{OAuthError, Refusal, Unfit};
use super::scrub::Scrubber;
use super::token_answer::Issued;
use super::transport::TransportError;
use crate::domain::client::Registration;
use crate::domain::institution::OAuth;

/// Why a grant may still be good at its institution. None of these holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// The institution has no revocation endpoint.
    #[error("the institution has no revocation endpoint")]
    NoEndpoint,
    /// The institution wants a client secret, and the registration has none: nothing was sent.
    #[error("the registration has no client secret, and the institution wants one")]
    NoSecret,
    /// The call came to nothing.
    #[error(transparent)]
    Call(#[from] TransportError),
    /// The institution refused (RFC 7009 section 2.2.1).
    #[error("the institution refused the revocation: {}", .0.said)]
    Refused(Refusal),
    /// The institution does not revoke tokens of this kind.
    #[error("the institution does not revoke tokens of this kind")]
    UnsupportedTokenType,
}

impl RevokeError {
    /// What the operator has to correct, if that is why.
    pub fn setup_fault(&self, oauth: &OAuth) -> Option<SetupFault> {
        let meaning = match self {
            Self::NoSecret => Meaning::NotSetUp(SetupFault::Configuration),
            Self::Call(error) => error.meaning_to_a_client(),
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
    /// Gives tokens back: refresh tokens first, each of which ends the grant as a whole at most
    /// institutions, then access tokens. All are tried; the first error is returned. `scrubber` knows
    /// the secrets of the exchange they came from.
    ///
    /// Each call has the institution's time limit. A success for a token the institution does not know
    /// is one (RFC 7009 section 2.2).
    pub async fn revoke(
        &self,
        oauth: &OAuth,
        registration: &Registration,
        issued: &Issued,
        scrubber: &Scrubber,
    ) -> Result<(), RevokeError> {
        let endpoint = oauth
            .revocation_endpoint
            .as_ref()
            .ok_or(RevokeError::NoEndpoint)?;
        let proof = Proof::of(oauth, registration).map_err(|NoSecret| RevokeError::NoSecret)?;
        let mut scrubber = scrubber.clone();
        proof.secrets().for_each(|secret| scrubber.learn(secret));
        for token in issued.all() {
            scrubber.learn(token.expose_secret());
        }
        let revoke = async |token: &SecretString, hint| {
            let (headers, form) = request(&proof, token, hint);
            let reply = self.transport.post(oauth, endpoint, headers, form).await?;
            match reply.judge(false) {
                Err(Unfit::Refused(error)) => Err(refused(&error, &scrubber)),
                // What a success says is in its status alone.
                _ if reply.is_success() => Ok(()),
                Err(Unfit::Unusable(error)) => Err(error.into()),
                Ok(()) => Ok(()),
            }
        };
        let mut outcome = Ok(());
        let mut is_refresh_gone = false;
        for token in &issued.refresh {
            let revoked = revoke(token, "refresh_token").await;
            is_refresh_gone |= revoked.is_ok();
            outcome = outcome.and(revoked);
        }
        for token in &issued.access {
            match revoke(token, "access_token").await {
                // The grant is gone with its refresh token; the access token ends by itself.
                Err(RevokeError::UnsupportedTokenType) if is_refresh_gone => {}
                revoked => outcome = outcome.and(revoked),
            }
        }
        outcome
    }
}

/// The request of RFC 7009 section 2.1. Made here and not by the OAuth library, which allows none to an
/// institution on this machine.
fn request(proof: &Proof<'_>, token: &SecretString, hint: &str) -> (HeaderMap, Vec<u8>) {
    let mut headers = HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("application/json")),
        (
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        ),
    ]);
    if let Some(basic) = proof.authorization() {
        headers.insert(AUTHORIZATION, basic);
    }
    let mut form = Serializer::new(String::new());
    form.append_pair("token", token.expose_secret())
        .append_pair("token_type_hint", hint)
        .extend_pairs(proof.fields());
    (headers, form.finish().into_bytes())
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
