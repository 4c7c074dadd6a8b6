//! URI schemes of apps, and those that belong to browsers or systems and so can never be an app's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A private-use URI scheme, in the case it was given (RFC 3986 section 3.1, RFC 8252 section 7.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Scheme(String);

/// Text that is no scheme of an app.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScheme {
    /// Not a scheme by RFC 3986 section 3.1.
    #[error("{0:?} is not a URI scheme: a letter, then letters, digits, '+', '-' or '.'")]
    Malformed(String),
    /// It never leads to the client's app.
    #[error("the scheme {0:?} belongs to browsers or systems and can never be a return scheme")]
    Reserved(String),
}

/// The longest scheme, in bytes.
const LONGEST: usize = 64;

/// Schemes that a browser answers itself.
const OF_BROWSERS: &[&str] = &[
    "about",
    "blob",
    "brave",
    "chrome",
    "cid",
    "data",
    "devtools",
    "edge",
    "file",
    "filesystem",
    "firefox",
    "ftp",
    "ftps",
    "googlechrome",
    "googlechromes",
    "http",
    "https",
    "ie.http",
    "isolated-app",
    "jar",
    "javascript",
    "livescript",
    "mhtml",
    "mid",
    "mk",
    "mocha",
    "opera",
    "res",
    "resource",
    "safari",
    "tor",
    "urn",
    "uuid-in-package",
    "vbscript",
    "view-source",
    "vivaldi",
    "ws",
    "wss",
    "wyciwyg",
    "x-safari-http",
    "x-safari-https",
];

/// Schemes that an operating system, or a program that comes with one, answers.
const OF_SYSTEMS: &[&str] = &[
    "aim",
    "android.resource",
    "app-prefs",
    "app-settings",
    "applescript",
    "callto",
    "content",
    "dav",
    "davs",
    "facetime",
    "facetime-audio",
    "feed",
    "geo",
    "gopher",
    "hcp",
    "help",
    "im",
    "imap",
    "intent",
    "ipp",
    "ipps",
    "irc",
    "ircs",
    "its",
    "itms",
    "itmss",
    "ldap",
    "ldaps",
    "magnet",
    "mailto",
    "maps",
    "market",
    "message",
    "mms",
    "mmsto",
    "news",
    "nfs",
    "nntp",
    "package",
    "pop",
    "prefs",
    "pres",
    "rdp",
    "rlogin",
    "rtsp",
    "search",
    "search-ms",
    "sftp",
    "shell",
    "shortcuts",
    "sip",
    "sips",
    "sms",
    "smsto",
    "smb",
    "snews",
    "ssh",
    "tel",
    "telnet",
    "telprompt",
    "terminal",
    "tn3270",
    "vnc",
    "vnd.ms.radio",
    "voicemail",
    "wais",
    "webcal",
    "webcals",
    "workflow",
    "xmpp",
];

/// How the names of whole families of such schemes begin. `web+` and `ext+` are handed out by
/// browsers to any website or extension that asks.
const FAMILIES: &[&str] = &[
    "android-",
    "apple-",
    "chrome-",
    "com.apple.",
    "com.google.chrome",
    "ext+",
    "itms-",
    "microsoft-",
    "microsoft.",
    "moz-",
    "ms-",
    "opera-",
    "safari-",
    "web+",
    "x-apple",
];

impl Scheme {
    /// The scheme as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are the same scheme; schemes ignore case.
    pub fn is(&self, other: &Scheme) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// Whether it has the reverse-domain form that RFC 8252 section 7.1 asks for: names of a domain,
    /// two at least.
    pub fn is_reverse_domain(&self) -> bool {
        let is_label = |label: &str| {
            let is_inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            !label.is_empty()
                && label.bytes().all(is_inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        self.0.contains('.') && self.0.split('.').all(is_label)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Scheme {
    type Err = InvalidScheme;

    fn from_str(text: &str) -> Result<Self, InvalidScheme> {
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
        let goes_on_well =
            bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        if !starts_well || !goes_on_well || text.len() > LONGEST {
            return Err(InvalidScheme::Malformed(text.to_owned()));
        }
        let lower = text.to_ascii_lowercase();
        let is_reserved = OF_BROWSERS.contains(&lower.as_str())
            || OF_SYSTEMS.contains(&lower.as_str())
            || FAMILIES.iter().any(|family| lower.starts_with(family));
        match is_reserved {
            true => Err(InvalidScheme::Reserved(lower)),
            false => Ok(Self(text.to_owned())),
        }
    }
}

impl<'de> Deserialize<'de> for Scheme {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m7_schemes_of_browsers_and_systems_are_never_registrable() {
        for wrong in [
            "javascript",
            "JavaScript",
            "data",
            "blob",
            "file",
            "vbscript",
            "about",
            "view-source",
            "intent",
            "content",
            "filesystem",
            "https",
            "mailto",
            "MailTo",
            "tel",
            "sms",
            "ms-msdt",
            "ms-settings",
            "search-ms",
            "microsoft-edge",
            "devtools",
            "googlechrome",
            "googlechromes",
            "chrome-extension",
            "moz-extension",
            "itms-apps",
            "x-apple.systempreferences",
            "web+bank",
            "vnd.ms.radio",
        ] {
            let refused = wrong.parse::<Scheme>();
            let expected = InvalidScheme::Reserved(wrong.to_ascii_lowercase());
            assert_eq!(refused, Err(expected), "{wrong:?}");
        }
        for malformed in [
            "\u{1}javascript",
            "java\tscript",
            "java\nscript",
            "",
            "1app",
            "my app",
            "app:",
            "äpp",
        ] {
            let refused = malformed.parse::<Scheme>();
            let expected = InvalidScheme::Malformed(malformed.to_owned());
            assert_eq!(refused, Err(expected), "{malformed:?}");
        }
        for right in ["mx", "com.example.App", "acme-app", "a+b", "exp"] {
            assert!(right.parse::<Scheme>().is_ok(), "{right:?} was refused");
        }
    }

    #[test]
    fn m7_the_reverse_domain_form_is_names_of_a_domain() {
        let has_form = |text: &str| text.parse::<Scheme>().expect(text).is_reverse_domain();
        for right in ["com.example.app", "example.app", "com.1st-bank.a1"] {
            assert!(has_form(right), "{right:?}");
        }
        for wrong in [
            "mx",
            "app.",
            "a..b",
            "com.example.",
            "a+b.c",
            "com.-x.y",
            "com.x-.y",
        ] {
            assert!(!has_form(wrong), "{wrong:?}");
        }
    }
}
