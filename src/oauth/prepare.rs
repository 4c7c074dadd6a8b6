//! Before the browser leaves: what the authorization request needs from the institution is asked for, and
//! the request is made.
//!
//! This is the one place where departing can fail. Whatever has to be said to an institution beforehand is
//! a call from here.

use jiff::Timestamp;
use url::Url;

use super::OAuthClient;
use super::authorize::{self, AuthorizationRequest};
use super::consent::ConsentError;
use super::pushed_request::PushError;
use super::reason::{Meaning, SetupFault};
use super::transport_error::{SetupError, TransportError};
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

/// A request that could not be made.
#[derive(Debug)]
pub struct Unprepared {
    /// Why.
    pub error: PrepareError,
    /// What the institution had made for it meanwhile, to be given back.
    pub obtained: ConnectionValues,
}

/// Why nobody can be sent to the institution. Written out, it is the operator's detail, without a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The request cannot be written, or would be plain http.
    #[error("the authorization request could not be made: {0}")]
    Call(#[from] TransportError),
    /// There is no consent that it could be for.
    #[error(transparent)]
    Consent(#[from] ConsentError),
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
            Self::Consent(error) => error.meaning(oauth),
            Self::Push(error) => error.meaning(oauth),
            Self::Sign(_) | Self::NoIssuer => Meaning::NotSetUp(SetupFault::Configuration),
        }
    }

    /// Whether the institution does not work, so that others who come would only wait.
    pub fn is_an_outage(&self) -> bool {
        match self {
            Self::Call(error) => error.is_an_outage(),
            Self::Consent(error) => error.is_an_outage(),
            Self::Push(error) => error.is_an_outage(),
            Self::Sign(_) | Self::NoIssuer => false,
        }
    }
}

impl OAuthClient {
    /// Makes the authorization request of one attempt. Nothing is sent if the address would be plain http on
    /// another machine. `now` is what the end of a consent counts from, and when what is signed is made.
    pub async fn prepare(
        &self,
        request: &AuthorizationRequest<'_>,
        now: Timestamp,
    ) -> Result<Prepared, Box<Unprepared>> {
        let failed = |error, obtained| Box::new(Unprepared { error, obtained });
        let nothing = ConnectionValues::default;
        match authorize::endpoint(request) {
            Ok(address) if outgoing::is_confidential(&address) => {}
            Ok(_) => return Err(failed(TransportError::Insecure.into(), nothing())),
            Err(error) => return Err(failed(error.into(), nothing())),
        }
        let given = request.values;
        let obtained = self.create_consent(request.at, given, now).await;
        let obtained = obtained.map_err(|error| failed(error.into(), nothing()))?;
        let values = given.with(&obtained);
        let request = AuthorizationRequest {
            values: &values,
            ..*request
        };
        match self.place(&request, now).await {
            Ok(address) => Ok(Prepared { address, obtained }),
            Err(error) => Err(failed(error, obtained)),
        }
    }
}
