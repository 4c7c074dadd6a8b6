//! "Demo Budget", the sandbox's member service: an app whose people connect their accounts.
//!
//! Its server asks the gateway for a one-time link; its page opens the link in a window of its
//! own and follows what becomes of it: by asking the app's server every second, and at once when
//! the window says that it is done. Where a bank has no pages of its own, the app asks for name and
//! password itself, and passes on what the bank asks. Everything works without script too, in one
//! window and by reloading. `gateway` is the API client, `follow` what is known of one member, `home` the
//! page, `webhooks` what the app is told.

mod follow;
mod gateway;
mod home;
mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, State};
use axum::http::header::{ACCEPT, ORIGIN};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, middleware};
use serde_json::json;

use super::pulls::Pulls;
use super::settings::{Brand, Institution, Settings};
use super::signature::Verifier;
use super::wire::{asset, http_client, logo, now, see_other, style, trimmed};
use gateway::{Gateway, GatewayError, Given, Link};
use home::{show, trouble};
use webhooks::Log;

/// The longest form or webhook that is read, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// What the app's handlers share.
struct App {
    /// The app's own origin, for telling its own forms from others'.
    origin: String,
    gateway_origin: String,
    /// The bank's address without a `/` at the end.
    bank_url: String,
    institutions: Vec<Institution>,
    /// Whether the gateway has the app's flows confirmed.
    confirms: bool,
    gateway: Gateway,
    verifier: Verifier,
    pulls: Arc<Pulls>,
    log: Log,
}

impl App {
    /// The institution that a form names.
    fn institution(&self, form: &[u8]) -> Option<&Institution> {
        let (_, named) =
            url::form_urlencoded::parse(form).find(|(name, _)| name == "institution_code")?;
        self.institutions.iter().find(|one| one.code == named)
    }

    /// What the institution of this code looks like.
    fn brand_of(&self, code: Option<&str>) -> Option<Brand> {
        let mut institutions = self.institutions.iter();
        let found = institutions.find(|one| Some(one.code.as_str()) == code);
        found.map(|one| one.brand)
    }
}

/// The app's addresses.
pub(super) fn router(settings: &Settings, pulls: Arc<Pulls>) -> anyhow::Result<Router> {
    let app = Arc::new(App {
        origin: settings.app_url.origin().ascii_serialization(),
        gateway_origin: settings.gateway_url.origin().ascii_serialization(),
        bank_url: trimmed(&settings.bank_url),
        institutions: settings.institutions.clone(),
        confirms: settings.confirms,
        gateway: Gateway::new(http_client()?, settings),
        verifier: Verifier::new(&settings.webhook_secret)?,
        pulls,
        log: Log::default(),
    });
    let forms = Router::new()
        .route("/connect", post(connect))
        .route("/members/{member}/connect", post(connect_again))
        .route("/sign-in", post(sign_in))
        .route("/members/{member}/sign-in", post(sign_in_again))
        .route("/members/{member}/answers", post(answer))
        .route("/members/{member}/confirm", post(confirm))
        .route("/members/{member}/disconnect", post(disconnect))
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            own_forms_only,
        ));
    Ok(Router::new()
        .route("/", get(index))
        .route("/returned", get(index))
        .route("/api/state/{member}", get(follow::state))
        .route("/api/webhooks", get(webhooks::list))
        .route("/webhooks", post(webhooks::receive))
        .route("/style.css", get(style))
        .route("/app.css", get(app_style))
        .route("/logos/{file}", get(logo))
        .route("/app.js", get(script))
        .merge(forms)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(app))
}

/// `GET /`, with `?member=MBR-…` to look at one member, and `GET /returned`, where the gateway sends
/// people back to with `?member_guid=MBR-…`. What else it says there is not believed but asked for.
async fn index(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    // Whoever opens this page is the app's one user, so the page may confirm for that user.
    if let Some((member, handle)) = brought(query.as_bytes()) {
        let done = app.gateway.confirm(&member, &handle).await;
        return look_at(&app, done.map(|()| member)).await;
    }
    let looked_at = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "member" || name == "member_guid")
        .map(|(_, member)| member);
    let followed = match &looked_at {
        Some(member) => follow::follow(&app, member).await.map(Some),
        None => Ok(None),
    };
    match followed {
        Ok(followed) => show(&app, StatusCode::OK, followed.as_ref(), None).await,
        Err(error) => trouble(&app, &error).await,
    }
}

/// The member and the handle that a browser brings back while a flow waits for its confirmation.
fn brought(form: &[u8]) -> Option<(String, String)> {
    let value = |wanted: &str| {
        let mut pairs = url::form_urlencoded::parse(form);
        let found = pairs.find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.into_owned())
    };
    Some((value("member_guid")?, value("completion")?))
}

/// `POST /members/{member}/confirm`: the page heard from the window what to confirm the flow with.
async fn confirm(State(app): State<Arc<App>>, Path(member): Path<String>, body: Bytes) -> Response {
    let handle = url::form_urlencoded::parse(&body).find(|(name, _)| name == "completion");
    let handle = handle.map(|(_, handle)| handle.into_owned());
    match app
        .gateway
        .confirm(&member, &handle.unwrap_or_default())
        .await
    {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => error_json(&error),
    }
}

fn status_of(error: &GatewayError) -> StatusCode {
    match error {
        GatewayError::NotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::BAD_GATEWAY,
    }
}

/// `POST /connect`: a member at the institution named in the form, and off to its link. A member
/// there that was never finished is taken up again.
async fn connect(State(app): State<Arc<App>>, headers: HeaderMap, body: Bytes) -> Response {
    let link = match app.institution(&body) {
        Some(institution) if institution.supports_oauth() => {
            connect_at(&app.gateway, institution).await
        }
        _ => Err(GatewayError::NotFound),
    };
    go(&app, &headers, link).await
}

async fn connect_at(gateway: &Gateway, institution: &Institution) -> Result<Link, GatewayError> {
    let members = gateway.members().await?;
    let unfinished = members.iter().find(|one| one.is_pending_at(institution));
    match unfinished {
        Some(member) => gateway.link(&member.guid).await,
        None => gateway.connect(&institution.code).await,
    }
}

/// `POST /sign-in`: connects the institution named in the form with what was typed in it.
async fn sign_in(State(app): State<Arc<App>>, body: Bytes) -> Response {
    let signed_in = match app.institution(&body) {
        Some(institution) if !institution.supports_oauth() => {
            app.gateway.sign_in(&institution.code, &given(&body)).await
        }
        _ => Err(GatewayError::NotFound),
    };
    look_at(&app, signed_in).await
}

/// `POST /members/{member}/sign-in`: what was typed replaces what the member signs in with.
async fn sign_in_again(
    State(app): State<Arc<App>>,
    Path(member): Path<String>,
    body: Bytes,
) -> Response {
    let done = app.gateway.sign_in_again(&member, &given(&body)).await;
    look_at(&app, done.map(|()| member)).await
}

/// `POST /members/{member}/answers`: the answers to what the bank asked.
async fn answer(State(app): State<Arc<App>>, Path(member): Path<String>, body: Bytes) -> Response {
    let done = app.gateway.resume(&member, &given(&body)).await;
    look_at(&app, done.map(|()| member)).await
}

/// Shows the member, by an address that can be reloaded without sending the form again.
async fn look_at(app: &App, member: Result<String, GatewayError>) -> Response {
    match member {
        Ok(member) => {
            let query = url::form_urlencoded::Serializer::new(String::new())
                .append_pair("member", &member)
                .finish();
            see_other(&format!("/?{query}"))
        }
        Err(error) => trouble(app, &error).await,
    }
}

/// The values in a form whose inputs are named by the guids they are for.
fn given(form: &[u8]) -> Vec<Given> {
    url::form_urlencoded::parse(form)
        .filter(|(name, _)| name.starts_with("CRD-"))
        .map(|(guid, value)| Given {
            guid: guid.into_owned(),
            value: value.into_owned(),
        })
        .collect()
}

/// `POST /members/{member}/connect`: a fresh link for a member.
async fn connect_again(
    State(app): State<Arc<App>>,
    Path(member): Path<String>,
    headers: HeaderMap,
) -> Response {
    let link = app.gateway.link(&member).await;
    go(&app, &headers, link).await
}

/// The link to the script that asked for it, or the browser to the link.
async fn go(app: &App, headers: &HeaderMap, link: Result<Link, GatewayError>) -> Response {
    let by_script = headers
        .get(ACCEPT)
        .is_some_and(|accept| accept == "application/json");
    match link {
        Ok(link) if by_script => Json(json!({
            "member_guid": link.member_guid,
            "oauth_window_uri": link.uri,
        }))
        .into_response(),
        Ok(link) => see_other(link.uri.as_str()),
        Err(error) if by_script => error_json(&error),
        Err(error) => trouble(app, &error).await,
    }
}

fn error_json(error: &GatewayError) -> Response {
    let body = json!({ "error": { "message": error.to_string() } });
    (status_of(error), Json(body)).into_response()
}

/// `POST /members/{member}/disconnect`
async fn disconnect(State(app): State<Arc<App>>, Path(member): Path<String>) -> Response {
    match app.gateway.disconnect(&member).await {
        Ok(()) => {
            app.pulls.forget(&member, now());
            see_other("/")
        }
        Err(error) => trouble(&app, &error).await,
    }
}

/// Lets a form pass that comes from this app's own pages, or from no page at all.
async fn own_forms_only(
    State(app): State<Arc<App>>,
    request: axum::extract::Request,
    next: middleware::Next,
) -> Response {
    match request.headers().get(ORIGIN) {
        Some(origin) if origin != app.origin.as_str() => {
            let text = "This form was sent from another site.";
            (StatusCode::FORBIDDEN, text).into_response()
        }
        _ => next.run(request).await,
    }
}

async fn app_style() -> Response {
    let css = include_str!("../../templates/app.css");
    asset("text/css; charset=utf-8", css)
}

async fn script() -> Response {
    let script = include_str!("../../templates/app.js");
    asset("text/javascript; charset=utf-8", script)
}

#[cfg(test)]
mod tests;
