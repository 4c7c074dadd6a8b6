//! The questions of a `challenged` report, read strictly: what a person is asked must be what the
//! aggregator meant.

use crate::domain::challenge::{ChallengeKind, ImageOption};
use crate::domain::credential::FieldOption;
use crate::flow::aggregate::Question;
use crate::http::body::FieldError;
use crate::http::requests::{ImageOptionRequest, OptionRequest, QuestionRequest, QuestionType};

/// Reads a question.
pub fn read(asked: &QuestionRequest) -> Result<Question, FieldError> {
    let kind = match asked.r#type.required()? {
        QuestionType::Text => ChallengeKind::Text,
        QuestionType::Token => ChallengeKind::Token,
        QuestionType::Options => {
            let options = asked.options.required()?;
            let options = options.iter().map(option).collect::<Result<_, _>>()?;
            ChallengeKind::Options { options }
        }
        QuestionType::ImageData => ChallengeKind::ImageData {
            image_data: asked.image_data.required()?,
        },
        QuestionType::ImageOptions => {
            let options = asked.image_options.required()?;
            let image_options = options.iter().map(image_option).collect::<Result<_, _>>()?;
            ChallengeKind::ImageOptions { image_options }
        }
    };
    Ok(Question {
        field_name: asked.field_name.required()?,
        label: asked.label.required()?,
        kind,
    })
}

fn option(sent: &OptionRequest) -> Result<FieldOption, FieldError> {
    Ok(FieldOption {
        label: sent.label.required()?,
        value: sent.value.required()?,
    })
}

fn image_option(sent: &ImageOptionRequest) -> Result<ImageOption, FieldError> {
    Ok(ImageOption {
        label: sent.label.required()?,
        value: sent.value.required()?,
        data_uri: sent.data_uri.required()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::body::Fields;
    use crate::http::requests::ReportRequestBody;

    fn all(challenges: Value) -> Result<Vec<Question>, String> {
        let body = json!({"challenges": challenges}).to_string();
        let fields = Fields::parse(body.as_bytes(), "report").expect("a body");
        let asked = fields.take::<ReportRequestBody>().challenges.required();
        let asked = asked.and_then(|asked| asked.iter().map(read).collect());
        asked.map_err(|error| error.to_string())
    }

    fn one(question: Value) -> Result<Question, String> {
        all(json!([question])).map(|mut questions| questions.remove(0))
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
        for wrong in [json!(null), json!([]), json!("x"), json!(many)] {
            let error = all(wrong).unwrap_err();
            assert_eq!(error, "challenges must be a list of 1 to 20 questions.");
        }
    }
}
