//! How a call fails.

use std::time::Duration;

use oauth2::http::header::{CONTENT_TYPE, HeaderMap};

use super::json;
use super::reason::{Meaning, SetupFault};
use crate::domain::called_address::Forbidden;
use crate::domain::window::ErrorReason;

/// Outgoing calls could not be set up, usually because there are no certificate authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("outgoing calls cannot be set up: {0}")]
pub struct SetupError(pub(super) String);

/// Why a call failed. None of these holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The endpoint is plain http on another machine: not called.
    #[error("the endpoint is plain http, which is for this machine only; nothing was sent")]
    Insecure,
    /// The institution's file describes a call that cannot be written for this connection; which part of it.
    #[error(
        "the call cannot be written as the institution's file describes it: {0} lacks a value, or has one that does not fit; nothing was sent"
    )]
    Unwritable(&'static str),
    /// The address is not called, because somebody else than the operator named it.
    #[error("not called: {0}")]
    Forbidden(#[from] Forbidden),
    /// The outgoing side could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// No connection, twice: nothing was sent.
    #[error("no connection to the institution: {0}")]
    Unreachable(String),
    /// No trusted connection: a certificate was refused, on either side, or the two sides have no version
    /// or cipher in common. The operator has to correct it.
    #[error("no trusted connection (TLS) to the institution: {0}")]
    Tls(String),
    /// The connection failed after sending had begun; what arrived is unknown.
    #[error("the connection failed during the call: {0}")]
    Broken(String),
    /// The whole call took longer than the institution's limit.
    #[error("the institution did not respond within {0:?}")]
    TimedOut(Duration),
    /// A redirect, which is not followed.
    #[error("the institution responded with a redirect (status {0}), which is not followed")]
    Redirected(u16),
    /// A status that is neither success nor an OAuth error.
    #[error("the institution responded with status {0} and no OAuth error")]
    Status(u16),
    /// HTML, or something that is no JSON and does not say it is.
    #[error("the institution responded with {} instead of JSON", .0.name())]
    MediaType(MediaType),
    /// A content coding, though none was offered.
    #[error("the response is in a content coding, though none was offered")]
    Encoded,
    /// More than 64 kB.
    #[error("{0}")]
    TooLong(String),
    /// JSON that cannot be relied on.
    #[error("the institution's response cannot be relied on: {0}")]
    Json(#[from] json::JsonError),
}

impl TransportError {
    /// What it means: the operator has to correct a fault of TLS, and a call that was not made because of
    /// our configuration; everything else is the institution's failure.
    pub fn meaning(&self) -> Meaning {
        match self {
            Self::Insecure | Self::Unwritable(_) | Self::Setup(_) => {
                Meaning::NotSetUp(SetupFault::Configuration)
            }
            Self::Tls(_) => Meaning::NotSetUp(SetupFault::Tls),
            Self::Forbidden(_)
            | Self::Unreachable(_)
            | Self::Broken(_)
            | Self::TimedOut(_)
            | Self::Redirected(_)
            | Self::Status(_)
            | Self::MediaType(_)
            | Self::Encoded
            | Self::TooLong(_)
            | Self::Json(_) => Meaning::Reason(ErrorReason::ProviderError),
        }
    }

    /// Whether it says that the institution does not work: there was no connection, no response, or one of status 5xx.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Tls(_) | Self::Broken(_) | Self::TimedOut(_) => true,
            Self::Status(status) => *status >= 500,
            Self::Insecure
            | Self::Unwritable(_)
            | Self::Forbidden(_)
            | Self::Setup(_)
            | Self::Redirected(_)
            | Self::MediaType(_)
            | Self::Encoded
            | Self::TooLong(_)
            | Self::Json(_) => false,
        }
    }

    /// The same for a call in which only the client authenticates (RFC 6749 section 5.2): there a 401
    /// without an OAuth error means that the client is refused.
    pub fn meaning_to_a_client(&self) -> Meaning {
        match self {
            Self::Status(401) => Meaning::NotSetUp(SetupFault::ClientRefused),
            error => error.meaning(),
        }
    }

    /// Whether it shows that the institution does not work: there was no response, or one of a server in trouble.
    pub fn is_an_outage(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Broken(_) | Self::TimedOut(_) => true,
            Self::Status(status) => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// A media type, as much of it as may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// None was named.
    Unnamed,
    /// JSON, by any of its names.
    Json,
    /// A signed or encrypted token (RFC 7519 section 10.3.1).
    Jwt,
    /// HTML.
    Html,
    /// Any other text.
    Text,
    /// Anything else.
    Other,
}

impl MediaType {
    /// As the headers name it.
    pub fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE) else {
            return Self::Unnamed;
        };
        let essence = value.as_bytes().split(|b| *b == b';').next();
        let essence = essence
            .unwrap_or_default()
            .trim_ascii()
            .to_ascii_lowercase();
        match essence.as_slice() {
            b"" => Self::Unnamed,
            b"text/html" | b"application/xhtml+xml" => Self::Html,
            b"application/json" | b"text/json" => Self::Json,
            b"application/jwt" => Self::Jwt,
            other if other.ends_with(b"+json") => Self::Json,
            other if other.starts_with(b"text/") => Self::Text,
            _ => Self::Other,
        }
    }

    /// Its class, in a word for operators.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unnamed => "no media type",
            Self::Json => "JSON",
            Self::Jwt => "a signed token",
            Self::Html => "HTML",
            Self::Text => "text",
            Self::Other => "something else",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_shown_by_its_class() {
        for (value, expected) in [
            ("application/json", "JSON"),
            ("Application/JSON; charset=utf-8", "JSON"),
            ("application/problem+json", "JSON"),
            ("application/jwt", "a signed token"),
            ("text/html; charset=utf-8", "HTML"),
            ("application/xhtml+xml", "HTML"),
            ("text/plain", "text"),
            ("application/CANARY", "something else"),
            ("", "no media type"),
        ] {
            let class = MediaType::of(&HeaderMap::from_iter([(
                CONTENT_TYPE,
                value.parse().unwrap(),
            )]))
            .name();
            assert_eq!(class, expected, "{value}");
        }
        assert_eq!(MediaType::of(&HeaderMap::new()).name(), "no media type");
    }
}
