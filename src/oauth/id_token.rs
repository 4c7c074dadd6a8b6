//! ID tokens (OpenID Connect Core sections 2 and 3.1.3.7): who signed in, by rules of our own.
//!
//! - Each claim is looked at as it was written: a time is a number, an audience a text or a list of texts, and nothing is
//!   taken for something like it.
//! - Nobody but the client is an audience, so a token that others may use as well is refused.
//! - The person is `iss` and `sub` together. No other claim says who it is.
//! - The same rules hold whatever channel a token came by: what differs is what is expected of it.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{self, SHA256, SHA384, SHA512};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use super::json::Members;
use super::key_cache::KeysError;
use super::reason::Meaning;
use super::signed_response::{self, Keys, Protection, SignedResponseError};
use crate::domain::algorithm::SigningAlgorithm;
use crate::domain::digest::Digest;
use crate::domain::window::ErrorReason;

/// By how much an institution's clock may differ from ours.
const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// How long ago a token may have been issued.
const OLDEST: SignedDuration = SignedDuration::from_secs(10 * 60);

/// How long `sub` may be, in bytes.
const LONGEST_SUB: usize = 255;

/// What an ID token must say.
#[derive(Clone, Copy)]
pub struct Expectations<'a> {
    /// The institution's issuer, character by character.
    pub issuer: &'a str,
    /// The client.
    pub client_id: &'a str,
    /// The nonce of the authorization request; `None`: it is not compared, because a refresh has none.
    pub nonce: Option<&'a str>,
    /// The access token that came with it: `at_hash` is of that if it is there.
    pub at_hash_of: Option<&'a str>,
    /// The code that came with it: `c_hash` is there and of that.
    pub c_hash_of: Option<&'a str>,
    /// The `state` that came with it: `s_hash` is there and of that.
    pub s_hash_of: Option<&'a str>,
    /// For how long a sign-in counts; `None`: for ever.
    pub max_age: Option<Duration>,
    /// The ways of signing in that count, separated by spaces; `None`: every one.
    pub acr_values: Option<&'a str>,
    /// Further claims and their values.
    pub claims: Option<&'a BTreeMap<String, String>>,
}

/// Which rule an ID token breaks. None of these holds what it says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// There is none.
    #[error("there is none, though openid was asked for")]
    Missing,
    /// It is not one of the institution for us.
    #[error(transparent)]
    Signed(#[from] SignedResponseError),
    /// `iss` is missing, or another one than the file's issuer.
    #[error("iss is not the institution's issuer")]
    Issuer,
    /// `aud` is missing, or does not name the client.
    #[error("aud does not name the client")]
    Audience,
    /// `aud` names others, too.
    #[error("aud names others beside the client")]
    OtherAudience,
    /// `azp` is another one than the client.
    #[error("azp is not the client")]
    AuthorizedParty,
    /// A time is missing, or is no number that can be one.
    #[error("{0} is missing, or is no time")]
    NoTime(&'static str),
    /// `exp` has passed.
    #[error("exp has passed")]
    Expired,
    /// `iat` has not come.
    #[error("iat has not come yet")]
    IssuedLater,
    /// `iat` is too long ago.
    #[error("iat is more than ten minutes ago")]
    IssuedLongAgo,
    /// `nbf` has not come.
    #[error("nbf has not come yet")]
    NotYet,
    /// `nonce` is missing, or another one than that of the request.
    #[error("nonce is not that of the authorization request")]
    Nonce,
    /// `sub` is missing, empty or too long.
    #[error("sub is missing, empty or longer than {LONGEST_SUB} bytes")]
    Subject,
    /// `at_hash` is not of the access token.
    #[error("at_hash is not that of the access token")]
    AccessTokenHash,
    /// `c_hash` is missing, or not of the code.
    #[error("c_hash is not that of the code")]
    CodeHash,
    /// `s_hash` is missing, or not of the `state`.
    #[error("s_hash is not that of the state")]
    StateHash,
    /// `auth_time` is longer ago than was asked for.
    #[error("auth_time is longer ago than max_age allows, or has not come yet")]
    SignedInLongAgo,
    /// `acr` is missing, or none of those that were asked for.
    #[error("acr is none of the acr_values that were asked for")]
    AuthenticationContext,
    /// A claim that the file binds is missing, or has another value.
    #[error("{0} does not have the value that was bound")]
    Bound(String),
    /// The person is another one than before.
    #[error("sub is another one than before")]
    OtherPerson,
}

impl IdTokenError {
    /// What it means: the operator has to correct why keys cannot be read, if it is a matter of TLS or of our configuration;
    /// everything else is the institution's failure.
    pub fn meaning(&self) -> Meaning {
        match self {
            Self::Signed(SignedResponseError::Keys(KeysError::Call(error))) => error.meaning(),
            _ => Meaning::Reason(ErrorReason::ProviderError),
        }
    }

    /// Whether a good signature shows that the token is about somebody else, or nobody, or for somebody else.
    pub fn is_about_others(&self) -> bool {
        match self {
            Self::Issuer
            | Self::Audience
            | Self::OtherAudience
            | Self::AuthorizedParty
            | Self::Subject
            | Self::OtherPerson => true,
            Self::Missing
            | Self::Signed(_)
            | Self::NoTime(_)
            | Self::Expired
            | Self::IssuedLater
            | Self::IssuedLongAgo
            | Self::NotYet
            | Self::Nonce
            | Self::AccessTokenHash
            | Self::CodeHash
            | Self::StateHash
            | Self::SignedInLongAgo
            | Self::AuthenticationContext
            | Self::Bound(_) => false,
        }
    }
}

/// An ID token that keeps all rules. Cannot be printed.
pub struct IdToken {
    issuer: String,
    subject: Zeroizing<String>,
    claims: Members,
}

impl IdToken {
    /// `sub`: who it is, at this issuer.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What a claim says, if it is a text that is not only white space, or a number as it was written.
    pub fn claim(&self, name: &str) -> Option<String> {
        self.claims.somebody(name)
    }

    /// Who it is, as a digest of `iss` and `sub`: two tokens have the same one if they are about the same person.
    pub fn person(&self) -> Digest {
        // An issuer has no line break.
        Digest::of("person", &format!("{}\n{}", self.issuer, *self.subject))
    }
}

/// Verifies an ID token: signature, claims, and what it is bound to.
///
/// # Errors
///
/// [`IdTokenError`], the first rule that it breaks.
pub fn verify(
    token: &str,
    protection: Protection,
    keys: Keys<'_>,
    expected: &Expectations<'_>,
    now: Timestamp,
) -> Result<IdToken, IdTokenError> {
    let claims = signed_response::open(token, protection, keys)?;
    judge_issuer(&claims, expected.issuer)?;
    judge_audience(&claims, expected.client_id)?;
    judge_times(&claims, now)?;
    let is_nonce = |nonce| is_text(&claims, "nonce", nonce);
    if !expected.nonce.is_none_or(is_nonce) {
        return Err(IdTokenError::Nonce);
    }
    let subject = claims
        .text("sub")
        .filter(|sub| !sub.trim().is_empty() && sub.len() <= LONGEST_SUB)
        .ok_or(IdTokenError::Subject)?;
    judge_hashes(&claims, protection.signed, expected)?;
    judge_sign_in(&claims, expected, now)?;
    for (name, value) in expected.claims.into_iter().flatten() {
        let said = claims.somebody(name);
        if said.as_deref() != Some(value) {
            return Err(IdTokenError::Bound(name.clone()));
        }
    }
    Ok(IdToken {
        issuer: expected.issuer.to_owned(),
        subject,
        claims,
    })
}

/// Whether `iss` is the institution.
pub fn judge_issuer(claims: &Members, issuer: &str) -> Result<(), IdTokenError> {
    match is_text(claims, "iss", issuer) {
        true => Ok(()),
        false => Err(IdTokenError::Issuer),
    }
}

/// Whether `aud` names the client and nobody else, and `azp`, if it is there, names it as well.
pub fn judge_audience(claims: &Members, client_id: &str) -> Result<(), IdTokenError> {
    let one = claims.text("aud").map(|one| vec![one.to_string()]);
    let audience = one.or_else(|| claims.list("aud")).unwrap_or_default();
    if !audience.iter().any(|it| it == client_id) {
        return Err(IdTokenError::Audience);
    }
    if audience.iter().any(|it| it != client_id) {
        return Err(IdTokenError::OtherAudience);
    }
    match is_there(claims, "azp") && !is_text(claims, "azp", client_id) {
        true => Err(IdTokenError::AuthorizedParty),
        false => Ok(()),
    }
}

fn judge_times(claims: &Members, now: Timestamp) -> Result<(), IdTokenError> {
    let (exp, iat) = (time(claims, "exp")?, time(claims, "iat")?);
    if exp.saturating_add(SKEW).is_ok_and(|end| end <= now) {
        return Err(IdTokenError::Expired);
    }
    if is_later(iat, now) {
        return Err(IdTokenError::IssuedLater);
    }
    if now.duration_since(iat) > OLDEST {
        return Err(IdTokenError::IssuedLongAgo);
    }
    match is_there(claims, "nbf") && is_later(time(claims, "nbf")?, now) {
        true => Err(IdTokenError::NotYet),
        false => Ok(()),
    }
}

fn judge_hashes(
    claims: &Members,
    algorithm: SigningAlgorithm,
    expected: &Expectations<'_>,
) -> Result<(), IdTokenError> {
    let is_of = |name, text| is_text(claims, name, &half_hash(algorithm, text));
    let is_optional = |token| !is_there(claims, "at_hash") || is_of("at_hash", token);
    if !expected.at_hash_of.is_none_or(is_optional) {
        return Err(IdTokenError::AccessTokenHash);
    }
    if !expected.c_hash_of.is_none_or(|code| is_of("c_hash", code)) {
        return Err(IdTokenError::CodeHash);
    }
    match expected
        .s_hash_of
        .is_none_or(|state| is_of("s_hash", state))
    {
        true => Ok(()),
        false => Err(IdTokenError::StateHash),
    }
}

fn judge_sign_in(
    claims: &Members,
    expected: &Expectations<'_>,
    now: Timestamp,
) -> Result<(), IdTokenError> {
    if let Some(max_age) = expected.max_age {
        let signed_in = time(claims, "auth_time")?;
        let longest = SignedDuration::try_from(max_age).unwrap_or(SignedDuration::MAX);
        let longest = longest.saturating_add(SKEW);
        if is_later(signed_in, now) || now.duration_since(signed_in) > longest {
            return Err(IdTokenError::SignedInLongAgo);
        }
    }
    let acr = claims.text("acr");
    let is_said = |asked: &str| acr.as_ref().is_some_and(|acr| acr.as_str() == asked);
    let is_any = |asked: &str| asked.split_whitespace().any(is_said);
    match expected.acr_values.is_none_or(is_any) {
        true => Ok(()),
        false => Err(IdTokenError::AuthenticationContext),
    }
}

/// Whether there is a claim of that name, whatever it says.
fn is_there(claims: &Members, name: &str) -> bool {
    claims.names().any(|known| known == name)
}

/// Whether a claim is that text. How long it takes does not show where they differ.
pub fn is_text(claims: &Members, name: &str, expected: &str) -> bool {
    let said = claims.text(name);
    said.is_some_and(|said| verify_slices_are_equal(said.as_bytes(), expected.as_bytes()).is_ok())
}

/// A `NumericDate` (RFC 7519 section 2): seconds since 1970, whole or not.
fn time(claims: &Members, name: &'static str) -> Result<Timestamp, IdTokenError> {
    let written = claims.number(name).ok_or(IdTokenError::NoTime(name))?;
    let whole = written.parse::<i64>().ok();
    let seconds = whole.or_else(|| {
        let number = written.parse::<f64>().ok()?;
        // Every time of the calendar is a number that a double has exactly.
        let is_sound = number.is_finite() && number.abs() < 1e12;
        is_sound.then_some(number as i64)
    });
    let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.ok_or(IdTokenError::NoTime(name))
}

/// Whether a time has not come yet, however the clocks differ.
fn is_later(time: Timestamp, now: Timestamp) -> bool {
    time.duration_since(now) > SKEW
}

/// The left half of a hash, by the hash function of the token's own signature (OpenID Connect Core section 3.1.3.6);
/// SHA-512 for Ed25519, which has none to choose.
fn half_hash(algorithm: SigningAlgorithm, text: &str) -> String {
    use SigningAlgorithm::*;
    let function = match algorithm {
        RS256 | PS256 | ES256 | HS256 => &SHA256,
        RS384 | PS384 | ES384 | HS384 => &SHA384,
        RS512 | PS512 | EdDSA | HS512 => &SHA512,
    };
    let hash = digest::digest(function, text.as_bytes());
    let hash = hash.as_ref();
    URL_SAFE_NO_PAD.encode(&hash[..hash.len() / 2])
}

#[cfg(test)]
mod tests;
