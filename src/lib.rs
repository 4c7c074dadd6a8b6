//! Guichet: the self-hosted OAuth gateway for connecting people's bank accounts.

pub mod aggregator;
pub mod app;
pub mod cli;
pub mod config;
pub mod domain;
#[cfg(test)]
mod fake_server;
pub mod flow;
pub mod http;
pub mod metrics;
pub mod oauth;
pub mod outgoing;
pub mod printable;
pub mod sandbox;
pub mod serve;
pub mod signature;
pub mod store;
pub mod telemetry;
pub mod webhook;
pub mod worker;
