//! Maintenance: an institution that is not used for now, because its file or an operator says so, or because it
//! fails.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::form;

/// The longest text, in characters.
pub const TEXT_LIMIT: usize = 300;

/// What is said of an institution that is not used for now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Why.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub status: MaintenanceStatus,
    /// When it is over, if that is known.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub until: Option<Timestamp>,
    /// What people and member services are told in addition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<MaintenanceText>,
}

impl Maintenance {
    /// Whether it is still so.
    pub fn is_on(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Why an institution is not used for now; each has an error of its own (CONTRACT.md 2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaintenanceStatus {
    /// It is in maintenance.
    #[default]
    Maintenance,
    /// It does not work.
    Unavailable,
    /// It does not let us in.
    Prevented,
}

impl MaintenanceStatus {
    /// The `type` of the error that refuses a new link.
    pub fn error_type(self) -> &'static str {
        match self {
            Self::Maintenance => "institution_maintenance_error",
            Self::Unavailable => "institution_unavailable_error",
            Self::Prevented => "institution_prevented_error",
        }
    }

    /// What it is, in words for the sentence "It is …".
    pub fn words(self) -> &'static str {
        match self {
            Self::Maintenance => "in maintenance",
            Self::Unavailable => "not available",
            Self::Prevented => "not open to connections",
        }
    }
}

/// A text for people: 1 to [`TEXT_LIMIT`] characters on one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MaintenanceText(String);

impl MaintenanceText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text that is none for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a text for people; write 1 to {TEXT_LIMIT} characters on one line")]
pub struct InvalidText;

impl FromStr for MaintenanceText {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let is_sound = !text.trim().is_empty()
            && text.chars().count() <= TEXT_LIMIT
            && !text.chars().any(char::is_control);
        is_sound.then(|| Self(text.to_owned())).ok_or(InvalidText)
    }
}

impl TryFrom<String> for MaintenanceText {
    type Error = InvalidText;

    fn try_from(text: String) -> Result<Self, InvalidText> {
        text.parse()
    }
}

impl From<MaintenanceText> for String {
    fn from(text: MaintenanceText) -> Self {
        text.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_at_its_end() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let until = |until| Maintenance {
            until,
            ..Maintenance::default()
        };
        assert!(until(Some(at(10))).is_on(at(9)));
        assert!(!until(Some(at(10))).is_on(at(10)));
        assert!(until(None).is_on(at(10)));
    }

    #[test]
    fn a_text_is_one_line() {
        assert!("Back on Monday.".parse::<MaintenanceText>().is_ok());
        let longest = "x".repeat(TEXT_LIMIT);
        assert!(longest.parse::<MaintenanceText>().is_ok());
        for wrong in ["", " ", "a\nb", &format!("{longest}x")] {
            assert_eq!(wrong.parse::<MaintenanceText>(), Err(InvalidText));
        }
    }
}
