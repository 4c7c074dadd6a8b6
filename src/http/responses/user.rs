//! Users.

use serde::Serialize;
use utoipa::ToSchema;

use super::Pagination;
use crate::domain::id::UserGuid;
use crate::domain::iso8601;
use crate::domain::user::User;

/// A user.
#[derive(Serialize, ToSchema)]
pub struct UserResponse<'a> {
    /// When it was created.
    #[schema(format = DateTime, example = "2026-03-01T09:30:00+00:00")]
    created_at: String,
    /// The e-mail address stored with the user; left out in v20250224 if there is none.
    #[schema(example = "ada@example.org")]
    email: Option<&'a str>,
    /// Identifier.
    #[schema(value_type = String, pattern = "^USR-[0-9a-f-]{36}$", example = "USR-0e7cdc7c-9e9d-4c61-8fb4-5e7e3a01d2f0")]
    guid: UserGuid,
    /// Your own name for it.
    #[schema(required, example = "ada")]
    id: Option<&'a str>,
    /// Whether you have disabled it.
    is_disabled: bool,
    /// Your own text about it.
    #[schema(required, example = "{\"plan\":\"basic\"}")]
    metadata: Option<&'a str>,
}

impl<'a> From<&'a User> for UserResponse<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            created_at: iso8601(user.created_at),
            email: user.email.as_deref(),
            guid: user.guid,
            id: user.id.as_deref(),
            is_disabled: user.is_disabled,
            metadata: user.metadata.as_deref(),
        }
    }
}

/// One user.
#[derive(Serialize, ToSchema)]
pub struct UserBody<'a> {
    /// The user.
    pub user: UserResponse<'a>,
}

/// A page of users.
#[derive(Serialize, ToSchema)]
pub struct UsersBody<'a> {
    /// The users, oldest first.
    pub users: Vec<UserResponse<'a>>,
    /// The position of this page in the list.
    pub pagination: Pagination,
}
