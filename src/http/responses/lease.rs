//! The responses to the aggregator (`docs/AGGREGATION.md`).

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use crate::domain::credential::{Credential, Credentials};
use crate::domain::data_request::Product;
use crate::domain::id::{CredentialGuid, InstitutionCode, JobGuid, MemberGuid, UserGuid};
use crate::domain::iso8601;
use crate::flow::aggregate::{Access, Leased};
use crate::http::body::{SomeOf, property};

/// The token or credentials for one job.
#[derive(Serialize, ToSchema)]
pub struct LeaseBody<'a> {
    /// The answers to the questions of the round before; null in round 0.
    #[schema(required)]
    answers: Option<Vec<LentValue<'a>>>,
    /// The credentials of the member; missing for an OAuth member.
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<Vec<LentValue<'a>>>,
    /// The data that the client asks for; if empty, pull what you usually pull.
    data_request: PullRequest<'a>,
    /// The institution, by code.
    #[schema(value_type = String, example = "mxbank")]
    institution_code: &'a InstitutionCode,
    /// The job.
    #[schema(value_type = String, pattern = "^JOB-[0-9a-f-]{36}$", example = "JOB-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    job_guid: JobGuid,
    /// The job's deadline.
    #[schema(format = DateTime, example = "2026-03-01T09:40:00+00:00")]
    lease_expires_at: String,
    /// The member whose data is pulled.
    #[schema(value_type = String, pattern = "^MBR-[0-9a-f-]{36}$", example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    member_guid: MemberGuid,
    /// How many times the institution has asked a question that was answered.
    #[schema(example = 0)]
    round: u32,
    #[serde(flatten)]
    #[schema(value_type = LentToken)]
    token: Option<LentToken<'a>>,
    /// The user of the member.
    #[schema(value_type = String, pattern = "^USR-[0-9a-f-]{36}$", example = "USR-0e7cdc7c-9e9d-4c61-8fb4-5e7e3a01d2f0")]
    user_guid: UserGuid,
}

/// The data that a job asks for, as the aggregator gets it.
#[derive(Serialize, ToSchema)]
pub struct PullRequest<'a> {
    #[serde(skip_serializing_if = "<[Product]>::is_empty")]
    #[schema(required = false, schema_with = products)]
    products: &'a [Product],
    /// Whether to pull transactions; missing if the client did not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    include_transactions: Option<bool>,
    /// Whether to pull holdings; missing if the client did not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    include_holdings: Option<bool>,
}

fn products() -> RefOr<Schema> {
    property::<SomeOf<Product>>("The kinds of data.")
}

/// The token of an OAuth member; missing for a member with credentials.
#[derive(Serialize, ToSchema)]
pub struct LentToken<'a> {
    /// The token; the refresh token is never lent.
    #[schema(required = false, format = Password)]
    access_token: &'a str,
    /// When it expires, if the institution says so.
    #[schema(format = DateTime, example = "2026-03-01T10:30:00+00:00")]
    expires_at: Option<String>,
    /// The granted scope.
    #[schema(example = "accounts transactions")]
    scope: Option<&'a str>,
    /// What was granted in detail (RFC 9396 section 7); missing if the institution did not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Vec<Object>)]
    authorization_details: Option<serde_json::Value>,
    /// The token type: Bearer (RFC 6750).
    #[schema(required = false, example = "Bearer")]
    token_type: &'static str,
}

/// A value, unencrypted.
#[derive(Serialize, ToSchema)]
pub struct LentValue<'a> {
    /// The field's guid.
    #[schema(value_type = String, pattern = "^CRD-[0-9a-f-]{36}$", example = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: CredentialGuid,
    /// The institution's name for the field.
    #[schema(example = "LOGIN")]
    field_name: &'a str,
    /// The value.
    #[schema(format = Password)]
    value: &'a str,
}

fn lent(credentials: &Credentials) -> Vec<LentValue<'_>> {
    fn value(credential: &Credential) -> LentValue<'_> {
        LentValue {
            guid: credential.guid,
            field_name: &credential.field_name,
            value: credential.value.expose_secret(),
        }
    }
    credentials.0.iter().map(value).collect()
}

impl<'a> From<&'a Leased> for LeaseBody<'a> {
    fn from(leased: &'a Leased) -> Self {
        let job = &leased.job;
        let (token, credentials) = match &leased.access {
            Access::Token {
                access_token,
                scope,
                authorization_details,
                expires_at,
            } => {
                let details = authorization_details.as_deref();
                let details = details.and_then(|written| serde_json::from_str(written).ok());
                let token = LentToken {
                    access_token: access_token.expose_secret(),
                    expires_at: expires_at.map(|at: Timestamp| iso8601(at)),
                    scope: scope.as_deref(),
                    authorization_details: details,
                    token_type: "Bearer",
                };
                (Some(token), None)
            }
            Access::Credentials(credentials) => (None, Some(lent(credentials))),
        };
        Self {
            answers: leased.answers.as_ref().map(lent),
            credentials,
            data_request: PullRequest {
                products: &job.data_request.products,
                include_transactions: job.data_request.include_transactions,
                include_holdings: job.data_request.include_holdings,
            },
            institution_code: &job.institution,
            job_guid: job.guid,
            lease_expires_at: iso8601(job.due_at),
            member_guid: job.member,
            round: job.round,
            token,
            user_guid: job.user,
        }
    }
}

/// The job of a report.
#[derive(Serialize, ToSchema)]
pub struct ReportedBody {
    /// The job.
    pub job: ReportedJob,
}

/// The job of a report.
#[derive(Serialize, ToSchema)]
pub struct ReportedJob {
    /// Identifier.
    #[schema(value_type = String, pattern = "^JOB-[0-9a-f-]{36}$", example = "JOB-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    pub guid: JobGuid,
    /// QUEUED, PUSHED, STARTED, CHALLENGED, SUCCEEDED or FAILED.
    #[schema(example = "STARTED")]
    pub status: &'static str,
}
