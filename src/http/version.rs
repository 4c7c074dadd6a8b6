//! The versions of the Platform API: which one a caller uses, and in what they differ (CONTRACT.md 2.1).
//!
//! The published descriptions agree on nearly every field. The fields with different types are in one
//! table, [`TYPED_DIFFERENTLY`], which is applied to every response in one place, [`Version::write`]. So
//! a client generated from either description can read every response.

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderValue, Method};
use serde::Serialize;
use serde_json::{Map, Value};

use super::problem::{Dialect, Kind, Problem};

/// A version of the Platform API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The first one. A caller that asks for none gets this one.
    V20111101,
    /// The one that MX's documentation describes.
    V20250224,
    /// A release candidate; only some of its responses are known to be the same ([`SAME_IN_RC`]).
    Rc20260430,
}

/// Every version, as `Accept-Version` names it.
pub const VERSIONS: [(&str, Version); 3] = [
    ("v20111101", Version::V20111101),
    ("v20250224", Version::V20250224),
    ("rc20260430", Version::Rc20260430),
];

/// The requests whose response is the same in the release candidate. It has fewer fields in members,
/// users and institutions, so requests that return one of those are not here.
const SAME_IN_RC: [(Method, &str); 3] = [
    (
        Method::GET,
        "/users/{user_identifier}/members/{member_identifier}/oauth_window_uri",
    ),
    (
        Method::DELETE,
        "/users/{user_identifier}/members/{member_identifier}",
    ),
    (Method::DELETE, "/users/{user_identifier}"),
];

/// How a version describes a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Described {
    /// As it is.
    AsItIs,
    /// With another type that may be null: it is null.
    Otherwise,
    /// Never as null: if it is null, it is left out.
    NotNull,
    /// As one of these values: with any other it is left out.
    OneOf(&'static [&'static str]),
}

/// A field that the versions type differently.
struct Field {
    /// The object it is a field of; `things` is a list of them.
    of: (&'static str, &'static str),
    name: &'static str,
    v20111101: Described,
    v20250224: Described,
}

/// Every field of a response that has different types in the published descriptions.
const TYPED_DIFFERENTLY: [Field; 3] = [
    Field {
        of: ("member", "members"),
        name: "most_recent_job_guid",
        v20111101: Described::Otherwise,
        v20250224: Described::AsItIs,
    },
    Field {
        of: ("user", "users"),
        name: "email",
        v20111101: Described::AsItIs,
        v20250224: Described::NotNull,
    },
    Field {
        of: ("institution", "institutions"),
        name: "iso_country_code",
        v20111101: Described::NotNull,
        v20250224: Described::OneOf(&["US", "CA"]),
    },
];

impl Version {
    /// The version that the caller uses: the one that `Accept-Version` names, else the one whose media
    /// type it accepts, else the first. `None`: the Nexus API has no versions.
    pub fn read_by(headers: &HeaderMap) -> Option<Self> {
        if Dialect::of(headers) == Dialect::Nexus {
            return None;
        }
        let named = headers.get(HEADER).and_then(named);
        Some(named.unwrap_or_else(|| of_media_type(headers)))
    }

    /// The body in the form of this version.
    pub fn write(self, body: &impl Serialize) -> serde_json::Result<String> {
        let mut body = serde_json::to_value(body)?;
        for field in &TYPED_DIFFERENTLY {
            let described = match self {
                Self::V20111101 => field.v20111101,
                Self::V20250224 | Self::Rc20260430 => field.v20250224,
            };
            let one = body.get_mut(field.of.0).and_then(Value::as_object_mut);
            one.into_iter()
                .for_each(|one| described.apply(one, field.name));
            let many = body.get_mut(field.of.1).and_then(Value::as_array_mut);
            let many = many.into_iter().flatten().filter_map(Value::as_object_mut);
            many.for_each(|one| described.apply(one, field.name));
        }
        serde_json::to_string(&body)
    }
}

impl Described {
    fn apply(self, object: &mut Map<String, Value>, name: &str) {
        let Some(value) = object.get_mut(name) else {
            return;
        };
        let is_kept = match self {
            Self::AsItIs => true,
            Self::Otherwise => {
                *value = Value::Null;
                true
            }
            Self::NotNull => !value.is_null(),
            Self::OneOf(known) => value.as_str().is_some_and(|it| known.contains(&it)),
        };
        if !is_kept {
            object.remove(name);
        }
    }
}

/// The header that names a version.
const HEADER: &str = "accept-version";

fn named(value: &HeaderValue) -> Option<Version> {
    let asked = value.as_bytes().trim_ascii();
    let known = VERSIONS.iter().find(|(name, _)| name.as_bytes() == asked)?;
    Some(known.1)
}

/// The media types say less than `Accept-Version`: a number that grew with what became v20250224.
fn of_media_type(headers: &HeaderMap) -> Version {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let ranges = accept.unwrap_or_default().split(',');
    let mut versions = ranges.filter_map(|range| {
        let essence = range.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/vnd.mx.api.v1+json" => Some(Version::V20111101),
            "application/vnd.mx.api.v2+json" | "application/vnd.mx.api.v2beta+json" => {
                Some(Version::V20250224)
            }
            _ => None,
        }
    });
    versions.next().unwrap_or(Version::V20111101)
}

/// Refuses an `Accept-Version` that names no version, or one that is not supported at that route.
pub fn accept(headers: &HeaderMap, method: &Method, route: Option<&str>) -> Result<(), Problem> {
    let Some(asked) = headers.get(HEADER) else {
        return Ok(());
    };
    let refusal = match named(asked) {
        Some(Version::V20111101 | Version::V20250224) => return Ok(()),
        Some(Version::Rc20260430) => {
            let is_same = SAME_IN_RC
                .iter()
                .any(|(known, path)| known == method && route == Some(*path));
            if is_same {
                return Ok(());
            }
            "Accept-Version rc20260430 is not supported here, because its response is another one. \
             Send v20111101 or v20250224, or leave it out."
        }
        None => {
            "Accept-Version must be v20111101 or v20250224, or left out; rc20260430 is accepted where \
             its response is the same."
        }
    };
    Err(Problem::new(Kind::NotAcceptable, refusal))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().expect("a header"));
        }
        headers
    }

    #[test]
    fn the_version_is_named_by_either_header_and_the_first_by_none() {
        const TYPE_1: (&str, &str) = ("accept", "application/vnd.mx.api.v1+json");
        const TYPE_2: (&str, &str) = (
            "accept",
            "text/html, Application/vnd.mx.api.v2beta+JSON;q=1",
        );
        const PLAIN: (&str, &str) = ("accept", "application/json");
        const OLD: (&str, &str) = ("accept-version", " v20111101");
        const NEW: (&str, &str) = ("accept-version", "v20250224");
        for (sent, expected) in [
            (&[][..], Version::V20111101),
            (&[PLAIN], Version::V20111101),
            (&[TYPE_1], Version::V20111101),
            (&[TYPE_2], Version::V20250224),
            (&[PLAIN, OLD], Version::V20111101),
            (&[PLAIN, NEW], Version::V20250224),
            (&[TYPE_1, NEW], Version::V20250224),
            (&[TYPE_2, OLD], Version::V20111101),
        ] {
            assert_eq!(Version::read_by(&headers(sent)), Some(expected), "{sent:?}");
        }
        let session = headers(&[("md-session-token", "any"), NEW]);
        assert_eq!(Version::read_by(&session), None);
    }

    #[test]
    fn each_version_gets_what_it_describes() {
        let body = json!({
            "member": {"guid": "MBR-1", "most_recent_job_guid": "JOB-1", "email": null},
            "users": [{"email": null}, {"email": "ada@example.org"}],
            "institutions": [
                {"iso_country_code": null}, {"iso_country_code": "FR"}, {"iso_country_code": "CA"},
            ],
        });
        let read = |version: Version| -> Value {
            serde_json::from_str(&version.write(&body).expect("a body")).expect("JSON")
        };
        assert_eq!(
            read(Version::V20111101),
            json!({
                "member": {"guid": "MBR-1", "most_recent_job_guid": null, "email": null},
                "users": [{"email": null}, {"email": "ada@example.org"}],
                "institutions": [{}, {"iso_country_code": "FR"}, {"iso_country_code": "CA"}],
            })
        );
        assert_eq!(
            read(Version::V20250224),
            json!({
                "member": {"guid": "MBR-1", "most_recent_job_guid": "JOB-1", "email": null},
                "users": [{}, {"email": "ada@example.org"}],
                "institutions": [{}, {}, {"iso_country_code": "CA"}],
            })
        );
    }

    fn published(text: &str) -> Value {
        serde_json::from_str(text).expect("a description")
    }

    /// Every field that has different types in the two descriptions is in the table, except the
    /// enumeration of statuses, because each status is in it.
    #[test]
    fn the_table_has_every_field_that_the_published_descriptions_type_differently() {
        let old = published(include_str!("../../tests/published/v20111101.json"));
        let new = published(include_str!("../../tests/published/v20250224.json"));
        let schemas = |it: &Value| it["components"]["schemas"].clone();
        let (old, new) = (schemas(&old), schemas(&new));
        let mut different = BTreeSet::new();
        for (name, schema) in old.as_object().expect("schemas") {
            let Some(thing) = name.strip_suffix("Response") else {
                continue;
            };
            let properties = schema["properties"].as_object();
            for (field, described) in properties.into_iter().flatten() {
                let other = &new[name]["properties"][field];
                if !other.is_null() && other != described {
                    different.insert((thing.to_lowercase(), field.clone()));
                }
            }
        }
        let statuses = new["MemberResponse"]["properties"]["connection_status"]["enum"].clone();
        for status in crate::domain::connection_status::ConnectionStatus::ALL {
            let is_known = statuses
                .as_array()
                .is_some_and(|all| all.iter().any(|it| it == status.name()));
            assert!(is_known, "{status:?}");
        }
        for thing in ["member", "memberstatus"] {
            let status = (thing.to_owned(), "connection_status".to_owned());
            assert!(different.remove(&status), "{different:?}");
        }
        let table = TYPED_DIFFERENTLY
            .iter()
            .map(|field| (field.of.0.to_owned(), field.name.to_owned()));
        assert_eq!(different, table.collect());
    }
}
