//! The only part that knows HTTP servers. Handlers translate; what happens is decided in
//! [`flow`](crate::flow).
//!
//! [`routes`] is the table of contents.

mod aggregation;
mod auth;
mod body;
mod browser;
mod cookies;
pub mod gallery;
mod headers;
mod json;
pub mod limits;
mod members;
mod nexus;
mod oauth_states;
pub mod ops;
pub mod page;
mod platform;
mod problem;
mod show;
mod visitor;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post};
use zeroize::Zeroizing;

use crate::config::Network;
use crate::domain::client::Logo;
use crate::domain::id::ClientId;
use crate::flow::Gateway;
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
}

/// Every public route.
pub fn routes(door: Door) -> Router {
    let browser = Router::new()
        .route("/oauth/predirect_to/{member}/{token}", any(browser::link))
        .route(
            "/oauth/redirect_from/{client}/{institution}",
            get(browser::returned).post(browser::posted),
        )
        .route(
            "/oauth/result/{attempt}",
            get(browser::result).post(browser::try_again),
        )
        .route("/oauth/logos/clients/{client}", get(client_logo))
        .route(
            "/oauth/logos/institutions/{institution}",
            get(institution_logo),
        );

    let nexus = Router::new()
        .route(
            "/{client_id}/users/{user_id}/api_token",
            get(nexus::api_token),
        )
        .route(
            "/{client_id}/users/{user_id}/api_token.json",
            get(nexus::api_token),
        )
        .route(
            "/{client_id}/users/{user_id}/sessions",
            delete(nexus::end_sessions),
        )
        .route("/sessions", post(nexus::begin_session))
        .route("/members", get(nexus::members).post(nexus::create_member))
        .route(
            "/members/{member}",
            get(nexus::member).delete(nexus::delete_member),
        )
        .route(
            "/members/{member}/oauth_window_uri",
            get(nexus::oauth_window_uri),
        );

    let platform = Router::new()
        .route("/users", get(platform::users).post(platform::create_user))
        .route("/users/{user}", get(platform::user))
        .route(
            "/users/{user}/members",
            get(platform::members).post(platform::create_member),
        )
        .route(
            "/users/{user}/members/{member}",
            get(platform::member).delete(platform::delete_member),
        )
        .route(
            "/users/{user}/members/{member}/oauth_window_uri",
            get(platform::oauth_window_uri),
        );

    let shared = Router::new()
        .route("/oauth_states", get(oauth_states::list))
        .route("/oauth_states/{guid}", get(oauth_states::read));

    let aggregation = Router::new()
        .route("/aggregation/jobs/{guid}/lease", post(aggregation::lease))
        .route("/aggregation/jobs/{guid}/report", post(aggregation::report));

    Router::new()
        .merge(browser)
        .merge(nexus)
        .merge(platform)
        .merge(shared)
        .merge(aggregation)
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn(headers::baseline))
        .with_state(door)
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
    let message = "This path does not take that method; the Allow header names those it takes.";
    Problem::new(Kind::MethodNotAllowed, message).in_dialect(dialect_of(&headers))
}

async fn client_logo(State(door): State<Door>, Path(client): Path<String>) -> Response {
    let client = client
        .parse()
        .ok()
        .and_then(|id| door.gateway.clients.get(&id).cloned());
    logo(client.and_then(|client| client.logo.clone()))
}

async fn institution_logo(State(door): State<Door>, Path(institution): Path<String>) -> Response {
    let institution = institution
        .parse()
        .ok()
        .and_then(|code| door.gateway.institutions.get(&code).cloned());
    logo(institution.and_then(|institution| institution.logo.clone()))
}

fn logo(logo: Option<Logo>) -> Response {
    match logo {
        Some(logo) => ([(CONTENT_TYPE, logo.media_type)], logo.bytes.to_vec()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
