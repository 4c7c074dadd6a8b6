//! The cookies that bind a browser: one per attempt, `__Host-`, and harmless after the end.

use axum::http::HeaderMap;
use axum::http::header::COOKIE;

use crate::domain::secret::BindingSecret;
use crate::domain::window::Binding;
use crate::flow::open::BindingCookie;

/// What leads the name of a binding cookie; the attempt's first twelve characters follow.
const BINDING: &str = "__Host-ow.";

/// The cookie that goes with an interstitial page's one-time value.
const PROOF: &str = "__Host-owp";

/// How many bindings a browser keeps; the oldest are dropped when it gets another.
const MOST: usize = 10;

/// Cookie headers longer than this are not read at all.
const LONGEST_HEADER: usize = 16 * 1024;

/// The bindings a browser shows, oldest first as browsers send them, at most ten: the newest count.
pub fn bindings(headers: &HeaderMap) -> Vec<Binding> {
    let all = cookies(headers).filter_map(|(name, value)| {
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

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let readable = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let short = readable.filter(|value| value.len() <= LONGEST_HEADER);
    short
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
}

/// `Set-Cookie` values: the new binding, and the end of the oldest ones when there are too many.
pub fn bind(cookie: &BindingCookie, headers: &HeaderMap) -> Vec<String> {
    let seconds = cookie.max_age.as_secs();
    let name = format!("{BINDING}{}", cookie.attempt.cookie_part());
    let mut set = vec![format!(
        "{name}={}; {}",
        cookie.secret.expose(),
        attributes(seconds)
    )];
    let names: Vec<&str> = cookies(headers)
        .map(|(name, _)| name)
        .filter(|name| name.starts_with(BINDING))
        .collect();
    let surplus = (names.len() + 1).saturating_sub(MOST);
    let plain = |name: &&&str| {
        name.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    set.extend(
        names
            .iter()
            .take(surplus)
            .filter(plain)
            .map(|name| format!("{name}=; {}", attributes(0))),
    );
    set
}

/// `Set-Cookie` of an interstitial page: the browser's half of its one-time value.
pub fn prove(secret: &BindingSecret, max_age_s: u64) -> String {
    format!("{PROOF}={}; {}", secret.expose(), attributes(max_age_s))
}

/// Whether the form's half fits the browser's: it is the digest of the cookie.
pub fn is_proven(headers: &HeaderMap, proof: Option<&str>) -> bool {
    let secret = cookies(headers)
        .find(|(name, _)| *name == PROOF)
        .and_then(|(_, value)| BindingSecret::parse(value));
    let proof = proof.and_then(crate::domain::secret::Digest::from_text);
    secret
        .zip(proof)
        .is_some_and(|(secret, proof)| secret.digest().matches(&proof))
}

fn attributes(max_age_s: u64) -> String {
    format!("Max-Age={max_age_s}; Path=/; Secure; HttpOnly; SameSite=Lax")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cookies(text: String) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, text.parse().expect("a header"))])
    }

    #[test]
    fn p3_ten_bindings_count_however_many_come() {
        let secret = "A".repeat(43);
        let many: Vec<String> = (0..1000)
            .map(|n| format!("{BINDING}00aaaaaa{n:04}={secret}"))
            .collect();
        assert!(
            bindings(&with_cookies(many.join("; "))).is_empty(),
            "an oversized header is not read"
        );
        let some = bindings(&with_cookies(many[..60].join("; ")));
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
            assert!(
                bindings(&with_cookies(text.to_owned())).is_empty(),
                "{text:?}"
            );
        }
    }
}
