//! Guichet.
pub mod domain;
