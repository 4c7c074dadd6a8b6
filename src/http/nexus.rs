//! The Nexus API: sessions of one user, and that user's members (contract section 1).

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::json;

use super::auth::{NexusUser, refuse_credentials_in_query, same};
use super::body::{Fields, telling_of};
use super::members::Scope;
use super::problem::{Dialect, Kind, Problem};
use super::{Door, json};
use crate::domain::id::ClientId;
use crate::domain::secret::ApiToken;
use crate::domain::user::User;
use crate::flow::access;

type Answer = Result<Response, Problem>;

fn nexus(problem: Problem) -> Problem {
    problem.in_dialect(Dialect::Nexus)
}

impl NexusUser {
    fn scope<'a>(&'a self, door: &'a Door, headers: &'a HeaderMap) -> Scope<'a> {
        Scope {
            gateway: &door.gateway,
            limits: &door.limits,
            client: &self.client,
            user: &self.user,
            dialect: Dialect::Nexus,
            headers,
        }
    }
}

/// `GET /{client_id}/users/{user_id}/api_token`: an SSO token for one session, by `MD-API-KEY`.
pub async fn api_token(
    State(door): State<Door>,
    Path((client, user)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    refuse_credentials_in_query(&uri).map_err(nexus)?;
    let user = sso_user(&door, &client, &user, &headers).await?;
    let token = access::api_token(&door.gateway, &user)
        .await
        .map_err(Problem::from)
        .map_err(nexus)?;
    Ok(json::answer(
        &headers,
        StatusCode::OK,
        &json!({"api_token": {"token": token.expose()}}),
    ))
}

/// `DELETE /{client_id}/users/{user_id}/sessions`: ends the user's sessions, by `MD-API-KEY`.
pub async fn end_sessions(
    State(door): State<Door>,
    Path((client, user)): Path<(String, String)>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    refuse_credentials_in_query(&uri).map_err(nexus)?;
    let user = sso_user(&door, &client, &user, &headers).await?;
    door.gateway
        .store
        .end_sessions(user.guid)
        .await
        .map_err(Problem::from)
        .map_err(nexus)?;
    Ok(json::answer(&headers, StatusCode::OK, &json!({})))
}

/// The user an SSO path names, for the holder of the client's SSO key.
async fn sso_user(
    door: &Door,
    client: &str,
    user: &str,
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
    let found = access::user(&door.gateway, &client_id, user)
        .await
        .map_err(Problem::from)
        .map_err(nexus)?;
    found.ok_or_else(|| nexus(Problem::not_found("user")))
}

/// `POST /sessions`: spends an SSO token, carried by `MD-API-TOKEN`, for a session.
pub async fn begin_session(State(door): State<Door>, uri: Uri, headers: HeaderMap) -> Answer {
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
        &json!({"session": {"token": session.expose()}}),
    ))
}

/// `POST /members`.
pub async fn create_member(
    State(door): State<Door>,
    user: NexusUser,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    user.scope(&door, &headers)
        .create(&body)
        .await
        .map_err(nexus)
}

/// `GET /members`.
pub async fn members(State(door): State<Door>, user: NexusUser, headers: HeaderMap) -> Answer {
    user.scope(&door, &headers).list("").await.map_err(nexus)
}

/// `GET /members/{member_guid}`.
pub async fn member(
    State(door): State<Door>,
    user: NexusUser,
    Path(member): Path<String>,
    headers: HeaderMap,
) -> Answer {
    user.scope(&door, &headers)
        .read(&member)
        .await
        .map_err(nexus)
}

/// `DELETE /members/{member_guid}`.
pub async fn delete_member(
    State(door): State<Door>,
    user: NexusUser,
    Path(member): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let telling = match body.is_empty() {
        true => telling_of(&headers),
        false => Fields::parse(&body, "member")
            .and_then(|fields| fields.telling(&headers))
            .map_err(nexus)?,
    };
    user.scope(&door, &headers)
        .delete(&member, telling)
        .await
        .map_err(nexus)?;
    Ok(json::answer(&headers, StatusCode::OK, &json!({})))
}

/// `GET /members/{member_guid}/oauth_window_uri`.
pub async fn oauth_window_uri(
    State(door): State<Door>,
    user: NexusUser,
    Path(member): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    user.scope(&door, &headers)
        .mint(&member, &query.unwrap_or_default())
        .await
        .map_err(nexus)
}
