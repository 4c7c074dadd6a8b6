//! A body with the names that the standards give its members, wherever the institution has them.

use serde_json::Value;
use zeroize::Zeroizing;

use super::json::{JsonError, Members};
use crate::domain::call::{BodyForm, MemberPath, ResponseShape};

/// The members that an error consists of: they are looked for from the top of the body.
const OF_ERRORS: [&str; 2] = ["error", "error_description"];

/// A body that was read.
pub struct Shaped {
    /// Its members, as far as they came, by their standard names.
    pub members: Members,
    /// Why it is not an object to be relied on.
    pub sound: Result<(), JsonError>,
    /// Whether it says that the call did what it should; `None`: it says nothing, or its status does.
    pub is_success: Option<bool>,
}

impl Shaped {
    /// Reads a body of that shape.
    pub fn read(body: &[u8], shape: &ResponseShape) -> Self {
        let is_object = body.trim_ascii_start().starts_with(b"{");
        let (top, sound) = match shape.form {
            BodyForm::Form if !is_object => Members::read_form(body),
            BodyForm::Form | BodyForm::Json => Members::read(body),
        };
        if *shape == ResponseShape::default() {
            return Self {
                members: top,
                sound,
                is_success: None,
            };
        }
        let told = shape.success.as_ref().filter(|_| sound.is_ok());
        let told = told.map(|success| {
            let value = scalar(&top, &success.member);
            let is_success = value
                .as_ref()
                .is_some_and(|value| success.values.contains(value));
            (is_success, value)
        });
        let (object, nested) = top.object_at(&shape.object);
        let mut members = object;
        let is_renamed = |name: &str| shape.members.contains_key(name);
        let mut renamed: Vec<(&str, Zeroizing<String>)> = Vec::new();
        for (name, path) in &shape.members {
            match OF_ERRORS.contains(&name.as_str()) {
                true => {
                    renamed.extend(scalar(&top, path).map(|text| (name.as_str(), quoted(&text))))
                }
                false => renamed.extend(members.raw_at(path).map(|raw| (name.as_str(), raw))),
            }
        }
        members.remove(is_renamed);
        if !shape.object.names().is_empty() {
            members.remove(|name| OF_ERRORS.contains(&name));
            for name in OF_ERRORS.into_iter().filter(|name| !is_renamed(name)) {
                let path = MemberPath::parse(name).expect("a name");
                renamed.extend(scalar(&top, &path).map(|text| (name, quoted(&text))));
            }
        }
        match &told {
            Some((true, _)) => renamed.retain(|(name, _)| !OF_ERRORS.contains(name)),
            Some((false, value)) if !renamed.iter().any(|(name, _)| *name == "error") => {
                let said = value.as_deref().unwrap_or("unsuccessful");
                if members.lacks("error") {
                    renamed.push(("error", quoted(said)));
                }
            }
            _ => {}
        }
        for (name, raw) in renamed {
            members.add(name, raw);
        }
        Self {
            members,
            sound: sound.and(nested),
            is_success: told.map(|(is_success, _)| is_success),
        }
    }
}

/// The text of a member that is a text, a number or a boolean.
fn scalar(members: &Members, path: &MemberPath) -> Option<String> {
    match serde_json::from_str(&members.raw_at(path)?).ok()? {
        Value::String(text) => Some(text).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn quoted(text: &str) -> Zeroizing<String> {
    Zeroizing::new(Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::Success;

    fn path(text: &str) -> MemberPath {
        MemberPath::parse(text).unwrap()
    }

    fn nested() -> ResponseShape {
        let members = [
            ("access_token", "token.value"),
            ("refresh_token", "token.value"),
            ("error", "code"),
            ("error_description", "message"),
        ];
        ResponseShape {
            object: path("data"),
            members: members.map(|(name, at)| (name.to_owned(), path(at))).into(),
            success: Some(Success {
                member: path("code"),
                values: vec!["0".to_owned()],
            }),
            ..ResponseShape::default()
        }
    }

    fn read(shape: &ResponseShape, body: &str) -> (Shaped, Vec<(String, String)>) {
        let shaped = Shaped::read(body.as_bytes(), shape);
        let names: Vec<String> = shaped.members.names().map(str::to_owned).collect();
        let texts = names.into_iter().filter_map(|name| {
            let text = shaped.members.text(&name)?.to_string();
            Some((name, text))
        });
        let texts = texts.collect();
        (shaped, texts)
    }

    fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
        of.iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    #[test]
    fn members_are_found_where_the_file_says() {
        let body = r#"{"code":0,"message":"OK","data":{"access_token":"no","token":{"value":"yes"},"scope":"a"}}"#;
        let (shaped, texts) = read(&nested(), body);
        assert_eq!((shaped.is_success, shaped.sound), (Some(true), Ok(())));
        let expected = [
            ("scope", "a"),
            ("access_token", "yes"),
            ("refresh_token", "yes"),
        ];
        assert_eq!(texts, pairs(&expected));
    }

    #[test]
    fn a_member_that_does_not_tell_success_tells_an_error() {
        let (shaped, texts) = read(&nested(), r#"{"code":40001,"message":"expired","data":{}}"#);
        assert_eq!(shaped.is_success, Some(false));
        assert_eq!(
            texts,
            pairs(&[("error", "40001"), ("error_description", "expired")])
        );
        let only = ResponseShape {
            success: nested().success,
            ..ResponseShape::default()
        };
        for (body, error) in [
            (r#"{"code":"7"}"#, "7"),
            (r#"{}"#, "unsuccessful"),
            (r#"{"code":7,"error":"own"}"#, "own"),
        ] {
            let (shaped, _) = read(&only, body);
            assert_eq!(shaped.is_success, Some(false), "{body}");
            assert_eq!(
                shaped.members.text("error").unwrap().as_str(),
                error,
                "{body}"
            );
        }
        assert_eq!(read(&only, "").0.is_success, None, "the status says it");
    }

    #[test]
    fn t11_a_member_that_is_there_twice_is_refused_on_the_way_too() {
        for body in [
            r#"{"code":0,"data":{},"data":{"token":{"value":"a"}}}"#,
            r#"{"code":0,"data":{"token":{"value":"a"},"token":{}}}"#,
        ] {
            assert_eq!(
                read(&nested(), body).0.sound,
                Err(JsonError::Duplicate),
                "{body}"
            );
        }
        let twice = r#"{"code":0,"data":{"token":{"value":"a","value":"b"}}}"#;
        assert!(
            read(&nested(), twice)
                .0
                .members
                .text("access_token")
                .is_none()
        );
    }

    #[test]
    fn a_form_is_read_and_so_is_the_json_of_its_errors() {
        let form = ResponseShape {
            form: BodyForm::Form,
            ..ResponseShape::default()
        };
        let (shaped, texts) = read(&form, "access_token=a%2Bb&scope=x+y&expires_in=60");
        assert_eq!(shaped.sound, Ok(()));
        assert_eq!(
            texts,
            pairs(&[
                ("access_token", "a+b"),
                ("scope", "x y"),
                ("expires_in", "60")
            ])
        );
        let (_, texts) = read(&form, r#"{"error":"invalid_grant"}"#);
        assert_eq!(texts, pairs(&[("error", "invalid_grant")]));
        assert_eq!(read(&form, "a=1&a=2").0.sound, Err(JsonError::Duplicate));
        assert_eq!(read(&form, "<html>").0.sound, Err(JsonError::Syntax));
    }
}
