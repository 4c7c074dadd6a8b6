//! The embedded store: one SQLite file.

/// The embedded store.
pub struct SqliteStore;
