//! Where an authorization request is put: into the address, into a signed request object (RFC 9101), or pushed to the
//! institution before the browser leaves (RFC 9126).
//!
//! A request object goes where the parameters would go, and what is pushed leaves two parameters for the browser.

use jiff::Timestamp;
use serde_json::json;
use url::Url;

use super::OAuthClient;
use super::authorize::{AuthorizationRequest, Parameters, parameters, sends_nonce, written};
use super::prepare::PrepareError;
use super::pushed_request::RequestUri;
use super::registered::Registered;
use super::request_object::{RequestObjectError, request_object};
use super::scrub::Scrubber;
use crate::domain::random::Random;

impl OAuthClient {
    /// The address that people are sent to. Where requests are pushed, that is one call, within the institution's time
    /// limit.
    pub(super) async fn place(
        &self,
        request: &AuthorizationRequest<'_>,
        random: &dyn Random,
        now: Timestamp,
    ) -> Result<Url, PrepareError> {
        let at = request.at;
        let rules = &at.oauth.authorization;
        let mut sent = parameters(request);
        if let Some(algorithm) = rules.request_object {
            let key = self.client_keys.signing(at, algorithm);
            let key = key.ok_or(RequestObjectError::NoKey(algorithm.name()))?;
            let object = request_object(key, at, &sent, random, now)?;
            sent = around(at, sent, object);
        }
        if let Some(endpoint) = &rules.pushed_to {
            let (state, secrets) = (request.state, request.secrets);
            let scrubber = Scrubber::of_exchange(at, state, None, Some(secrets));
            let RequestUri(request_uri) = self.push(at, endpoint, &sent, &scrubber).await?;
            sent.retain(|(name, _)| *name == "client_id");
            sent.push(("request_uri", json!(request_uri)));
        }
        Ok(in_query(&at.oauth.authorization_endpoint, &sent))
    }
}

/// What is sent beside a request object: what OpenID Connect Core section 6.1 demands there, and otherwise `client_id`
/// alone (RFC 9101 section 5).
fn around<'a>(at: Registered<'_>, mut sent: Parameters<'a>, object: String) -> Parameters<'a> {
    let is_openid = sends_nonce(at);
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
