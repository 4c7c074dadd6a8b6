//! The questions of a `challenged` report, read strictly: what a person is asked must be what the
//! aggregator meant.

use serde_json::{Map, Value};

use crate::domain::challenge::{CHALLENGES_LIMIT, ChallengeKind, ImageOption};
use crate::domain::credential::FieldOption;
use crate::flow::aggregate::Question;

/// The longest name of a field and value of an option, in bytes.
const NAME_LIMIT: usize = 255;

/// The longest text that a person reads, in bytes.
const LABEL_LIMIT: usize = 1000;

/// The longest picture, in bytes; the whole report has its own limit.
const IMAGE_LIMIT: usize = 64 * 1024;

/// The most options one question may have.
const OPTIONS_LIMIT: usize = 100;

/// Reads `challenges`. An error is a sentence that names the field.
pub fn read(challenges: Option<&Value>) -> Result<Vec<Question>, String> {
    let list = list("challenges", challenges, CHALLENGES_LIMIT, "questions")?;
    list.iter()
        .enumerate()
        .map(|(nth, value)| {
            let at = format!("challenges[{nth}]");
            question(&Object::new(at, value)?)
        })
        .collect()
}

fn question(fields: &Object) -> Result<Question, String> {
    let kind = match fields.get("type").and_then(Value::as_str) {
        Some("TEXT") => ChallengeKind::Text,
        Some("TOKEN") => ChallengeKind::Token,
        Some("OPTIONS") => ChallengeKind::Options {
            options: fields.options("options", option)?,
        },
        Some("IMAGE_DATA") => ChallengeKind::ImageData {
            image_data: fields.text("image_data", IMAGE_LIMIT)?,
        },
        Some("IMAGE_OPTIONS") => ChallengeKind::ImageOptions {
            image_options: fields.options("image_options", image_option)?,
        },
        _ => {
            return Err(format!(
                "{}.type must be TEXT, OPTIONS, TOKEN, IMAGE_DATA or IMAGE_OPTIONS.",
                fields.at
            ));
        }
    };
    let own = match &kind {
        ChallengeKind::Text | ChallengeKind::Token => None,
        ChallengeKind::Options { .. } => Some("options"),
        ChallengeKind::ImageData { .. } => Some("image_data"),
        ChallengeKind::ImageOptions { .. } => Some("image_options"),
    };
    let known = ["type", "field_name", "label"];
    fields.has_only(known.into_iter().chain(own))?;
    Ok(Question {
        field_name: fields.text("field_name", NAME_LIMIT)?,
        label: fields.text("label", LABEL_LIMIT)?,
        kind,
    })
}

fn option(fields: &Object) -> Result<FieldOption, String> {
    fields.has_only(["label", "value"])?;
    Ok(FieldOption {
        label: fields.text("label", LABEL_LIMIT)?,
        value: fields.text("value", NAME_LIMIT)?,
    })
}

fn image_option(fields: &Object) -> Result<ImageOption, String> {
    fields.has_only(["label", "value", "data_uri"])?;
    Ok(ImageOption {
        label: fields.text("label", LABEL_LIMIT)?,
        value: fields.text("value", NAME_LIMIT)?,
        data_uri: fields.text("data_uri", IMAGE_LIMIT)?,
    })
}

/// A JSON object and where it stands in the report.
struct Object<'a> {
    at: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn new(at: String, value: &'a Value) -> Result<Self, String> {
        match value {
            Value::Object(fields) => Ok(Self { at, fields }),
            _ => Err(format!("{at} must be an object.")),
        }
    }

    /// The field's value; null is as good as absent.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str, most: usize) -> Result<String, String> {
        let text = self.get(name).and_then(Value::as_str);
        let sound =
            |text: &&str| (1..=most).contains(&text.len()) && !text.chars().any(char::is_control);
        text.filter(sound).map(str::to_owned).ok_or_else(|| {
            format!(
                "{}.{name} must be a string of 1 to {most} bytes without control characters.",
                self.at
            )
        })
    }

    fn options<T>(
        &self,
        name: &str,
        read: impl Fn(&Object) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let at = format!("{}.{name}", self.at);
        let list = list(&at, self.get(name), OPTIONS_LIMIT, "options")?;
        list.iter()
            .enumerate()
            .map(|(nth, value)| read(&Object::new(format!("{at}[{nth}]"), value)?))
            .collect()
    }

    fn has_only<'b>(&self, known: impl IntoIterator<Item = &'b str>) -> Result<(), String> {
        let known: Vec<&str> = known.into_iter().collect();
        let is_unknown =
            |name: &&String| !known.contains(&name.as_str()) && self.get(name).is_some();
        match self.fields.keys().find(is_unknown) {
            None => Ok(()),
            Some(_) => Err(format!(
                "{} may have {} and nothing else.",
                self.at,
                known.join(", ")
            )),
        }
    }
}

fn list<'a>(
    at: &str,
    value: Option<&'a Value>,
    most: usize,
    of: &str,
) -> Result<&'a [Value], String> {
    let list = value.and_then(Value::as_array);
    list.filter(|list| (1..=most).contains(&list.len()))
        .map(Vec::as_slice)
        .ok_or_else(|| format!("{at} must be a list of 1 to {most} {of}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn one(question: Value) -> Result<Question, String> {
        read(Some(&json!([question]))).map(|mut questions| questions.remove(0))
    }

    #[test]
    fn each_type_of_question_is_read() {
        for (kind, extra, expected) in [
            ("TEXT", json!({}), ChallengeKind::Text),
            ("TOKEN", json!({"options": null}), ChallengeKind::Token),
            (
                "OPTIONS",
                json!({"options": [{"label": "Checking", "value": "1"}]}),
                ChallengeKind::Options {
                    options: vec![FieldOption {
                        label: "Checking".to_owned(),
                        value: "1".to_owned(),
                    }],
                },
            ),
            (
                "IMAGE_DATA",
                json!({"image_data": "aW1hZ2U="}),
                ChallengeKind::ImageData {
                    image_data: "aW1hZ2U=".to_owned(),
                },
            ),
            (
                "IMAGE_OPTIONS",
                json!({"image_options": [{"label": "Cat", "value": "cat", "data_uri": "https://bank.example/cat.png"}]}),
                ChallengeKind::ImageOptions {
                    image_options: vec![ImageOption {
                        label: "Cat".to_owned(),
                        value: "cat".to_owned(),
                        data_uri: "https://bank.example/cat.png".to_owned(),
                    }],
                },
            ),
        ] {
            let mut body = json!({"type": kind, "field_name": "pet", "label": "Your pet?"});
            let fields = body.as_object_mut().unwrap();
            fields.extend(extra.as_object().unwrap().clone());
            let question = one(body).unwrap();
            assert_eq!(question.kind, expected);
            assert_eq!(question.field_name, "pet");
            assert_eq!(question.label, "Your pet?");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |name: &str, value: Value| {
            let mut body = json!({"type": "TEXT", "field_name": "pet", "label": "Your pet?"});
            body[name] = value;
            one(body).unwrap_err()
        };
        let option = |value: Value| {
            one(json!({"type": "OPTIONS", "field_name": "a", "label": "b", "options": value}))
                .unwrap_err()
        };
        for (error, expected) in [
            (
                one(json!("TEXT")).unwrap_err(),
                "challenges[0] must be an object.",
            ),
            (
                with("type", json!("text")),
                "challenges[0].type must be TEXT, ",
            ),
            (
                with("type", json!(null)),
                "challenges[0].type must be TEXT, ",
            ),
            (
                with("label", json!("")),
                "challenges[0].label must be a string",
            ),
            (
                with("label", json!("a\nb")),
                "challenges[0].label must be a string",
            ),
            (
                with("field_name", json!(7)),
                "challenges[0].field_name must be",
            ),
            (
                with("field_name", json!("x".repeat(256))),
                "challenges[0].field_name must be a string of 1 to 255 bytes",
            ),
            (
                with("options", json!([])),
                "challenges[0] may have type, field_name, label and",
            ),
            (with("guid", json!("CRD-1")), "challenges[0] may have"),
            (
                with("type", json!("IMAGE_DATA")),
                "challenges[0].image_data must be",
            ),
            (
                option(json!([])),
                "challenges[0].options must be a list of 1 to 100 options.",
            ),
            (option(json!({})), "challenges[0].options must be a list"),
            (
                option(json!([1])),
                "challenges[0].options[0] must be an object.",
            ),
            (
                option(json!([{"label": "a", "value": "1"}, {"label": "b"}])),
                "challenges[0].options[1].value must be",
            ),
            (
                option(json!([{"label": "a", "value": "1", "data_uri": "x"}])),
                "challenges[0].options[0] may have label, value and nothing else.",
            ),
        ] {
            assert!(error.starts_with(expected), "{error}");
        }
        let many = vec![json!({"type": "TEXT", "field_name": "a", "label": "b"}); 21];
        for wrong in [None, Some(json!([])), Some(json!("x")), Some(json!(many))] {
            let error = read(wrong.as_ref()).unwrap_err();
            assert_eq!(error, "challenges must be a list of 1 to 20 questions.");
        }
    }
}
