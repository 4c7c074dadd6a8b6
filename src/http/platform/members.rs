//! A user's members, by the client's API key. `{member}` is a guid or the client's own `id`.

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use crate::flow::idempotency::Origin;
use crate::http::app_state::AppState;
use crate::http::auth::PlatformClient;
use crate::http::body::{Sent, webhook_choice};
use crate::http::members::complete;
use crate::http::params::{CallbackHeader, SkipWebhook, UserMemberPath, UserPath};
use crate::http::problem::ApiResult;
use crate::http::requests::{
    AnswersBody, OauthCompletionRequestBody, PagesQuery, PlatformMemberChangeBody,
    PlatformMemberRequestBody, PullOptions, PullRequestBody, UseCaseQuery, WindowLinkOptions,
};
use crate::http::responses::{
    AuthorizationBody, ChallengesBody, CredentialsBody, LinkBody, MemberStatusBody,
    OauthCompletionBody, PlatformMemberBody, PlatformMembersBody,
};

/// Create a member.
///
/// With `is_oauth` the member is PENDING, and the response has its one-time link. Without, its
/// `credentials` are encrypted and tried at once. Fields may be inside `member`, next to it, or at the
/// top level. A field next to `member` wins.
#[utoipa::path(
    post, path = "/users/{user_identifier}/members",
    operation_id = "platformCreateMember", tag = "Platform API",
    params(UserPath, CallbackHeader, SkipWebhook),
    request_body = PlatformMemberRequestBody,
    responses(
        (status = 200, description = "The member; no aggregation was started.", body = PlatformMemberBody),
        (status = 202, description = "The member. Its aggregation has started, or starts when the \
            person has agreed.", body = PlatformMemberBody),
        (status = 409, description = "The `id` exists already, or the user already has a member with \
            that login: `guid` names it."),
        (status = 422, description = "The institution is unknown."),
    ),
)]
pub async fn create(
    State(app): State<AppState>,
    client: PlatformClient,
    Path(user): Path<String>,
    origin: Option<Extension<Origin>>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client
        .scope(&app, &user, &headers)
        .create(&body, origin.map(|Extension(origin)| origin))
        .await
}

/// List a user's members, oldest first.
#[utoipa::path(
    get, path = "/users/{user_identifier}/members",
    operation_id = "platformListMembers", tag = "Platform API",
    params(UserPath, PagesQuery, UseCaseQuery),
    responses((status = 200, description = "A page of members.", body = PlatformMembersBody)),
)]
pub async fn list(
    State(app): State<AppState>,
    client: PlatformClient,
    Path(user): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client
        .scope(&app, &user, &headers)
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
    State(app): State<AppState>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client.scope(&app, &user, &headers).read(&member).await
}

/// Change a member.
///
/// Fields that are left out stay as they are; null removes `id` or `metadata`. New `credentials` make
/// the member UPDATED and are tried at once, unless `skip_aggregation`; a running job is replaced.
#[utoipa::path(
    put, path = "/users/{user_identifier}/members/{member_identifier}",
    operation_id = "platformUpdateMember", tag = "Platform API",
    params(UserMemberPath, CallbackHeader, SkipWebhook),
    request_body = PlatformMemberChangeBody,
    responses(
        (status = 200, description = "The changed member.", body = PlatformMemberBody),
        (status = 409, description = "The `id` exists already, or the user already has a member with \
            that login: `guid` names it."),
    ),
)]
pub async fn update(
    State(app): State<AppState>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client
        .scope(&app, &user, &headers)
        .update(&member, &body)
        .await
}

/// Delete a member.
///
/// Its tokens or credentials are erased at once. A PENDING OAuth member is removed; any other is kept,
/// hidden, for 14 days.
#[utoipa::path(
    delete, path = "/users/{user_identifier}/members/{member_identifier}",
    operation_id = "platformDeleteMember", tag = "Platform API",
    params(UserMemberPath, SkipWebhook),
    responses((status = 204, description = "Deleted.")),
)]
pub async fn delete(
    State(app): State<AppState>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client
        .scope(&app, &user, &headers)
        .delete(&member, webhook_choice(&headers))
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Read a member's status.
#[utoipa::path(
    get, path = "/users/{user_identifier}/members/{member_identifier}/status",
    operation_id = "platformReadMemberStatus", tag = "Platform API", params(UserMemberPath),
    responses((status = 200, description = "The status.", body = MemberStatusBody)),
)]
pub async fn status(
    State(app): State<AppState>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client.scope(&app, &user, &headers).status(&member).await
}

/// Aggregate a member.
///
/// If an aggregation is running already, no second one starts; the response is the same.
#[utoipa::path(
    post, path = "/users/{user_identifier}/members/{member_identifier}/aggregate",
    operation_id = "platformAggregateMember", tag = "Platform API",
    params(UserMemberPath, PullOptions, CallbackHeader, SkipWebhook),
    request_body = Option<PullRequestBody>,
    responses(
        (status = 202, description = "The member, being aggregated.", body = PlatformMemberBody),
        (status = 403, description = "The member's `use_cases` do not include PFM."),
        (status = 405, description = "The member's status does not allow an aggregation."),
    ),
)]
pub async fn aggregate(
    State(app): State<AppState>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client
        .scope(&app, &user, &headers)
        .aggregate(&member, &query.unwrap_or_default(), &body)
        .await
}

/// List the questions that the member's institution is asking now.
#[utoipa::path(
    get, path = "/users/{user_identifier}/members/{member_identifier}/challenges",
    operation_id = "platformListChallenges", tag = "Platform API",
    params(UserMemberPath, PagesQuery),
    responses((status = 200, description = "The questions.", body = ChallengesBody)),
)]
pub async fn challenges(
    State(app): State<AppState>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client
        .scope(&app, &user, &headers)
        .challenges(&member, &query.unwrap_or_default())
        .await
}

/// Answer the questions of the member's institution.
///
/// The answers are encrypted, the member becomes RESUMED, and its job continues.
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
    State(app): State<AppState>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client
        .scope(&app, &user, &headers)
        .resume(&member, &body)
        .await
}

/// List the fields of the member's sign-in, never their values.
#[utoipa::path(
    get, path = "/users/{user_identifier}/members/{member_identifier}/credentials",
    operation_id = "platformListMemberCredentials", tag = "Platform API",
    params(UserMemberPath, PagesQuery),
    responses((status = 200, description = "The fields.", body = CredentialsBody)),
)]
pub async fn credentials(
    State(app): State<AppState>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client
        .scope(&app, &user, &headers)
        .credentials(&member, &query.unwrap_or_default())
        .await
}

/// Confirm that the person who came back is the member's user.
///
/// For institutions with `completion = "confirm"`: the browser brings a handle back, as `completion`. Send it from the
/// session of the user who is signed in to your app in that same browser, never with the identifiers that came with
/// the handle alone. Only then the member is connected. A handle works once, for a minute or two; sending it again gives
/// the same response. With another user or member the flow is ended, and what was granted is given back.
#[utoipa::path(
    post, path = "/users/{user_identifier}/members/{member_identifier}/oauth_completions",
    operation_id = "platformCompleteOauth", tag = "Platform API",
    params(UserMemberPath),
    request_body = OauthCompletionRequestBody,
    responses(
        (status = 200, description = "The member is connected.", body = OauthCompletionBody),
        (status = 202, description = "The confirmation is accepted, and the institution has not answered yet: an event \
            tells the outcome, and so does the OAuth state.", body = OauthCompletionBody),
        (status = 422, description = "The confirmation is accepted, and the flow failed: `error_reason` says why."),
    ),
)]
pub async fn oauth_completions(
    State(app): State<AppState>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    match client.user(&app, &user).await {
        Ok(user) => {
            let scope = client.scope(&app, &user, &headers);
            scope.complete(&member, &body).await
        }
        // Nobody is another user than the window's, too.
        Err(problem) if problem.is_not_found() => {
            let (gateway, nobody) = (&app.gateway, (None, None));
            complete(gateway, &client.client, &headers, nobody, &body).await
        }
        Err(problem) => Err(problem),
    }
}

/// Create a new one-time link for an OAuth member.
///
/// The member's earlier unfinished link is superseded.
#[utoipa::path(
    get, path = "/users/{user_identifier}/members/{member_identifier}/oauth_window_uri",
    operation_id = "platformOauthWindowUri", tag = "Platform API",
    params(UserMemberPath, WindowLinkOptions),
    responses((status = 200, description = "The link.", body = LinkBody)),
)]
pub async fn oauth_window_uri(
    State(app): State<AppState>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client
        .scope(&app, &user, &headers)
        .mint(&member, &query.unwrap_or_default())
        .await
}

/// Create a new one-time link for an OAuth member, by POST.
///
/// Same as `GET …/oauth_window_uri`, as a POST: for clients whose libraries repeat a GET. A field in the
/// body wins over the same parameter of the query.
#[utoipa::path(
    post, path = "/users/{user_identifier}/members/{member_identifier}/oauth_authorization_url",
    operation_id = "platformOauthAuthorizationUrl", tag = "Platform API",
    params(UserMemberPath, WindowLinkOptions),
    request_body = Option<WindowLinkOptions>,
    responses((status = 200, description = "The link.", body = AuthorizationBody)),
)]
pub async fn oauth_authorization_url(
    State(app): State<AppState>,
    client: PlatformClient,
    Path((user, member)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    let user = client.user(&app, &user).await?;
    client
        .scope(&app, &user, &headers)
        .authorize(&member, &query.unwrap_or_default(), &body)
        .await
}
