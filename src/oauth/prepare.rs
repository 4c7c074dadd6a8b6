//! Before the browser leaves: what the authorization request needs from the institution is asked for, and
//! the request is made.
//!
//! This is the one place where departing can fail. Whatever has to be said to an institution beforehand is
//! a call from here.

use jiff::Timestamp;
use url::Url;

use super::OAuthClient;
use super::authorize::{AuthorizationRequest, authorize};
use super::consent::ConsentError;
use super::reason::Meaning;
use super::transport_error::TransportError;
use crate::domain::connection_values::ConnectionValues;
use crate::domain::institution::OAuth;
use crate::outgoing;

/// An authorization request, ready for the browser.
pub struct Prepared {
    /// The address people are sent to.
    pub address: Url,
    /// What the institution said meanwhile that belongs to the connection, such as the id of a consent. To be
    /// kept with the attempt before the browser leaves.
    pub obtained: ConnectionValues,
}

/// Why nobody can be sent to the institution. Written out, it is the operator's detail, without a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The request cannot be written, or would be plain http.
    #[error("the authorization request could not be made: {0}")]
    Request(#[from] TransportError),
    /// There is no consent that it could be for.
    #[error(transparent)]
    Consent(#[from] ConsentError),
}

impl PrepareError {
    /// What it means.
    pub fn meaning(&self, oauth: &OAuth) -> Meaning {
        match self {
            Self::Request(error) => error.meaning(),
            Self::Consent(error) => error.meaning(oauth),
        }
    }
}

impl OAuthClient {
    /// Makes the authorization request of one attempt. Nothing is sent if the address would be plain http on
    /// another machine. `now` is what the end of a consent counts from.
    pub async fn prepare(
        &self,
        request: &AuthorizationRequest<'_>,
        now: Timestamp,
    ) -> Result<Prepared, PrepareError> {
        let given = request.values;
        let obtained = self.create_consent(request.at, given, now).await?;
        let values = given.with(&obtained);
        let address = authorize(&AuthorizationRequest {
            values: &values,
            ..*request
        })?;
        if !outgoing::is_confidential(&address) {
            return Err(TransportError::Insecure.into());
        }
        Ok(Prepared { address, obtained })
    }
}
