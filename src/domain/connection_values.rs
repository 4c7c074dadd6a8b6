//! Values that belong to one connection: what a client gives for it when a link is minted, and what the
//! institution says of it before the person leaves. Calls about the connection have them in their templates.

use std::collections::BTreeMap;
use std::fmt;

use regex_lite::Regex;
use serde::{Deserialize, Serialize};

/// The name of the consent that an institution made before the person left.
pub const CONSENT_ID: &str = "consent_id";

/// The most bytes of a value.
pub const VALUE_LIMIT: usize = 512;

/// The values of one connection, by name. They are no secrets, and yet are not shown in debug output.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConnectionValues(BTreeMap<String, String>);

impl ConnectionValues {
    /// Those of these names.
    pub fn of(values: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(values.into_iter().collect())
    }

    /// The consent that the institution made, by the id it gave.
    pub fn of_consent(id: String) -> Self {
        Self::of([(CONSENT_ID.to_owned(), id)])
    }

    /// The value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The consent, if the institution made one.
    pub fn consent_id(&self) -> Option<&str> {
        self.get(CONSENT_ID)
    }

    /// These and `more`, which counts where both have one.
    pub fn with(&self, more: &Self) -> Self {
        let all = self.0.iter().chain(&more.0);
        Self::of(all.map(|(name, value)| (name.clone(), value.clone())))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for ConnectionValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a client may, or must, give for each connection at an institution.
#[derive(Clone, Debug)]
pub struct ValueRule {
    /// Its name, in the request and in templates.
    pub name: String,
    /// What it consists of.
    pub kind: ValueKind,
    /// What the whole of it must match.
    pub pattern: Option<Pattern>,
    /// The fewest characters.
    pub least: usize,
    /// The most characters.
    pub most: usize,
    /// Whether a link without it is refused.
    pub is_required: bool,
}

/// A regular expression that the whole of a value must match. It takes time in proportion to the value.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    whole: Regex,
}

impl Pattern {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole = Regex::new(&format!("^(?:{text})$")).map_err(|error| error.to_string())?;
        Ok(Self {
            text: text.to_owned(),
            whole,
        })
    }
}

/// What a value consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Printable characters.
    Text,
    /// Digits, 0 to 9.
    Digits,
    /// One of these.
    Choice(Vec<String>),
}

/// Why values are refused. Says the name and never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// One is missing.
    #[error("oauth_values.{0} is missing: this institution asks for it with every connection")]
    Missing(String),
    /// One is not as it must be.
    #[error("oauth_values.{0} must be {1}")]
    Wrong(String, String),
    /// The institution asks for none of that name.
    #[error("oauth_values.{0} is not known at this institution; it asks for {1}")]
    Unknown(String, String),
}

/// Checks what a client gave against what the institution asks for.
///
/// # Errors
///
/// [`InvalidValue`] names the first that is wrong.
pub fn check(
    rules: &[ValueRule],
    given: BTreeMap<String, String>,
) -> Result<ConnectionValues, InvalidValue> {
    let known = |name: &String| rules.iter().any(|rule| rule.name == *name);
    if let Some(name) = given.keys().find(|name| !known(name)) {
        let names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        let names = match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        };
        // What a stranger calls it is shown only as far as it may be a name.
        let shown: String = name
            .chars()
            .filter(char::is_ascii_graphic)
            .take(64)
            .collect();
        return Err(InvalidValue::Unknown(shown, names));
    }
    for rule in rules {
        match given.get(&rule.name) {
            Some(value) if !rule.admits(value) => {
                return Err(InvalidValue::Wrong(rule.name.clone(), rule.expected()));
            }
            None if rule.is_required => return Err(InvalidValue::Missing(rule.name.clone())),
            Some(_) | None => {}
        }
    }
    Ok(ConnectionValues(given))
}

impl ValueRule {
    /// Whether a value is as it must be.
    fn admits(&self, value: &str) -> bool {
        let is_of_kind = match &self.kind {
            ValueKind::Text => !value.chars().any(char::is_control),
            ValueKind::Digits => value.bytes().all(|b| b.is_ascii_digit()),
            ValueKind::Choice(listed) => return listed.iter().any(|listed| listed == value),
        };
        let is_match = |pattern: &Pattern| pattern.whole.is_match(value);
        is_of_kind
            && value.len() <= VALUE_LIMIT
            && (self.least..=self.most).contains(&value.chars().count())
            && self.pattern.as_ref().is_none_or(is_match)
    }

    /// What it must be, after "must be".
    fn expected(&self) -> String {
        let what = match &self.kind {
            ValueKind::Choice(listed) => return format!("one of {}", listed.join(", ")),
            ValueKind::Digits => "digits",
            ValueKind::Text => "printable characters",
        };
        let (least, most) = (self.least, self.most);
        match &self.pattern {
            Some(pattern) => format!("{least} to {most} {what} that match {}", pattern.text),
            None => format!("{least} to {most} {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Vec<ValueRule> {
        let rule = |name: &str, kind, is_required| ValueRule {
            name: name.to_owned(),
            kind,
            pattern: None,
            least: 1,
            most: 8,
            is_required,
        };
        let regions = vec!["eu".to_owned(), "us".to_owned()];
        vec![
            rule("region", ValueKind::Choice(regions), true),
            rule("branch", ValueKind::Digits, false),
            ValueRule {
                pattern: Some(Pattern::parse("[A-Z]{2}|[A-Z]{2}-[0-9]+").unwrap()),
                ..rule("desk", ValueKind::Text, false)
            },
        ]
    }

    fn checked(given: &[(&str, &str)]) -> Result<ConnectionValues, String> {
        let given = given
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()));
        check(&rules(), given.collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_checked_against_what_the_institution_asks_for() {
        let sound = checked(&[("region", "eu"), ("branch", "0042"), ("desk", "AB-7")]).unwrap();
        assert_eq!(sound.get("branch"), Some("0042"));
        assert_eq!(format!("{sound:?}"), r#"{"branch", "desk", "region"}"#);
        for (given, expected) in [
            (
                &[][..],
                "oauth_values.region is missing: this institution asks for it with every connection",
            ),
            (
                &[("region", "mars")],
                "oauth_values.region must be one of eu, us",
            ),
            (
                &[("region", "eu"), ("branch", "")],
                "oauth_values.branch must be 1 to 8 digits",
            ),
            (
                &[("region", "eu"), ("branch", "123456789")],
                "oauth_values.branch must be 1 to 8 digits",
            ),
            (
                &[("region", "eu"), ("branch", "12a")],
                "oauth_values.branch must be 1 to 8 digits",
            ),
            (
                &[("region", "eu"), ("desk", "AB-7\r\n")],
                "oauth_values.desk must be 1 to 8 printable characters that match [A-Z]{2}|[A-Z]{2}-[0-9]+",
            ),
            (
                &[("region", "eu"), ("desk", "ABx")],
                "oauth_values.desk must be 1 to 8 printable characters that match [A-Z]{2}|[A-Z]{2}-[0-9]+",
            ),
            (
                &[("region", "eu"), ("more", "x")],
                "oauth_values.more is not known at this institution; it asks for region, branch, desk",
            ),
        ] {
            assert_eq!(checked(given), Err(expected.to_owned()), "{given:?}");
        }
    }
}
