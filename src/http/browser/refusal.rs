//! What the log says of an authorization response that is refused: one line each, with the reason and the
//! institution's own words. Where it arrived, and whose attempt it is, stands on every line already.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::flow::Gateway;
use crate::flow::callback::Door;
use crate::flow::unproven::Refused;
use crate::http::source::Source;
use crate::oauth::{Scrubber, words};
use crate::store::seal::{Context, Field};
use crate::telemetry::STRANGERS;

/// How much of a path that names nothing is logged, in characters.
const PATH: usize = 140;

/// One refused response.
#[derive(Serialize, Deserialize)]
pub struct Refusal {
    reason: String,
    words: Option<String>,
}

impl Refusal {
    /// Of what arrived as `raw`, query or form, at that registration.
    pub fn new(refused: &Refused, at: &Door, raw: &[u8]) -> Self {
        let reason = refused.to_string();
        Self {
            reason: match at.scrubber(raw) {
                Some(scrubber) => scrubber.cleaned(&reason),
                None => reason,
            },
            words: at.words(raw),
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

    /// By a limit of the server's own, which read none of it.
    pub fn unread(status: StatusCode) -> Self {
        Self {
            reason: format!("the request was answered {status} before it was read"),
            words: None,
        }
    }

    /// Logs it. What is known of its attempt, or the code on the neutral page, is in the log context by
    /// then.
    pub fn log(&self, source: Source) {
        let Self { reason, words } = self;
        tracing::warn!(target: STRANGERS, reason, words, %source, "authorization response refused");
    }

    /// The text that brings it from a POST to the GET that follows, which alone knows whose browser it
    /// is: by the browser, which can neither read nor change it, and at that registration only.
    pub fn carried(&self, gateway: &Gateway, at: &Door) -> String {
        let plain = serde_json::to_vec(self).expect("texts are JSON");
        let sealed = gateway
            .sealer
            .seal(gateway.random.as_ref(), &place(at), &plain);
        BASE64_URL_SAFE_NO_PAD.encode(sealed)
    }

    /// What [`Self::carried`] wrote at that registration; `None` for anything else.
    pub fn arrived(gateway: &Gateway, at: &Door, text: &str) -> Option<Self> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = gateway.sealer.open(&place(at), &sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }
}

/// Where a carried refusal can be opened.
fn place(at: &Door) -> Context<'_> {
    Context {
        client: Some(&at.client.id),
        subject: at.institution.code.as_str(),
        field: Field::Refusal,
    }
}
