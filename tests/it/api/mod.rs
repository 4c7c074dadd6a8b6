//! The APIs, as their documentation has them: every field, every request shape, every status.

mod description;
mod heads;
mod idempotency;
mod institutions;
mod jobs;
mod leniency;
mod limits;
mod members;
mod oauth_states;
mod platform;
mod sessions;
mod standard;
mod users;
mod versions;
mod webhooks;

use std::collections::BTreeSet;

use serde_json::Value;

/// The names of an object's fields.
fn names(object: &Value) -> BTreeSet<&str> {
    let object = object.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

/// The field of that name is a time with an offset, as ISO 8601 writes it.
fn assert_time(object: &Value, field: &str) {
    let text = object[field].as_str().unwrap_or_default();
    assert!(text.parse::<jiff::Timestamp>().is_ok(), "{field}: {object}");
    assert!(text.ends_with("+00:00"), "{field}: {text}");
}

/// The guid of that field, with its prefix.
fn assert_guid<'a>(object: &'a Value, field: &str, prefix: &str) -> &'a str {
    let text = object[field].as_str().unwrap_or_default();
    assert!(
        text.starts_with(prefix) && text.len() == prefix.len() + 36,
        "{field}: {object}"
    );
    text
}
