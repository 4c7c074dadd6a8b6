//! The one place that turns a failure into a page: nobody in a browser gets JSON.
//!
//! Handlers need not know whether the caller is a person: every refusal of a handler, the router or the
//! server's limits passes here.

use axum::extract::Request;
use axum::http::header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use super::app_state::AppState;
use super::fields;
use super::page::{Ending, Page};
use super::refusal::Refusal;
use super::show::Shown;
use super::source::Source;
use crate::flow::registration;
use crate::telemetry::STRANGERS;

/// A person who waits for the response to a request.
pub struct Person {
    headers: HeaderMap,
    source: Source,
    /// The rest of the path, below that of all callbacks, if an authorization response is brought.
    returning: Option<String>,
}

/// The path of all callbacks.
const CALLBACKS: &str = "/oauth/redirect_from/";

/// The longest that a page waits before it asks again by itself, in seconds.
const LONGEST_WAIT_S: u8 = 60;

impl Person {
    /// The person who waits for the response to `request`; `None` if it is a program: an API's caller, or
    /// a browser that fetches a part of a page.
    pub fn behind(request: &Request, app: &AppState) -> Option<Self> {
        let headers = request.headers();
        is_navigation(headers).then(|| Self {
            headers: headers.clone(),
            source: app.source(request.extensions(), headers),
            returning: request
                .uri()
                .path()
                .strip_prefix(CALLBACKS)
                .map(str::to_owned),
        })
    }

    /// The page this person gets instead of a failure that is no page yet; any other response is not
    /// changed.
    pub fn respond(&self, app: &AppState, response: Response) -> Response {
        let status = response.status();
        let is_failure = status.is_client_error() || status.is_server_error();
        if !is_failure || is_page(&response) {
            return response;
        }
        let wait = response.headers().get(RETRY_AFTER);
        let shown = Shown::new(app, &self.headers);
        let shown = match self.registration(app) {
            Some(at) => shown.of_registration(&at),
            None => shown,
        };
        let mut page = match failure(status, self.returning.is_some()) {
            Failure::Nothing => shown.page(&Page::NotFound),
            Failure::Passing => shown.page(&Page::Busy {
                refresh_s: seconds(wait),
                again: None,
            }),
            Failure::Unreadable => shown.bad_return(&Refusal::unread(status), self.source),
            Failure::Ours => {
                let support_code = shown.support_code();
                let (source, status) = (self.source, status.as_u16());
                tracing::warn!(target: STRANGERS, %support_code, status, %source, "error page shown");
                shown.page(&Page::ServerError(Ending {
                    retry: None,
                    back: None,
                    notify: None,
                    support_code,
                }))
            }
        };
        // 401 and 403 are about API keys, which concern no person: the page keeps its own status.
        let is_about_keys = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        if !is_about_keys {
            *page.status_mut() = status;
        }
        for name in [RETRY_AFTER, ALLOW] {
            if let Some(value) = response.headers().get(&name) {
                page.headers_mut().insert(name, value.clone());
            }
        }
        page
    }

    fn registration(&self, app: &AppState) -> Option<registration::CallbackEndpoint> {
        let (client, institution) = self.returning.as_ref()?.split_once('/')?;
        registration::CallbackEndpoint::find(&app.gateway, client, institution)
    }
}

/// What a failure is to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// There is nothing at that address.
    Nothing,
    /// It will pass by itself.
    Passing,
    /// What an institution sent cannot be read.
    Unreadable,
    /// Something went wrong on our side.
    Ours,
}

fn failure(status: StatusCode, is_returning: bool) -> Failure {
    match status {
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Failure::Passing,
        status if status.is_server_error() => Failure::Ours,
        StatusCode::NOT_FOUND => Failure::Nothing,
        _ if is_returning => Failure::Unreadable,
        _ => Failure::Nothing,
    }
}

/// The values of `Sec-Fetch-Dest` for what a window or a frame of a browser loads (a navigation request
/// of the Fetch standard). With any other value something is fetched for a page, so the caller counts as
/// a program.
const NAVIGATIONS: [&str; 5] = ["document", "iframe", "frame", "embed", "object"];

/// Whether a window or a frame of a browser navigates. A window says so. Any other request must accept
/// HTML and have no key of an API, because some programs always accept HTML.
fn is_navigation(headers: &HeaderMap) -> bool {
    const DESTINATION: &str = "sec-fetch-dest";
    const KEYS: [HeaderName; 4] = [
        AUTHORIZATION,
        HeaderName::from_static("md-api-token"),
        HeaderName::from_static("md-session-token"),
        HeaderName::from_static("md-api-key"),
    ];
    let loads = |what: &&str| fields::says(headers, DESTINATION, what);
    loads(&"document")
        || (!headers.contains_key(DESTINATION) || NAVIGATIONS.iter().any(loads))
            && accepts_html(headers)
            && !KEYS.iter().any(|key| headers.contains_key(key))
}

fn accepts_html(headers: &HeaderMap) -> bool {
    fields::parts(headers, ACCEPT.as_str(), b',')
        .filter_map(|range| range.split(|byte| *byte == b';').next())
        .any(|range| range.trim_ascii().eq_ignore_ascii_case(b"text/html"))
}

fn is_page(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// When to ask again, in whole seconds: as the response says, or soon if it does not say.
fn seconds(wait: Option<&HeaderValue>) -> u8 {
    let said: Option<u64> = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
    let said = said.unwrap_or(2).clamp(1, LONGEST_WAIT_S.into());
    u8::try_from(said).unwrap_or(LONGEST_WAIT_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_navigates_is_a_person_and_a_program_is_none() {
        let check = |pairs: &[(&'static str, &'static str)], expected: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
                headers.append(HeaderName::from_static(name), value);
            }
            assert_eq!(is_navigation(&headers), expected, "{pairs:?}");
        };
        let html = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
        check(&[("sec-fetch-dest", "document")], true);
        check(&[("accept", html)], true);
        check(&[("accept", "application/json, TEXT/HTML;q=0.1")], true);
        check(&[], false);
        check(&[("accept", "*/*")], false);
        check(&[("accept", "application/json, text/plain, */*")], false);
        check(&[("accept", "text/htmlx")], false);
        check(&[("sec-fetch-dest", " Document")], true);
        let twice = [("sec-fetch-dest", "document"), ("sec-fetch-dest", "empty")];
        check(&twice, false);
        for fetched in ["empty", "image", "script", "\u{fffd}"] {
            check(&[("accept", html), ("sec-fetch-dest", fetched)], false);
        }
        for framed in ["iframe", "frame", "embed", "object", "IFRAME"] {
            check(&[("accept", html), ("sec-fetch-dest", framed)], true);
            check(&[("accept", "*/*"), ("sec-fetch-dest", framed)], false);
        }
        for key in [
            "authorization",
            "md-session-token",
            "md-api-token",
            "md-api-key",
        ] {
            check(&[("accept", html), (key, "x")], false);
            check(&[("sec-fetch-dest", "document"), (key, "x")], true);
        }
    }

    #[test]
    fn every_failure_has_a_page() {
        let all = (400..600).filter_map(|code| StatusCode::from_u16(code).ok());
        for status in all {
            for is_returning in [false, true] {
                let expected = match (status.as_u16(), is_returning) {
                    (408 | 429 | 502 | 503 | 504, _) => Failure::Passing,
                    (500.., _) => Failure::Ours,
                    (404, _) | (_, false) => Failure::Nothing,
                    (_, true) => Failure::Unreadable,
                };
                assert_eq!(failure(status, is_returning), expected, "{status}");
            }
        }
        let wait = |text: &'static str| seconds(Some(&HeaderValue::from_static(text)));
        assert_eq!((wait("7"), wait("600"), wait("0")), (7, 60, 1));
        assert_eq!((wait("Fri, 01 Jan 2027"), seconds(None)), (2, 2));
    }
}
