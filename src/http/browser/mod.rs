//! What browsers see: links, callbacks, outcomes. Handlers translate between requests, verbs and
//! pages; what happens is decided in [`flow`](crate::flow).

mod callback;
mod link;
mod outcome;
pub mod refusal;

use axum::http::header::{LOCATION, SET_COOKIE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use url::Url;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use super::cookies::Cookies;
use super::limits::Sought;
use super::page::{Back, Page};
use super::source::Source;
use super::visitor::is_phone;
use super::{Door, logos, show};
use crate::domain::id::AttemptId;
use crate::flow::open::Departure;

/// What browsers are served.
pub fn routes() -> OpenApiRouter<Door> {
    OpenApiRouter::new()
        // The page itself says which methods a link takes.
        .routes(routes!(link::link).map(|link_routes| link_routes.fallback(link::link)))
        .routes(routes!(callback::returned, callback::posted))
        .routes(routes!(outcome::result, outcome::act))
        .routes(routes!(logos::client))
        .routes(routes!(logos::institution))
}

/// What somebody gets who looks for something that may not be there.
enum Look {
    /// It is there.
    Found(Response),
    /// It is not: the page that says so.
    Missing(Response),
}

/// Shows what was looked for. What is not there is counted, and once one source has missed too many nothing
/// is looked for (docs/SECURITY.md, O7).
async fn looked_for(
    door: &Door,
    shown: &show::Shown<'_>,
    source: Source,
    sought: Sought,
    look: impl Future<Output = Look>,
) -> Response {
    match door.limits.may_look(source, sought) {
        Ok(()) => counted(door, shown, source, sought, look.await),
        Err(wait) => shown.too_many(wait),
    }
}

/// Shows what came of a look, and counts it if nothing did.
fn counted(
    door: &Door,
    shown: &show::Shown<'_>,
    source: Source,
    sought: Sought,
    look: Look,
) -> Response {
    match look {
        Look::Found(response) => response,
        Look::Missing(response) => match door.limits.missed(source, sought) {
            Ok(()) => response,
            Err(wait) => shown.too_many(wait),
        },
    }
}

fn look_ahead(shown: &show::Shown<'_>) -> Response {
    let mut response = shown.page(&Page::Preview);
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

fn form_field(body: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(body)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// To the institution, or to the outcome of an attempt that got nowhere, with the binding cookie. No
/// opener policy: a popup keeps its opener.
fn depart(
    door: &Door,
    shown: &show::Shown<'_>,
    cookies: &Cookies<'_>,
    departure: Departure,
) -> Response {
    let mut response = match &departure.to {
        Some(to) => redirect(shown, StatusCode::FOUND, to.as_str()),
        None => to_outcome(door, shown, &departure.cookie.attempt),
    };
    for cookie in cookies.bind(&departure.cookie) {
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

/// To the outcome of an attempt, or what its browser may do. The bare '#' drops a fragment that the
/// institution may have added (docs/SECURITY.md).
fn to_outcome(door: &Door, shown: &show::Shown<'_>, attempt: &AttemptId) -> Response {
    see_other(door, shown, &format!("/oauth/result/{attempt}#"))
}

/// How the end of a flow leads back into the client's app.
struct WayBack {
    /// What the page offers.
    back: Option<Back>,
    /// Where the browser is redirected at once.
    jump: Option<String>,
}

impl WayBack {
    /// By `link`. Every browser follows a redirect to a website; to an app by its scheme only a phone
    /// surely does, and any other browser gets the page, which goes there by itself. On a visit that
    /// comes `again`, the page says how it ended and goes nowhere.
    fn new(link: Option<String>, headers: &HeaderMap, again: bool) -> Self {
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

/// To the client's app. The same page stands in the body: some browsers refuse to jump to an app.
fn jump(mut page: Response, to: &str) -> Response {
    *page.status_mut() = StatusCode::SEE_OTHER;
    page.headers_mut().insert(LOCATION, header_value(to));
    page
}
