//! What people are asked: the credentials of an institution, and the challenges of a job.

use serde::Serialize;
use utoipa::ToSchema;

use super::Pagination;
use crate::domain::challenge::{Challenge, ChallengeKind, ImageOption};
use crate::domain::credential::{CredentialField, FieldOption, FieldType};
use crate::domain::id::{CredentialGuid, InstitutionGuid};

/// One of the values that may be chosen.
#[derive(Serialize, ToSchema)]
pub struct OptionAnswer<'a> {
    /// What people see.
    #[schema(example = "Savings")]
    label: &'a str,
    /// What is sent.
    #[schema(example = "savings")]
    value: &'a str,
}

/// One of the pictures that may be chosen.
#[derive(Serialize, ToSchema)]
pub struct ImageOptionAnswer<'a> {
    /// The picture: an address, or Base64.
    #[schema(example = "data:image/png;base64,iVBORw0KGgo=")]
    data_uri: &'a str,
    /// What the picture is called.
    #[schema(example = "A boat")]
    label: &'a str,
    /// What is sent.
    #[schema(example = "boat")]
    value: &'a str,
}

fn options(options: &[FieldOption]) -> Vec<OptionAnswer<'_>> {
    let options = options.iter().map(|option| OptionAnswer {
        label: &option.label,
        value: &option.value,
    });
    options.collect()
}

/// One question of an institution (contract section 2.4).
#[derive(Serialize, ToSchema)]
pub struct ChallengeAnswer<'a> {
    /// The institution's name for it.
    #[schema(example = "city_of_birth")]
    field_name: &'a str,
    /// Its name: an answer names it.
    #[schema(value_type = String, pattern = "^CRD-[0-9a-f-]{36}$", example = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: CredentialGuid,
    /// The picture, in Base64, for IMAGE_DATA.
    #[schema(required, example = json!(null))]
    image_data: Option<&'a str>,
    /// The pictures to choose from, for IMAGE_OPTIONS; else empty.
    image_options: Vec<ImageOptionAnswer<'a>>,
    /// What the person is asked.
    #[schema(example = "In what city were you born?")]
    label: &'a str,
    /// What may be chosen, for OPTIONS; else empty.
    options: Vec<OptionAnswer<'a>>,
    /// TEXT, OPTIONS, TOKEN, IMAGE_DATA or IMAGE_OPTIONS.
    #[serde(rename = "type")]
    #[schema(example = "TEXT")]
    kind: &'static str,
}

impl<'a> From<&'a Challenge> for ChallengeAnswer<'a> {
    fn from(challenge: &'a Challenge) -> Self {
        let picture = |picture: &'a ImageOption| ImageOptionAnswer {
            data_uri: &picture.data_uri,
            label: &picture.label,
            value: &picture.value,
        };
        Self {
            field_name: &challenge.field_name,
            guid: challenge.guid,
            image_data: match &challenge.kind {
                ChallengeKind::ImageData { image_data } => Some(image_data),
                _ => None,
            },
            image_options: match &challenge.kind {
                ChallengeKind::ImageOptions { image_options } => {
                    image_options.iter().map(picture).collect()
                }
                _ => Vec::new(),
            },
            label: &challenge.label,
            options: match &challenge.kind {
                ChallengeKind::Options { options: all } => options(all),
                _ => Vec::new(),
            },
            kind: challenge.kind.name(),
        }
    }
}

/// What an institution asks of a member just now.
#[derive(Serialize, ToSchema)]
pub struct NexusChallengesBody<'a> {
    /// The questions; empty when it asks nothing.
    pub challenges: Vec<ChallengeAnswer<'a>>,
}

/// What an institution asks of a member just now.
#[derive(Serialize, ToSchema)]
pub struct ChallengesBody<'a> {
    /// The questions; empty when it asks nothing.
    pub challenges: Vec<ChallengeAnswer<'a>>,
    /// Where this page is.
    pub pagination: Pagination,
}

/// One field of an institution's sign-in, in the words of the Platform API.
#[derive(Serialize, ToSchema)]
pub struct CredentialAnswer<'a> {
    /// Its place in the order people are asked, counted from 1.
    #[schema(example = 1)]
    display_order: usize,
    /// The institution's name for it.
    #[schema(example = "LOGIN")]
    field_name: &'a str,
    /// PASSWORD, OPTIONS or TEXT.
    #[schema(example = "TEXT")]
    field_type: &'static str,
    /// Its name: a value names it.
    #[schema(value_type = String, pattern = "^CRD-[0-9a-f-]{36}$", example = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: CredentialGuid,
    /// What people are asked for.
    #[schema(example = "User name")]
    label: &'a str,
    /// Whether it may be left out.
    optional: bool,
    /// What may be chosen, for OPTIONS; else empty.
    options: Vec<OptionAnswer<'a>>,
    /// The same as `field_type`.
    #[serde(rename = "type")]
    #[schema(example = "TEXT")]
    kind: &'static str,
}

impl<'a> CredentialAnswer<'a> {
    /// The fields of one institution, in order.
    pub fn list(fields: &'a [CredentialField]) -> Vec<Self> {
        let answer = |(index, field): (usize, &'a CredentialField)| Self {
            display_order: index + 1,
            field_name: &field.field_name,
            field_type: field.field_type.name(),
            guid: field.guid,
            label: &field.label,
            optional: field.optional,
            options: options(&field.options),
            kind: field.field_type.name(),
        };
        fields.iter().enumerate().map(answer).collect()
    }
}

/// What people sign in with at an institution.
#[derive(Serialize, ToSchema)]
pub struct CredentialsBody<'a> {
    /// The fields, in the order people are asked; empty where members connect by OAuth only.
    pub credentials: Vec<CredentialAnswer<'a>>,
    /// Where this page is.
    pub pagination: Pagination,
}

/// One field of an institution's sign-in, in the words of the Nexus API (contract section 1.4).
#[derive(Serialize, ToSchema)]
pub struct NexusCredentialAnswer<'a> {
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
    /// Its name: a value names it.
    #[schema(value_type = String, pattern = "^CRD-[0-9a-f-]{36}$", example = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: CredentialGuid,
    /// Which institution asks.
    #[schema(value_type = String, pattern = "^INS-[0-9a-f-]{36}$", example = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    institution_guid: InstitutionGuid,
    /// What people are asked for.
    #[schema(example = "User name")]
    label: &'a str,
    /// Whether it is asked during a sign-in (a challenge) rather than before it.
    mfa: bool,
    /// Whether it may be left out.
    optional: bool,
    /// What may be chosen, for OPTIONS; else empty.
    options: Vec<OptionAnswer<'a>>,
}

impl<'a> NexusCredentialAnswer<'a> {
    /// The fields of one institution, in order.
    pub fn list(institution: InstitutionGuid, fields: &'a [CredentialField]) -> Vec<Self> {
        let answer = |(index, field): (usize, &'a CredentialField)| Self {
            display_order: index + 1,
            field_name: &field.field_name,
            field_type: field.field_type.id(),
            field_type_name: field.field_type.name(),
            guid: field.guid,
            institution_guid: institution,
            label: &field.label,
            mfa: false,
            optional: field.optional,
            options: options(&field.options),
        };
        fields.iter().enumerate().map(answer).collect()
    }

    /// The questions of a job, as the older path shows them: pictures are left out.
    pub fn of_challenges(institution: InstitutionGuid, asked: &'a [Challenge]) -> Vec<Self> {
        let answer = |(index, challenge): (usize, &'a Challenge)| {
            let (field_type, chosen_from) = match &challenge.kind {
                ChallengeKind::Options { options: all } => (FieldType::Options, options(all)),
                ChallengeKind::ImageOptions { image_options } => {
                    let option = |picture: &'a ImageOption| OptionAnswer {
                        label: &picture.label,
                        value: &picture.value,
                    };
                    (
                        FieldType::Options,
                        image_options.iter().map(option).collect(),
                    )
                }
                ChallengeKind::Text | ChallengeKind::Token | ChallengeKind::ImageData { .. } => {
                    (FieldType::Text, Vec::new())
                }
            };
            Self {
                display_order: index + 1,
                field_name: &challenge.field_name,
                field_type: field_type.id(),
                field_type_name: field_type.name(),
                guid: challenge.guid,
                institution_guid: institution,
                label: &challenge.label,
                mfa: true,
                optional: false,
                options: chosen_from,
            }
        };
        asked.iter().enumerate().map(answer).collect()
    }
}

/// What people sign in with at an institution.
#[derive(Serialize, ToSchema)]
pub struct NexusCredentialsBody<'a> {
    /// The fields, in the order people are asked; empty where members connect by OAuth only.
    pub credentials: Vec<NexusCredentialAnswer<'a>>,
}
