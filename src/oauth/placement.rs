//! Where an authorization request is put: into the address, into a signed request object (RFC 9101), or pushed to the
//! institution before the browser leaves (RFC 9126).
//!
//! A request object goes where the parameters would go, and what is pushed leaves two parameters for the browser.

use jiff::Timestamp;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use super::OAuthClient;
use super::authorize::{AuthorizationRequest, Parameters, endpoint, parameters, written};
use super::call::add_to_query;
use super::prepare::PrepareError;
use super::pushed_request::RequestUri;
use super::registered::Registered;
use super::request_object;
use super::scrub::Scrubber;

impl OAuthClient {
    /// The address that people are sent to. Where requests are pushed, that is one call, within the institution's time
    /// limit.
    pub(super) async fn place(
        &self,
        request: &AuthorizationRequest<'_>,
        now: Timestamp,
    ) -> Result<Url, PrepareError> {
        let at = request.at;
        let rules = &at.oauth.authorization;
        let call = &at.oauth.calls.authorization;
        let mut sent = parameters(request);
        if at.oauth.request_object_signing_alg.is_some() {
            let issuer = at.oauth.issuer.as_deref().ok_or(PrepareError::NoIssuer)?;
            let claims = request_object::claims(at, issuer, &sent, self.random.as_ref(), now);
            let object = self.sign_request_object(at, &claims)?;
            sent = around(at, sent, &object);
        }
        if let Some(endpoint) = &rules.pushed_to {
            let (state, secrets) = (request.state, request.secrets);
            let scrubber = Scrubber::of_exchange(at, state, None, Some(secrets));
            let pushed = self.push(at, endpoint, &sent, &scrubber, now);
            let RequestUri(request_uri) = pushed.await?;
            sent.retain(|(name, _)| call.name_of("client_id") == Some(name));
            sent.push(("request_uri".to_owned(), json!(request_uri)));
        }
        let mut address = endpoint(request)?;
        let pairs = sent.iter();
        let pairs =
            pairs.map(|(name, value)| (name.clone(), Zeroizing::new(written(value).into_owned())));
        add_to_query(&mut address, &pairs.collect::<Vec<_>>(), call.encoding);
        Ok(address)
    }
}

/// What is sent beside a request object: what OpenID Connect Core section 6.1 demands there, and otherwise `client_id`
/// alone (RFC 9101 section 5).
fn around(at: Registered<'_>, mut sent: Parameters, object: &str) -> Parameters {
    let is_openid = at.uses_openid();
    let call = &at.oauth.calls.authorization;
    sent.retain(|(name, _)| {
        let is = |standard| call.name_of(standard) == Some(name);
        is("client_id") || is_openid && (is("response_type") || is("scope"))
    });
    sent.push(("request".to_owned(), json!(object)));
    sent
}

#[cfg(test)]
mod tests;
