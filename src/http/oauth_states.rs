//! OAuth states: what a member service polls (CONTRACT.md 6.1).
//!
//! A session sees the states of its user; an API key sees those of the user, member or state that the
//! request names. A member that was merged into another no longer exists: its states are found by the
//! user.

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::app_state::AppState;
use super::auth::Caller;
use super::body::Fields;
use super::json;
use super::params::OauthStatePath;
use super::problem::{Kind, Problem};
use super::requests::OauthStatesQuery;
use super::responses::{OauthStateBody, OauthStateResponse, OauthStatesBody};
use crate::domain::id::{MemberGuid, OauthStateGuid};
use crate::domain::window::Window;
use crate::flow::{Internal, WindowQuery, access, oauth_states};

/// The most states in one list.
const MOST: usize = 100;

/// List OAuth states, newest first.
#[utoipa::path(
    get, path = "/oauth_states",
    operation_id = "listOauthStates", tag = "Both APIs", params(OauthStatesQuery),
    responses((status = 200, description = "The states, at most 100.", body = OauthStatesBody)),
)]
pub async fn list(
    State(app): State<AppState>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let dialect = caller.dialect();
    let states = listed(&app, &caller, &query.unwrap_or_default()).await;
    let states = states.map_err(|problem| problem.in_dialect(dialect))?;
    Ok(json::response(
        &headers,
        StatusCode::OK,
        &OauthStatesBody {
            oauth_states: states,
        },
    ))
}

async fn listed(
    app: &AppState,
    caller: &Caller,
    query: &str,
) -> Result<Vec<OauthStateResponse>, Problem> {
    let asked: OauthStatesQuery = Fields::of_query(query).take();
    let member = asked.outbound_member_guid.read()?;
    let member: Option<MemberGuid> = match member.map(|text| text.parse()) {
        None => None,
        Some(Ok(guid)) => Some(guid),
        // An invalid guid finds no member, so the list is empty.
        Some(Err(_)) => return Ok(Vec::new()),
    };
    let auth_status = asked.auth_status.read()?;
    let query = WindowQuery {
        member,
        auth_status,
        limit: MOST,
    };
    let user = match caller {
        Caller::Nexus(nexus) => Some(nexus.user.guid),
        Caller::Platform(caller) => {
            let client = &caller.client.id;
            match (asked.user_guid.read()?, member) {
                (Some(user), _) => {
                    let user = access::user(&app.gateway, client, &user).await?;
                    user.map(|user| user.guid)
                }
                (None, Some(member)) => {
                    oauth_states::user_of_member(&app.gateway, client, member).await?
                }
                (None, None) => {
                    let remedy = "with an API key, say whose OAuth states you want";
                    let or = asked.outbound_member_guid.missing(remedy);
                    let message = format!("{} or {or}", asked.user_guid.name());
                    return Err(Problem::new(Kind::Missing, message));
                }
            }
        }
    };
    let Some(user) = user else {
        return Ok(Vec::new());
    };
    let windows = oauth_states::list(&app.gateway, user, query).await?;
    Ok(windows.iter().map(OauthStateResponse::from).collect())
}

/// Read an OAuth state.
#[utoipa::path(
    get, path = "/oauth_states/{guid}",
    operation_id = "readOauthState", tag = "Both APIs", params(OauthStatePath),
    responses((status = 200, description = "The state.", body = OauthStateBody)),
)]
pub async fn read(
    State(app): State<AppState>,
    caller: Caller,
    Path(guid): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let dialect = caller.dialect();
    let absent = || Problem::not_found("OAuth state").in_dialect(dialect);
    let guid: OauthStateGuid = guid.parse().map_err(|_| absent())?;
    let window = found(&app, &caller, guid)
        .await
        .map_err(|error| Problem::from(error).in_dialect(dialect))?;
    let window = window.ok_or_else(absent)?;
    Ok(json::response(
        &headers,
        StatusCode::OK,
        &OauthStateBody {
            oauth_state: OauthStateResponse::from(&window),
        },
    ))
}

async fn found(
    app: &AppState,
    caller: &Caller,
    guid: OauthStateGuid,
) -> Result<Option<Window>, Internal> {
    let gateway = &app.gateway;
    let user = match caller {
        Caller::Nexus(nexus) => Some(nexus.user.guid),
        Caller::Platform(caller) => {
            oauth_states::user_of_window(gateway, &caller.client.id, guid).await?
        }
    };
    match user {
        Some(user) => oauth_states::read(gateway, user, guid).await,
        None => Ok(None),
    }
}
