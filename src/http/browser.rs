//! What browsers see: links, callbacks, outcomes. Handlers translate between requests, verbs and
//! pages; what happens is decided in [`flow`](crate::flow).

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::header::{ALLOW, LOCATION, SET_COOKIE, VARY};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use url::Url;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::page::{Page, Parties};
use super::visitor::{Segments, Visit, is_same_origin, source_address};
use super::{Door, cookies, logos, show};
use crate::domain::id::AttemptId;
use crate::domain::institution::ResponseMode;
use crate::domain::secret::{AnswerHandle, BindingSecret, LinkToken};
use crate::flow::callback::{self, Held, Taken, callback};
use crate::flow::finish::{Finish, finish};
use crate::flow::open::{Arrival, Departure, open};
use crate::flow::retry::{Again, retry};
use crate::oauth::Callback;
use crate::store::Knock;

/// How long an interstitial page may wait for its button.
const PROOF_S: u64 = 60 * 60;

/// What browsers are served.
pub fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        // The page itself says which methods a link takes.
        .routes(routes!(link).map(|link_routes| link_routes.fallback(link)))
        .routes(routes!(returned, posted))
        .routes(routes!(result, try_again))
        .routes(routes!(logos::client))
        .routes(routes!(logos::institution))
}

/// Follow a one-time link.
///
/// A navigation (and the POST of the page's button) claims it and leads to the institution. Machines
/// that look ahead get a harmless page, and HEAD nothing.
#[utoipa::path(
    method(get, post), path = "/oauth/predirect_to/{member}/{token}",
    operation_id = "followLink", tag = "Browser",
    params(
        ("member" = String, Path, description = "The member's guid.", example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c"),
        ("token" = String, Path, description = "The link's secret.", example = "ow_00…"),
    ),
    responses(
        (status = 200, description = "A page to look at first, or one for machines.", content_type = "text/html"),
        (status = 302, description = "To the institution, with the cookie that binds the browser."),
        (status = 303, description = "Back to the app: this browser is through already.", content_type = "text/html"),
        (status = 404, description = "There is no such link.", content_type = "text/html"),
        (status = 410, description = "It was used, replaced, or is over.", content_type = "text/html"),
        (status = 429, description = "Too many unknown links from this address.", content_type = "text/html"),
        (status = 500, description = "Something went wrong on our side.", content_type = "text/html"),
        (status = 503, description = "A look ahead, which is never the link's use; or the store is away.", content_type = "text/html"),
    ),
)]
pub async fn link(
    State(door): State<Door>,
    method: Method,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    Segments((member, token)): Segments<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let shown = show::Shown::new(&door, &headers);
    let knock = match Visit::of(&method, &headers) {
        Visit::Navigation => Knock::Navigate,
        Visit::LookAhead => return look_ahead(&shown),
        Visit::Machine => return vary(shown.page(&Page::Preview, &Parties::default())),
        Visit::Probe => return vary(StatusCode::OK.into_response()),
        Visit::Other => return method_not_allowed("GET, HEAD, POST"),
        Visit::Post if !is_same_origin(&headers, &door.gateway.settings.public_url) => {
            return shown.neutral();
        }
        Visit::Post => match form_field(&body, super::page::PROOF_FIELD) {
            Some(proof) if cookies::is_proven(&headers, Some(&proof)) => Knock::Begin,
            Some(_) => return shown.neutral(),
            None => Knock::Continue,
        },
    };
    let named = member.parse().ok().zip(LinkToken::parse(&token));
    let arrival = match named {
        Some((member, token)) => {
            open(
                &door.gateway,
                member,
                &token,
                knock,
                cookies::bindings(&headers),
            )
            .await
        }
        None => Ok(Arrival::Unknown),
    };
    let this_link = format!("/oauth/predirect_to/{member}/{token}");
    let response = match arrival {
        Err(error) => shown.failure(error),
        Ok(Arrival::Depart(departure)) => depart(&shown, &headers, departure),
        Ok(Arrival::AskFirst(subject)) => ask_first(&door, &shown, this_link, &subject),
        Ok(Arrival::Resume(subject)) => {
            let form = super::page::Form {
                action: this_link,
                proof: None,
            };
            shown
                .about(&subject.window, Some(&subject.member))
                .leading_to_institution(&Page::Resume { form })
        }
        Ok(Arrival::Used {
            window,
            may_be_ours,
        }) => {
            let check_again = may_be_ours.then_some(this_link);
            shown.about(&window, None).page(&Page::Used { check_again })
        }
        Ok(Arrival::Outcome(attempt)) => {
            outcome(&door, &headers, &attempt, Some(StatusCode::GONE)).await
        }
        Ok(Arrival::Expired(window)) => shown.about(&window, None).page(&Page::Expired(None)),
        Ok(Arrival::Superseded(window)) => shown.about(&window, None).page(&Page::Superseded),
        Ok(Arrival::Unknown) => {
            let source = source_address(peer.ip(), &headers, |address| {
                door.is_trusted_proxy(address)
            });
            match door.limits.admit_unknown_link(source) {
                true => shown.neutral(),
                false => shown.too_many(),
            }
        }
    };
    vary(response)
}

fn look_ahead(shown: &show::Shown<'_>) -> Response {
    let mut response = shown.page(&Page::Preview, &Parties::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    vary(response)
}

/// The answer to a prefetch must never serve a person (docs/SECURITY.md).
fn vary(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Sec-Purpose, Purpose"));
    response
}

fn method_not_allowed(allowed: &'static str) -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, allowed)]).into_response()
}

fn form_field(body: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(body)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// To the institution, with the binding cookie. No opener policy: a popup keeps its opener.
fn depart(shown: &show::Shown<'_>, headers: &HeaderMap, departure: Departure) -> Response {
    let mut response = redirect(shown, StatusCode::FOUND, departure.to.as_str());
    for cookie in cookies::bind(&departure.cookie, headers) {
        response
            .headers_mut()
            .append(SET_COOKIE, header_value(&cookie));
    }
    response
}

/// A redirect whose body has the same link, for clients that do not follow it by themselves.
fn redirect(shown: &show::Shown<'_>, status: StatusCode, to: &str) -> Response {
    let mut response = (status, shown.link_body(to)).into_response();
    response.headers_mut().insert(LOCATION, header_value(to));
    response
}

/// Text that is visible ASCII by its making: URLs serialized by a URL library, cookies of ours.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("/"))
}

fn ask_first(
    door: &Door,
    shown: &show::Shown<'_>,
    action: String,
    subject: &crate::store::Subject,
) -> Response {
    let secret = BindingSecret::new(door.gateway.random.as_ref());
    let form = super::page::Form {
        action,
        proof: Some(secret.digest().to_text()),
    };
    let about = shown.about(&subject.window, Some(&subject.member));
    let page = Page::Interstitial {
        form,
        shares: about.shares(),
    };
    let mut response = about.leading_to_institution(&page);
    response
        .headers_mut()
        .append(SET_COOKIE, header_value(&cookies::prove(&secret, PROOF_S)));
    response
}

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
    match callback(&door.gateway, &at, answer, cookies::bindings(&headers)).await {
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

/// 303 to a path of ours, absolute, from the configured origin.
fn see_other(door: &Door, shown: &show::Shown<'_>, path: &str) -> Response {
    let origin = door
        .gateway
        .settings
        .public_url
        .origin()
        .ascii_serialization();
    redirect(shown, StatusCode::SEE_OTHER, &format!("{origin}{path}"))
}

/// See how it ended, in the browser that went through it.
#[utoipa::path(
    get, path = "/oauth/result/{attempt}",
    operation_id = "seeOutcome", tag = "Browser",
    params(("attempt" = String, Path, description = "The attempt's public name.")),
    responses(
        (status = 200, description = "The outcome.", content_type = "text/html"),
        (status = 303, description = "Back to the app, with the outcome.", content_type = "text/html"),
        (status = 404, description = "There is no such attempt.", content_type = "text/html"),
        (status = 410, description = "It is over, or another browser's.", content_type = "text/html"),
        (status = 500, description = "Something went wrong on our side.", content_type = "text/html"),
        (status = 503, description = "It is not over yet, or the store is away.", content_type = "text/html"),
    ),
)]
pub async fn result(
    State(door): State<Door>,
    Segments(attempt): Segments<String>,
    headers: HeaderMap,
) -> Response {
    match attempt.parse() {
        Ok(attempt) => outcome(&door, &headers, &attempt, None).await,
        Err(_) => show::Shown::new(&door, &headers).neutral(),
    }
}

async fn outcome(
    door: &Door,
    headers: &HeaderMap,
    attempt: &AttemptId,
    status: Option<StatusCode>,
) -> Response {
    let shown = show::Shown::new(door, headers);
    match finish(&door.gateway, attempt, &cookies::bindings(headers)).await {
        Err(error) => shown.failure(error),
        Ok(Finish::Unknown) => shown.neutral(),
        Ok(Finish::UnderWay) => shown.busy(),
        Ok(Finish::NotYours(record)) => {
            let page = show::to_a_stranger(attempt, &record.window);
            shown
                .about(&record.window, record.member.as_ref())
                .page(&page)
        }
        Ok(Finish::Over { record, back }) => {
            let support_code = show::support_code(attempt);
            tracing::info!(%attempt, oauth_state = %record.window.guid, %support_code, "outcome shown");
            let about = match shown.about_outcome(&record).await {
                Ok(about) => about,
                Err(error) => return shown.failure(error.into()),
            };
            let page = about.outcome(attempt, &record, back.as_deref());
            let jump = back.filter(|_| status.is_none());
            match jump.and_then(|back| Url::parse(&back).ok().map(|_| back)) {
                // The same page stands in the body: some browsers refuse to jump to an app.
                Some(back) => {
                    let mut response = about.page(&page);
                    *response.status_mut() = StatusCode::SEE_OTHER;
                    response.headers_mut().insert(LOCATION, header_value(&back));
                    response
                }
                None => {
                    let mut response = about.leading_to_institution(&page);
                    if let Some(status) = status {
                        *response.status_mut() = status;
                    }
                    response
                }
            }
        }
    }
}

/// Try again.
#[utoipa::path(
    post, path = "/oauth/result/{attempt}",
    operation_id = "tryAgain", tag = "Browser",
    params(("attempt" = String, Path, description = "The attempt's public name.")),
    responses(
        (status = 303, description = "To the institution, with the cookie that binds the browser."),
        (status = 404, description = "There is no such attempt of this browser.", content_type = "text/html"),
        (status = 410, description = "It may not be tried again.", content_type = "text/html"),
        (status = 500, description = "Something went wrong on our side.", content_type = "text/html"),
        (status = 503, description = "The store is away.", content_type = "text/html"),
    ),
)]
pub async fn try_again(
    State(door): State<Door>,
    Segments(attempt): Segments<String>,
    headers: HeaderMap,
) -> Response {
    let shown = show::Shown::new(&door, &headers);
    let attempt = attempt
        .parse()
        .ok()
        .filter(|_| is_same_origin(&headers, &door.gateway.settings.public_url));
    let Some(attempt) = attempt else {
        return shown.neutral();
    };
    match retry(&door.gateway, &attempt, cookies::bindings(&headers)).await {
        Ok(Again::Depart(departure)) => {
            let mut response = depart(&shown, &headers, departure);
            *response.status_mut() = StatusCode::SEE_OTHER;
            response
        }
        Ok(Again::Over) => shown.of_attempt(&attempt, &Page::Expired(None)).await,
        Ok(Again::Refused) => shown.neutral(),
        Err(error) => shown.failure(error),
    }
}
