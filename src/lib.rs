#![doc = include_str!("../README.md")]
//!
//! # Reading the code
//!
//! [`domain`] says what things are, [`flow`] what happens to them, one file for each verb; start there.
//! The verbs use [`store`], [`oauth`], [`webhook`] and [`aggregator`]; [`http`] and [`worker`] call the
//! verbs; [`app`] and [`serve`] put everything together; [`cli`] has the commands. Imports run downwards
//! only; `tests/it/layers.rs` checks that.

// A dependency that nothing uses any more does not pass the lints.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

// Fixtures that the tests of `tests/it` share with those of this crate name it as those do.
#[cfg(test)]
extern crate self as guichet;

pub mod aggregator;
pub mod app;
pub mod certificate;
pub mod cli;
pub mod client_certificate;
pub mod config;
pub mod domain;
#[cfg(test)]
mod fake_server;
pub mod flow;
pub mod http;
pub mod jose;
pub mod log_context;
pub mod metrics;
pub mod oauth;
pub mod outgoing;
pub mod printable;
pub mod seal;
pub mod serve;
pub mod signature;
pub mod steps;
pub mod store;
pub mod telemetry;
pub mod watched_files;
pub mod webhook;
pub mod worker;

// What only `main` uses.
#[cfg(not(test))]
use tikv_jemallocator as _;
