//! Institutions: those this gateway is configured for (CONTRACT.md 1.4 and 2.4).

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::app_state::AppState;
use super::auth::{Caller, NexusUser, PlatformClient};
use super::body::{Fields, Sent};
use super::json;
use super::params::InstitutionPath;
use super::problem::{ApiResult, Dialect, Problem};
use super::requests::{InstitutionSearchBody, PagesQuery};
use super::responses::{
    CredentialResponse, CredentialsBody, InstitutionBody, InstitutionResponse, InstitutionsBody,
    NexusCredentialResponse, NexusCredentialsBody, Pagination, supports_oauth,
};
use crate::domain::client::Client;
use crate::domain::institution::Institution;
use crate::flow::Gateway;
use crate::flow::institutions::InstitutionFilter;

/// Search institutions.
///
/// Filter by a part of the name, by country, or both.
#[utoipa::path(
    post, path = "/institutions/search",
    operation_id = "nexusSearchInstitutions", tag = "Nexus API",
    params(InstitutionSearchBody),
    request_body = Option<InstitutionSearchBody>,
    responses((status = 200, description = "A page of institutions.", body = InstitutionsBody)),
)]
pub async fn search(
    State(app): State<AppState>,
    user: NexusUser,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    Sent(body): Sent,
) -> ApiResult {
    let fields = Fields::of_request(&body, &query.unwrap_or_default(), "institution");
    fields
        .and_then(|fields| found(&app.gateway, &user.client, &fields, &headers))
        .map_err(|problem| problem.in_dialect(Dialect::Nexus))
}

/// List institutions.
#[utoipa::path(
    get, path = "/institutions",
    operation_id = "platformListInstitutions", tag = "Platform API",
    params(InstitutionSearchBody),
    responses((status = 200, description = "A page of institutions.", body = InstitutionsBody)),
)]
pub async fn list(
    State(app): State<AppState>,
    PlatformClient { client, .. }: PlatformClient,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiResult {
    let fields = Fields::of_query(&query.unwrap_or_default());
    found(&app.gateway, &client, &fields, &headers)
}

/// The page of institutions that the request asks for.
fn found(gateway: &Gateway, client: &Client, fields: &Fields, headers: &HeaderMap) -> ApiResult {
    let search: InstitutionSearchBody = fields.take();
    let countries = search.iso_country_code.read()?.unwrap_or_default();
    let filter = InstitutionFilter::new(search.name.read()?, countries);
    let has_oauth = search.supports_oauth.read()?;
    let is_wanted = |institution: &&Arc<Institution>| {
        has_oauth.is_none_or(|wanted| supports_oauth(client, institution) == wanted)
    };
    let page = search.pages.page();
    let paged = page.of(gateway.institutions.listed(&filter).filter(is_wanted));
    let institutions = paged.items.iter();
    let body = InstitutionsBody {
        institutions: institutions
            .map(|institution| InstitutionResponse::of(gateway, client, institution))
            .collect(),
        pagination: Pagination::of(page, &paged),
    };
    Ok(json::response(headers, StatusCode::OK, &body))
}

/// Read an institution, by guid or by code.
#[utoipa::path(
    get, path = "/institutions/{institution_identifier}",
    operation_id = "readInstitution", tag = "Both APIs", params(InstitutionPath),
    responses((status = 200, description = "The institution.", body = InstitutionBody)),
)]
pub async fn read(
    State(app): State<AppState>,
    caller: Caller,
    Path(identifier): Path<String>,
    headers: HeaderMap,
) -> ApiResult {
    let institution = named(&app.gateway, &identifier, caller.dialect())?;
    let body = InstitutionBody {
        institution: InstitutionResponse::of(&app.gateway, caller.client(), institution),
    };
    Ok(json::response(&headers, StatusCode::OK, &body))
}

/// List the fields of an institution's sign-in.
///
/// `field_type` is a number for a session and a name for an API key.
#[utoipa::path(
    get, path = "/institutions/{institution_identifier}/credentials",
    operation_id = "listInstitutionCredentials", tag = "Both APIs",
    params(InstitutionPath, PagesQuery),
    responses((status = 200, description = "The fields.", body = EitherCredentialsBody)),
)]
pub async fn credentials(
    State(app): State<AppState>,
    caller: Caller,
    Path(identifier): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> ApiResult {
    let dialect = caller.dialect();
    let institution = named(&app.gateway, &identifier, dialect)?;
    let query = query.unwrap_or_default();
    Ok(credentials_response(&headers, dialect, institution, &query))
}

/// The fields, in the form of the caller's API.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum EitherCredentialsBody<'a> {
    /// For a session.
    Nexus(NexusCredentialsBody<'a>),
    /// For an API key.
    Platform(CredentialsBody<'a>),
}

/// The institution's fields; in the Platform API in pages.
pub fn credentials_response(
    headers: &HeaderMap,
    dialect: Dialect,
    institution: &Institution,
    query: &str,
) -> Response {
    let fields = &institution.credentials;
    let body = match dialect {
        Dialect::Nexus => EitherCredentialsBody::Nexus(NexusCredentialsBody {
            credentials: NexusCredentialResponse::list(institution.guid, fields),
        }),
        Dialect::Platform => {
            let page = Fields::of_query(query).take::<PagesQuery>().page();
            let paged = page.of(CredentialResponse::list(fields));
            EitherCredentialsBody::Platform(CredentialsBody {
                pagination: Pagination::of(page, &paged),
                credentials: paged.items,
            })
        }
    };
    json::response(headers, StatusCode::OK, &body)
}

fn named<'a>(
    gateway: &'a Gateway,
    identifier: &str,
    dialect: Dialect,
) -> Result<&'a Institution, Problem> {
    let institutions = &gateway.institutions;
    let by_guid = identifier.parse().ok();
    let by_guid = by_guid.and_then(|guid| institutions.by_guid(guid));
    let by_code = || {
        let code = identifier.parse().ok()?;
        institutions.get(&code)
    };
    let found = by_guid.or_else(by_code).map(|institution| &**institution);
    found.ok_or_else(|| Problem::not_found("institution").in_dialect(dialect))
}
