//! Parameters as the description has them. Nothing is read with these types: what is read is in
//! `body`, and a test holds the two together.
#![expect(dead_code, reason = "described, never built")]

use utoipa::{IntoParams, ToSchema};

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

/// Which page of a listing.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PagesQuery {
    /// The page, counted from 1. A value out of range is read as 1.
    #[param(minimum = 1, example = 1)]
    page: Option<u32>,
    /// How many entries a page has. A value out of range is read as 25.
    #[param(minimum = 10, maximum = 1000, example = 25)]
    records_per_page: Option<u32>,
}

/// Which members.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UseCaseQuery {
    /// Only members with this use case.
    #[param(inline)]
    use_case: Option<UseCaseName>,
}

/// What a member's data is for.
#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UseCaseName {
    /// Personal finance management.
    Pfm,
    /// Payments and transfers.
    MoneyMovement,
}

/// Which users.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UsersQuery {
    /// The user with this `id`.
    #[param(max_length = 255, example = "ada")]
    id: Option<String>,
    /// Users with this `email`.
    #[param(max_length = 255, example = "ada@example.org")]
    email: Option<String>,
    /// `true`: only disabled users. `false`: only the others.
    is_disabled: Option<bool>,
}

/// Filters for institutions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct InstitutionsQuery {
    /// Part of the name; upper and lower case are the same.
    #[param(max_length = 255, example = "bank")]
    name: Option<String>,
    /// Two-letter country codes (ISO 3166-1); an institution in any of them is listed.
    #[param(example = json!(["US"]))]
    iso_country_code: Option<Vec<String>>,
    /// `true`: only institutions with OAuth where you are registered. `false`: only the others.
    supports_oauth: Option<bool>,
    /// The page, counted from 1. A value out of range is read as 1.
    #[param(minimum = 1, example = 1)]
    page: Option<u32>,
    /// How many entries a page has. A value out of range is read as 25.
    #[param(minimum = 10, maximum = 1000, example = 25)]
    records_per_page: Option<u32>,
}

/// Which OAuth states.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OauthStatesQuery {
    /// The user, by guid or by your own `id`; only with an API key. A session sees the states of its own user.
    #[param(example = "USR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    user_guid: Option<String>,
    /// The member that the link was made for. With an API key, this or `user_guid` is required. The
    /// states of a member that was merged into another are found only with `user_guid`.
    #[param(example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    outbound_member_guid: Option<String>,
    /// 1 PENDING, 2 SUCCESS, 3 ERRORED.
    #[param(minimum = 1, maximum = 3, example = 1)]
    auth_status: Option<u8>,
}

/// Header of requests that change a member.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub struct CallbackHeader {
    /// Base64 of at most 1024 characters. It is kept with the member, the newest wins, and comes back
    /// in the webhooks about it.
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

/// How the link opens, and where the person ends up.
#[derive(IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub struct WindowWishes {
    /// BROWSER (the default) or APP, in upper or lower case.
    #[param(
        pattern = "^([Bb][Rr][Oo][Ww][Ss][Ee][Rr]|[Aa][Pp][Pp])$",
        example = "BROWSER"
    )]
    #[schema(
        pattern = "^([Bb][Rr][Oo][Ww][Ss][Ee][Rr]|[Aa][Pp][Pp])$",
        example = "BROWSER"
    )]
    referral_source: Option<String>,
    /// Another name of `referral_source`.
    #[schema(
        pattern = "^([Bb][Rr][Oo][Ww][Ss][Ee][Rr]|[Aa][Pp][Pp])$",
        example = "BROWSER"
    )]
    oauth_referral_source: Option<String>,
    /// `true` is the same as APP.
    is_mobile_webview: Option<bool>,
    /// Where an APP flow ends: a registered address, byte for byte up to the `?`. Ignored in BROWSER
    /// flows.
    #[schema(max_length = 2000, example = "https://app.example/done")]
    #[param(max_length = 2000, example = "https://app.example/done")]
    client_redirect_url: Option<String>,
    /// The registered scheme of the app where an APP flow ends. Ignored in BROWSER flows.
    #[schema(max_length = 64, example = "com.example.acme")]
    #[param(max_length = 64, example = "com.example.acme")]
    ui_message_webview_url_scheme: Option<String>,
    /// `true`: do not aggregate after the person has come back.
    skip_aggregation: Option<bool>,
    /// Stored with the link, without effect; true by default.
    enable_app2app: Option<bool>,
    /// single, interstitial or multi; the default is in your configuration.
    #[param(inline)]
    #[schema(inline)]
    open_policy: Option<OpenPolicyName>,
    /// How long the link may wait to be opened: at most 60 minutes for single, 7 days otherwise.
    #[schema(minimum = 1, maximum = 10080, example = 10)]
    #[param(minimum = 1, maximum = 10080, example = 10)]
    link_minutes: Option<u32>,
    /// How long the person may take at the institution, once the link was opened.
    #[schema(minimum = 1, maximum = 60, example = 15)]
    #[param(minimum = 1, maximum = 60, example = 15)]
    authorization_minutes: Option<u32>,
    /// Languages for the pages, the preferred one first (OpenID Connect Core section 3.1.2.1).
    #[schema(max_length = 60, example = "de en")]
    #[param(max_length = 60, example = "de en")]
    ui_locales: Option<String>,
}

/// How a link opens.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum OpenPolicyName {
    /// The first navigation claims it.
    Single,
    /// A page comes first, whose button claims it.
    Interstitial,
    /// It opens up to five times, until the connection completes.
    Multi,
}

/// The data that a job asks for.
#[derive(IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub struct PullWishes {
    /// Whether to pull transactions.
    include_transactions: Option<bool>,
    /// Whether to pull holdings.
    include_holdings: Option<bool>,
}
