//! The cookies that bind a browser: one per attempt, without use after its end. On https they are
//! `__Host-` and `Secure`. A plain-http address is on this machine only; there some browsers do not
//! accept such cookies, so they have neither.

use axum::http::HeaderMap;
use url::Url;

use super::fields;
use crate::domain::id::AttemptId;
use crate::domain::secret::{BindingSecret, Digest};
use crate::domain::window::{Binding, Browser};
use crate::flow::open::BindingCookie;

/// The prefix of our cookies' names, and the last of their attributes, on https.
const ON_HTTPS: (&str, &str) = ("__Host-", "; Secure");

/// How the name of a binding cookie begins; the attempt's first twelve characters follow.
const BINDING: &str = "ow.";

/// The cookie that goes with an interstitial page's one-time value.
const PROOF: &str = "owp";

/// How many bindings a browser keeps; the oldest are dropped when it gets another.
const MOST: usize = 10;

/// The cookies of one request, and those that its response sets.
///
/// Every pair is read by itself, as bytes: a pair that another site or an extension wrote does not hide
/// ours. Only the limit of the request's head limits the header's length.
pub struct Cookies<'a> {
    headers: &'a HeaderMap,
    prefix: &'static str,
    secure: &'static str,
}

impl<'a> Cookies<'a> {
    /// The cookies of a request with these headers, to the gateway at `public_url`.
    pub fn new(headers: &'a HeaderMap, public_url: &Url) -> Self {
        let (prefix, secure) = match public_url.scheme() {
            "http" => ("", ""),
            _ => ON_HTTPS,
        };
        Self {
            headers,
            prefix,
            secure,
        }
    }

    /// What the browser proves. Browsers send the oldest first; the newest ten bindings count.
    pub fn browser(&self) -> Browser {
        let mut browser = Browser::default();
        let ours: Vec<(&str, &[u8])> = self.of_attempts().collect();
        for (part, value) in ours.into_iter().rev() {
            match binding(part, value) {
                Some(binding) if browser.bindings.len() < MOST => browser.bindings.push(binding),
                Some(_) => break,
                None => browser.unreadable.push(part.to_owned()),
            }
        }
        browser.bindings.reverse();
        browser
    }

    /// The values of the binding cookies, each with its attempt's part of the name.
    fn of_attempts(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.ours().filter_map(|(name, value)| {
            let part = name.strip_prefix(BINDING.as_bytes())?;
            let is_plain =
                |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
            let is_part = part.len() == 12 && part.iter().all(is_plain);
            let part = std::str::from_utf8(part).ok().filter(|_| is_part)?;
            Some((part, value))
        })
    }

    /// Names and values (RFC 6265 section 4.2.1) of the cookies that have our prefix, without it.
    fn ours(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let prefix = self.prefix.as_bytes();
        fields::parts(self.headers, "cookie", b';').filter_map(move |pair| {
            let at = pair.iter().position(|byte| *byte == b'=')?;
            let name = pair[..at].trim_ascii_end().strip_prefix(prefix)?;
            Some((name, pair[at + 1..].trim_ascii_start()))
        })
    }

    /// `Set-Cookie` values: the new binding, and the end of the oldest ones when there are too many.
    pub fn bind(&self, cookie: &BindingCookie) -> Vec<String> {
        let BindingCookie {
            attempt, secret, ..
        } = cookie;
        let name = format!("{BINDING}{}", attempt.cookie_part());
        let value = format!("{attempt}.{}", secret.expose());
        let mut set = vec![self.set(&name, &value, cookie.max_age.as_secs())];
        let parts: Vec<&str> = self.of_attempts().map(|(part, _)| part).collect();
        // A few at a time: if somebody planted hundreds, the response's head must not get too long.
        let surplus = (parts.len() + 1).saturating_sub(MOST).min(MOST);
        let oldest = parts.iter().take(surplus);
        set.extend(oldest.map(|part| self.set(&format!("{BINDING}{part}"), "", 0)));
        set
    }

    /// `Set-Cookie` of an interstitial page: the browser's half of its one-time value.
    pub fn prove(&self, secret: &BindingSecret, max_age_s: u64) -> String {
        self.set(PROOF, secret.expose(), max_age_s)
    }

    /// Whether the form's half fits the browser's: it is the digest of the cookie.
    pub fn is_proven(&self, proof: Option<&str>) -> bool {
        let Some(proof) = proof.and_then(Digest::from_text) else {
            return false;
        };
        let mut secrets = self
            .ours()
            .filter(|(name, _)| *name == PROOF.as_bytes())
            .filter_map(|(_, value)| BindingSecret::parse(std::str::from_utf8(value).ok()?));
        secrets.any(|secret| secret.digest().matches(&proof))
    }

    fn set(&self, name: &str, value: &str, max_age_s: u64) -> String {
        let Self { prefix, secure, .. } = self;
        format!(
            "{prefix}{name}={value}; Max-Age={max_age_s}; Path=/; HttpOnly; SameSite=Lax{secure}"
        )
    }
}

/// The binding in the cookie's value, `{attempt}.{secret}`: it names its attempt in full, so that a
/// browser is recognised even if an authorization response names no attempt.
fn binding(part: &str, value: &[u8]) -> Option<Binding> {
    let (attempt, secret) = std::str::from_utf8(value).ok()?.split_once('.')?;
    let attempt: AttemptId = attempt.parse().ok()?;
    let secret = BindingSecret::parse(secret)?;
    (attempt.cookie_part() == part).then(|| Binding {
        attempt,
        digest: secret.digest(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn with_cookies(text: impl AsRef<[u8]>) -> HeaderMap {
        let value = HeaderValue::from_bytes(text.as_ref()).expect("a header");
        HeaderMap::from_iter([(axum::http::header::COOKIE, value)])
    }

    fn at(public_url: &str) -> Url {
        public_url.parse().expect("an address")
    }

    /// What a gateway on https reads from these headers.
    fn browser(headers: &HeaderMap) -> Browser {
        Cookies::new(headers, &at("https://connect.example/")).browser()
    }

    fn cookie(n: u32) -> String {
        let part = format!("00aaaaaa{n:04}");
        format!(
            "__Host-{BINDING}{part}={part}aaaaaaaaaaaa.{}",
            "A".repeat(43)
        )
    }

    #[test]
    fn p3_ten_bindings_count_however_many_come() {
        for (many, last) in [(60, 59), (1000, 999)] {
            let cookies: Vec<String> = (0..many).map(cookie).collect();
            let found = browser(&with_cookies(cookies.join("; "))).bindings;
            assert_eq!(found.len(), 10);
            assert_eq!(found[9].attempt.cookie_part(), format!("00aaaaaa{last:04}"));
        }
        // Values that are no bindings do not count for the limit.
        let garbage: Vec<String> = (0..50)
            .map(|n| format!("__Host-{BINDING}00bbbbbb{n:04}=x"))
            .collect();
        let crowded = browser(&with_cookies(format!(
            "{}; {}",
            cookie(1),
            garbage.join("; ")
        )));
        assert_eq!(crowded.bindings.len(), 1);
    }

    #[test]
    fn p3_what_others_put_beside_our_cookies_hides_none_of_them() {
        let long = format!("junk={}", "j".repeat(200_000));
        let others: [&[u8]; 6] = [
            "city=Zürich".as_bytes(),
            b"raw=\xff\xfe",
            b"\xff=1",
            b"no pair",
            b"=;;=",
            long.as_bytes(),
        ];
        for other in others {
            for ours_is_first in [true, false] {
                let (ours, mut value) = (cookie(7), Vec::new());
                let [first, second] = match ours_is_first {
                    true => [ours.as_bytes(), other],
                    false => [other, ours.as_bytes()],
                };
                value.extend_from_slice(first);
                value.extend_from_slice(b"; ");
                value.extend_from_slice(second);
                let found = browser(&with_cookies(value)).bindings;
                assert_eq!(
                    found.len(),
                    1,
                    "{:?}",
                    String::from_utf8_lossy(&other[..9.min(other.len())])
                );
            }
        }
        let mut lines = with_cookies(b"raw=\xff");
        lines.append("cookie", cookie(7).parse().expect("a value"));
        assert_eq!(browser(&lines).bindings.len(), 1, "a line of its own");
    }

    #[test]
    fn p3_garbage_is_no_binding_and_not_absent_where_it_has_an_attempts_name() {
        let secret = "A".repeat(43);
        let swapped = format!("__Host-ow.00aaaaaaaaaa=00bbbbbbbbbbbbbbbbbbbbbb.{secret}");
        for (text, unreadable) in [
            ("", 0),
            ("x", 0),
            ("=;=", 0),
            ("__Host-ow.=x", 0),
            ("__Host-ow.00aaaaaaaaaa=99999999", 1),
            ("__Host-ow.00aaaaaaaaaa=", 1),
            ("__Host-ow.aaaaaaaaaaaa", 0),
            (&swapped, 1),
        ] {
            let found = browser(&with_cookies(text));
            assert!(found.bindings.is_empty(), "{text:?}");
            assert_eq!(found.unreadable.len(), unreadable, "{text:?}");
        }
        let unknown = browser(&with_cookies(b"__Host-ow.00aaaaaaaaaa=\xff"));
        assert_eq!(unknown.unreadable, ["00aaaaaaaaaa"]);
    }

    #[test]
    fn p3_cookies_are_prefixed_and_secure_where_the_address_is_https_and_nowhere_else() {
        let secret = BindingSecret::parse(&"A".repeat(43)).expect("a secret");
        let proof = secret.digest().to_text();
        let (https, http) = (at("https://connect.example/"), at("http://127.0.0.1:8080/"));
        for (here, elsewhere, prefix, marked) in
            [(&https, &http, "__Host-", true), (&http, &https, "", false)]
        {
            let set = Cookies::new(&HeaderMap::new(), here).prove(&secret, 60);
            assert!(set.starts_with(&format!("{prefix}owp=")), "{set}");
            assert_eq!(set.contains("Secure"), marked, "{set}");
            assert!(set.contains("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
            let sent = set.split(';').next().expect("a pair").to_owned();
            let sent = with_cookies(sent);
            assert!(Cookies::new(&sent, here).is_proven(Some(&proof)));
            assert!(!Cookies::new(&sent, elsewhere).is_proven(Some(&proof)));
        }
    }
}
