//! The protocol, as a client: the authorization code grant (RFC 6749 section 4.1) with PKCE
//! (RFC 7636), refresh (RFC 6749 section 6) and revocation (RFC 7009).
//!
//! It knows institutions and registrations, not members or windows, and keeps nothing.
//!
//! ```text
//! discovery  ─▶ what an authorization server says of itself; it is compared, never adopted
//! jwks       ─▶ the keys it publishes
//! prepare    ─▶ the address people are sent to, with what the institution is told before (authorize)
//! response   ◀─ what comes back: the authorization response
//! exchange   ─▶ a code is exchanged for a token set; one token request, never repeated once a byte was sent
//! openid     ◀─ the ID token that came with the tokens is verified
//! identify   ─▶ who signed in, where the institution says
//! refresh    ─▶ new tokens for a refresh token
//! revoke     ─▶ tokens are revoked
//! ```
//!
//! **An ID token counts only once it is verified**, by the rules of `id_token`: signature, claims, and what it is bound to.
//! Where `openid` is among the scopes, an exchange without a valid one gives nothing, and its tokens are to be revoked. The
//! person is its `iss` and `sub` together; no e-mail address, name or phone number decides anything.
//!
//! Endpoints that the operator wrote are called by `transport`; `fetch` gets what an institution publishes at addresses
//! that it names itself.
//!
//! Secrets (state, code, verifier, nonce, tokens, client secret, keys and assertions) appear in no error: everything an
//! institution says passes [`Scrubber`] before it is kept for the operator.

mod attempt;
mod authorize;
mod call;
mod call_ids;
mod calls;
mod certificates;
mod client_assertion;
mod client_authentication;
mod client_keys;
mod client_token;
mod code;
mod compare;
mod consent;
mod discovery;
mod document;
mod exchange;
mod fetch;
mod id_token;
mod identify;
pub mod json;
mod jwks;
mod key_cache;
mod metadata;
mod openid;
mod placement;
mod prepare;
mod published_keys;
mod pushed_request;
mod reason;
mod refresh;
mod registered;
mod reply;
mod request_object;
mod response;
mod response_jwt;
mod response_names;
mod revoke;
mod scrub;
mod shape;
mod signed_request;
mod signed_response;
mod token_endpoint;
mod token_response;
mod transport;
mod transport_error;

#[cfg(test)]
mod test_support;

pub use attempt::AttemptSecrets;
pub use authorize::AuthorizationRequest;
pub use calls::{Call, Calls};
pub use certificates::Certificates;
pub use client_keys::{ClientKeys, KeyInUse};
pub use code::AuthorizationCode;
pub use compare::{Finding, Level, compare};
pub use consent::ConsentError;
pub use discovery::{Discovered, DiscoveryError};
pub use exchange::Authorized;
pub use id_token::{IdToken, IdTokenError};
pub use identify::IdentifyError;
pub use key_cache::KeysError;
pub use metadata::{MetadataError, ServerMetadata};
pub use prepare::{PrepareError, Prepared, Unprepared};
pub use published_keys::{KeySetError, PublishedKey, PublishedKeys};
pub use reason::{Meaning, RefreshMeaning, SetupFault};
pub use refresh::{RefreshFailure, Refreshed};
pub use registered::Registered;
pub use response::{
    AuthorizationResponse, AuthorizationResult, InvalidAuthorizationResponse, UnprovenResponse,
    words,
};
pub use response_names::{in_standard_names, name_there};
pub use revoke::RevokeError;
pub use scrub::Scrubber;
pub use signed_response::SignedResponseError;
pub use token_endpoint::{ExchangeFailure, Exchanged, TokenError};
pub use token_response::Issued;
pub use transport_error::{SetupError, TransportError};

use std::sync::Arc;

use fetch::Fetcher;
use key_cache::KeyCache;
use transport::Transport;
use url::Url;

use crate::client_certificate::ClientCertificate;
use crate::domain::random::Random;
use crate::outgoing::{self, Outgoing, Tls};

/// Calls institutions. Built once; connections are shared between calls.
pub struct OAuthClient {
    transport: Transport,
    fetcher: Fetcher,
    keys: KeyCache,
    client_keys: ClientKeys,
    random: Arc<dyn Random>,
    outgoing: Outgoing,
}

impl OAuthClient {
    /// Sets up the outgoing side: TLS with the machine's certificate authorities and these certificates of clients, no
    /// redirects. Clients sign with `client_keys`; `random` makes each assertion another one, and is what calls get ids
    /// from.
    pub fn new(
        outgoing: Outgoing,
        client_keys: ClientKeys,
        certificates: Certificates,
        random: Arc<dyn Random>,
    ) -> Result<Self, SetupError> {
        let way = outgoing.clone();
        Ok(Self {
            fetcher: Fetcher::new(&outgoing, false)?,
            transport: Transport::new(move || way.builder(), certificates, random.clone())?,
            keys: KeyCache::default(),
            client_keys,
            random,
            outgoing,
        })
    }

    /// The private keys of clients.
    pub fn client_keys(&self) -> &ClientKeys {
        &self.client_keys
    }

    /// The same for a gateway that serves this machine only: institutions' metadata may then name it.
    pub fn serving_this_machine(self) -> Result<Self, SetupError> {
        let fetcher = Fetcher::new(&self.outgoing, true)?;
        Ok(Self { fetcher, ..self })
    }

    /// How the host of that address proves its name; see [`outgoing::tls`].
    pub async fn tls(&self, at: &Url) -> Result<Option<Tls>, String> {
        outgoing::tls(&self.outgoing, at).await
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
