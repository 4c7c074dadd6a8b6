//! The only part that knows the HTTP server. Handlers translate; what happens is decided in
//! [`flow`](crate::flow).
//!
//! [`Public`] is the entrance, and its `routes` the table of contents.

mod aggregation;
mod app_state;
mod auth;
mod body;
mod browser;
mod changing_gets;
mod client_keys;
mod cookies;
mod endpoints;
mod fields;
pub mod gallery;
mod headers;
mod idempotent;
mod institutions;
mod json;
pub mod limits;
mod logos;
mod members;
mod nexus;
mod oauth_states;
mod openapi;
pub mod ops;
pub mod page;
mod params;
mod people;
mod platform;
mod problem;
mod refusal;
mod requests;
mod responses;
mod routes;
mod show;
pub mod source;
mod version;
mod visitor;

pub use app_state::{AppState, Shared};
pub use body::TooSlow;
pub use routes::{DESCRIPTION, Public};
