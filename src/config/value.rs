//! Values that are checked as they are read: texts, sections, numbers, times.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use url::Url;

use crate::domain::return_address::is_loopback;

/// A value that is written as text. Its errors are reported at the value itself; serde cannot do that for
/// errors that are raised after a list's element was read.
pub struct Parsed<T>(pub T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<T>(PhantomData<T>);
        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Text<T> {
            type Value = Parsed<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text in quotes")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Parsed<T>, E> {
                text.parse().map(Parsed).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text(PhantomData))
    }
}

/// A section of the tree: it must be a table, because serde would fill it from a list by position.
pub struct Section<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Section<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Table<T> {
            type Value = Section<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a section with keys of its own")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Section<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Section)
            }
        }
        deserializer.deserialize_map(Table(PhantomData))
    }
}

/// Reads a [`Section`].
pub fn section<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Section::deserialize(deserializer).map(|Section(value)| value)
}

/// Reads a [`Section`] that may be left out.
pub fn optional_section<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    section(deserializer).map(Some)
}

/// Derives `Deserialize` from `FromStr`.
macro_rules! from_text {
    ($($name:ty),+ $(,)?) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Parsed::deserialize(deserializer).map(|Parsed(value)| value)
            }
        }
    )+};
}

from_text!(
    Support, Accent, Locale, Label, Scope, Country, FieldName, BasicUser, Moment
);
pub(super) use from_text;

/// A text that is not valid; the message says why and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(String);

pub(super) fn refuse<T>(why: impl Into<String>) -> Result<T, InvalidValue> {
    Err(InvalidValue(why.into()))
}

/// One scope (RFC 6749 section 3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope(pub String);

impl FromStr for Scope {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let allowed = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
        if text.is_empty() || !text.bytes().all(allowed) {
            return refuse(format!(
                "{text:?} is not one scope; write each scope as a text of its own, without spaces, \
                 quotes or backslashes"
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Where people get help: a `mailto:` or an `https:` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Support(pub String);

impl FromStr for Support {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let is_mail = text.strip_prefix("mailto:").is_some_and(|address| {
            let clean = address
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"?&\"<>\\".contains(&b));
            let halves = address.split_once('@');
            clean && halves.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
        });
        if is_mail || web_url(text).is_ok() {
            return Ok(Self(text.to_owned()));
        }
        refuse("is not where people get help; write mailto:help@example.com or https://…")
    }
}

/// A colour `#rrggbb` on which white text can be read (WCAG 2.2, 1.4.3: a contrast of 4.5 to 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accent(pub String);

impl FromStr for Accent {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let digits = text
            .strip_prefix('#')
            .filter(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let Some(rgb) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else {
            return refuse("is not a colour; write # and six hexadecimal digits, as in #1c4fb6");
        };
        let light = |shift: u32| {
            let value = f64::from((rgb >> shift) & 0xff) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        let luminance = 0.2126 * light(16) + 0.7152 * light(8) + 0.0722 * light(0);
        let contrast = 1.05 / (luminance + 0.05);
        if contrast < 4.5 {
            return refuse(format!(
                "is too light for white text: a contrast of {contrast:.1} to 1; choose a darker \
                 colour with 4.5 or more"
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

/// A language tag such as `en` or `pt-BR` (BCP 47).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locale(pub String);

impl FromStr for Locale {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.parse::<unic_langid::LanguageIdentifier>() {
            Ok(tag) if tag.language.as_str() != "und" => Ok(Self(tag.to_string())),
            _ => refuse("is not a language tag; write one such as en or pt-BR"),
        }
    }
}

/// A name shown to people: 1 to 100 characters, none of them a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(pub String);

impl FromStr for Label {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let sound = !text.trim().is_empty()
            && text.chars().count() <= 100
            && !text.chars().any(char::is_control);
        if !sound {
            return refuse("is not a name; write 1 to 100 characters on one line");
        }
        Ok(Self(text.to_owned()))
    }
}

/// A country as two capital letters (ISO 3166-1 alpha-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Country(pub String);

impl FromStr for Country {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text.len() != 2 || !text.bytes().all(|b| b.is_ascii_uppercase()) {
            return refuse("is not a country; write two capital letters such as US (ISO 3166-1)");
        }
        Ok(Self(text.to_owned()))
    }
}

/// A moment (RFC 3339), in whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub Timestamp);

impl FromStr for Moment {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let read = text.parse::<Timestamp>().ok();
        let whole = read.and_then(|at| Timestamp::from_millisecond(at.as_millisecond()).ok());
        match whole {
            Some(moment) => Ok(Self(moment)),
            None => refuse(
                "is not a moment; write date, time and offset, as in \"2026-12-01T06:00:00Z\"",
            ),
        }
    }
}

/// An institution's own name for a field of its sign-in, such as `LOGIN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(pub String);

impl FromStr for FieldName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return refuse("is not a field name; write 1 to 64 letters, digits, -, _ or .");
        }
        Ok(Self(text.to_owned()))
    }
}

/// A user name for HTTP Basic (RFC 7617 section 2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicUser(pub String);

impl FromStr for BasicUser {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text.is_empty() || text.contains(':') || text.chars().any(char::is_control) {
            return refuse(
                "cannot be sent with HTTP Basic; write a name without colons and control \
                 characters",
            );
        }
        Ok(Self(text.to_owned()))
    }
}

/// Reads a number between `MIN` and `MAX`.
pub fn between<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<u64, D::Error> {
    let number = i64::deserialize(deserializer)?;
    match u64::try_from(number) {
        Ok(number) if (MIN..=MAX).contains(&number) => Ok(number),
        _ => Err(D::Error::custom(format!(
            "is {number}; write a number from {MIN} to {MAX}"
        ))),
    }
}

/// Reads whole seconds between `MIN` and `MAX`.
pub fn seconds<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    between::<MIN, MAX, D>(deserializer).map(Duration::from_secs)
}

/// Reads whole minutes between `MIN` and `MAX`.
pub fn minutes<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    between::<MIN, MAX, D>(deserializer).map(|minutes| Duration::from_secs(60 * minutes))
}

/// Reads whole hours between `MIN` and `MAX`.
pub fn hours<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    between::<MIN, MAX, D>(deserializer).map(|hours| Duration::from_secs(60 * 60 * hours))
}

/// Reads whole days between `MIN` and `MAX`.
pub fn days<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    between::<MIN, MAX, D>(deserializer).map(|days| Duration::from_secs(24 * 60 * 60 * days))
}

/// Reads whole days between `MIN` and `MAX`, where they are given.
pub fn optional_days<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    days::<MIN, MAX, D>(deserializer).map(Some)
}

/// Reads whole seconds between `MIN` and `MAX`, where they are given.
pub fn optional_seconds<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    seconds::<MIN, MAX, D>(deserializer).map(Some)
}

/// Reads numbers, each between `MIN` and `MAX`.
pub fn each_between<'de, const MIN: u64, const MAX: u64, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<u32>, D::Error> {
    let numbers = Vec::<i64>::deserialize(deserializer)?;
    let read = |number: i64| match u32::try_from(number) {
        Ok(read) if (MIN..=MAX).contains(&u64::from(read)) => Ok(read),
        _ => Err(D::Error::custom(format!(
            "has {number}; write numbers from {MIN} to {MAX}"
        ))),
    };
    numbers.into_iter().map(read).collect()
}

/// Parses an absolute `https` URL, or an `http` one of this machine.
///
/// Tabs and newlines, which a URL parser silently drops, are refused, and so are characters that RFC 3986
/// does not allow or that a shell would interpret.
pub(super) fn web_url(text: &str) -> Result<Url, InvalidValue> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?[]@&=+,%#".contains(&b);
    if !text.bytes().all(allowed) {
        return refuse(
            "has a character that does not belong in an address; percent-encode it as %XX",
        );
    }
    let Ok(url) = Url::parse(text) else {
        return refuse("is not an absolute address; write it as https://host/path");
    };
    if !(url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url)) {
        return refuse("must begin with https:// (http:// is for localhost and 127.0.0.1 only)");
    }
    if text.contains('@') && (!url.username().is_empty() || url.password().is_some()) {
        return refuse("has a user name or password in it; remove it");
    }
    if text.contains('#') {
        return refuse("has a fragment (#…); remove it");
    }
    Ok(url)
}
