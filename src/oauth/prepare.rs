//! Before the browser leaves: what the authorization request needs from the institution is asked for, and
//! the request is made.
//!
//! This is the one place where departing can fail. Whatever has to be said to an institution beforehand is
//! a call from here.

use jiff::Timestamp;
use url::Url;

use super::OAuthClient;
use super::authorize::AuthorizationRequest;
use super::pushed_request::PushError;
use super::reason::{Meaning, SetupFault};
use super::transport_error::{SetupError, TransportError};
use crate::domain::institution::OAuth;
use crate::outgoing;

/// An authorization request, ready for the browser.
pub struct Prepared {
    /// The address people are sent to.
    pub address: Url,
}

/// Why nobody can be sent to the institution. Written out, it is the operator's detail, without a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// A call failed, or was not made.
    #[error("the authorization request could not be made: {0}")]
    Call(#[from] TransportError),
    /// It could not be pushed.
    #[error(transparent)]
    Push(#[from] PushError),
    /// It could not be signed.
    #[error("the authorization request could not be signed: {0}")]
    Sign(#[from] SetupError),
    /// Nobody is named that a signed request could be for.
    #[error("the institution's file names no issuer, which a signed request is for")]
    NoIssuer,
}

impl PrepareError {
    /// What it means.
    pub fn meaning(&self, oauth: &OAuth) -> Meaning {
        match self {
            Self::Call(error) => error.meaning_to_a_client(),
            Self::Push(error) => error.meaning(oauth),
            Self::Sign(_) | Self::NoIssuer => Meaning::NotSetUp(SetupFault::Configuration),
        }
    }

    /// Whether the institution does not work, so that others who come would only wait.
    pub fn is_an_outage(&self) -> bool {
        match self {
            Self::Call(error) => error.is_an_outage(),
            Self::Push(error) => error.is_an_outage(),
            Self::Sign(_) | Self::NoIssuer => false,
        }
    }
}

impl OAuthClient {
    /// Makes the authorization request of one attempt. Nothing is sent if the address would be plain http on
    /// another machine.
    pub async fn prepare(
        &self,
        request: &AuthorizationRequest<'_>,
        now: Timestamp,
    ) -> Result<Prepared, PrepareError> {
        if !outgoing::is_confidential(&request.at.oauth.authorization_endpoint) {
            return Err(TransportError::Insecure.into());
        }
        let address = self.place(request, now).await?;
        Ok(Prepared { address })
    }
}
