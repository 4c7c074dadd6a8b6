//! A new member.

use axum::http::{HeaderMap, StatusCode};

use super::Scope;
use crate::flow::access;
use crate::flow::idempotency::Origin;
use crate::flow::members::{self, CreateError, Created, InstitutionName, MemberRequest};
use crate::http::body::{AnyText, Field, Fields, callback_payload};
use crate::http::json;
use crate::http::problem::{ApiResult, Dialect, Problem};
use crate::http::requests::{NexusMemberRequestBody, PlatformMemberRequestBody, given};
use crate::http::responses::{NexusMember, NexusMemberBody, PlatformMember, PlatformMemberBody};

impl Scope<'_> {
    /// Creates a member: with its first link, or with its credentials and its first job.
    ///
    /// `origin` is the request with an `Idempotency-Key`, if it has one.
    pub async fn create(&self, body: &[u8], origin: Option<Origin>) -> ApiResult {
        access::enabled(self.user)?;
        let fields = Fields::parse(body, "member")?;
        let request = MemberRequest {
            origin,
            ..member_request(&fields, self.dialect, self.headers)?
        };
        let mint = || self.limits.mint(&self.client.id, self.user.guid, None);
        let _place = request.is_oauth.then(mint).transpose()?;
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
                Ok(self.member_response(status, &member))
            }
            Created::Linked(minted) => {
                // It will be aggregated automatically, once the person has agreed.
                let status = if skips {
                    StatusCode::OK
                } else {
                    self.accepted()
                };
                Ok(match self.dialect {
                    Dialect::Nexus => {
                        let member = NexusMember::linked(&minted);
                        json::response(self.headers, status, &NexusMemberBody { member })
                    }
                    Dialect::Platform => {
                        let member = PlatformMember::linked(&minted);
                        json::response(self.headers, status, &PlatformMemberBody { member })
                    }
                })
            }
        }
    }
}

/// The member that a body asks for.
fn member_request(
    fields: &Fields,
    dialect: Dialect,
    headers: &HeaderMap,
) -> Result<MemberRequest, Problem> {
    let (guid, code, own_name, new, jobs, link_options) = match dialect {
        Dialect::Nexus => {
            let all: NexusMemberRequestBody = fields.take();
            let it = all.member;
            let (guid, code) = (it.institution_guid, it.institution_code);
            (
                guid,
                code,
                it.external_guid,
                it.new,
                all.jobs,
                all.link_options,
            )
        }
        Dialect::Platform => {
            let all: PlatformMemberRequestBody = fields.take();
            let it = all.member;
            let (guid, code) = (it.institution_guid, it.institution_code);
            (guid, code, it.id, it.new, all.jobs, all.link_options)
        }
    };
    let background = new.background_aggregation_is_disabled.read()?;
    let skip_aggregation = new.skip_aggregation.read()?;
    Ok(MemberRequest {
        institution: institution(&guid, &code, dialect)?,
        is_oauth: new.is_oauth.read()?.unwrap_or(false),
        skip_aggregation: skip_aggregation.unwrap_or(false),
        name: new.name.read()?.filter(|name| !name.trim().is_empty()),
        external_guid: own_name.read()?,
        metadata: new.metadata.read()?,
        use_cases: new.use_cases.read()?.filter(|all| !all.is_empty()),
        background_aggregation_is_disabled: background.unwrap_or(false),
        // Real clients send an empty list with OAuth members (CONTRACT.md 8).
        credentials: Some(given(new.credentials.read()?)?).filter(|given| !given.is_empty()),
        data_request: jobs.pull.data_request(&jobs.data_request)?,
        callback_payload: callback_payload(headers)?,
        link_options: link_options.of_window(skip_aggregation)?,
        webhooks: jobs.silence.webhooks(headers)?,
        origin: None,
    })
}

/// Which institution a body names; malformed and unknown are both 422.
fn institution(
    guid: &Field<AnyText>,
    code: &Field<AnyText>,
    dialect: Dialect,
) -> Result<InstitutionName, Problem> {
    let unknown = |field: &Field<AnyText>, text: &str| {
        let named = format!("{} {text:?}", field.name());
        Problem::from(CreateError::UnknownInstitution(named))
    };
    if let Some(text) = guid.read()? {
        let parsed = text.parse().map(InstitutionName::Guid);
        return parsed.map_err(|_| unknown(guid, &text));
    }
    if let Some(text) = code.read()? {
        let parsed = text.parse().map(InstitutionName::Code);
        return parsed.map_err(|_| unknown(code, &text));
    }
    let preferred = match dialect {
        Dialect::Nexus => guid,
        Dialect::Platform => code,
    };
    Err(preferred
        .missing("say which institution the member is for")
        .into())
}
