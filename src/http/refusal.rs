//! The log line of a refused authorization response, with the reason and the institution's own words.
//! Client, institution and attempt are on every line already.

use axum::http::StatusCode;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::random::Random;
use crate::flow::Gateway;
use crate::flow::held::HELD_ANSWER_TTL;
use crate::flow::registration::CallbackEndpoint;
use crate::flow::seal_contexts;
use crate::flow::unproven::Refused;
use crate::http::source::Source;
use crate::oauth::{Scrubber, words};
use crate::seal::{Context, Sealer};
use crate::telemetry::STRANGERS;

/// How much of an unknown path is logged, in characters.
const PATH: usize = 140;

/// The greatest length of a carried refusal, in characters: several times that of a reason and words,
/// which are cut.
const CARRIED: usize = 8 * 1024;

/// One refused response.
#[derive(Serialize, Deserialize)]
pub struct Refusal {
    reason: String,
    words: Option<String>,
}

impl Refusal {
    /// The refusal of `raw`, query or form, which arrived at that registration.
    pub fn new(refused: &Refused, at: &CallbackEndpoint, raw: &[u8]) -> Self {
        let reason = refused.to_string();
        Self {
            reason: match at.scrubber(raw) {
                Some(scrubber) => scrubber.cleaned(&reason),
                None => reason,
            },
            words: at.words(raw),
        }
    }

    /// The refusal at a path that belongs to no registration.
    pub fn nowhere(client: &str, institution: &str, raw: &[u8]) -> Self {
        // A bank that appends its parameters to the path puts a code there.
        let path = format!("{client}/{institution}");
        let is_named = |sign: &char| sign.is_ascii_alphanumeric() || "._-/".contains(*sign);
        let named: String = path.chars().take_while(is_named).take(PATH).collect();
        let rest = if named.len() < path.len() { "…" } else { "" };
        Self {
            reason: format!("there is no registration at {named}{rest}"),
            words: Scrubber::of_response(None, raw).and_then(|scrubber| words(raw, &scrubber)),
        }
    }

    /// The refusal by a limit of the server, which did not read the response.
    pub fn unread(status: StatusCode) -> Self {
        Self {
            reason: format!("the request got {status} before it was read"),
            words: None,
        }
    }

    /// Logs it. Its attempt, if it is known, or the code on the neutral page is in the log context
    /// already.
    pub fn log(&self, source: Source) {
        let Self { reason, words } = self;
        tracing::warn!(target: STRANGERS, reason, words, %source, "authorization response refused");
    }

    /// The text that brings it from a POST to the GET that follows, because only the GET has the
    /// browser's cookie. The browser can neither read nor change it; it is valid only at that
    /// registration, and for as long as a valid response would be held.
    pub fn carried(self, gateway: &Gateway, at: &CallbackEndpoint) -> String {
        let place = seal_contexts::refusal(&at.client().id, &at.institution().code);
        self.sealed(
            &gateway.sealer,
            gateway.random.as_ref(),
            &place,
            gateway.clock.now(),
        )
    }

    /// Reads what [`Self::carried`] wrote at that registration; `None` if it is too old, or anything
    /// else.
    pub fn arrived(gateway: &Gateway, at: &CallbackEndpoint, text: &str) -> Option<Self> {
        let place = seal_contexts::refusal(&at.client().id, &at.institution().code);
        Self::opened(&gateway.sealer, &place, gateway.clock.now(), text)
    }

    fn sealed(
        self,
        sealer: &Sealer,
        random: &dyn Random,
        place: &Context<'_>,
        now: Timestamp,
    ) -> String {
        let carried = Carried {
            sealed_at_ms: now.as_millisecond(),
            refusal: self,
        };
        let plain = serde_json::to_vec(&carried).expect("texts are JSON");
        BASE64_URL_SAFE_NO_PAD.encode(sealer.seal(random, place, &plain))
    }

    fn opened(sealer: &Sealer, place: &Context<'_>, now: Timestamp, text: &str) -> Option<Self> {
        if text.len() > CARRIED {
            return None;
        }
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = sealer.open(place, &sealed).ok()?;
        let carried: Carried = serde_json::from_slice(&plain).ok()?;
        let age_ms = now.as_millisecond() - carried.sealed_at_ms;
        (i128::from(age_ms) < HELD_ANSWER_TTL.as_millis().cast_signed()).then_some(carried.refusal)
    }
}

/// A refusal as it is carried.
#[derive(Serialize, Deserialize)]
struct Carried {
    /// Milliseconds since 1970.
    sealed_at_ms: i64,
    refusal: Refusal,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{ClientId, InstitutionCode};
    use crate::seal::{KeyRing, SealKey};

    struct Same;

    impl Random for Same {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(7);
        }
    }

    fn refusal(words: &str) -> Refusal {
        Refusal {
            reason: "it is none".to_owned(),
            words: Some(words.to_owned()),
        }
    }

    /// What arrives at `there` of a refusal sealed at `here`, `age` milliseconds later.
    fn arrives(
        words: &str,
        here: (&str, &str),
        there: (&str, &str),
        age_ms: i64,
    ) -> Option<String> {
        let key = SealKey::new("k1", &[1; 32]).expect("a key");
        let sealer = Sealer::new(KeyRing::new(key, vec![]).expect("a ring"));
        let at = |ms| Timestamp::from_millisecond(1_800_000_000_000 + ms).expect("a time");
        let parties = |(client, institution): (&str, &str)| -> (ClientId, InstitutionCode) {
            let client = client.parse().expect("a client");
            (client, institution.parse().expect("a code"))
        };
        let (here, there) = (parties(here), parties(there));
        let sealed = refusal(words).sealed(
            &sealer,
            &Same,
            &seal_contexts::refusal(&here.0, &here.1),
            at(0),
        );
        let opened = Refusal::opened(
            &sealer,
            &seal_contexts::refusal(&there.0, &there.1),
            at(age_ms),
            &sealed,
        );
        opened.and_then(|refusal| refusal.words)
    }

    #[test]
    fn k2_a_carried_refusal_opens_at_its_registration_for_two_minutes() {
        let here = ("acme", "bank");
        let words = Some("declined".to_owned());
        assert_eq!(arrives("declined", here, here, 0), words);
        assert_eq!(arrives("declined", here, here, 119_999), words);
        assert_eq!(arrives("declined", here, here, 120_000), None, "late");
        for elsewhere in [("rival", "bank"), ("acme", "other_bank")] {
            assert_eq!(arrives("declined", here, elsewhere, 0), None);
        }
    }

    #[test]
    fn the_longest_refusal_is_carried_and_a_longer_text_is_not_read() {
        let here = ("acme", "bank");
        // A cut `error` and a cut `error_description`, of the longest characters there are.
        let longest = "\u{10ffff}".repeat(1_000);
        assert_eq!(arrives(&longest, here, here, 0), Some(longest));
        assert_eq!(arrives(&"x".repeat(CARRIED), here, here, 0), None);
    }
}
