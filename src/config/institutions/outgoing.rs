//! What an institution file says of calls to the institution: their headers, and the endpoints for those that show a
//! certificate.

use std::collections::BTreeMap;

use serde::Deserialize;
use url::Url;

use crate::config::address::HttpsUrl;
use crate::config::reading::Reading;
use crate::domain::institution::{CallHeaders, MtlsAliases};

/// Headers that only the gateway may set, or whoever carries the call.
const OUR_HEADERS: [&str; 16] = [
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "host",
    "proxy-authorization",
    "te",
    "traceparent",
    "transfer-encoding",
    "upgrade",
];

/// The most characters of a header's name or value.
const LONGEST: usize = 200;

/// Checks the headers that calls carry besides.
pub fn headers(
    reading: &Reading<'_>,
    fixed: BTreeMap<String, String>,
    interaction_id: Option<String>,
    traceparent: bool,
) -> CallHeaders {
    for (name, value) in &fixed {
        let key = format!("oauth.headers.{name}");
        check_name(reading, &key, name);
        let is_sound = |byte: u8| (0x20..0x7f).contains(&byte);
        if value.is_empty() || value.len() > LONGEST || !value.bytes().all(is_sound) {
            let problem =
                format!("must be 1 to {LONGEST} printable ASCII characters (RFC 9110 section 5.5)");
            reading.wrong(&key, problem);
        }
    }
    if let Some(name) = &interaction_id {
        let key = "oauth.interaction_id_header";
        check_name(reading, key, name);
        if fixed.contains_key(name) {
            let problem = "is in oauth.headers too, where it would be the same in every call; remove it there";
            reading.wrong(key, problem);
        }
    }
    CallHeaders {
        fixed,
        interaction_id,
        traceparent,
    }
}

fn check_name(reading: &Reading<'_>, key: &str, name: &str) {
    let is_sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b);
    if name.is_empty() || name.len() > LONGEST || !name.bytes().all(is_sound) {
        let problem =
            "is not the name of a header; write it with lower-case letters, digits, - and _";
        reading.wrong(key, problem);
    } else if OUR_HEADERS.contains(&name) {
        let problem = format!("{name} is set by the gateway for each call; remove it");
        reading.wrong(key, problem);
    }
}

/// `[oauth.mtls_endpoint_aliases]`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawAliases {
    token_endpoint: Option<HttpsUrl>,
    revocation_endpoint: Option<HttpsUrl>,
    userinfo_endpoint: Option<HttpsUrl>,
}

impl RawAliases {
    /// Checks that each stands in place of another endpoint.
    pub fn build(self, reading: &Reading<'_>, has_revocation: bool, asks: bool) -> MtlsAliases {
        let alias = |name: &str, alias: Option<HttpsUrl>, has_usual: bool, usual: &str| {
            if alias.is_some() && !has_usual {
                let problem =
                    format!("would not be called: there is no {usual}; add that, or remove this");
                reading.invalid(&format!("oauth.mtls_endpoint_aliases.{name}"), problem);
            }
            alias.map(|HttpsUrl(url)| url)
        };
        let revocation = (self.revocation_endpoint, "oauth.revocation_endpoint");
        let userinfo = (self.userinfo_endpoint, "oauth.subject.endpoint");
        MtlsAliases {
            token_endpoint: self
                .token_endpoint
                .map(|HttpsUrl(url): HttpsUrl| -> Url { url }),
            revocation_endpoint: alias(
                "revocation_endpoint",
                revocation.0,
                has_revocation,
                revocation.1,
            ),
            userinfo_endpoint: alias("userinfo_endpoint", userinfo.0, asks, userinfo.1),
        }
    }
}
