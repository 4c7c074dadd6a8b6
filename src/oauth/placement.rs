//! Where an authorization request is put: into the address, into a signed request object (RFC 9101), or pushed to the
//! institution before the browser leaves (RFC 9126).
//!
//! A request object goes where the parameters would go, and what is pushed leaves two parameters for the browser.

use jiff::Timestamp;
use serde_json::json;
use url::Url;

use super::OAuthClient;
use super::authorize::{AuthorizationRequest, Parameters, parameters, written};
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
            sent.retain(|(name, _)| *name == "client_id");
            sent.push(("request_uri", json!(request_uri)));
        }
        Ok(in_query(&at.oauth.authorization_endpoint, &sent))
    }
}

/// What is sent beside a request object: what OpenID Connect Core section 6.1 demands there, and otherwise `client_id`
/// alone (RFC 9101 section 5).
fn around<'a>(at: Registered<'_>, mut sent: Parameters<'a>, object: &str) -> Parameters<'a> {
    let is_openid = at.uses_openid();
    sent.retain(|(name, _)| match *name {
        "client_id" => true,
        "response_type" | "scope" => is_openid,
        _ => false,
    });
    sent.push(("request", json!(object)));
    sent
}

/// An endpoint with these parameters. Its own query is kept, a fragment is not, and no value can add a parameter.
fn in_query(endpoint: &Url, sent: &Parameters<'_>) -> Url {
    let mut url = endpoint.clone();
    url.set_fragment(None);
    let pairs = sent.iter().map(|(name, value)| (*name, written(value)));
    url.query_pairs_mut().extend_pairs(pairs);
    url
}

#[cfg(test)]
mod tests;
