//! The cookies that bind a browser: one per attempt, and harmless after the end. On https they are
//! `__Host-` and `Secure`; a plain-http address is on this machine only, where some browsers keep
//! neither.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use url::Url;

use crate::domain::secret::BindingSecret;
use crate::domain::window::Binding;
use crate::flow::open::BindingCookie;

/// What leads the names of our cookies, and what their attributes end with, on https.
const ON_HTTPS: (&str, &str) = ("__Host-", "; Secure");

/// What leads the name of a binding cookie; the attempt's first twelve characters follow.
const BINDING: &str = "ow.";

/// The cookie that goes with an interstitial page's one-time value.
const PROOF: &str = "owp";

/// How many bindings a browser keeps; the oldest are dropped when it gets another.
const MOST: usize = 10;

/// Cookie headers longer than this are not read at all.
const LONGEST_HEADER: usize = 16 * 1024;

/// The cookies of one request, and those that its answer sets.
pub struct Cookies<'a> {
    headers: &'a HeaderMap,
    prefix: &'static str,
    secure: &'static str,
}

impl<'a> Cookies<'a> {
    /// Of a request with these headers, to the gateway at `public_url`.
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

    /// The bindings a browser shows, oldest first as browsers send them, at most ten: the newest
    /// count.
    pub fn bindings(&self) -> Vec<Binding> {
        let all = self.ours().filter_map(|(name, value)| {
            let attempt = name
                .strip_prefix(BINDING)
                .filter(|attempt| attempt.len() == 12)?;
            let secret = BindingSecret::parse(value)?;
            Some(Binding {
                attempt: attempt.to_owned(),
                digest: secret.digest(),
            })
        });
        let mut all: Vec<Binding> = all.collect();
        all.drain(..all.len().saturating_sub(MOST));
        all
    }

    /// The cookies that have our prefix, without it.
    fn ours(&self) -> impl Iterator<Item = (&str, &str)> {
        let readable = self
            .headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let short = readable.filter(|value| value.len() <= LONGEST_HEADER);
        short
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter_map(|(name, value)| Some((name.strip_prefix(self.prefix)?, value)))
    }

    /// `Set-Cookie` values: the new binding, and the end of the oldest ones when there are too many.
    pub fn bind(&self, cookie: &BindingCookie) -> Vec<String> {
        let name = format!("{BINDING}{}", cookie.attempt.cookie_part());
        let mut set = vec![self.set(&name, cookie.secret.expose(), cookie.max_age.as_secs())];
        let names: Vec<&str> = self
            .ours()
            .map(|(name, _)| name)
            .filter(|name| name.starts_with(BINDING))
            .collect();
        // A few at a time: whoever planted hundreds does not make the answer's head too long to read.
        let surplus = (names.len() + 1).saturating_sub(MOST).min(MOST);
        let plain = |name: &&&str| {
            name.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let oldest = names.iter().take(surplus).filter(plain);
        set.extend(oldest.map(|name| self.set(name, "", 0)));
        set
    }

    /// `Set-Cookie` of an interstitial page: the browser's half of its one-time value.
    pub fn prove(&self, secret: &BindingSecret, max_age_s: u64) -> String {
        self.set(PROOF, secret.expose(), max_age_s)
    }

    /// Whether the form's half fits the browser's: it is the digest of the cookie.
    pub fn is_proven(&self, proof: Option<&str>) -> bool {
        let secret = self
            .ours()
            .find(|(name, _)| *name == PROOF)
            .and_then(|(_, value)| BindingSecret::parse(value));
        let proof = proof.and_then(crate::domain::secret::Digest::from_text);
        secret
            .zip(proof)
            .is_some_and(|(secret, proof)| secret.digest().matches(&proof))
    }

    fn set(&self, name: &str, value: &str, max_age_s: u64) -> String {
        let Self { prefix, secure, .. } = self;
        format!(
            "{prefix}{name}={value}; Max-Age={max_age_s}; Path=/; HttpOnly; SameSite=Lax{secure}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cookies(text: String) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, text.parse().expect("a header"))])
    }

    fn at(public_url: &str) -> Url {
        public_url.parse().expect("an address")
    }

    /// The bindings that a gateway on https reads from a header.
    fn bindings(text: String) -> Vec<Binding> {
        Cookies::new(&with_cookies(text), &at("https://connect.example/")).bindings()
    }

    #[test]
    fn p3_ten_bindings_count_however_many_come() {
        let secret = "A".repeat(43);
        let many: Vec<String> = (0..1000)
            .map(|n| format!("__Host-ow.00aaaaaa{n:04}={secret}"))
            .collect();
        assert!(
            bindings(many.join("; ")).is_empty(),
            "an oversized header is not read"
        );
        let some = bindings(many[..60].join("; "));
        assert_eq!(some.len(), 10);
        assert_eq!(some[9].attempt, "00aaaaaa0059");
    }

    #[test]
    fn p3_garbage_is_no_binding() {
        for text in [
            "",
            "x",
            "=;=",
            "__Host-ow.=x",
            "__Host-ow.00aaaaaaaaaa=99999999",
            "__Host-ow.aaaaaaaaaaaa",
        ] {
            assert!(bindings(text.to_owned()).is_empty(), "{text:?}");
        }
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
