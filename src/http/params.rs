//! Parameters of paths and headers, for the description. Those of queries are declared with the other
//! fields of requests.
#![expect(dead_code, reason = "described, never built")]

use utoipa::IntoParams;

/// Whose session.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SsoPath {
    /// Your client id.
    #[param(example = "acme")]
    client_id: String,
    /// The user, by guid or by your own `id`.
    #[param(example = "ada")]
    user_id: String,
}

/// Which member of the session's user.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct MemberGuidPath {
    /// The member's guid.
    #[param(example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    member_guid: String,
}

/// Which job of the session's user.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct JobGuidPath {
    /// The job's guid.
    #[param(example = "JOB-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    job_guid: String,
}

/// Which job.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct JobPath {
    /// The job's guid.
    #[param(example = "JOB-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: String,
}

/// Which user of the client.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct UserPath {
    /// The user, by guid or by your own `id`.
    #[param(example = "ada")]
    user_identifier: String,
}

/// Which member of which user of the client.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct UserMemberPath {
    /// The user, by guid or by your own `id`.
    #[param(example = "ada")]
    user_identifier: String,
    /// The member, by guid or by your own `id`.
    #[param(example = "my-member-1")]
    member_identifier: String,
}

/// Which institution.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct InstitutionPath {
    /// The institution, by guid or by code.
    #[param(example = "mxbank")]
    institution_identifier: String,
}

/// Which OAuth state.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub struct OauthStatePath {
    /// The state's guid.
    #[param(example = "OAS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: String,
}

/// Header of requests that change a member.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct CallbackHeader {
    /// Base64 of at most 1024 characters. It is stored with the member and returned in the webhooks about
    /// it. A newer one replaces it.
    #[param(
        rename = "X-CALLBACK-PAYLOAD",
        min_length = 1,
        max_length = 1024,
        pattern = "^[A-Za-z0-9+/_=-]+$",
        example = "aGVsbG8="
    )]
    callback_payload: Option<String>,
}

/// Header of requests that cause webhooks.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct SkipWebhook {
    /// `true`: this request causes no webhook. Later changes do.
    #[param(rename = "MX-Skip-Webhook", example = "true")]
    skip_webhook: Option<String>,
}
