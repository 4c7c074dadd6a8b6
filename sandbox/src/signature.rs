//! Checks the signature of what the gateway sends (Standard Webhooks, version 1 of the scheme).

use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

/// How far the sender's clock may be from ours, either way.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Why a message is not taken for the gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unverified {
    /// A header is absent or not text.
    #[error("the header {0} is missing or unreadable")]
    Header(&'static str),
    /// The time is not a number of seconds.
    #[error("webhook-timestamp is not a time in seconds")]
    Timestamp,
    /// The time is more than five minutes away.
    #[error("webhook-timestamp is more than five minutes from now")]
    Skew,
    /// No signature in the header is right.
    #[error("no signature matches")]
    Signature,
}

/// The shared secret, ready to check with.
#[derive(Debug)]
pub(super) struct Verifier(hmac::Key);

impl Verifier {
    /// Reads a secret of the form `whsec_` followed by base64.
    ///
    /// # Errors
    /// Says that the secret is not of that form; never what it is.
    pub(super) fn new(secret: &SecretString) -> anyhow::Result<Self> {
        let encoded = secret.expose_secret();
        let key = encoded
            .strip_prefix("whsec_")
            .and_then(|encoded| STANDARD.decode(encoded).ok())
            .filter(|key| !key.is_empty())
            .ok_or_else(|| anyhow::anyhow!("a signing secret must be whsec_ and then base64"))?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// Checks the three headers against `body` and returns the message id.
    ///
    /// # Errors
    /// [`Unverified`] says which check failed.
    pub(super) fn check<'h>(
        &self,
        headers: &'h HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<&'h str, Unverified> {
        let id = header(headers, "webhook-id")?;
        let stamp = header(headers, "webhook-timestamp")?;
        let signatures = header(headers, "webhook-signature")?;
        let sent = stamp
            .parse()
            .ok()
            .and_then(|second| Timestamp::from_second(second).ok())
            .ok_or(Unverified::Timestamp)?;
        if now.duration_since(sent).abs() > SKEW {
            return Err(Unverified::Skew);
        }
        let mut signed = format!("{id}.{stamp}.").into_bytes();
        signed.extend_from_slice(body);
        // Several signatures may be there while a secret is being changed; one that fits is enough.
        signatures
            .split(' ')
            .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok())
            .any(|tag| hmac::verify(&self.0, &signed, &tag).is_ok())
            .then_some(id)
            .ok_or(Unverified::Signature)
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h str, Unverified> {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .filter(|value| !value.is_empty())
        .ok_or(Unverified::Header(name))
}

/// Signs as the gateway would, with somebody else's code.
#[cfg(test)]
pub(super) fn signed_headers(secret: &str, id: &str, at: Timestamp, body: &[u8]) -> HeaderMap {
    let signature = standardwebhooks::Webhook::new(secret)
        .and_then(|webhook| webhook.sign(id, at.as_second(), body))
        .expect("a signature");
    let stamp = at.as_second().to_string();
    [
        ("webhook-id", id),
        ("webhook-timestamp", &stamp),
        ("webhook-signature", &signature),
    ]
    .into_iter()
    .map(|(name, value)| {
        let name = axum::http::HeaderName::from_static(name);
        (name, value.parse().expect("a header value"))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_c2FuZGJveC1zaWduaW5nLXNlY3JldC0wMTIz";
    const OTHER: &str = "whsec_YW5vdGhlci1zaWduaW5nLXNlY3JldC00NTY3";
    const BODY: &[u8] = br#"{"action":"updated"}"#;

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }

    fn check(headers: &HeaderMap, body: &[u8]) -> Result<String, Unverified> {
        Verifier::new(&SECRET.into())
            .expect("a good secret")
            .check(headers, body, now())
            .map(str::to_owned)
    }

    #[test]
    fn a_genuine_message_passes() {
        let headers = signed_headers(SECRET, "EVT-1", now(), BODY);
        assert_eq!(check(&headers, BODY), Ok("EVT-1".to_owned()));
    }

    #[test]
    fn one_good_signature_among_several_is_enough() {
        let mut headers = signed_headers(SECRET, "EVT-1", now(), BODY);
        let good = headers["webhook-signature"].to_str().expect("text");
        let both = format!("v1a,AAAA v1,AAAA {good}");
        headers.insert("webhook-signature", both.parse().expect("a value"));
        assert_eq!(check(&headers, BODY), Ok("EVT-1".to_owned()));
    }

    #[test]
    fn anything_changed_is_refused() {
        let headers = signed_headers(SECRET, "EVT-1", now(), BODY);
        assert_eq!(check(&headers, b"{}"), Err(Unverified::Signature));
        let foreign = signed_headers(OTHER, "EVT-1", now(), BODY);
        assert_eq!(check(&foreign, BODY), Err(Unverified::Signature));
        let mut renamed = headers.clone();
        renamed.insert("webhook-id", "EVT-2".parse().expect("a value"));
        assert_eq!(check(&renamed, BODY), Err(Unverified::Signature));
        let mut missing = headers;
        missing.remove("webhook-signature");
        let absent = Unverified::Header("webhook-signature");
        assert_eq!(check(&missing, BODY), Err(absent));
    }

    #[test]
    fn old_and_future_messages_are_refused() {
        for seconds in [-301, 301] {
            let at = now() + SignedDuration::from_secs(seconds);
            let headers = signed_headers(SECRET, "EVT-1", at, BODY);
            assert_eq!(check(&headers, BODY), Err(Unverified::Skew));
        }
        let at = now() - SignedDuration::from_secs(300);
        let headers = signed_headers(SECRET, "EVT-1", at, BODY);
        assert!(check(&headers, BODY).is_ok());
    }

    #[test]
    fn a_malformed_secret_is_refused_without_repeating_it() {
        for bad in ["", "whsec_", "c2FuZGJveA==", "whsec_not base64"] {
            let error = Verifier::new(&bad.into()).expect_err("malformed");
            assert_eq!(
                error.to_string(),
                "a signing secret must be whsec_ and then base64"
            );
        }
    }
}
