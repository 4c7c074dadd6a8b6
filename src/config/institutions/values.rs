//! `[[oauth.values]]` of an institution file: what a client gives for each connection.

use serde::Deserialize;

use crate::config::reading::Reading;
use crate::config::value::{Label, Section};
use crate::domain::call::CallName;
use crate::domain::connection_values::{Pattern, VALUE_LIMIT, ValueKind, ValueRule};
use crate::domain::template::is_name;

/// The most values that an institution may ask for.
const MOST: usize = 20;

/// The most characters of a value, unless the file says otherwise.
const USUALLY_MOST: usize = 100;

/// `[[oauth.values]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawValue {
    name: String,
    #[serde(rename = "type")]
    kind: RawKind,
    #[serde(default)]
    choices: Vec<Label>,
    pattern: Option<String>,
    min_length: Option<usize>,
    max_length: Option<usize>,
    #[serde(default = "usually_required")]
    required: bool,
}

fn usually_required() -> bool {
    true
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawKind {
    Text,
    Digits,
    Choice,
}

/// Builds the rules, in the order of the file.
pub fn build(reading: &Reading<'_>, raw: Vec<Section<RawValue>>) -> Vec<ValueRule> {
    let mut rules: Vec<ValueRule> = Vec::new();
    for (i, Section(raw)) in raw.into_iter().enumerate() {
        let at = format!("oauth.values[{i}]");
        if i == MOST {
            let problem = format!("is one more than the {MOST} there may be; remove it");
            reading.wrong(&at, problem);
            break;
        }
        let key = format!("{at}.name");
        let is_ours = CallName::ALL
            .iter()
            .any(|call| call.places().contains(&raw.name.as_str()));
        if !is_name(&raw.name) {
            reading.wrong(
                &key,
                "is not a name; write 1 to 64 lower-case letters, digits and _, a letter first",
            );
        } else if is_ours {
            let problem = format!(
                "{} is a place that the gateway fills; choose another",
                raw.name
            );
            reading.wrong(&key, problem);
        } else if rules.iter().any(|rule| rule.name == raw.name) {
            reading.wrong(&key, "is the name of another value; give each its own");
        }
        rules.push(raw.build(reading, &at));
    }
    rules
}

impl RawValue {
    fn build(self, reading: &Reading<'_>, at: &str) -> ValueRule {
        let is_choice = self.kind == RawKind::Choice;
        let key = format!("{at}.choices");
        if is_choice && self.choices.is_empty() {
            reading.invalid(
                &key,
                "is missing; list what may be chosen, or write type = \"text\"",
            );
        }
        if !is_choice && !self.choices.is_empty() {
            reading.invalid(
                &key,
                "is only for type = \"choice\"; remove it or change the type",
            );
        }
        let pattern = self.pattern.as_deref().map(Pattern::parse).transpose();
        if let Err(error) = &pattern {
            let problem = format!("is not a regular expression: {error}; correct it");
            reading.wrong(&format!("{at}.pattern"), problem);
        }
        let has_limits = self.pattern.is_some() || self.min_length.or(self.max_length).is_some();
        if is_choice && has_limits {
            reading.invalid(
                &format!("{at}.type"),
                "is \"choice\", so what may be chosen is listed already; remove pattern, min_length and \
                 max_length",
            );
        }
        let least = self.min_length.unwrap_or(1);
        let most = self.max_length.unwrap_or(USUALLY_MOST.max(least));
        if !(1..=most).contains(&least) || most > VALUE_LIMIT {
            reading.invalid(
                &format!("{at}.max_length"),
                format!(
                    "must be at least min_length, which is at least 1, and at most {VALUE_LIMIT}"
                ),
            );
        }
        ValueRule {
            name: self.name,
            kind: match self.kind {
                RawKind::Text => ValueKind::Text,
                RawKind::Digits => ValueKind::Digits,
                RawKind::Choice => {
                    ValueKind::Choice(self.choices.into_iter().map(|choice| choice.0).collect())
                }
            },
            pattern: pattern.unwrap_or_default(),
            least,
            most,
            is_required: self.required,
        }
    }
}
