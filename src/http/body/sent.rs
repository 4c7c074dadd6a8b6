//! The body and the headers of a request.

use std::error::Error;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use thiserror::Error as ThisError;

use crate::domain::member::CallbackPayload;
use crate::flow::WebhookChoice;
use crate::http::problem::{Dialect, Kind, Problem};

/// The error of a body whose sender keeps us waiting.
#[derive(Debug, ThisError)]
#[error("the sender is too slow")]
pub struct TooSlow;

/// A complete body as it was sent: at most 64 kB, unless a route says otherwise.
pub struct Whole(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let dialect = Dialect::of(request.headers());
        let body = Bytes::from_request(request, state).await;
        body.map(Self).map_err(|rejection| {
            let problem = match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(),
                _ if came_too_slowly(&rejection) => Problem::new(
                    Kind::TimedOut,
                    "The rest of the body did not arrive in time: no pause may be longer than 10 seconds, \
                     and 1 kB a second is the least.",
                ),
                _ => Problem::new(Kind::Malformed, "The body ended too early."),
            };
            problem.in_dialect(dialect)
        })
    }
}

fn came_too_slowly(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<TooSlow>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A whole body that is JSON by its `Content-Type`, or has none.
pub struct Sent(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let dialect = Dialect::of(request.headers());
        let is_json = is_json(request.headers());
        let encoding = request.headers().get(CONTENT_ENCODING).cloned();
        let Whole(body) = Whole::from_request(request, state).await?;
        if let Some(problem) = encoded(&encoding, &body) {
            return Err(problem.in_dialect(dialect));
        }
        if !body.is_empty() && !is_json {
            let message = "The body is not JSON by its Content-Type: send application/json.";
            return Err(Problem::new(Kind::UnsupportedMediaType, message).in_dialect(dialect));
        }
        Ok(Self(body))
    }
}

/// The error for a body that is not plain UTF-8: compressed, or with a byte order mark.
fn encoded(encoding: &Option<HeaderValue>, body: &[u8]) -> Option<Problem> {
    let encoding = encoding.as_ref().map(|encoding| encoding.as_bytes());
    let is_named =
        encoding.is_some_and(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
    if is_named || body.starts_with(b"\x1f\x8b") {
        let message = "The body is compressed: send it as it is, without Content-Encoding.";
        return Some(Problem::new(Kind::UnsupportedMediaType, message));
    }
    let marks: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe"];
    marks.iter().any(|mark| body.starts_with(mark)).then(|| {
        let message = "The body begins with a byte order mark: send UTF-8 without one.";
        Problem::new(Kind::Malformed, message)
    })
}

/// `application/json` and every vendor's type that says it is JSON (RFC 6839 section 3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let Some(sent) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let essence = sent.to_str().unwrap_or_default().split(';').next();
    let essence = essence.unwrap_or_default().trim().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/");
    subtype.is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

/// `X-CALLBACK-PAYLOAD` (CONTRACT.md 2.2).
pub fn callback_payload(headers: &HeaderMap) -> Result<Option<CallbackPayload>, Problem> {
    let Some(sent) = headers.get("x-callback-payload") else {
        return Ok(None);
    };
    let payload = sent.to_str().unwrap_or_default().parse();
    payload
        .map(Some)
        .map_err(|error| Problem::new(Kind::Malformed, format!("{error}.")))
}

/// Whether a request's events are sent, by its headers alone.
pub fn webhook_choice(headers: &HeaderMap) -> WebhookChoice {
    let skip = headers
        .get("mx-skip-webhook")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if skip {
        WebhookChoice::Skip
    } else {
        WebhookChoice::Send
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header"));
        headers
    }

    #[test]
    fn vendors_json_is_json() {
        for json in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/vnd.mx.nexus.v1+json",
            "application/vnd.mx.api.v1+json;q=1",
        ] {
            assert!(is_json(&headers("content-type", json)), "{json}");
        }
        assert!(is_json(&HeaderMap::new()));
        for other in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "json",
            "",
        ] {
            assert!(!is_json(&headers("content-type", other)), "{other}");
        }
    }

    #[test]
    fn a_callback_payload_that_is_none_names_its_header() {
        let read = |text: &str| callback_payload(&headers("x-callback-payload", text));
        assert!(read("aGVsbG8=").is_ok_and(|payload| payload.is_some()));
        let error = read("not base64!").expect_err("refused");
        assert!(format!("{error:?}").contains("X-CALLBACK-PAYLOAD"));
    }
}
