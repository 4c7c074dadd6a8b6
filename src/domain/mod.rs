//! What things are: the nouns of Guichet, their identifiers and their life cycles.
//!
//! Nothing here does I/O, reads the clock or makes random values: time and randomness are arguments.
//!
//! ```text
//! window   issued ─▶ opened ─▶ returned ─▶ succeeded
//!             └──────────┴─────────┴─────▶ errored (reason, ending)
//! member   PENDING ─▶ CONNECTED ─▶ IMPAIRED | IMPEDED | DENIED ─▶ CONNECTED …
//!          CREATED ─▶ CONNECTED | DENIED | LOCKED | CHALLENGED ─▶ RESUMED ─▶ CONNECTED …
//! job      queued ─▶ pushed ─▶ (challenged ─▶ queued ─▶ pushed) ─▶ succeeded | failed
//! event    due ─▶ delivered | dead
//! ```
//!
//! Reading order: [`id`], [`secret`], [`client`], [`client_authentication`], [`algorithm`],
//! [`template`], [`connection_values`], [`call`], [`authorization`], [`institution`], [`watch`], [`maintenance`],
//! [`credential`], [`member`],
//! [`connection_status`], [`window`], [`token_set`], [`job`], [`background`], [`challenge`], [`event`], [`duty`].

pub mod algorithm;
pub mod allowed_host;
pub mod authorization;
pub mod background;
pub mod call;
pub mod called_address;
pub mod challenge;
pub mod client;
pub mod client_authentication;
pub mod connection_status;
pub mod connection_values;
pub mod credential;
pub mod data_request;
pub mod digest;
pub mod duty;
pub mod endpoint;
pub mod error_reason;
pub mod event;
pub mod form;
pub mod grant;
pub mod id;
pub mod institution;
pub mod job;
pub mod layout;
pub mod logo;
pub mod maintenance;
pub mod member;
pub mod random;
pub mod redis_address;
pub mod return_address;
pub mod scheme;
pub mod secret;
pub mod support_code;
pub mod template;
pub mod token_set;
pub mod user;
pub mod watch;
pub mod window;

/// A time as the API writes it: ISO 8601 with offset, whole seconds.
pub fn iso8601(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}
