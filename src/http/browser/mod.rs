//! What browsers see: links, callbacks, outcomes. Handlers translate between requests, verbs and
//! pages; what happens is decided in [`flow`](crate::flow).

mod callback;
mod link;
mod outcome;
mod redirects;

use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::app_state::AppState;
use super::logos;

/// What browsers are served.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        // The page itself says which methods a link takes.
        .routes(routes!(link::link).map(|link_routes| link_routes.fallback(link::link)))
        .routes(routes!(callback::returned, callback::posted))
        .routes(routes!(outcome::result, outcome::act))
        .routes(routes!(logos::client))
        .routes(routes!(logos::institution))
}
