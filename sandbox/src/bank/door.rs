//! The control door: incidents that happen to a whole institution, and not to a grant.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::Bank;

/// A switch, as it is sent. Since it must be sent as JSON, no page of another origin can.
#[derive(Debug, Deserialize)]
pub(super) struct Switch {
    on: bool,
}

/// `POST /{code}/sandbox/refuse_all`: every refresh at the institution is refused, until it is
/// switched off again.
pub(super) async fn refuse_all(
    State(bank): State<Arc<Bank>>,
    Path(code): Path<String>,
    Json(Switch { on }): Json<Switch>,
) -> StatusCode {
    if bank.institution(&code).is_none() {
        return StatusCode::NOT_FOUND;
    }
    bank.ledger().refuse_all(&code, on);
    StatusCode::NO_CONTENT
}
