//! What browsers see: links, callbacks, outcomes. Handlers translate between requests, verbs and
//! pages; what happens is decided in [`flow`](crate::flow).

mod callback;
mod link;
mod outcome;
mod redirects;

use super::endpoints::{Endpoints, endpoint};
use super::logos;

/// What browsers are served.
pub fn routes() -> Endpoints {
    Endpoints::new()
        // The page itself says which methods a link takes.
        .and(endpoint!(link::link).map(|link_routes| link_routes.fallback(link::link)))
        .and(endpoint!(callback::returned, callback::posted))
        .and(endpoint!(outcome::result, outcome::act))
        .and(endpoint!(logos::client))
        .and(endpoint!(logos::institution))
}
