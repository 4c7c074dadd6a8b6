//! Coming back from the institution, by GET or by a form.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{form_field, look_ahead, see_other};
use crate::domain::institution::ResponseMode;
use crate::domain::secret::AnswerHandle;
use crate::flow::callback::{self, Held, Taken, callback};
use crate::http::page::{Page, Parties};
use crate::http::visitor::{Segments, Visit};
use crate::http::{Door, show};
use crate::oauth::Callback;

/// Come back from the institution.
#[utoipa::path(
    get, path = "/oauth/redirect_from/{client}/{institution}",
    operation_id = "returnFromInstitution", tag = "Browser",
    params(
        ("client" = String, Path, description = "The client's id.", example = "acme"),
        ("institution" = String, Path, description = "The institution's code.", example = "mxbank"),
        ("code" = Option<String>, Query, description = "RFC 6749 section 4.1.2."),
        ("state" = Option<String>, Query, description = "RFC 6749 section 4.1.2."),
        ("iss" = Option<String>, Query, description = "RFC 9207."),
        ("error" = Option<String>, Query, description = "RFC 6749 section 4.1.2.1."),
        ("error_description" = Option<String>, Query, description = "RFC 6749 section 4.1.2.1."),
        ("answer" = Option<String>, Query, description = "Where an answer that came by POST is held."),
    ),
    responses(
        (status = 200, description = "A page for machines.", content_type = "text/html"),
        (status = 303, description = "To the outcome."),
        (status = 400, description = "The answer is none, or belongs to no attempt.", content_type = "text/html"),
        (status = 500, description = "Something went wrong on our side.", content_type = "text/html"),
        (status = 503, description = "A look ahead; or the store is away.", content_type = "text/html"),
    ),
)]
pub async fn returned(
    State(door): State<Door>,
    method: Method,
    Segments((client, institution)): Segments<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let shown = show::Shown::new(&door, &headers);
    match Visit::of(&method, &headers) {
        Visit::Navigation => {}
        Visit::Probe => return StatusCode::OK.into_response(),
        Visit::LookAhead => return look_ahead(&shown),
        _ => return shown.page(&Page::Preview, &Parties::default()),
    }
    let query = query.unwrap_or_default();
    let Some(at) = callback::Door::find(&door.gateway, &client, &institution) else {
        return shown.bad_return();
    };
    let answer = match form_field(query.as_bytes(), "answer")
        .filter(|_| at.response_mode() == ResponseMode::FormPost)
    {
        Some(handle) => match AnswerHandle::parse(&handle) {
            Some(handle) => callback::held(&door.gateway, &handle).await,
            None => Ok(None),
        },
        None if at.response_mode() == ResponseMode::Query => {
            Ok(Callback::parse(query.as_bytes()).ok())
        }
        None => Ok(None),
    };
    let answer = match answer {
        Ok(Some(answer)) => answer,
        Ok(None) => return shown.bad_return(),
        Err(error) => return shown.failure(error),
    };
    match callback(
        &door.gateway,
        &at,
        answer,
        door.cookies(&headers).bindings(),
    )
    .await
    {
        // The bare '#' drops a fragment that the institution may have added (docs/SECURITY.md).
        Ok(Taken::Known(attempt)) => see_other(&door, &shown, &format!("/oauth/result/{attempt}#")),
        Ok(Taken::Unreadable) => shown.bad_return(),
        Err(error) => shown.failure(error),
    }
}

/// Come back from the institution by a form.
///
/// It comes without our cookies, so it is held for a GET that brings them (docs/SECURITY.md, C15).
#[utoipa::path(
    post, path = "/oauth/redirect_from/{client}/{institution}",
    operation_id = "postFromInstitution", tag = "Browser",
    params(
        ("client" = String, Path, description = "The client's id.", example = "acme"),
        ("institution" = String, Path, description = "The institution's code.", example = "mxbank"),
    ),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "code, state and iss, or error (OAuth 2.0 Form Post Response Mode)."),
    responses(
        (status = 303, description = "To the same path by GET, or to the outcome."),
        (status = 400, description = "The answer is none, or belongs to no attempt.", content_type = "text/html"),
        (status = 413, description = "The body is over 64 kB."),
        (status = 500, description = "Something went wrong on our side.", content_type = "text/html"),
        (status = 503, description = "The store is away.", content_type = "text/html"),
    ),
)]
pub async fn posted(
    State(door): State<Door>,
    Segments((client, institution)): Segments<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let shown = show::Shown::new(&door, &headers);
    // Half an answer in the query and half in the form is no answer (`security` C11).
    if query.is_some_and(|query| Callback::has_part_in(query.as_bytes())) {
        return shown.bad_return();
    }
    let at = callback::Door::find(&door.gateway, &client, &institution);
    let Some(_at) = at.filter(|at| at.response_mode() == ResponseMode::FormPost) else {
        return shown.bad_return();
    };
    let Ok(answer) = Callback::parse(&body) else {
        return shown.bad_return();
    };
    match callback::hold(&door.gateway, &answer).await {
        Ok(Held::Under(handle)) => {
            let path = format!(
                "/oauth/redirect_from/{client}/{institution}?answer={}",
                handle.expose()
            );
            see_other(&door, &shown, &path)
        }
        Ok(Held::Settled(attempt)) => {
            see_other(&door, &shown, &format!("/oauth/result/{attempt}#"))
        }
        Ok(Held::Unreadable) => shown.bad_return(),
        Err(error) => shown.failure(error),
    }
}
