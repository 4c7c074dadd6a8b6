//! The description of the API, made from its routes (OpenAPI 3.1), and the page that shows it.

pub mod params;
pub mod requests;

use utoipa_axum::router::OpenApiRouter;

use super::Door;

/// The description and its page.
pub fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
}
