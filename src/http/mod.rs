//! The doors: everything that speaks HTTP to the outside, and the only part that knows axum.

pub mod page;

pub mod gallery;
