//! The Redis store.

/// The Redis store.
pub struct RedisStore;
