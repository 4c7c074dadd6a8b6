//! The protocol, as a client: the authorization code grant (RFC 6749 section 4.1) with PKCE
//! (RFC 7636), refresh (RFC 6749 section 6) and revocation (RFC 7009).
//!
//! It knows institutions and registrations, not members or windows, and keeps nothing.
//!
//! ```text
//! discovery  ─▶ what an authorization server says of itself; it is compared, never adopted
//! jwks       ─▶ the keys it publishes
//! authorize  ─▶ the address people are sent to
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
//! Secrets (state, code, verifier, nonce, tokens, client secret) appear in no error: everything an
//! institution says passes [`Scrubber`] before it is kept for the operator.

mod attempt;
mod authorize;
mod calls;
mod client_authentication;
mod code;
mod compare;
mod discovery;
mod document;
mod exchange;
mod id_token;
mod identify;
pub mod json;
mod jwks;
mod key_cache;
mod metadata;
mod openid;
mod published_keys;
mod reason;
mod refresh;
mod registered;
mod reply;
mod response;
mod revoke;
mod scrub;
mod signed_response;
mod token_endpoint;
mod token_response;
mod transport;
mod transport_error;

#[cfg(test)]
mod test_support;

pub use attempt::AttemptSecrets;
pub use authorize::{AuthorizationRequest, authorize};
pub use calls::{Call, Calls};
pub use code::AuthorizationCode;
pub use compare::{Finding, Level, compare};
pub use discovery::{Discovered, DiscoveryError};
pub use exchange::Authorized;
pub use id_token::{IdToken, IdTokenError};
pub use identify::IdentifyError;
pub use key_cache::KeysError;
pub use metadata::{MetadataError, ServerMetadata};
pub use published_keys::{KeySetError, PublishedKey, PublishedKeys};
pub use reason::{Meaning, RefreshMeaning, SetupFault};
pub use refresh::{RefreshFailure, Refreshed};
pub use registered::Registered;
pub use response::{
    AuthorizationResponse, AuthorizationResult, InvalidAuthorizationResponse, IssuerMismatch, words,
};
pub use revoke::RevokeError;
pub use scrub::Scrubber;
pub use signed_response::SignedResponseError;
pub use token_endpoint::{ExchangeFailure, Exchanged, TokenError};
pub use token_response::Issued;
pub use transport::Limits;
pub use transport_error::{SetupError, TransportError};

use key_cache::KeyCache;
use transport::Transport;
use url::Url;

use crate::outgoing::{self, Outgoing, Tls};

/// Calls institutions. Built once; connections are shared between calls.
pub struct OAuthClient {
    transport: Transport,
    keys: KeyCache,
    outgoing: Outgoing,
}

impl OAuthClient {
    /// Sets up the outgoing side: TLS with the machine's certificate authorities, no redirects.
    pub fn new(outgoing: Outgoing) -> Result<Self, SetupError> {
        let way = outgoing.clone();
        Ok(Self {
            transport: Transport::new(move || way.builder())?,
            keys: KeyCache::default(),
            outgoing,
        })
    }

    /// How the host of that address proves its name; see [`outgoing::tls`].
    pub async fn tls(&self, at: &Url) -> Result<Option<Tls>, String> {
        outgoing::tls(&self.outgoing, at).await
    }
}
