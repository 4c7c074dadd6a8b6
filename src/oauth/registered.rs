//! A client's registration together with the institution that it is at.

use super::calls::Calls;
use crate::domain::client::Registration;
use crate::domain::institution::OAuth;

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

    /// Whether it is asked who signs in (OpenID Connect): the request has a `nonce`, and its tokens come with an ID token.
    pub fn uses_openid(self) -> bool {
        self.oauth.uses_openid(self.scopes())
    }
}
