//! The outcome of an attempt, in the browser that went through it, and trying again.

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use url::Url;

use super::{depart, header_value};
use crate::domain::id::AttemptId;
use crate::flow::finish::{Finish, finish};
use crate::flow::retry::{Again, retry};
use crate::http::page::{Back, Page};
use crate::http::visitor::{Segments, is_phone, is_same_origin};
use crate::http::{Door, show};

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

pub(super) async fn outcome(
    door: &Door,
    headers: &HeaderMap,
    attempt: &AttemptId,
    status: Option<StatusCode>,
) -> Response {
    let shown = show::Shown::new(door, headers);
    match finish(&door.gateway, attempt, &door.cookies(headers).bindings()).await {
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
            tracing::info!("outcome shown");
            let about = match shown.about_outcome(&record).await {
                Ok(about) => about,
                Err(error) => return shown.failure(error.into()),
            };
            let back = back.map(|link| {
                let by_itself = status.is_none() && !is_web(&link);
                Back { link, by_itself }
            });
            let jump = back
                .as_ref()
                .map(|back| back.link.clone())
                .filter(|link| status.is_none() && (is_web(link) || is_phone(headers)));
            let page = about.outcome(attempt, &record, back);
            match jump {
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

/// Whether an address leads to a website, which every browser follows a redirect to. To an app by its
/// scheme only a phone surely does; any other browser gets the page, which goes there by itself.
fn is_web(link: &str) -> bool {
    Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "https" | "http"))
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
    match retry(&door.gateway, &attempt, door.cookies(&headers).bindings()).await {
        Ok(Again::Depart(departure)) => {
            let mut response = depart(&shown, &door.cookies(&headers), departure);
            *response.status_mut() = StatusCode::SEE_OTHER;
            response
        }
        Ok(Again::Over) => shown.of_attempt(&attempt, &Page::Expired(None)).await,
        Ok(Again::Refused) => shown.neutral(),
        Err(error) => shown.failure(error),
    }
}
