//! The knobs that change how a response travels, and not what it says.

use super::desk::Desk;
use super::knobs::{Jwks, Knob, Metadata, Par, Revocation, Token};
use super::places::Place;
use crate::support::behaviour::{Behaviour, Gate};

/// More than a response about tokens may have.
const TOO_LARGE: usize = 1 << 20;

/// More than metadata or a set of keys may have.
const TOO_LARGE_METADATA: usize = 256 * 1024;

impl Desk {
    /// What is done at that place, if a knob says anything.
    pub fn behaviour(&self, place: Place) -> Option<Behaviour> {
        let elsewhere = |status| Behaviour::Redirect(status, self.elsewhere.clone());
        let found = self.knobs.picked(|knob| {
            let behaviour = match (place, knob) {
                (Place::Metadata, Knob::Metadata(Metadata::Huge)) => {
                    Behaviour::Huge(TOO_LARGE_METADATA)
                }
                (Place::Metadata, Knob::Metadata(Metadata::Slow)) => Behaviour::Drip,
                (Place::Metadata, Knob::Metadata(Metadata::Redirects)) => elsewhere(302),
                (Place::Jwks, Knob::Jwks(Jwks::Status500)) => {
                    Behaviour::Says(500, "text/plain", "out of order".to_owned())
                }
                (Place::Par, Knob::Par(Par::Redirects)) => elsewhere(302),
                (Place::Token, Knob::Token(knob)) => match knob {
                    Token::Redirects301 => elsewhere(301),
                    Token::Redirects302 => elsewhere(302),
                    Token::Redirects303 => elsewhere(303),
                    Token::Redirects307 => elsewhere(307),
                    Token::Redirects308 => elsewhere(308),
                    Token::Html => Behaviour::Html,
                    Token::Huge => Behaviour::Huge(TOO_LARGE),
                    Token::Slow => Behaviour::Drip,
                    Token::GzipBomb => Behaviour::GzipBomb,
                    Token::DuplicateKeys => Behaviour::DuplicateAccessToken,
                    Token::CutAfterBody => Behaviour::HangUp,
                    Token::InvalidGrant => Behaviour::invalid_grant(),
                    Token::InvalidClient => Behaviour::invalid_client(),
                    Token::Unavailable => Behaviour::unavailable(),
                    _ => return None,
                },
                (Place::Revoke, Knob::Revocation(knob)) => match knob {
                    Revocation::Status200 => return None,
                    Revocation::Status400 => {
                        Behaviour::Error(400, "invalid_request", "not like this")
                    }
                    Revocation::Status503 => Behaviour::unavailable(),
                    Revocation::NeverAnswers => Behaviour::Hold(Gate::closed()),
                },
                _ => return None,
            };
            Some(behaviour)
        });
        found.into_iter().next()
    }
}
