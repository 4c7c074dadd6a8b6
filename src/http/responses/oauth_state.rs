//! OAuth states.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::id::{MemberGuid, OauthStateGuid, UserGuid};
use crate::domain::iso8601;
use crate::domain::window::{ErrorReason, Window};

/// One attempt to connect a member by OAuth.
#[derive(Serialize, ToSchema)]
pub struct OauthStateResponse {
    /// 1 PENDING, 2 SUCCESS, 3 ERRORED.
    #[schema(minimum = 1, maximum = 3, example = 2)]
    auth_status: u8,
    /// When the link was made.
    #[schema(format = DateTime, example = "2026-03-01T09:30:00+00:00")]
    created_at: String,
    /// Why it is ERRORED: 0 UNKNOWN_ERROR, 1 CANCELLED, 2 DENIED, 3 IMPEDED, 4 PROVIDER_ERROR,
    /// 5 SERVER_ERROR, 6 SESSION_ERROR.
    #[schema(required, minimum = 0, maximum = 6, example = json!(null))]
    error_reason: Option<u8>,
    /// When the finished state was first read with this API.
    #[schema(required, format = DateTime, example = json!(null))]
    first_retrieved_at: Option<String>,
    /// Identifier.
    #[schema(value_type = String, pattern = "^OAS-[0-9a-f-]{36}$", example = "OAS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: OauthStateGuid,
    /// The member the login turned out to belong to; normally the same.
    #[schema(required, value_type = Option<String>, pattern = "^MBR-[0-9a-f-]{36}$", example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    inbound_member_guid: Option<MemberGuid>,
    /// The member that the link was made for.
    #[schema(value_type = String, pattern = "^MBR-[0-9a-f-]{36}$", example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    outbound_member_guid: MemberGuid,
    /// When it last changed.
    #[schema(format = DateTime, example = "2026-03-01T09:31:00+00:00")]
    updated_at: String,
    /// The user of the member.
    #[schema(value_type = String, pattern = "^USR-[0-9a-f-]{36}$", example = "USR-0e7cdc7c-9e9d-4c61-8fb4-5e7e3a01d2f0")]
    user_guid: UserGuid,
}

impl From<&Window> for OauthStateResponse {
    fn from(window: &Window) -> Self {
        Self {
            auth_status: window.status.auth_status().id(),
            created_at: iso8601(window.created_at),
            error_reason: window.status.error_reason().map(ErrorReason::id),
            first_retrieved_at: window.first_retrieved_at.map(iso8601),
            guid: window.guid,
            inbound_member_guid: window.inbound,
            outbound_member_guid: window.member,
            updated_at: iso8601(window.updated_at),
            user_guid: window.user,
        }
    }
}

/// One OAuth state.
#[derive(Serialize, ToSchema)]
pub struct OauthStateBody {
    /// The state.
    pub oauth_state: OauthStateResponse,
}

/// OAuth states.
#[derive(Serialize, ToSchema)]
pub struct OauthStatesBody {
    /// The states, newest first; at most 100.
    pub oauth_states: Vec<OauthStateResponse>,
}
