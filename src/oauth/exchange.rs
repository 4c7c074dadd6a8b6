//! The token request: a code becomes a grant.

use jiff::Timestamp;
use oauth2::basic::BasicClient;
use oauth2::http::header::AUTHORIZATION;
use oauth2::{
    AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, TokenUrl,
};
use secrecy::ExposeSecret;

use super::proof::{NoSecret, Proof};
use super::reason::{self, Meaning, SetupFault};
use super::reply::{Refusal, Unfit};
use super::scrub::Scrubber;
use super::token_answer::{Issued, TokenAnswer, UnusableAnswer, has_token};
use super::transport::TransportError;
use super::{AttemptSecrets, AuthorizationCode, OAuthClient, authorize};
use crate::domain::client::Registration;
use crate::domain::grant::Grant;
use crate::domain::institution::{ClientAuthentication, OAuth, SubjectSource};
use crate::domain::secret::AuthorizationState;
use crate::domain::window::ErrorReason;

/// How much of a token type's name is kept, in characters.
const TYPE_NAME: usize = 40;

/// What a person came back with, and what was kept for it.
pub struct Authorized<'a> {
    /// The `state`; it is not sent again.
    pub state: &'a AuthorizationState,
    /// The code.
    pub code: &'a AuthorizationCode,
    /// The attempt's verifier and nonce.
    pub secrets: &'a AttemptSecrets,
}

/// What a code became.
pub struct Granted {
    /// The grant.
    pub grant: Grant,
    /// Who signed in, where the institution's token answer is to say so and does.
    pub subject: Option<String>,
    /// Keeps the secrets of this exchange out of what else the institution says.
    pub scrubber: Scrubber,
}

/// A code that became no grant.
pub struct NotGranted {
    /// Why.
    pub error: ExchangeError,
    /// What the institution issued all the same: to be given back.
    pub issued: Issued,
    /// Keeps the secrets of this exchange out of what else the institution says.
    pub scrubber: Scrubber,
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
    #[error("the institution refused the code: {}", .0.said)]
    Refused(Refusal),
    /// The answer is well formed and of no use.
    #[error("the token response is of no use: {0}")]
    Unusable(UnusableAnswer),
}

impl ExchangeError {
    /// What it means.
    ///
    /// The institution's own error map counts for its refusals. A refused client, a fault of TLS, and a
    /// call that was never made are the operator's to mend; everything else is the institution's failure.
    pub fn meaning(&self, oauth: &OAuth) -> Meaning {
        match self {
            Self::NoSecret => Meaning::NotSetUp(SetupFault::Configuration),
            Self::Call(error) => error.meaning_to_a_client(),
            Self::Refused(refusal) => reason::of_call(oauth, &refusal.error),
            Self::Unusable(_) => Meaning::Reason(ErrorReason::ProviderError),
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
        authorized: &Authorized<'_>,
        now: Timestamp,
    ) -> Result<Granted, Box<NotGranted>> {
        let Authorized {
            state,
            code,
            secrets,
        } = authorized;
        let (code, secrets) = (Some(*code), Some(*secrets));
        let mut scrubber = Scrubber::of_exchange(oauth, registration, state, code, secrets);
        let failed = |error, issued, scrubber| {
            Box::new(NotGranted {
                error,
                issued,
                scrubber,
            })
        };
        let proof = match Proof::of(oauth, registration) {
            Ok(proof) => proof,
            Err(NoSecret) => {
                return Err(failed(ExchangeError::NoSecret, Issued::default(), scrubber));
            }
        };
        let (parts, form) = request(oauth, registration, &proof, authorized).into_parts();
        let endpoint = &oauth.token_endpoint;
        let reply = match self
            .transport
            .post(oauth, endpoint, parts.headers, form)
            .await
        {
            Ok(reply) => reply,
            Err(error) => return Err(failed(error.into(), Issued::default(), scrubber)),
        };
        let issued = Issued::found_in(&reply.members);
        for token in issued.all() {
            scrubber.learn(token.expose_secret());
        }
        if let Err(unfit) = reply.judge(has_token(&reply.members)) {
            let error = match unfit {
                Unfit::Refused(error) => ExchangeError::Refused(error.scrubbed(&scrubber)),
                Unfit::Unusable(error) => error.into(),
            };
            return Err(failed(error, issued, scrubber));
        }
        let answer = TokenAnswer(reply.members);
        let subject = match &oauth.subject {
            Some(SubjectSource::TokenAnswer { field }) => answer.subject(field),
            Some(SubjectSource::Identify { .. }) | None => None,
        };
        let scopes = super::scopes(oauth, registration);
        let requested = (!scopes.is_empty()).then(|| scopes.join(&oauth.scope_separator));
        match answer.into_grant(requested, now) {
            Ok(grant) => Ok(Granted {
                grant,
                subject,
                scrubber,
            }),
            Err(unusable) => {
                let unusable = match unusable {
                    UnusableAnswer::TokenType(name) => {
                        UnusableAnswer::TokenType(scrubber.shown(&name, TYPE_NAME))
                    }
                    UnusableAnswer::NoToken => UnusableAnswer::NoToken,
                };
                Err(failed(ExchangeError::Unusable(unusable), issued, scrubber))
            }
        }
    }
}

/// A request that was built and not sent.
#[derive(Debug, thiserror::Error)]
#[error("the request was built")]
struct Built(Box<HttpRequest>);

/// The token request. The OAuth library writes it; it is sent, and what comes back is read, by
/// [`super::transport`], whose rules are ours.
fn request(
    oauth: &OAuth,
    registration: &Registration,
    proof: &Proof<'_>,
    authorized: &Authorized<'_>,
) -> HttpRequest {
    let way = match oauth.client_authentication {
        ClientAuthentication::ClientSecretBasic(_) => AuthType::BasicAuth,
        ClientAuthentication::ClientSecretPost | ClientAuthentication::None => {
            AuthType::RequestBody
        }
    };
    let mut client = BasicClient::new(ClientId::new(proof.id.to_owned()))
        .set_auth_type(way)
        .set_redirect_uri(RedirectUrl::from_url(registration.redirect_uri.clone()));
    if let Some(secret) = proof.secret {
        client = client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()));
    }
    let client = client.set_token_uri(TokenUrl::from_url(oauth.token_endpoint.clone()));
    let code = oauth2::AuthorizationCode::new(authorized.code.expose().to_owned());
    let mut exchange = client.exchange_code(code);
    if authorize::sends_pkce(oauth) {
        let verifier = authorized.secrets.verifier().to_owned();
        exchange = exchange.set_pkce_verifier(PkceCodeVerifier::new(verifier));
    }
    let keep = |request| Err::<HttpResponse, _>(Built(Box::new(request)));
    let Err(RequestTokenError::Request(Built(request))) = exchange.request(&keep) else {
        unreachable!("the request is handed over before anything can be read");
    };
    let mut request = *request;
    if let Some(basic) = proof.authorization() {
        request.headers_mut().insert(AUTHORIZATION, basic);
    }
    request
}

#[cfg(test)]
mod tests;
