//! Reading what scripts answer.

use std::collections::HashMap;
use std::str::FromStr;

use jiff::Timestamp;
use redis::Value;

use crate::store::{Result, StoreError};

/// The parts of an answer, read in order.
pub(super) struct Reply(std::vec::IntoIter<Value>);

impl Reply {
    /// The parts of a list.
    pub(super) fn of(value: Value) -> Result<Self> {
        match value {
            Value::Array(parts) => Ok(Self(parts.into_iter())),
            _ => Err(unreadable("an answer that should be a list")),
        }
    }

    /// The parts of a list, or `None` where the script answered "nothing".
    pub(super) fn optional(value: Value) -> Result<Option<Self>> {
        match value {
            Value::Nil => Ok(None),
            value => Self::of(value).map(Some),
        }
    }

    /// Bytes.
    pub(super) fn bytes(&mut self) -> Result<Vec<u8>> {
        match self.value()? {
            Value::BulkString(bytes) => Ok(bytes),
            Value::SimpleString(text) => Ok(text.into_bytes()),
            _ => Err(unreadable("an answer that should be a text")),
        }
    }

    /// Bytes, or `None` where the script answered "nothing".
    pub(super) fn maybe_bytes(&mut self) -> Result<Option<Vec<u8>>> {
        match self.0.as_slice().first() {
            Some(Value::Nil) => self.value().map(|_| None),
            _ => self.bytes().map(Some),
        }
    }

    /// Texts.
    pub(super) fn texts(&mut self) -> Result<Vec<String>> {
        let mut list = self.list()?;
        let mut texts = Vec::new();
        while !list.is_empty() {
            texts.push(list.text()?);
        }
        Ok(texts)
    }

    /// A text.
    pub(super) fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| unreadable("a text that is not UTF-8"))
    }

    /// A list.
    pub(super) fn list(&mut self) -> Result<Reply> {
        Reply::of(self.value()?)
    }

    /// A hash of texts.
    pub(super) fn fields(&mut self) -> Result<Fields> {
        Fields::of(self.value()?)
    }

    /// Whether all parts were read.
    pub(super) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    fn value(&mut self) -> Result<Value> {
        self.0
            .next()
            .ok_or_else(|| unreadable("an answer that is too short"))
    }
}

/// A hash of texts.
pub(super) struct Fields(HashMap<String, String>);

impl Fields {
    /// The fields of `HGETALL`'s answer.
    pub(super) fn of(value: Value) -> Result<Self> {
        redis::from_redis_value(value)
            .map(Self)
            .map_err(|_| unreadable("a hash that is not made of texts"))
    }

    /// The fields of a snapshot inside an event: names and values in turn, as JSON.
    pub(super) fn of_snapshot(json: &str) -> Result<Self> {
        let flat: Vec<String> =
            serde_json::from_str(json).map_err(|_| unreadable("an event's snapshot"))?;
        let pairs = flat.chunks_exact(2);
        Ok(Self(
            pairs.map(|it| (it[0].clone(), it[1].clone())).collect(),
        ))
    }

    /// Whether there is nothing of that name.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The field, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The field, if it is there, as a text of its own.
    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// The field, which must be there.
    pub(super) fn text(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| missing(name))
    }

    /// What `read` makes of the field, if it is there; unreadable when it makes nothing of it.
    pub(super) fn maybe<T>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        self.get(name)
            .map(|text| read(text).ok_or_else(|| unreadable(&format!("the field {name:?}"))))
            .transpose()
    }

    /// What `read` makes of the field, which must be there.
    pub(super) fn read<T>(&self, name: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<T> {
        self.maybe(name, read)?.ok_or_else(|| missing(name))
    }

    /// The field, by its type's own reading.
    pub(super) fn parse<T: FromStr>(&self, name: &str) -> Result<T> {
        self.read(name, |text| text.parse().ok())
    }

    /// A time, which must be there.
    pub(super) fn time(&self, name: &str) -> Result<Timestamp> {
        self.read(name, time)
    }
}

/// A time written as milliseconds.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(text.parse().ok()?).ok()
}

/// The complaint about something that this version cannot have written. It names the thing, never
/// its content.
pub(super) fn unreadable(what: &str) -> StoreError {
    StoreError::Unreadable(what.to_owned())
}

fn missing(name: &str) -> StoreError {
    unreadable(&format!("a hash without its field {name:?}"))
}
