//! The only part that knows HTTP servers. Handlers translate; what happens is decided in
//! [`flow`](crate::flow).
//!
//! [`routes()`] is the table of contents.

mod acting;
mod aggregation;
mod answers;
mod auth;
mod body;
mod browser;
mod cookies;
mod fields;
pub mod gallery;
mod headers;
mod idempotent;
mod institutions;
mod json;
pub mod limits;
mod logos;
mod members;
mod nexus;
mod oauth_states;
pub mod openapi;
pub mod ops;
pub mod page;
mod people;
mod platform;
mod problem;
mod show;
pub mod source;
mod version;
mod visitor;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::Request;
use axum::http::{HeaderMap, Uri};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use tracing::Instrument;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use crate::config::Network;
use crate::domain::id::ClientId;
use crate::flow::Gateway;
use crate::log_context;
pub use body::TooSlow;
use problem::{Dialect, Kind, Problem};

/// The largest request body that is read: 64 kB.
const LARGEST_BODY: usize = 64 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub struct Door {
    /// The verbs' needs.
    pub gateway: Arc<Gateway>,
    /// What the aggregator proves itself with.
    pub aggregator_key: Option<Arc<Zeroizing<String>>>,
    /// Each client's `MD-API-KEY`.
    pub sso_keys: Arc<HashMap<ClientId, Zeroizing<String>>>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Arc<[Network]>,
    /// How much is too much.
    pub limits: Arc<limits::Limits>,
}

impl Door {
    fn is_trusted_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies
            .iter()
            .any(|network| network.contains(address))
    }

    /// The cookies of a request with these headers.
    fn cookies<'a>(&self, headers: &'a HeaderMap) -> cookies::Cookies<'a> {
        cookies::Cookies::new(headers, &self.gateway.settings.public_url)
    }
}

/// Every public route.
pub fn routes(door: Door) -> Router {
    let nexus_once = from_fn_with_state(door.clone(), idempotent::once::<auth::NexusUser>);
    let platform_once = from_fn_with_state(door.clone(), idempotent::once::<auth::PlatformClient>);
    let (router, _) = OpenApiRouter::new()
        .merge(nexus::routes().route_layer(nexus_once))
        .merge(platform::routes().route_layer(platform_once))
        .merge(open_routes())
        .split_for_parts();
    let router = router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(door.clone(), headers::baseline))
        .layer(from_fn(in_log_context))
        .with_state(door);
    // Around the router: a path is changed before it is looked for.
    Router::new().fallback_service(tower::util::MapRequest::new(router, without_last_slash))
}

/// Takes the slash at a path's end away: clients join paths with one, and some institutions add one to
/// what was registered.
fn without_last_slash(mut request: Request) -> Request {
    let uri = request.uri();
    let Some(path) = uri.path().strip_suffix('/').filter(|path| !path.is_empty()) else {
        return request;
    };
    let shorter = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if let Ok(shorter) = shorter.parse::<Uri>() {
        *request.uri_mut() = shorter;
    }
    request
}

/// What [`routes`] serves, with its descriptions and without the layers.
fn described_routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .merge(nexus::routes())
        .merge(platform::routes())
        .merge(open_routes())
}

/// The routes whose requests carry no `Idempotency-Key`.
fn open_routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        .merge(nexus::session_routes())
        .routes(routes!(oauth_states::list))
        .routes(routes!(oauth_states::read))
        .routes(routes!(institutions::read))
        .routes(routes!(institutions::credentials))
        .merge(aggregation::routes())
        .merge(browser::routes())
        .merge(openapi::routes())
}

/// Every line that a request causes says what it is about, as far as that is known.
async fn in_log_context(request: Request, next: Next) -> Response {
    next.run(request).instrument(log_context::span()).await
}

fn dialect_of(headers: &HeaderMap) -> Dialect {
    match headers.contains_key("md-session-token") {
        true => Dialect::Nexus,
        false => Dialect::Platform,
    }
}

async fn no_such_path(headers: HeaderMap) -> Problem {
    Problem::not_found("path").in_dialect(dialect_of(&headers))
}

async fn no_such_method(headers: HeaderMap) -> Problem {
    let message =
        "This path does not allow that method; the Allow header names the methods it allows.";
    Problem::new(Kind::MethodNotAllowed, message).in_dialect(dialect_of(&headers))
}
