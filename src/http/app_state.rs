//! What the handlers share.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use zeroize::Zeroizing;

use super::cookies::Cookies;
use super::limits::Limits;
use super::source::Source;
use crate::config::Network;
use crate::domain::id::{AggregatorName, ClientId};
use crate::flow::Gateway;

/// What the handlers share. It is cloned for each of them.
#[derive(Clone)]
pub struct AppState(pub Arc<Shared>);

/// See [`AppState`].
pub struct Shared {
    /// What the verbs need.
    pub gateway: Arc<Gateway>,
    /// Each aggregator's key.
    pub aggregator_keys: Vec<(AggregatorName, Arc<Zeroizing<String>>)>,
    /// Each client's `MD-API-KEY`.
    pub sso_keys: HashMap<ClientId, Zeroizing<String>>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[Network]>,
    /// The limits.
    pub limits: Arc<Limits>,
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl AppState {
    /// The host that a request with these extensions and headers comes from.
    pub fn source(&self, extensions: &Extensions, headers: &HeaderMap) -> Source {
        let peer = extensions.get::<ConnectInfo<SocketAddr>>();
        // Only a listener of ours makes requests, and it says who sent them.
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
        let trusted = self.trusted_proxies.iter();
        Source::of_request(peer, headers, |address| {
            trusted.clone().any(|network| network.contains(address))
        })
    }

    /// The cookies of a request with these headers.
    pub fn cookies<'a>(&self, headers: &'a HeaderMap) -> Cookies<'a> {
        Cookies::new(headers, &self.gateway.settings.public_url)
    }
}

impl FromRequestParts<AppState> for Source {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Infallible> {
        Ok(app.source(&parts.extensions, &parts.headers))
    }
}
