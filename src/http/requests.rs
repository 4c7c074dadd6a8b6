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
    /// Sent by older clients.
    #[schema(inline)]
    session: Option<SessionRequest>,
}

/// Sent by older clients.
#[derive(ToSchema)]
pub struct SessionRequest {
    /// Has no effect: starting a session never starts an aggregation.
    skip_aggregation: Option<bool>,
}

/// `{"user": {…}}`
#[derive(ToSchema)]
pub struct UserRequestBody {
    /// The user.
    user: Option<UserRequest>,
}

/// A new user.
#[derive(ToSchema)]
pub struct UserRequest {
    /// Your own name for it, unique among your users.
    #[schema(max_length = 255, example = "ada")]
    id: Option<String>,
    /// An e-mail address, stored and returned.
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
    /// The value. It is encrypted at once, never logged and never returned.
    #[schema(max_length = 4096, format = Password, example = "ada")]
    value: Option<String>,
}

/// The data to pull.
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
            /// The data that its jobs ask for.
            data_request: Option<DataRequestBody>,
            /// Whether its jobs pull transactions.
            include_transactions: Option<bool>,
            /// Whether its jobs pull holdings.
            include_holdings: Option<bool>,
            /// `true`: this request sends no webhook.
            skip_webhook: Option<bool>,
            /// BROWSER (the default) or APP, in upper or lower case.
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
            /// The registered scheme of the app where an APP flow ends.
            #[schema(max_length = 64, example = "com.example.acme")]
            ui_message_webview_url_scheme: Option<String>,
            /// Stored with the link, without effect; true by default.
            enable_app2app: Option<bool>,
            /// single, interstitial or multi; the default is in your configuration.
            #[schema(inline)]
            open_policy: Option<OpenPolicyName>,
            /// How long the link may wait to be opened: at most 60 minutes for single, 7 days otherwise.
            #[schema(minimum = 1, maximum = 10080, example = 10)]
            link_minutes: Option<u32>,
            /// How long the person may take at the institution, once the link was opened.
            #[schema(minimum = 1, maximum = 60, example = 15)]
            authorization_minutes: Option<u32>,
            /// Languages for the pages, the preferred one first.
            #[schema(max_length = 60, example = "de en")]
            ui_locales: Option<String>,
        }
    };
}

body_with_wishes! {
    /// A new member and, next to it, the options of its first link.
    NexusMemberRequestBody {
        /// The member.
        member: NexusMemberRequest,
    }
}

body_with_wishes! {
    /// A new member and, next to it, the options of its first link.
    PlatformMemberRequestBody {
        /// The member.
        member: PlatformMemberRequest,
    }
}

/// A new member.
#[derive(ToSchema)]
pub struct NexusMemberRequest {
    /// The institution, by guid.
    #[schema(example = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    institution_guid: Option<String>,
    /// The institution, by code, if no guid is given.
    #[schema(example = "mxbank")]
    institution_code: Option<String>,
    /// Whether it connects by OAuth: required if the institution `supports_oauth`.
    is_oauth: Option<bool>,
    /// A value for each field the institution asks for; not with `is_oauth`.
    #[schema(max_items = 50)]
    credentials: Option<Vec<ValueRequest>>,
    /// `true`: do not aggregate until you ask for it.
    skip_aggregation: Option<bool>,
    /// The name that people see; by default the institution's name.
    #[schema(max_length = 255, example = "MX Bank")]
    name: Option<String>,
    /// Your own name for it, unique among your members.
    #[schema(max_length = 255, example = "acct-link-42")]
    external_guid: Option<String>,
    /// Your own text about it, at most 4096 bytes.
    #[schema(max_length = 4096, example = "{\"shelf\":4}")]
    metadata: Option<String>,
    /// The purpose of the data; PFM by default.
    #[schema(inline)]
    use_cases: Option<Vec<UseCaseName>>,
    /// Returned as received, with the member.
    background_aggregation_is_disabled: Option<bool>,
}

/// A new member.
#[derive(ToSchema)]
pub struct PlatformMemberRequest {
    /// The institution, by code.
    #[schema(example = "mxbank")]
    institution_code: Option<String>,
    /// The institution, by guid. If there is a code too, the guid is used.
    #[schema(example = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    institution_guid: Option<String>,
    /// Whether it connects by OAuth: required if the institution `supports_oauth`.
    is_oauth: Option<bool>,
    /// A value for each field the institution asks for; not with `is_oauth`.
    #[schema(max_items = 50)]
    credentials: Option<Vec<ValueRequest>>,
    /// `true`: do not aggregate until you ask for it.
    skip_aggregation: Option<bool>,
    /// The name that people see; by default the institution's name.
    #[schema(max_length = 255, example = "MX Bank")]
    name: Option<String>,
    /// Your own name for it, unique among your members.
    #[schema(max_length = 255, example = "my-member-1")]
    id: Option<String>,
    /// Your own text about it, at most 4096 bytes.
    #[schema(max_length = 4096, example = "{\"shelf\":4}")]
    metadata: Option<String>,
    /// The purpose of the data; PFM by default.
    #[schema(inline)]
    use_cases: Option<Vec<UseCaseName>>,
    /// Returned as received, with the member.
    background_aggregation_is_disabled: Option<bool>,
}

macro_rules! change_body {
    ($body:ident $change:ident $(#[$doc:meta])* $own_name:ident) => {
        /// The changes; fields that are left out stay as they are.
        #[derive(ToSchema)]
        pub struct $body {
            /// The changes.
            member: Option<$change>,
            /// The data that its jobs ask for from now on.
            data_request: Option<DataRequestBody>,
            /// Whether its jobs pull transactions.
            include_transactions: Option<bool>,
            /// Whether its jobs pull holdings.
            include_holdings: Option<bool>,
            /// `true`: this request sends no webhook.
            skip_webhook: Option<bool>,
        }

        /// The changes of a member.
        #[derive(ToSchema)]
        pub struct $change {
            /// New values, for members without OAuth: one for each field the institution asks for.
            #[schema(max_items = 50)]
            credentials: Option<Vec<ValueRequest>>,
            /// `true`: new credentials are stored but not tried.
            skip_aggregation: Option<bool>,
            /// The name that people see.
            #[schema(max_length = 255, example = "MX Bank")]
            name: Option<String>,
            $(#[$doc])*
            #[schema(max_length = 255, example = "acct-link-42")]
            $own_name: Option<String>,
            /// Your own text about it, at most 4096 bytes; null removes it.
            #[schema(max_length = 4096, example = "{\"shelf\":4}")]
            metadata: Option<String>,
            /// The purpose of the data.
            #[schema(inline)]
            use_cases: Option<Vec<UseCaseName>>,
            /// Returned as received, with the member.
            background_aggregation_is_disabled: Option<bool>,
        }
    };
}

change_body! {
    NexusMemberChangeBody NexusMemberChange
    /// Your own name for it, unique among your members; null removes it.
    external_guid
}

change_body! {
    PlatformMemberChangeBody PlatformMemberChange
    /// Your own name for it, unique among your members; null removes it.
    id
}

/// The answers to an institution's questions.
#[derive(ToSchema)]
pub struct AnswersBody {
    /// The answers.
    member: AnswersRequest,
    /// `true`: this request sends no webhook.
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
    /// `true`: this request sends no webhook.
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

/// The data that a job asks for.
#[derive(ToSchema)]
pub struct PullRequestBody {
    /// The data that this job asks for, if not the same as the member's other jobs.
    data_request: Option<DataRequestBody>,
    /// Whether to pull transactions.
    include_transactions: Option<bool>,
    /// Whether to pull holdings.
    include_holdings: Option<bool>,
    /// `true`: this request sends no webhook.
    skip_webhook: Option<bool>,
}

/// The data that a job asks for, as the aggregator gets it.
#[derive(ToSchema)]
pub struct PullRequest {
    /// The kinds of data.
    #[schema(inline)]
    products: Option<Vec<ProductName>>,
    /// Whether to pull transactions, if the client said so.
    include_transactions: Option<bool>,
    /// Whether to pull holdings, if the client said so.
    include_holdings: Option<bool>,
}

/// An aggregator's report on a job.
#[derive(ToSchema)]
pub struct ReportRequestBody {
    #[schema(inline)]
    status: ReportStatus,
    /// Why it failed; required with failed.
    #[schema(inline)]
    reason: Option<ReportReason>,
    /// The questions; required with challenged.
    #[schema(max_items = 20)]
    challenges: Option<Vec<QuestionRequest>>,
    /// With succeeded: the number of new transactions.
    #[schema(minimum = 0, example = 12)]
    transactions_created_count: Option<u32>,
    /// With succeeded: the number of changed transactions.
    #[schema(minimum = 0, example = 0)]
    transactions_updated_count: Option<u32>,
}

/// The progress of a job.
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

/// Why a job failed.
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
    /// The question.
    #[schema(max_length = 1000, example = "What was your first pet called?")]
    label: String,
    /// The choices, with OPTIONS only.
    #[schema(min_items = 1, max_items = 100)]
    options: Option<Vec<OptionRequest>>,
    /// The picture in Base64, with IMAGE_DATA only.
    #[schema(max_length = 65536)]
    image_data: Option<String>,
    /// The pictures to choose from, with IMAGE_OPTIONS only.
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
    /// The label.
    #[schema(max_length = 1000, example = "Checking")]
    label: String,
    /// The value to send.
    #[schema(max_length = 255, example = "1")]
    value: String,
}

/// One of the pictures to choose from.
#[derive(ToSchema)]
pub struct ImageOptionRequest {
    /// The picture's label.
    #[schema(max_length = 1000, example = "A boat")]
    label: String,
    /// The value to send.
    #[schema(max_length = 255, example = "boat")]
    value: String,
    /// The picture: an address, or Base64.
    #[schema(max_length = 65536, example = "data:image/png;base64,iVBORw0KGgo=")]
    data_uri: String,
}

/// How the link opens, and where the person ends up.
pub type WindowRequestBody = super::params::WindowWishes;

/// A request that may suppress its webhooks.
#[derive(ToSchema)]
pub struct SilentRequestBody {
    /// `true`: this request sends no webhook.
    skip_webhook: Option<bool>,
}

/// Filters for institutions.
#[derive(ToSchema)]
pub struct InstitutionSearchBody {
    /// Part of the name; upper and lower case are the same.
    #[schema(max_length = 255, example = "bank")]
    name: Option<String>,
    /// Two-letter country codes (ISO 3166-1): a list, or a single one.
    #[schema(example = json!(["US"]))]
    iso_country_code: Option<Vec<String>>,
    /// `true`: only institutions with OAuth where you are registered. `false`: only the others.
    supports_oauth: Option<bool>,
    /// The page, counted from 1. A value out of range is read as 1.
    #[schema(minimum = 1, example = 1)]
    page: Option<u32>,
    /// How many entries a page has. A value out of range is read as 25.
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
