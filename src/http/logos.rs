//! Pictures of clients and institutions, on our own origin.

use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};

use super::app_state::AppState;
use crate::domain::logo::Logo;

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// A client's picture.
#[utoipa::path(
    get, path = "/oauth/logos/clients/{client}",
    operation_id = "clientLogo", tag = "Browser",
    params(("client" = String, Path, description = "The client's id.", example = "acme")),
    responses(
        (status = 200, description = "The picture.", content_type = "image/*"),
        (status = 404, description = "There is no such client, or it has no picture."),
    ),
)]
pub async fn client(State(app): State<AppState>, Path(client): Path<String>) -> Response {
    let client = client
        .parse()
        .ok()
        .and_then(|id| app.gateway.clients.get(&id).cloned());
    logo(client.and_then(|client| client.logo.clone()))
}

/// An institution's picture.
#[utoipa::path(
    get, path = "/oauth/logos/institutions/{institution}",
    operation_id = "institutionLogo", tag = "Browser",
    params(("institution" = String, Path, description = "The institution's code.", example = "mxbank")),
    responses(
        (status = 200, description = "The picture; a neutral one if the institution's file names none.", content_type = "image/*"),
        (status = 404, description = "There is no such institution."),
    ),
)]
pub async fn institution(State(app): State<AppState>, Path(institution): Path<String>) -> Response {
    let institution = institution
        .parse()
        .ok()
        .and_then(|code| app.gateway.institutions.get(&code).cloned());
    logo(institution.map(|institution| institution.logo.clone().unwrap_or_else(neutral)))
}

/// The picture of an institution that has none of its own. Without one, clients would ask another server,
/// and so tell it which person uses which bank.
fn neutral() -> Logo {
    Logo {
        media_type: "image/svg+xml",
        bytes: include_bytes!("../../templates/institution.svg")
            .as_slice()
            .into(),
    }
}

fn logo(logo: Option<Logo>) -> Response {
    let Some(logo) = logo else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (CONTENT_TYPE, logo.media_type),
        (CACHE_CONTROL, "public, max-age=3600"),
        // Apps with other origins show it.
        (CROSS_ORIGIN_RESOURCE_POLICY, "cross-origin"),
    ];
    (headers, logo.bytes.to_vec()).into_response()
}
