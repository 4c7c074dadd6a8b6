//! What an institution said to the calls of one attempt, for its service desk.
//!
//! - Bounded: the last [`MOST`] calls, of each response the first [`BODY`] bytes.
//! - A body is told only after whoever made the call has removed the secrets that he knows. Of a JSON object the texts
//!   are told that say what went wrong; of every other member only what kind of thing it is.
//! - Requests are told by method and address, without query: everything else in them is secret, or known.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use oauth2::http::header::HeaderMap;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use url::Url;
use zeroize::Zeroizing;

use super::json::Members;
use super::transport_error::MediaType;

/// How many calls of an attempt are told.
pub const MOST: usize = 8;

/// How much of a response's body is kept, in bytes.
pub const BODY: usize = 2 * 1024;

/// How long a header's value may be, in characters.
const HEADER: usize = 200;

/// The headers of a response that are told: what a service desk finds a call by.
const HEADERS: [&str; 10] = [
    "date",
    "content-type",
    "retry-after",
    "www-authenticate",
    "x-fapi-interaction-id",
    "x-request-id",
    "x-correlation-id",
    "request-id",
    "correlation-id",
    "x-amzn-requestid",
];

/// The members of a JSON object whose texts are told.
const MEMBERS: [&str; 16] = [
    "error",
    "error_description",
    "error_uri",
    "error_code",
    "errorCode",
    "code",
    "Code",
    "message",
    "Message",
    "title",
    "type",
    "status",
    "detail",
    "token_type",
    "expires_in",
    "scope",
];

/// One call, as it is told. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The method.
    pub method: String,
    /// The address, without its query.
    pub address: String,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// The status of the response; `None`: there was none.
    pub status: Option<u16>,
    /// Those of its headers by which a service desk finds it.
    pub headers: Vec<(String, String)>,
    /// The body, or why there is none.
    pub body: String,
}

/// What came back, before it may be told. Cannot be printed.
pub struct Heard {
    status: u16,
    media_type: MediaType,
    headers: Vec<(&'static str, Zeroizing<String>)>,
    body: Zeroizing<Vec<u8>>,
}

impl Heard {
    /// Of a response with that head, and a body of which that is there.
    pub fn of(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let told = HEADERS.into_iter().filter_map(|name| {
            let value = headers.get(name)?.to_str().ok()?;
            Some((name, Zeroizing::new(value.to_owned())))
        });
        Self {
            status,
            media_type: MediaType::of(headers),
            headers: told.collect(),
            body: Zeroizing::new(body[..body.len().min(BODY)].to_vec()),
        }
    }

    fn told(&self, shown: &impl Fn(&str, usize) -> String) -> (Vec<(String, String)>, String) {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), shown(value, HEADER)));
        (headers.collect(), self.told_body(shown))
    }

    fn told_body(&self, shown: &impl Fn(&str, usize) -> String) -> String {
        if self.body.is_empty() {
            return "(empty)".to_owned();
        }
        let (members, _) = Members::read(&self.body);
        let names: Vec<&str> = members.names().collect();
        if !names.is_empty() {
            let members = names.iter().map(|name| {
                let told = match members.text(name) {
                    Some(text) if MEMBERS.contains(name) => {
                        format!("{:?}", shown(&text, BODY))
                    }
                    Some(text) => format!("[text of {} characters]", text.chars().count()),
                    None => match members.number(name) {
                        Some(number) if MEMBERS.contains(name) => shown(number, 20),
                        Some(_) => "[number]".to_owned(),
                        None => "[other]".to_owned(),
                    },
                };
                format!("{:?}: {told}", shown(name, 100))
            });
            return shown(&members.collect::<Vec<_>>().join(", "), BODY);
        }
        match self.media_type {
            // Pages of servers between us and the institution.
            MediaType::Html | MediaType::Text => shown(&String::from_utf8_lossy(&self.body), BODY),
            _ => format!("[{} bytes that are no JSON object]", self.body.len()),
        }
    }
}

/// A call whose response was heard, or that failed.
struct Made {
    call: Call,
    heard: Option<Heard>,
}

/// The calls of one attempt.
pub struct Calls {
    begun: (Timestamp, Instant),
    made: Mutex<Vec<Made>>,
}

impl Calls {
    /// None yet; it is `now`.
    pub fn new(now: Timestamp) -> Self {
        Self {
            begun: (now, Instant::now()),
            made: Mutex::default(),
        }
    }

    /// A call was made: when it began, and what came back, or why nothing did (in words without a secret).
    pub(super) fn add(
        &self,
        method: &'static str,
        to: &Url,
        begun: Instant,
        came: Result<Heard, String>,
    ) {
        let mut address = to.clone();
        address.set_query(None);
        let (then, clock) = self.begun;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let since = begun.saturating_duration_since(clock);
        let call = Call {
            method: method.to_owned(),
            address: address.to_string(),
            at: then + Duration::from_millis(millis(since)),
            duration_ms: millis(begun.elapsed()),
            status: came.as_ref().ok().map(|heard| heard.status),
            headers: Vec::new(),
            body: match &came {
                Ok(_) => "[not told]".to_owned(),
                Err(error) => error.clone(),
            },
        };
        let mut made = self.made();
        if made.len() == MOST {
            made.remove(0);
        }
        made.push(Made {
            call,
            heard: came.ok(),
        });
    }

    /// What was heard so far may be told as `shown` shows it: cut to so many characters, and without the secrets of the
    /// calls.
    pub(super) fn clean(&self, shown: impl Fn(&str, usize) -> String) {
        for made in self.made().iter_mut() {
            made.call.address = shown(&made.call.address, BODY);
            if let Some(heard) = made.heard.take() {
                (made.call.headers, made.call.body) = heard.told(&shown);
            }
        }
    }

    /// All of them, the oldest first. Of what was not cleaned only the status is told.
    pub fn told(&self) -> Vec<Call> {
        self.made().iter().map(|made| made.call.clone()).collect()
    }

    fn made(&self) -> MutexGuard<'_, Vec<Made>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use oauth2::http::{HeaderName, HeaderValue};

    use super::super::scrub::Scrubber;
    use super::*;

    const SECRET: &str = "CANARY-secret";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        pairs.collect()
    }

    /// A call as it is told whose response is this.
    fn told(pairs: &[(&'static str, &'static str)], body: &str) -> Call {
        let calls = Calls::new(Timestamp::UNIX_EPOCH);
        let to = "https://bank.example/token?key=CANARY-query"
            .parse()
            .unwrap();
        let heard = Heard::of(400, &headers(pairs), body.as_bytes());
        calls.add("POST", &to, Instant::now(), Ok(heard));
        let scrubber = Scrubber::of([SECRET]);
        calls.clean(|text, limit| scrubber.shown(text, limit));
        let told = calls.told();
        let text = format!("{told:?}");
        assert!(!text.contains("CANARY"), "{text}");
        told.into_iter().next().expect("one call")
    }

    #[test]
    fn of_an_object_what_went_wrong_is_told_and_nothing_that_may_be_a_secret() {
        let body = r#"{"error":"invalid_grant","error_description":"CANARY-secret is over",
            "access_token":"short","id":12345,"expires_in":60,"list":["CANARY-secret"],
            "CANARY-secret":"x","sub":"ada"}"#;
        let call = told(&[("content-type", "application/json")], body);
        assert_eq!(
            call.body,
            "\"error\": \"invalid_grant\", \"error_description\": \"[secret] is over\", \"access_token\": [text of 5 \
             characters], \"id\": [number], \"expires_in\": 60, \"list\": [other], \"[secret]\": [text of 1 characters], \
             \"sub\": [text of 3 characters]"
        );
        assert_eq!(call.address, "https://bank.example/token");
        assert_eq!(call.status, Some(400));
    }

    #[test]
    fn an_interaction_id_is_told_and_no_cookie() {
        let call = told(
            &[
                (
                    "x-fapi-interaction-id",
                    "7d2c4e6a-0000-4000-8000-1234567890ab",
                ),
                ("www-authenticate", "Bearer error=\"CANARY-secret\""),
                ("set-cookie", "CANARY-cookie"),
            ],
            "",
        );
        let expected = [
            ("www-authenticate", "Bearer error=\"[secret]\""),
            (
                "x-fapi-interaction-id",
                "7d2c4e6a-0000-4000-8000-1234567890ab",
            ),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(call.headers, expected);
        assert_eq!(call.body, "(empty)");
    }

    #[test]
    fn a_page_is_told_as_text_and_anything_else_by_its_length() {
        let html = told(&[("content-type", "text/html")], "<p>CANARY-secret</p>\r\n");
        assert_eq!(html.body, r"<p>[secret]</p>\u{d}\u{a}");
        let form = told(
            &[("content-type", "application/x-www-form-urlencoded")],
            "access_token=CANARY",
        );
        assert_eq!(form.body, "[19 bytes that are no JSON object]");
        let cut = told(
            &[],
            &format!(r#"{{"error":"x","a":"{}"#, "CANARY".repeat(2_000)),
        );
        assert_eq!(cut.body, "\"error\": \"x\"");
    }

    #[test]
    fn only_the_last_calls_are_kept_and_what_was_not_cleaned_is_not_told() {
        let calls = Calls::new(Timestamp::UNIX_EPOCH);
        for n in 0..20_u16 {
            let to = format!("https://bank.example/{n}").parse().unwrap();
            let came = match n % 2 {
                0 => Ok(Heard::of(500 + n, &HeaderMap::new(), b"CANARY")),
                _ => Err("no connection".to_owned()),
            };
            calls.add("GET", &to, Instant::now(), came);
        }
        let told = calls.told();
        assert_eq!(told.len(), MOST);
        assert_eq!(told[0].address, "https://bank.example/12");
        assert_eq!((told[0].status, told[1].status), (Some(512), None));
        assert_eq!(told[1].body, "no connection");
        assert!(!format!("{told:?}").contains("CANARY"));
    }
}
