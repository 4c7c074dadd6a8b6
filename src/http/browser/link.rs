//! A browser follows a one-time link: it is claimed, or a page says why not.

use axum::extract::State;
use axum::http::header::{ALLOW, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::outcome;
use super::redirects::{
    Look, WayBack, closed, depart, form_field, header_value, jump, look_ahead, looked_for, vary,
};
use crate::domain::secret::{BindingSecret, LinkToken};
use crate::flow::cancel::{Declined, decline};
use crate::flow::open::{Arrival, open};
use crate::flow::{Subject, VisitKind};
use crate::http::app_state::AppState;
use crate::http::body::Whole;
use crate::http::cookies::Cookies;
use crate::http::limits::Sought;
use crate::http::page::{self, Form, Page};
use crate::http::show;
use crate::http::source::Source;
use crate::http::visitor::{Segments, Visit, is_same_origin};
use crate::telemetry::STRANGERS;

/// How long an interstitial page may wait for its button.
const PROOF_S: u64 = 60 * 60;

/// Follow a one-time link.
///
/// A navigation, or the POST of the page's button, claims the link and leads to the institution. The POST
/// of the page's other button, with `action=cancel`, ends it. Prefetches and preview agents get a page
/// without effect, and HEAD gets an empty response.
#[utoipa::path(
    method(get, post), path = "/oauth/predirect_to/{member}/{token}",
    operation_id = "followLink", tag = "Browser",
    params(
        ("member" = String, Path, description = "The member's guid.", example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c"),
        ("token" = String, Path, description = "The link's secret.", example = "ow_00…"),
    ),
    responses(
        (status = 200, description = "The page of an `interstitial` link, or a page for preview agents.", content_type = "text/html"),
        (status = 302, description = "Redirect to the institution, with the cookie that binds the browser."),
        (status = 303, description = "Redirect to the app: this browser has finished the flow already.", content_type = "text/html"),
        (status = 404, description = "There is no such link.", content_type = "text/html"),
        (status = 410, description = "The link was used or replaced, or has expired.", content_type = "text/html"),
        (status = 429, description = "Too many unknown links from this address.", content_type = "text/html"),
        (status = 500, description = "Something went wrong on our side.", content_type = "text/html"),
        (status = 503, description = "A prefetch, which never uses the link; or the institution is not used for now; or the store cannot be reached.", content_type = "text/html"),
    ),
)]
pub async fn link(
    State(app): State<AppState>,
    method: Method,
    source: Source,
    Segments((member, token)): Segments<(String, String)>,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Response {
    let shown = show::Shown::new(&app, &headers);
    let cookies = app.cookies(&headers);
    let mut is_declined = false;
    let kind = match Visit::of(&method, &headers) {
        Visit::Navigation => VisitKind::Navigate,
        Visit::LookAhead => return look_ahead(&shown),
        Visit::Machine => return vary(shown.page(&Page::Preview)),
        Visit::Probe => return vary(StatusCode::OK.into_response()),
        Visit::Other => return method_not_allowed("GET, HEAD, POST"),
        Visit::Post if !is_same_origin(&headers, &app.gateway.settings.public_url) => {
            return shown.neutral();
        }
        Visit::Post => match form_field(&body, page::PROOF_FIELD) {
            Some(proof) if cookies.is_proven(Some(&proof)) => {
                is_declined = form_field(&body, page::ACTION_FIELD).as_deref() == Some("cancel");
                VisitKind::Begin
            }
            Some(_) => return shown.neutral(),
            None => VisitKind::Continue,
        },
    };
    let look = async {
        let named = member.parse().ok().zip(LinkToken::parse(&token));
        let Some((member_guid, link_token)) = named else {
            return unknown(&shown, source);
        };
        let browser = cookies.browser().bindings;
        let arrival = if is_declined {
            match decline(&app.gateway, member_guid, &link_token, browser).await {
                Ok(Declined::Cancelled { subject, back }) => {
                    return Look::Found(declined(&shown, &headers, &subject, back));
                }
                Ok(Declined::No(arrival)) => Ok(arrival),
                Err(error) => Err(error),
            }
        } else {
            open(&app.gateway, member_guid, &link_token, kind, browser).await
        };
        let this_link = format!("/oauth/predirect_to/{member}/{token}");
        Look::Found(match arrival {
            Err(error) => shown.failure(error),
            Ok(Arrival::Depart(departure)) => depart(&app, &shown, &cookies, departure),
            Ok(Arrival::AskFirst(subject)) => {
                ask_first(&app, &shown, &cookies, this_link, &subject)
            }
            Ok(Arrival::Resume(subject)) => {
                let form = Form::to(this_link);
                shown
                    .about(&subject.window, Some(&subject.member))
                    .leading_to_institution(&Page::Resume { form })
            }
            Ok(Arrival::Closed(link)) => closed(&shown, *link),
            Ok(Arrival::Used {
                window,
                may_be_ours,
            }) => {
                let check_again = may_be_ours.then_some(this_link);
                let page = Page::Used {
                    check_again,
                    support_code: None,
                };
                shown.about(&window, None).page(&page)
            }
            Ok(Arrival::Outcome(attempt)) => {
                let status = Some(StatusCode::GONE);
                return outcome::outcome(&app, &headers, source, &attempt, status).await;
            }
            Ok(Arrival::Expired(window)) => shown.about(&window, None).page(&Page::Expired(None)),
            Ok(Arrival::Superseded(window)) => shown.about(&window, None).page(&Page::Superseded),
            Ok(Arrival::Unknown) => return unknown(&shown, source),
        })
    };
    vary(looked_for(&app, &shown, source, Sought::Link, look).await)
}

fn unknown(shown: &show::Shown<'_>, source: Source) -> Look {
    tracing::info!(target: STRANGERS, %source, "unknown link followed");
    Look::Missing(shown.neutral())
}

fn method_not_allowed(allowed: &'static str) -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, [(ALLOW, allowed)]).into_response()
}

fn ask_first(
    app: &AppState,
    shown: &show::Shown<'_>,
    cookies: &Cookies<'_>,
    action: String,
    subject: &Subject,
) -> Response {
    let secret = BindingSecret::new(app.gateway.random.as_ref());
    let form = Form::to(action).proven_by(secret.digest().to_text());
    let about = shown.about(&subject.window, Some(&subject.member));
    let page = Page::Interstitial {
        decline: form.clone().choosing("cancel"),
        form,
        shares: about.shares(),
    };
    let mut response = about.leading_to_institution(&page);
    response
        .headers_mut()
        .append(SET_COOKIE, header_value(&cookies.prove(&secret, PROOF_S)));
    response
}

/// "Not now": the page confirms it, and an APP flow leads back into the app.
fn declined(
    shown: &show::Shown<'_>,
    headers: &HeaderMap,
    subject: &Subject,
    back: Option<String>,
) -> Response {
    let about = shown.about(&subject.window, Some(&subject.member));
    let way = WayBack::new(back, headers, false);
    let page = about.declined(&subject.window, way.back);
    match way.jump {
        Some(to) => jump(about.page(&page), &to),
        None => about.page(&page),
    }
}
