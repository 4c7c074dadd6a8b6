//! The headers of every response, errors and redirects included (docs/SECURITY.md).

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use percent_encoding::percent_decode_str;
use tower::Service;

use super::app_state::AppState;
use super::json;
use super::people::Person;
use super::problem::{ConditionNotMet, Dialect, Kind, Problem};

const BASELINE: [(HeaderName, &str); 8] = [
    (
        header::STRICT_TRANSPORT_SECURITY,
        "max-age=63072000; includeSubDomains",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    ),
    // Redirects and JSON; pages bring their own.
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
];

/// How long a request may take, its body included. Work that must be finished all the same runs in a task
/// of its own.
const LONGEST_REQUEST: Duration = Duration::from_secs(60);

/// Adds the common headers to a response that does not have its own, and gives the server's own refusals
/// of a body or a path the API's envelope. A person gets a page instead of an error.
pub async fn baseline<S>(app: &AppState, routes: S, request: Request) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let dialect = Dialect::of(request.headers());
    let method = request.method().clone();
    let is_page = request.uri().path().starts_with("/oauth/");
    let spoken = json::media_type(request.headers());
    let person = Person::behind(&request, app);
    let address = request.uri().clone();
    // A guid whose bytes are no text is not found, like any other malformed one; pages say so themselves.
    let is_text = is_page || percent_decode_str(address.path()).decode_utf8().is_ok();
    let mut response = match is_text {
        true => answer_in_time(request, routes, dialect).await,
        false => Problem::not_found("path")
            .in_dialect(dialect)
            .into_response(),
    };
    if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
        response = Problem::too_large().in_dialect(dialect).into_response();
    }
    if let Some(person) = person {
        response = person.respond(app, response);
    }
    // An error has the caller's media type too (CONTRACT.md 1.1).
    let is_json = |headers: &HeaderMap| {
        headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/json")
    };
    if !response.status().is_success() && is_json(response.headers()) {
        let spoken = HeaderValue::from_static(spoken);
        response.headers_mut().insert(header::CONTENT_TYPE, spoken);
    }
    let is_unmet = response.extensions().get::<ConditionNotMet>().is_some();
    let headers = response.headers_mut();
    refresh_whole(headers, &address);
    if is_unmet && let Ok(allowed) = HeaderValue::from_str(method.as_str()) {
        headers.entry(header::ALLOW).or_insert(allowed);
    }
    for (name, value) in BASELINE {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

/// The address that a page asks again by itself. If the address of the page has a fragment (a bare '#' of
/// ours, or whatever an institution added), a browser that is told to load the same address would only
/// jump to the fragment and load nothing.
fn refresh_whole(headers: &mut HeaderMap, address: &Uri) {
    let (Some(after), Some(address)) = (headers.get(header::REFRESH), address.path_and_query())
    else {
        return;
    };
    let whole = [after.as_bytes(), b"; url=", address.as_str().as_bytes()].concat();
    if let Ok(whole) = HeaderValue::from_bytes(&whole) {
        headers.insert(header::REFRESH, whole);
    }
}

async fn answer_in_time<S>(request: Request, mut routes: S, dialect: Dialect) -> Response
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let answer = caught(routes.call(request));
    let problem = match tokio::time::timeout(LONGEST_REQUEST, answer).await {
        Ok(Some(Ok(response))) => return response,
        Ok(None) => Problem::new(
            Kind::Internal,
            "Something went wrong on our side. Send the request again later.",
        ),
        Err(_) => Problem::new(
            Kind::TimedOut,
            "The request took longer than 60 seconds to arrive or to process.",
        ),
    };
    problem.in_dialect(dialect).into_response()
}

/// The response; `None` if the handler panics, so that the caller still gets one.
async fn caught<T>(answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = pin!(answer);
    poll_fn(|context| {
        // Nothing of it is looked at again after a panic.
        let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
        polled.map_or(Poll::Ready(None), |ready| ready.map(Some))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_a_minute() {
        assert_eq!(LONGEST_REQUEST, Duration::from_secs(60));
    }

    #[tokio::test]
    async fn a_panic_is_a_response_too() {
        assert_eq!(caught(async { 1 }).await, Some(1));
        let panicking = async {
            tokio::task::yield_now().await;
            panic!("on purpose");
        };
        assert_eq!(caught::<()>(panicking).await, None);
    }
}
