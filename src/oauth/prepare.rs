//! Before the browser leaves: what the authorization request needs from the institution is asked for, and
//! the request is made.
//!
//! This is the one place where departing can fail. Whatever has to be said to an institution beforehand is
//! a call from here.

use url::Url;

use super::OAuthClient;
use super::authorize::{AuthorizationRequest, authorize};
use super::reason::Meaning;
use super::transport_error::TransportError;
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
}

impl PrepareError {
    /// What it means.
    pub fn meaning(&self, _oauth: &OAuth) -> Meaning {
        match self {
            Self::Call(error) => error.meaning_to_a_client(),
        }
    }
}

impl OAuthClient {
    /// Makes the authorization request of one attempt. Nothing is sent if the address would be plain http on
    /// another machine.
    pub async fn prepare(
        &self,
        request: &AuthorizationRequest<'_>,
    ) -> Result<Prepared, PrepareError> {
        let address = authorize(request);
        if !outgoing::is_confidential(&address) {
            return Err(TransportError::Insecure.into());
        }
        Ok(Prepared { address })
    }
}
