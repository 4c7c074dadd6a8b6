//! Responses in JSON, in the media type and the version that the caller asks for (CONTRACT.md 1.1 and
//! 2.1).

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::version::Version;

/// A JSON response, in the media type and the version that the caller asks for.
pub fn response(headers: &HeaderMap, status: StatusCode, body: &impl Serialize) -> Response {
    let text = match Version::read_by(headers) {
        Some(version) => version.write(body),
        None => serde_json::to_string(body),
    };
    let text = text.expect("texts, numbers and lists are JSON");
    let mut response = (status, text).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(media_type(headers)),
    );
    response
}

/// The vendor types that clients are known to ask for; anything else gets plain JSON.
pub fn media_type(headers: &HeaderMap) -> &'static str {
    const SPOKEN: [&str; 8] = [
        "application/vnd.mx.nexus.v1+json",
        "application/vnd.mx.nexus.beta+json",
        "application/vnd.moneydesktop.v1+json",
        "application/vnd.moneydesktop.v2+json",
        "application/vnd.moneydesktop.sso.v3+json",
        "application/vnd.mx.api.v1+json",
        "application/vnd.mx.api.v2+json",
        "application/vnd.mx.api.v2beta+json",
    ];
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let asked = accept
        .split(',')
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    let mut spoken = asked.filter_map(|range| {
        SPOKEN
            .iter()
            .find(|known| range.eq_ignore_ascii_case(known))
    });
    spoken
        .next()
        .copied()
        .unwrap_or("application/json; charset=utf-8")
}
