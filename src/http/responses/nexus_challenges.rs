//! Fields and challenges, in the form of the Nexus API (CONTRACT.md 1.4) and in the forms that MX's own
//! widget reads.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

use super::challenges::{ImageOptionResponse, OptionResponse, options, pictures};
use crate::domain::challenge::{Challenge, ChallengeKind, picture_uri};
use crate::domain::credential::CredentialField;
use crate::domain::id::{CredentialGuid, InstitutionGuid};

/// One field of an institution's sign-in, in the form of the Nexus API.
#[derive(Serialize, ToSchema)]
pub struct NexusCredentialResponse<'a> {
    /// Its place in the order people are asked, counted from 1.
    #[schema(example = 1)]
    display_order: usize,
    /// The institution's name for it.
    #[schema(example = "LOGIN")]
    field_name: &'a str,
    /// 1 PASSWORD, 2 OPTIONS, 3 TEXT.
    #[schema(minimum = 1, maximum = 3, example = 3)]
    field_type: u8,
    /// The name of `field_type`.
    #[schema(example = "TEXT")]
    field_type_name: &'static str,
    /// Its identifier, which a value refers to.
    #[schema(value_type = String, pattern = "^CRD-[0-9a-f-]{36}$", example = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: CredentialGuid,
    /// The institution that asks.
    #[schema(value_type = String, pattern = "^INS-[0-9a-f-]{36}$", example = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    institution_guid: InstitutionGuid,
    /// The label that people see.
    #[schema(example = "User name")]
    label: &'a str,
    /// Whether it is asked during a sign-in (a challenge) rather than before it.
    mfa: bool,
    /// Whether the value is optional.
    optional: bool,
    /// The choices of OPTIONS; else empty.
    options: Vec<OptionResponse<'a>>,
}

impl<'a> NexusCredentialResponse<'a> {
    /// The fields of one institution, in order.
    pub fn list(institution: InstitutionGuid, fields: &'a [CredentialField]) -> Vec<Self> {
        let response = |(index, field): (usize, &'a CredentialField)| Self {
            display_order: index + 1,
            field_name: &field.field_name,
            field_type: field.field_type.id(),
            field_type_name: field.field_type.name(),
            guid: field.guid,
            institution_guid: institution,
            label: &field.label,
            mfa: false,
            optional: field.optional,
            options: options(field.guid, &field.options),
        };
        fields.iter().enumerate().map(response).collect()
    }
}

/// List the fields of an institution's sign-in.
#[derive(Serialize, ToSchema)]
pub struct NexusCredentialsBody<'a> {
    /// The fields, in the order people are asked; empty if members connect by OAuth only.
    pub credentials: Vec<NexusCredentialResponse<'a>>,
}

/// One question of a job, as a credential.
#[derive(Serialize, ToSchema)]
pub struct MfaCredentialResponse<'a> {
    /// Its place in the order people are asked, counted from 1.
    #[schema(example = 1)]
    display_order: usize,
    /// The institution's name for it.
    #[schema(example = "city_of_birth")]
    field_name: &'a str,
    /// 2 OPTIONS, 3 TEXT, 12 TOKEN, 13 IMAGE_DATA, 14 IMAGE_OPTIONS.
    #[schema(minimum = 2, maximum = 14, example = 3)]
    field_type: u8,
    /// The name of `field_type`.
    #[schema(example = "TEXT")]
    field_type_name: &'static str,
    /// Its identifier, which an answer refers to.
    #[schema(value_type = String, pattern = "^CRD-[0-9a-f-]{36}$", example = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: CredentialGuid,
    /// The picture, for IMAGE_DATA: an address, or a data URI (RFC 2397).
    #[schema(required, example = json!(null))]
    image_data: Option<Cow<'a, str>>,
    /// The institution that asks.
    #[schema(value_type = String, pattern = "^INS-[0-9a-f-]{36}$", example = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    institution_guid: InstitutionGuid,
    /// The question.
    #[schema(example = "In what city were you born?")]
    label: &'a str,
    /// The same as `image_data`.
    #[schema(required, example = json!(null))]
    meta_data: Option<Cow<'a, str>>,
    /// Always true: it is asked during a sign-in.
    #[schema(example = true)]
    mfa: bool,
    /// Always false.
    #[schema(example = false)]
    optional: bool,
    /// The choices of OPTIONS and IMAGE_OPTIONS; else empty.
    options: Vec<MfaOption<'a>>,
}

/// One choice; a picture has a `data_uri`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum MfaOption<'a> {
    /// For OPTIONS.
    Text(OptionResponse<'a>),
    /// For IMAGE_OPTIONS.
    Picture(ImageOptionResponse<'a>),
}

impl<'a> MfaCredentialResponse<'a> {
    /// The questions of a job, in order.
    pub fn list(institution: InstitutionGuid, asked: &'a [Challenge]) -> Vec<Self> {
        let asked = asked.iter().enumerate();
        let responses = asked.map(|(index, challenge)| Self::of(institution, index + 1, challenge));
        responses.collect()
    }

    fn of(institution: InstitutionGuid, display_order: usize, challenge: &'a Challenge) -> Self {
        let guid = challenge.guid;
        let (field_type, picture, options) = match &challenge.kind {
            ChallengeKind::Options { options: all } => {
                let all = options(guid, all).into_iter();
                (2, None, all.map(MfaOption::Text).collect())
            }
            ChallengeKind::Text => (3, None, Vec::new()),
            ChallengeKind::Token => (12, None, Vec::new()),
            ChallengeKind::ImageData { image_data } => {
                (13, Some(picture_uri(image_data)), Vec::new())
            }
            ChallengeKind::ImageOptions { image_options } => {
                let all = pictures(guid, image_options).into_iter();
                (14, None, all.map(MfaOption::Picture).collect())
            }
        };
        Self {
            display_order,
            field_name: &challenge.field_name,
            field_type,
            field_type_name: challenge.kind.name(),
            guid,
            image_data: picture.clone(),
            institution_guid: institution,
            label: &challenge.label,
            meta_data: picture,
            mfa: true,
            optional: false,
            options,
        }
    }
}

/// What a job's institution asks.
#[derive(Serialize, ToSchema)]
pub struct MfaCredentialsBody<'a> {
    /// The questions, in the order they are asked; empty if there are none.
    pub credentials: Vec<MfaCredentialResponse<'a>>,
}
