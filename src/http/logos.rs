//! Pictures of clients and institutions, on our own origin.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::Door;
use crate::domain::client::Logo;

/// A client's picture.
#[utoipa::path(
    get, path = "/oauth/logos/clients/{client}",
    operation_id = "clientLogo", tag = "Browser",
    params(("client" = String, Path, description = "The client's id.", example = "acme")),
    responses(
        (status = 200, description = "The picture.", content_type = "image/*"),
        (status = 404, description = "There is none."),
    ),
)]
pub async fn client(State(door): State<Door>, Path(client): Path<String>) -> Response {
    let client = client
        .parse()
        .ok()
        .and_then(|id| door.gateway.clients.get(&id).cloned());
    logo(client.and_then(|client| client.logo.clone()))
}

/// An institution's picture.
#[utoipa::path(
    get, path = "/oauth/logos/institutions/{institution}",
    operation_id = "institutionLogo", tag = "Browser",
    params(("institution" = String, Path, description = "The institution's code.", example = "mxbank")),
    responses(
        (status = 200, description = "The picture.", content_type = "image/*"),
        (status = 404, description = "There is none."),
    ),
)]
pub async fn institution(State(door): State<Door>, Path(institution): Path<String>) -> Response {
    let institution = institution
        .parse()
        .ok()
        .and_then(|code| door.gateway.institutions.get(&code).cloned());
    logo(institution.and_then(|institution| institution.logo.clone()))
}

fn logo(logo: Option<Logo>) -> Response {
    match logo {
        Some(logo) => ([(CONTENT_TYPE, logo.media_type)], logo.bytes.to_vec()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
