//! Members, in the form of either API.

use serde::Serialize;
use utoipa::ToSchema;

use super::{ChallengeResponse, Pagination};
use crate::domain::challenge::Challenge;
use crate::domain::data_request::Product;
use crate::domain::id::{
    InstitutionCode, InstitutionGuid, JobGuid, MemberGuid, OauthStateGuid, UserGuid,
};
use crate::domain::iso8601;
use crate::domain::member::{ConnectionStatus, Member, StatusReason, UseCase};
use crate::flow::mint::Minted;

/// The fields of a member that are the same in both APIs.
#[derive(Serialize, ToSchema)]
pub struct MemberResponse<'a> {
    /// When an aggregation last ended.
    #[schema(required, format = DateTime, example = "2026-03-01T09:31:00+00:00")]
    aggregated_at: Option<String>,
    /// Whether it is never pulled in the background.
    background_aggregation_is_disabled: bool,
    /// The status: one of the 22 published names.
    #[schema(value_type = String, example = "CONNECTED")]
    connection_status: &'static str,
    /// The number of that name.
    #[schema(minimum = 0, maximum = 21, example = 6)]
    connection_status_id: u8,
    /// The status in words for people.
    #[schema(example = "Connected to MX Bank.")]
    connection_status_message: String,
    /// Why it is IMPAIRED, where that is known: REVOKED (the consent was withdrawn), REFRESH_LOST (a response of the
    /// institution was lost, and with it the newest refresh token), CONSENT_ENDED (the consent has reached its end) or
    /// OTHER_LOGIN (a refresh brought tokens of another person). An extension; otherwise null.
    #[schema(required, value_type = Option<String>, example = json!(null))]
    connection_status_reason: Option<&'static str>,
    /// When its consent ends, as far as that is known; null otherwise. An extension.
    #[schema(required, format = DateTime, example = json!(null))]
    consent_expires_at: Option<String>,
    /// When it was created.
    #[schema(format = DateTime, example = "2026-03-01T09:30:00+00:00")]
    created_at: String,
    /// Identifier.
    #[schema(value_type = String, pattern = "^MBR-[0-9a-f-]{36}$", example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: MemberGuid,
    /// The institution, by code.
    #[schema(value_type = String, example = "mxbank")]
    institution_code: &'a InstitutionCode,
    /// The institution, by guid.
    #[schema(value_type = String, pattern = "^INS-[0-9a-f-]{36}$", example = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    institution_guid: InstitutionGuid,
    /// Whether an aggregation is running.
    is_being_aggregated: bool,
    /// Always true: there are no managed members.
    #[schema(example = true)]
    is_managed_by_user: bool,
    /// Always false: there are no manual members.
    #[schema(example = false)]
    is_manual: bool,
    /// Whether it connects by OAuth.
    is_oauth: bool,
    /// Always true.
    #[schema(example = true)]
    is_user_created: bool,
    /// Your own text about it.
    #[schema(required, example = "{\"shelf\":4}")]
    metadata: Option<&'a str>,
    /// The newest aggregation job. Always null in v20111101 of the Platform API, whose description says
    /// that it is a boolean: typed clients could not read a text.
    #[schema(required, value_type = Option<String>, pattern = "^JOB-[0-9a-f-]{36}$", example = "JOB-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    most_recent_job_guid: Option<JobGuid>,
    /// The name that people see.
    #[schema(example = "MX Bank")]
    name: &'a str,
    /// Whether new credentials are needed.
    needs_updated_credentials: bool,
    /// The one-time link. Only in the response that created it; null in all others, because it is not stored.
    #[schema(required, format = "uri", example = json!(null))]
    oauth_window_uri: Option<&'a str>,
    /// The OAuth state to poll. Only in the response that created a link; otherwise missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^OAS-[0-9a-f-]{36}$", example = "OAS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    oauth_state_guid: Option<OauthStateGuid>,
    /// A number that grows by one with every change; webhooks have it too.
    #[schema(example = 2)]
    revision: u32,
    /// When an aggregation last succeeded.
    #[schema(required, format = DateTime, example = "2026-03-01T09:31:00+00:00")]
    successfully_aggregated_at: Option<String>,
    /// The purpose of the data: PFM, MONEY_MOVEMENT.
    #[schema(value_type = Vec<String>, example = json!(["PFM"]))]
    use_cases: &'a [UseCase],
    /// The user of the member.
    #[schema(value_type = String, pattern = "^USR-[0-9a-f-]{36}$", example = "USR-0e7cdc7c-9e9d-4c61-8fb4-5e7e3a01d2f0")]
    user_guid: UserGuid,
}

impl<'a> MemberResponse<'a> {
    fn of(member: &'a Member) -> Self {
        Self {
            aggregated_at: member.aggregated_at.map(iso8601),
            background_aggregation_is_disabled: member.background_aggregation_is_disabled,
            connection_status: member.status.name(),
            connection_status_id: member.status.id(),
            connection_status_message: member.status.message(&member.name),
            connection_status_reason: member.status_reason.map(StatusReason::name),
            consent_expires_at: member.consent_expires_at.map(iso8601),
            created_at: iso8601(member.created_at),
            guid: member.guid,
            institution_code: &member.institution,
            institution_guid: member.institution_guid,
            is_being_aggregated: member.is_being_aggregated(),
            is_managed_by_user: true,
            is_manual: false,
            is_oauth: member.is_oauth,
            is_user_created: true,
            metadata: member.metadata.as_deref(),
            most_recent_job_guid: member.most_recent_job,
            name: &member.name,
            needs_updated_credentials: !member.is_oauth
                && member.status.needs_updated_credentials(),
            // Shown by the response that minted it, and null later: only its digest is kept.
            oauth_window_uri: None,
            oauth_state_guid: None,
            revision: member.revision,
            successfully_aggregated_at: member.successfully_aggregated_at.map(iso8601),
            use_cases: &member.use_cases,
            user_guid: member.user,
        }
    }
}

/// A member, in the form of the Nexus API.
#[derive(Serialize, ToSchema)]
pub struct NexusMember<'a> {
    #[serde(flatten)]
    member: MemberResponse<'a>,
    /// Your own name for it.
    #[schema(required, example = "acct-link-42")]
    external_guid: Option<&'a str>,
}

impl<'a> NexusMember<'a> {
    /// The member.
    pub fn of(member: &'a Member) -> Self {
        Self {
            member: MemberResponse::of(member),
            external_guid: member.external_guid.as_deref(),
        }
    }

    /// The member with the link that was just made for it.
    pub fn linked(minted: &'a Minted) -> Self {
        let mut response = Self::of(&minted.member);
        response.member.oauth_window_uri = Some(minted.oauth_window_uri.as_str());
        response.member.oauth_state_guid = Some(minted.oauth_state);
        response
    }
}

/// A member, in the form of the Platform API.
#[derive(Serialize, ToSchema)]
pub struct PlatformMember<'a> {
    #[serde(flatten)]
    member: MemberResponse<'a>,
    /// Always null: errors are in `connection_status`.
    #[schema(required, value_type = Option<Object>, example = json!(null))]
    error: Option<()>,
    /// Your own name for it.
    #[schema(required, example = "my-member-1")]
    id: Option<&'a str>,
    /// Always null.
    #[schema(required, deprecated, value_type = Option<i32>, example = json!(null))]
    most_recent_job_detail_code: Option<()>,
    /// Always null.
    #[schema(required, deprecated, value_type = Option<bool>, example = json!(null))]
    most_recent_job_detail_text: Option<()>,
    /// Your own name for the user of the member.
    #[schema(required, example = "ada")]
    user_id: Option<&'a str>,
}

impl<'a> PlatformMember<'a> {
    /// The member.
    pub fn of(member: &'a Member) -> Self {
        Self {
            member: MemberResponse::of(member),
            error: None,
            id: member.external_guid.as_deref(),
            most_recent_job_detail_code: None,
            most_recent_job_detail_text: None,
            user_id: member.user_id.as_deref(),
        }
    }

    /// The member with the link that was just made for it.
    pub fn linked(minted: &'a Minted) -> Self {
        let mut response = Self::of(&minted.member);
        response.member.oauth_window_uri = Some(minted.oauth_window_uri.as_str());
        response.member.oauth_state_guid = Some(minted.oauth_state);
        response
    }
}

/// One member.
#[derive(Serialize, ToSchema)]
pub struct NexusMemberBody<'a> {
    /// The member.
    pub member: NexusMember<'a>,
}

/// A user's members.
#[derive(Serialize, ToSchema)]
pub struct NexusMembersBody<'a> {
    /// The members, oldest first.
    pub members: Vec<NexusMember<'a>>,
}

/// One member.
#[derive(Serialize, ToSchema)]
pub struct PlatformMemberBody<'a> {
    /// The member.
    pub member: PlatformMember<'a>,
}

/// A page of a user's members.
#[derive(Serialize, ToSchema)]
pub struct PlatformMembersBody<'a> {
    /// The members, oldest first.
    pub members: Vec<PlatformMember<'a>>,
    /// The position of this page in the list.
    pub pagination: Pagination,
}

/// Read a member's status.
#[derive(Serialize, ToSchema)]
pub struct MemberStatus<'a> {
    /// When an aggregation last ended.
    #[schema(required, format = DateTime, example = "2026-03-01T09:31:00+00:00")]
    aggregated_at: Option<String>,
    /// The open questions; empty unless the member is CHALLENGED.
    challenges: Vec<ChallengeResponse<'a>>,
    /// The status.
    #[schema(value_type = String, example = "CONNECTED")]
    connection_status: &'static str,
    /// Identifier.
    #[schema(value_type = String, pattern = "^MBR-[0-9a-f-]{36}$", example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: MemberGuid,
    /// Whether an aggregation whose `data_request` asked for `account_verification` has succeeded.
    has_processed_account_numbers: bool,
    /// Whether an aggregation has succeeded: Guichet knows nothing else about accounts.
    has_processed_accounts: bool,
    /// Whether an aggregation has succeeded: Guichet knows nothing else about transactions.
    has_processed_transactions: bool,
    /// Whether the institution has accepted the sign-in: the member is CONNECTED.
    is_authenticated: bool,
    /// Whether an aggregation is running.
    is_being_aggregated: bool,
    /// When an aggregation last succeeded.
    #[schema(required, format = DateTime, example = "2026-03-01T09:31:00+00:00")]
    successfully_aggregated_at: Option<String>,
}

/// Read a member's status.
#[derive(Serialize, ToSchema)]
pub struct MemberStatusBody<'a> {
    /// The member.
    member: MemberStatus<'a>,
}

impl<'a> MemberStatusBody<'a> {
    /// The member, and its institution's questions.
    pub fn of(member: &Member, asked: &'a [Challenge]) -> Self {
        let has_pulled = member.successfully_aggregated_at.is_some();
        Self {
            member: MemberStatus {
                aggregated_at: member.aggregated_at.map(iso8601),
                challenges: asked.iter().map(ChallengeResponse::from).collect(),
                connection_status: member.status.name(),
                guid: member.guid,
                has_processed_account_numbers: has_pulled
                    && member
                        .data_request
                        .products
                        .contains(&Product::AccountVerification),
                has_processed_accounts: has_pulled,
                has_processed_transactions: has_pulled,
                is_authenticated: member.status == ConnectionStatus::Connected,
                is_being_aggregated: member.is_being_aggregated(),
                successfully_aggregated_at: member.successfully_aggregated_at.map(iso8601),
            },
        }
    }
}
