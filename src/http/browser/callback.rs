//! The authorization response arrives, by GET or by a form.
//!
//! A response that does not provably belong to a request of ours changes nothing. A browser with an
//! attempt under way at that path is led to its page, which says what may be done; any other gets a
//! neutral page.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use zeroize::Zeroizing;

use super::redirects::{Look, binding, counted, form_field, look_ahead, see_other, to_outcome};
use crate::domain::secret::ResponseHandle;
use crate::domain::window::Binding;
use crate::flow::callback::{CallbackOutcome, callback};
use crate::flow::held::{Held, held, hold};
use crate::flow::registration;
use crate::flow::unproven::{Refused, own_attempt};
use crate::http::app_state::AppState;
use crate::http::body::Whole;
use crate::http::limits::Sought;
use crate::http::page::{Form, Page};
use crate::http::refusal::Refusal;
use crate::http::show;
use crate::http::source::Source;
use crate::http::visitor::{Segments, Visit};
use crate::log_context;
use crate::oauth::AuthorizationResponse;

/// The parameter that brings a refusal from a POST to the GET that follows. It is sealed in the address;
/// only a valid response is held in the store. A stranger can cause any number of refusals, and they must
/// not fill the store.
const REFUSED: &str = "refused";

/// Receive the authorization response.
#[utoipa::path(
    get, path = "/oauth/redirect_from/{client}/{institution}",
    operation_id = "returnFromInstitution", tag = "Browser",
    params(
        ("client" = String, Path, description = "The client's id.", example = "acme"),
        ("institution" = String, Path, description = "The institution's code.", example = "mxbank"),
        ("code" = Option<String>, Query, description = "RFC 6749 section 4.1.2."),
        ("state" = Option<String>, Query, description = "RFC 6749 section 4.1.2."),
        ("iss" = Option<String>, Query, description = "RFC 9207."),
        ("response" = Option<String>, Query, description = "All of it as one signed JWT (JARM section 2.3.1)."),
        ("error" = Option<String>, Query, description = "RFC 6749 section 4.1.2.1."),
        ("error_description" = Option<String>, Query, description = "RFC 6749 section 4.1.2.1."),
        ("answer" = Option<String>, Query, description = "The handle of a response that arrived by POST and is held."),
        ("refused" = Option<String>, Query, description = "Why a response that arrived by POST was refused; for the log only."),
    ),
    responses(
        (status = 200, description = "A page for preview agents, without effect.", content_type = "text/html"),
        (status = 303, description = "To the outcome page; if the response is refused, to the page of this browser's own attempt."),
        (status = 400, description = "The response is malformed, or belongs to no attempt.", content_type = "text/html"),
        (status = 429, description = "Too many responses that belong to no attempt from this address.", content_type = "text/html"),
        (status = 500, description = "Something went wrong on our side.", content_type = "text/html"),
        (status = 503, description = "A prefetch; or the store cannot be reached.", content_type = "text/html"),
    ),
)]
pub async fn returned(
    State(app): State<AppState>,
    method: Method,
    Segments((client, institution)): Segments<(String, String)>,
    RawQuery(query): RawQuery,
    source: Source,
    headers: HeaderMap,
) -> Response {
    let shown = show::Shown::new(&app, &headers);
    match Visit::of(&method, &headers) {
        Visit::Navigation => {}
        Visit::Probe => return StatusCode::OK.into_response(),
        Visit::LookAhead => return look_ahead(&shown),
        _ => return shown.page(&Page::Preview),
    }
    let raw = Zeroizing::new(query.unwrap_or_default().into_bytes());
    let Some(at) = registration::CallbackEndpoint::find(&app.gateway, &client, &institution) else {
        return shown.bad_return(&Refusal::nowhere(&client, &institution, &raw), source);
    };
    let shown = shown.of_registration(&at);
    let look = async {
        let browser = app.cookies(&headers).browser();
        let bindings = browser.bindings.clone();
        let carried = form_field(&raw, REFUSED);
        if let Some(refusal) = carried.and_then(|it| Refusal::arrived(&app.gateway, &at, &it)) {
            return refuse(&app, &shown, &at, source, &bindings, &refusal).await;
        }
        let handle = form_field(&raw, "answer");
        let raw = at.in_standard_names(&raw);
        let response = match (at.response_mode().is_posted(), handle.as_deref()) {
            (true, Some(handle)) => match ResponseHandle::parse(handle) {
                Some(handle) => held(&app.gateway, &at, &handle).await,
                None => Ok(None),
            }
            .map(|held| held.ok_or(Refused::NotHeld)),
            (true, None) if AuthorizationResponse::has_part_in(&raw) => {
                Ok(Err(Refused::Mode("GET")))
            }
            _ => Ok(at.read(&app.gateway, &raw).map_err(Refused::from)),
        };
        // For the log: the held response itself, not its handle.
        let raw = match &response {
            Ok(Ok(read)) if handle.is_some() || read.is_jwt() => &read.as_form(),
            _ => &raw,
        };
        let taken = match response {
            Ok(Ok(response)) => callback(&app.gateway, &at, response, browser).await,
            Ok(Err(refused)) => Ok(CallbackOutcome::Refused(refused)),
            Err(error) => Err(error),
        };
        Look::Found(match taken {
            Ok(CallbackOutcome::Known { attempt, cookie }) => {
                let cookies = app.cookies(&headers);
                binding(
                    to_outcome(&app, &shown, &attempt),
                    &cookies,
                    cookie.as_ref(),
                )
            }
            Ok(CallbackOutcome::Refused(refused)) => {
                let refusal = Refusal::new(&refused, &at, raw);
                return refuse(&app, &shown, &at, source, &bindings, &refusal).await;
            }
            Err(error) => shown.failure(error),
        })
    };
    respond(&app, &shown, source, look).await
}

/// Sends what a response led to. If too many responses from this source belonged to no attempt, it is
/// refused unread.
async fn respond(
    app: &AppState,
    shown: &show::Shown<'_>,
    source: Source,
    look: impl Future<Output = Look>,
) -> Response {
    match app.limits.may_look(source, Sought::Attempt) {
        Ok(()) => counted(app, shown, source, Sought::Attempt, look.await),
        Err(wait) => {
            Refusal::unread(StatusCode::TOO_MANY_REQUESTS).log(source);
            shown.too_many(wait)
        }
    }
}

/// Refuses a response, which changes nothing; a browser with an attempt under way there is led back to
/// it.
async fn refuse(
    app: &AppState,
    shown: &show::Shown<'_>,
    at: &registration::CallbackEndpoint,
    source: Source,
    bindings: &[Binding],
    refusal: &Refusal,
) -> Look {
    Look::Found(match own_attempt(&app.gateway, at, bindings).await {
        Ok(Some((attempt, record))) => {
            log_context::attempt(&attempt);
            match &record.member {
                Some(member) => log_context::subject(&record.window, member),
                None => log_context::window(&record.window),
            }
            refusal.log(source);
            to_outcome(app, shown, &attempt)
        }
        Ok(None) => return Look::Missing(shown.bad_return(refusal, source)),
        Err(error) => {
            refusal.log(source);
            shown.failure(error)
        }
    })
}

/// Receive the authorization response as a form (`form_post`).
///
/// A POST from another site does not bring the browser's cookie, so the response is held until the GET
/// that follows (docs/SECURITY.md, C15).
#[utoipa::path(
    post, path = "/oauth/redirect_from/{client}/{institution}",
    operation_id = "postFromInstitution", tag = "Browser",
    params(
        ("client" = String, Path, description = "The client's id.", example = "acme"),
        ("institution" = String, Path, description = "The institution's code.", example = "mxbank"),
    ),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "code, state and iss, or error (OAuth 2.0 Form Post Response Mode); or response (JARM section 2.3.3)."),
    responses(
        (status = 303, description = "Redirect to the same path by GET, or to the outcome."),
        (status = 400, description = "There is no such path.", content_type = "text/html"),
        (status = 413, description = "The body is over 64 kB."),
        (status = 429, description = "Too many responses that belong to no attempt from this address.", content_type = "text/html"),
        (status = 500, description = "Something went wrong on our side.", content_type = "text/html"),
        (status = 503, description = "The store cannot be reached: a page that posts the response again.", content_type = "text/html"),
    ),
)]
pub async fn posted(
    State(app): State<AppState>,
    Segments((client, institution)): Segments<(String, String)>,
    RawQuery(query): RawQuery,
    source: Source,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Response {
    let shown = show::Shown::new(&app, &headers);
    let Some(at) = registration::CallbackEndpoint::find(&app.gateway, &client, &institution) else {
        return shown.bad_return(&Refusal::nowhere(&client, &institution, &body), source);
    };
    let shown = shown.of_registration(&at);
    let query = at.in_standard_names(query.unwrap_or_default().as_bytes());
    let body = at.in_standard_names(&body);
    // A response with one part in the query and one in the form is refused (`security` C11).
    let is_split = AuthorizationResponse::has_part_in(&query);
    let response = if is_split {
        Err(Refused::Split)
    } else if !at.response_mode().is_posted() {
        Err(Refused::Mode("POST"))
    } else {
        at.read(&app.gateway, &body).map_err(Refused::from)
    };
    let path = format!("/oauth/redirect_from/{client}/{institution}");
    // Only the Lax cookie tells whose browser it is, and only a GET brings it; so the refusal is logged
    // there.
    let go_back = |refused: &Refused| {
        let refusal = match is_split {
            true => Refusal::new(refused, &at, &[&body[..], b"&", &query].concat()),
            false => Refusal::new(refused, &at, &body),
        };
        let carried = refusal.carried(&app.gateway, &at);
        see_other(&app, &shown, &format!("{path}?{REFUSED}={carried}"))
    };
    let look = async {
        let response = match response {
            Ok(response) => response,
            Err(refused) => return Look::Missing(go_back(&refused)),
        };
        Look::Found(match hold(&app.gateway, &response).await {
            Ok(Held::Under(handle)) => {
                let path = format!("{path}?answer={}", handle.expose());
                see_other(&app, &shown, &path)
            }
            Ok(Held::Settled(attempt)) => to_outcome(&app, &shown, &attempt),
            Ok(Held::Unknown) => return Look::Missing(go_back(&Refused::UnknownState)),
            // The institution does not post it a second time.
            Err(error) => match error.store_is_away() {
                Some(cause) => shown.post_again(&at, posting(&at, path.clone(), &response), cause),
                None => shown.failure(error),
            },
        })
    };
    respond(&app, &shown, source, look).await
}

/// The form that posts the response again, as the institution would.
fn posting(
    at: &registration::CallbackEndpoint,
    path: String,
    response: &AuthorizationResponse,
) -> Form {
    let fields = response.parameters();
    Form {
        action: path,
        fields: fields
            .map(|(name, value)| (at.name_there(name), value.to_owned()))
            .collect(),
    }
}
