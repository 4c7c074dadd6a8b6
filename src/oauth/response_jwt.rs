//! An authorization response that is one signed JWT, and perhaps an encrypted one (JARM).
//!
//! It is read before it is proved, because only its `state` says which request it claims to belong to. What proves it is
//! checked in this order: issuer, audience, end, signature.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::OAuthClient;
use super::json::Members;
use super::registered::Registered;
use super::signed_response::{Protection, SignedResponseError, open};
use crate::jose::{DecryptionKey, JoseError, decrypt, payload};

/// The parameter that has it.
pub const PARAMETER: &str = "response";

/// How far the institution's clock may be behind ours.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// Why a response is no JWT that could be an institution's. None of these holds anything of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidResponseJwt {
    /// There is none.
    #[error("there is no response JWT, and the institution's responses are JWTs")]
    Missing,
    /// There are parameters beside it, which nobody signed.
    #[error("the parameter {0} is beside the response JWT")]
    Beside(&'static str),
    /// It cannot be decrypted, or read.
    #[error("the response JWT cannot be read: {0}")]
    Unreadable(#[from] JoseError),
    /// Its content is not a JSON object to be relied on.
    #[error("the response JWT has no JSON object inside")]
    NoClaims,
}

/// Why a response JWT does not prove that it is the institution's, for us, and of now. None of these holds anything of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnprovenJwt {
    /// It is for somebody else, or does not say for whom.
    #[error("the response JWT is not for this client")]
    Audience,
    /// It has ended, or does not say when.
    #[error("the response JWT has ended, or does not say when it ends")]
    Ended,
    /// Its signature is not the institution's, or that cannot be told.
    #[error("the response JWT is not proved by its signature: {0}")]
    Signature(#[from] SignedResponseError),
}

/// A response JWT. Cannot be printed.
#[derive(Clone)]
pub struct ResponseJwt {
    /// As it came.
    token: Zeroizing<String>,
    audience: Vec<String>,
    ends_at: Option<Timestamp>,
}

/// For whom a token is (RFC 7519 section 4.1.3).
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl ResponseJwt {
    /// Finds the JWT in a query or form and reads it: the JWT and its claims, of which nothing is proved yet. None of the
    /// parameters that it has inside may be `beside` it.
    pub fn read(
        raw: &[u8],
        beside: &'static [&'static str],
        at: Registered<'_>,
        keys: &[DecryptionKey],
    ) -> Result<(Self, Members), InvalidResponseJwt> {
        let mut token = None;
        for (name, value) in form_urlencoded::parse(raw) {
            if let Some(name) = beside.iter().find(|known| **known == name) {
                return Err(InvalidResponseJwt::Beside(name));
            }
            if name == PARAMETER && token.replace(Zeroizing::new(value.into_owned())).is_some() {
                return Err(InvalidResponseJwt::Beside(PARAMETER));
            }
        }
        let token = token.filter(|token| !token.is_empty());
        let token = token.ok_or(InvalidResponseJwt::Missing)?;
        let signed = match at.oauth.authorization.encrypted_response {
            None => token.clone(),
            Some(registered) => {
                let inside = decrypt(&token, registered, keys)?;
                let inside = std::str::from_utf8(&inside).map_err(|_| JoseError::Malformed)?;
                Zeroizing::new(inside.to_owned())
            }
        };
        let (claims, sound) = Members::read(&payload(&signed)?);
        sound.map_err(|_| InvalidResponseJwt::NoClaims)?;
        let audience = match claims.read_as("aud") {
            None => Vec::new(),
            Some(Audience::One(client)) => vec![client],
            Some(Audience::Several(clients)) => clients,
        };
        let ends_at = claims.read_as::<f64>("exp").filter(|ends| ends.is_finite());
        // A cast of a float ends at the limits of the whole numbers, which no calendar has.
        let ends_at = ends_at.and_then(|ends| Timestamp::from_second(ends as i64).ok());
        let jwt = Self {
            token,
            audience,
            ends_at,
        };
        Ok((jwt, claims))
    }

    /// As it came.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Checks for whom it is and whether it still counts (JARM section 2.4).
    fn check(&self, client_id: &str, now: Timestamp) -> Result<(), UnprovenJwt> {
        // One that is for others too could have been given to them.
        if self.audience != [client_id] {
            return Err(UnprovenJwt::Audience);
        }
        match self.ends_at {
            Some(ends_at) if now < ends_at + SKEW => Ok(()),
            Some(_) | None => Err(UnprovenJwt::Ended),
        }
    }
}

impl OAuthClient {
    /// Checks that a response JWT is for this client, still counts, and has the institution's signature.
    pub(super) async fn prove_jwt(
        &self,
        at: Registered<'_>,
        jwt: &ResponseJwt,
        now: Timestamp,
    ) -> Result<(), UnprovenJwt> {
        jwt.check(&at.registration.client_id, now)?;
        let rules = &at.oauth.authorization;
        let protection = Protection {
            signed: rules.signed_response,
            encrypted: rules.encrypted_response,
        };
        let keys = self.keys_for(at, &jwt.token, protection).await;
        let keys = keys.map_err(SignedResponseError::Keys)?;
        open(&jwt.token, protection, keys.keys())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
