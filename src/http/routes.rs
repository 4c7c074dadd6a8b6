//! The table of routes: which handler serves which path, and the layers around all of them.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::extract::Request;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::http::{HeaderMap, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use tokio::sync::OnceCell;
use tower::Layer as _;
use tracing::Instrument;

use super::app_state::AppState;
use super::endpoints::{Endpoints, endpoint};
use super::openapi::Description;
use super::problem::{Dialect, Kind, Problem};
use super::{
    aggregation, auth, browser, client_keys, headers, idempotent, institutions, nexus,
    oauth_states, platform,
};
use crate::log_context;

/// The largest request body that is read: 64 kB.
const LARGEST_BODY: usize = 64 * 1024;

/// The description of the API, made once.
pub static DESCRIPTION: LazyLock<Description> =
    LazyLock::new(|| Description::new(&described_routes()));

/// Everything that the public listener serves.
#[derive(Clone)]
pub struct Public {
    app: AppState,
    routes: Router,
}

impl Public {
    /// Everything, on what the handlers share.
    pub fn new(app: AppState) -> Self {
        Self {
            routes: routes(app.clone()),
            app,
        }
    }

    /// Serves a request. What is around all routes is here and not in layers, each of which would be copied and
    /// boxed for every request.
    pub async fn respond(&self, request: Request) -> Response {
        let request = without_last_slash(request);
        // Every log line of a request has the fields that say what it is about.
        let routes = DefaultBodyLimit::max(LARGEST_BODY).layer(self.routes.clone());
        let responding = headers::baseline(&self.app, routes, request);
        responding.instrument(log_context::span()).await
    }
}

/// Every public route.
fn routes(app: AppState) -> Router {
    let nexus_once = from_fn_with_state(app.clone(), idempotent::once::<auth::NexusUser>);
    let platform_once = from_fn_with_state(app.clone(), idempotent::once::<auth::PlatformClient>);
    Endpoints::new()
        .merge(nexus::routes().within(|router| router.route_layer(nexus_once)))
        .merge(platform::routes().within(|router| router.route_layer(platform_once)))
        .merge(open_routes())
        .into_router()
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .with_state(app)
}

/// Removes the slash at the end of a path: some clients join paths with one, and some institutions add
/// one to the registered redirect URI.
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

/// The routes of [`routes`] with their descriptions.
fn described_routes() -> Endpoints {
    Endpoints::new()
        .merge(nexus::routes())
        .merge(platform::routes())
        .merge(open_routes())
}

/// The routes that do not accept an `Idempotency-Key`.
fn open_routes() -> Endpoints {
    Endpoints::new()
        .merge(nexus::session_routes())
        .and(endpoint!(oauth_states::list))
        .and(endpoint!(oauth_states::read))
        .and(endpoint!(institutions::read))
        .and(endpoint!(institutions::credentials))
        .merge(aggregation::routes())
        .merge(browser::routes())
        .and(endpoint!(client_keys::read))
        .and(endpoint!(read_description))
        .and(endpoint!(show_description))
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json",
    operation_id = "readDescription", tag = "Description",
    responses(
        (status = 200, description = "The description, as OpenAPI 3.1.", body = Object),
        (status = 304, description = "`If-None-Match` has its `ETag`."),
    ),
)]
async fn read_description(headers: HeaderMap) -> Response {
    description().await.json.respond(&headers)
}

/// This description as a page.
#[utoipa::path(
    get, path = "/docs",
    operation_id = "showDescription", tag = "Description",
    responses(
        (status = 200, description = "The page.", content_type = "text/html"),
        (status = 304, description = "`If-None-Match` has its `ETag`."),
    ),
)]
async fn show_description(headers: HeaderMap) -> Response {
    let description = description().await;
    let policy = [(CONTENT_SECURITY_POLICY, description.policy.as_str())];
    (policy, description.page.respond(&headers)).into_response()
}

/// The description. It is built when somebody asks for the first time, on a thread of its own, so that other requests go
/// on meanwhile.
async fn description() -> &'static Description {
    static BUILT: OnceCell<&Description> = OnceCell::const_new();
    let build = async || {
        let building = tokio::task::spawn_blocking(|| LazyLock::force(&DESCRIPTION));
        building.await.expect("the description can be built")
    };
    BUILT.get_or_init(build).await
}

async fn no_such_path(headers: HeaderMap) -> Problem {
    Problem::not_found("path").in_dialect(Dialect::of(&headers))
}

async fn no_such_method(headers: HeaderMap) -> Problem {
    let message =
        "This path does not allow that method; the Allow header names the methods it allows.";
    Problem::new(Kind::MethodNotAllowed, message).in_dialect(Dialect::of(&headers))
}
