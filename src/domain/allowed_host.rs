//! A host that may be called although somebody else than the operator named it: the operator listed it.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The port of an address that names none.
const USUAL_PORT: u16 = 443;

/// A host and a port that the operator lists, such as `hooks.internal:8443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    host: Host<String>,
    port: u16,
}

/// Text that names no host and port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a host; write host, host:port, 10.0.0.1:8443 or [::1]:8443, without wildcards"
)]
pub struct InvalidHost(String);

impl FromStr for AllowedHost {
    type Err = InvalidHost;

    /// Reads `host` or `host:port`; without a port, 443 is meant.
    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(text.to_owned());
        let url = Url::parse(&format!("https://{text}")).map_err(|_| invalid())?;
        // A path, a query, a user name or a pattern is refused, because the rule does not look at them.
        let other = ['/', '\\', '?', '#', '@', '*'];
        if text.contains(other) || text.contains(char::is_whitespace) {
            return Err(invalid());
        }
        Ok(Self {
            host: url.host().ok_or_else(invalid)?.to_owned(),
            port: url.port_or_known_default().ok_or_else(invalid)?,
        })
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            USUAL_PORT => write!(f, "{}", self.host),
            port => write!(f, "{}:{port}", self.host),
        }
    }
}

impl AllowedHost {
    /// The host and port of `url`; `None`: it names none.
    pub fn of(url: &Url) -> Option<Self> {
        Some(Self {
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }

    /// Whether it is the host and port of `url`.
    pub fn is_that_of(&self, url: &Url) -> bool {
        Self::of(url).as_ref() == Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_host_is_admitted_exactly() {
        for (listed, url, expected) in [
            ("10.0.0.9:8443", "https://10.0.0.9:8443/x", true),
            ("10.0.0.9:8443", "https://10.0.0.9/x", false),
            ("10.0.0.9:443", "https://10.0.0.9/x", true),
            ("Hooks.Internal", "https://hooks.internal/x", true),
            ("hooks.internal", "https://hooks.internal:99/x", false),
            ("hooks.internal", "https://a.hooks.internal/x", false),
            ("[::1]:80", "http://[::1]/x", true),
            ("[::1]:80", "https://[::1]/x", false),
        ] {
            let host: AllowedHost = listed.parse().expect("a host");
            let url = Url::parse(url).expect("a URL");
            assert_eq!(host.is_that_of(&url), expected, "{listed} {url}");
        }
    }

    #[test]
    fn hosts_are_written_as_they_are_read() {
        for text in ["a.internal", "a.internal:80", "[::1]:8443", "10.0.0.1"] {
            let host: AllowedHost = text.parse().expect("a host");
            assert_eq!(host.to_string(), text);
        }
        for wrong in [
            "",
            ":80",
            "a:b",
            "a/b",
            "a@b",
            "a?b",
            "a#b",
            "https://a",
            "a b",
            "a:70000",
            "*.a",
            "::1",
        ] {
            let expected = Err(InvalidHost(wrong.to_owned()));
            assert_eq!(wrong.parse::<AllowedHost>(), expected, "{wrong}");
        }
    }
}
