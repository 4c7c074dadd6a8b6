//! A user's members, by the client's API key. `{member}` is a guid or the client's own `id`.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::Answer;
use crate::http::Door;
use crate::http::answers::{
    AuthorizationBody, ChallengesBody, CredentialsBody, LinkBody, MemberStatusBody,
    PlatformMemberBody, PlatformMembersBody,
};
use crate::http::auth::PlatformClient;
use crate::http::body::{Sent, telling_of};
use crate::http::openapi::params::{
    CallbackHeader, PagesQuery, PullWishes, SkipWebhook, UseCaseQuery, UserMemberPath, UserPath,
    WindowWishes,
};
use crate::http::openapi::requests::{
    AnswersBody, PlatformMemberChangeBody, PlatformMemberRequestBody, PullRequestBody,
    WindowRequestBody,
};

/// Create a member.
///
/// With `is_oauth` it is PENDING and the answer brings its one-time link; else its `credentials` are
/// sealed and tried at once. The fields may stand in `member`, beside it, or without it; beside wins.
#[utoipa::path(
    post, path = "/users/{user_identifier}/members",
    operation_id = "platformCreateMember", tag = "Platform API",
    params(UserPath, CallbackHeader, SkipWebhook),
    request_body = PlatformMemberRequestBody,
    responses(
        (status = 200, description = "The member; nothing was started.", body = PlatformMemberBody),
        (status = 202, description = "The member. It is being aggregated, or will be once the person \
            has agreed.", body = PlatformMemberBody),
        (status = 409, description = "The `id` is taken, or the user already has a member with that \
            login: `guid` names it."),
        (status = 422, description = "The institution is unknown."),
    ),
)]
pub async fn create(
    State(door): State<Door>,
    client: PlatformClient,
    Path(user): Path<String>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client.scope(&door, &user, &headers).create(&body).await
}

/// List a user's members, oldest first.
#[utoipa::path(
    get, path = "/users/{user_identifier}/members",
    operation_id = "platformListMembers", tag = "Platform API",
    params(UserPath, PagesQuery, UseCaseQuery),
    responses((status = 200, description = "A page of members.", body = PlatformMembersBody)),
)]
pub async fn list(
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

/// Read a member.
#[utoipa::path(
    get, path = "/users/{user_identifier}/members/{member_identifier}",
    operation_id = "platformReadMember", tag = "Platform API", params(UserMemberPath),
    responses((status = 200, description = "The member.", body = PlatformMemberBody)),
)]
pub async fn read(
    State(door): State<Door>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client.scope(&door, &user, &headers).read(&member).await
}

/// Change a member.
///
/// What is left out stays; null takes `id` or `metadata` away. New `credentials` make the member
/// UPDATED and are tried at once, unless `skip_aggregation`; a job under way is replaced.
#[utoipa::path(
    put, path = "/users/{user_identifier}/members/{member_identifier}",
    operation_id = "platformUpdateMember", tag = "Platform API",
    params(UserMemberPath, CallbackHeader, SkipWebhook),
    request_body = PlatformMemberChangeBody,
    responses(
        (status = 200, description = "The member as changed.", body = PlatformMemberBody),
        (status = 409, description = "The `id` is taken, or the user already has a member with that \
            login: `guid` names it."),
    ),
)]
pub async fn update(
    State(door): State<Door>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client
        .scope(&door, &user, &headers)
        .update(&member, &body)
        .await
}

/// Delete a member.
///
/// What it signs in with is erased at once. A PENDING OAuth member is gone; any other is kept, out of
/// sight, for 14 days.
#[utoipa::path(
    delete, path = "/users/{user_identifier}/members/{member_identifier}",
    operation_id = "platformDeleteMember", tag = "Platform API",
    params(UserMemberPath, SkipWebhook),
    responses((status = 204, description = "It is deleted.")),
)]
pub async fn delete(
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

/// How far a member has come.
#[utoipa::path(
    get, path = "/users/{user_identifier}/members/{member_identifier}/status",
    operation_id = "platformReadMemberStatus", tag = "Platform API", params(UserMemberPath),
    responses((status = 200, description = "The status.", body = MemberStatusBody)),
)]
pub async fn status(
    State(door): State<Door>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client.scope(&door, &user, &headers).status(&member).await
}

/// Aggregate a member.
///
/// One that is under way already is not joined by a second one; the answer is the same.
#[utoipa::path(
    post, path = "/users/{user_identifier}/members/{member_identifier}/aggregate",
    operation_id = "platformAggregateMember", tag = "Platform API",
    params(UserMemberPath, PullWishes, CallbackHeader, SkipWebhook),
    request_body = Option<PullRequestBody>,
    responses(
        (status = 202, description = "The member, being aggregated.", body = PlatformMemberBody),
        (status = 403, description = "The member's `use_cases` do not include PFM."),
        (status = 405, description = "The member cannot be aggregated as it stands."),
    ),
)]
pub async fn aggregate(
    State(door): State<Door>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Sent(body): Sent,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client
        .scope(&door, &user, &headers)
        .aggregate(&member, &query.unwrap_or_default(), &body)
        .await
}

/// What the member's institution asks just now.
#[utoipa::path(
    get, path = "/users/{user_identifier}/members/{member_identifier}/challenges",
    operation_id = "platformListChallenges", tag = "Platform API",
    params(UserMemberPath, PagesQuery),
    responses((status = 200, description = "The questions.", body = ChallengesBody)),
)]
pub async fn challenges(
    State(door): State<Door>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client
        .scope(&door, &user, &headers)
        .challenges(&member, &query.unwrap_or_default())
        .await
}

/// Answer what the member's institution asks.
///
/// The answers are sealed, the member is RESUMED, and its job goes on.
#[utoipa::path(
    put, path = "/users/{user_identifier}/members/{member_identifier}/resume",
    operation_id = "platformResumeMember", tag = "Platform API",
    params(UserMemberPath, CallbackHeader, SkipWebhook),
    request_body = AnswersBody,
    responses(
        (status = 202, description = "The member, RESUMED.", body = PlatformMemberBody),
        (status = 405, description = "The member is not CHALLENGED."),
    ),
)]
pub async fn resume(
    State(door): State<Door>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client
        .scope(&door, &user, &headers)
        .resume(&member, &body)
        .await
}

/// What the member signs in with: the fields, never their values.
#[utoipa::path(
    get, path = "/users/{user_identifier}/members/{member_identifier}/credentials",
    operation_id = "platformListMemberCredentials", tag = "Platform API",
    params(UserMemberPath, PagesQuery),
    responses((status = 200, description = "The fields.", body = CredentialsBody)),
)]
pub async fn credentials(
    State(door): State<Door>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client
        .scope(&door, &user, &headers)
        .credentials(&member, &query.unwrap_or_default())
        .await
}

/// Make a new one-time link for an OAuth member.
///
/// The member's earlier unfinished link is superseded.
#[utoipa::path(
    get, path = "/users/{user_identifier}/members/{member_identifier}/oauth_window_uri",
    operation_id = "platformOauthWindowUri", tag = "Platform API",
    params(UserMemberPath, WindowWishes),
    responses((status = 200, description = "The link.", body = LinkBody)),
)]
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

/// Make a new one-time link for an OAuth member, by POST.
///
/// The same as `GET …/oauth_window_uri`, for callers whose libraries fetch GETs again. What the body
/// says wins over the query.
#[utoipa::path(
    post, path = "/users/{user_identifier}/members/{member_identifier}/oauth_authorization_url",
    operation_id = "platformOauthAuthorizationUrl", tag = "Platform API",
    params(UserMemberPath, WindowWishes),
    request_body = Option<WindowRequestBody>,
    responses((status = 200, description = "The link.", body = AuthorizationBody)),
)]
pub async fn oauth_authorization_url(
    State(door): State<Door>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Sent(body): Sent,
) -> Answer {
    let user = client.user(&door, &user).await?;
    client
        .scope(&door, &user, &headers)
        .authorize(&member, &query.unwrap_or_default(), &body)
        .await
}
