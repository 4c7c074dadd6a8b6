//! An institution's response to a call of ours, read to its end or to a limit, and which part of it
//! counts.
//!
//! It is strict where that protects, and lenient elsewhere: a JSON object is read with any media type
//! except HTML, and an OAuth error counts with any status. A refused response keeps the tokens that it
//! held, so that they can be revoked.

use std::time::Duration;

use jiff::Timestamp;
use oauth2::http::header::{CONTENT_ENCODING, HeaderMap, WWW_AUTHENTICATE};
use reqwest::Response;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::calls::Heard;
use super::json::{JsonError, Members};
use super::scrub::Scrubber;
use super::transport_error::{MediaType, TransportError};
use crate::outgoing::{self, BodyError};

/// How long a body may be, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// How much of an institution's own words is kept, in characters.
const SAID: usize = 300;

/// An OAuth error as the institution sent it (RFC 6749 section 5.2, RFC 6750 section 3). It may hold our
/// secrets until it is scrubbed.
pub struct OAuthError {
    error: Zeroizing<String>,
    description: Option<Zeroizing<String>>,
}

/// The same, without our secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error code.
    pub error: String,
    /// The error code and its description, for the operator.
    pub said: String,
}

impl OAuthError {
    /// What may be kept of it.
    pub fn scrubbed(&self, scrubber: &Scrubber) -> Refusal {
        refusal(
            scrubber,
            &self.error,
            self.description.as_deref().map(String::as_str),
        )
    }
}

/// What may be kept of an error code and its description.
pub fn refusal(scrubber: &Scrubber, error: &str, description: Option<&str>) -> Refusal {
    let said = match description {
        Some(description) => &format!("{error}: {description}"),
        None => error,
    };
    Refusal {
        error: scrubber.shown(error, SAID),
        said: scrubber.shown(said, SAID),
    }
}

/// Why a reply is not the expected one.
pub enum Unfit {
    /// The institution refused.
    Refused(OAuthError),
    /// It cannot be relied on, or is no OAuth response.
    Unusable(TransportError),
}

/// A reply: status, what its headers say of the body, and the body as far as it came.
pub struct Reply {
    status: u16,
    media_type: MediaType,
    /// Whether the body is in a content coding, though none was offered.
    is_coded: bool,
    /// The error named in `WWW-Authenticate`.
    challenge: Option<Zeroizing<String>>,
    /// `Retry-After`.
    retry_after: Option<String>,
    /// What the body's top level holds, as far as it came.
    pub members: Members,
    /// The whole body, if it says that it is a token.
    token: Option<Zeroizing<String>>,
    /// Why the body is not a complete object.
    sound: Result<(), TransportError>,
    /// What may be told of it, once it is cleaned.
    heard: Option<Heard>,
}

impl Reply {
    /// Reads the body until `deadline`. What came until then counts; `late` is the error if that is not
    /// all.
    pub async fn read(mut response: Response, deadline: Instant, late: TransportError) -> Self {
        // As long as it says, so that it is never copied while it grows: of a copy, nothing would be erased.
        let length = response.content_length().unwrap_or(u64::MAX);
        let length = usize::try_from(length).map_or(BODY_LIMIT, |length| length.min(BODY_LIMIT));
        let mut body = Zeroizing::new(Vec::with_capacity(length));
        let reading = outgoing::read_into(&mut response, BODY_LIMIT, &mut body);
        let whole = match tokio::time::timeout_at(deadline, reading).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error @ BodyError::TooLong(_))) => {
                Err(TransportError::TooLong(error.to_string()))
            }
            Ok(Err(BodyError::Broken(text))) => Err(TransportError::Broken(text)),
            Err(_) => Err(late),
        };
        let (members, sound) = Members::read(&body);
        let headers = response.headers();
        let status = response.status().as_u16();
        let media_type = MediaType::of(headers);
        let is_token = media_type == MediaType::Jwt && whole.is_ok();
        let token = is_token.then(|| String::from_utf8(body.to_vec()).map(Zeroizing::new));
        Self {
            status,
            heard: Some(Heard::of(status, headers, &body)),
            media_type,
            token: token.and_then(Result::ok),
            is_coded: is_coded(headers),
            challenge: challenge(headers),
            retry_after: outgoing::retry_after_header(headers),
            members,
            sound: whole.and_then(|()| sound.map_err(TransportError::Json)),
        }
    }

    /// What may be told of it, once it is cleaned.
    pub fn take_heard(&mut self) -> Option<Heard> {
        self.heard.take()
    }

    /// Whether it is the expected reply. `has_expected` says that the body holds what was requested; then
    /// an `error` next to it is ignored.
    pub fn judge(&self, has_expected: bool) -> Result<(), Unfit> {
        let is_success = (200..300).contains(&self.status);
        if !(is_success && has_expected)
            && let Some(error) = self.error()
        {
            return Err(Unfit::Refused(error));
        }
        let unusable = |error| Err(Unfit::Unusable(error));
        if (300..400).contains(&self.status) {
            return unusable(TransportError::Redirected(self.status));
        }
        if !is_success {
            return unusable(TransportError::Status(self.status));
        }
        // An incomplete body is reported as incomplete, whatever its head says.
        let is_whole = matches!(self.sound, Ok(()) | Err(TransportError::Json(_)));
        if is_whole && self.is_coded {
            return unusable(TransportError::Encoded);
        }
        if is_whole && self.media_type == MediaType::Html {
            return unusable(TransportError::MediaType(MediaType::Html));
        }
        match &self.sound {
            Ok(()) => Ok(()),
            // If it is not JSON and does not claim to be, its media type says more.
            Err(TransportError::Json(JsonError::Syntax)) if self.media_type != MediaType::Json => {
                unusable(TransportError::MediaType(self.media_type))
            }
            Err(error) => unusable(error.clone()),
        }
    }

    /// The token that is the whole of a good reply.
    pub fn token(&self) -> Option<&str> {
        let is_good = self.is_success() && !self.is_coded;
        self.token
            .as_deref()
            .filter(|_| is_good)
            .map(|it| it.trim())
    }

    /// How long the institution asks to wait, if its status says that the same may work later.
    pub fn asks_to_wait(&self, now: Timestamp) -> Option<Duration> {
        let may_work_later = matches!(self.status, 429 | 503);
        let asked = self.retry_after.as_deref().filter(|_| may_work_later)?;
        outgoing::retry_after(asked, now)
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status says that the call did what it should.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The OAuth error it names, in its body or else in its head.
    fn error(&self) -> Option<OAuthError> {
        let text = |name| self.members.text(name).filter(|text| !text.is_empty());
        let in_body = || {
            self.sound.as_ref().ok()?;
            Some(OAuthError {
                error: text("error")?,
                description: text("error_description"),
            })
        };
        let in_head = || {
            Some(OAuthError {
                error: self.challenge.clone()?,
                description: None,
            })
        };
        in_body().or_else(in_head)
    }
}

/// Whether the body is in another content coding than none: servers name `identity`, the character set
/// or nothing there.
pub fn is_coded(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONTENT_ENCODING).iter();
    let mut codings = values.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    codings.any(|coding| {
        let coding = coding.trim_ascii().to_ascii_lowercase();
        !matches!(coding.as_slice(), b"" | b"identity" | b"utf-8" | b"utf8")
    })
}

/// The `error` of a `WWW-Authenticate` header (RFC 6750 section 3).
fn challenge(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let values = headers.get_all(WWW_AUTHENTICATE).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .find_map(|value| {
            let parts = value.split([',', ' ']);
            let error = parts
                .filter_map(|part| part.trim().strip_prefix("error="))
                .next()?;
            let error = error.trim_matches('"');
            (!error.is_empty()).then(|| Zeroizing::new(error.to_owned()))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            oauth2::http::HeaderName::from_static(name),
            oauth2::http::HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn a_coding_that_codes_nothing_is_none() {
        for none in [
            "identity",
            "Identity",
            "utf-8",
            "UTF-8",
            "",
            " ",
            "identity, utf-8",
        ] {
            assert!(!is_coded(&headers("content-encoding", none)), "{none}");
        }
        for coding in ["gzip", "br", "identity, gzip", "CANARY"] {
            assert!(is_coded(&headers("content-encoding", coding)), "{coding}");
        }
    }

    #[test]
    fn the_error_of_a_challenge_is_read() {
        for (value, expected) in [
            ("Bearer error=\"invalid_token\"", Some("invalid_token")),
            (
                "Bearer realm=\"x\", error=\"x_closed\", error_description=\"a b\"",
                Some("x_closed"),
            ),
            ("Bearer realm=\"x\",error=expired", Some("expired")),
            ("Bearer", None),
            ("Basic realm=\"error\"", None),
            ("Bearer error=\"\"", None),
        ] {
            let error = challenge(&headers("www-authenticate", value));
            assert_eq!(error.as_deref().map(String::as_str), expected, "{value}");
        }
    }
}
