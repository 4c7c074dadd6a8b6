//! What the log says of an authorization response that is refused: why, and the institution's own words.
//! Where it arrived stands on every line already.

use crate::domain::id::AttemptId;
use crate::domain::support_code::SupportCode;
use crate::flow::callback::Door;
use crate::flow::unproven::Refused;
use crate::log_context;
use crate::oauth::{Scrubber, words};
use crate::printable::printable;
use crate::store::AttemptRecord;
use crate::telemetry::STRANGERS;

/// How much of a path that names nothing is logged, in characters.
const PATH: usize = 140;

/// One refused response.
pub struct Refusal {
    reason: String,
    words: Option<String>,
}

impl Refusal {
    /// Of what arrived as `raw`, query or form, at that registration.
    pub fn new(refused: &Refused, at: &Door, raw: &[u8]) -> Self {
        let scrubber = at.scrubber(raw);
        Self {
            reason: scrubber.cleaned(&refused.to_string()),
            words: words(raw, &scrubber),
        }
    }

    /// At a path that is no registration's.
    pub fn nowhere(client: &str, institution: &str, raw: &[u8]) -> Self {
        let path = printable(&format!("{client}/{institution}"), PATH);
        Self {
            reason: format!("there is no registration at {path}"),
            words: words(raw, &Scrubber::of_response(None, raw)),
        }
    }

    /// Logs it, before it is known whose browser brought it.
    pub fn log(&self) {
        let Self { reason, words } = self;
        tracing::warn!(target: STRANGERS, reason, words, "authorization response refused");
    }

    /// Logs it with the attempt that the browser is led back to.
    pub fn log_of(&self, attempt: &AttemptId, record: &AttemptRecord) {
        let Self { reason, words } = self;
        log_context::attempt(attempt);
        match &record.member {
            Some(member) => log_context::subject(&record.window, member),
            None => log_context::window(&record.window),
        }
        tracing::warn!(reason, words, "authorization response refused");
    }

    /// Logs it with the code on the neutral page.
    pub fn log_under(&self, support_code: &SupportCode) {
        let Self { reason, words } = self;
        tracing::warn!(target: STRANGERS, %support_code, reason, words, "authorization response refused");
    }
}
