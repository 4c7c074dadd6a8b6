//! The token request: a code becomes a grant.

use std::pin::Pin;

use jiff::Timestamp;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
};
use oauth2::{
    AsyncHttpClient, AuthType, Client, ClientId, ClientSecret, HttpRequest, HttpResponse,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, StandardRevocableToken, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::byte_serialize;

use super::token_answer::{TokenAnswer, UnusableAnswer};
use super::transport::{Transport, TransportError, read_token_answer, within};
use super::{AttemptSecrets, AuthorizationCode, OAuthClient, authorize, reason};
use crate::domain::client::Registration;
use crate::domain::grant::Grant;
use crate::domain::institution::{ClientAuthentication, OAuth, SubjectSource};
use crate::domain::window::ErrorReason;
use crate::printable::printable;

/// How much of an institution's own words is kept, in characters.
const SAID: usize = 300;

/// The token endpoint's client, with our own reading of a successful answer.
type TokenClient = Client<
    BasicErrorResponse,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
>;

/// What a code became.
pub struct Granted {
    /// The grant.
    pub grant: Grant,
    /// Who signed in, where the institution's token answer is to say so and does.
    pub subject: Option<String>,
}

/// Why a code did not become a grant. Written out, it is the operator's detail: short, without
/// control characters, and without a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeError {
    /// The institution wants a client secret, and the registration has none: nothing was sent.
    #[error("the registration has no client secret, and the institution wants one")]
    NoSecret,
    /// The call came to nothing.
    #[error(transparent)]
    Call(#[from] TransportError),
    /// The institution refused (RFC 6749 section 5.2).
    #[error("the institution refused the code: {said}")]
    Refused {
        /// Its error code, as sent.
        error: String,
        /// The error code and its description, for the operator.
        said: String,
    },
    /// The answer lacks a member, or one is of the wrong type.
    #[error("the token answer lacks {0}, or has it in another form")]
    Malformed(String),
    /// The answer is well formed and of no use.
    #[error("the token answer is of no use: {0}")]
    Unusable(String),
}

impl ExchangeError {
    /// What the person and the member service are told.
    ///
    /// The institution's own error map counts for its refusals. Everything else is its failure too,
    /// unless the call was never made for reasons of ours.
    pub fn reason(&self, oauth: &OAuth) -> ErrorReason {
        match self {
            Self::NoSecret | Self::Call(TransportError::Insecure | TransportError::Setup(_)) => {
                ErrorReason::ServerError
            }
            Self::Refused { error, .. } => {
                reason::mapped(oauth, error).unwrap_or(ErrorReason::ProviderError)
            }
            Self::Call(_) | Self::Malformed(_) | Self::Unusable(_) => ErrorReason::ProviderError,
        }
    }
}

impl OAuthClient {
    /// Exchanges a code for a grant (RFC 6749 section 4.1.3, RFC 7636 section 4.5), within the
    /// institution's time limit. One token request per call: it is sent a second time only when the
    /// first found no connection.
    ///
    /// `now` is what the tokens' lifetime counts from.
    pub async fn exchange(
        &self,
        oauth: &OAuth,
        registration: &Registration,
        code: &AuthorizationCode,
        secrets: &AttemptSecrets,
        now: Timestamp,
    ) -> Result<Granted, ExchangeError> {
        let client_secret =
            client_secret(oauth, registration).map_err(|NoSecret| ExchangeError::NoSecret)?;
        let mut client = TokenClient::new(ClientId::new(registration.client_id.clone()))
            .set_auth_type(auth_type(oauth))
            .set_redirect_uri(RedirectUrl::from_url(registration.redirect_uri.clone()));
        if let Some(secret) = client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
        }
        let client = client.set_token_uri(TokenUrl::from_url(oauth.token_endpoint.clone()));

        let mut request =
            client.exchange_code(oauth2::AuthorizationCode::new(code.expose().to_owned()));
        if authorize::sends_pkce(oauth) {
            request =
                request.set_pkce_verifier(PkceCodeVerifier::new(secrets.verifier().to_owned()));
        }
        let endpoint = TokenEndpoint {
            transport: &self.transport,
            oauth,
        };
        let answer = request.request_async(&endpoint).await.map_err(|error| {
            let secret = client_secret.map_or("", |secret| secret.expose_secret());
            named(error, &[code.expose(), secrets.verifier(), secret])
        })?;

        let subject = match &oauth.subject {
            Some(SubjectSource::TokenAnswer { field }) => answer.subject(field),
            Some(SubjectSource::Identify { .. }) | None => None,
        };
        let scopes = super::scopes(oauth, registration);
        let requested = (!scopes.is_empty()).then(|| scopes.join(&oauth.scope_separator));
        let grant = answer
            .into_grant(requested, now)
            .map_err(|error| match error {
                // A type's name is the institution's own text.
                UnusableAnswer::TokenType(name) => ExchangeError::Unusable(
                    UnusableAnswer::TokenType(printable(&name, 40)).to_string(),
                ),
                error => ExchangeError::Unusable(error.to_string()),
            })?;
        Ok(Granted { grant, subject })
    }
}

/// The token endpoint, as the OAuth library calls it.
struct TokenEndpoint<'a> {
    transport: &'a Transport,
    oauth: &'a OAuth,
}

impl<'a> AsyncHttpClient<'a> for TokenEndpoint<'_> {
    type Error = TransportError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, TransportError>> + Send + 'a>>;

    fn call(&'a self, request: HttpRequest) -> Self::Future {
        let (parts, form) = request.into_parts();
        let Self { transport, oauth } = self;
        Box::pin(within(oauth, async move {
            let response = transport
                .post(oauth, &oauth.token_endpoint, parts.headers, form)
                .await?;
            read_token_answer(response).await
        }))
    }
}

/// The registration has no client secret, and the institution wants one.
pub(super) struct NoSecret;

/// The secret that goes with the institution's way of authentication; none for a public client.
pub(super) fn client_secret<'a>(
    oauth: &OAuth,
    registration: &'a Registration,
) -> Result<Option<&'a SecretString>, NoSecret> {
    match oauth.client_authentication {
        ClientAuthentication::None => Ok(None),
        ClientAuthentication::ClientSecretBasic | ClientAuthentication::ClientSecretPost => {
            let secret = registration.client_secret.as_ref();
            secret.map(Some).ok_or(NoSecret)
        }
    }
}

fn auth_type(oauth: &OAuth) -> AuthType {
    match oauth.client_authentication {
        ClientAuthentication::ClientSecretBasic => AuthType::BasicAuth,
        ClientAuthentication::ClientSecretPost | ClientAuthentication::None => {
            AuthType::RequestBody
        }
    }
}

/// The error by its name here. The parser's own words are dropped: they quote what they could not
/// read, and that may be a token.
fn named(
    error: RequestTokenError<TransportError, BasicErrorResponse>,
    secrets: &[&str],
) -> ExchangeError {
    match error {
        RequestTokenError::Request(error) => ExchangeError::Call(error),
        RequestTokenError::ServerResponse(refusal) => {
            let error = refusal.error().as_ref();
            let mut said = error.to_owned();
            if let Some(description) = refusal.error_description() {
                said.push_str(": ");
                said.push_str(description);
            }
            ExchangeError::Refused {
                error: without(error, secrets),
                said: without(&said, secrets),
            }
        }
        RequestTokenError::Parse(error, _) => {
            ExchangeError::Malformed(match error.path().to_string().as_str() {
                // A missing member is found at the end of the object.
                "." => "access_token or token_type".to_owned(),
                member => member.to_owned(),
            })
        }
        // The transport has checked all that this could be about.
        RequestTokenError::Other(text) => ExchangeError::Malformed(without(&text, secrets)),
    }
}

/// `text` without any of the secrets, plain or form-encoded, fit for printing.
pub(super) fn without(text: &str, secrets: &[&str]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret, "[secret]");
        let encoded: String = byte_serialize(secret.as_bytes()).collect();
        text = text.replace(&encoded, "[secret]");
    }
    printable(&text, SAID)
}

#[cfg(test)]
mod tests;
