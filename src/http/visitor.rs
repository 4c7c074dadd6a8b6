//! Who follows a link: a person's navigation, a browser looking ahead, or a machine.
//!
//! This is no security control. A machine that looks like a person's browser claims a link; any other
//! gets a response without effect. Links that are sent by mail are minted `interstitial` or `multi`.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::header::{HeaderValue, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use serde::de::DeserializeOwned;

use super::fields;

/// What kind of request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// A navigation in a top-level window. Requests without any `Sec-Fetch-*` header count as one: old
    /// browsers, command-line and test clients.
    Navigation,
    /// A browser looking ahead (prefetch, prerender): it will come again when the person does.
    LookAhead,
    /// A sub-resource, a frame, a script's fetch or a known preview agent.
    Machine,
    /// `HEAD`: a link checker.
    Probe,
    /// A POST of a form.
    Post,
    /// Any other method.
    Other,
}

/// Agents that fetch links for a preview or a security scan, by the names they give themselves.
const FETCHERS: [&str; 34] = [
    "slackbot",
    "slack-imgproxy",
    "telegrambot",
    "whatsapp",
    "signal",
    "facebookexternalhit",
    "facebot",
    "twitterbot",
    "discordbot",
    "linkedinbot",
    "skypeuripreview",
    "microsoft teams",
    "teamsbot",
    "microsoft office",
    "ms-office",
    "outlook",
    "bingpreview",
    "google-pagerenderer",
    "googlebot",
    "google-read-aloud",
    "applebot",
    "mattermost",
    "redditbot",
    "pinterestbot",
    "embedly",
    "iframely",
    "bitlybot",
    "snap url preview",
    "kakaotalk-scrap",
    "kakaostory-og-reader",
    "barracuda",
    "viber",
    "line-poker",
    "naverbookmarkcrawler",
];

/// The values of `Sec-Purpose` and its predecessors for prefetch and prerender.
const LOOKING_AHEAD: [&str; 3] = ["prefetch", "prerender", "preview"];

impl Visit {
    /// What kind of request this is.
    pub fn of(method: &Method, headers: &HeaderMap) -> Self {
        match *method {
            Method::GET => Self::of_get(headers),
            Method::HEAD => Self::Probe,
            Method::POST => Self::Post,
            _ => Self::Other,
        }
    }

    fn of_get(headers: &HeaderMap) -> Self {
        let purposes = ["sec-purpose", "purpose", "x-purpose", "x-moz"];
        // A purpose that cannot be read may be prefetch.
        let looks_ahead = purposes.into_iter().any(|name| {
            fields::mentions(headers, name, &LOOKING_AHEAD) || fields::is_unreadable(headers, name)
        });
        if looks_ahead {
            return Self::LookAhead;
        }
        if fields::contradicts(headers, "sec-fetch-mode", "navigate")
            || fields::contradicts(headers, "sec-fetch-dest", "document")
        {
            return Self::Machine;
        }
        // The desktop windows of messengers have the same name as their fetcher. The difference is that a
        // person pressed the link.
        let is_pressed = fields::says(headers, "sec-fetch-user", "?1")
            && fields::says(headers, "sec-fetch-mode", "navigate")
            && fields::says(headers, "sec-fetch-dest", "document");
        match !is_pressed && fields::mentions(headers, "user-agent", &FETCHERS) {
            true => Self::Machine,
            false => Self::Navigation,
        }
    }
}

/// The segments of a path for browsers. A segment that is no text counts as empty, which matches nothing:
/// every malformed address gets the page of an unknown one (`security` O8).
pub struct Segments<T>(pub T);

impl<T, S> FromRequestParts<S> for Segments<T>
where
    T: DeserializeOwned + Default + Send,
    S: Send + Sync,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        Ok(Self(
            path.map_or_else(|_| T::default(), |Path(found)| found),
        ))
    }
}

/// Whether the agent says that it is a phone or tablet: there a redirect leads into the app that has the
/// scheme. Elsewhere a browser without such an app would stay on the page before.
pub fn is_phone(headers: &HeaderMap) -> bool {
    const PHONES: [&[u8]; 4] = [b"Android", b"iPhone", b"iPad", b"iPod"];
    let agent = headers
        .get(USER_AGENT)
        .map_or(&[][..], HeaderValue::as_bytes);
    let names = |phone: &&[u8]| agent.windows(phone.len()).any(|part| part == *phone);
    PHONES.iter().any(names)
}

/// Whether a form came from a page of ours, by `Sec-Fetch-Site` or `Origin`. A client that sends neither
/// has no cookies of ours that could be abused.
pub fn is_same_origin(headers: &HeaderMap, public_url: &url::Url) -> bool {
    if headers.contains_key("sec-fetch-site") {
        return fields::says(headers, "sec-fetch-site", "same-origin")
            || fields::says(headers, "sec-fetch-site", "none");
    }
    // Our pages send no referrer, so a browser without Sec-Fetch-Site sends the origin "null". That
    // proves nothing; the cookie does, because a cross-site form does not bring it.
    let own = public_url.origin().ascii_serialization();
    !fields::contradicts(headers, "origin", &own) || fields::says(headers, "origin", "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    name.parse().expect("a name"),
                    value.parse().expect("a value"),
                )
            })
            .collect()
    }

    #[test]
    fn only_a_navigation_is_a_navigation() {
        let check = |pairs: &[(&'static str, &'static str)], expected: Visit| {
            assert_eq!(
                Visit::of(&Method::GET, &headers(pairs)),
                expected,
                "{pairs:?}"
            );
        };
        check(&[], Visit::Navigation);
        check(&[("user-agent", "curl/8.0")], Visit::Navigation);
        check(
            &[
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
            ],
            Visit::Navigation,
        );
        check(
            &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
            Visit::Machine,
        );
        check(
            &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
            Visit::Machine,
        );
        check(
            &[
                ("sec-purpose", "prefetch;prerender"),
                ("sec-fetch-mode", "navigate"),
            ],
            Visit::LookAhead,
        );
        check(&[("purpose", "prefetch")], Visit::LookAhead);
        check(&[("x-moz", "prefetch")], Visit::LookAhead);
        check(&[("x-purpose", "preview")], Visit::LookAhead);
        check(
            &[("user-agent", "TelegramBot (like TwitterBot)")],
            Visit::Machine,
        );
        check(
            &[(
                "user-agent",
                "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            )],
            Visit::Machine,
        );
    }
}
