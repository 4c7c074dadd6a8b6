//! URI schemes of apps, and those of browsers and operating systems, which can never be an app's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A private-use URI scheme, in upper or lower case as given (RFC 3986 section 3.1, RFC 8252 section
/// 7.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Scheme(String);

/// Text that is no scheme of an app.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidScheme {
    /// Not a scheme by RFC 3986 section 3.1.
    #[error("{0:?} is not a URI scheme: a letter, then letters, digits, '+', '-' or '.'")]
    Malformed(String),
    /// It can never lead to the client's app.
    #[error("the scheme {0:?} belongs to {1} and can never be a return scheme")]
    Reserved(String, Owner),
}

/// The longest scheme, in bytes.
const LONGEST: usize = 64;

/// Who handles a scheme that no app can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Browsers: schemes of code, of their own pages, and those that open a browser.
    Browsers,
    /// Operating systems, programs that come with them, and programs that do what a link says.
    Systems,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Browsers => "browsers",
            Self::Systems => "operating systems",
        })
    }
}

/// The schemes of one owner, in lower case.
struct Reserved {
    owner: Owner,
    names: &'static [&'static str],
    /// The beginnings of the names of whole families.
    families: &'static [&'static str],
}

/// Every scheme that no app can have.
const RESERVED: [Reserved; 2] = [
    Reserved {
        owner: Owner::Browsers,
        names: &[
            "about",
            "blob",
            "brave",
            "chrome",
            "chromium",
            "cid",
            "data",
            "ddglaunch",
            "ddgquicklink",
            "devtools",
            "dolphin",
            "edge",
            "file",
            "filesystem",
            "firefox",
            "ftp",
            "ftps",
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
            "operagx",
            "res",
            "resource",
            "safari",
            "tor",
            "touch-http",
            "touch-https",
            "ucbrowser",
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
        ],
        // Browsers let any website or extension register schemes that begin with `web+` and `ext+`.
        families: &[
            "brave-",
            "chrome-",
            "com.google.chrome",
            "edge-",
            "ext+",
            "firefox-",
            "googlechrome",
            "microsoft-edge",
            "moz-",
            "opera-",
            "safari-",
            "vivaldi-",
            "web+",
            "yandexbrowser-",
        ],
    },
    Reserved {
        owner: Owner::Systems,
        names: &[
            "addressbook",
            "admin",
            "afc",
            "afp",
            "aim",
            "app-prefs",
            "app-settings",
            "applescript",
            "apt",
            "archive",
            "callto",
            "calshow",
            "cifs",
            "computer",
            "content",
            "dav",
            "davs",
            "diagnostics",
            "dict",
            "dns-sd",
            "facetime",
            "facetime-audio",
            "feed",
            "finger",
            "fish",
            "geo",
            "ghelp",
            "gopher",
            "hcp",
            "help",
            "ibooks",
            "im",
            "imap",
            "intent",
            "ipp",
            "ipps",
            "irc",
            "ircs",
            "its",
            "jnlp",
            "jnlps",
            "ldap",
            "ldaps",
            "macappstore",
            "macappstores",
            "magnet",
            "mailto",
            "man",
            "mapi",
            "maps",
            "market",
            "message",
            "mms",
            "mmsto",
            "mobilenotes",
            "mtp",
            "network",
            "news",
            "nfs",
            "nntp",
            "onenote",
            "package",
            "photos-redirect",
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
            "smb",
            "sms",
            "smsto",
            "snews",
            "ssh",
            "tel",
            "telnet",
            "telprompt",
            "terminal",
            "tn3270",
            "trash",
            "vnc",
            "vnd.ms.radio",
            "voicemail",
            "vscode",
            "vscodium",
            "wais",
            "webcal",
            "webcals",
            "windowsdefender",
            "workflow",
            "wtai",
            "x-man-page",
            "xcode",
            "xmpp",
        ],
        families: &[
            "android-",
            "android.",
            "apple-",
            "com.apple.",
            "itms",
            "microsoft-",
            "microsoft.",
            "ms-",
            "vscode-",
            "windows-",
            "windows.",
            "x-apple",
        ],
    },
];

/// Who handles that scheme, given in lower case, if no app can have it.
fn owner_of(lower: &str) -> Option<Owner> {
    let is_of = |it: &&Reserved| {
        it.names.contains(&lower) || it.families.iter().any(|family| lower.starts_with(family))
    };
    RESERVED.iter().find(is_of).map(|it| it.owner)
}

impl Scheme {
    /// The scheme as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are the same scheme; schemes ignore case.
    pub fn is(&self, other: &Scheme) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// Whether it has the reverse-domain form that RFC 8252 section 7.1 asks for: at least two names
    /// separated by dots.
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
        match owner_of(&lower) {
            Some(owner) => Err(InvalidScheme::Reserved(lower, owner)),
            None => Ok(Self(text.to_owned())),
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
        let of_browsers = [
            "about",
            "blob",
            "brave",
            "chrome-extension",
            "data",
            "devtools",
            "edge",
            "file",
            "filesystem",
            "firefox-focus",
            "googlechrome",
            "googlechrome-x-callback",
            "googlechromes",
            "https",
            "javascript",
            "JavaScript",
            "microsoft-edge-http",
            "microsoft-edge-https",
            "moz-extension",
            "opera-http",
            "safari-web-extension",
            "touch-http",
            "touch-https",
            "vbscript",
            "view-source",
            "web+bank",
        ];
        let of_systems = [
            "afp",
            "android-app",
            "content",
            "help",
            "intent",
            "itms-apps",
            "itmss",
            "jnlp",
            "jnlps",
            "mailto",
            "MailTo",
            "ms-msdt",
            "ms-settings",
            "nfs",
            "search-ms",
            "shortcuts",
            "smb",
            "sms",
            "tel",
            "vnd.ms.radio",
            "vscode",
            "vscode-insiders",
            "x-apple.systempreferences",
            "x-man-page",
        ];
        let of_browsers = of_browsers.map(|wrong| (wrong, Owner::Browsers));
        let of_systems = of_systems.map(|wrong| (wrong, Owner::Systems));
        for (wrong, owner) in of_browsers.into_iter().chain(of_systems) {
            let refused = wrong.parse::<Scheme>();
            let expected = InvalidScheme::Reserved(wrong.to_ascii_lowercase(), owner);
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
        // A word that only begins like a family's name does not belong to it.
        for right in [
            "mx",
            "com.example.App",
            "acme-app",
            "a+b",
            "exp",
            "operations",
            "bravebank",
            "edgebank",
            "msbank",
            "chrome.example.app",
        ] {
            assert!(right.parse::<Scheme>().is_ok(), "{right:?} was refused");
        }
    }

    #[test]
    fn m7_the_list_of_reserved_schemes_says_each_once_and_in_lower_case() {
        let mut said = Vec::new();
        for Reserved {
            names, families, ..
        } in &RESERVED
        {
            assert!(names.is_sorted() && families.is_sorted());
            for (at, name) in names.iter().enumerate() {
                let is_told = |others: &[&str]| others.iter().any(|it| name.starts_with(it));
                assert!(!is_told(families), "{name} is of a family");
                assert!(!names[..at].contains(name), "{name} is there twice");
            }
            said.extend(names.iter().chain(*families));
        }
        let lower = |it: &&str| it.bytes().all(|it| !it.is_ascii_uppercase());
        assert!(said.iter().all(lower));
        let count = said.len();
        said.sort_unstable();
        said.dedup();
        assert_eq!(said.len(), count, "one owner each");
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
