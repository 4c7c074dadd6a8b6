//! Request objects are signed (RFC 9101).

use serde::Serialize;
use zeroize::Zeroizing;

use super::OAuthClient;
use super::registered::Registered;
use super::transport_error::SetupError;
use crate::jose::Head;

/// What a request object says that it is (RFC 9101 section 10.8).
const REQUEST_OBJECT: &str = "oauth-authz-req+jwt";

impl OAuthClient {
    /// A request object of these `claims` (RFC 9101 section 4), signed as the registration's `request_object_signing_alg`
    /// says.
    ///
    /// # Errors
    ///
    /// [`SetupError`]: request objects are not signed here, or there is no key for it.
    pub fn sign_request_object(
        &self,
        at: Registered<'_>,
        claims: &impl Serialize,
    ) -> Result<Zeroizing<String>, SetupError> {
        let unsigned = || SetupError("request objects are not signed here".to_owned());
        let algorithm = at.oauth.request_object_signing_alg.ok_or_else(unsigned)?;
        let keys = self.client_keys.of(at.registration)?;
        let missing = || SetupError("the registration has no key for request objects".to_owned());
        let key = keys.signing(algorithm).ok_or_else(missing)?;
        let signed = key.sign(Head::Kid, Some(REQUEST_OBJECT), claims);
        let signed = signed.map_err(|error| SetupError(error.to_string()))?;
        Ok(Zeroizing::new(signed))
    }
}
