//! An authorization request is signed (RFC 9101, FAPI 2.0 Message Signing section 5.3).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::authorize::Parameters;
use super::registered::Registered;
use crate::domain::random::{self, Random};
use crate::jose::{Head, InvalidKey, SigningKey};

/// What the token is (RFC 9101 section 10.8).
const TYPE: &str = "oauth-authz-req+jwt";

/// How long a request object is valid before now, for institutions whose clock is behind, and after.
const VALID: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_mins(4)];

/// The claims that are no parameters. None of the names can be that of a parameter.
pub const CLAIMS: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// Why a request cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestObjectError {
    /// The registration has no key of that algorithm.
    #[error("the registration has no key that signs with {0}; give it one in signing_key_files")]
    NoKey(&'static str),
    /// Nobody is named that it could be for.
    #[error("the institution's file names no issuer, which a signed request is for")]
    NoIssuer,
    /// The key does not sign.
    #[error(transparent)]
    Key(#[from] InvalidKey),
}

/// The signed request of these parameters, for the institution's issuer alone. It is valid for five minutes.
pub(super) fn request_object(
    key: &SigningKey,
    at: Registered<'_>,
    sent: &Parameters<'_>,
    random: &dyn Random,
    now: Timestamp,
) -> Result<String, RequestObjectError> {
    let issuer = at.oauth.issuer.as_deref();
    let issuer = issuer.ok_or(RequestObjectError::NoIssuer)?;
    let jti: [u8; 32] = random::bytes(random);
    let [before, after] = VALID;
    let parameters = sent.iter().filter(|(name, _)| !CLAIMS.contains(name));
    let mut claims: Map<String, Value> = parameters
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let own = [
        ("iss", json!(at.registration.client_id)),
        ("aud", json!(issuer)),
        ("iat", json!(now.as_second())),
        ("nbf", json!((now - before).as_second())),
        ("exp", json!((now + after).as_second())),
        ("jti", json!(URL_SAFE_NO_PAD.encode(jti))),
    ];
    claims.extend(own.map(|(name, value)| (name.to_owned(), value)));
    Ok(key.sign(Head::Kid, Some(TYPE), &claims)?)
}
