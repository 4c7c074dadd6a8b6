//! A client's users.

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::domain::user::User;
use crate::flow::access::{self, UserChangeRequest, UserFilter, UserRequest};
use crate::flow::idempotency::Origin;
use crate::http::app_state::AppState;
use crate::http::auth::PlatformClient;
use crate::http::body::{FieldError, Fields, Sent, webhook_choice};
use crate::http::json;
use crate::http::params::{SkipWebhook, UserPath};
use crate::http::problem::{ApiResult, Kind, Problem};
use crate::http::requests::{PagesQuery, UserRequestBody, UsersQuery};
use crate::http::responses::{Pagination, UserBody, UserResponse, UsersBody};

/// Create a user.
#[utoipa::path(
    post, path = "/users",
    operation_id = "platformCreateUser", tag = "Platform API",
    request_body = UserRequestBody,
    responses(
        (status = 200, description = "The user.", body = UserBody),
        (status = 409, description = "The `id` exists already: `guid` names the user that has it."),
    ),
)]
pub async fn create(
    State(app): State<AppState>,
    client: PlatformClient,
    origin: Option<Extension<Origin>>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    let request = UserRequest {
        origin: origin.map(|Extension(origin)| origin),
        ..user_request(&Fields::parse(&body, "user")?.take())?
    };
    let user = access::create_user(&app.gateway, &client.client.id, request).await?;
    Ok(user_response(&headers, &user))
}

/// List the users, oldest first.
#[utoipa::path(
    get, path = "/users",
    operation_id = "platformListUsers", tag = "Platform API", params(UsersQuery, PagesQuery),
    responses((status = 200, description = "A page of users.", body = UsersBody)),
)]
pub async fn list(
    State(app): State<AppState>,
    client: PlatformClient,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiResult {
    let fields = Fields::of_query(&query.unwrap_or_default());
    let query: UsersQuery = fields.take();
    let filter = UserFilter {
        id: query.id.read()?,
        email: query.email.read()?,
        is_disabled: query.is_disabled.read()?,
    };
    let page = fields.take::<PagesQuery>().page();
    let paged = access::users(&app.gateway, &client.client.id, &filter, page).await?;
    let body = UsersBody {
        users: paged.items.iter().map(UserResponse::from).collect(),
        pagination: Pagination::of(page, &paged),
    };
    Ok(json::response(&headers, StatusCode::OK, &body))
}

/// Read a user.
#[utoipa::path(
    get, path = "/users/{user_identifier}",
    operation_id = "platformReadUser", tag = "Platform API", params(UserPath),
    responses((status = 200, description = "The user.", body = UserBody)),
)]
pub async fn read(
    State(app): State<AppState>,
    client: PlatformClient,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    Ok(user_response(&headers, &user))
}

/// Change a user.
///
/// Fields that are left out stay as they are; null removes `id`, `email` or `metadata`.
#[utoipa::path(
    put, path = "/users/{user_identifier}",
    operation_id = "platformUpdateUser", tag = "Platform API", params(UserPath),
    request_body = UserRequestBody,
    responses(
        (status = 200, description = "The changed user.", body = UserBody),
        (status = 409, description = "The `id` exists already: `guid` names the user that has it."),
    ),
)]
pub async fn update(
    State(app): State<AppState>,
    client: PlatformClient,
    Path(user): Path<String>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    let fields = Fields::parse(&body, "user")?;
    if fields.is_empty() {
        let message = "The body changes nothing: send a field of the user.";
        return Err(Problem::new(Kind::Missing, message));
    }
    let request = change_request(&fields.take())?;
    let user = client.user(&app, &user).await?;
    let changed = access::update_user(&app.gateway, &client.client.id, user.guid, request).await?;
    let changed = changed.ok_or_else(|| Problem::not_found("user"))?;
    Ok(user_response(&headers, &changed))
}

/// Delete a user with its members and sessions.
#[utoipa::path(
    delete, path = "/users/{user_identifier}",
    operation_id = "platformDeleteUser", tag = "Platform API", params(UserPath, SkipWebhook),
    responses((status = 204, description = "Deleted.")),
)]
pub async fn delete(
    State(app): State<AppState>,
    client: PlatformClient,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    let webhooks = webhook_choice(&headers);
    let deleted = access::delete_user(&app.gateway, &client.client, user.guid, webhooks).await?;
    deleted.ok_or_else(|| Problem::not_found("user"))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn user_response(headers: &HeaderMap, user: &User) -> Response {
    let body = UserBody {
        user: UserResponse::from(user),
    };
    json::response(headers, StatusCode::OK, &body)
}

/// The user that a body asks for.
fn user_request(UserRequestBody { user }: &UserRequestBody) -> Result<UserRequest, FieldError> {
    Ok(UserRequest {
        id: user.id.read()?,
        email: user.email.read()?,
        metadata: user.metadata.read()?,
        is_disabled: user.is_disabled.read()?.unwrap_or(false),
        origin: None,
    })
}

/// The change that a body asks for.
fn change_request(
    UserRequestBody { user }: &UserRequestBody,
) -> Result<UserChangeRequest, FieldError> {
    let email = user.email.change()?;
    Ok(UserChangeRequest {
        id: user.id.change()?,
        email: email.map(|email| email.filter(|email| !email.is_empty())),
        metadata: user.metadata.change()?,
        is_disabled: user.is_disabled.read()?,
    })
}
