//! How a record is written: as JSON, with the number of the form it is written in. Both stores keep the
//! same text, so that an operator can read a record with the tools of either.
//!
//! A record that a newer version wrote, in a form of a higher number, may have fields that this version does
//! not know. They are kept: what this version writes in its place has them still, and the higher number. So the
//! number is raised whenever a field is added.

#[cfg(test)]
mod fields;

use serde_json::{Map, Value};

use super::outcome::{Result, StoreError};
use crate::steps::record::{Key, Record};

/// The number of the form that this version writes. Raise it when a record gets a new field.
pub(super) const FORM: u32 = 2;

/// A record as it is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Written {
    /// The number of its form.
    pub(super) form: u32,
    /// The record, as JSON.
    pub(super) json: String,
}

/// The fields of a record that this version does not know.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unknown {
    form: u32,
    fields: Value,
}

/// Reads a record, and its unknown fields.
pub(super) fn read(key: &Key, form: u32, json: &str) -> Result<(Record, Option<Unknown>)> {
    let unreadable = |error: serde_json::Error| {
        StoreError::Unreadable(format!("the record {}: {error}", key.as_str()))
    };
    let mut from = serde_json::Deserializer::from_str(json);
    let record = Record::read(key, &mut from).map_err(unreadable)?;
    from.end().map_err(unreadable)?;
    if form <= FORM {
        return Ok((record, None));
    }
    let written: Value = serde_json::from_str(json).map_err(unreadable)?;
    let known = serde_json::to_value(&record).map_err(unreadable)?;
    let fields = without(written, &known).unwrap_or_default();
    Ok((record, Some(Unknown { form, fields })))
}

/// Writes a record, with its unknown fields.
pub(super) fn write(record: &Record, unknown: Option<&Unknown>) -> Result<Written> {
    let failed = |error: serde_json::Error| StoreError::Failed(format!("a record: {error}"));
    let Some(unknown) = unknown else {
        let json = serde_json::to_string(record).map_err(failed)?;
        return Ok(Written { form: FORM, json });
    };
    let mut value = serde_json::to_value(record).map_err(failed)?;
    add(&mut value, &unknown.fields);
    Ok(Written {
        form: unknown.form,
        json: value.to_string(),
    })
}

/// What is in `all` and not in `known`. Elements of lists are matched by their `id`.
fn without(all: Value, known: &Value) -> Option<Value> {
    match (all, known) {
        (Value::Object(all), Value::Object(known)) => {
            let left = all.into_iter().filter_map(|(name, value)| {
                let value = match known.get(&name) {
                    None => Some(value),
                    Some(known) => without(value, known),
                };
                Some((name, value?))
            });
            let left: Map<String, Value> = left.collect();
            (!left.is_empty()).then_some(Value::Object(left))
        }
        (Value::Array(all), Value::Array(known)) => {
            let left = all.into_iter().filter_map(|element| {
                let id = element.get("id")?.clone();
                let twin = known.iter().find(|known| known.get("id") == Some(&id))?;
                let mut left = without(element, twin)?;
                left.as_object_mut()?.insert("id".to_owned(), id);
                Some(left)
            });
            let left: Vec<Value> = left.collect();
            (!left.is_empty()).then_some(Value::Array(left))
        }
        _ => None,
    }
}

/// Adds the unknown fields again, where the object that had them still exists and has no field of that name.
fn add(value: &mut Value, left: &Value) {
    match (value, left) {
        (Value::Object(value), Value::Object(left)) => {
            for (name, left) in left {
                match value.get_mut(name) {
                    Some(value) => add(value, left),
                    None => {
                        value.insert(name.clone(), left.clone());
                    }
                }
            }
        }
        (Value::Array(value), Value::Array(left)) => {
            for left in left {
                let twin = value.iter_mut().find(|it| it.get("id") == left.get("id"));
                if let Some(twin) = twin {
                    add(twin, left);
                }
            }
        }
        _ => {}
    }
}
