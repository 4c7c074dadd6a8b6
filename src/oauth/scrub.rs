//! Removes our secrets from foreign text. Everything that an institution said passes here before a log
//! line or the store keeps it.
//!
//! An institution may repeat what it was sent, in any place it can write to: an error's description,
//! `iss`, a token type. What it repeats is searched for every secret of the exchange, as it is, form- or
//! percent-encoded, and in Base64. Text that only looks like a secret of ours (43 characters or more of
//! Base64url, as `state`, verifier, nonce and long tokens are) is not shown either, because the real
//! secret is not always available to search for.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::attempt::AttemptSecrets;
use super::client_authentication;
use super::code::AuthorizationCode;
use super::json::Members;
use super::registered::Registered;
use crate::domain::client::Registration;
use crate::domain::secret::AuthorizationState;
use crate::jose::payload;
use crate::printable::printable;

/// How long the query or form of an authorization response may be, in bytes. Without a limit the sender
/// would decide how long the search takes.
pub const RESPONSE_LIMIT: usize = 8 * 1024;

/// What stands for a secret.
const SECRET: &str = "[secret]";
/// What stands for a text that looks like one.
const LOOKS_SECRET: &str = "[long value]";

/// The least length of a secret that is searched for, in bytes: shorter ones are found everywhere.
const LEAST: usize = 4;
/// The most values of a response that are searched for: each secret twice.
const MOST_NAMED: usize = 12;
/// The length of 256 random bits in Base64url, in characters.
const RANDOM: usize = 43;

/// The secrets of one exchange. Cannot be printed.
#[derive(Clone, Default)]
pub struct Scrubber {
    secrets: Vec<Zeroizing<String>>,
}

impl Scrubber {
    /// With these secrets.
    pub(super) fn of<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut scrubber = Self::default();
        secrets
            .into_iter()
            .for_each(|secret| scrubber.learn(secret));
        scrubber
    }

    /// With the secrets of one exchange, as far as they are available: the client's credentials, `state`,
    /// code, verifier and nonce. Tokens are added when they come.
    pub(super) fn of_exchange(
        at: Registered<'_>,
        state: &AuthorizationState,
        code: Option<&AuthorizationCode>,
        secrets: Option<&AttemptSecrets>,
    ) -> Self {
        let mut scrubber = Self::of([state.expose()]);
        scrubber.learn_client(at.registration);
        let kept = secrets.map(|secrets| [secrets.verifier(), secrets.nonce()]);
        let code = code.map(AuthorizationCode::expose);
        for secret in code.into_iter().chain(kept.into_iter().flatten()) {
            scrubber.learn(secret);
        }
        scrubber
    }

    /// With everything in `raw`, the query or form of something that may be no authorization response,
    /// and with the client's credentials if it arrived at a registration of ours.
    ///
    /// `None` if it is longer, or has more values, than any genuine one: the sender would decide how long
    /// the search takes, so nothing of it is to be shown.
    pub fn of_response(at: Option<Registered<'_>>, raw: &[u8]) -> Option<Self> {
        const SECRET: [&str; 6] = [
            "state",
            "code",
            "access_token",
            "id_token",
            "refresh_token",
            "response",
        ];
        if raw.len() > RESPONSE_LIMIT {
            return None;
        }
        let mut scrubber = Self::default();
        if let Some(at) = at {
            scrubber.learn_client(at.registration);
        }
        let named = form_urlencoded::parse(raw).filter(|(name, _)| SECRET.contains(&name.as_ref()));
        for (count, (_, value)) in named.enumerate() {
            if count == MOST_NAMED {
                return None;
            }
            scrubber.learn(&value);
            // What a response JWT has inside may be said in clear elsewhere.
            let inside = payload(&value).map(|bytes| Members::read(&bytes).0);
            let inside = inside.unwrap_or_default();
            for text in SECRET.iter().filter_map(|name| inside.text(name)) {
                scrubber.learn(&text);
            }
        }
        Some(scrubber)
    }

    /// A short text of ours that may quote a foreign one.
    pub fn cleaned(&self, text: &str) -> String {
        self.shown(text, 500)
    }

    /// Adds that client's credentials.
    pub(super) fn learn_client(&mut self, registration: &Registration) {
        client_authentication::secrets(registration).for_each(|secret| self.learn(&secret));
    }

    /// Adds one secret.
    pub(super) fn learn(&mut self, secret: &str) {
        if secret.len() >= LEAST {
            self.secrets.push(Zeroizing::new(secret.to_owned()));
        }
    }

    /// Every way in which the secrets may be written.
    fn forms(&self) -> Vec<Zeroizing<Vec<u8>>> {
        let mut forms: Vec<_> = self.secrets.iter().flat_map(|it| forms_of(it)).collect();
        // The longest first: what contains another is replaced as a whole.
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms
    }

    /// `text` without any of the secrets, fit for printing, cut to `limit` characters.
    pub(super) fn shown(&self, text: &str, limit: usize) -> String {
        // Made only here: nearly every exchange succeeds, and shows nothing.
        let forms = self.forms();
        let bytes = text.as_bytes();
        let mut shown = String::with_capacity(text.len());
        let (mut kept, mut at) = (0, 0);
        // Nothing beyond the limit is shown.
        while at < bytes.len() && shown.len() <= limit * 4 {
            let secret = forms.iter().find_map(|form| length_of(form, &bytes[at..]));
            let (length, instead) = match (secret, run_of_base64url(&bytes[kept..], at - kept)) {
                (Some(length), _) => (length, SECRET),
                (None, Some(length)) => (length, LOOKS_SECRET),
                (None, None) => {
                    at += 1;
                    continue;
                }
            };
            // A match begins and ends between characters: it consists of whole ones.
            shown.push_str(text.get(kept..at).unwrap_or_default());
            shown.push_str(instead);
            at += length;
            kept = at;
        }
        if at >= bytes.len() {
            shown.push_str(text.get(kept..).unwrap_or_default());
        }
        printable(&shown, limit)
    }
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrubber(…)")
    }
}

/// A secret, and its Base64.
fn forms_of(secret: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let mut forms = vec![Zeroizing::new(secret.as_bytes().to_vec())];
    // Base64 of a longer text has the secret at one of three offsets. The characters at either end belong to
    // its neighbours as well.
    for offset in 0..3 {
        let mut padded = Zeroizing::new(vec![0; offset]);
        padded.extend_from_slice(secret.as_bytes());
        let first = (offset * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for written in [
            Zeroizing::new(STANDARD_NO_PAD.encode(&*padded)),
            Zeroizing::new(URL_SAFE_NO_PAD.encode(&*padded)),
        ] {
            let inner = &written.as_bytes()[first..last];
            if inner.len() >= LEAST {
                forms.push(Zeroizing::new(inner.to_vec()));
            }
        }
    }
    forms
}

/// How many bytes of `text` write `secret`, with any of its bytes percent-encoded and a space as `+`.
fn length_of(secret: &[u8], text: &[u8]) -> Option<usize> {
    // A percent sign of the secret may be written either way: as `%25`, or as itself.
    length_written(secret, text, true).or_else(|| length_written(secret, text, false))
}

fn length_written(secret: &[u8], text: &[u8], is_percent_encoded: bool) -> Option<usize> {
    let mut rest = text;
    for byte in secret {
        rest = match rest {
            [b'%', high, low, rest @ ..]
                if hex(*high, *low) == Some(*byte) && (is_percent_encoded || *byte != b'%') =>
            {
                rest
            }
            [same, rest @ ..] if same == byte => rest,
            [b'+', rest @ ..] if *byte == b' ' => rest,
            _ => return None,
        };
    }
    Some(text.len() - rest.len())
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The length of the run of Base64url characters that begins at `at`, any of them percent-encoded, if it
/// is as long as a secret of ours and is no part of a longer one.
fn run_of_base64url(text: &[u8], at: usize) -> Option<usize> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if at > 0 && is_part(&text[at - 1]) {
        return None;
    }
    let (mut rest, mut count) = (&text[at..], 0);
    loop {
        rest = match rest {
            [byte, rest @ ..] if is_part(byte) => rest,
            [b'%', high, low, rest @ ..] if hex(*high, *low).as_ref().is_some_and(is_part) => rest,
            _ => break,
        };
        count += 1;
    }
    (count >= RANDOM).then(|| text.len() - at - rest.len())
}

#[cfg(test)]
mod tests {
    use url::form_urlencoded::byte_serialize;

    use super::*;

    #[test]
    fn a_response_that_would_take_long_to_search_is_not_searched() {
        let some = |raw: &str| Scrubber::of_response(None, raw.as_bytes()).is_some();
        assert!(some("state=abcd&code=efgh&error=no"));
        assert!(!some(&format!("error={}", "no".repeat(RESPONSE_LIMIT))));
        assert!(!some(&"code=abcd&".repeat(MOST_NAMED + 1)));
    }

    const ODD: &str = "a:b+c%/é& d";

    fn percent(text: &str, upper: bool) -> String {
        let write = |byte: u8| match upper {
            true => format!("%{byte:02X}"),
            false => format!("%{byte:02x}"),
        };
        text.bytes().map(write).collect()
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let scrubber = Scrubber::of([ODD, "CODE-1234"]);
        let form: String = byte_serialize(ODD.as_bytes()).collect();
        for written in [
            ODD.to_owned(),
            form,
            percent(ODD, true),
            percent(ODD, false),
        ] {
            let shown = scrubber.shown(&format!("é no: {written}; go"), 300);
            assert_eq!(shown, "é no: [secret]; go", "{written}");
        }
        for before in ["", "x", "xy", "xyz"] {
            for after in ["", "x", "xy"] {
                let whole = format!("{before}{ODD}{after}");
                for text in [
                    STANDARD_NO_PAD.encode(&whole),
                    URL_SAFE_NO_PAD.encode(&whole),
                ] {
                    let shown = scrubber.shown(&format!("<{text}>"), 300);
                    assert!(shown.contains("[secret]"), "{whole}: {shown}");
                    assert!(shown.len() <= "<[secret]>".len() + 8, "{whole}: {shown}");
                }
            }
        }
        assert_eq!(
            scrubber.shown("CODE-1234CODE-1234", 300),
            "[secret][secret]"
        );
    }

    #[test]
    fn what_looks_like_a_secret_of_ours_is_not_shown() {
        let scrubber = Scrubber::default();
        let long = "nA-_".repeat(11);
        let text = format!("https://bank.example/{long}?a=b");
        assert_eq!(
            scrubber.shown(&text, 300),
            "https://bank.example/[long value]?a=b"
        );
        for text in [&long, &percent(&long, true), &percent(&long, false)] {
            assert_eq!(
                scrubber.shown(&format!("a {text} b"), 300),
                "a [long value] b"
            );
        }
        for sound in [
            "https://login.bank.example/0b6c9c3a-6f2e-4b57-9a55-0d1f7f6f2c11/v2.0",
            "invalid_grant: the code has expired. Trace 0123456789abcdef0123456789abcdef",
        ] {
            assert_eq!(scrubber.shown(sound, 300), sound);
        }
    }

    #[test]
    fn nothing_is_left_of_a_secret_that_the_limit_would_cut() {
        let scrubber = Scrubber::of(["secret-secret"]);
        let shown = scrubber.shown(&format!("{}secret-secret", "x ".repeat(18)), 42);
        assert_eq!(shown, format!("{}[secr…", "x ".repeat(18)));
    }

    #[test]
    fn a_text_of_a_few_bytes_is_no_secret_and_none_is_printed() {
        assert_eq!(Scrubber::of(["", "a", "abc"]).shown("abc a", 300), "abc a");
        assert_eq!(format!("{:?}", Scrubber::of(["CANARY"])), "Scrubber(…)");
    }
}
