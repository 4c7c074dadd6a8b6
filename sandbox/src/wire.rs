//! What the sandbox's servers have in common: the clock, random names, pages, and outgoing calls.

use std::time::Duration;

use anyhow::Context as _;
use askama::Template;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use url::Url;

use super::settings::Brand;

/// How long any outgoing call may take, from the connection to the last byte.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest response that is read.
const RESPONSE_LIMIT: usize = 1024 * 1024;

/// Everything a page needs comes from its own origin; the pictures of a bank's questions are in the
/// page itself. There is no `form-action`, because browsers apply it to the redirects that follow a
/// form too, and those lead to the client's address. There is no opener policy, because the demo app follows its window through the bank and back.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The time by the system's clock. The only place in the sandbox that reads it.
#[allow(
    clippy::disallowed_methods,
    reason = "the sandbox is a world of its own, with the real clock in it"
)]
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// 256 random bits as 43 characters that need no escaping in URLs and forms.
#[expect(
    clippy::disallowed_methods,
    reason = "the sandbox is a world of its own, with the real dice in it"
)]
pub(super) fn random_token() -> String {
    let bytes: [u8; 32] = rand::random();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An HTML response: `page` rendered, never stored, with the headers every page has.
pub(super) fn page(status: StatusCode, page: &impl Template) -> Response {
    let html = match page.render() {
        Ok(html) => html,
        Err(error) => {
            tracing::error!(%error, "a sandbox page could not be rendered");
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    };
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        ("cache-control", "no-store"),
        ("content-security-policy", PAGE_POLICY),
        // A form that is posted across origins names where it comes from, but no more than that.
        ("referrer-policy", "strict-origin"),
        ("x-content-type-options", "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A style sheet or script that is part of the program.
pub(super) fn asset(media_type: &'static str, content: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, media_type), (CACHE_CONTROL, "no-cache")];
    (headers, content).into_response()
}

/// `GET /style.css`: what the app's pages and the bank's have in common.
pub(super) async fn style() -> Response {
    let css = concat!(
        include_str!("../../templates/colours.css"),
        include_str!("../templates/style.css")
    );
    asset("text/css; charset=utf-8", css)
}

/// `GET /logos/{brand}.svg`
pub(super) async fn logo(Path(file): Path<String>) -> Response {
    let code = file.strip_suffix(".svg");
    match Brand::ALL.iter().find(|brand| Some(brand.code) == code) {
        Some(brand) => asset("image/svg+xml", brand.logo),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A 303: fetch `location` by GET, whatever this request was.
pub(super) fn see_other(location: &str) -> Response {
    match HeaderValue::from_str(location) {
        Ok(location) => {
            let headers = [
                (LOCATION, location),
                (CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (StatusCode::SEE_OTHER, headers).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The client for calls to the other servers of the demo: no redirects, no proxy, ten seconds.
///
/// # Errors
/// When the TLS provider cannot be set up.
pub(super) fn http_client() -> anyhow::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(CALL_TIMEOUT)
        .build()
        .context("setting up the sandbox's HTTP client")
}

/// Why a call to another server brought nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// No response, or the connection broke.
    #[error("no response")]
    Unreachable(#[source] reqwest::Error),
    /// A response with another status than 2xx.
    #[error("the response was {0}")]
    Status(StatusCode),
    /// The same, with the time after which to ask again (`Retry-After`).
    #[error("the response was {0}, to be asked for again in {1:?}")]
    Later(StatusCode, Duration),
    /// A response of more than a mebibyte.
    #[error("the response was too long")]
    TooLong,
    /// A response that is not the expected JSON.
    #[error("the response could not be read")]
    Unreadable(#[source] serde_json::Error),
}

/// Sends `request` and reads a 2xx response as JSON.
///
/// # Errors
/// [`CallError`]; a response's text is never part of it, and addresses are left out.
pub(super) async fn call<T: DeserializeOwned>(
    request: reqwest::RequestBuilder,
) -> Result<T, CallError> {
    let body = send(request).await?;
    serde_json::from_slice(&body).map_err(CallError::Unreadable)
}

/// Sends `request` and reads a 2xx response as it is.
///
/// # Errors
/// [`CallError`], but never [`CallError::Unreadable`].
pub(super) async fn send(request: reqwest::RequestBuilder) -> Result<Vec<u8>, CallError> {
    let response = receive(request).await?;
    if response.status.is_success() {
        return Ok(response.body);
    }
    Err(match response.retry_after {
        Some(wait) => CallError::Later(response.status, wait),
        None => CallError::Status(response.status),
    })
}

/// Sends `request` and reads the response, whatever its status.
///
/// # Errors
/// [`CallError::Unreachable`] and [`CallError::TooLong`].
pub(super) async fn ask(
    request: reqwest::RequestBuilder,
) -> Result<(StatusCode, Vec<u8>), CallError> {
    let response = receive(request).await?;
    Ok((response.status, response.body))
}

struct CallResponse {
    status: StatusCode,
    /// In seconds; a date is not read.
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

async fn receive(request: reqwest::RequestBuilder) -> Result<CallResponse, CallError> {
    let unreachable = |error: reqwest::Error| CallError::Unreachable(error.without_url());
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > RESPONSE_LIMIT {
            return Err(CallError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(CallResponse {
        status,
        retry_after: retry_after.map(Duration::from_secs),
        body,
    })
}

/// `base` with `segments` added to its path, each escaped. Whether `base` ends in `/` is no matter.
pub(super) fn below<'s>(base: &Url, segments: impl IntoIterator<Item = &'s str>) -> Url {
    let mut url = base.clone();
    // Only addresses such as `mailto:` have no path to add to; start() refuses those.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// `url` as the text to build longer addresses and origins from: without a `/` at the end.
pub(super) fn trimmed(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_added_and_escaped() {
        for base in ["http://127.0.0.1:8080", "http://127.0.0.1:8080/"] {
            let base = Url::parse(base).expect("an address");
            let url = below(&base, ["users", "USR-1/../x?y", "members"]);
            let expected = "http://127.0.0.1:8080/users/USR-1%2F..%2Fx%3Fy/members";
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn random_tokens_are_long_and_differ() {
        let (one, other) = (random_token(), random_token());
        assert_eq!((one.len(), other.len()), (43, 43));
        assert_ne!(one, other);
    }
}
