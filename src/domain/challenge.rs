//! Challenges: what an institution asks while somebody signs in (CONTRACT.md 1.4 and 2.4).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::credential::{FieldOption, chosen};
use super::id::CredentialGuid;

/// The most questions one challenge may have.
pub const CHALLENGES_LIMIT: usize = 20;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The name the API uses; an answer names it.
    pub guid: CredentialGuid,
    /// The institution's name for it.
    pub field_name: String,
    /// What the person is asked.
    pub label: String,
    /// What kind of question it is.
    #[serde(flatten)]
    pub kind: ChallengeKind,
}

/// What kind of question it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ChallengeKind {
    /// Answered by a text.
    Text,
    /// Answered by the value of one of the options.
    Options {
        /// The choices.
        options: Vec<FieldOption>,
    },
    /// Answered by a code that a device shows or a message brings.
    Token,
    /// Answered by what a picture says.
    ImageData {
        /// The picture, in Base64.
        image_data: String,
    },
    /// Answered by the value of one of the pictures.
    ImageOptions {
        /// The choices.
        image_options: Vec<ImageOption>,
    },
}

/// One picture to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageOption {
    /// What the picture is called.
    pub label: String,
    /// The value to send.
    pub value: String,
    /// The picture: an address, or Base64.
    pub data_uri: String,
}

impl ChallengeKind {
    /// The published name (`type`).
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Options { .. } => "OPTIONS",
            Self::Token => "TOKEN",
            Self::ImageData { .. } => "IMAGE_DATA",
            Self::ImageOptions { .. } => "IMAGE_OPTIONS",
        }
    }
}

impl Challenge {
    /// The answer that `given` is: the value of the option that it names, by value or guid ([`chosen`]),
    /// or the text itself if there are no options. `None`: it is empty, or names no option.
    pub fn answer<'a>(&'a self, given: &'a str) -> Option<&'a str> {
        match &self.kind {
            ChallengeKind::Options { options } => {
                chosen(self.guid, options.iter().map(|it| it.value.as_str()), given)
            }
            ChallengeKind::ImageOptions { image_options } => {
                let values = image_options.iter().map(|it| it.value.as_str());
                chosen(self.guid, values, given)
            }
            ChallengeKind::Text | ChallengeKind::Token | ChallengeKind::ImageData { .. } => {
                (!given.trim().is_empty()).then_some(given)
            }
        }
    }
}

/// A picture in a form that a browser can show: an address or data URI as it is, and Base64 as a data URI
/// (RFC 2397) whose type follows from its first characters.
pub fn picture_uri(picture: &str) -> Cow<'_, str> {
    /// The first characters of Base64, and the type of picture.
    const BEGINNINGS: [(&str, &str); 5] = [
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
        ("PHN2Z", "image/svg+xml"),
        ("Qk", "image/bmp"),
    ];
    let is_uri = |scheme: &str| {
        let start = picture.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    if is_uri("data:") || is_uri("https:") {
        return Cow::Borrowed(picture);
    }
    let known = BEGINNINGS
        .iter()
        .find(|(start, _)| picture.starts_with(start));
    let media_type = known.map_or("image/png", |(_, media_type)| media_type);
    Cow::Owned(format!("data:{media_type};base64,{picture}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_chosen_by_its_value_or_its_guid() {
        let guid: CredentialGuid = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c".parse().unwrap();
        let option = |value: &str| FieldOption {
            label: value.to_owned(),
            value: value.to_owned(),
        };
        let mut question = Challenge {
            guid,
            field_name: "account".to_owned(),
            label: "Which?".to_owned(),
            kind: ChallengeKind::Options {
                options: vec![option("north"), option("south")],
            },
        };
        let named = guid.of_option("south").to_string();
        assert_eq!(question.answer("south"), Some("south"));
        assert_eq!(question.answer(&named), Some("south"));
        assert_ne!(guid.of_option("north").to_string(), named);
        assert_eq!(question.answer("west"), None);
        assert_eq!(question.answer(&guid.to_string()), None);
        question.kind = ChallengeKind::Text;
        assert_eq!(question.answer(&named), Some(named.as_str()));
        assert_eq!(question.answer(" "), None);
    }

    #[test]
    fn a_picture_is_something_a_browser_can_show() {
        for (picture, shown) in [
            ("iVBORw0KGgo=", "data:image/png;base64,iVBORw0KGgo="),
            ("/9j/4AAQ", "data:image/jpeg;base64,/9j/4AAQ"),
            (
                "data:image/gif;base64,R0lGOD",
                "data:image/gif;base64,R0lGOD",
            ),
            (
                "https://bank.example/boat.png",
                "https://bank.example/boat.png",
            ),
        ] {
            assert_eq!(picture_uri(picture), shown);
        }
    }
}
