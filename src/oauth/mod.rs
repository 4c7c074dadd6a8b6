//! The protocol, as a client: the authorization code grant (RFC 6749 section 4.1) with PKCE
//! (RFC 7636), refresh (RFC 6749 section 6) and revocation (RFC 7009).
//!
//! It knows institutions and registrations, not members or windows, and keeps nothing.
//!
//! ```text
//! authorize  ─▶ the address people are sent to
//! response   ◀─ what comes back: the authorization response
//! exchange   ─▶ a code is exchanged for a token set; one token request, never repeated once a byte was sent
//! identify   ─▶ who signed in, where the institution says
//! refresh    ─▶ new tokens for a refresh token
//! revoke     ─▶ tokens are revoked
//! ```
//!
//! **Nothing in an ID token is used.** If `openid` is among the scopes a `nonce` is sent, because servers
//! ask for it. An ID token in the token response is neither read nor kept, so no identity, e-mail address
//! or claim in it can decide anything here. Who signed in is learnt from a field or an endpoint that the
//! institution's file names.
//!
//! Endpoints that the operator wrote are called by `transport`; `fetch` gets what an institution publishes at addresses
//! that it names itself.
//!
//! Secrets (state, code, verifier, nonce, tokens, client secret) appear in no error: everything an
//! institution says passes [`Scrubber`] before it is kept for the operator.

mod attempt;
mod authorize;
mod call_ids;
mod certificates;
mod client_authentication;
mod code;
mod exchange;
mod fetch;
mod identify;
pub mod json;
mod reason;
mod refresh;
mod registered;
mod reply;
mod response;
mod revoke;
mod scrub;
mod token_endpoint;
mod token_response;
mod transport;
mod transport_error;

#[cfg(test)]
mod test_support;

pub use attempt::AttemptSecrets;
pub use authorize::{AuthorizationRequest, authorize};
pub use certificates::Certificates;
pub use code::AuthorizationCode;
pub use exchange::Authorized;
pub use fetch::DOCUMENT_LIMIT;
pub use identify::IdentifyError;
pub use reason::{Meaning, RefreshMeaning, SetupFault};
pub use refresh::{RefreshFailure, Refreshed};
pub use registered::Registered;
pub use response::{
    AuthorizationResponse, AuthorizationResult, InvalidAuthorizationResponse, IssuerMismatch, words,
};
pub use revoke::RevokeError;
pub use scrub::Scrubber;
pub use token_endpoint::{ExchangeFailure, Exchanged, TokenError};
pub use token_response::Issued;
pub use transport_error::{SetupError, TransportError};

use std::sync::Arc;

use url::Url;
use zeroize::Zeroizing;

use fetch::Fetcher;
use transport::Transport;

use crate::client_certificate::ClientCertificate;
use crate::domain::institution::OAuth;
use crate::domain::random::Random;
use crate::outgoing::Outgoing;

/// Calls institutions. Built once; connections are shared between calls.
pub struct OAuthClient {
    transport: Transport,
    fetcher: Fetcher,
}

impl OAuthClient {
    /// Sets up the outgoing side: TLS with the machine's certificate authorities and these certificates of clients, no
    /// redirects. `random` is what calls get ids from.
    pub fn new(
        outgoing: Outgoing,
        certificates: Certificates,
        random: Arc<dyn Random>,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            fetcher: Fetcher::new(&outgoing, false)?,
            transport: Transport::new(move || outgoing.builder(), certificates, random)?,
        })
    }

    /// The same for a gateway that serves this machine only: institutions' metadata may then name it.
    pub fn serving_this_machine(self, outgoing: &Outgoing) -> Result<Self, SetupError> {
        let fetcher = Fetcher::new(outgoing, true)?;
        Ok(Self { fetcher, ..self })
    }

    /// Gets a document that an institution publishes, at an address that it names itself: at most [`DOCUMENT_LIMIT`]
    /// bytes, within 10 seconds. What it says is not judged.
    ///
    /// # Errors
    ///
    /// [`TransportError`]: it was not called, or there is no document of status 200 that is not HTML.
    pub async fn fetch(
        &self,
        oauth: &OAuth,
        url: &Url,
    ) -> Result<Zeroizing<Vec<u8>>, TransportError> {
        self.fetcher.fetch(oauth, url).await
    }

    /// The certificates of clients.
    pub fn certificates(&self) -> &Certificates {
        self.transport.certificates()
    }

    /// The certificate that the registration shows now, if it has one. Tokens that it is issued may be bound to it (RFC
    /// 8705 section 3).
    pub fn certificate(&self, at: Registered<'_>) -> Option<Arc<ClientCertificate>> {
        self.certificates().current(at.certificate()?)
    }
}
