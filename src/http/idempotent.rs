//! `Idempotency-Key`: a POST that is sent twice with one key is processed once.
//!
//! A layer around the handlers. It authenticates the caller first, so that a stranger learns nothing, and
//! passes the caller on: the handler does not authenticate or count it again.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest as _, FromRequestParts, Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::app_state::AppState;
use super::auth::{NexusUser, PlatformClient};
use super::body::Whole;
use super::problem::{Dialect, Kind, Problem};
use crate::domain::id::{ClientId, UserGuid};
use crate::flow::idempotency::{self, Admission, KeyedRequest, Origin};
use crate::flow::{IdempotentRequest, Internal};

/// The header.
const KEY: &str = "idempotency-key";

/// The longest key, in characters.
const LONGEST_KEY: usize = 255;

/// Says that the response was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// How long to wait for the first request, in seconds.
const PATIENCE_S: u64 = 1;

/// A caller whose requests may have a key.
pub trait KeyOwner:
    FromRequestParts<AppState, Rejection = Problem> + Clone + Send + Sync + 'static
{
    /// The envelope of its errors.
    const DIALECT: Dialect;

    /// The client and user whose key it is.
    fn owner(&self) -> (&ClientId, Option<UserGuid>);
}

impl KeyOwner for NexusUser {
    const DIALECT: Dialect = Dialect::Nexus;

    fn owner(&self) -> (&ClientId, Option<UserGuid>) {
        (&self.client.id, Some(self.user.guid))
    }
}

impl KeyOwner for PlatformClient {
    const DIALECT: Dialect = Dialect::Platform;

    fn owner(&self) -> (&ClientId, Option<UserGuid>) {
        (&self.client.id, None)
    }
}

/// A response as it is stored, sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    status: u16,
    content_type: Option<String>,
    body: String,
}

/// Processes a request once. A request that is no POST, or has no key, is passed on.
pub async fn once<A: KeyOwner>(
    State(app): State<AppState>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(KEY) {
        return next.run(request).await;
    }
    match keyed::<A>(app, request, next).await {
        Ok(response) => response,
        Err(problem) => problem.in_dialect(A::DIALECT).into_response(),
    }
}

async fn keyed<A: KeyOwner>(
    app: AppState,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let key_owner = A::from_request_parts(&mut parts, &app).await?;
    let key = key(&parts.headers)?;
    let request = Request::from_parts(parts.clone(), body);
    let Whole(body) = Whole::from_request(request, &app).await?;
    let (client, user) = key_owner.owner();
    let target = parts.uri.path_and_query();
    let keyed = KeyedRequest {
        client,
        user,
        key: &key,
        parts: [
            parts.method.as_str().as_bytes(),
            target.map_or("", |target| target.as_str()).as_bytes(),
            &body,
        ],
    };
    match idempotency::admit(&app.gateway, &keyed).await? {
        Admission::First(first) => {
            parts.extensions.insert(key_owner);
            parts.extensions.insert(Origin::of(&first));
            let request = Request::from_parts(parts, Body::from(body));
            // A task of its own: if the caller's connection breaks, it will send the request again with
            // the key.
            let gateway = app.gateway.clone();
            let done = gateway.spawn(async move {
                let done = idempotency::hold(&app.gateway, &first, next.run(request)).await;
                stored(&app, &first, done).await
            });
            done.await
                .map_err(|_| Problem::from(crate::flow::Internal::Interrupted))
        }
        Admission::UnderWay => {
            let message =
                "The request with this Idempotency-Key is still running: wait and send it again.";
            Err(Problem::new(Kind::Conflict, message).after(PATIENCE_S))
        }
        Admission::Replayed(kept) => replay(&kept),
        Admission::Differs => {
            let message = "This Idempotency-Key was used for another request: choose a new key.";
            Err(Problem::new(Kind::Unprocessable, message))
        }
    }
}

/// The one key of a request: 1 to 255 visible ASCII characters.
fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let mut sent = headers.get_all(KEY).iter();
    let only = sent.next().filter(|_| sent.next().is_none());
    let key = only.and_then(|key| key.to_str().ok());
    let is_sound = |key: &&str| {
        (1..=LONGEST_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    key.filter(is_sound).map(str::to_owned).ok_or_else(|| {
        let message = format!(
            "Idempotency-Key must be one key of 1 to {LONGEST_KEY} visible ASCII characters."
        );
        Problem::new(Kind::Malformed, message)
    })
}

/// Whether a response says nothing about the request itself, or says when the same request may succeed.
fn is_passing(status: StatusCode, headers: &HeaderMap) -> bool {
    headers.contains_key(RETRY_AFTER)
        || status.is_server_error()
        || matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        )
}

/// Stores the response of the first request, and passes it on, even if it could not be stored: the
/// request was processed.
async fn stored(app: &AppState, first: &IdempotentRequest, response: Response) -> Response {
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_default();
    let kept = match is_passing(parts.status, &parts.headers) {
        true => idempotency::forget(&app.gateway, first).await,
        false => {
            let content_type = parts.headers.get(CONTENT_TYPE);
            let kept = Kept {
                status: parts.status.as_u16(),
                content_type: content_type
                    .and_then(|value| value.to_str().ok())
                    .map(str::to_owned),
                body: String::from_utf8_lossy(&body).into_owned(),
            };
            let kept = serde_json::to_vec(&kept).expect("texts are JSON");
            idempotency::keep(&app.gateway, first, &kept).await
        }
    };
    if let Err(error) = kept {
        tracing::warn!(%error, "the response to a request with an Idempotency-Key could not be stored");
    }
    Response::from_parts(parts, Body::from(body))
}

/// The stored response again.
fn replay(kept: &[u8]) -> Result<Response, Problem> {
    let unreadable =
        |what: String| Problem::from(Internal::Unreadable(format!("stored response: {what}")));
    let kept: Kept = serde_json::from_slice(kept).map_err(|error| unreadable(error.to_string()))?;
    let status =
        StatusCode::from_u16(kept.status).map_err(|error| unreadable(error.to_string()))?;
    let mut response = (status, Bytes::from(kept.body)).into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    if let Some(content_type) = kept.content_type
        && let Ok(content_type) = HeaderValue::from_str(&content_type)
    {
        headers.insert(CONTENT_TYPE, content_type);
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    headers.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_and_visible() {
        let of = |keys: &[&str]| {
            let mut headers = HeaderMap::new();
            for sent in keys {
                headers.append(
                    KEY,
                    HeaderValue::from_bytes(sent.as_bytes()).expect("a value"),
                );
            }
            key(&headers).ok()
        };
        let longest = "k".repeat(255);
        for sound in [
            "a",
            "8e03978e-40d5-43e8-bc93-6894a57f9324",
            longest.as_str(),
        ] {
            assert_eq!(of(&[sound]).as_deref(), Some(sound));
        }
        let longer = "k".repeat(256);
        for wrong in ["", "a b", "é", longer.as_str()] {
            assert_eq!(of(&[wrong]), None, "{wrong}");
        }
        assert_eq!(of(&["a", "a"]), None);
    }

    #[test]
    fn what_may_pass_is_not_kept() {
        let mut headers = HeaderMap::new();
        let passes = |status: u16, headers: &HeaderMap| {
            is_passing(StatusCode::from_u16(status).expect("a status"), headers)
        };
        let is_kept = |status: u16| !passes(status, &HeaderMap::new());
        for kept in [200, 202, 400, 404, 405, 409, 415, 422] {
            assert!(is_kept(kept), "{kept}");
        }
        for passing in [401, 408, 429, 500, 503] {
            assert!(!is_kept(passing), "{passing}");
        }
        // An institution in maintenance.
        headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
        assert!(passes(400, &headers));
    }
}
