//! The Platform API: a client's users and their members, by API key (CONTRACT.md 2).

mod members;
mod users;

use axum::middleware::from_fn;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::app_state::AppState;
use super::changing_gets;

/// Its routes.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::read, users::update, users::delete))
        .routes(routes!(members::list, members::create))
        .routes(routes!(members::read, members::update, members::delete))
        .routes(routes!(members::status))
        .routes(routes!(members::aggregate))
        .routes(routes!(members::challenges))
        .routes(routes!(members::resume))
        .routes(routes!(members::credentials))
        .merge(routes_of_changing_gets())
        .routes(routes!(members::oauth_authorization_url))
        .routes(routes!(super::institutions::list))
}

fn routes_of_changing_gets() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(members::oauth_window_uri))
        .route_layer(from_fn(changing_gets::no_head))
}
