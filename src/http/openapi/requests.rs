//! Bodies of requests as the description has them. Nothing is read with these types: real clients
//! put their fields in three places (contract section 1.2), and `body` finds
//! them. A test beside every parser holds the two together.
#![expect(dead_code, reason = "described, never built")]

use utoipa::ToSchema;

use super::params::{OpenPolicyName, UseCaseName};
use crate::flow::credentials::VALUE_LIMIT;
use crate::http::body::{LONGEST_METADATA, LONGEST_NAME, MOST_VALUES};

/// `{"session": {"skip_aggregation": true}}`, or nothing.
#[derive(ToSchema)]
pub struct SessionRequestBody {
    /// What older clients send.
    #[schema(inline)]
    session: Option<SessionRequest>,
}

/// What older clients send.
#[derive(ToSchema)]
pub struct SessionRequest {
    /// Changes nothing: no aggregation ever starts because a session does.
    skip_aggregation: Option<bool>,
}

/// `{"user": {…}}`
#[derive(ToSchema)]
pub struct UserRequestBody {
    /// The user.
    user: Option<UserRequest>,
}

/// A user as asked for.
#[derive(ToSchema)]
pub struct UserRequest {
    /// Your own name for it, unique among your users.
    #[schema(max_length = 255, example = "ada")]
    id: Option<String>,
    /// An address to keep with it.
    #[schema(max_length = 255, example = "ada@example.org")]
    email: Option<String>,
    /// Your own text about it, at most 4096 bytes.
    #[schema(max_length = 4096, example = "{\"plan\":\"basic\"}")]
    metadata: Option<String>,
    /// Whether it is disabled.
    is_disabled: Option<bool>,
}

/// A value for a field, or an answer to a question.
#[derive(ToSchema)]
pub struct ValueRequest {
    /// The field's guid, or the question's.
    #[schema(
        pattern = "^CRD-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
        example = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c"
    )]
    guid: String,
    /// The value: sealed at once, never logged and never given back.
    #[schema(max_length = 4096, format = Password, example = "ada")]
    value: Option<String>,
}

/// What is asked for.
#[derive(ToSchema)]
pub struct DataRequestBody {
    /// The kinds of data.
    #[schema(inline)]
    products: Option<Vec<ProductName>>,
}

/// A kind of data.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum ProductName {
    /// Account and routing numbers.
    AccountVerification,
    /// Who owns the accounts.
    IdentityVerification,
    /// Recent transactions.
    Transactions,
    /// Transactions as far back as the institution has them.
    TransactionHistory,
    /// Statements as documents.
    Statements,
    /// Holdings.
    Investments,
    /// Rewards programmes.
    Rewards,
}

macro_rules! body_with_wishes {
    ($(#[$doc:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[derive(ToSchema)]
        pub struct $name {
            $($own)*
            /// What its jobs are asked for.
            data_request: Option<DataRequestBody>,
            /// Whether its jobs pull transactions, where it matters.
            include_transactions: Option<bool>,
            /// Whether its jobs pull holdings, where it matters.
            include_holdings: Option<bool>,
            /// `true`: this request causes no webhook.
            skip_webhook: Option<bool>,
            /// BROWSER (the default) or APP; capitals do not matter.
            #[schema(pattern = "^([Bb][Rr][Oo][Ww][Ss][Ee][Rr]|[Aa][Pp][Pp])$", example = "BROWSER")]
            referral_source: Option<String>,
            /// Another name of `referral_source`.
            #[schema(pattern = "^([Bb][Rr][Oo][Ww][Ss][Ee][Rr]|[Aa][Pp][Pp])$", example = "BROWSER")]
            oauth_referral_source: Option<String>,
            /// `true` is the same as APP.
            is_mobile_webview: Option<bool>,
            /// Where an APP flow ends: a registered address, byte for byte up to the `?`.
            #[schema(max_length = 2000, example = "https://app.example/done")]
            client_redirect_url: Option<String>,
            /// The scheme of the app where an APP flow ends: a registered one.
            #[schema(max_length = 64, example = "com.example.acme")]
            ui_message_webview_url_scheme: Option<String>,
            /// Taken and kept for the window; true unless given.
            enable_app2app: Option<bool>,
            /// single, interstitial or multi, where not as your configuration says.
            #[schema(inline)]
            open_policy: Option<OpenPolicyName>,
            /// How long the link may wait to be opened: at most 60 minutes for single, 7 days otherwise.
            #[schema(minimum = 1, maximum = 10080, example = 10)]
            link_minutes: Option<u32>,
            /// How long the institution's answer is awaited once the link was opened.
            #[schema(minimum = 1, maximum = 60, example = 15)]
            authorization_minutes: Option<u32>,
            /// Languages for the pages, the wanted first.
            #[schema(max_length = 60, example = "de en")]
            ui_locales: Option<String>,
        }
    };
}

body_with_wishes! {
    /// A member as asked for, and beside it what its first link is like.
    NexusMemberRequestBody {
        /// The member.
        member: NexusMemberRequest,
    }
}

body_with_wishes! {
    /// A member as asked for, and beside it what its first link is like.
    PlatformMemberRequestBody {
        /// The member.
        member: PlatformMemberRequest,
    }
}

/// A member as asked for.
#[derive(ToSchema)]
pub struct NexusMemberRequest {
    /// Which institution, by guid.
    #[schema(example = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    institution_guid: Option<String>,
    /// Which institution, by code, where no guid is given.
    #[schema(example = "mxbank")]
    institution_code: Option<String>,
    /// Whether it connects by OAuth: the only way where the institution `supports_oauth`.
    is_oauth: Option<bool>,
    /// A value for each field the institution asks for; not with `is_oauth`.
    #[schema(max_items = 50)]
    credentials: Option<Vec<ValueRequest>>,
    /// Whether nothing is aggregated until you order it.
    skip_aggregation: Option<bool>,
    /// What people call it; the institution's name unless given.
    #[schema(max_length = 255, example = "MX Bank")]
    name: Option<String>,
    /// Your own name for it, unique among your members.
    #[schema(max_length = 255, example = "acct-link-42")]
    external_guid: Option<String>,
    /// Your own text about it, at most 4096 bytes.
    #[schema(max_length = 4096, example = "{\"shelf\":4}")]
    metadata: Option<String>,
    /// What the data is for; PFM unless given.
    #[schema(inline)]
    use_cases: Option<Vec<UseCaseName>>,
    /// Given back as received, and handed on with the member.
    background_aggregation_is_disabled: Option<bool>,
}

/// A member as asked for.
#[derive(ToSchema)]
pub struct PlatformMemberRequest {
    /// Which institution, by code.
    #[schema(example = "mxbank")]
    institution_code: Option<String>,
    /// Which institution, by guid; it wins over the code.
    #[schema(example = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    institution_guid: Option<String>,
    /// Whether it connects by OAuth: the only way where the institution `supports_oauth`.
    is_oauth: Option<bool>,
    /// A value for each field the institution asks for; not with `is_oauth`.
    #[schema(max_items = 50)]
    credentials: Option<Vec<ValueRequest>>,
    /// Whether nothing is aggregated until you order it.
    skip_aggregation: Option<bool>,
    /// What people call it; the institution's name unless given.
    #[schema(max_length = 255, example = "MX Bank")]
    name: Option<String>,
    /// Your own name for it, unique among your members.
    #[schema(max_length = 255, example = "my-member-1")]
    id: Option<String>,
    /// Your own text about it, at most 4096 bytes.
    #[schema(max_length = 4096, example = "{\"shelf\":4}")]
    metadata: Option<String>,
    /// What the data is for; PFM unless given.
    #[schema(inline)]
    use_cases: Option<Vec<UseCaseName>>,
    /// Given back as received, and handed on with the member.
    background_aggregation_is_disabled: Option<bool>,
}

macro_rules! change_body {
    ($body:ident $change:ident $(#[$doc:meta])* $own_name:ident) => {
        /// What is to change; what is left out stays.
        #[derive(ToSchema)]
        pub struct $body {
            /// What is to change.
            member: Option<$change>,
            /// What its jobs are asked for from now on.
            data_request: Option<DataRequestBody>,
            /// Whether its jobs pull transactions, where it matters.
            include_transactions: Option<bool>,
            /// Whether its jobs pull holdings, where it matters.
            include_holdings: Option<bool>,
            /// `true`: this request causes no webhook.
            skip_webhook: Option<bool>,
        }

        /// What of a member is to change.
        #[derive(ToSchema)]
        pub struct $change {
            /// New values, for members without OAuth: one for each field the institution asks for.
            #[schema(max_items = 50)]
            credentials: Option<Vec<ValueRequest>>,
            /// Whether new credentials are only kept.
            skip_aggregation: Option<bool>,
            /// What people call it.
            #[schema(max_length = 255, example = "MX Bank")]
            name: Option<String>,
            $(#[$doc])*
            #[schema(max_length = 255, example = "acct-link-42")]
            $own_name: Option<String>,
            /// Your own text about it, at most 4096 bytes; null takes it away.
            #[schema(max_length = 4096, example = "{\"shelf\":4}")]
            metadata: Option<String>,
            /// What the data is for.
            #[schema(inline)]
            use_cases: Option<Vec<UseCaseName>>,
            /// Given back as received, and handed on with the member.
            background_aggregation_is_disabled: Option<bool>,
        }
    };
}

change_body! {
    NexusMemberChangeBody NexusMemberChange
    /// Your own name for it, unique among your members; null takes it away.
    external_guid
}

change_body! {
    PlatformMemberChangeBody PlatformMemberChange
    /// Your own name for it, unique among your members; null takes it away.
    id
}

/// The answers to what an institution asks.
#[derive(ToSchema)]
pub struct AnswersBody {
    /// The answers.
    member: AnswersRequest,
    /// `true`: this request causes no webhook.
    skip_webhook: Option<bool>,
}

/// One answer to each question.
#[derive(ToSchema)]
pub struct AnswersRequest {
    /// The guid and value of each answer.
    #[schema(max_items = 50)]
    challenges: Vec<ValueRequest>,
}

/// The answers to what an institution asks, as MX's own widget sends them.
#[derive(ToSchema)]
pub struct MfaAnswersBody {
    /// The member, with the answers; its other fields are not read.
    member: MfaAnswersRequest,
    /// `true`: this request causes no webhook.
    skip_webhook: Option<bool>,
}

/// One answer to each question, under either name; `challenges` wins.
#[derive(ToSchema)]
pub struct MfaAnswersRequest {
    /// The guid and value of each answer.
    #[schema(max_items = 50)]
    challenges: Option<Vec<ValueRequest>>,
    /// The guid and value of each answer.
    #[schema(max_items = 50)]
    credentials: Option<Vec<ValueRequest>>,
}

/// What a job is asked for.
#[derive(ToSchema)]
pub struct PullRequestBody {
    /// What this job is asked for, where not as the member's usually are.
    data_request: Option<DataRequestBody>,
    /// Whether to pull transactions, where it matters.
    include_transactions: Option<bool>,
    /// Whether to pull holdings, where it matters.
    include_holdings: Option<bool>,
    /// `true`: this request causes no webhook.
    skip_webhook: Option<bool>,
}

/// What a job is asked for, as the aggregator is told.
#[derive(ToSchema)]
pub struct PullRequest {
    /// The kinds of data.
    #[schema(inline)]
    products: Option<Vec<ProductName>>,
    /// Whether to pull transactions, where it was said.
    include_transactions: Option<bool>,
    /// Whether to pull holdings, where it was said.
    include_holdings: Option<bool>,
}

/// What an aggregator says of a job.
#[derive(ToSchema)]
pub struct ReportRequestBody {
    #[schema(inline)]
    status: ReportStatus,
    /// Why it failed; required with failed.
    #[schema(inline)]
    reason: Option<ReportReason>,
    /// What the institution asks; required with challenged.
    #[schema(max_items = 20)]
    challenges: Option<Vec<QuestionRequest>>,
    /// With succeeded: transactions that were not known before.
    #[schema(minimum = 0, example = 12)]
    transactions_created_count: Option<u32>,
    /// With succeeded: transactions that changed.
    #[schema(minimum = 0, example = 0)]
    transactions_updated_count: Option<u32>,
}

/// How far a job has come.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum ReportStatus {
    /// It has begun.
    Started,
    /// It has pulled the data.
    Succeeded,
    /// The institution asks the person something.
    Challenged,
    /// It could not.
    Failed,
}

/// Why a job brought nothing.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum ReportReason {
    /// The institution refused the token or the credentials.
    Denied,
    /// It did not accept the answer to its question.
    Rejected,
    /// It has locked the account.
    Locked,
    /// The person must act there first.
    Impeded,
    /// Some of what is needed to sign in is missing or has ended.
    Impaired,
    /// Another try will not help.
    Failed,
    /// Another try may help.
    Unavailable,
    /// Three or more failures in a short time.
    Degraded,
    /// Three or more failures, and no success for two weeks.
    Disconnected,
    /// The data now comes from elsewhere.
    Reconnected,
    /// The institution is no longer offered.
    Discontinued,
    /// The connection was closed there.
    Closed,
    /// Pulling is paused for now.
    Disabled,
}

/// One question.
#[derive(ToSchema)]
pub struct QuestionRequest {
    #[schema(rename = "type", inline)]
    kind: QuestionType,
    /// The institution's name for it.
    #[schema(max_length = 255, example = "pet")]
    field_name: String,
    /// What the person is asked.
    #[schema(max_length = 1000, example = "What was your first pet called?")]
    label: String,
    /// What may be chosen, with OPTIONS alone.
    #[schema(min_items = 1, max_items = 100)]
    options: Option<Vec<OptionRequest>>,
    /// The picture in Base64, with IMAGE_DATA alone.
    #[schema(max_length = 65536)]
    image_data: Option<String>,
    /// The pictures to choose from, with IMAGE_OPTIONS alone.
    #[schema(min_items = 1, max_items = 100)]
    image_options: Option<Vec<ImageOptionRequest>>,
}

/// What kind of question it is.
#[derive(ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum QuestionType {
    /// Answered in words.
    Text,
    /// Answered by the value of one of the options.
    Options,
    /// Answered by a code that a device shows or a message brings.
    Token,
    /// Answered by what a picture says.
    ImageData,
    /// Answered by the value of one of the pictures.
    ImageOptions,
}

/// One of the values to choose from.
#[derive(ToSchema)]
pub struct OptionRequest {
    /// What the person sees.
    #[schema(max_length = 1000, example = "Checking")]
    label: String,
    /// What is sent.
    #[schema(max_length = 255, example = "1")]
    value: String,
}

/// One of the pictures to choose from.
#[derive(ToSchema)]
pub struct ImageOptionRequest {
    /// What the picture is called.
    #[schema(max_length = 1000, example = "A boat")]
    label: String,
    /// What is sent.
    #[schema(max_length = 255, example = "boat")]
    value: String,
    /// The picture: an address, or Base64.
    #[schema(max_length = 65536, example = "data:image/png;base64,iVBORw0KGgo=")]
    data_uri: String,
}

/// How the link opens, and where the person ends up.
pub type WindowRequestBody = super::params::WindowWishes;

/// A request that may be silent.
#[derive(ToSchema)]
pub struct SilentRequestBody {
    /// `true`: this request causes no webhook.
    skip_webhook: Option<bool>,
}

/// Which institutions.
#[derive(ToSchema)]
pub struct InstitutionSearchBody {
    /// Part of the name; capitals do not matter.
    #[schema(max_length = 255, example = "bank")]
    name: Option<String>,
    /// The countries, as two letters (ISO 3166-1); one may stand without a list.
    #[schema(example = json!(["US"]))]
    iso_country_code: Option<Vec<String>>,
    /// Only those with OAuth where you are registered, or only the others.
    supports_oauth: Option<bool>,
    /// The page, counted from 1. What is out of range counts as 1.
    #[schema(minimum = 1, example = 1)]
    page: Option<u32>,
    /// How many entries a page has. What is out of range counts as 25.
    #[schema(minimum = 10, maximum = 1000, example = 25)]
    records_per_page: Option<u32>,
}

// The limits above are written out, for the attributes take nothing else.
const _: () = {
    assert!(LONGEST_NAME == 255 && LONGEST_METADATA == 4096);
    assert!(VALUE_LIMIT == 4096 && MOST_VALUES == 50);
};

/// The names of a body's fields: beside the root object and inside it.
#[cfg(test)]
pub fn described<T: ToSchema>(root: &str) -> std::collections::BTreeSet<String> {
    let mut schemas = Vec::new();
    T::schemas(&mut schemas);
    let mut names = names_in(&serde_json::to_value(T::schema()).expect("JSON"));
    if names.remove(root) {
        let body = serde_json::to_value(T::schema()).expect("JSON").to_string();
        let (_, inside) = schemas
            .iter()
            .find(|(name, _)| {
                body.contains(&format!("#/components/schemas/{name}\""))
                    && !["DataRequestBody", "ValueRequest"].contains(&name.as_str())
            })
            .expect("the root's schema");
        names.extend(names_in(&serde_json::to_value(inside).expect("JSON")));
    }
    names
}

#[cfg(test)]
fn names_in(schema: &serde_json::Value) -> std::collections::BTreeSet<String> {
    let properties = schema["properties"]
        .as_object()
        .expect("an object's schema");
    properties.keys().cloned().collect()
}
