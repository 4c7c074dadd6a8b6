//! An authorization request is pushed (RFC 9126): the institution gets it from us, and the browser a name for it.

use jiff::Timestamp;
use url::Url;

use super::OAuthClient;
use super::authorize::{Parameters, written};
use super::call::Filling;
use super::client_authentication::names_client;
use super::reason::{self, Meaning};
use super::registered::Registered;
use super::reply::{Refusal, Reply, Unfit};
use super::scrub::Scrubber;
use super::transport_error::TransportError;
use crate::domain::call::Call;
use crate::domain::connection_values::ConnectionValues;
use crate::domain::institution::OAuth;
use crate::domain::window::ErrorReason;

/// How long a `request_uri` may be, in characters.
const REQUEST_URI: usize = 2048;

/// What the browser brings in place of the pushed request. It works once, for a short time (RFC 9126 section 4).
pub struct RequestUri(pub String);

/// Why a request could not be pushed. None of these holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The call failed.
    #[error("the authorization request could not be pushed: {0}")]
    Call(#[from] TransportError),
    /// The institution refused the request, or this client (RFC 9126 section 2.3).
    #[error("the institution refused the pushed authorization request: {}", .0.said)]
    Refused(Refusal),
    /// The response is not the one of RFC 9126 section 2.2.
    #[error("the response to the pushed authorization request is of no use: {0}")]
    Unusable(Unusable),
}

/// What is wrong with the response to a pushed request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Another success than the one that says that something was kept.
    #[error("its status is {0} instead of 201")]
    Status(u16),
    /// There is no `request_uri`, or not one that an address can carry.
    #[error("it has no request_uri of 1 to {REQUEST_URI} visible characters")]
    RequestUri,
    /// Nothing says that it can still be used.
    #[error("it has no expires_in of one second or more")]
    ExpiresIn,
}

impl PushError {
    /// What it means; the institution's own error map counts for its refusals.
    pub fn meaning(&self, oauth: &OAuth) -> Meaning {
        match self {
            Self::Call(error) => error.meaning_to_a_client(),
            Self::Refused(refusal) => reason::of_call(oauth, &refusal.error),
            Self::Unusable(_) => Meaning::Reason(ErrorReason::ProviderError),
        }
    }

    /// Whether the institution does not work. One that refuses does.
    pub fn is_an_outage(&self) -> bool {
        const OUT: [&str; 2] = ["server_error", "temporarily_unavailable"];
        match self {
            Self::Call(error) => error.is_an_outage(),
            Self::Refused(refusal) => OUT.contains(&refusal.error.as_str()),
            Self::Unusable(_) => false,
        }
    }
}

impl OAuthClient {
    /// Pushes a request, authenticated as every call of the client is. `scrubber` knows the secrets in it; `now` is
    /// when an assertion is made.
    pub(super) async fn push(
        &self,
        at: Registered<'_>,
        endpoint: &Url,
        sent: &Parameters,
        scrubber: &Scrubber,
        now: Timestamp,
    ) -> Result<RequestUri, PushError> {
        // The credentials may name the client already, and nothing may be there twice (RFC 6749 section 3.1).
        let is_named = names_client(at.registration);
        let fields = sent
            .iter()
            .filter(|(name, _)| !(is_named && name == "client_id"));
        let written: Vec<_> = fields
            .map(|(name, value)| (name.as_str(), written(value)))
            .collect();
        let fields: Vec<_> = written
            .iter()
            .map(|(name, value)| (*name, value.as_ref()))
            .collect();
        let filling = Filling {
            at,
            own: &[],
            values: &ConnectionValues::default(),
        };
        // As the standard says: of what may be otherwise, the parameters themselves have their names already.
        let call = Call::of_pushed_request();
        let asked = self.call(&call, Some(endpoint), &fields, &filling, now);
        let reply = asked.await?;
        if let Some(calls) = at.calls {
            calls.clean(|text, limit| scrubber.shown(text, limit));
        }
        reply
            .judge(!reply.members.lacks("request_uri"))
            .map_err(|unfit| match unfit {
                Unfit::Refused(error) => PushError::Refused(error.scrubbed(scrubber)),
                Unfit::Unusable(error) => error.into(),
            })?;
        request_uri(&reply).map_err(PushError::Unusable)
    }
}

/// Reads the response (RFC 9126 section 2.2).
fn request_uri(reply: &Reply) -> Result<RequestUri, Unusable> {
    if reply.status() != 201 {
        return Err(Unusable::Status(reply.status()));
    }
    let is_sound = |uri: &str| {
        (1..=REQUEST_URI).contains(&uri.len()) && uri.bytes().all(|b| b.is_ascii_graphic())
    };
    let uri = reply.members.text("request_uri");
    let uri = uri
        .filter(|uri| is_sound(uri))
        .ok_or(Unusable::RequestUri)?;
    let lifetime = reply.members.number("expires_in");
    let lifetime = lifetime.and_then(|number| number.parse::<u64>().ok());
    if lifetime.is_none_or(|seconds| seconds == 0) {
        return Err(Unusable::ExpiresIn);
    }
    Ok(RequestUri(uri.to_string()))
}
