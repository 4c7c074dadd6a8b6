//! Challenges: what an institution asks while somebody signs in (contract sections 1.4 and 2.4).

use serde::{Deserialize, Serialize};

use super::credential::FieldOption;
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
    /// Answered in words.
    Text,
    /// Answered by the value of one of the options.
    Options {
        /// What may be chosen.
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
        /// What may be chosen.
        image_options: Vec<ImageOption>,
    },
}

/// One picture to choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageOption {
    /// What the picture is called.
    pub label: String,
    /// What is sent.
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

    /// Whether `answer` is one of those that may be chosen; anything goes where nothing is chosen
    /// from, but an empty answer.
    pub fn admits(&self, answer: &str) -> bool {
        match self {
            Self::Options { options } => options.iter().any(|it| it.value == answer),
            Self::ImageOptions { image_options } => {
                image_options.iter().any(|it| it.value == answer)
            }
            Self::Text | Self::Token | Self::ImageData { .. } => !answer.trim().is_empty(),
        }
    }
}
