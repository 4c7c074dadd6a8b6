//! A client's users.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::domain::id::UserGuid;
use crate::domain::user::User;
use crate::flow::access::{self, UserChangeRequest, UserFilter, UserRequest};
use crate::http::answers::{Pagination, UserAnswer, UserBody, UsersBody};
use crate::http::auth::PlatformClient;
use crate::http::body::{Fields, LONGEST_NAME, Sent, telling_of};
use crate::http::door::Door;
use crate::http::json;
use crate::http::params::{PagesQuery, SkipWebhook, UserPath, UsersQuery};
use crate::http::problem::{Answer, Kind, Problem};
use crate::http::requests::UserRequestBody;

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
    State(door): State<Door>,
    client: PlatformClient,
    headers: HeaderMap,
    Sent(body): Sent,
) -> Answer {
    let request = user_request(&Fields::parse(&body, "user")?)?;
    let user = access::create_user(&door.gateway, &client.client.id, request).await?;
    Ok(user_answer(&headers, &user))
}

/// List the users, oldest first.
#[utoipa::path(
    get, path = "/users",
    operation_id = "platformListUsers", tag = "Platform API", params(UsersQuery, PagesQuery),
    responses((status = 200, description = "A page of users.", body = UsersBody)),
)]
pub async fn list(
    State(door): State<Door>,
    client: PlatformClient,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let fields = Fields::of_query(&query.unwrap_or_default());
    let filter = UserFilter {
        id: fields.name("id")?,
        email: fields.name("email")?,
        is_disabled: fields.flag("is_disabled")?,
    };
    let page = fields.page();
    let paged = access::users(&door.gateway, &client.client.id, &filter, page).await?;
    let body = UsersBody {
        users: paged.items.iter().map(UserAnswer::from).collect(),
        pagination: Pagination::of(page, &paged),
    };
    Ok(json::answer(&headers, StatusCode::OK, &body))
}

/// Read a user.
#[utoipa::path(
    get, path = "/users/{user_identifier}",
    operation_id = "platformReadUser", tag = "Platform API", params(UserPath),
    responses((status = 200, description = "The user.", body = UserBody)),
)]
pub async fn read(
    State(door): State<Door>,
    client: PlatformClient,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let user = client.user(&door, &user).await?;
    Ok(user_answer(&headers, &user))
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
    State(door): State<Door>,
    client: PlatformClient,
    Path(user): Path<String>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> Answer {
    let fields = Fields::parse(&body, "user")?;
    if fields.is_empty() {
        let message = "The body changes nothing: send a field of the user.";
        return Err(Problem::new(Kind::Missing, message));
    }
    let request = change_request(&fields)?;
    let user = client.user(&door, &user).await?;
    let changed = access::update_user(&door.gateway, &client.client.id, user.guid, request).await?;
    let changed = changed.ok_or_else(|| Problem::not_found("user"))?;
    Ok(user_answer(&headers, &changed))
}

/// Delete a user with its members and sessions.
#[utoipa::path(
    delete, path = "/users/{user_identifier}",
    operation_id = "platformDeleteUser", tag = "Platform API", params(UserPath, SkipWebhook),
    responses((status = 204, description = "Deleted.")),
)]
pub async fn delete(
    State(door): State<Door>,
    client: PlatformClient,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let user = client.user(&door, &user).await?;
    let telling = telling_of(&headers);
    let deleted = access::delete_user(&door.gateway, &client.client, user.guid, telling).await?;
    deleted.ok_or_else(|| Problem::not_found("user"))?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn user_answer(headers: &HeaderMap, user: &User) -> Response {
    let body = UserBody {
        user: UserAnswer::from(user),
    };
    json::answer(headers, StatusCode::OK, &body)
}

/// The user that a body asks for.
fn user_request(fields: &Fields) -> Result<UserRequest, Problem> {
    Ok(UserRequest {
        id: fields.own_name::<UserGuid>("id")?,
        email: fields.short_text("email", LONGEST_NAME)?,
        metadata: fields.metadata()?,
        is_disabled: fields.flag("is_disabled")?.unwrap_or(false),
    })
}

/// The change that a body asks for.
fn change_request(fields: &Fields) -> Result<UserChangeRequest, Problem> {
    Ok(UserChangeRequest {
        id: fields.new_own_name::<UserGuid>("id")?,
        email: fields.new_name("email")?,
        metadata: fields.new_metadata()?,
        is_disabled: fields.flag("is_disabled")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::requests::described;

    #[test]
    fn the_description_has_the_fields_that_are_read() {
        let fields = Fields::parse(b"{}", "user").expect("a body");
        user_request(&fields).expect("a user");
        assert_eq!(fields.looked_for(), described::<UserRequestBody>("user"));
        let fields = Fields::parse(b"{}", "user").expect("a body");
        change_request(&fields).expect("a change");
        assert_eq!(fields.looked_for(), described::<UserRequestBody>("user"));
    }
}
