//! Values that people typed or chose: credentials, and answers to challenges.

use secrecy::SecretString;
use serde_json::Value;

use super::{Fields, wrong_type};
use crate::domain::credential::GivenValue;
use crate::http::problem::Problem;

/// The most values in one request.
pub const MOST_VALUES: usize = 50;

impl Fields {
    /// A list of `{guid, value}`. One without a value says as little as one that is left out. What
    /// is refused is named by its place, for somebody may have confused guid and value.
    pub fn given(&self, name: &str) -> Result<Option<Vec<GivenValue>>, Problem> {
        let Some(sent) = self.get(name) else {
            return Ok(None);
        };
        let sent = sent
            .as_array()
            .filter(|list| list.len() <= MOST_VALUES)
            .ok_or_else(|| {
                let expected = format!("a list of at most {MOST_VALUES} objects of guid and value");
                wrong_type(name, &expected)
            })?;
        let values = sent.iter().enumerate();
        let given = values.filter_map(|(index, value)| {
            let place = format!("{name}[{index}]");
            value_at(&place, value).transpose()
        });
        given.collect::<Result<_, _>>().map(Some)
    }
}

fn value_at(place: &str, sent: &Value) -> Result<Option<GivenValue>, Problem> {
    let guid = sent.get("guid").and_then(Value::as_str);
    let guid = guid.and_then(|guid| guid.parse().ok()).ok_or_else(|| {
        wrong_type(
            &format!("{place}.guid"),
            "the guid of a field, CRD- and a UUID",
        )
    })?;
    let value = match sent.get("value") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(value)) => value,
        Some(_) => return Err(wrong_type(&format!("{place}.value"), "a string")),
    };
    Ok(Some(GivenValue {
        guid,
        value: SecretString::from(value.as_str()),
    }))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const GUID: &str = "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c";

    fn given(list: &Value) -> Result<Option<Vec<GivenValue>>, String> {
        let body = serde_json::json!({"member": {"credentials": list}}).to_string();
        let fields = Fields::parse(body.as_bytes(), "member").expect("a body");
        fields
            .given("credentials")
            .map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn values_are_read_and_absent_ones_left_out() {
        let list = serde_json::json!([
            {"guid": GUID, "value": " ada "}, {"guid": GUID, "value": null}, {"guid": GUID},
        ]);
        let given = given(&list).expect("values").expect("a list");
        assert_eq!(given.len(), 1);
        assert_eq!(given[0].value.expose_secret(), " ada ");
    }

    #[test]
    fn what_is_wrong_is_named_by_its_place_and_never_shown() {
        for wrong in [
            serde_json::json!("sesame"),
            serde_json::json!([{"guid": "sesame", "value": GUID}]),
            serde_json::json!(["sesame"]),
            serde_json::json!([{"guid": GUID, "value": ["sesame"]}]),
        ] {
            let error = given(&wrong).expect_err("refused");
            assert!(error.contains("credentials"), "{error}");
            assert!(!error.contains("sesame"), "{error}");
        }
    }
}
