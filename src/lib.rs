//! Guichet: the self-hosted OAuth gateway for connecting people's bank accounts.

pub mod config;
pub mod domain;
pub mod http;
