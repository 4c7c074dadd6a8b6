//! Guichet: the self-hosted OAuth gateway for connecting people's bank accounts.

pub mod aggregator;
pub mod config;
pub mod domain;
#[cfg(test)]
mod fake_server;
pub mod http;
pub mod oauth;
pub mod outgoing;
pub mod printable;
pub mod sandbox;
pub mod signature;
pub mod store {
    pub mod seal;
}
pub mod webhook;
