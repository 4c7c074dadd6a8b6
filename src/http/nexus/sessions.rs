//! How a Nexus session is opened and ended (contract section 1.1).

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};

use super::{Answer, nexus};
use crate::domain::id::ClientId;
use crate::domain::secret::ApiToken;
use crate::domain::user::User;
use crate::flow::access;
use crate::http::answers::{self, ApiTokenBody, Empty, SessionBody};
use crate::http::auth::{refuse_credentials_in_query, same};
use crate::http::body::Sent;
use crate::http::openapi::params::SsoPath;
use crate::http::openapi::requests::SessionRequestBody;
use crate::http::problem::{Kind, Problem};
use crate::http::{Door, json};

/// An SSO token for one session of the user.
///
/// It is good for one `POST /sessions` within 10 minutes.
#[utoipa::path(
    get, path = "/{client_id}/users/{user_id}/api_token",
    operation_id = "ssoApiToken", tag = "Sessions", params(SsoPath),
    security(("sso_key" = [])),
    responses((status = 200, description = "The token.", body = ApiTokenBody)),
)]
pub async fn api_token(
    State(door): State<Door>,
    Path((client, user)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    refuse_credentials_in_query(&uri).map_err(nexus)?;
    let user = sso_user(&door, &client, &user, &method, &headers).await?;
    let token = access::api_token(&door.gateway, &user)
        .await
        .map_err(Problem::from)
        .map_err(nexus)?;
    Ok(json::answer(
        &headers,
        StatusCode::OK,
        &ApiTokenBody {
            api_token: answers::ApiToken {
                token: token.expose(),
            },
        },
    ))
}

/// An SSO token for one session of the user.
///
/// The same as without `.json`.
#[utoipa::path(
    get, path = "/{client_id}/users/{user_id}/api_token.json",
    operation_id = "ssoApiTokenJson", tag = "Sessions", params(SsoPath),
    security(("sso_key" = [])),
    responses((status = 200, description = "The token.", body = ApiTokenBody)),
)]
pub async fn api_token_json(
    door: State<Door>,
    path: Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    api_token(door, path, method, uri, headers).await
}

/// End all sessions of the user.
#[utoipa::path(
    delete, path = "/{client_id}/users/{user_id}/sessions",
    operation_id = "ssoEndSessions", tag = "Sessions", params(SsoPath),
    security(("sso_key" = [])),
    responses((status = 200, description = "They are over.", body = Empty)),
)]
pub async fn end_sessions(
    State(door): State<Door>,
    Path((client, user)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    refuse_credentials_in_query(&uri).map_err(nexus)?;
    let user = sso_user(&door, &client, &user, &method, &headers).await?;
    door.gateway
        .store
        .end_sessions(user.guid)
        .await
        .map_err(Problem::from)
        .map_err(nexus)?;
    Ok(json::answer(&headers, StatusCode::OK, &Empty {}))
}

/// The user an SSO path names, for the holder of the client's SSO key.
async fn sso_user(
    door: &Door,
    client: &str,
    user: &str,
    method: &Method,
    headers: &HeaderMap,
) -> Result<User, Problem> {
    let sent = headers
        .get("md-api-key")
        .map(|key| key.as_bytes())
        .unwrap_or_default();
    let client_id = client.parse::<ClientId>().ok();
    let expected = client_id.as_ref().and_then(|id| door.sso_keys.get(id));
    // An unknown client is compared with a key nobody has, so that it takes as long as a wrong key.
    let matches = same(sent, expected.map_or(&b""[..], |key| key.as_bytes())) && expected.is_some();
    let Some(client_id) = client_id.filter(|_| matches) else {
        let message = "MD-API-KEY is missing or is not this client's SSO key.";
        return Err(nexus(Problem::new(Kind::Unauthenticated, message)));
    };
    door.limits.admit(&client_id, method).map_err(nexus)?;
    let found = access::user(&door.gateway, &client_id, user)
        .await
        .map_err(Problem::from)
        .map_err(nexus)?;
    found.ok_or_else(|| nexus(Problem::not_found("user")))
}

/// Begin a session.
///
/// Spends the SSO token. The session is over after 30 minutes without a call. What stands in the body
/// changes nothing: no aggregation ever starts because a session does. `Idempotency-Key` is not taken
/// here: a token is spent once, and an answer that holds a session is not kept.
#[utoipa::path(
    post, path = "/sessions",
    operation_id = "nexusBeginSession", tag = "Sessions",
    request_body = Option<SessionRequestBody>,
    security(("sso_token" = [])),
    responses((status = 200, description = "The session.", body = SessionBody)),
)]
pub async fn begin_session(
    State(door): State<Door>,
    uri: Uri,
    headers: HeaderMap,
    _body: Sent,
) -> Answer {
    refuse_credentials_in_query(&uri).map_err(nexus)?;
    let refused = || {
        let message = "MD-API-TOKEN is missing, spent or older than 10 minutes: ask for a new one with \
                       GET /{client_id}/users/{user_id}/api_token.";
        nexus(Problem::new(Kind::Unauthenticated, message))
    };
    let header = headers
        .get("md-api-token")
        .and_then(|value| value.to_str().ok());
    let token = header.and_then(ApiToken::parse).ok_or_else(refused)?;
    let session = access::begin_session(&door.gateway, &token)
        .await
        .map_err(Problem::from)
        .map_err(nexus)?;
    let session = session.ok_or_else(refused)?;
    Ok(json::answer(
        &headers,
        StatusCode::OK,
        &SessionBody {
            session: answers::Session {
                token: session.expose(),
            },
        },
    ))
}
