//! GETs that change something: the API we follow has a few (CONTRACT.md 1.1, 1.3 and 1.4).
//!
//! Unless something else is said, the GET's handler also serves HEAD (RFC 9110 section 9.3.2). But a HEAD
//! is sent to look, not to change something: nobody would get a link minted by it.

use axum::extract::Request;
use axum::http::header::{ALLOW, HeaderValue};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Dialect, Kind, Problem};

/// Refuses a HEAD of a GET that changes something.
pub async fn no_head(headers: HeaderMap, request: Request, next: Next) -> Response {
    if request.method() != Method::HEAD {
        return next.run(request).await;
    }
    let message = "This GET changes something, so HEAD is not allowed: send a GET.";
    let problem = Problem::new(Kind::MethodNotAllowed, message).in_dialect(Dialect::of(&headers));
    let mut response = problem.into_response();
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET"));
    response
}
