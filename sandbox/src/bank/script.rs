//! What the password does where people sign in with a user name and a password (CONTRACT.md 7).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

use super::outcome::Outcome;

/// A password that means something at a sign-in without pages.
#[derive(Debug)]
pub struct Password {
    /// What is typed. Case matters, as with any password.
    pub word: &'static str,
    /// What it leads to, in words.
    pub effect: &'static str,
    script: Script,
}

/// The passwords that mean something at a sign-in without pages, and what each leads to. The first
/// row is for every other password. The user name never matters, except that the same name is the
/// same person with the same accounts.
pub const CREDENTIAL_PASSWORDS: &[Password] = &[
    row("anything else", "connects", CONNECTS),
    row(
        "challenge",
        "asks a question; any answer but \"correct\" is rejected: REJECTED",
        Script::Asks(&[&[question(
            "PET",
            "What was your first pet called?",
            Kind::Text,
            RIGHT,
        )]]),
    ),
    row(
        "options",
        "asks to choose one of three; \"correct\" is right",
        Script::Asks(&[&[question("CHOICE", "Which one is yours?", CHOICES, RIGHT)]]),
    ),
    row(
        "token",
        "asks for a code; it is \"correct\"",
        Script::Asks(&[&[question(
            "CODE",
            "Enter the code we sent you.",
            Kind::Token,
            RIGHT,
        )]]),
    ),
    row(
        "image",
        "shows a picture with a word to type; it is \"correct\"",
        Script::Asks(&[&[question(
            "WORD",
            "Type the word in the picture.",
            WORD,
            RIGHT,
        )]]),
    ),
    row(
        "image_options",
        "asks to choose one of three pictures; the circle, \"correct\", is right",
        Script::Asks(&[&[question("SHAPE", "Choose the circle.", SHAPES, RIGHT)]]),
    ),
    row(
        "two_step",
        "asks twice; the answers are \"challenge\" and then \"correct\"",
        Script::Asks(&[
            &[question(
                "CITY",
                "Where were you born?",
                Kind::Text,
                "challenge",
            )],
            &[question(
                "SCHOOL",
                "What was your first school?",
                Kind::Text,
                RIGHT,
            )],
        ]),
    ),
    row(
        "two_at_once",
        "asks two questions at once; both answers are \"correct\"",
        Script::Asks(&[&[
            question(
                "STREET",
                "Which street did you grow up in?",
                Kind::Text,
                RIGHT,
            ),
            question("COLOUR", "Which one is your colour?", CHOICES, RIGHT),
        ]]),
    ),
    row(
        "wrong",
        "refused: the member is DENIED",
        Script::Refuses(Reason::Denied),
    ),
    row(
        "UNAUTHORIZED",
        "the same: DENIED",
        Script::Refuses(Reason::Denied),
    ),
    row(
        "locked",
        "the account is locked: LOCKED",
        Script::Refuses(Reason::Locked),
    ),
    row(
        "LOCKED",
        "the same: LOCKED",
        Script::Refuses(Reason::Locked),
    ),
    row(
        "BAD_REQUEST",
        "the bank cannot work with it: FAILED",
        Script::Refuses(Reason::Failed),
    ),
    row(
        "INVALID",
        "the same: FAILED",
        Script::Refuses(Reason::Failed),
    ),
    row(
        "provider_error",
        "the bank does not work: FAILED, or as it was once connected",
        Script::Refuses(Reason::Unavailable),
    ),
    row(
        "slow",
        "signing in takes three seconds",
        Script::SignsIn(Outcome::SlowToken),
    ),
    row(
        "no_accounts",
        "connects, but there are no accounts",
        Script::SignsIn(Outcome::NoAccounts),
    ),
    row(
        "revoked",
        "signs in, but reading the accounts is refused with 401: DENIED",
        Script::SignsIn(Outcome::Revoked),
    ),
];

const CONNECTS: Script = Script::SignsIn(Outcome::Connected);

/// The right answer to nearly everything.
const RIGHT: &str = "correct";

const CHOICES: Kind = Kind::Options {
    options: &[
        Choice {
            label: "The first",
            value: "first",
        },
        Choice {
            label: "The correct one",
            value: RIGHT,
        },
        Choice {
            label: "The last",
            value: "last",
        },
    ],
};

const WORD: Kind = Kind::ImageData {
    image_data: Png(include_bytes!("../../templates/pictures/word.png")),
};

const SHAPES: Kind = Kind::ImageOptions {
    image_options: &[
        Picture {
            label: "Square",
            value: "square",
            png: Png(include_bytes!("../../templates/pictures/square.png")),
        },
        Picture {
            label: "Circle",
            value: RIGHT,
            png: Png(include_bytes!("../../templates/pictures/circle.png")),
        },
        Picture {
            label: "Triangle",
            value: "triangle",
            png: Png(include_bytes!("../../templates/pictures/triangle.png")),
        },
    ],
};

/// What happens to one sign-in, from the password on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    /// It succeeds; the outcome says what the accounts then do.
    SignsIn(Outcome),
    /// It is refused.
    Refuses(Reason),
    /// It succeeds once every round of questions was answered.
    Asks(&'static [&'static [Question]]),
}

impl Script {
    /// The script that the password chooses.
    pub(super) fn of_password(password: &str) -> Self {
        let row = CREDENTIAL_PASSWORDS.iter().find(|row| row.word == password);
        row.map_or(CONNECTS, |row| row.script)
    }
}

/// Why a sign-in is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    /// The user name or the password is wrong.
    Denied,
    /// An answer is wrong.
    Rejected,
    /// The account is locked.
    Locked,
    /// The request makes no sense to the bank, and will make none later.
    Failed,
    /// The bank does not work just now.
    Unavailable,
}

/// A question that the bank asks before it lets somebody in, as it is written on the wire.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Question {
    /// The bank's name for it; an answer names it.
    pub(super) field_name: &'static str,
    label: &'static str,
    #[serde(flatten)]
    kind: Kind,
    #[serde(skip)]
    answer: &'static str,
}

impl Question {
    /// Whether the answer is the right one. White space around it does not matter.
    pub(super) fn is_answered_by(&self, answer: &str) -> bool {
        answer.trim() == self.answer
    }
}

/// What is asked for, by the names the gateway has for it (CONTRACT.md 2.4).
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "SCREAMING_SNAKE_CASE")]
enum Kind {
    Text,
    Token,
    Options { options: &'static [Choice] },
    ImageData { image_data: Png },
    ImageOptions { image_options: &'static [Picture] },
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Choice {
    label: &'static str,
    value: &'static str,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Picture {
    label: &'static str,
    value: &'static str,
    #[serde(rename = "data_uri", serialize_with = "data_uri")]
    png: Png,
}

/// The bytes of a PNG file; Base64 on the wire.
#[derive(Debug, PartialEq, Eq)]
struct Png(&'static [u8]);

impl Serialize for Png {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

fn data_uri<S: Serializer>(png: &Png, serializer: S) -> Result<S::Ok, S::Error> {
    let encoded = STANDARD.encode(png.0);
    serializer.serialize_str(&format!("data:image/png;base64,{encoded}"))
}

const fn row(word: &'static str, effect: &'static str, script: Script) -> Password {
    Password {
        word,
        effect,
        script,
    }
}

const fn question(
    field_name: &'static str,
    label: &'static str,
    kind: Kind,
    answer: &'static str,
) -> Question {
    Question {
        field_name,
        label,
        kind,
        answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_there_once_and_the_first_row_is_for_all_others() {
        for (at, row) in CREDENTIAL_PASSWORDS.iter().enumerate() {
            let earlier = &CREDENTIAL_PASSWORDS[..at];
            assert!(earlier.iter().all(|other| other.word != row.word));
            assert_eq!(Script::of_password(row.word), row.script, "{}", row.word);
            assert_eq!(row.script == CONNECTS, at == 0, "{}", row.word);
        }
        assert_eq!(Script::of_password("sesame"), CONNECTS);
        assert_eq!(Script::of_password("Locked"), CONNECTS, "case matters");
    }

    #[test]
    fn no_two_questions_of_a_sign_in_have_the_same_name() {
        for row in CREDENTIAL_PASSWORDS {
            let Script::Asks(rounds) = row.script else {
                continue;
            };
            let names: Vec<_> = rounds
                .iter()
                .copied()
                .flatten()
                .map(|one| one.field_name)
                .collect();
            for (at, name) in names.iter().enumerate() {
                assert!(!names[..at].contains(name), "{}: {name}", row.word);
            }
        }
    }

    #[test]
    fn what_has_to_be_chosen_is_on_offer() {
        let questions = CREDENTIAL_PASSWORDS
            .iter()
            .filter_map(|row| match row.script {
                Script::Asks(rounds) => Some(rounds.iter().copied().flatten()),
                _ => None,
            });
        for question in questions.flatten() {
            let values: Vec<&str> = match question.kind {
                Kind::Options { options } => options.iter().map(|one| one.value).collect(),
                Kind::ImageOptions { image_options } => {
                    image_options.iter().map(|one| one.value).collect()
                }
                Kind::Text | Kind::Token | Kind::ImageData { .. } => continue,
            };
            let right = values.iter().filter(|value| question.is_answered_by(value));
            assert_eq!(right.count(), 1, "{question:?}");
        }
    }

    #[test]
    fn questions_are_written_without_their_answer() {
        let written = |password: &str| match Script::of_password(password) {
            Script::Asks(rounds) => serde_json::to_value(&rounds[0][0]).expect("JSON"),
            other => panic!("{other:?}"),
        };
        let text = written("challenge");
        let expected = serde_json::json!({
            "type": "TEXT",
            "field_name": "PET",
            "label": "What was your first pet called?",
        });
        assert_eq!(text, expected);
        assert_eq!(written("token")["type"], "TOKEN");
        assert_eq!(written("options")["options"][1]["value"], "correct");
        let image = written("image");
        assert_eq!(image["type"], "IMAGE_DATA");
        let png = STANDARD.decode(image["image_data"].as_str().expect("a text"));
        assert!(png.expect("Base64").starts_with(b"\x89PNG"));
        let shapes = written("image_options");
        assert_eq!(shapes["type"], "IMAGE_OPTIONS");
        let uri = shapes["image_options"][0]["data_uri"]
            .as_str()
            .expect("a text");
        assert!(uri.starts_with("data:image/png;base64,iVBOR"), "{uri}");
    }
}
