//! Client assertions: a client authenticates by a token that it signs (RFC 7523 section 2.2, OpenID Connect Core section 9).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::json;
use zeroize::Zeroizing;

use super::transport_error::SetupError;
use crate::domain::client_authentication::AssertionRules;
use crate::domain::random::{self, Random};
use crate::jose::{Head, SigningKey};

/// The parameter `client_assertion_type` (RFC 7523 section 2.2).
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion is valid, in seconds. FAPI 2.0 allows 5 minutes; it is sent at once.
const LIFE_S: i64 = 60;

/// A new assertion of the client of that id. It is for one request: each has a `jti` of its own.
///
/// The audience is one plain string and not a list (FAPI 2.0 Security Profile section 5.3.3.1): where it is the issuer, an
/// institution that names another one's endpoint as its own is sent nothing that the other would accept.
pub fn assertion(
    client_id: &str,
    rules: &AssertionRules,
    key: &SigningKey,
    random: &dyn Random,
    now: Timestamp,
) -> Result<Zeroizing<String>, SetupError> {
    let jti: [u8; 16] = random::bytes(random);
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": rules.audience,
        "jti": URL_SAFE_NO_PAD.encode(jti),
        "iat": now.as_second(),
        "exp": now.as_second() + LIFE_S,
    });
    let head = match rules.algorithm.is_symmetric() {
        true => Head::Nothing,
        false => Head::Kid,
    };
    let signed = key.sign(head, None, &claims);
    signed
        .map(Zeroizing::new)
        .map_err(|error| SetupError(error.to_string()))
}

#[cfg(test)]
mod tests;
