//! A JSON object member by member: strict where two readers could differ, and careful with numbers.
//!
//! Different programs read a member that is there twice differently, so such a response can mean one
//! thing to the program that checks it and another to the one that uses it (RFC 8259 section 4). Only the
//! levels that are used are examined: the top, and the objects on the way to what an institution nests. Numbers keep the text they were written with,
//! whatever their size.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::domain::call::MemberPath;

/// How deeply a body may be nested.
const DEPTH_LIMIT: usize = 128;

/// The byte order mark that some servers put before JSON (RFC 8259 section 8.1).
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Why bytes are not an object to be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or followed by something else.
    #[error("it is not JSON")]
    Syntax,
    /// Nested deeper than 128 levels.
    #[error("it is nested too deeply")]
    Depth,
    /// JSON, but not an object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// It has a member twice.
    #[error("it has a member twice")]
    Duplicate,
}

/// The members of an object, in the order they came. Cannot be printed.
#[derive(Default)]
pub struct Members(Vec<(String, Zeroizing<String>)>);

impl Members {
    /// Reads `bytes`, with or without a byte order mark.
    ///
    /// If they are not an object to be relied on, what was read up to the fault is returned as well: it
    /// may hold tokens that must be revoked.
    pub fn read(bytes: &[u8]) -> (Self, Result<(), JsonError>) {
        let bytes = bytes.strip_prefix(BOM).unwrap_or(bytes);
        let mut members = Self::default();
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let read = Object(&mut members.0).deserialize(&mut deserializer);
        let read = read.and_then(|()| deserializer.end());
        let sound = match read {
            _ if depth(bytes) > DEPTH_LIMIT => Err(JsonError::Depth),
            Err(error) if error.is_data() => Err(JsonError::NotAnObject),
            Err(_) => Err(JsonError::Syntax),
            Ok(()) if members.has_one_twice() => Err(JsonError::Duplicate),
            Ok(()) => Ok(()),
        };
        (members, sound)
    }

    /// Reads a form, in which every value is a text.
    pub fn read_form(bytes: &[u8]) -> (Self, Result<(), JsonError>) {
        let pairs = form_urlencoded::parse(bytes);
        let quoted = |text: &str| Zeroizing::new(serde_json::Value::from(text).to_string());
        let members = Self(
            pairs
                .map(|(name, value)| (name.into_owned(), quoted(&value)))
                .collect(),
        );
        let sound = match () {
            () if !bytes.contains(&b'=') || bytes.contains(&b'<') => Err(JsonError::Syntax),
            () if members.has_one_twice() => Err(JsonError::Duplicate),
            () => Ok(()),
        };
        (members, sound)
    }

    /// The members of the object at `path`, as far as they can be read; none where it is absent. An empty path
    /// leads to these members themselves.
    pub fn object_at(&self, path: &MemberPath) -> (Self, Result<(), JsonError>) {
        let mut found = Self(self.0.clone());
        let mut sound = Ok(());
        for name in path.names() {
            let next = found.raw(name).next().filter(|raw| *raw != "null");
            let (members, is_sound) = match next {
                Some(raw) => Self::read(raw.as_bytes()),
                None => (Self::default(), Ok(())),
            };
            found = members;
            sound = sound.and(is_sound);
        }
        (found, sound)
    }

    /// The member at `path` as it was written; `None` where it is absent, or inside something that cannot be relied
    /// on.
    pub fn raw_at(&self, path: &MemberPath) -> Option<Zeroizing<String>> {
        let (last, before) = path.names().split_last()?;
        let mut found = Self(self.0.clone());
        for name in before {
            found = found.object(name)?;
        }
        let raw = found.raw(last).next().map(str::to_owned);
        raw.map(Zeroizing::new)
    }

    /// Adds a member as it is written.
    pub fn add(&mut self, name: &str, raw: Zeroizing<String>) {
        self.0.push((name.to_owned(), raw));
    }

    /// Removes the members of these names.
    pub fn remove(&mut self, is_removed: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| !is_removed(name));
    }

    /// The text of the member `name`; `None` where it is absent or no text.
    pub fn text(&self, name: &str) -> Option<Zeroizing<String>> {
        self.texts(name).next()
    }

    /// The same, for each time it is there.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = Zeroizing<String>> {
        self.raw(name)
            .filter_map(|raw| serde_json::from_str(raw).ok().map(Zeroizing::new))
    }

    /// The texts in the list `name`; `None` where it is absent or no list of texts.
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        self.read_as(name)
    }

    /// The member `name` in a form of the caller's; `None` where it is absent or has another form.
    pub fn read_as<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.raw(name).next()?).ok()
    }

    /// The number `name` as it was written; `None` where it is absent or no number.
    pub fn number(&self, name: &str) -> Option<&str> {
        let raw = self.raw(name).next()?;
        raw.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            .then_some(raw)
    }

    /// The login that the member `name` holds: a text that is not only white space, or a number as it was
    /// written.
    pub fn somebody(&self, name: &str) -> Option<String> {
        let text = self.text(name).map(|text| text.to_string());
        text.or_else(|| self.number(name).map(str::to_owned))
            .filter(|text| !text.trim().is_empty())
    }

    /// The names of all members, in the order they came.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The members of the object `name`; `None` where it is absent or no object to be relied on.
    pub fn object(&self, name: &str) -> Option<Self> {
        let (members, sound) = Self::read(self.raw(name).next()?.as_bytes());
        sound.ok().map(|()| members)
    }

    /// Whether the member is absent or `null`.
    pub fn lacks(&self, name: &str) -> bool {
        self.raw(name).all(|raw| raw == "null")
    }

    fn raw(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.0.iter().filter(move |(known, _)| known == name);
        named.map(|(_, raw)| raw.as_str())
    }

    fn has_one_twice(&self) -> bool {
        let mut names = std::collections::HashSet::new();
        !self.0.iter().all(|(name, _)| names.insert(name))
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Members(…)")
    }
}

/// An object. Its members are kept even if it is broken further on.
struct Object<'a>(&'a mut Vec<(String, Zeroizing<String>)>);

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value::<Box<RawValue>>()?;
            let value: Box<str> = value.into();
            self.0.push((name, Zeroizing::new(value.into_string())));
        }
        Ok(())
    }
}

/// How deeply brackets are nested, outside of texts.
fn depth(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8]) -> Result<(), JsonError> {
        Members::read(bytes).1
    }

    #[test]
    fn t11_only_one_unambiguous_object_passes() {
        for good in [
            r#"{}"#,
            r#" {"a":1,"b":[true,null,{"a":-1.5e3}],"c":{"a":"x"}} "#,
            r#"{"a":{"b":1},"c":{"b":2}}"#,
            // Below the top nothing is used.
            r#"{"x":[{"a":1,"b":2,"a":1}]}"#,
            "\u{feff}{\"a\":1}",
        ] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
        for (bad, expected) in [
            (r#"{"a":1,"a":2}"#, JsonError::Duplicate),
            (r#"{"a":1,"\u0061":2}"#, JsonError::Duplicate),
            ("[]", JsonError::NotAnObject),
            ("\"a\"", JsonError::NotAnObject),
            ("null", JsonError::NotAnObject),
            ("", JsonError::Syntax),
            ("{", JsonError::Syntax),
            ("{} {}", JsonError::Syntax),
            ("<html>", JsonError::Syntax),
            ("{\"a\":\"\u{1}\"}", JsonError::Syntax),
            ("\u{feff}\u{feff}{}", JsonError::Syntax),
        ] {
            assert_eq!(check(bad.as_bytes()), Err(expected), "{bad}");
        }
        assert_eq!(check(b"{\"a\":\"\xff\"}"), Err(JsonError::Syntax));
    }

    #[test]
    fn t11_depth_is_limited() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(check(nested(100).as_bytes()), Ok(()));
        assert_eq!(check(nested(200).as_bytes()), Err(JsonError::Depth));
        assert_eq!(check(nested(30_000).as_bytes()), Err(JsonError::Depth));
        let in_text = format!(r#"{{"a":"\"{}"}}"#, "[{".repeat(200));
        assert_eq!(check(in_text.as_bytes()), Ok(()));
    }

    #[test]
    fn what_came_before_a_fault_is_read() {
        for broken in [
            r#"{"a":"one","b":{"c":"#,
            r#"{"a":"one","b":"cut"#,
            r#"{"a":"one"} and more"#,
            r#"{"a":"one","#,
        ] {
            let (members, sound) = Members::read(broken.as_bytes());
            assert_eq!(sound, Err(JsonError::Syntax), "{broken}");
            assert_eq!(members.text("a").unwrap().as_str(), "one", "{broken}");
        }
        let (members, _) = Members::read(br#"{"a":"one","a":"two","a":3}"#);
        let texts: Vec<String> = members.texts("a").map(|text| text.to_string()).collect();
        assert_eq!(texts, ["one", "two"]);
        let deep = format!(
            r#"{{"a":"one","b":{}{}}}"#,
            "[".repeat(300),
            "]".repeat(300)
        );
        assert_eq!(
            Members::read(deep.as_bytes()).0.text("a").unwrap().as_str(),
            "one"
        );
    }

    #[test]
    fn a_number_keeps_its_text_and_a_text_its_characters() {
        let (members, sound) = Members::read(
            br#"{"long":123456789012345678901234567890,"one":1.0,"text":"a\u00e9\/","none":null,"list":["a","b"]}"#,
        );
        assert_eq!(sound, Ok(()));
        assert_eq!(
            members.number("long"),
            Some("123456789012345678901234567890")
        );
        assert_eq!(members.number("one"), Some("1.0"));
        assert_eq!(members.number("text"), None);
        assert_eq!(members.text("text").unwrap().as_str(), "aé/");
        assert!(members.text("one").is_none() && members.text("none").is_none());
        assert_eq!(
            members.list("list"),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert!(members.lacks("none") && members.lacks("other") && !members.lacks("one"));
    }
}
