//! The Nexus API: sessions of one user, and that user's members (CONTRACT.md 1).

mod jobs;
mod members;
mod sessions;

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app_state::AppState;
use super::changing_gets;

/// The largest body of `update_mfa`: MX's own widget sends the questions back with the answers, each
/// picture twice, as `meta_data` and as `image_data`. The report that had the questions was at most 64
/// kB.
const LARGEST_SENT_BACK: usize = 256 * 1024;

/// Its routes, except those that open or end sessions.
pub fn routes() -> OpenApiRouter<AppState> {
    let sent_back = DefaultBodyLimit::max(LARGEST_SENT_BACK);
    OpenApiRouter::new()
        .routes(routes!(members::list, members::create))
        .routes(routes!(members::read, members::update, members::delete))
        .merge(routes_of_changing_gets())
        .routes(routes!(members::unthrottled_aggregate))
        .routes(routes!(members::challenges))
        .routes(routes!(members::resume))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(members::update_mfa))
                .layer(sent_back),
        )
        .routes(routes!(members::credentials))
        .routes(routes!(members::credentials_of_one))
        .routes(routes!(jobs::read))
        .routes(routes!(jobs::mfa_credentials))
        .routes(routes!(super::institutions::search))
}

fn routes_of_changing_gets() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(members::aggregate))
        .routes(routes!(members::refresh))
        .routes(routes!(members::aggregate_all))
        .routes(routes!(members::oauth_window_uri))
        .route_layer(from_fn(changing_gets::no_head))
}

/// The routes that open and end sessions.
pub fn session_routes() -> OpenApiRouter<AppState> {
    let tokens = OpenApiRouter::new()
        .routes(routes!(sessions::api_token))
        .routes(routes!(sessions::api_token_json))
        .route_layer(from_fn(changing_gets::no_head));
    OpenApiRouter::new()
        .merge(tokens)
        .routes(routes!(sessions::end_sessions))
        .routes(routes!(sessions::begin_session))
}
