//! Pictures of clients and institutions.

use std::sync::Arc;

/// A picture that we serve from our own origin.
#[derive(Clone)]
pub struct Logo {
    /// `image/svg+xml`, `image/png`, …
    pub media_type: &'static str,
    /// The picture.
    pub bytes: Arc<[u8]>,
}
