//! The outcome of an attempt, in its own browser, and what that browser may do: continue, cancel, try
//! again.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::redirects::{Look, WayBack, closed, depart, form_field, jump, looked_for, to_outcome};
use crate::domain::id::AttemptId;
use crate::flow::AttemptRecord;
use crate::flow::cancel::cancel;
use crate::flow::finish::{Finish, finish};
use crate::flow::open::{Arrival, Departure, go_on};
use crate::flow::retry::{Again, retry};
use crate::http::app_state::AppState;
use crate::http::body::Whole;
use crate::http::cookies::Cookies;
use crate::http::limits::Sought;
use crate::http::page::{ACTION_FIELD, Page};
use crate::http::show;
use crate::http::source::Source;
use crate::http::visitor::{Segments, is_same_origin};
use crate::telemetry::STRANGERS;

/// After how many seconds the pages `connecting` and `pending-confirmation` ask again.
const REFRESH_S: u8 = 2;

/// See how a flow ended, in the browser that went through it.
#[utoipa::path(
    get, path = "/oauth/result/{attempt}",
    operation_id = "seeOutcome", tag = "Browser",
    params(("attempt" = String, Path, description = "The attempt's id.")),
    responses(
        (status = 200, description = "The outcome, or a page that waits for it.", content_type = "text/html"),
        (status = 303, description = "Redirect to the app, with the outcome.", content_type = "text/html"),
        (status = 400, description = "This browser did not begin the attempt, or no longer has its cookie.", content_type = "text/html"),
        (status = 404, description = "There is no such attempt.", content_type = "text/html"),
        (status = 410, description = "The deadline has passed, or this browser went on in another tab.", content_type = "text/html"),
        (status = 429, description = "Too many unknown attempts from this address.", content_type = "text/html"),
        (status = 500, description = "Something went wrong on our side.", content_type = "text/html"),
        (status = 503, description = "The store cannot be reached.", content_type = "text/html"),
    ),
)]
pub async fn result(
    State(app): State<AppState>,
    Segments(attempt): Segments<String>,
    source: Source,
    headers: HeaderMap,
) -> Response {
    let shown = show::Shown::new(&app, &headers);
    let Ok(attempt) = attempt.parse() else {
        return shown.neutral();
    };
    let look = outcome(&app, &headers, source, &attempt, None);
    looked_for(&app, &shown, source, Sought::Attempt, look).await
}

pub(super) async fn outcome(
    app: &AppState,
    headers: &HeaderMap,
    source: Source,
    attempt: &AttemptId,
    status: Option<StatusCode>,
) -> Look {
    let shown = show::Shown::new(app, headers);
    let browser = app.cookies(headers).browser().bindings;
    Look::Found(match finish(&app.gateway, attempt, &browser).await {
        Err(error) => shown.failure(error),
        Ok(Finish::Unknown) => return Look::Missing(shown.neutral()),
        Ok(Finish::Connecting(record)) => {
            let page = Page::Connecting {
                refresh_s: REFRESH_S,
            };
            about(&shown, &record).page(&page)
        }
        Ok(Finish::Pending {
            record,
            handle,
            back,
        }) => {
            let about = about(&shown, &record);
            // A message to the opener needs this page; without anybody to tell, only the way back brings the handle.
            let tells = about.tells(&record.window);
            let way = WayBack::new(back, headers, status.is_some() || tells);
            let page = about.pending(&record.window, &handle, way.back, REFRESH_S);
            match way.jump {
                Some(to) => jump(about.page(&page), &to),
                None => about.page(&page),
            }
        }
        Ok(Finish::NoResponse(record)) => {
            about(&shown, &record).leading_to_institution(&show::no_answer(attempt, &record))
        }
        Ok(Finish::Replaced(record)) => about(&shown, &record).page(&Page::Replaced),
        Ok(Finish::NotYours(record)) => {
            about(&shown, &record).page(&show::to_a_stranger(attempt, &record.window))
        }
        Ok(Finish::Ended { record, back }) => {
            tracing::info!(target: STRANGERS, %source, "outcome shown");
            let about = match shown.about_outcome(&record).await {
                Ok(about) => about,
                Err(error) => return Look::Found(shown.failure(error)),
            };
            let way = WayBack::new(back, headers, status.is_some());
            let page = about.outcome(attempt, &record, way.back);
            match way.jump {
                Some(to) => jump(about.page(&page), &to),
                None => {
                    let mut response = about.leading_to_institution(&page);
                    if let Some(status) = status {
                        *response.status_mut() = status;
                    }
                    response
                }
            }
        }
    })
}

fn about<'a>(shown: &'a show::Shown<'a>, record: &AttemptRecord) -> show::About<'a> {
    shown.about(&record.window, record.member.as_ref())
}

/// Continue, do not connect, or try again.
///
/// The field `action` says what was pressed: `continue` goes to the institution with fresh secrets,
/// `cancel` ends the attempt, and `retry`, or no value, starts another attempt after a failure.
#[utoipa::path(
    post, path = "/oauth/result/{attempt}",
    operation_id = "actOnAttempt", tag = "Browser",
    params(("attempt" = String, Path, description = "The attempt's id.")),
    request_body(content = String, content_type = "application/x-www-form-urlencoded", description = "action: continue, cancel or retry."),
    responses(
        (status = 303, description = "To the institution, with the cookie that binds the browser; or to the outcome."),
        (status = 404, description = "This browser has no such attempt.", content_type = "text/html"),
        (status = 410, description = "No more tries are allowed.", content_type = "text/html"),
        (status = 429, description = "Too many unknown attempts from this address.", content_type = "text/html"),
        (status = 500, description = "Something went wrong on our side.", content_type = "text/html"),
        (status = 503, description = "The institution is not used for now, or the store cannot be reached.", content_type = "text/html"),
    ),
)]
pub async fn act(
    State(app): State<AppState>,
    Segments(attempt): Segments<String>,
    source: Source,
    headers: HeaderMap,
    Whole(body): Whole,
) -> Response {
    let shown = show::Shown::new(&app, &headers);
    let attempt: Option<AttemptId> = attempt
        .parse()
        .ok()
        .filter(|_| is_same_origin(&headers, &app.gateway.settings.public_url));
    let Some(attempt) = attempt else {
        return shown.neutral();
    };
    let cookies = app.cookies(&headers);
    let browser = cookies.browser().bindings;
    let look = async {
        let is_not_theirs = || Look::Missing(shown.neutral());
        Look::Found(match form_field(&body, ACTION_FIELD).as_deref() {
            Some("continue") => match go_on(&app.gateway, &attempt, browser).await {
                Ok(Some(Arrival::Depart(departure))) => leave(&app, &shown, &cookies, departure),
                Ok(Some(Arrival::Closed(link))) => closed(&shown, *link),
                Ok(Some(_)) => to_outcome(&app, &shown, &attempt),
                Ok(None) => return is_not_theirs(),
                Err(error) => shown.failure(error),
            },
            Some("cancel") => match cancel(&app.gateway, &attempt, &browser).await {
                Ok(true) => to_outcome(&app, &shown, &attempt),
                Ok(false) => return is_not_theirs(),
                Err(error) => shown.failure(error),
            },
            Some("retry") | None => match retry(&app.gateway, &attempt, browser).await {
                Ok(Again::Depart(departure)) => leave(&app, &shown, &cookies, departure),
                Ok(Again::Closed(link)) => closed(&shown, *link),
                Ok(Again::NoRetriesLeft) => shown.of_attempt(&attempt, &Page::Expired(None)).await,
                Ok(Again::Refused) => return is_not_theirs(),
                Err(error) => shown.failure(error),
            },
            Some(_) => shown.neutral(),
        })
    };
    looked_for(&app, &shown, source, Sought::Attempt, look).await
}

/// To the institution, after a form.
fn leave(
    app: &AppState,
    shown: &show::Shown<'_>,
    cookies: &Cookies<'_>,
    departure: Departure,
) -> Response {
    let mut response = depart(app, shown, cookies, departure);
    if response.status().is_redirection() {
        *response.status_mut() = StatusCode::SEE_OTHER;
    }
    response
}
