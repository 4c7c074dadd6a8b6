//! Standard Webhooks signatures (version 1.0.0): how a receiver knows that a call is ours.
//!
//! The signed text is `id.timestamp.body`, the signature HMAC-SHA-256 with the receiver's secret,
//! written `v1,` and Base64. During a rotation there is one for each secret, separated by spaces.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};

use crate::domain::client::SigningSecret;

/// The message's id: the same at every try, so that a receiver can drop repetitions.
pub const ID: &str = "webhook-id";
/// When this try was made, in seconds since 1970.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The signatures, separated by spaces.
pub const SIGNATURE: &str = "webhook-signature";

/// How far a receiver's clock and ours may be apart.
pub const TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// The value of [`SIGNATURE`]: one signature for each secret, in their order.
///
/// `id` must not contain a full stop, which separates the signed parts.
pub fn sign(secrets: &[SigningSecret], id: &str, timestamp: Timestamp, body: &[u8]) -> String {
    let mut signatures = String::new();
    for secret in secrets {
        let tag = hmac::sign(&key(secret), &signed_text(id, timestamp.as_second(), body));
        if !signatures.is_empty() {
            signatures.push(' ');
        }
        signatures.push_str("v1,");
        STANDARD.encode_string(tag.as_ref(), &mut signatures);
    }
    signatures
}

/// Why a signature is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The timestamp is not a number of seconds.
    #[error("the timestamp is not a number of seconds since 1970")]
    Timestamp,
    /// The timestamp is further from now than [`TOLERANCE`].
    #[error("the timestamp is more than five minutes from now")]
    Stale,
    /// No signature matches any of the secrets.
    #[error("no signature is valid")]
    Unsigned,
}

/// Checks the three headers' values against the body; compares in constant time.
pub fn verify(
    secrets: &[SigningSecret],
    id: &str,
    timestamp: &str,
    signatures: &str,
    body: &[u8],
    now: Timestamp,
) -> Result<(), SignatureError> {
    let seconds: i64 = timestamp.parse().map_err(|_| SignatureError::Timestamp)?;
    let made = Timestamp::from_second(seconds).map_err(|_| SignatureError::Timestamp)?;
    if now.duration_since(made).abs() > TOLERANCE {
        return Err(SignatureError::Stale);
    }
    let text = signed_text(id, seconds, body);
    let fits = signatures
        .split(' ')
        .filter_map(|signature| signature.strip_prefix("v1,"))
        .filter_map(|signature| STANDARD.decode(signature).ok())
        .any(|tag| {
            secrets
                .iter()
                .any(|secret| hmac::verify(&key(secret), &text, &tag).is_ok())
        });
    fits.then_some(()).ok_or(SignatureError::Unsigned)
}

fn key(secret: &SigningSecret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &secret.0)
}

fn signed_text(id: &str, seconds: i64, body: &[u8]) -> Vec<u8> {
    let mut text = format!("{id}.{seconds}.").into_bytes();
    text.extend_from_slice(body);
    text
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the independent verifier reads the real clock, so the signature must be of now"
)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> SigningSecret {
        SigningSecret(zeroize::Zeroizing::new(vec![byte; 32]))
    }

    fn headers(id: &str, timestamp: Timestamp, signatures: &str) -> reqwest::header::HeaderMap {
        let mut headers = reqwest::header::HeaderMap::new();
        headers.insert(ID, id.parse().unwrap());
        headers.insert(TIMESTAMP, timestamp.as_second().into());
        headers.insert(SIGNATURE, signatures.parse().unwrap());
        headers
    }

    #[test]
    fn an_independent_verifier_accepts_it() {
        let now = Timestamp::now();
        let body = br#"{"action":"updated"}"#;
        let signatures = sign(&[secret(1), secret(2)], "EVT-1", now, body);
        let headers = headers("EVT-1", now, &signatures);
        for byte in [1, 2] {
            let verifier = standardwebhooks::Webhook::from_bytes(vec![byte; 32]).unwrap();
            verifier.verify(body, &headers).expect("signed with it");
        }
        let stranger = standardwebhooks::Webhook::from_bytes(vec![3; 32]).unwrap();
        assert!(stranger.verify(body, &headers).is_err());
    }

    #[test]
    fn we_accept_what_an_independent_signer_made() {
        let now = Timestamp::now();
        let signer = standardwebhooks::Webhook::from_bytes(vec![1; 32]).unwrap();
        let signature = signer.sign("msg_1", now.as_second(), b"{}").unwrap();
        let seconds = now.as_second().to_string();
        assert_eq!(
            verify(
                &[secret(2), secret(1)],
                "msg_1",
                &seconds,
                &signature,
                b"{}",
                now
            ),
            Ok(())
        );
    }

    #[test]
    fn any_change_and_any_old_message_is_refused() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let signature = sign(&[secret(1)], "EVT-1", now, b"{}");
        let check = |id: &str, seconds: &str, signature: &str, body: &[u8], now| {
            verify(&[secret(1)], id, seconds, signature, body, now)
        };
        let unsigned = Err(SignatureError::Unsigned);
        assert_eq!(check("EVT-1", "1800000000", &signature, b"{}", now), Ok(()));
        assert_eq!(
            check("EVT-2", "1800000000", &signature, b"{}", now),
            unsigned
        );
        assert_eq!(
            check("EVT-1", "1800000001", &signature, b"{}", now),
            unsigned
        );
        assert_eq!(
            check("EVT-1", "1800000000", &signature, b"{ }", now),
            unsigned
        );
        assert_eq!(check("EVT-1", "1800000000", "", b"{}", now), unsigned);
        let as_v2 = signature.replace("v1,", "v2,");
        assert_eq!(check("EVT-1", "1800000000", &as_v2, b"{}", now), unsigned);
        let stale = Err(SignatureError::Stale);
        for minutes in [-6, 6] {
            let then = now + SignedDuration::from_mins(minutes);
            assert_eq!(check("EVT-1", "1800000000", &signature, b"{}", then), stale);
        }
        for seconds in ["", "soon", "9223372036854775807"] {
            assert_eq!(
                check("EVT-1", seconds, &signature, b"{}", now),
                Err(SignatureError::Timestamp)
            );
        }
    }
}
