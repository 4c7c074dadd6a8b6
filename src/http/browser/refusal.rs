//! What the log says of an authorization response that is refused: why, and the institution's own words.
//! Where it arrived stands on every line already.

use crate::domain::id::AttemptId;
use crate::domain::support_code::SupportCode;
use crate::flow::callback::Door;
use crate::flow::unproven::Refused;
use crate::log_context;
use crate::oauth::{Scrubber, words};
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
            reason: match &scrubber {
                Some(scrubber) => scrubber.cleaned(&refused.to_string()),
                None => refused.to_string(),
            },
            words: scrubber.and_then(|scrubber| words(raw, &scrubber)),
        }
    }

    /// At a path that is no registration's.
    pub fn nowhere(client: &str, institution: &str, raw: &[u8]) -> Self {
        // A bank that writes its parameters behind the path puts a code there.
        let path = format!("{client}/{institution}");
        let is_named = |sign: &char| sign.is_ascii_alphanumeric() || "._-/".contains(*sign);
        let named: String = path.chars().take_while(is_named).take(PATH).collect();
        let rest = if named.len() < path.len() { "…" } else { "" };
        Self {
            reason: format!("there is no registration at {named}{rest}"),
            words: Scrubber::of_response(None, raw).and_then(|scrubber| words(raw, &scrubber)),
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
