//! The token endpoint: a token request is made once, and the token response is read.

use jiff::Timestamp;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use super::OAuthClient;
use super::call::Filling;
use super::id_token::{IdToken, IdTokenError};
use super::reason::{self, Meaning};
use super::registered::Registered;
use super::reply::{Refusal, Unfit};
use super::scrub::Scrubber;
use super::token_response::{Issued, TokenResponse, UnusableTokenResponse, has_token};
use super::transport_error::TransportError;
use crate::domain::call::Call;
use crate::domain::institution::{OAuth, SubjectSource};
use crate::domain::token_set::TokenSet;
use crate::domain::window::ErrorReason;

/// How much of a token type's name is kept, in characters.
const TYPE_NAME: usize = 40;

/// What a successful token request gave.
pub struct Exchanged {
    /// The tokens.
    pub token_set: TokenSet,
    /// What is wrong with the response, though it has tokens.
    pub fault: Option<UnusableTokenResponse>,
    /// Who signed in, if the institution's file says that the token response has it and it does.
    pub subject: Option<String>,
    /// The ID token as it was sent, if there is one and `openid` was asked for. Nobody has verified it.
    pub(super) sent_id_token: Option<Zeroizing<String>>,
    /// The ID token of an authorization with `openid`, verified.
    pub id_token: Option<IdToken>,
    /// Keeps the secrets of this exchange out of what else the institution says.
    pub scrubber: Scrubber,
}

/// A token request that gave no token set.
pub struct ExchangeFailure {
    /// Why.
    pub error: TokenError,
    /// The status of the response; `None`: there was none.
    pub status: Option<u16>,
    /// The tokens that the institution issued all the same: to be revoked.
    pub issued: Issued,
    /// Keeps the secrets of this exchange out of what else the institution says.
    pub scrubber: Scrubber,
}

/// Why a token request gave no token set. Written out, it is the operator's detail: short,
/// without control characters, and without a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The call failed.
    #[error(transparent)]
    Call(#[from] TransportError),
    /// The institution refused (RFC 6749 section 5.2).
    #[error("the institution refused the token request: {}", .0.said)]
    Refused(Refusal),
    /// The token response is well formed and of no use.
    #[error("the token response is of no use: {0}")]
    Unusable(UnusableTokenResponse),
    /// It has tokens, and no ID token to be relied on.
    #[error("the ID token is refused: {0}")]
    IdToken(#[from] IdTokenError),
    /// Nothing was sent: no ID token vouches for the code.
    #[error("the ID token beside the code is refused: {0}")]
    Vouching(IdTokenError),
}

impl ExchangeFailure {
    /// Whether it says that the institution does not work.
    pub fn is_outage(&self) -> bool {
        let is_its_status = self.status.is_some_and(|status| status >= 500);
        is_its_status || matches!(&self.error, TokenError::Call(error) if error.is_outage())
    }
}

impl TokenError {
    /// What it means.
    ///
    /// The institution's own error map applies to its refusals. The operator has to correct a refused
    /// client, a fault of TLS and a call that was never made; everything else is the institution's
    /// failure.
    pub fn meaning(&self, oauth: &OAuth) -> Meaning {
        match self {
            Self::Call(error) => error.meaning_to_a_client(),
            Self::Refused(refusal) => reason::of_call(oauth, &refusal.error),
            Self::Unusable(_) => Meaning::Reason(ErrorReason::ProviderError),
            Self::IdToken(error) | Self::Vouching(error) => error.meaning(),
        }
    }
}

impl OAuthClient {
    /// What the tokens may be bound to that the registration is issued now. Asked before the call: if the certificate
    /// changes meanwhile, they only count as older than they are.
    pub(super) fn thumbprint(&self, at: Registered<'_>) -> Option<String> {
        let certificate = self.certificate(at)?;
        Some(certificate.thumbprint().to_owned())
    }

    /// Makes a token request with these parameters and reads the token response, within the institution's time
    /// limit. It is sent a second time only when the first found no connection.
    ///
    /// `requested` is the scope that counts if the response names none; `scrubber` knows the secrets among the
    /// parameters; `now` is what the tokens' lifetime counts from, and when the client's
    /// assertion is made.
    pub(super) async fn request_tokens(
        &self,
        call: &Call,
        parameters: &[(&str, &str)],
        filling: &Filling<'_>,
        requested: Option<String>,
        mut scrubber: Scrubber,
        now: Timestamp,
    ) -> Result<Exchanged, Box<ExchangeFailure>> {
        let failed = |error, status, issued, scrubber| {
            Err(Box::new(ExchangeFailure {
                error,
                status,
                issued,
                scrubber,
            }))
        };
        let (at, oauth) = (filling.at, filling.at.oauth);
        let endpoint = Some(at.token_endpoint());
        let asked = self.call(call, endpoint, parameters, filling, now);
        let reply = match asked.await {
            Ok(reply) => reply,
            Err(error) => return failed(error.into(), None, Issued::default(), scrubber),
        };
        let issued = Issued::found_in(&reply.members);
        let status = Some(reply.status());
        for token in issued.all() {
            scrubber.learn(token.expose_secret());
        }
        if let Some(calls) = at.calls {
            calls.clean(|text, limit| scrubber.shown(text, limit));
        }
        if let Err(unfit) = reply.judge(has_token(&reply.members)) {
            let error = match unfit {
                Unfit::Refused(error) => TokenError::Refused(error.scrubbed(&scrubber)),
                Unfit::Unusable(error) => error.into(),
            };
            return failed(error, status, issued, scrubber);
        }
        let response = TokenResponse(reply.members);
        let subject = match &oauth.subject {
            Some(SubjectSource::TokenResponse { field }) => response.subject(field),
            Some(SubjectSource::Identify { .. } | SubjectSource::IdToken { .. }) | None => None,
        };
        let sent_id_token = response.id_token().filter(|_| at.uses_openid());
        if let Some(token) = &sent_id_token {
            scrubber.learn(token);
        }
        let shown = |fault| match fault {
            UnusableTokenResponse::TokenType(name) => {
                UnusableTokenResponse::TokenType(scrubber.shown(&name, TYPE_NAME))
            }
            UnusableTokenResponse::NoToken => UnusableTokenResponse::NoToken,
        };
        let fault = response.check_type().err().map(shown);
        match response.into_token_set(call.response.expires, requested, now) {
            Some(token_set) => Ok(Exchanged {
                token_set,
                fault,
                subject,
                sent_id_token,
                id_token: None,
                scrubber,
            }),
            None => {
                let unusable = fault.unwrap_or(UnusableTokenResponse::NoToken);
                failed(TokenError::Unusable(unusable), status, issued, scrubber)
            }
        }
    }
}
