//! A user's members, by session.

use axum::Extension;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};

use crate::flow::idempotency::Origin;
use crate::http::app_state::AppState;
use crate::http::auth::NexusUser;
use crate::http::body::{Fields, Sent, webhook_choice};
use crate::http::json;
use crate::http::params::{CallbackHeader, MemberGuidPath, SkipWebhook};
use crate::http::problem::{ApiResult, Problem};
use crate::http::requests::{
    AnswersBody, MfaAnswersBody, NexusMemberChangeBody, NexusMemberRequestBody,
    OauthCompletionRequestBody, PullOptions, PullRequestBody, SilentRequestBody, WindowLinkOptions,
};
use crate::http::responses::{
    Empty, LinkBody, NexusChallengesBody, NexusCredentialsBody, NexusMemberBody, NexusMembersBody,
    OauthCompletionBody,
};

/// Create a member.
///
/// With `is_oauth` the member is PENDING, and the response has its one-time link. Without, its
/// `credentials` are encrypted and tried at once. Fields may be inside `member`, next to it, or at the
/// top level. A field next to `member` wins.
#[utoipa::path(
    post, path = "/members",
    operation_id = "nexusCreateMember", tag = "Nexus API",
    params(CallbackHeader, SkipWebhook),
    request_body = NexusMemberRequestBody,
    responses(
        (status = 200, description = "The member.", body = NexusMemberBody),
        (status = 422, description = "The institution is unknown; or the `external_guid` exists already, \
            or the user already has a member with that login, and `guid` names it."),
    ),
)]
pub async fn create(
    State(app): State<AppState>,
    user: NexusUser,
    origin: Option<Extension<Origin>>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    user.scope(&app, &headers)
        .create(&body, origin.map(|Extension(origin)| origin))
        .await
        .map_err(Problem::in_nexus)
}

/// List the user's members.
#[utoipa::path(
    get, path = "/members",
    operation_id = "nexusListMembers", tag = "Nexus API",
    responses((status = 200, description = "The members.", body = NexusMembersBody)),
)]
pub async fn list(State(app): State<AppState>, user: NexusUser, headers: HeaderMap) -> ApiResult {
    user.scope(&app, &headers)
        .list("")
        .await
        .map_err(Problem::in_nexus)
}

/// Read a member.
#[utoipa::path(
    get, path = "/members/{member_guid}",
    operation_id = "nexusReadMember", tag = "Nexus API", params(MemberGuidPath),
    responses((status = 200, description = "The member.", body = NexusMemberBody)),
)]
pub async fn read(
    State(app): State<AppState>,
    user: NexusUser,
    Path(member): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    user.scope(&app, &headers)
        .read(&member)
        .await
        .map_err(Problem::in_nexus)
}

/// Change a member.
///
/// Fields that are left out stay as they are; null removes `external_guid` or `metadata`. New
/// `credentials` make the member UPDATED and are tried at once, unless `skip_aggregation`; a running
/// job is replaced.
#[utoipa::path(
    put, path = "/members/{member_guid}",
    operation_id = "nexusUpdateMember", tag = "Nexus API",
    params(MemberGuidPath, CallbackHeader, SkipWebhook),
    request_body = NexusMemberChangeBody,
    responses(
        (status = 200, description = "The changed member.", body = NexusMemberBody),
        (status = 422, description = "The `external_guid` exists already, or the user already has a \
            member with that login: `guid` names it."),
    ),
)]
pub async fn update(
    State(app): State<AppState>,
    user: NexusUser,
    Path(member): Path<String>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    user.scope(&app, &headers)
        .update(&member, &body)
        .await
        .map_err(Problem::in_nexus)
}

/// Delete a member.
///
/// Its tokens or credentials are erased at once. A PENDING OAuth member is removed; any other is kept,
/// hidden, for 14 days.
#[utoipa::path(
    delete, path = "/members/{member_guid}",
    operation_id = "nexusDeleteMember", tag = "Nexus API", params(MemberGuidPath, SkipWebhook),
    request_body = Option<SilentRequestBody>,
    responses((status = 200, description = "Deleted.", body = Empty)),
)]
pub async fn delete(
    State(app): State<AppState>,
    user: NexusUser,
    Path(member): Path<String>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    let webhooks = match body.is_empty() {
        true => webhook_choice(&headers),
        false => Fields::parse(&body, "member")
            .and_then(|fields| Ok(fields.take::<SilentRequestBody>().webhooks(&headers)?))
            .map_err(Problem::in_nexus)?,
    };
    user.scope(&app, &headers)
        .delete(&member, webhooks)
        .await
        .map_err(Problem::in_nexus)?;
    Ok(json::response(&headers, StatusCode::OK, &Empty {}))
}

/// Aggregate a member.
///
/// If an aggregation is running already, no second one starts; the response is the same.
#[utoipa::path(
    get, path = "/members/{member_guid}/aggregate",
    operation_id = "nexusAggregateMember", tag = "Nexus API",
    params(MemberGuidPath, PullOptions, CallbackHeader, SkipWebhook),
    request_body = Option<PullRequestBody>,
    responses(
        (status = 200, description = "The member, being aggregated.", body = NexusMemberBody),
        (status = 403, description = "The member's `use_cases` do not include PFM."),
        (status = 405, description = "The member's status does not allow an aggregation."),
    ),
)]
pub async fn aggregate(
    State(app): State<AppState>,
    user: NexusUser,
    Path(member): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    user.scope(&app, &headers)
        .aggregate(&member, &query.unwrap_or_default(), &body)
        .await
        .map_err(Problem::in_nexus)
}

/// Aggregate a member: another name of the same operation.
#[utoipa::path(
    get, path = "/members/{member_guid}/refresh",
    operation_id = "nexusRefreshMember", tag = "Nexus API",
    params(MemberGuidPath, PullOptions, CallbackHeader, SkipWebhook),
    request_body = Option<PullRequestBody>,
    responses(
        (status = 200, description = "The member, being aggregated.", body = NexusMemberBody),
        (status = 403, description = "The member's `use_cases` do not include PFM."),
        (status = 405, description = "The member's status does not allow an aggregation."),
    ),
)]
pub async fn refresh(
    app: State<AppState>,
    user: NexusUser,
    member: Path<String>,
    query: RawQuery,
    headers: HeaderMap,
    body: Sent,
) -> ApiResult {
    aggregate(app, user, member, query, headers, body).await
}

/// Aggregate a member: the form that browsers use.
#[utoipa::path(
    post, path = "/members/{member_guid}/unthrottled_aggregate",
    operation_id = "nexusUnthrottledAggregate", tag = "Nexus API",
    params(MemberGuidPath, PullOptions, CallbackHeader, SkipWebhook),
    request_body = Option<PullRequestBody>,
    responses(
        (status = 200, description = "The member, being aggregated.", body = NexusMemberBody),
        (status = 403, description = "The member's `use_cases` do not include PFM."),
        (status = 405, description = "The member's status does not allow an aggregation."),
    ),
)]
pub async fn unthrottled_aggregate(
    app: State<AppState>,
    user: NexusUser,
    member: Path<String>,
    query: RawQuery,
    headers: HeaderMap,
    body: Sent,
) -> ApiResult {
    aggregate(app, user, member, query, headers, body).await
}

/// Aggregate all members of the user for which this is possible.
#[utoipa::path(
    get, path = "/members/aggregate",
    operation_id = "nexusAggregateMembers", tag = "Nexus API",
    params(PullOptions, CallbackHeader, SkipWebhook),
    request_body = Option<PullRequestBody>,
    responses(
        (status = 200, description = "All members, as they are now.", body = NexusMembersBody),
        (status = 405, description = "No aggregator is configured."),
    ),
)]
pub async fn aggregate_all(
    State(app): State<AppState>,
    user: NexusUser,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    user.scope(&app, &headers)
        .aggregate_all(&query.unwrap_or_default(), &body)
        .await
        .map_err(Problem::in_nexus)
}

/// List the questions that the member's institution is asking now.
#[utoipa::path(
    get, path = "/members/{member_guid}/challenges",
    operation_id = "nexusListChallenges", tag = "Nexus API", params(MemberGuidPath),
    responses((status = 200, description = "The questions.", body = NexusChallengesBody)),
)]
pub async fn challenges(
    State(app): State<AppState>,
    user: NexusUser,
    Path(member): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    user.scope(&app, &headers)
        .challenges(&member, "")
        .await
        .map_err(Problem::in_nexus)
}

/// Answer the questions of the member's institution.
///
/// The answers are encrypted, the member becomes RESUMED, and its job continues.
#[utoipa::path(
    put, path = "/members/{member_guid}/resume",
    operation_id = "nexusResumeMember", tag = "Nexus API",
    params(MemberGuidPath, CallbackHeader, SkipWebhook),
    request_body = AnswersBody,
    responses(
        (status = 200, description = "The member, RESUMED.", body = NexusMemberBody),
        (status = 405, description = "The member is not CHALLENGED."),
    ),
)]
pub async fn resume(
    State(app): State<AppState>,
    user: NexusUser,
    Path(member): Path<String>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    user.scope(&app, &headers)
        .resume(&member, &body)
        .await
        .map_err(Problem::in_nexus)
}

/// Answer the questions of the member's institution: an older form of `resume`.
///
/// MX's own widget uses it: the body is the whole member, with the answers under `credentials`. It may
/// have 256 kB, because the widget sends the pictures back.
#[utoipa::path(
    put, path = "/members/{member_guid}/update_mfa",
    operation_id = "nexusUpdateMfa", tag = "Nexus API",
    params(MemberGuidPath, CallbackHeader, SkipWebhook),
    request_body = MfaAnswersBody,
    responses(
        (status = 200, description = "The member, RESUMED.", body = NexusMemberBody),
        (status = 405, description = "The member is not CHALLENGED."),
    ),
)]
pub async fn update_mfa(
    State(app): State<AppState>,
    user: NexusUser,
    Path(member): Path<String>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    user.scope(&app, &headers)
        .update_mfa(&member, &body)
        .await
        .map_err(Problem::in_nexus)
}

/// List the fields of the member's sign-in, never their values.
#[utoipa::path(
    get, path = "/members/{member_guid}/credentials",
    operation_id = "nexusListMemberCredentials", tag = "Nexus API", params(MemberGuidPath),
    responses((status = 200, description = "The fields.", body = NexusCredentialsBody)),
)]
pub async fn credentials(
    State(app): State<AppState>,
    user: NexusUser,
    Path(member): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    user.scope(&app, &headers)
        .credentials(&member, "")
        .await
        .map_err(Problem::in_nexus)
}

/// List the fields of the member's sign-in, by the documented path.
#[utoipa::path(
    get, path = "/member/{member_guid}/credentials",
    operation_id = "nexusListCredentialsOfMember", tag = "Nexus API", params(MemberGuidPath),
    responses((status = 200, description = "The fields.", body = NexusCredentialsBody)),
)]
pub async fn credentials_of_one(
    app: State<AppState>,
    user: NexusUser,
    member: Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    credentials(app, user, member, headers).await
}

/// Confirm that the person who came back is the member's user.
///
/// For institutions with `completion = "confirm"`: the browser brings a handle back, as `completion`. Send it from the
/// session of the user who is signed in to your app in that same browser, never with the identifiers that came with
/// the handle alone. Only then the member is connected. A handle works once, for a minute or two; sending it again gives
/// the same response. With another user or member the flow is ended, and what was granted is given back.
#[utoipa::path(
    post, path = "/members/{member_guid}/oauth_completions",
    operation_id = "nexusCompleteOauth", tag = "Nexus API", params(MemberGuidPath),
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
    user: NexusUser,
    Path(member): Path<String>,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    user.scope(&app, &headers)
        .complete(&member, &body)
        .await
        .map_err(Problem::in_nexus)
}

/// Create a new one-time link for an OAuth member.
///
/// The member's earlier unfinished link is superseded.
#[utoipa::path(
    get, path = "/members/{member_guid}/oauth_window_uri",
    operation_id = "nexusOauthWindowUri", tag = "Nexus API", params(MemberGuidPath, WindowLinkOptions),
    responses((status = 200, description = "The link.", body = LinkBody)),
)]
pub async fn oauth_window_uri(
    State(app): State<AppState>,
    user: NexusUser,
    Path(member): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiResult {
    user.scope(&app, &headers)
        .mint(&member, &query.unwrap_or_default())
        .await
        .map_err(Problem::in_nexus)
}
