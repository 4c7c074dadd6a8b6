//! The token response (RFC 6749 section 5.1), and the token set it gives.

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use zeroize::Zeroizing;

use super::json::Members;
use crate::domain::call::ExpiryForm;
use crate::domain::connection_values::ConnectionValues;
use crate::domain::token_set::TokenSet;

/// The member that makes a response a successful one.
const ACCESS_TOKEN: &str = "access_token";
/// The member that can renew it.
const REFRESH_TOKEN: &str = "refresh_token";

/// The member that says when the access token ends.
const EXPIRES_IN: &str = "expires_in";

/// How many tokens of a kind are revoked, if a body has more than one.
const MOST: usize = 3;

/// The member that says who signed in, to those who verify it (OpenID Connect Core section 3.1.3.3).
const ID_TOKEN: &str = "id_token";

/// The members that are read here; none of them is the login that an institution's file may name.
const OWN: [&str; 8] = [
    ACCESS_TOKEN,
    REFRESH_TOKEN,
    ID_TOKEN,
    "token_type",
    EXPIRES_IN,
    "scope",
    CONSENT_END,
    DETAILS,
];

/// The member that says when the consent ends: a time of RFC 3339, or seconds or milliseconds since 1970.
const CONSENT_END: &str = "consent_expires_at";

/// What was granted in detail (RFC 9396 section 7).
const DETAILS: &str = "authorization_details";

/// The members of a detail that say when it ends, in the same forms: that RFC leaves them to each type.
const DETAIL_ENDS: [&str; 6] = [
    CONSENT_END,
    "expires_at",
    "expiration_date_time",
    "expirationDateTime",
    "valid_until",
    "validUntil",
];

/// A successful response. No members are read but those named here and the one that the institution's
/// file names for who signed in.
#[derive(Debug)]
pub struct TokenResponse(pub Members);

/// Why a response gives no token set. Holds the institution's own text: to be scrubbed before it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableTokenResponse {
    /// Another token type than Bearer, which is the only one this client can use.
    #[error("the token type is {0} instead of Bearer")]
    TokenType(String),
    /// No access token, or one that is empty or that no header could carry (RFC 6749 appendix A.12).
    #[error("it has no access token, or one that no header can carry")]
    NoToken,
}

/// Whether a body has an access token that can be used: then it is a token response, whatever else it
/// holds.
pub fn has_token(members: &Members) -> bool {
    members
        .text(ACCESS_TOKEN)
        .is_some_and(|token| is_token(&token))
}

/// Tokens that an institution issued. They are valid there until they are revoked.
#[derive(Clone, Default)]
pub struct Issued {
    /// Refresh tokens: at most institutions, revoking one ends the whole grant.
    pub(super) refresh: Vec<SecretString>,
    /// Access tokens.
    pub(super) access: Vec<SecretString>,
    /// What belongs to the connection that they were for; with a consent it is to be deleted.
    pub(super) values: ConnectionValues,
}

impl Issued {
    /// Every token in a body, also one that is there twice, and also if the body is no token response.
    pub fn found_in(members: &Members) -> Self {
        let tokens = |name| -> Vec<SecretString> {
            let texts = members.texts(name).filter(|text| !text.is_empty());
            texts
                .take(MOST)
                .map(|text| SecretString::from(text.as_str()))
                .collect()
        };
        Self {
            refresh: tokens(REFRESH_TOKEN),
            access: tokens(ACCESS_TOKEN),
            values: ConnectionValues::default(),
        }
    }

    /// The same, for the connection that these values belong to.
    pub fn of_connection(mut self, values: &ConnectionValues) -> Self {
        self.values = values.clone();
        self
    }

    /// The same as token sets, which can be sealed. One that has no access token has an empty one.
    pub fn token_sets(&self) -> Vec<TokenSet> {
        let tokens = self.refresh.len().max(self.access.len());
        let count = tokens.max(usize::from(self.has_consent()));
        let set = |nth: usize| TokenSet {
            access_token: self.access.get(nth).cloned().unwrap_or_default(),
            refresh_token: self.refresh.get(nth).cloned(),
            scope: None,
            expires_at: None,
            consent_expires_at: None,
            values: self.values.clone(),
            authorization_details: None,
            person: None,
            bound_to: None,
        };
        (0..count).map(set).collect()
    }

    /// Adds the tokens of a set.
    pub fn add(&mut self, token_set: &TokenSet) {
        self.refresh.extend(token_set.refresh_token.clone());
        let access = &token_set.access_token;
        let is_one = !access.expose_secret().is_empty();
        self.access.extend(is_one.then(|| access.clone()));
        self.values = self.values.with(&token_set.values);
    }

    /// What there is of a token set after `before`, if there is a new refresh token: an access token that has ended.
    pub(super) fn newest(&self, before: &TokenSet, now: Timestamp) -> Option<TokenSet> {
        let refresh_token = self.refresh.last()?.clone();
        let access_token = self.access.last().unwrap_or(&before.access_token).clone();
        Some(TokenSet {
            access_token,
            refresh_token: Some(refresh_token),
            scope: before.scope.clone(),
            expires_at: Some(now),
            consent_expires_at: before.consent_expires_at,
            values: before.values.clone(),
            authorization_details: before.authorization_details.clone(),
            person: before.person,
            bound_to: None,
        })
    }

    /// Whether there are tokens to revoke.
    pub fn has_tokens(&self) -> bool {
        self.all().next().is_some()
    }

    /// Whether there is a consent, which may have to be deleted.
    pub fn has_consent(&self) -> bool {
        self.values.consent_id().is_some()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &SecretString> {
        self.refresh.iter().chain(&self.access)
    }
}

impl From<&TokenSet> for Issued {
    fn from(token_set: &TokenSet) -> Self {
        Self {
            refresh: token_set.refresh_token.iter().cloned().collect(),
            access: vec![token_set.access_token.clone()],
            values: token_set.values.clone(),
        }
    }
}

impl TokenResponse {
    /// Who signed in, if the member `field` says.
    pub fn subject(&self, field: &str) -> Option<String> {
        (!OWN.contains(&field)).then(|| self.0.somebody(field))?
    }

    /// The ID token, if there is one.
    pub fn id_token(&self) -> Option<Zeroizing<String>> {
        self.0.text(ID_TOKEN).filter(|token| !token.is_empty())
    }

    /// Checks the token type: Bearer in any case; an absent type, or an empty one, means Bearer too.
    pub fn check_type(&self) -> Result<(), UnusableTokenResponse> {
        const TYPE: &str = "token_type";
        let Self(members) = self;
        if members.lacks(TYPE) {
            return Ok(());
        }
        let name = members
            .text(TYPE)
            .ok_or_else(|| UnusableTokenResponse::TokenType("no text".to_owned()))?;
        match name.trim() {
            "" => Ok(()),
            bearer if bearer.eq_ignore_ascii_case("bearer") => Ok(()),
            other => Err(UnusableTokenResponse::TokenType(other.to_owned())),
        }
    }

    /// The token set, as of `now`; `expires` is how its end is written, and its scope is `requested` if the response names none. `None`: there is no
    /// access token, or one that no header could carry.
    ///
    /// An optional member that cannot be read counts as absent: it is no reason to lose a connection.
    /// With a lifetime of zero or less the token has ended; with one beyond the calendar, or one that is
    /// no number, the token has no known end.
    pub fn into_token_set(
        self,
        expires: ExpiryForm,
        requested: Option<String>,
        now: Timestamp,
    ) -> Option<TokenSet> {
        let Self(members) = self;
        let token = |name| {
            let text = members.text(name).filter(|text| is_token(text));
            text.map(|text| SecretString::from(text.as_str()))
        };
        let said = members
            .text(EXPIRES_IN)
            .map(|text| text.to_string())
            .or_else(|| members.number(EXPIRES_IN).map(str::to_owned));
        let expires_at = said.and_then(|said| end(&said, expires, now));
        let scope = members
            .text("scope")
            .map(|text| text.to_string())
            .or_else(|| members.list("scope").map(|scopes| scopes.join(" ")));
        // One who has just issued tokens does not say that the consent had ended before.
        let consent_expires_at = consent_end(&members).filter(|end| *end > now);
        Some(TokenSet {
            access_token: token(ACCESS_TOKEN)?,
            refresh_token: token(REFRESH_TOKEN),
            scope: scope.or(requested),
            expires_at,
            consent_expires_at,
            values: ConnectionValues::default(),
            authorization_details: granted(&members),
            person: None,
            bound_to: None,
        })
    }
}

/// When an access token ends; one that had ended before ends now.
fn end(said: &str, expires: ExpiryForm, now: Timestamp) -> Option<Timestamp> {
    let after = |lifetime: fn(i64) -> SignedDuration| {
        let number = seconds(said)?.max(0);
        now.checked_add(lifetime(number)).ok()
    };
    match expires {
        ExpiryForm::InSeconds => after(SignedDuration::from_secs),
        ExpiryForm::InMilliseconds => after(SignedDuration::from_millis),
        ExpiryForm::At => moment(said).map(|end| end.max(now)),
    }
}

/// What was granted in detail, as it was written (RFC 9396 section 7): a list of objects, or nothing.
fn granted(members: &Members) -> Option<String> {
    let details: Vec<serde_json::Map<String, Value>> = members.read_as(DETAILS)?;
    Some(Value::from_iter(details).to_string())
}

/// When the consent ends, if the response says so: with the last of its details, if it says that of several.
fn consent_end(members: &Members) -> Option<Timestamp> {
    let said = members.text(CONSENT_END).map(|text| text.to_string());
    let said = said.or_else(|| members.number(CONSENT_END).map(str::to_owned));
    if let Some(end) = said.and_then(|said| moment(&said)) {
        return Some(end);
    }
    let details: Vec<serde_json::Map<String, Value>> = members.read_as(DETAILS)?;
    let said = details.iter().flat_map(|detail| {
        let named = DETAIL_ENDS.iter().filter_map(|name| detail.get(*name));
        named.filter_map(|value| match value {
            Value::String(text) => moment(text),
            Value::Number(number) => moment(&number.to_string()),
            _ => None,
        })
    });
    said.max()
}

/// Reads a moment: of RFC 3339, in UTC if it has no offset, or a day, which ends with it; or seconds or milliseconds since 1970.
fn moment(text: &str) -> Option<Timestamp> {
    /// The year 5138 in seconds: a number above it is of milliseconds.
    const MOST_SECONDS: u64 = 100_000_000_000;
    let text = text.trim();
    if let Some(number) = text.parse::<i64>().ok().or_else(|| seconds(text)) {
        return match number.unsigned_abs() > MOST_SECONDS {
            true => Timestamp::from_millisecond(number).ok(),
            false => Timestamp::from_second(number).ok(),
        };
    }
    let in_utc = |time: jiff::civil::DateTime| {
        let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(time.timestamp())
    };
    // A day is read as its beginning.
    let without_offset = || match text.contains(':') {
        true => in_utc(text.parse().ok()?),
        false => in_utc(
            text.parse::<jiff::civil::Date>()
                .ok()?
                .tomorrow()
                .ok()?
                .into(),
        ),
    };
    text.parse().ok().or_else(without_offset)
}

/// One or more visible ASCII characters or spaces.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

/// Reads a lifetime: whole seconds, or a number that has some.
fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let whole = text.parse().ok();
    // A cast of a float ends at the limits of the whole numbers.
    whole.or_else(|| {
        text.parse::<f64>()
            .ok()
            .filter(|n| n.is_finite())
            .map(|n| n as i64)
    })
}

#[cfg(test)]
mod tests;
