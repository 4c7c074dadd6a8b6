//! A client's registration together with the institution that it is at.

use url::Url;

use super::calls::Calls;
use crate::domain::client::{CertificateFiles, Registration};
use crate::domain::institution::{MtlsAliases, OAuth};

/// The institution that a call goes to, and the client that it is made as.
#[derive(Clone, Copy)]
pub struct Registered<'a> {
    /// The institution, as it is for that registration.
    pub oauth: &'a OAuth,
    /// The client's registration there.
    pub registration: &'a Registration,
    /// Where the calls are noted that are made for one attempt; `None`: nowhere.
    pub calls: Option<&'a Calls>,
}

impl<'a> Registered<'a> {
    /// The same, with its calls noted there.
    pub fn noted(self, calls: &'a Calls) -> Self {
        Self {
            calls: Some(calls),
            ..self
        }
    }

    /// The requested scopes: the registration's, or else the institution's.
    pub fn scopes(self) -> &'a [String] {
        let own = self.registration.scopes.as_ref();
        own.unwrap_or(&self.oauth.scopes)
    }

    /// The same as one text, with the institution's separator; `None` if there are no scopes.
    pub fn scope(self) -> Option<String> {
        let scopes = self.scopes();
        (!scopes.is_empty()).then(|| scopes.join(&self.oauth.scope_separator))
    }

    /// What its requests have as `redirect_uri`: the registered address, or the name that the institution has for it.
    pub fn redirect_uri(self) -> &'a str {
        let alias = self.registration.redirect_uri_alias.as_deref();
        alias.unwrap_or(self.registration.redirect_uri.as_str())
    }

    /// Whether it is asked who signs in (OpenID Connect): the request has a `nonce`, and its tokens come with an ID token.
    pub fn uses_openid(self) -> bool {
        self.oauth.uses_openid(self.scopes())
    }

    /// The certificate that is shown in TLS, to the endpoints of this registration and to nobody else (RFC 8705).
    pub fn certificate(self) -> Option<&'a CertificateFiles> {
        self.registration.certificate.as_ref()
    }

    /// Where codes and refresh tokens are exchanged.
    pub fn token_endpoint(self) -> &'a Url {
        let alias = self.alias(|aliases| aliases.token_endpoint.as_ref());
        alias.unwrap_or(&self.oauth.token_endpoint)
    }

    /// Where tokens are revoked, if the institution has such an endpoint.
    pub fn revocation_endpoint(self) -> Option<&'a Url> {
        let alias = self.alias(|aliases| aliases.revocation_endpoint.as_ref());
        alias.or(self.oauth.revocation_endpoint.as_ref())
    }

    /// Where it is asked who signed in, instead of `usual`.
    pub fn userinfo_endpoint(self, usual: &'a Url) -> &'a Url {
        let alias = self.alias(|aliases| aliases.userinfo_endpoint.as_ref());
        alias.unwrap_or(usual)
    }

    /// The alias of an endpoint for those that show a certificate, if this registration does (RFC 8705 section 5).
    fn alias(self, of: impl Fn(&'a MtlsAliases) -> Option<&'a Url>) -> Option<&'a Url> {
        self.certificate()?;
        of(&self.oauth.mtls_aliases)
    }
}
