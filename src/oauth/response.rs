//! The authorization answer: what comes back through the person's browser.
//!
//! Everything here is a stranger's text until the `state` is found to be ours. Sizes and characters
//! are checked before anything is looked up.

use url::form_urlencoded::{self, Serializer};
use zeroize::Zeroizing;

use super::reason;
use crate::domain::institution::{IssuerRule, OAuth};
use crate::domain::secret::AuthorizationState;
use crate::domain::window::ErrorReason;
use crate::printable::printable;

/// How long a query or form may be, in bytes.
pub const ANSWER_LIMIT: usize = 8 * 1024;
/// How long a code may be, in characters.
pub const CODE_LIMIT: usize = 4 * 1024;
/// How much of an error's code is kept, in characters.
const ERROR_LIMIT: usize = 100;
/// How much of an error's description is kept, in characters.
const DESCRIPTION_LIMIT: usize = 300;
/// What stands in words for a secret.
const MASK: &str = "[…]";
/// Shorter values of secret parameters are not looked for in words: they are no secrets, and may be
/// part of any word.
const SHORTEST_SECRET: usize = 6;
/// From this many characters of Base64url on, a run may be a `state`, a code or a token.
const LONGEST_PLAIN_RUN: usize = 40;

/// An authorization code. Cannot be printed; good for one token request.
#[derive(Clone)]
pub struct AuthorizationCode(Zeroizing<String>);

impl AuthorizationCode {
    /// Reads a code: 1 to 4096 visible ASCII characters (RFC 6749 appendix A.11, without the space).
    pub fn parse(text: &str) -> Option<Self> {
        let sound = !text.is_empty()
            && text.len() <= CODE_LIMIT
            && text.bytes().all(|b| b.is_ascii_graphic());
        sound.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The text itself. Goes to the token endpoint of its institution and nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// An answer that is well formed. Whose it is, its `state` has yet to show.
#[derive(Clone)]
pub struct Callback {
    /// The `state` it answers.
    pub state: AuthorizationState,
    /// Who says to answer (RFC 9207), to be checked with [`check_issuer`].
    pub iss: Option<String>,
    /// What it says.
    pub answer: Answer,
}

/// What an answer says.
#[derive(Clone)]
pub enum Answer {
    /// The person agreed.
    Code(AuthorizationCode),
    /// The institution refused, or the person did (RFC 6749 section 4.1.2.1). Both texts are
    /// foreign: bounded, without control characters, and not to be shown on a page.
    Error {
        /// The error code.
        error: String,
        /// The institution's explanation.
        description: Option<String>,
    },
    /// Neither a code nor an error. Tokens that came instead were not asked for and are not read.
    Nothing,
}

/// Why an answer is refused before its `state` is looked up. Which it was is for the log; the
/// browser gets one neutral page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidCallback {
    /// The whole is longer than 8 kB.
    #[error("the answer is longer than {ANSWER_LIMIT} bytes")]
    TooLong,
    /// A parameter that matters is there twice (RFC 6749 section 3.1).
    #[error("the parameter {0} is there twice")]
    Duplicate(&'static str),
    /// There is no `state`, or not one of ours.
    #[error("there is no state of ours")]
    State,
    /// The code is too long, or has characters that no code has.
    #[error("the code is longer than {CODE_LIMIT} characters or not visible ASCII")]
    Code,
    /// A code and an error at once.
    #[error("there is a code and an error")]
    CodeAndError,
}

/// The parameters that matter; all others are ignored.
const KNOWN: [&str; 5] = ["state", "code", "error", "error_description", "iss"];

impl Callback {
    /// Reads the query of a GET or the form of a POST, as sent.
    pub fn parse(raw: &[u8]) -> Result<Self, InvalidCallback> {
        if raw.len() > ANSWER_LIMIT {
            return Err(InvalidCallback::TooLong);
        }
        Self::read(raw)
    }

    /// Whether a query or form has any parameter that matters in an answer.
    pub fn has_part_in(raw: &[u8]) -> bool {
        form_urlencoded::parse(raw).any(|(name, _)| KNOWN.contains(&name.as_ref()))
    }

    fn read(raw: &[u8]) -> Result<Self, InvalidCallback> {
        let mut found: [Option<Zeroizing<String>>; KNOWN.len()] = Default::default();
        for (name, value) in form_urlencoded::parse(raw) {
            let Some(known) = KNOWN.iter().position(|known| *known == name) else {
                continue;
            };
            if found[known].is_some() {
                return Err(InvalidCallback::Duplicate(KNOWN[known]));
            }
            found[known] = Some(Zeroizing::new(value.into_owned()));
        }
        let [state, code, error, description, iss] = found;
        // A parameter without a value counts as absent (RFC 6749 section 3.1). An empty `iss` does
        // not: it names an issuer, and the wrong one.
        let given = |value: Option<Zeroizing<String>>| value.filter(|value| !value.is_empty());
        let state = state
            .and_then(|state| AuthorizationState::parse(&state))
            .ok_or(InvalidCallback::State)?;
        let answer = match (given(code), given(error)) {
            (Some(_), Some(_)) => return Err(InvalidCallback::CodeAndError),
            (Some(code), None) => {
                Answer::Code(AuthorizationCode::parse(&code).ok_or(InvalidCallback::Code)?)
            }
            (None, Some(error)) => Answer::Error {
                error: printable(&error, ERROR_LIMIT),
                description: given(description).map(|text| printable(&text, DESCRIPTION_LIMIT)),
            },
            (None, None) => Answer::Nothing,
        };
        Ok(Self {
            state,
            iss: iss.map(|iss| (*iss).clone()),
            answer,
        })
    }

    /// The bytes to seal while an answer that came by POST waits for its GET.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Room for everything, so that no half-written copy is left behind by growing.
        let mut form = Serializer::new(String::with_capacity(4 * ANSWER_LIMIT));
        form.append_pair("state", self.state.expose());
        if let Some(iss) = &self.iss {
            form.append_pair("iss", iss);
        }
        match &self.answer {
            Answer::Code(code) => {
                form.append_pair("code", code.expose());
            }
            Answer::Error { error, description } => {
                form.append_pair("error", error);
                if let Some(description) = description {
                    form.append_pair("error_description", description);
                }
            }
            Answer::Nothing => {}
        }
        Zeroizing::new(form.finish().into_bytes())
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` when the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes).ok()
    }
}

impl Answer {
    /// Whether it has a code.
    pub fn has_code(&self) -> bool {
        matches!(self, Self::Code(_))
    }

    /// What an answer without a code means, and the operator's detail; `None` when there is a code.
    pub fn refusal(&self, oauth: &OAuth) -> Option<(ErrorReason, String)> {
        match self {
            Self::Code(_) => None,
            Self::Error { error, description } => {
                let detail = match description {
                    Some(description) => format!("{error}: {description}"),
                    None => error.clone(),
                };
                Some((reason(oauth, error), detail))
            }
            Self::Nothing => {
                let detail = "the institution's answer has neither a code nor an error";
                Some((ErrorReason::ProviderError, detail.to_owned()))
            }
        }
    }
}

/// Why an answer's issuer is not the institution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerMismatch {
    /// The answer names none, though the institution's always do.
    #[error("the answer names no issuer")]
    Missing,
    /// The answer names another one.
    #[error("the answer names the issuer {0}")]
    Other(String),
}

/// Checks who says to answer (RFC 9207 section 2.4): equal character by character, after
/// form-decoding and nothing else.
///
/// An issuer cannot be compared where the institution's file names none; the redirect URI, which is
/// different for each institution, then stands alone against mix-up.
pub fn check_issuer(
    oauth: &OAuth,
    iss: Option<&str>,
    has_code: bool,
) -> Result<(), IssuerMismatch> {
    let is_needed = match oauth.iss {
        IssuerRule::Required => true,
        IssuerRule::RequiredWithCode => has_code,
        IssuerRule::IfPresent => false,
    };
    match (&oauth.issuer, iss) {
        (_, None) if is_needed => Err(IssuerMismatch::Missing),
        (_, None) | (None, Some(_)) => Ok(()),
        (Some(expected), Some(iss)) if expected == iss => Ok(()),
        (Some(_), Some(iss)) => Err(IssuerMismatch::Other(printable(iss, DESCRIPTION_LIMIT))),
    }
}

/// What a query or form says went wrong, for the log, also when it is no answer: `error` and
/// `error_description`, cleaned and cut; `None` when it has neither.
pub fn words(raw: &[u8]) -> Option<String> {
    let value = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(raw);
        let value = pairs.find(|(name, value)| name == wanted && !value.is_empty());
        value.map(|(_, value)| value)
    };
    let error = value("error").map(|error| printable(&masked(&error, raw), ERROR_LIMIT));
    let description = value("error_description");
    let description = description.map(|it| printable(&masked(&it, raw), DESCRIPTION_LIMIT));
    match (error, description) {
        (Some(error), Some(description)) => Some(format!("{error}: {description}")),
        (error, description) => error.or(description),
    }
}

/// `text` without the secrets that came in the same query or form, and without anything that is as
/// long as ours: institutions repeat in their words what they were sent.
pub fn masked(text: &str, raw: &[u8]) -> String {
    let secret = |name: &str| {
        matches!(
            name,
            "state" | "code" | "access_token" | "id_token" | "refresh_token" | "response"
        )
    };
    let secrets = form_urlencoded::parse(raw)
        .filter(|(name, value)| secret(name) && value.len() >= SHORTEST_SECRET);
    let mut text = text.to_owned();
    for (_, value) in secrets {
        text = text.replace(value.as_ref(), MASK);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let runs: Vec<&str> = text
        .split(|c| !is_plain(c))
        .filter(|run| run.len() >= LONGEST_PLAIN_RUN)
        .collect();
    let mut masked = text.clone();
    for run in runs {
        masked = masked.replace(run, MASK);
    }
    masked
}

#[cfg(test)]
mod tests;
