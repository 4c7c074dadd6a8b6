//! What a signed authorization request says (RFC 9101, FAPI 2.0 Message Signing section 5.3).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::authorize::Parameters;
use super::registered::Registered;
use crate::domain::random::{self, Random};

/// How long a request object is valid before now, for institutions whose clock is behind, and after.
const VALID: [SignedDuration; 2] = [SignedDuration::from_mins(1), SignedDuration::from_mins(4)];

/// The claims that are no parameters (RFC 7519 section 4.1). A parameter of such a name is left out.
const CLAIMS: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// The claims of the request object of these parameters, for `issuer` alone. It is valid for five minutes, and for one
/// request: each has a `jti` of its own.
pub fn claims(
    at: Registered<'_>,
    issuer: &str,
    sent: &Parameters,
    random: &dyn Random,
    now: Timestamp,
) -> Map<String, Value> {
    let jti: [u8; 16] = random::bytes(random);
    let [before, after] = VALID;
    let parameters = sent.iter().cloned();
    let parameters = parameters.filter(|(name, _)| !CLAIMS.contains(&name.as_str()));
    let own = [
        ("iss", json!(at.registration.client_id)),
        ("aud", json!(issuer)),
        ("iat", json!(now.as_second())),
        ("nbf", json!((now - before).as_second())),
        ("exp", json!((now + after).as_second())),
        ("jti", json!(URL_SAFE_NO_PAD.encode(jti))),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value));
    parameters.chain(own).collect()
}
