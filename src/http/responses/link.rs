//! Links.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::id::{MemberGuid, OauthStateGuid};
use crate::domain::iso8601;
use crate::flow::mint::Minted;

/// A new link.
#[derive(Serialize, ToSchema)]
pub struct Link<'a> {
    /// The member it connects.
    #[schema(value_type = String, pattern = "^MBR-[0-9a-f-]{36}$", example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: MemberGuid,
    /// The link. It is shown only here, and works for one browser.
    #[schema(
        format = "uri",
        example = "https://connect.example/oauth/predirect_to/MBR-68e96dd6-eabd-42d3-9f05-416897f0746c/ow_00…"
    )]
    oauth_window_uri: &'a str,
    /// The OAuth state to poll.
    #[schema(value_type = String, pattern = "^OAS-[0-9a-f-]{36}$", example = "OAS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    oauth_state_guid: OauthStateGuid,
    /// When the link expires if nobody opens it.
    #[schema(format = DateTime, example = "2026-03-01T09:40:00+00:00")]
    expires_at: String,
}

/// A response with a link.
#[derive(Serialize, ToSchema)]
pub struct LinkBody<'a> {
    /// The member's guid and its link.
    member: Link<'a>,
}

impl<'a> From<&'a Minted> for LinkBody<'a> {
    fn from(minted: &'a Minted) -> Self {
        Self {
            member: Link {
                guid: minted.member.guid,
                oauth_window_uri: minted.oauth_window_uri.as_str(),
                oauth_state_guid: minted.oauth_state,
                expires_at: iso8601(minted.expires_at),
            },
        }
    }
}

/// A response with a link, which also has the link under its name in MX's newer API.
#[derive(Serialize, ToSchema)]
pub struct AuthorizationBody<'a> {
    /// The same link.
    #[schema(
        format = "uri",
        example = "https://connect.example/oauth/predirect_to/MBR-68e96dd6-eabd-42d3-9f05-416897f0746c/ow_00…"
    )]
    authorization_url: &'a str,
    /// The member's guid and its link.
    member: Link<'a>,
}

impl<'a> From<&'a Minted> for AuthorizationBody<'a> {
    fn from(minted: &'a Minted) -> Self {
        Self {
            authorization_url: minted.oauth_window_uri.as_str(),
            member: LinkBody::from(minted).member,
        }
    }
}
