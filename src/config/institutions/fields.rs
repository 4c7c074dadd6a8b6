//! `[[credentials]]` of an institution file: the fields of a sign-in without OAuth.

use serde::Deserialize;

use crate::config::reading::Reading;
use crate::config::value::{FieldName, Label, Section};
use crate::domain::credential::{CredentialField, FieldOption, FieldType};
use crate::domain::id::CredentialGuid;

/// The most fields a sign-in may have.
const MOST: usize = 20;

/// `[[credentials]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawField {
    guid: CredentialGuid,
    field_name: FieldName,
    label: Label,
    #[serde(rename = "type")]
    field_type: FieldType,
    #[serde(default)]
    optional: bool,
    #[serde(default)]
    options: Vec<Section<RawOption>>,
}

/// `[[credentials.options]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOption {
    label: Label,
    value: Label,
}

/// Builds the fields, in the order they are asked for.
pub fn build(reading: &mut Reading<'_>, raw: Vec<Section<RawField>>) -> Vec<CredentialField> {
    let mut fields: Vec<CredentialField> = Vec::new();
    for (i, Section(raw)) in raw.into_iter().enumerate() {
        let at = format!("credentials[{i}]");
        if i == MOST {
            let problem = format!("is one more than the {MOST} a sign-in may have; remove it");
            reading.wrong(&at, problem);
            break;
        }
        let twin = fields.iter().enumerate().find_map(|(j, field)| {
            match (field.guid == raw.guid, &field.field_name) {
                (true, _) => Some((j, "guid")),
                (false, name) if *name == raw.field_name.0 => Some((j, "field_name")),
                (false, _) => None,
            }
        });
        if let Some((j, key)) = twin {
            let problem = format!("is the {key} of credentials[{j}] too; give each field its own");
            reading.invalid(&format!("{at}.{key}"), problem);
        }
        fields.push(raw.build(reading, &at));
    }
    let is_login = |field: &CredentialField| field.field_type != FieldType::Password;
    if !fields.is_empty() && !fields.iter().any(is_login) {
        reading.warn(
            "credentials[0].type",
            "every field is a PASSWORD, so logins cannot be told apart and no duplicate is found; \
             write TEXT for what people are known by",
        );
    }
    fields
}

impl RawField {
    fn build(self, reading: &Reading<'_>, at: &str) -> CredentialField {
        let is_chosen = self.field_type == FieldType::Options;
        let key = format!("{at}.options");
        if is_chosen && self.options.is_empty() {
            reading.invalid(
                &key,
                "is missing; list what may be chosen, each with label and value, or write type = \
                 \"TEXT\"",
            );
        }
        if !is_chosen && !self.options.is_empty() {
            reading.invalid(
                &key,
                "is only for type = \"OPTIONS\"; remove it or change the type",
            );
        }
        let mut options: Vec<FieldOption> = Vec::new();
        for (i, Section(option)) in self.options.into_iter().enumerate() {
            if options.iter().any(|other| other.value == option.value.0) {
                reading.invalid(
                    &format!("{key}[{i}].value"),
                    "is the value of another option; remove one of them",
                );
            }
            options.push(FieldOption {
                label: option.label.0,
                value: option.value.0,
            });
        }
        CredentialField {
            guid: self.guid,
            field_name: self.field_name.0,
            label: self.label.0,
            field_type: self.field_type,
            optional: self.optional,
            options,
        }
    }
}
