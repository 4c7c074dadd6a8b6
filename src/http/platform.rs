//! The Platform API: a client's users and their members, by API key (contract section 2).

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::auth::PlatformClient;
use super::body::{Fields, telling_of};
use super::members::Scope;
use super::problem::{Dialect, Problem};
use super::{Door, json};
use crate::domain::user::User;
use crate::flow::access::{self, UserRequest};

type Answer = Result<Response, Problem>;

impl PlatformClient {
    async fn user(&self, door: &Door, identifier: &str) -> Result<User, Problem> {
        let found = access::user(&door.gateway, &self.0.id, identifier).await?;
        found.ok_or_else(|| Problem::not_found("user"))
    }

    fn scope<'a>(&'a self, door: &'a Door, user: &'a User, headers: &'a HeaderMap) -> Scope<'a> {
        Scope {
            gateway: &door.gateway,
            limits: &door.limits,
            client: &self.0,
            user,
            dialect: Dialect::Platform,
            headers,
        }
    }
}

/// `POST /users`.
pub async fn create_user(
    State(door): State<Door>,
    client: PlatformClient,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let fields = Fields::parse(&body, "user")?;
    let request = UserRequest {
        id: fields.short_text("id", 255)?.filter(|id| !id.is_empty()),
        email: fields.short_text("email", 255)?,
        metadata: fields.metadata()?,
        is_disabled: fields.flag("is_disabled")?.unwrap_or(false),
    };
    let user = access::create_user(&door.gateway, &client.0.id, request).await?;
    Ok(json::answer(
        &headers,
        StatusCode::OK,
        &json!({"user": json::user(&user)}),
    ))
}

/// `GET /users`.
pub async fn users(
    State(door): State<Door>,
    client: PlatformClient,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let page = Fields::of_query(&query.unwrap_or_default()).page();
    let paged = door.gateway.store.users(&client.0.id, page).await?;
    let pagination = json::pagination(page, &paged);
    let users: Vec<_> = paged.items.iter().map(json::user).collect();
    Ok(json::answer(
        &headers,
        StatusCode::OK,
        &json!({"users": users, "pagination": pagination}),
    ))
}

/// `GET /users/{user}`, by guid or by the client's own id.
pub async fn user(
    State(door): State<Door>,
    client: PlatformClient,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let user = client.user(&door, &user).await?;
    Ok(json::answer(
        &headers,
        StatusCode::OK,
        &json!({"user": json::user(&user)}),
    ))
}

/// `POST /users/{user}/members`.
pub async fn create_member(
    State(door): State<Door>,
    client: PlatformClient,
    Path(user): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client.scope(&door, &user, &headers).create(&body).await
}

/// `GET /users/{user}/members`.
pub async fn members(
    State(door): State<Door>,
    client: PlatformClient,
    Path(user): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client
        .scope(&door, &user, &headers)
        .list(&query.unwrap_or_default())
        .await
}

/// `GET /users/{user}/members/{member}`.
pub async fn member(
    State(door): State<Door>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client.scope(&door, &user, &headers).read(&member).await
}

/// `DELETE /users/{user}/members/{member}`.
pub async fn delete_member(
    State(door): State<Door>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client
        .scope(&door, &user, &headers)
        .delete(&member, telling_of(&headers))
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// `GET /users/{user}/members/{member}/oauth_window_uri`.
pub async fn oauth_window_uri(
    State(door): State<Door>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client
        .scope(&door, &user, &headers)
        .mint(&member, &query.unwrap_or_default())
        .await
}
