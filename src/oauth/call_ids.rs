//! What makes one call to an institution findable, there and here: an id of its own, and a trace (W3C Trace Context).

use std::fmt::Write;

use oauth2::http::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Builder;

use crate::domain::institution::CallHeaders;
use crate::domain::random::{self, Random};

/// The header of a trace (W3C Trace Context section 3.2).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The ids of one call; those that its institution wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallIds {
    /// The call's own.
    pub interaction_id: Option<String>,
    /// That of its trace: 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

/// Adds the institution's headers to those of a call, with fresh ids. What the protocol wants stays as it is.
pub fn add(wanted: &CallHeaders, random: &dyn Random, headers: &mut HeaderMap) -> CallIds {
    let mut put = |name: HeaderName, value: &str| {
        let value = HeaderValue::from_str(value).expect("it was checked when the file was read");
        headers.entry(name).or_insert(value);
    };
    let named = |name: &str| {
        HeaderName::from_bytes(name.as_bytes()).expect("it was checked when the file was read")
    };
    for (name, value) in &wanted.fixed {
        put(named(name), value);
    }
    let mut ids = CallIds::default();
    if let Some(name) = &wanted.interaction_id {
        let id = Builder::from_random_bytes(random::bytes(random)).into_uuid();
        let id = id.hyphenated().to_string();
        put(named(name), &id);
        ids.interaction_id = Some(id);
    }
    if wanted.traceparent {
        let trace = hex(random::bytes::<16>(random));
        let span = hex(random::bytes::<8>(random));
        put(TRACEPARENT, &format!("00-{trace}-{span}-01"));
        ids.trace_id = Some(trace);
    }
    ids
}

fn hex<const N: usize>(bytes: [u8; N]) -> String {
    let mut text = String::with_capacity(2 * N);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::test_support::Os;
    use super::*;

    #[test]
    fn each_call_has_ids_of_its_own_where_they_are_wanted() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            add(&CallHeaders::default(), &Os, &mut headers),
            CallIds::default()
        );
        assert!(headers.is_empty());
        let fixed = [
            ("x-bank".to_owned(), "7".to_owned()),
            ("accept".to_owned(), "x".to_owned()),
        ];
        let wanted = CallHeaders {
            fixed: fixed.into(),
            interaction_id: Some("x-fapi-interaction-id".to_owned()),
            traceparent: true,
        };
        let calls = [(); 2].map(|()| {
            let mut headers = HeaderMap::new();
            headers.insert("accept", HeaderValue::from_static("application/json"));
            let ids = add(&wanted, &Os, &mut headers);
            let text = |name: &str| headers[name].to_str().expect("text").to_owned();
            assert_eq!(
                text("accept"),
                "application/json",
                "the protocol's own stays"
            );
            assert_eq!(text("x-bank"), "7");
            assert_eq!(Some(text("x-fapi-interaction-id")), ids.interaction_id);
            let trace = ids.trace_id.clone().expect("a trace");
            let parent = text("traceparent");
            assert_eq!(parent.len(), 55, "{parent}");
            assert!(parent.starts_with(&format!("00-{trace}-")) && parent.ends_with("-01"));
            ids
        });
        assert_ne!(calls[0].interaction_id, calls[1].interaction_id);
        assert_ne!(calls[0].trace_id, calls[1].trace_id);
        let id = calls[0].interaction_id.as_deref().expect("an id");
        let id = uuid::Uuid::parse_str(id).expect("a UUID");
        assert_eq!(id.get_version_num(), 4);
    }
}
