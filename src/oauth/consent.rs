//! Consents that an institution makes by a call, before the person leaves.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use secrecy::ExposeSecret;

use super::OAuthClient;
use super::call::Filling;
use super::reason::{self, Meaning};
use super::registered::Registered;
use super::reply::{Refusal, Unfit};
use super::scrub::Scrubber;
use super::token_endpoint::TokenError;
use super::transport_error::TransportError;
use crate::domain::connection_values::{CONSENT_ID, ConnectionValues, VALUE_LIMIT};
use crate::domain::institution::OAuth;
use crate::domain::iso8601;
use crate::domain::window::ErrorReason;

/// Why there is no consent. Written out, it is the operator's detail, without a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// The call failed.
    #[error("no consent could be made: {0}")]
    Call(#[from] TransportError),
    /// The client got no token of its own to do it with.
    #[error("no consent could be made: no token for the client itself: {0}")]
    ClientToken(#[from] TokenError),
    /// The institution refused.
    #[error("the institution refused to make a consent: {}", .0.said)]
    Refused(Refusal),
    /// The institution made one and did not say which.
    #[error(
        "the institution does not say which consent it made: consent_id is missing or cannot be used"
    )]
    NoId,
}

impl ConsentError {
    /// What it means; the institution's own error map counts for its refusals.
    pub fn meaning(&self, oauth: &OAuth) -> Meaning {
        match self {
            Self::Call(error) => error.meaning_to_a_client(),
            Self::ClientToken(error) => error.meaning(oauth),
            Self::Refused(refusal) => reason::of_call(oauth, &refusal.error),
            Self::NoId => Meaning::Reason(ErrorReason::ProviderError),
        }
    }

    /// Whether the institution does not work. One that refuses does.
    pub fn is_an_outage(&self) -> bool {
        match self {
            Self::Call(error) | Self::ClientToken(TokenError::Call(error)) => error.is_an_outage(),
            Self::ClientToken(_) | Self::Refused(_) | Self::NoId => false,
        }
    }
}

impl OAuthClient {
    /// Has the institution make a consent, if its file describes how; the values that the connection has
    /// because of it.
    ///
    /// `given` are the connection's other values; `now` is what the end of the consent counts from.
    pub(super) async fn create_consent(
        &self,
        at: Registered<'_>,
        given: &ConnectionValues,
        now: Timestamp,
    ) -> Result<ConnectionValues, ConsentError> {
        let Some(call) = &at.oauth.calls.consent else {
            return Ok(ConnectionValues::default());
        };
        let mut scrubber = Scrubber::default();
        scrubber.learn_client(at.registration);
        let token = self.client_token(at, call, given, now).await?;
        let mut own = Vec::new();
        if let Some(token) = &token {
            scrubber.learn(token.expose_secret());
            own.push(("client_token", token.expose_secret()));
        }
        let end = at.oauth.consent.and_then(|life| now.checked_add(life).ok());
        let end = end.map(|end| (iso8601(end), day(end)));
        if let Some((moment, day)) = &end {
            own.extend([
                ("consent_ends_at", moment.as_str()),
                ("consent_ends_on", day),
            ]);
        }
        let filling = Filling {
            at,
            own: &own,
            values: given,
        };
        let reply = self.call(call, None, &[], &filling, now).await?;
        let id = reply.members.somebody(CONSENT_ID);
        reply.judge(id.is_some()).map_err(|unfit| match unfit {
            Unfit::Refused(error) => ConsentError::Refused(error.scrubbed(&scrubber)),
            Unfit::Unusable(error) => error.into(),
        })?;
        let sound = |id: &String| id.len() <= VALUE_LIMIT && !id.chars().any(char::is_control);
        let id = id.filter(sound).ok_or(ConsentError::NoId)?;
        Ok(ConnectionValues::of_consent(id))
    }
}

/// The day of a moment, in UTC.
fn day(at: Timestamp) -> String {
    Zoned::new(at, TimeZone::UTC).date().to_string()
}
