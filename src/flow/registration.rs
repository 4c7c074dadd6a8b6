//! Which client acts at which institution, and how it is registered there.

use std::sync::Arc;

use super::{Gateway, Internal};
use crate::domain::client::Client;
use crate::domain::id::{ClientId, InstitutionCode};
use crate::domain::institution::{Institution, ResponseMode};
use crate::log_context;
use crate::oauth::{Registered, Scrubber, words};

/// A client and an institution that it is registered at: authorization responses arrive at the
/// registration's redirect URI.
#[derive(Clone)]
pub struct CallbackEndpoint {
    pub(super) client: Arc<Client>,
    pub(super) institution: Arc<Institution>,
}

impl CallbackEndpoint {
    /// The one with that redirect URI's path, if there is one.
    pub fn find(gateway: &Gateway, client: &str, institution: &str) -> Option<Self> {
        let (client, institution) = (client.parse().ok()?, institution.parse().ok()?);
        let endpoint = Self::of(gateway, &client, &institution).ok()?;
        log_context::client(&client);
        log_context::institution(&institution);
        Some(endpoint)
    }

    /// The one of that client at that institution; stored data may name one that is no longer configured.
    pub(super) fn of(
        gateway: &Gateway,
        client: &ClientId,
        institution: &InstitutionCode,
    ) -> Result<Self, Internal> {
        let endpoint = Self {
            client: gateway.client(client)?.clone(),
            institution: gateway.institution(institution)?.clone(),
        };
        let gone = || {
            let what = format!("the registration of client {client} at {institution}");
            Internal::NotConfigured(what)
        };
        registered(&endpoint.client, &endpoint.institution).ok_or_else(gone)?;
        Ok(endpoint)
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The institution.
    pub fn institution(&self) -> &Institution {
        &self.institution
    }

    /// The institution's OAuth and the client's registration there.
    pub(super) fn registered(&self) -> Registered<'_> {
        registered(&self.client, &self.institution).expect("looked up when it was found")
    }

    /// A scrubber for `raw`, an authorization response that arrived here; `None` if nothing of it is to
    /// be shown.
    pub fn scrubber(&self, raw: &[u8]) -> Option<Scrubber> {
        Scrubber::of_response(Some(self.registered()), raw)
    }

    /// The error in `raw`, an authorization response that arrived here: for the log, also if it is
    /// refused.
    pub fn words(&self, raw: &[u8]) -> Option<String> {
        words(raw, &self.scrubber(raw)?)
    }

    /// Its response mode.
    pub fn response_mode(&self) -> ResponseMode {
        self.registered().oauth.response_mode
    }
}

/// The institution's OAuth and the client's registration there, if it has both.
fn registered<'a>(client: &'a Client, institution: &'a Institution) -> Option<Registered<'a>> {
    let registration = client.registration(&institution.code)?;
    institution.oauth.as_ref()?;
    Some(Registered {
        oauth: &registration.oauth,
        registration,
        calls: None,
    })
}
