//! Every field that a request may have: how it is read, its limits and its description, declared
//! once. Real clients put fields in three places (CONTRACT.md 1.2); [`Fields`] finds them.
//!
//! The compiler warns of a field that is declared and not read anywhere.
//!
//! [`Fields`]: super::body::Fields

use axum::http::HeaderMap;
use utoipa::ToSchema;

use super::body::{
    AnyText, Field, FieldError, FieldGuid, Filled, Flag, Handle, Label, Line, List, Metadata,
    Number, Object, OwnName, Secret, SomeOf, Source, StatusId, Text, Texts, TextsByName, Word,
    request, webhook_choice,
};
use crate::domain::challenge::CHALLENGES_LIMIT;
use crate::domain::credential::GivenValue;
use crate::domain::data_request::{DataRequest, Product};
use crate::domain::id::{MemberGuid, UserGuid};
use crate::domain::job::JobFailure;
use crate::domain::member::UseCase;
use crate::domain::window::{OpenPolicy, ReferralSource};
use crate::flow::PageRequest;
use crate::flow::WebhookChoice;
use crate::flow::claim::{LONGEST_WAIT_S, MOST_JOBS};
use crate::flow::mint;

/// `{"session": {"skip_aggregation": true}}`, or nothing.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a session's body is taken, whatever it is")]
pub struct SessionRequestBody {
    /// Sent by older clients.
    #[schema(inline)]
    session: Option<SessionRequest>,
}

/// Sent by older clients.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a session's body is taken, whatever it is")]
pub struct SessionRequest {
    /// Has no effect: starting a session never starts an aggregation.
    skip_aggregation: Option<bool>,
}

request! {
    /// `{"user": {…}}`
    UserRequestBody in user: UserRequest "The user." {
    }

    /// A new user.
    UserRequest {
        /// Your own name for it, unique among your users.
        id: OwnName<UserGuid> = "ada",
        /// An e-mail address, stored and returned.
        email: Label = "ada@example.org",
        /// Your own text about it, at most 4096 bytes.
        metadata: Metadata = "{\"plan\":\"basic\"}",
        /// Whether it is disabled.
        is_disabled: Flag,
    }

    /// Which users.
    UsersQuery {
        /// The user with this `id`.
        id: Filled = "ada",
        /// Users with this `email`.
        email: Filled = "ada@example.org",
        /// `true`: only disabled users. `false`: only the others.
        is_disabled: Flag,
    }

    /// Which page of a listing.
    PagesQuery {
        /// The page, counted from 1. A value out of range is read as 1.
        page: Number<1> = 1,
        /// How many entries a page has. A value out of range is read as 25.
        records_per_page: Number<10, 1000> = 25,
    }

    /// Filters for institutions.
    InstitutionSearchBody {
        /// Part of the name; upper and lower case are the same.
        name: Filled = "bank",
        /// Two-letter country codes (ISO 3166-1), a list or a single one; an institution in any of them
        /// is listed.
        iso_country_code: Texts = ["US"],
        /// `true`: only institutions with OAuth where you are registered. `false`: only the others.
        supports_oauth: Flag,
        ..pages: PagesQuery,
    }

    /// Which OAuth states.
    OauthStatesQuery {
        /// The user, by guid or by your own `id`; only with an API key. A session sees the states of its own user.
        user_guid: AnyText = "USR-68e96dd6-eabd-42d3-9f05-416897f0746c",
        /// The member that the link was made for. With an API key, this or `user_guid` is required. The
        /// states of a member that was merged into another are found only with `user_guid`.
        outbound_member_guid: AnyText = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c",
        /// 1 PENDING, 2 SUCCESS, 3 ERRORED.
        auth_status: StatusId = 1,
    }

    /// Which members.
    UseCaseQuery {
        /// Only members with this use case.
        use_case: UseCase,
    }

    /// How the link opens, and where the person goes at the end.
    WindowLinkOptions {
        /// `true`: do not aggregate after the person has come back.
        skip_aggregation: Flag,
        ..link_options: LinkOptions,
    }

    /// The options of a link.
    LinkOptions {
        /// BROWSER (the default) or APP, in upper or lower case.
        referral_source: Source = "BROWSER",
        /// Another name of `referral_source`.
        oauth_referral_source: Source = "BROWSER",
        /// `true` is the same as APP.
        is_mobile_webview: Flag,
        /// Where an APP flow ends: a registered address, byte for byte up to the `?`. Ignored in BROWSER
        /// flows.
        client_redirect_url: Text<2000> = "https://app.example/done",
        /// The registered scheme of the app where an APP flow ends. Ignored in BROWSER flows.
        ui_message_webview_url_scheme: Text<64> = "com.example.acme",
        /// Stored with the link, without effect; true by default.
        enable_app2app: Flag,
        /// single, interstitial or multi; the default is in your configuration.
        open_policy: OpenPolicy,
        /// How long the link may wait to be opened: at most 60 minutes for single, 7 days for the others.
        link_minutes: Number<1, 10080> = 10,
        /// How long the person may take at the institution, once the link was opened.
        authorization_minutes: Number<1, 60> = 15,
        /// Languages for the pages, the preferred one first (OpenID Connect Core section 3.1.2.1).
        ui_locales: Text<60> = "de en",
        /// What the institution asks for with every connection, by its names; most ask for nothing. Its operator
        /// says which. In a query: the object as JSON text.
        oauth_values: TextsByName,
    }

    /// The data that a job asks for.
    PullOptions {
        /// Whether to pull transactions.
        include_transactions: Flag,
        /// Whether to pull holdings.
        include_holdings: Flag,
    }

    /// The data that a job asks for.
    PullRequestBody {
        /// The data that this job asks for, if not the same as the member's other jobs.
        data_request: Object<DataRequestBody>,
        ..pull: PullOptions,
        ..silence: SilentRequestBody,
    }

    /// The data to pull.
    DataRequestBody {
        /// The kinds of data.
        products: SomeOf<Product>,
    }

    /// A request that may suppress its webhooks.
    SilentRequestBody {
        /// `true`: this request sends no webhook.
        skip_webhook: Flag,
    }

    /// A new member and, next to it, the options of its first link.
    NexusMemberRequestBody in member (required): NexusMemberRequest "The member." {
        ..jobs: Jobs,
        ..link_options: LinkOptions,
    }

    /// A new member and, next to it, the options of its first link.
    PlatformMemberRequestBody in member (required): PlatformMemberRequest "The member." {
        ..jobs: Jobs,
        ..link_options: LinkOptions,
    }

    /// What the jobs of a member ask for.
    Jobs {
        /// The data that its jobs ask for from now on.
        data_request: Object<DataRequestBody>,
        ..pull: PullOptions,
        ..silence: SilentRequestBody,
    }

    /// A new member.
    NexusMemberRequest {
        /// The institution, by guid.
        institution_guid: AnyText = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c",
        /// The institution, by code, if no guid is given.
        institution_code: AnyText = "mxbank",
        /// Your own name for it, unique among your members.
        external_guid: OwnName<MemberGuid> = "acct-link-42",
        ..new: NewMember,
    }

    /// A new member.
    PlatformMemberRequest {
        /// The institution, by code.
        institution_code: AnyText = "mxbank",
        /// The institution, by guid. If there is a code too, the guid is used.
        institution_guid: AnyText = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c",
        /// Your own name for it, unique among your members.
        id: OwnName<MemberGuid> = "my-member-1",
        ..new: NewMember,
    }

    /// The fields of a new member that have the same name in both APIs.
    NewMember {
        /// Whether it connects by OAuth: required if the institution `supports_oauth`.
        is_oauth: Flag,
        /// A value for each field the institution asks for; not with `is_oauth`.
        credentials: Values,
        /// `true`: do not aggregate until you ask for it.
        skip_aggregation: Flag,
        /// The name that people see; by default the institution's name.
        name: Label = "MX Bank",
        /// Your own text about it, at most 4096 bytes.
        metadata: Metadata = "{\"shelf\":4}",
        /// The purpose of the data; PFM by default.
        use_cases: SomeOf<UseCase>,
        /// Whether the member is never pulled in the background.
        background_aggregation_is_disabled: Flag,
    }

    /// The changes; fields that are left out stay as they are.
    NexusMemberChangeBody in member: NexusMemberChange "The changes." {
        ..jobs: Jobs,
    }

    /// The changes; fields that are left out stay as they are.
    PlatformMemberChangeBody in member: PlatformMemberChange "The changes." {
        ..jobs: Jobs,
    }

    /// The changes of a member.
    NexusMemberChange {
        /// Your own name for it, unique among your members; null removes it.
        external_guid: OwnName<MemberGuid> = "acct-link-42",
        ..change: MemberChange,
    }

    /// The changes of a member.
    PlatformMemberChange {
        /// Your own name for it, unique among your members; null removes it.
        id: OwnName<MemberGuid> = "acct-link-42",
        ..change: MemberChange,
    }

    /// The changes of a member that have the same name in both APIs.
    MemberChange {
        /// New values, for members without OAuth: one for each field the institution asks for.
        credentials: Values,
        /// `true`: new credentials are stored but not tried.
        skip_aggregation: Flag,
        /// The name that people see.
        name: Label = "MX Bank",
        /// Your own text about it, at most 4096 bytes; null removes it.
        metadata: Metadata = "{\"shelf\":4}",
        /// The purpose of the data.
        use_cases: SomeOf<UseCase>,
        /// Whether the member is never pulled in the background.
        background_aggregation_is_disabled: Flag,
    }

    /// The answers to an institution's questions.
    AnswersBody in member (required): AnswersRequest "The answers." {
        ..silence: SilentRequestBody,
    }

    /// One answer to each question.
    AnswersRequest {
        /// The guid and value of each answer.
        challenges (required): Values,
    }

    /// The answers to an institution's questions, as MX's own widget sends them.
    MfaAnswersBody in member (required): MfaAnswersRequest "The member, with the answers; its other fields are not read." {
        ..silence: SilentRequestBody,
    }

    /// One answer to each question, under either name; `challenges` wins.
    MfaAnswersRequest {
        /// The guid and value of each answer.
        challenges: Values,
        /// The guid and value of each answer.
        credentials: Values,
    }

    /// `{"oauth_completion": {"handle": "och_…"}}`
    OauthCompletionRequestBody in oauth_completion (required): OauthCompletionRequest "The confirmation." {
    }

    /// Says that the person who came back is the member's user.
    OauthCompletionRequest {
        /// What the browser brought back as `completion`, by the message to the opener or in the address.
        handle (required): Handle,
    }

    /// A value for a field, or an answer to a question.
    ValueRequest, "objects of guid and value" {
        /// The field's guid, or the question's.
        guid (required): FieldGuid = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c",
        /// The value. It is encrypted at once, never logged and never returned.
        value: Secret = "ada",
    }

    /// Which jobs an aggregator claims.
    ClaimRequestBody {
        /// The most jobs to hand out; 10 if it is left out.
        max: Number<1, MOST_JOBS> = 10,
        /// How long to wait for a job if none is due; not at all if it is left out.
        wait_seconds: Number<0, LONGEST_WAIT_S> = 20,
    }

    /// An aggregator's report on a job.
    ReportRequestBody {
        /// The `round` of the push or claim that it is about. A report that names an earlier one than the newest is
        /// refused; without it this is not checked.
        round: Number = 0,
        /// The same for `attempt`.
        attempt: Number<1, 1000> = 1,
        /// The progress of a job.
        status (required): ReportStatus,
        /// Why it failed; required with failed.
        reason: JobFailure,
        /// The questions; required with challenged.
        challenges: List<QuestionRequest, 1, CHALLENGES_LIMIT>,
        /// With succeeded: the number of new transactions.
        transactions_created_count: Number = 12,
        /// With succeeded: the number of changed transactions.
        transactions_updated_count: Number = 0,
    }

    /// One question.
    QuestionRequest, "questions", QuestionRequest::fitting {
        /// What kind of question it is.
        r#type (required): QuestionType,
        /// The institution's name for it.
        field_name (required): Line<255> = "pet",
        /// The question.
        label (required): Line<1000> = "What was your first pet called?",
        /// The choices, with OPTIONS only.
        options: List<OptionRequest, 1, 100>,
        /// The picture in Base64, with IMAGE_DATA only.
        image_data: Picture,
        /// The pictures to choose from, with IMAGE_OPTIONS only.
        image_options: List<ImageOptionRequest, 1, 100>,
    }

    /// One of the values to choose from.
    OptionRequest, "options", Request::declared {
        /// The label.
        label (required): Line<1000> = "Checking",
        /// The value to send.
        value (required): Line<255> = "1",
    }

    /// One of the pictures to choose from.
    ImageOptionRequest, "options", Request::declared {
        /// The picture's label.
        label (required): Line<1000> = "A boat",
        /// The value to send.
        value (required): Line<255> = "boat",
        /// The picture: an address, or Base64.
        data_uri (required): Picture = "data:image/png;base64,iVBORw0KGgo=",
    }
}

/// The values of one request.
pub type Values = List<ValueRequest, 0, 50>;

/// A picture in text; the whole report has its own limit.
pub type Picture = Line<{ 64 * 1024 }>;

/// Defines words and their values.
macro_rules! words {
    ($($of:ty: $($word:literal $value:ident)*;)*) => { $(
        impl Word for $of {
            fn all() -> Vec<(&'static str, Self)> {
                vec![$(($word, Self::$value)),*]
            }
        }
    )* };
}

words! {
    OpenPolicy: "single" Single "interstitial" Interstitial "multi" Multi;
    UseCase: "PFM" Pfm "MONEY_MOVEMENT" MoneyMovement;
    ReportStatus: "started" Started "succeeded" Succeeded "challenged" Challenged "failed" Failed;
    QuestionType: "TEXT" Text "OPTIONS" Options "TOKEN" Token "IMAGE_DATA" ImageData "IMAGE_OPTIONS" ImageOptions;
    Product: "account_verification" AccountVerification "identity_verification" IdentityVerification
        "transactions" Transactions "transaction_history" TransactionHistory "statements" Statements
        "investments" Investments "rewards" Rewards;
}

impl Word for JobFailure {
    /// The reasons that an aggregator may report.
    fn all() -> Vec<(&'static str, Self)> {
        let all = JobFailure::ALL.iter().filter(|failure| !failure.is_ours());
        all.map(|failure| (failure.name(), *failure)).collect()
    }
}

/// The progress of a job, as its aggregator reports it.
#[derive(Clone, Copy, PartialEq)]
pub enum ReportStatus {
    Started,
    Succeeded,
    Challenged,
    Failed,
}

/// What kind of question it is.
#[derive(Clone, Copy, PartialEq)]
pub enum QuestionType {
    Text,
    Options,
    Token,
    ImageData,
    ImageOptions,
}

impl QuestionRequest {
    fn fitting(&self) -> Result<Vec<String>, FieldError> {
        let own = match self.r#type.required()? {
            QuestionType::Text | QuestionType::Token => None,
            QuestionType::Options => Some(self.options.name()),
            QuestionType::ImageData => Some(self.image_data.name()),
            QuestionType::ImageOptions => Some(self.image_options.name()),
        };
        let all = [
            self.r#type.name(),
            self.field_name.name(),
            self.label.name(),
        ];
        let all = all.into_iter().chain(own);
        Ok(all.map(|name| name.key().to_owned()).collect())
    }
}

impl PagesQuery {
    /// The page; a value out of range counts as the default (CONTRACT.md 2.4).
    pub fn page(&self) -> PageRequest {
        PageRequest {
            page: self.page.within().unwrap_or(1),
            per_page: self.records_per_page.within().unwrap_or(25),
        }
    }
}

impl SilentRequestBody {
    /// Whether this request's events are sent (CONTRACT.md 1.4).
    pub fn webhooks(&self, headers: &HeaderMap) -> Result<WebhookChoice, FieldError> {
        Ok(match self.skip_webhook.read()? {
            Some(true) => WebhookChoice::Skip,
            _ => webhook_choice(headers),
        })
    }
}

impl LinkOptions {
    /// The window's options in the request.
    pub fn of_window(
        &self,
        skip_aggregation: Option<bool>,
    ) -> Result<mint::MintOptions, FieldError> {
        let by_name = match self.referral_source.read()? {
            Some(source) => source,
            None => self.oauth_referral_source.read()?.unwrap_or_default(),
        };
        Ok(mint::MintOptions {
            // A mobile webview counts as an app, whatever the other fields say (CONTRACT.md 6.2).
            referral_source: match self.is_mobile_webview.read()? {
                Some(true) => ReferralSource::App,
                _ => by_name,
            },
            client_redirect_url: self.client_redirect_url.read()?,
            ui_message_webview_url_scheme: self.ui_message_webview_url_scheme.read()?,
            skip_aggregation,
            enable_app2app: self.enable_app2app.read()?,
            open_policy: self.open_policy.read()?,
            link_minutes: self.link_minutes.read()?,
            authorization_minutes: self.authorization_minutes.read()?,
            ui_locales: self.ui_locales.read()?,
            oauth_values: self.oauth_values.read()?.unwrap_or_default(),
        })
    }
}

impl PullOptions {
    /// What a job asks for: `data_request.products`, `include_transactions` and `include_holdings`
    /// (CONTRACT.md 1.4 and 2.2).
    pub fn data_request(
        &self,
        data_request: &Field<Object<DataRequestBody>>,
    ) -> Result<DataRequest, FieldError> {
        let products = data_request.read()?.map(|asked| asked.products.read());
        Ok(DataRequest {
            products: products.transpose()?.flatten().unwrap_or_default(),
            include_transactions: self.include_transactions.read()?,
            include_holdings: self.include_holdings.read()?,
        })
    }
}

/// The values in a list. An item without a value counts as absent. An error names the place of the item
/// and not its guid, because somebody may have swapped guid and value.
pub fn given(values: Option<Vec<ValueRequest>>) -> Result<Vec<GivenValue>, FieldError> {
    let mut given = Vec::new();
    for one in values.into_iter().flatten() {
        let guid = one.guid.required()?;
        given.extend(one.value.read()?.map(|value| GivenValue { guid, value }));
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::{Value, json};

    use super::*;
    use crate::http::body::Fields;

    const GUID: &str = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c";

    fn values(list: &Value) -> Result<Vec<GivenValue>, String> {
        let body = json!({"member": {"challenges": list}}).to_string();
        let fields = Fields::parse(body.as_bytes(), "member").expect("a body");
        let sent = fields.take::<AnswersBody>().member.challenges.read();
        sent.and_then(given).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_read_and_absent_ones_left_out() {
        let list = json!([
            {"guid": GUID, "value": " ada "}, {"guid": GUID, "value": null}, {"guid": GUID},
        ]);
        let given = values(&list).expect("values");
        assert_eq!(given.len(), 1);
        assert_eq!(given[0].value.expose_secret(), " ada ");
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place_and_never_shown() {
        for (wrong, place) in [
            (json!("sesame"), "challenges must be a list of at most 50 "),
            (
                json!([{"guid": "sesame", "value": GUID}]),
                "challenges[0].guid must be the guid of a field",
            ),
            (json!(["sesame"]), "challenges[0] must be an object"),
            (
                json!([{"guid": GUID, "value": ["sesame"]}]),
                "challenges[0].value must be a string",
            ),
        ] {
            let error = values(&wrong).expect_err("refused");
            assert!(error.starts_with(place), "{error}");
            assert!(!error.contains("sesame"), "{error}");
        }
    }
}
