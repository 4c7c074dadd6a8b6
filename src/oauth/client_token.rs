//! Tokens for the client itself (RFC 6749 section 4.4), for calls about consents.

use jiff::Timestamp;
use secrecy::SecretString;

use super::OAuthClient;
use super::call::Filling;
use super::registered::Registered;
use super::scrub::Scrubber;
use super::token_endpoint::TokenError;
use crate::domain::call::Call;
use crate::domain::connection_values::ConnectionValues;

impl OAuthClient {
    /// One, if that call needs it. It is used for that call and forgotten; it ends by itself.
    pub(super) async fn client_token(
        &self,
        at: Registered<'_>,
        call: &Call,
        values: &ConnectionValues,
        now: Timestamp,
    ) -> Result<Option<SecretString>, TokenError> {
        if !call.needs_client_token() {
            return Ok(None);
        }
        let mut scrubber = Scrubber::default();
        scrubber.learn_client(at.registration);
        let filling = Filling {
            at,
            own: &[],
            values,
        };
        let parameters = [("grant_type", "client_credentials")];
        let call = &at.oauth.calls.client_token;
        let asked = self.request_tokens(call, &parameters, &filling, None, scrubber, now);
        match asked.await {
            Ok(exchanged) => match exchanged.fault {
                None => Ok(Some(exchanged.token_set.access_token)),
                Some(fault) => Err(TokenError::Unusable(fault)),
            },
            Err(failure) => Err(failure.error),
        }
    }
}
