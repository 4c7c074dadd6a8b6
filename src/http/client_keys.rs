//! The public keys of clients, for institutions to fetch.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::app_state::AppState;
use crate::flow::client_keys;

/// How long institutions may keep a set, in seconds: a key signs nothing until it has been published for longer.
const KEPT: &str = "public, max-age=300";

/// The public keys that a client has at an institution.
///
/// Register the address there as the client's `jwks_uri`. It stays; the keys change.
#[utoipa::path(
    get, path = "/oauth/jwks/{client}/{institution}",
    operation_id = "readClientKeys", tag = "Keys",
    params(
        ("client" = String, Path, description = "The client's id.", example = "acme"),
        ("institution" = String, Path, description = "The institution's code.", example = "mxbank"),
    ),
    responses(
        (status = 200, description = "The keys, as a JWK set (RFC 7517). They may be kept for five minutes.", body = Object, content_type = "application/jwk-set+json"),
        (status = 404, description = "The client has no keys there."),
    ),
)]
pub async fn read(
    State(app): State<AppState>,
    Path((client, institution)): Path<(String, String)>,
) -> Response {
    let Some(keys) = client_keys::published(&app.gateway, &client, &institution) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (CONTENT_TYPE, "application/jwk-set+json"),
        (CACHE_CONTROL, KEPT),
    ];
    (headers, keys).into_response()
}
