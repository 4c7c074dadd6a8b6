//! The fields of an institution's sign-in, and the challenges of a job.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

use super::Pagination;
use crate::domain::challenge::{Challenge, ChallengeKind, ImageOption, picture_uri};
use crate::domain::credential::{CredentialField, FieldOption};
use crate::domain::id::CredentialGuid;

/// One choice.
#[derive(Serialize, ToSchema)]
pub struct OptionResponse<'a> {
    /// The field or question that it belongs to.
    #[schema(value_type = String, pattern = "^CRD-[0-9a-f-]{36}$", example = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    credential_guid: CredentialGuid,
    /// Its identifier, which may be sent instead of the value.
    #[schema(value_type = String, pattern = "^CRD-[0-9a-f-]{36}$", example = "CRD-a1b6c2f0-5a02-8b7e-9d5e-2f6a3f0c9b11")]
    guid: CredentialGuid,
    /// The label.
    #[schema(example = "Savings")]
    label: &'a str,
    /// The value to send.
    #[schema(example = "savings")]
    value: &'a str,
}

/// One picture of a choice.
#[derive(Serialize, ToSchema)]
pub struct ImageOptionResponse<'a> {
    #[serde(flatten)]
    option: OptionResponse<'a>,
    /// The picture: an address, or a data URI (RFC 2397).
    #[schema(value_type = String, example = "data:image/png;base64,iVBORw0KGgo=")]
    data_uri: Cow<'a, str>,
}

impl<'a> OptionResponse<'a> {
    fn of(field: CredentialGuid, label: &'a str, value: &'a str) -> Self {
        Self {
            credential_guid: field,
            guid: field.of_option(value),
            label,
            value,
        }
    }
}

/// The options of a field or question.
pub fn options(field: CredentialGuid, options: &[FieldOption]) -> Vec<OptionResponse<'_>> {
    let options = options.iter();
    let options = options.map(|it| OptionResponse::of(field, &it.label, &it.value));
    options.collect()
}

/// The pictures to choose from for a question.
pub fn pictures(field: CredentialGuid, pictures: &[ImageOption]) -> Vec<ImageOptionResponse<'_>> {
    let pictures = pictures.iter().map(|it| ImageOptionResponse {
        option: OptionResponse::of(field, &it.label, &it.value),
        data_uri: picture_uri(&it.data_uri),
    });
    pictures.collect()
}

/// One question of an institution.
// CONTRACT.md 2.4.
#[derive(Serialize, ToSchema)]
pub struct ChallengeResponse<'a> {
    /// The institution's name for it.
    #[schema(example = "city_of_birth")]
    field_name: &'a str,
    /// Its identifier, which an answer refers to.
    #[schema(value_type = String, pattern = "^CRD-[0-9a-f-]{36}$", example = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: CredentialGuid,
    /// The picture, in Base64, for IMAGE_DATA.
    #[schema(required, example = json!(null))]
    image_data: Option<&'a str>,
    /// The pictures to choose from, for IMAGE_OPTIONS; else empty.
    image_options: Vec<ImageOptionResponse<'a>>,
    /// The question.
    #[schema(example = "In what city were you born?")]
    label: &'a str,
    /// The choices of OPTIONS; else empty.
    options: Vec<OptionResponse<'a>>,
    /// TEXT, OPTIONS, TOKEN, IMAGE_DATA or IMAGE_OPTIONS.
    #[serde(rename = "type")]
    #[schema(example = "TEXT")]
    kind: &'static str,
}

impl<'a> From<&'a Challenge> for ChallengeResponse<'a> {
    fn from(challenge: &'a Challenge) -> Self {
        Self {
            field_name: &challenge.field_name,
            guid: challenge.guid,
            image_data: match &challenge.kind {
                ChallengeKind::ImageData { image_data } => Some(image_data),
                _ => None,
            },
            image_options: match &challenge.kind {
                ChallengeKind::ImageOptions { image_options } => {
                    pictures(challenge.guid, image_options)
                }
                _ => Vec::new(),
            },
            label: &challenge.label,
            options: match &challenge.kind {
                ChallengeKind::Options { options: all } => options(challenge.guid, all),
                _ => Vec::new(),
            },
            kind: challenge.kind.name(),
        }
    }
}

/// The questions that an institution is asking about a member now.
#[derive(Serialize, ToSchema)]
pub struct NexusChallengesBody<'a> {
    /// The questions; empty if there are none.
    pub challenges: Vec<ChallengeResponse<'a>>,
}

/// The questions that an institution is asking about a member now.
#[derive(Serialize, ToSchema)]
pub struct ChallengesBody<'a> {
    /// The questions; empty if there are none.
    pub challenges: Vec<ChallengeResponse<'a>>,
    /// The position of this page in the list.
    pub pagination: Pagination,
}

/// One field of an institution's sign-in, in the form of the Platform API.
#[derive(Serialize, ToSchema)]
pub struct CredentialResponse<'a> {
    /// Its place in the order people are asked, counted from 1.
    #[schema(example = 1)]
    display_order: usize,
    /// The institution's name for it.
    #[schema(example = "LOGIN")]
    field_name: &'a str,
    /// PASSWORD, OPTIONS or TEXT.
    #[schema(example = "TEXT")]
    field_type: &'static str,
    /// Its identifier, which a value refers to.
    #[schema(value_type = String, pattern = "^CRD-[0-9a-f-]{36}$", example = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: CredentialGuid,
    /// The label that people see.
    #[schema(example = "User name")]
    label: &'a str,
    /// Whether the value is optional.
    optional: bool,
    /// The choices of OPTIONS; else empty.
    options: Vec<OptionResponse<'a>>,
    /// The same as `field_type`.
    #[serde(rename = "type")]
    #[schema(example = "TEXT")]
    kind: &'static str,
}

impl<'a> CredentialResponse<'a> {
    /// The fields of one institution, in order.
    pub fn list(fields: &'a [CredentialField]) -> Vec<Self> {
        let response = |(index, field): (usize, &'a CredentialField)| Self {
            display_order: index + 1,
            field_name: &field.field_name,
            field_type: field.field_type.name(),
            guid: field.guid,
            label: &field.label,
            optional: field.optional,
            options: options(field.guid, &field.options),
            kind: field.field_type.name(),
        };
        fields.iter().enumerate().map(response).collect()
    }
}

/// List the fields of an institution's sign-in.
#[derive(Serialize, ToSchema)]
pub struct CredentialsBody<'a> {
    /// The fields, in the order people are asked; empty if members connect by OAuth only.
    pub credentials: Vec<CredentialResponse<'a>>,
    /// The position of this page in the list.
    pub pagination: Pagination,
}
