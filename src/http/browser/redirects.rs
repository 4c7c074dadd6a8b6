//! Where a browser is led next, and the limit for looking up what does not exist.

use axum::http::header::{LOCATION, SET_COOKIE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use url::Url;

use crate::domain::id::AttemptId;
use crate::flow::maintenance::Closed;
use crate::flow::open::{BindingCookie, ClosedLink, Departure, Way};
use crate::http::app_state::AppState;
use crate::http::cookies::Cookies;
use crate::http::limits::Sought;
use crate::http::page::{Back, Page};
use crate::http::show;
use crate::http::source::Source;
use crate::http::visitor::is_phone;

/// The response to a look-up of something that may not exist.
pub(super) enum Look {
    /// It exists.
    Found(Response),
    /// It does not exist: the page that says so.
    Missing(Response),
}

/// Sends what was looked up. Look-ups without a result are counted by source; after too many of them
/// nothing is looked up for that source (docs/SECURITY.md, O7).
pub(super) async fn looked_for(
    app: &AppState,
    shown: &show::Shown<'_>,
    source: Source,
    sought: Sought,
    look: impl Future<Output = Look>,
) -> Response {
    match app.limits.may_look(source, sought) {
        Ok(()) => counted(app, shown, source, sought, look.await),
        Err(wait) => shown.too_many(wait),
    }
}

/// Sends the result of a look-up, and counts a look-up without a result.
pub(super) fn counted(
    app: &AppState,
    shown: &show::Shown<'_>,
    source: Source,
    sought: Sought,
    look: Look,
) -> Response {
    match look {
        Look::Found(response) => response,
        Look::Missing(response) => match app.limits.missed(source, sought) {
            Ok(()) => response,
            Err(wait) => shown.too_many(wait),
        },
    }
}

/// The page for a link whose institution is not used for now.
pub(super) fn closed(shown: &show::Shown<'_>, link: ClosedLink) -> Response {
    let ClosedLink {
        subject,
        closed: Closed(closed),
        back,
    } = link;
    let about = shown.about(&subject.window, Some(&subject.member));
    about.maintenance(&closed, back)
}

pub(super) fn look_ahead(shown: &show::Shown<'_>) -> Response {
    let mut response = shown.page(&Page::Preview);
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    vary(response)
}

/// The response to a prefetch must never be shown to a person (docs/SECURITY.md).
pub(super) fn vary(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Sec-Purpose, Purpose"));
    response
}

pub(super) fn form_field(body: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(body)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// To the institution, or to the outcome page if the authorization request could not be made, with the
/// binding cookie. No opener policy: a popup keeps its opener.
pub(super) fn depart(
    app: &AppState,
    shown: &show::Shown<'_>,
    cookies: &Cookies<'_>,
    departure: Departure,
) -> Response {
    let Departure { to, cookie } = departure;
    let response = match to {
        Way::Institution(to) => redirect(shown, StatusCode::FOUND, to.as_str()),
        Way::Outcome => to_outcome(app, shown, &cookie.attempt),
        Way::Unknown(error) => shown.failure(error),
    };
    binding(response, cookies, Some(&cookie))
}

/// The same response, with the binding cookie if there is one.
pub(super) fn binding(
    mut response: Response,
    cookies: &Cookies<'_>,
    cookie: Option<&BindingCookie>,
) -> Response {
    for set in cookie.into_iter().flat_map(|cookie| cookies.bind(cookie)) {
        response
            .headers_mut()
            .append(SET_COOKIE, header_value(&set));
    }
    response
}

/// A redirect whose body has the same link, for clients that do not follow redirects.
pub(super) fn redirect(shown: &show::Shown<'_>, status: StatusCode, to: &str) -> Response {
    let mut response = (status, shown.link_body(to)).into_response();
    response.headers_mut().insert(LOCATION, header_value(to));
    response
}

/// Text that is visible ASCII by construction: URLs serialized by a URL library, cookies of ours.
pub(super) fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("/"))
}

/// 303 to a path of ours, absolute, from the configured origin.
pub(super) fn see_other(app: &AppState, shown: &show::Shown<'_>, path: &str) -> Response {
    let origin = app
        .gateway
        .settings
        .public_url
        .origin()
        .ascii_serialization();
    redirect(shown, StatusCode::SEE_OTHER, &format!("{origin}{path}"))
}

/// To the outcome page of an attempt. The bare '#' drops a fragment that the institution may have added
/// (docs/SECURITY.md).
pub(super) fn to_outcome(app: &AppState, shown: &show::Shown<'_>, attempt: &AttemptId) -> Response {
    see_other(app, shown, &format!("/oauth/result/{attempt}#"))
}

/// How the end of a flow leads back into the client's app.
pub(super) struct WayBack {
    /// What the page offers.
    pub(super) back: Option<Back>,
    /// Where the browser is redirected at once.
    pub(super) jump: Option<String>,
}

impl WayBack {
    /// Back by `link`. Every browser follows a redirect to a website. A redirect to an app's scheme is
    /// only sure to work on a phone; any other browser gets the page, whose script goes there. On a
    /// repeated visit (`again`) the page says how it ended and goes nowhere.
    pub(super) fn new(link: Option<String>, headers: &HeaderMap, again: bool) -> Self {
        let is_web =
            |link: &str| Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "https" | "http"));
        let jumps = |link: &String| !again && (is_web(link) || is_phone(headers));
        let jump = link.clone().filter(jumps);
        let back = link.map(|link| Back {
            by_itself: !again && !is_web(&link),
            link,
        });
        Self { back, jump }
    }
}

/// To the client's app. The body is the same page, because some browsers refuse a redirect to an app.
pub(super) fn jump(mut page: Response, to: &str) -> Response {
    *page.status_mut() = StatusCode::SEE_OTHER;
    page.headers_mut().insert(LOCATION, header_value(to));
    page
}
