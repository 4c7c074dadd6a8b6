//! Institutions.

use serde::Serialize;
use utoipa::ToSchema;

use super::Pagination;
use crate::domain::client::Client;
use crate::domain::id::InstitutionGuid;
use crate::domain::institution::Institution;
use crate::flow::Gateway;

/// An institution.
#[derive(Serialize, ToSchema)]
pub struct InstitutionAnswer<'a> {
    /// Its readable name; for ever the same.
    #[schema(example = "mxbank")]
    code: &'a str,
    /// Always null: its own pages tell people.
    #[schema(required, format = "uri", example = json!(null))]
    forgot_password_url: Option<&'static str>,
    /// Always null: its own pages tell people.
    #[schema(required, format = "uri", example = json!(null))]
    forgot_username_url: Option<&'static str>,
    /// Its name here; for ever the same.
    #[schema(value_type = String, pattern = "^INS-[0-9a-f-]{36}$", example = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: InstitutionGuid,
    /// Always null: the labels of the credentials say all there is.
    #[schema(required, example = json!(null))]
    instructional_text: Option<&'static str>,
    /// Always null, for the same reason.
    #[schema(required, example = json!(null))]
    instructional_text_steps: Option<Vec<&'static str>>,
    /// Always false: what is not for you is not listed.
    #[schema(example = false)]
    is_disabled_by_client: bool,
    /// Always false.
    #[schema(example = false)]
    is_hidden: bool,
    /// The country it is in, as two letters (ISO 3166-1), where its file says so. The Platform API
    /// leaves it out otherwise, and in v20250224 for every country but US and CA.
    #[schema(example = "US")]
    iso_country_code: Option<&'a str>,
    /// A picture of it, on our own origin, where there is one.
    #[schema(required, format = "uri", example = json!(null))]
    medium_logo_url: Option<String>,
    /// What people call it.
    #[schema(example = "MX Bank")]
    name: &'a str,
    /// The same picture.
    #[schema(required, format = "uri", example = json!(null))]
    small_logo_url: Option<String>,
    /// Always null: what can be pulled is for the aggregator to know.
    #[schema(required, example = json!(null))]
    supports_account_identification: Option<bool>,
    /// Always null, for the same reason.
    #[schema(required, example = json!(null))]
    supports_account_statement: Option<bool>,
    /// Always null, for the same reason.
    #[schema(required, example = json!(null))]
    supports_account_verification: Option<bool>,
    /// Whether it has OAuth and you are registered there: then OAuth is the only way.
    supports_oauth: bool,
    /// Always null: what can be pulled is for the aggregator to know.
    #[schema(required, example = json!(null))]
    supports_tax_document: Option<bool>,
    /// Always null, for the same reason.
    #[schema(required, example = json!(null))]
    supports_transaction_history: Option<bool>,
    /// Always null: its own pages tell people.
    #[schema(required, format = "uri", example = json!(null))]
    trouble_signing_in_url: Option<&'static str>,
    /// Its front page.
    #[schema(required, format = "uri", example = "https://bank.example/")]
    url: Option<&'a str>,
}

impl<'a> InstitutionAnswer<'a> {
    /// The institution as `client` sees it.
    pub fn of(gateway: &Gateway, client: &Client, institution: &'a Institution) -> Self {
        let logo = institution.logo.as_ref().map(|_| {
            let mut address = gateway.settings.public_url.clone();
            address.set_path(&format!("/oauth/logos/institutions/{}", institution.code));
            address.to_string()
        });
        Self {
            code: institution.code.as_str(),
            forgot_password_url: None,
            forgot_username_url: None,
            guid: institution.guid,
            instructional_text: None,
            instructional_text_steps: None,
            is_disabled_by_client: false,
            is_hidden: false,
            iso_country_code: institution.iso_country_code.as_deref(),
            medium_logo_url: logo.clone(),
            name: &institution.name,
            small_logo_url: logo,
            supports_account_identification: None,
            supports_account_statement: None,
            supports_account_verification: None,
            supports_oauth: supports_oauth(client, institution),
            supports_tax_document: None,
            supports_transaction_history: None,
            trouble_signing_in_url: None,
            url: institution.url.as_ref().map(url::Url::as_str),
        }
    }
}

/// Whether the institution has OAuth and the client is registered there (contract section 7).
pub fn supports_oauth(client: &Client, institution: &Institution) -> bool {
    institution.oauth.is_some() && client.registration(&institution.code).is_some()
}

/// One institution.
#[derive(Serialize, ToSchema)]
pub struct InstitutionBody<'a> {
    /// The institution.
    pub institution: InstitutionAnswer<'a>,
}

/// A page of institutions.
#[derive(Serialize, ToSchema)]
pub struct InstitutionsBody<'a> {
    /// The institutions, by name.
    pub institutions: Vec<InstitutionAnswer<'a>>,
    /// Where this page is.
    pub pagination: Pagination,
}
