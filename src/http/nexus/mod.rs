//! The Nexus API: sessions of one user, and that user's members (CONTRACT.md 1).

mod jobs;
mod members;
mod sessions;

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;

use super::changing_gets;
use super::endpoints::{Endpoints, endpoint};

/// The largest body of `update_mfa`: MX's own widget sends the questions back with the answers, each
/// picture twice, as `meta_data` and as `image_data`. The report that had the questions was at most 64
/// kB.
const LARGEST_SENT_BACK: usize = 256 * 1024;

/// Its routes, except those that open or end sessions.
pub fn routes() -> Endpoints {
    let sent_back = DefaultBodyLimit::max(LARGEST_SENT_BACK);
    Endpoints::new()
        .and(endpoint!(members::list, members::create))
        .and(endpoint!(members::read, members::update, members::delete))
        .merge(routes_of_changing_gets())
        .and(endpoint!(members::unthrottled_aggregate))
        .and(endpoint!(members::challenges))
        .and(endpoint!(members::resume))
        .and(endpoint!(members::oauth_completions))
        .merge(
            Endpoints::new()
                .and(endpoint!(members::update_mfa))
                .within(|router| router.layer(sent_back)),
        )
        .and(endpoint!(members::credentials))
        .and(endpoint!(members::credentials_of_one))
        .and(endpoint!(jobs::read))
        .and(endpoint!(jobs::mfa_credentials))
        .and(endpoint!(super::institutions::search))
}

fn routes_of_changing_gets() -> Endpoints {
    Endpoints::new()
        .and(endpoint!(members::aggregate))
        .and(endpoint!(members::refresh))
        .and(endpoint!(members::aggregate_all))
        .and(endpoint!(members::oauth_window_uri))
        .within(|router| router.route_layer(from_fn(changing_gets::no_head)))
}

/// The routes that open and end sessions.
pub fn session_routes() -> Endpoints {
    let tokens = Endpoints::new()
        .and(endpoint!(sessions::api_token))
        .and(endpoint!(sessions::api_token_json))
        .within(|router| router.route_layer(from_fn(changing_gets::no_head)));
    Endpoints::new()
        .merge(tokens)
        .and(endpoint!(sessions::end_sessions))
        .and(endpoint!(sessions::begin_session))
}
