//! The Platform API: a client's users and their members, by API key (CONTRACT.md 2).

mod members;
mod users;

use axum::middleware::from_fn;

use super::changing_gets;
use super::endpoints::{Endpoints, endpoint};

/// Its routes.
pub fn routes() -> Endpoints {
    Endpoints::new()
        .and(endpoint!(users::list, users::create))
        .and(endpoint!(users::read, users::update, users::delete))
        .and(endpoint!(members::list, members::create))
        .and(endpoint!(members::read, members::update, members::delete))
        .and(endpoint!(members::status))
        .and(endpoint!(members::aggregate))
        .and(endpoint!(members::challenges))
        .and(endpoint!(members::resume))
        .and(endpoint!(members::oauth_completions))
        .and(endpoint!(members::credentials))
        .merge(routes_of_changing_gets())
        .and(endpoint!(members::oauth_authorization_url))
        .and(endpoint!(super::institutions::list))
}

fn routes_of_changing_gets() -> Endpoints {
    Endpoints::new()
        .and(endpoint!(members::oauth_window_uri))
        .within(|router| router.route_layer(from_fn(changing_gets::no_head)))
}
