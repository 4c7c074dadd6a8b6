//! What both APIs do with members: a request read, a verb called, an answer written.

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::body::Fields;
use super::json;
use super::limits::Limits;
use super::problem::{Dialect, Kind, Problem};
use crate::domain::client::Client;
use crate::domain::id::MemberGuid;
use crate::domain::user::User;
use crate::flow::members::{self, InstitutionName, MemberRequest};
use crate::flow::{Gateway, Telling, mint};

/// Whose member a request is about, and in which words it is answered.
pub struct Scope<'a> {
    /// The gateway.
    pub gateway: &'a Gateway,
    /// How much is too much.
    pub limits: &'a Limits,
    /// The tenant.
    pub client: &'a Client,
    /// The user.
    pub user: &'a User,
    /// The envelope and field names.
    pub dialect: Dialect,
    /// The request's headers.
    pub headers: &'a HeaderMap,
}

impl Scope<'_> {
    /// Creates a member and its first link.
    pub async fn create(&self, body: &[u8]) -> Result<Response, Problem> {
        let fields = Fields::parse(body, "member")?;
        let request = self.member_request(&fields)?;
        self.limits.mint(&self.client.id, None)?;
        let skips = request.skip_aggregation;
        let minted = members::create(self.gateway, self.client, self.user, request).await;
        let minted = minted.map_err(|error| match (error, self.dialect) {
            // Platform says 409 where Nexus says 422 (contract section 9).
            (error @ members::CreateError::ExternalGuidTaken(existing), Dialect::Platform) => {
                Problem::new(
                    Kind::Conflict,
                    format!("{error}.").replace("external_guid", "id"),
                )
                .about(existing)
            }
            (error, _) => error.into(),
        })?;
        let minted = match minted {
            members::Created::Linked(minted) => *minted,
            members::Created::Standard(_) => todo!(),
        };
        let status = match self.dialect {
            Dialect::Platform if !skips => StatusCode::ACCEPTED,
            Dialect::Platform | Dialect::Nexus => StatusCode::OK,
        };
        Ok(json::answer(
            self.headers,
            status,
            &json::created_member(self.gateway, self.dialect, &minted),
        ))
    }

    fn member_request(&self, fields: &Fields) -> Result<MemberRequest, Problem> {
        let external_guid = match self.dialect {
            Dialect::Nexus => fields.short_text("external_guid", 255)?,
            Dialect::Platform => fields.short_text("id", 255)?,
        };
        Ok(MemberRequest {
            institution: institution(fields, self.dialect)?,
            is_oauth: fields.flag("is_oauth")?.unwrap_or(false),
            skip_aggregation: fields.flag("skip_aggregation")?.unwrap_or(false),
            name: fields
                .short_text("name", 255)?
                .filter(|name| !name.trim().is_empty()),
            external_guid,
            metadata: fields.metadata()?,
            use_cases: fields.use_cases()?,
            background_aggregation_is_disabled: fields
                .flag("background_aggregation_is_disabled")?
                .unwrap_or(false),
            credentials: None,
            data_request: Default::default(),
            callback_payload: None,
            wishes: fields.wishes()?,
            telling: fields.telling(self.headers)?,
        })
    }

    /// Mints a new link for a member.
    pub async fn mint(&self, member: &str, query: &str) -> Result<Response, Problem> {
        let wishes = Fields::of_query(query).wishes()?;
        let member = member_guid(member)?;
        self.limits.mint(&self.client.id, Some(member))?;
        let minted = mint::mint(self.gateway, self.client, self.user.guid, member, wishes).await?;
        Ok(json::answer(
            self.headers,
            StatusCode::OK,
            &json::link(&minted),
        ))
    }

    /// One member.
    pub async fn read(&self, member: &str) -> Result<Response, Problem> {
        let found = self
            .gateway
            .store
            .member(self.user.guid, member_guid(member)?)
            .await?;
        let found = found.ok_or_else(|| Problem::not_found("member"))?;
        let body = json!({"member": json::member(self.gateway, self.dialect, &found, None)});
        Ok(json::answer(self.headers, StatusCode::OK, &body))
    }

    /// The user's members; Platform wants them in pages.
    pub async fn list(&self, query: &str) -> Result<Response, Problem> {
        let all = self.gateway.store.members(self.user.guid).await?;
        let show = |member| json::member(self.gateway, self.dialect, member, None);
        let body = match self.dialect {
            Dialect::Nexus => json!({"members": all.iter().map(show).collect::<Vec<_>>()}),
            Dialect::Platform => {
                let page = Fields::of_query(query).page();
                let paged = json::page_of(all, page);
                let pagination = json::pagination(page, &paged);
                json!({"members": paged.items.iter().map(show).collect::<Vec<_>>(), "pagination": pagination})
            }
        };
        Ok(json::answer(self.headers, StatusCode::OK, &body))
    }

    /// Deletes a member.
    pub async fn delete(&self, member: &str, telling: Telling) -> Result<(), Problem> {
        let member = member_guid(member)?;
        let deleted =
            members::delete(self.gateway, self.client, self.user, member, telling).await?;
        deleted
            .map(drop)
            .ok_or_else(|| Problem::not_found("member"))
    }
}

/// A member's guid in a path; a malformed one is as absent as an unknown one.
fn member_guid(text: &str) -> Result<MemberGuid, Problem> {
    text.parse().map_err(|_| Problem::not_found("member"))
}

/// Which institution a body names; malformed and unknown are both 422.
fn institution(fields: &Fields, dialect: Dialect) -> Result<InstitutionName, Problem> {
    let unknown = |field: &str, text: &str| {
        Problem::from(members::CreateError::UnknownInstitution(format!(
            "{field} {text:?}"
        )))
    };
    if let Some(guid) = fields.text("institution_guid")? {
        return guid
            .parse()
            .map(InstitutionName::Guid)
            .map_err(|_| unknown("institution_guid", &guid));
    }
    if let Some(code) = fields.text("institution_code")? {
        return code
            .parse()
            .map(InstitutionName::Code)
            .map_err(|_| unknown("institution_code", &code));
    }
    Err(match dialect {
        Dialect::Nexus => Problem::missing(
            "institution_guid",
            "say which institution the member is for",
        ),
        Dialect::Platform => Problem::missing(
            "institution_code",
            "say which institution the member is for",
        ),
    })
}
