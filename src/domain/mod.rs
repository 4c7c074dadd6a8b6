//! What things are: the nouns of Guichet, their identifiers and their life cycles.
//!
//! Nothing here does I/O, knows the time or makes randomness of its own: both are arguments.
//!
//! ```text
//! window   issued ─▶ opened ─▶ returned ─▶ succeeded
//!             └──────────┴─────────┴─────▶ errored (reason, ending)
//! member   PENDING ─▶ CONNECTED ─▶ IMPAIRED | IMPEDED | DENIED ─▶ CONNECTED …
//! job      queued ─▶ pushed ─▶ succeeded | failed
//! event    due ─▶ delivered | dead
//! ```
//!
//! Reading order: [`id`], [`secret`], [`client`], [`institution`], [`member`], [`window`], [`grant`],
//! [`job`], [`event`].

pub mod client;
pub mod event;
pub mod grant;
pub mod id;
pub mod institution;
pub mod job;
pub mod member;
pub mod random;
pub mod return_address;
pub mod secret;
pub mod user;
pub mod window;

/// A time as the API writes it: ISO 8601 with offset, whole seconds.
pub fn iso8601(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}
