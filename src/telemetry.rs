//! Logs: one line per event, readable or JSON. What may be in them is in `docs/LOGGING.md`.

mod sums;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use sums::{STRANGERS, Sums};

use crate::config::LogFormat;

/// Installs the process's log writer, on standard error. A second call does nothing.
///
/// `filter` is in the syntax of `tracing`'s directives, such as `info` or `guichet=debug,info`; one
/// that cannot be read counts as `info`. Whoever keeps what is returned writes the sums of what strangers
/// cause, from time to time and at the end.
pub fn install(format: LogFormat, filter: &str) -> Sums {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let sums = Sums::default();
    let registry = tracing_subscriber::registry()
        .with(filter)
        .with(sums.layer());
    // Values are quoted and control characters escaped by the formatters themselves, so that what
    // a stranger sent cannot forge a line.
    let installed = match format {
        LogFormat::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(false),
            )
            .try_init(),
        LogFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .with_writer(std::io::stderr),
            )
            .try_init(),
    };
    if installed.is_err() {
        tracing::debug!("a log writer is already installed");
    }
    sums
}
