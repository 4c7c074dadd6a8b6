//! Credentials for institutions without OAuth: the fields an institution asks for, and a member's values
//! for them.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::id::CredentialGuid;

/// One field of an institution's sign-in (CONTRACT.md 1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialField {
    /// The guid in the API.
    pub guid: CredentialGuid,
    /// The institution's name for it, such as `LOGIN`.
    pub field_name: String,
    /// The label that people see.
    pub label: String,
    /// What kind of value it takes.
    pub field_type: FieldType,
    /// Whether it is optional.
    pub optional: bool,
    /// The choices, for [`FieldType::Options`].
    pub options: Vec<FieldOption>,
}

/// One choice of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldOption {
    /// The label that people see.
    pub label: String,
    /// The value to send.
    pub value: String,
}

/// The value that `given` chooses among `values`: it is one of them or, as MX's own widget sends it,
/// the guid of one of them.
pub fn chosen<'a>(
    of: CredentialGuid,
    values: impl Iterator<Item = &'a str> + Clone,
    given: &str,
) -> Option<&'a str> {
    let by_value = values.clone().find(|value| *value == given);
    by_value.or_else(|| {
        let named: CredentialGuid = given.parse().ok()?;
        let mut values = values;
        values.find(|value| of.of_option(value) == named)
    })
}

/// What kind of value a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FieldType {
    /// Hidden while it is typed.
    Password,
    /// One of a list.
    Options,
    /// Shown while it is typed. Together, a member's texts and options are its login.
    Text,
}

impl FieldType {
    /// The number the Nexus API uses (`field_type`).
    pub fn id(self) -> u8 {
        match self {
            Self::Password => 1,
            Self::Options => 2,
            Self::Text => 3,
        }
    }

    /// The name the Platform API uses (`field_type`).
    pub fn name(self) -> &'static str {
        match self {
            Self::Password => "PASSWORD",
            Self::Options => "OPTIONS",
            Self::Text => "TEXT",
        }
    }
}

/// A value somebody gave for the field of that guid: a credential, or the answer to a challenge.
#[derive(Clone, Debug)]
pub struct GivenValue {
    /// Which field.
    pub guid: CredentialGuid,
    /// What was typed or chosen.
    pub value: SecretString,
}

/// A value in clear, named as the aggregator needs it.
pub struct Credential {
    /// The field's guid.
    pub guid: CredentialGuid,
    /// The institution's name for the field.
    pub field_name: String,
    /// The value.
    pub value: SecretString,
}

/// Credentials, or the answers to challenges, in clear. They live only between a request and the
/// seal, or the seal and a lease.
pub struct Credentials(pub Vec<Credential>);

#[derive(Serialize, Deserialize)]
struct Written {
    guid: CredentialGuid,
    field_name: String,
    value: String,
}

impl Drop for Written {
    fn drop(&mut self) {
        use zeroize::Zeroize;
        self.value.zeroize();
    }
}

impl Credentials {
    /// The bytes to seal.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let written: Vec<Written> = self
            .0
            .iter()
            .map(|credential| Written {
                guid: credential.guid,
                field_name: credential.field_name.clone(),
                value: credential.value.expose_secret().to_owned(),
            })
            .collect();
        Zeroizing::new(serde_json::to_vec(&written).expect("strings are JSON"))
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` when the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let written: Vec<Written> = serde_json::from_slice(bytes).ok()?;
        let read = written.into_iter().map(|mut one| Credential {
            guid: one.guid,
            field_name: std::mem::take(&mut one.field_name),
            value: SecretString::from(std::mem::take(&mut one.value)),
        });
        Some(Self(read.collect()))
    }

    /// The login: every value that is not a password, by the name of its field; `None` if there is no
    /// such value. White space around a value is ignored.
    pub fn login(&self, fields: &[CredentialField]) -> Option<Zeroizing<String>> {
        let is_login = |credential: &&Credential| {
            fields.iter().any(|field| {
                field.guid == credential.guid && field.field_type != FieldType::Password
            })
        };
        let mut parts: Vec<(&str, &str)> = self
            .0
            .iter()
            .filter(is_login)
            .map(|it| (it.field_name.as_str(), it.value.expose_secret().trim()))
            .collect();
        parts.sort_unstable();
        let written = serde_json::to_string(&parts).expect("strings are JSON");
        (!parts.is_empty()).then(|| Zeroizing::new(written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(digit: char, name: &str, field_type: FieldType) -> CredentialField {
        CredentialField {
            guid: guid(digit),
            field_name: name.to_owned(),
            label: name.to_owned(),
            field_type,
            optional: false,
            options: Vec::new(),
        }
    }

    fn guid(digit: char) -> CredentialGuid {
        format!("CRD-68e96dd6-eabd-42d3-9f05-416897f0746{digit}")
            .parse()
            .expect("a guid")
    }

    fn given(values: &[(char, &str, &str)]) -> Credentials {
        Credentials(
            values
                .iter()
                .map(|&(digit, name, value)| Credential {
                    guid: guid(digit),
                    field_name: name.to_owned(),
                    value: SecretString::from(value),
                })
                .collect(),
        )
    }

    #[test]
    fn what_was_written_is_read() {
        let given = given(&[('1', "LOGIN", "ada"), ('2', "PASSWORD", "sesame")]);
        let read = Credentials::from_bytes(&given.to_bytes()).expect("credentials");
        let values: Vec<&str> = read.0.iter().map(|it| it.value.expose_secret()).collect();
        assert_eq!(values, ["ada", "sesame"]);
        assert!(Credentials::from_bytes(b"{}").is_none());
    }

    #[test]
    fn a_login_is_everything_but_the_password_in_any_order() {
        let fields = [
            field('1', "LOGIN", FieldType::Text),
            field('2', "PASSWORD", FieldType::Password),
            field('3', "BRANCH", FieldType::Options),
        ];
        let login = |values: &[(char, &str, &str)]| given(values).login(&fields);
        let one = login(&[
            ('1', "LOGIN", "ada"),
            ('2', "PASSWORD", "a"),
            ('3', "BRANCH", "n"),
        ]);
        let same = login(&[
            ('3', "BRANCH", "n"),
            ('1', "LOGIN", " ada "),
            ('2', "PASSWORD", "b"),
        ]);
        assert!(one.is_some());
        assert_eq!(one, same);
        let other = login(&[
            ('1', "LOGIN", "ada"),
            ('2', "PASSWORD", "a"),
            ('3', "BRANCH", "s"),
        ]);
        assert_ne!(one, other);
        assert_eq!(login(&[('2', "PASSWORD", "a")]), None);
    }
}
