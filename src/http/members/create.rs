//! A new member.

use axum::http::{HeaderMap, StatusCode};

use super::{Scope, own_name};
use crate::domain::id::MemberGuid;
use crate::flow::access;
use crate::flow::members::{self, CreateError, Created, InstitutionName, MemberRequest};
use crate::http::answers::{NexusMember, NexusMemberBody, PlatformMember, PlatformMemberBody};
use crate::http::body::{Fields, LONGEST_NAME, callback_payload};
use crate::http::json;
use crate::http::problem::{Answer, Dialect, Problem};

impl Scope<'_> {
    /// Creates a member: with its first link, or with its credentials and its first job.
    pub async fn create(&self, body: &[u8]) -> Answer {
        access::enabled(self.user)?;
        let fields = Fields::parse(body, "member")?;
        let request = member_request(&fields, self.dialect, self.headers)?;
        if request.is_oauth {
            self.limits.mint(&self.client.id, self.user.guid, None)?;
        }
        let skips = request.skip_aggregation;
        let created = match members::create(self.gateway, self.client, self.user, request).await {
            Err(error @ CreateError::ExternalGuidTaken(holder)) => {
                return Err(self.name_taken(error, holder).await);
            }
            created => created?,
        };
        match created {
            Created::Standard(member) => {
                let status = match member.is_being_aggregated() {
                    true => self.accepted(),
                    false => StatusCode::OK,
                };
                Ok(self.member_answer(status, &member))
            }
            Created::Linked(minted) => {
                // It will be aggregated by itself, once the person has agreed.
                let status = if skips {
                    StatusCode::OK
                } else {
                    self.accepted()
                };
                Ok(match self.dialect {
                    Dialect::Nexus => {
                        let member = NexusMember::linked(&minted);
                        json::answer(self.headers, status, &NexusMemberBody { member })
                    }
                    Dialect::Platform => {
                        let member = PlatformMember::linked(&minted);
                        json::answer(self.headers, status, &PlatformMemberBody { member })
                    }
                })
            }
        }
    }
}

/// The member that a body asks for.
pub(super) fn member_request(
    fields: &Fields,
    dialect: Dialect,
    headers: &HeaderMap,
) -> Result<MemberRequest, Problem> {
    let name = fields.short_text("name", LONGEST_NAME)?;
    Ok(MemberRequest {
        institution: institution(fields, dialect)?,
        is_oauth: fields.flag("is_oauth")?.unwrap_or(false),
        skip_aggregation: fields.flag("skip_aggregation")?.unwrap_or(false),
        name: name.filter(|name| !name.trim().is_empty()),
        external_guid: fields.own_name::<MemberGuid>(own_name(dialect))?,
        metadata: fields.metadata()?,
        use_cases: fields.use_cases()?,
        background_aggregation_is_disabled: fields
            .flag("background_aggregation_is_disabled")?
            .unwrap_or(false),
        // Real clients send an empty list with OAuth members (contract section 8).
        credentials: fields
            .given("credentials")?
            .filter(|given| !given.is_empty()),
        data_request: fields.data_request()?,
        callback_payload: callback_payload(headers)?,
        wishes: fields.wishes()?,
        telling: fields.telling(headers)?,
    })
}

/// Which institution a body names; malformed and unknown are both 422.
fn institution(fields: &Fields, dialect: Dialect) -> Result<InstitutionName, Problem> {
    let unknown = |field: &str, text: &str| {
        Problem::from(CreateError::UnknownInstitution(format!("{field} {text:?}")))
    };
    let guid = fields.text("institution_guid")?;
    let code = fields.text("institution_code")?;
    let remedy = "say which institution the member is for";
    match (guid, code, dialect) {
        (Some(guid), _, _) => guid
            .parse()
            .map(InstitutionName::Guid)
            .map_err(|_| unknown("institution_guid", &guid)),
        (None, Some(code), _) => code
            .parse()
            .map(InstitutionName::Code)
            .map_err(|_| unknown("institution_code", &code)),
        (None, None, Dialect::Nexus) => Err(Problem::missing("institution_guid", remedy)),
        (None, None, Dialect::Platform) => Err(Problem::missing("institution_code", remedy)),
    }
}
