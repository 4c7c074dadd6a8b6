//! Confirmations of authorizations.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::id::{MemberGuid, OauthStateGuid};
use crate::domain::window::Window;

/// What a confirmation led to.
#[derive(Serialize, ToSchema)]
pub struct OauthCompletionResponse {
    /// 2 SUCCESS; 1 PENDING while the code is being exchanged.
    #[schema(minimum = 1, maximum = 2, example = 2)]
    auth_status: u8,
    /// The connected member: the one that the link was made for, unless the login turned out to be another one's.
    #[schema(value_type = String, pattern = "^MBR-[0-9a-f-]{36}$", example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    member_guid: MemberGuid,
    /// The OAuth state.
    #[schema(value_type = String, pattern = "^OAS-[0-9a-f-]{36}$", example = "OAS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    oauth_state_guid: OauthStateGuid,
}

impl From<&Window> for OauthCompletionResponse {
    fn from(window: &Window) -> Self {
        Self {
            auth_status: window.status.auth_status().id(),
            member_guid: window.inbound.unwrap_or(window.member),
            oauth_state_guid: window.guid,
        }
    }
}

/// What a confirmation led to.
#[derive(Serialize, ToSchema)]
pub struct OauthCompletionBody {
    /// The confirmation.
    oauth_completion: OauthCompletionResponse,
}

impl From<&Window> for OauthCompletionBody {
    fn from(window: &Window) -> Self {
        Self {
            oauth_completion: window.into(),
        }
    }
}
