//! The documented JSON of members, users and OAuth states (contract sections 1.2, 2.4 and 6.1).

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::problem::Dialect;
use crate::domain::iso8601;
use crate::domain::member::{ConnectionStatus, Member};
use crate::domain::user::User;
use crate::flow::Gateway;
use crate::flow::mint::Minted;
use crate::store::{PageRequest, Paged};

/// A JSON answer, in the media type that the caller speaks.
pub fn answer(headers: &HeaderMap, status: StatusCode, body: &Value) -> Response {
    let mut response = (status, body.to_string()).into_response();
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(media_type(headers)),
    );
    response
}

/// The vendor types that clients are known to ask for; anything else gets plain JSON.
fn media_type(headers: &HeaderMap) -> &'static str {
    const SPOKEN: [&str; 7] = [
        "application/vnd.mx.nexus.v1+json",
        "application/vnd.moneydesktop.v1+json",
        "application/vnd.moneydesktop.v2+json",
        "application/vnd.moneydesktop.sso.v3+json",
        "application/vnd.mx.api.v1+json",
        "application/vnd.mx.api.v2+json",
        "application/vnd.mx.api.v2beta+json",
    ];
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let asked = accept
        .split(',')
        .map(|range| range.split(';').next().unwrap_or_default().trim());
    let mut spoken = asked.filter_map(|range| {
        SPOKEN
            .iter()
            .find(|known| range.eq_ignore_ascii_case(known))
    });
    spoken
        .next()
        .copied()
        .unwrap_or("application/json; charset=utf-8")
}

/// A member. `oauth_window_uri` is shown by the answer that minted it and null ever after: only its
/// digest is kept.
pub fn member(
    gateway: &Gateway,
    dialect: Dialect,
    member: &Member,
    oauth_window_uri: Option<&url::Url>,
) -> Value {
    let institution = gateway.institutions.get(&member.institution);
    let institution_name = institution.map_or(member.name.as_str(), |institution| {
        institution.name.as_str()
    });
    let needs_updated_credentials = !member.is_oauth
        && matches!(
            member.status,
            ConnectionStatus::Denied | ConnectionStatus::Prevented | ConnectionStatus::Imported
        );
    let mut fields = json!({
        "aggregated_at": member.aggregated_at.map(iso8601),
        "background_aggregation_is_disabled": member.background_aggregation_is_disabled,
        "connection_status": member.status.name(),
        "connection_status_id": member.status.id(),
        "connection_status_message": member.status.message(institution_name),
        "created_at": iso8601(member.created_at),
        "guid": member.guid,
        "institution_code": member.institution,
        "institution_guid": member.institution_guid,
        "is_being_aggregated": member.is_being_aggregated(),
        "is_managed_by_user": true,
        "is_manual": false,
        "is_oauth": member.is_oauth,
        "is_user_created": true,
        "metadata": member.metadata,
        "most_recent_job_guid": member.most_recent_job,
        "name": member.name,
        "needs_updated_credentials": needs_updated_credentials,
        "oauth_window_uri": oauth_window_uri.map(url::Url::as_str),
        "revision": member.revision,
        "successfully_aggregated_at": member.successfully_aggregated_at.map(iso8601),
        "use_cases": member.use_cases,
        "user_guid": member.user,
    });
    match dialect {
        Dialect::Nexus => fields["external_guid"] = json!(member.external_guid),
        Dialect::Platform => {
            fields["id"] = json!(member.external_guid);
            fields["user_id"] = json!(member.user_id);
        }
    }
    fields
}

/// The short form that a mint answers: guid and link, and the OAuth state to poll.
pub fn link(minted: &Minted) -> Value {
    json!({"member": {
        "guid": minted.member.guid,
        "oauth_window_uri": minted.oauth_window_uri.as_str(),
        "oauth_state_guid": minted.oauth_state,
        "expires_at": iso8601(minted.expires_at),
    }})
}

/// A member that was just created, with its link and the OAuth state to poll.
pub fn created_member(gateway: &Gateway, dialect: Dialect, minted: &Minted) -> Value {
    let mut fields = member(
        gateway,
        dialect,
        &minted.member,
        Some(&minted.oauth_window_uri),
    );
    fields["oauth_state_guid"] = json!(minted.oauth_state);
    json!({"member": fields})
}

/// A user.
pub fn user(user: &User) -> Value {
    json!({
        "created_at": iso8601(user.created_at),
        "email": user.email,
        "guid": user.guid,
        "id": user.id,
        "is_disabled": user.is_disabled,
        "metadata": user.metadata,
    })
}

/// The pagination object of a listing.
pub fn pagination<T>(page: PageRequest, paged: &Paged<T>) -> Value {
    json!({
        "current_page": page.page,
        "per_page": page.per_page,
        "total_entries": paged.total,
        "total_pages": paged.total.div_ceil(u64::from(page.per_page)).max(1),
    })
}

/// One page of what is already in memory.
pub fn page_of<T>(all: Vec<T>, page: PageRequest) -> Paged<T> {
    let total = all.len() as u64;
    let skipped = (page.page as usize - 1).saturating_mul(page.per_page as usize);
    Paged {
        items: all
            .into_iter()
            .skip(skipped)
            .take(page.per_page as usize)
            .collect(),
        total,
    }
}
