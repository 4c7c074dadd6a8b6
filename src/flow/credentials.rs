//! Credentials for institutions without OAuth: checked against the institution's fields, sealed for one
//! member, and fingerprinted.

use super::{Gateway, seal_contexts};
use crate::domain::credential::{
    Credential, CredentialField, Credentials, FieldType, GivenValue, chosen,
};
use crate::domain::id::{ClientId, CredentialGuid, MemberGuid, UserGuid};
use crate::domain::institution::Institution;
use crate::domain::secret::Digest;
use secrecy::{ExposeSecret, SecretString};

/// The longest credential, and the longest answer to a challenge, in bytes.
pub const VALUE_LIMIT: usize = 4096;

/// Why credentials do not fit an institution. None of these holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A value that is required is not there, or is empty.
    #[error("credentials has no value for {guid} ({label}); send one")]
    Missing {
        /// The field.
        guid: CredentialGuid,
        /// What people are asked for.
        label: String,
    },
    /// The institution asks for no such field.
    #[error(
        "credentials names {0}, which the institution does not ask for (any longer); read its \
         credentials again"
    )]
    Unknown(CredentialGuid),
    /// A field has two values.
    #[error("credentials names {0} twice; send one value for it")]
    Twice(CredentialGuid),
    /// The value is not one of those to choose from.
    #[error("credentials has a value for {0} that is not one of its options")]
    NotAnOption(CredentialGuid),
    /// The value is longer than [`VALUE_LIMIT`].
    #[error("credentials has a value for {0} that is longer than {VALUE_LIMIT} bytes")]
    TooLong(CredentialGuid),
}

/// Which source named the login of a member with credentials: the person.
const CREDENTIALS: &str = "credentials";

/// Credentials as the store keeps them.
pub(super) struct Sealed {
    /// The envelope.
    pub(super) envelope: Vec<u8>,
    /// The fingerprints of their login; empty if they hold none.
    pub(super) fingerprints: Vec<Digest>,
}

/// The given values in the order and under the names of the institution's fields. An empty value
/// counts as none.
pub(super) fn check(
    fields: &[CredentialField],
    given: &[GivenValue],
) -> Result<Credentials, CredentialsError> {
    for (nth, value) in given.iter().enumerate() {
        if !fields.iter().any(|field| field.guid == value.guid) {
            return Err(CredentialsError::Unknown(value.guid));
        }
        if given[..nth].iter().any(|other| other.guid == value.guid) {
            return Err(CredentialsError::Twice(value.guid));
        }
    }
    let mut checked = Vec::with_capacity(given.len());
    for field in fields {
        let value = given
            .iter()
            .find(|value| value.guid == field.guid)
            .map(|given| &given.value)
            .filter(|value| !value.expose_secret().trim().is_empty());
        match value {
            Some(value) => {
                let value = admit(field, value.expose_secret())?;
                checked.push(Credential {
                    guid: field.guid,
                    field_name: field.field_name.clone(),
                    value: SecretString::from(value),
                });
            }
            None if field.optional => {}
            None => {
                return Err(CredentialsError::Missing {
                    guid: field.guid,
                    label: field.label.clone(),
                });
            }
        }
    }
    Ok(Credentials(checked))
}

/// The value itself, where one of the options was given by its guid.
fn admit<'a>(field: &'a CredentialField, value: &'a str) -> Result<&'a str, CredentialsError> {
    if value.len() > VALUE_LIMIT {
        return Err(CredentialsError::TooLong(field.guid));
    }
    if field.field_type != FieldType::Options {
        return Ok(value);
    }
    let values = field.options.iter().map(|option| option.value.as_str());
    chosen(field.guid, values, value).ok_or(CredentialsError::NotAnOption(field.guid))
}

/// Seals checked credentials for the user's `member` of `institution`.
pub(super) fn seal(
    gateway: &Gateway,
    client: &ClientId,
    user: UserGuid,
    member: MemberGuid,
    institution: &Institution,
    credentials: &Credentials,
) -> Sealed {
    let member = member.to_string();
    let envelope = gateway.sealer.seal(
        gateway.random.as_ref(),
        &seal_contexts::credentials(client, &member),
        &credentials.to_bytes(),
    );
    let login = credentials.login(&institution.credentials);
    let fingerprints = login.map_or_else(Vec::new, |login| {
        gateway
            .sealer
            .fingerprints(user, &institution.code, CREDENTIALS, &login)
    });
    Sealed {
        envelope,
        fingerprints,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::credential::FieldOption;

    const LOGIN: char = '1';
    const PASSWORD: char = '2';
    const BRANCH: char = '3';

    fn guid(digit: char) -> CredentialGuid {
        format!("CRD-68e96dd6-eabd-42d3-9f05-416897f0746{digit}")
            .parse()
            .unwrap()
    }

    fn field(digit: char, name: &str, field_type: FieldType) -> CredentialField {
        CredentialField {
            guid: guid(digit),
            field_name: name.to_owned(),
            label: format!("Your {name}"),
            field_type,
            optional: false,
            options: Vec::new(),
        }
    }

    /// A login, a password, and a branch that may be left out.
    fn fields() -> [CredentialField; 3] {
        let option = |value: &str| FieldOption {
            label: value.to_uppercase(),
            value: value.to_owned(),
        };
        let branch = CredentialField {
            optional: true,
            options: vec![option("north"), option("south")],
            ..field(BRANCH, "BRANCH", FieldType::Options)
        };
        [
            field(LOGIN, "LOGIN", FieldType::Text),
            field(PASSWORD, "PASSWORD", FieldType::Password),
            branch,
        ]
    }

    fn checked(values: &[(char, &str)]) -> Result<Vec<String>, CredentialsError> {
        let given: Vec<GivenValue> = values
            .iter()
            .map(|&(digit, value)| GivenValue {
                guid: guid(digit),
                value: SecretString::from(value),
            })
            .collect();
        let checked = check(&fields(), &given)?;
        let written =
            |one: &Credential| format!("{}={}", one.field_name, one.value.expose_secret());
        Ok(checked.0.iter().map(written).collect())
    }

    #[test]
    fn values_are_put_in_order_and_named() {
        assert_eq!(
            checked(&[(PASSWORD, " sesame "), (BRANCH, "south"), (LOGIN, "ada")]),
            Ok(vec![
                "LOGIN=ada".to_owned(),
                "PASSWORD= sesame ".to_owned(),
                "BRANCH=south".to_owned()
            ])
        );
    }

    #[test]
    fn an_empty_value_counts_as_none() {
        assert_eq!(
            checked(&[(LOGIN, "ada"), (PASSWORD, "x"), (BRANCH, "")])
                .unwrap()
                .len(),
            2
        );
        for empty in ["", "  \t"] {
            assert_eq!(
                checked(&[(LOGIN, empty), (PASSWORD, "x")]),
                Err(CredentialsError::Missing {
                    guid: guid(LOGIN),
                    label: "Your LOGIN".to_owned()
                })
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_named_without_its_value() {
        let long = "s".repeat(VALUE_LIMIT + 1);
        for (values, expected) in [
            (
                vec![(LOGIN, "ada")],
                CredentialsError::Missing {
                    guid: guid(PASSWORD),
                    label: "Your PASSWORD".to_owned(),
                },
            ),
            (
                vec![(LOGIN, "ada"), (PASSWORD, "x"), ('9', "sesame")],
                CredentialsError::Unknown(guid('9')),
            ),
            (
                vec![(LOGIN, "ada"), (PASSWORD, "x"), (PASSWORD, "y")],
                CredentialsError::Twice(guid(PASSWORD)),
            ),
            (
                vec![(LOGIN, "ada"), (PASSWORD, "x"), (BRANCH, "sesame")],
                CredentialsError::NotAnOption(guid(BRANCH)),
            ),
            (
                vec![(LOGIN, "ada"), (PASSWORD, &long)],
                CredentialsError::TooLong(guid(PASSWORD)),
            ),
        ] {
            let error = checked(&values).unwrap_err();
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("sesame"));
        }
        let just_fits = "s".repeat(VALUE_LIMIT);
        assert!(checked(&[(LOGIN, "ada"), (PASSWORD, &just_fits)]).is_ok());
    }
}
