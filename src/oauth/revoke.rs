//! Revocation: a grant is given back (RFC 7009).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oauth2::basic::BasicRevocationErrorResponse;
use oauth2::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::OAuthClient;
use super::exchange::{NoSecret, client_secret, without};
use super::transport::{TransportError, within};
use crate::domain::client::Registration;
use crate::domain::grant::Grant;
use crate::domain::institution::{ClientAuthentication, OAuth};
use crate::outgoing;

/// How much of an error answer is read, in bytes.
const ERROR_LIMIT: usize = 16 * 1024;

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
    #[error("the institution refused the revocation: {0}")]
    Refused(String),
    /// The institution does not revoke tokens of this kind.
    #[error("the institution does not revoke tokens of this kind")]
    UnsupportedTokenType,
}

impl OAuthClient {
    /// Gives a grant back: the refresh token first, which ends the grant as a whole at most
    /// institutions, then the access token. Both are tried; the first error is returned.
    ///
    /// Each of the two calls has the institution's time limit. A 200 answer for a token the
    /// institution does not know is success (RFC 7009 section 2.2).
    pub async fn revoke(
        &self,
        oauth: &OAuth,
        registration: &Registration,
        grant: &Grant,
    ) -> Result<(), RevokeError> {
        let endpoint = oauth
            .revocation_endpoint
            .as_ref()
            .ok_or(RevokeError::NoEndpoint)?;
        let secret =
            client_secret(oauth, registration).map_err(|NoSecret| RevokeError::NoSecret)?;
        let call = Revocation {
            oauth,
            registration,
            endpoint,
            secret,
        };
        let refresh = match &grant.refresh_token {
            Some(token) => Some(self.revoke_token(&call, token, "refresh_token").await),
            None => None,
        };
        let access = self
            .revoke_token(&call, &grant.access_token, "access_token")
            .await;
        match (refresh, access) {
            // The grant is gone with its refresh token; the access token ends by itself.
            (Some(Ok(())), Err(RevokeError::UnsupportedTokenType)) => Ok(()),
            (Some(Err(error)), _) => Err(error),
            (_, access) => access,
        }
    }

    async fn revoke_token(
        &self,
        call: &Revocation<'_>,
        token: &SecretString,
        hint: &str,
    ) -> Result<(), RevokeError> {
        let (headers, form) = call.request(token, hint);
        let answer = within(call.oauth, async {
            let response = self
                .transport
                .post(call.oauth, call.endpoint, headers, form)
                .await?;
            let status = response.status();
            if status.as_u16() == 200 {
                // What a success says is in its status alone.
                return Ok(None);
            }
            let body = outgoing::read_body(response, ERROR_LIMIT).await;
            let refusal = body
                .ok()
                .and_then(|body| serde_json::from_slice(&body).ok());
            refusal
                .map(Some)
                .ok_or(TransportError::Status(status.as_u16()))
        })
        .await?;
        match answer {
            None => Ok(()),
            Some(refusal) => Err(call.refused(&refusal, token)),
        }
    }
}

/// What both calls have in common.
struct Revocation<'a> {
    oauth: &'a OAuth,
    registration: &'a Registration,
    endpoint: &'a Url,
    secret: Option<&'a SecretString>,
}

impl Revocation<'_> {
    /// The request of RFC 7009 section 2.1. Made here and not by the OAuth library, which allows
    /// none to an institution on this machine.
    fn request(&self, token: &SecretString, hint: &str) -> (HeaderMap, Vec<u8>) {
        let mut headers = HeaderMap::from_iter([
            (ACCEPT, HeaderValue::from_static("application/json")),
            (
                CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            ),
        ]);
        let mut form = Serializer::new(String::new());
        form.append_pair("token", token.expose_secret())
            .append_pair("token_type_hint", hint);
        let id = &self.registration.client_id;
        let secret = self.secret.map(|secret| secret.expose_secret());
        match (self.oauth.client_authentication, secret) {
            (ClientAuthentication::ClientSecretBasic, Some(secret)) => {
                headers.insert(AUTHORIZATION, basic(id, secret));
            }
            (_, secret) => {
                form.append_pair("client_id", id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret);
                }
            }
        }
        (headers, form.finish().into_bytes())
    }

    fn refused(&self, refusal: &BasicRevocationErrorResponse, token: &SecretString) -> RevokeError {
        let error = refusal.error().to_string();
        if error == "unsupported_token_type" {
            return RevokeError::UnsupportedTokenType;
        }
        let description = refusal.error_description().map_or("", String::as_str);
        let said = format!("{error}: {description}");
        let secret = self.secret.map_or("", |secret| secret.expose_secret());
        RevokeError::Refused(without(&said, &[token.expose_secret(), secret]))
    }
}

/// HTTP Basic with id and secret form-encoded first (RFC 6749 section 2.3.1).
fn basic(id: &str, secret: &str) -> HeaderValue {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let credentials = STANDARD.encode(format!("{}:{}", encode(id), encode(secret)));
    let mut value =
        HeaderValue::from_str(&format!("Basic {credentials}")).expect("Base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests;
