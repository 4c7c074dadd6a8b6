//! A stricter look at JSON than a parser's: one object, and no member twice.
//!
//! A member that is there twice is read differently by different programs, which is how an answer
//! can be made to mean one thing to a checker and another to its user (RFC 8259 section 4).

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Why bytes are not an object to be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, nested deeper than 128 levels, or followed by something else.
    #[error("it is not JSON")]
    Syntax,
    /// JSON, but not an object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// An object in it has a member twice.
    #[error("it has a member twice")]
    Duplicate,
}

/// Checks that `bytes` are one JSON object without duplicate members at any depth.
pub fn check(bytes: &[u8]) -> Result<(), JsonError> {
    let mut duplicate = false;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let read = Element(&mut duplicate).deserialize(&mut deserializer);
    if duplicate {
        return Err(JsonError::Duplicate);
    }
    read.and_then(|()| deserializer.end())
        .map_err(|_| JsonError::Syntax)?;
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    (first == Some(&b'{'))
        .then_some(())
        .ok_or(JsonError::NotAnObject)
}

/// Any JSON value; sets the flag at the first member that is there twice.
struct Element<'a>(&'a mut bool);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                *self.0 = true;
                return Err(A::Error::custom("a member twice"));
            }
            map.next_value_seed(Element(self.0))?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Element(self.0))?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t11_only_one_unambiguous_object_passes() {
        for good in [
            r#"{}"#,
            r#" {"a":1,"b":[true,null,{"a":-1.5e3}],"c":{"a":"x"}} "#,
            r#"{"a":{"b":1},"c":{"b":2}}"#,
        ] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        for (bad, expected) in [
            (r#"{"a":1,"a":2}"#, JsonError::Duplicate),
            (r#"{"a":1,"\u0061":2}"#, JsonError::Duplicate),
            (r#"{"x":[{"a":1,"b":2,"a":1}]}"#, JsonError::Duplicate),
            ("[]", JsonError::NotAnObject),
            ("\"a\"", JsonError::NotAnObject),
            ("null", JsonError::NotAnObject),
            ("", JsonError::Syntax),
            ("{", JsonError::Syntax),
            ("{} {}", JsonError::Syntax),
            ("<html>", JsonError::Syntax),
            ("{\"a\":\"\u{1}\"}", JsonError::Syntax),
        ] {
            assert_eq!(check(bad.as_bytes()), Err(expected), "{bad}");
        }
        assert_eq!(check(b"{\"a\":\"\xff\"}"), Err(JsonError::Syntax));
    }

    #[test]
    fn t11_depth_is_limited() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(nested(100).as_bytes()), Ok(()));
        assert_eq!(check(nested(200).as_bytes()), Err(JsonError::Syntax));
        assert_eq!(check(nested(30_000).as_bytes()), Err(JsonError::Syntax));
    }
}
