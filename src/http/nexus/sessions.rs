//! How a Nexus session is opened and ended (CONTRACT.md 1.1).

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};

use crate::domain::id::ClientId;
use crate::domain::secret::ApiToken;
use crate::domain::user::User;
use crate::flow::access;
use crate::http::app_state::AppState;
use crate::http::auth::{Credential, proven, refuse_credentials_in_query, same};
use crate::http::body::Sent;
use crate::http::json;
use crate::http::limits::Asked;
use crate::http::params::SsoPath;
use crate::http::problem::{ApiResult, Kind, Problem};
use crate::http::requests::SessionRequestBody;
use crate::http::responses::{self, ApiTokenBody, Empty, SessionBody};
use crate::http::source::Source;

/// Create an SSO token for one session of the user.
///
/// It works for one `POST /sessions` within 10 minutes.
#[utoipa::path(
    get, path = "/{client_id}/users/{user_id}/api_token",
    operation_id = "ssoApiToken", tag = "Sessions", params(SsoPath),
    security(("sso_key" = [])),
    responses(
        (status = 200, description = "The token.", body = ApiTokenBody),
        (status = 403, description = "The user is disabled."),
    ),
)]
pub async fn api_token(
    State(app): State<AppState>,
    source: Source,
    Path((client, user)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult {
    refuse_credentials_in_query(&uri).map_err(Problem::in_nexus)?;
    let user = sso_user(&app, source, &client, &user, &method, &headers)
        .await
        .map_err(Problem::in_nexus)?;
    access::enabled(&user)
        .map_err(Problem::from)
        .map_err(Problem::in_nexus)?;
    let token = access::api_token(&app.gateway, &user)
        .await
        .map_err(Problem::from)
        .map_err(Problem::in_nexus)?;
    Ok(json::response(
        &headers,
        StatusCode::OK,
        &ApiTokenBody {
            api_token: responses::ApiToken {
                token: token.expose(),
            },
        },
    ))
}

/// Create an SSO token for one session of the user.
///
/// The same as without `.json`.
#[utoipa::path(
    get, path = "/{client_id}/users/{user_id}/api_token.json",
    operation_id = "ssoApiTokenJson", tag = "Sessions", params(SsoPath),
    security(("sso_key" = [])),
    responses(
        (status = 200, description = "The token.", body = ApiTokenBody),
        (status = 403, description = "The user is disabled."),
    ),
)]
pub async fn api_token_json(
    app: State<AppState>,
    source: Source,
    path: Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult {
    api_token(app, source, path, method, uri, headers).await
}

/// End all sessions of the user.
#[utoipa::path(
    delete, path = "/{client_id}/users/{user_id}/sessions",
    operation_id = "ssoEndSessions", tag = "Sessions", params(SsoPath),
    security(("sso_key" = [])),
    responses((status = 200, description = "The sessions have ended.", body = Empty)),
)]
pub async fn end_sessions(
    State(app): State<AppState>,
    source: Source,
    Path((client, user)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> ApiResult {
    refuse_credentials_in_query(&uri).map_err(Problem::in_nexus)?;
    let user = sso_user(&app, source, &client, &user, &method, &headers)
        .await
        .map_err(Problem::in_nexus)?;
    let ended = access::end_sessions(&app.gateway, &user).await;
    ended.map_err(Problem::from).map_err(Problem::in_nexus)?;
    Ok(json::response(&headers, StatusCode::OK, &Empty {}))
}

/// The user that an SSO path names, if the request has the client's SSO key.
async fn sso_user(
    app: &AppState,
    source: Source,
    client: &str,
    user: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<User, Problem> {
    let sent = headers
        .get("md-api-key")
        .map(|key| key.as_bytes())
        .unwrap_or_default();
    let refused = || {
        let message = "MD-API-KEY is missing or is not this client's SSO key.";
        Problem::new(Kind::Unauthenticated, message)
    };
    if sent.is_empty() {
        return Err(refused());
    }
    let client_id = client.parse::<ClientId>().ok();
    let expected = client_id.as_ref().and_then(|id| app.sso_keys.get(id));
    // An unknown client is compared with a key nobody has, so that it takes as long as a wrong key.
    let matches = same(sent, expected.map_or(&b""[..], |key| key.as_bytes())) && expected.is_some();
    let look_up = Some(async { Ok(client_id.clone().filter(|_| matches)) });
    let claimed = client_id.as_ref();
    let known = proven(app, source, Credential::SsoKey, claimed, look_up);
    let client_id = known.await?.ok_or_else(refused)?;
    let asked = Asked::by(method);
    app.limits.admit(&client_id, None, asked)?;
    let found = access::user(&app.gateway, &client_id, user).await?;
    let found = found.ok_or_else(|| Problem::not_found("user"))?;
    app.limits.admit_for_user(&client_id, found.guid, asked)?;
    Ok(found)
}

/// Start a session.
///
/// The SSO token cannot be used again. The session ends after 30 minutes without a call. The body has
/// no effect: starting a session never starts an aggregation. `Idempotency-Key` is ignored here: a
/// token works only once, and a response with a session is not stored.
#[utoipa::path(
    post, path = "/sessions",
    operation_id = "nexusBeginSession", tag = "Sessions",
    request_body = Option<SessionRequestBody>,
    security(("sso_token" = [])),
    responses((status = 200, description = "The session.", body = SessionBody)),
)]
pub async fn begin_session(
    State(app): State<AppState>,
    source: Source,
    uri: Uri,
    headers: HeaderMap,
    _body: Sent,
) -> ApiResult {
    refuse_credentials_in_query(&uri).map_err(Problem::in_nexus)?;
    let refused = || {
        let message = "MD-API-TOKEN is missing, spent or older than 10 minutes: ask for a new one with \
                       GET /{client_id}/users/{user_id}/api_token.";
        Problem::new(Kind::Unauthenticated, message).in_nexus()
    };
    let header = headers
        .get("md-api-token")
        .and_then(|value| value.to_str().ok())
        .ok_or_else(refused)?;
    let look_up = ApiToken::parse(header)
        .map(async |token| Ok(access::begin_session(&app.gateway, &token).await?));
    let session = proven(&app, source, Credential::SsoToken, None, look_up).await;
    let session = session.map_err(Problem::in_nexus)?.ok_or_else(refused)?;
    Ok(json::response(
        &headers,
        StatusCode::OK,
        &SessionBody {
            session: responses::Session {
                token: session.expose(),
            },
        },
    ))
}
