//! Institutions.

use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use super::Pagination;
use crate::domain::client::Client;
use crate::domain::id::InstitutionGuid;
use crate::domain::institution::Institution;
use crate::flow::Gateway;

/// What people should know before they sign in, in the form that MX's own widget reads.
#[derive(Serialize, ToSchema)]
pub struct InstructionalData<'a> {
    /// The text.
    #[schema(required, example = "Use the user name of your online banking.")]
    description: Option<&'a str>,
    /// The steps.
    #[schema(required, example = json!(["Open the app of your bank.", "Allow access for third parties."]))]
    steps: Option<&'a [String]>,
    /// Always null.
    #[schema(required, example = json!(null))]
    title: Option<&'a str>,
}

/// An institution.
#[derive(Serialize, ToSchema)]
pub struct InstitutionResponse<'a> {
    /// Its readable identifier, which never changes.
    #[schema(example = "mxbank")]
    code: &'a str,
    /// The same as `forgot_password_url`, by the name that MX's own widget reads.
    #[schema(required, format = "uri", example = "https://bank.example/password")]
    forgot_password_credential_recovery_url: Option<&'a str>,
    /// Where people go who forgot their password.
    #[schema(required, format = "uri", example = "https://bank.example/password")]
    forgot_password_url: Option<&'a str>,
    /// The same as `forgot_username_url`, by the name that MX's own widget reads.
    #[schema(required, format = "uri", example = "https://bank.example/name")]
    forgot_username_credential_recovery_url: Option<&'a str>,
    /// Where people go who forgot their user name.
    #[schema(required, format = "uri", example = "https://bank.example/name")]
    forgot_username_url: Option<&'a str>,
    /// Identifier, which never changes.
    #[schema(value_type = String, pattern = "^INS-[0-9a-f-]{36}$", example = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: InstitutionGuid,
    /// `instructional_text` and its steps, in the form that MX's own widget reads.
    instructional_data: InstructionalData<'a>,
    /// What people should know before they sign in.
    #[schema(required, example = "Use the user name of your online banking.")]
    instructional_text: Option<&'a str>,
    /// What people have to do, step by step.
    #[schema(required, example = json!(["Open the app of your bank.", "Allow access for third parties."]))]
    instructional_text_steps: Option<&'a [String]>,
    /// Always false: institutions that you cannot use are not listed.
    #[schema(example = false)]
    is_disabled_by_client: bool,
    /// Always false.
    #[schema(example = false)]
    is_hidden: bool,
    /// The country it is in, as two letters (ISO 3166-1), if its file names one. The Platform API
    /// leaves it out otherwise, and in v20250224 for every country but US and CA.
    #[schema(example = "US")]
    iso_country_code: Option<&'a str>,
    /// A picture of it, on the gateway's origin: a neutral one if its file names none.
    #[schema(
        format = "uri",
        example = "https://guichet.example/oauth/logos/institutions/mxbank"
    )]
    logo_url: String,
    /// The same picture.
    #[schema(
        format = "uri",
        example = "https://guichet.example/oauth/logos/institutions/mxbank"
    )]
    medium_logo_url: String,
    /// The name that people see.
    #[schema(example = "MX Bank")]
    name: &'a str,
    /// What people have to share on its pages: 0 accounts and transactions, 1 account numbers, 2
    /// profile, 3 statements, 4 tax documents.
    #[schema(example = json!([0, 1]))]
    oauth_predirect_instructions: Vec<u8>,
    /// The same picture.
    #[schema(
        format = "uri",
        example = "https://guichet.example/oauth/logos/institutions/mxbank"
    )]
    small_logo_url: String,
    /// Always null: only the aggregator knows what can be pulled.
    #[schema(required, example = json!(null))]
    supports_account_identification: Option<bool>,
    /// Always null, for the same reason.
    #[schema(required, example = json!(null))]
    supports_account_statement: Option<bool>,
    /// Always null, for the same reason.
    #[schema(required, example = json!(null))]
    supports_account_verification: Option<bool>,
    /// Whether it has OAuth and you are registered there. If so, OAuth is the only way to connect.
    supports_oauth: bool,
    /// Always null: only the aggregator knows what can be pulled.
    #[schema(required, example = json!(null))]
    supports_tax_document: Option<bool>,
    /// Always null, for the same reason.
    #[schema(required, example = json!(null))]
    supports_transaction_history: Option<bool>,
    /// The same as `trouble_signing_in_url`, by the name that MX's own widget reads.
    #[schema(required, format = "uri", example = "https://bank.example/help")]
    trouble_signing_credential_recovery_url: Option<&'a str>,
    /// Where people go who cannot sign in.
    #[schema(required, format = "uri", example = "https://bank.example/help")]
    trouble_signing_in_url: Option<&'a str>,
    /// Its website.
    #[schema(required, format = "uri", example = "https://bank.example/")]
    url: Option<&'a str>,
}

impl<'a> InstitutionResponse<'a> {
    /// The institution as `client` sees it.
    pub fn of(gateway: &Gateway, client: &Client, institution: &'a Institution) -> Self {
        let mut logo = gateway.settings.public_url.clone();
        logo.set_path(&format!("/oauth/logos/institutions/{}", institution.code));
        let logo = logo.to_string();
        let help = &institution.help;
        let steps = (!help.steps.is_empty()).then_some(help.steps.as_slice());
        let forgot_password = help.forgot_password.as_ref().map(Url::as_str);
        let forgot_username = help.forgot_username.as_ref().map(Url::as_str);
        let trouble = help.trouble_signing_in.as_ref().map(Url::as_str);
        Self {
            code: institution.code.as_str(),
            forgot_password_credential_recovery_url: forgot_password,
            forgot_password_url: forgot_password,
            forgot_username_credential_recovery_url: forgot_username,
            forgot_username_url: forgot_username,
            guid: institution.guid,
            instructional_data: InstructionalData {
                description: help.text.as_deref(),
                steps,
                title: None,
            },
            instructional_text: help.text.as_deref(),
            instructional_text_steps: steps,
            is_disabled_by_client: false,
            is_hidden: false,
            iso_country_code: institution.iso_country_code.as_deref(),
            logo_url: logo.clone(),
            medium_logo_url: logo.clone(),
            name: &institution.name,
            oauth_predirect_instructions: help.to_share.iter().map(|it| it.id()).collect(),
            small_logo_url: logo,
            supports_account_identification: None,
            supports_account_statement: None,
            supports_account_verification: None,
            supports_oauth: supports_oauth(client, institution),
            supports_tax_document: None,
            supports_transaction_history: None,
            trouble_signing_credential_recovery_url: trouble,
            trouble_signing_in_url: trouble,
            url: institution.url.as_ref().map(Url::as_str),
        }
    }
}

/// Whether the institution has OAuth and the client is registered there (CONTRACT.md 7).
pub fn supports_oauth(client: &Client, institution: &Institution) -> bool {
    institution.oauth.is_some() && client.registration(&institution.code).is_some()
}

/// One institution.
#[derive(Serialize, ToSchema)]
pub struct InstitutionBody<'a> {
    /// The institution.
    pub institution: InstitutionResponse<'a>,
}

/// A page of institutions.
#[derive(Serialize, ToSchema)]
pub struct InstitutionsBody<'a> {
    /// The institutions, by name.
    pub institutions: Vec<InstitutionResponse<'a>>,
    /// The position of this page in the list.
    pub pagination: Pagination,
}
