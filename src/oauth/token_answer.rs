//! The token endpoint's answer (RFC 6749 section 5.1), and the grant it makes.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use oauth2::basic::BasicTokenType;
use oauth2::{AccessToken, RefreshToken, Scope, TokenResponse};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::identify;
use crate::domain::grant::Grant;

/// A successful answer. Of the members that are not named here none is read but the one that an
/// institution's file says names who signed in; an ID token never is.
#[derive(Debug, Deserialize)]
pub struct TokenAnswer {
    access_token: AccessToken,
    #[serde(deserialize_with = "oauth2::helpers::deserialize_untagged_enum_case_insensitive")]
    token_type: BasicTokenType,
    /// In seconds.
    #[serde(default, deserialize_with = "lifetime")]
    expires_in: Option<i64>,
    refresh_token: Option<RefreshToken>,
    scope: Option<String>,
    #[serde(flatten)]
    further: Further,
}

/// The members that the standard does not name. Institutions put anything there, so they are not
/// shown.
#[derive(Deserialize)]
#[serde(transparent)]
struct Further(Map<String, Value>);

impl fmt::Debug for Further {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Further(…)")
    }
}

/// Why a well-formed answer makes no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableAnswer {
    /// Another token type than Bearer, which is the only one this client can use.
    #[error("the token type is {0:?} instead of Bearer")]
    TokenType(String),
    /// A token that is empty or that no header could carry (RFC 6749 appendix A.12).
    #[error("the {0} is empty or has characters that a token cannot have")]
    Characters(&'static str),
}

impl TokenAnswer {
    /// Who signed in, if the member `field` says.
    pub fn subject(&self, field: &str) -> Option<String> {
        identify::subject(&self.further.0, field)
    }

    /// The grant, as of `now`; its scope is `requested` where the answer names none.
    ///
    /// A lifetime of zero or less makes a token that has ended; one beyond the calendar, or one that
    /// is no number, makes a token without a known end.
    pub fn into_grant(
        self,
        requested: Option<String>,
        now: Timestamp,
    ) -> Result<Grant, UnusableAnswer> {
        if self.token_type != BasicTokenType::Bearer {
            let name = self.token_type.as_ref().to_owned();
            return Err(UnusableAnswer::TokenType(name));
        }
        let access_token = self.access_token.into_secret();
        if !is_token(&access_token) {
            return Err(UnusableAnswer::Characters("access token"));
        }
        // An empty member says as little as an absent one.
        let refresh_token = self
            .refresh_token
            .map(RefreshToken::into_secret)
            .filter(|token| !token.is_empty());
        if refresh_token
            .as_deref()
            .is_some_and(|token| !is_token(token))
        {
            return Err(UnusableAnswer::Characters("refresh token"));
        }
        let expires_at = self.expires_in.and_then(|seconds| {
            now.checked_add(SignedDuration::from_secs(seconds.max(0)))
                .ok()
        });
        Ok(Grant {
            access_token: SecretString::from(access_token),
            refresh_token: refresh_token.map(SecretString::from),
            scope: self.scope.or(requested),
            expires_at,
        })
    }
}

/// One or more visible ASCII characters or spaces.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| (b' '..=b'~').contains(&b))
}

/// Reads `expires_in`: a number, or a number in a string, as several institutions write it. Anything
/// else says nothing; it is a hint and no reason to lose a connection.
fn lifetime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number
            .as_i64()
            // A cast of a float ends at the limits of the whole numbers.
            .or_else(|| number.as_f64().map(|seconds| seconds as i64)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

impl TokenResponse for TokenAnswer {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        let seconds = u64::try_from(self.expires_in?).unwrap_or(0);
        Some(Duration::from_secs(seconds))
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    /// None: the institution's separator may not be a space, so the text is kept whole instead.
    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

impl Serialize for TokenAnswer {
    /// [`TokenResponse`] wants this; tokens are written by nobody, so it writes nothing.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn grant(answer: &str) -> Result<Grant, UnusableAnswer> {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let answer: TokenAnswer = serde_json::from_str(answer).unwrap();
        answer.into_grant(Some("accounts".to_owned()), now)
    }

    fn with(member: &str) -> Grant {
        let answer = format!(r#"{{"access_token":"a","token_type":"Bearer"{member}}}"#);
        grant(&answer).ok().unwrap()
    }

    #[test]
    fn t8_the_token_type_is_bearer_in_any_case_and_nothing_else() {
        for name in ["Bearer", "bearer", "bEARER"] {
            let answer = format!(r#"{{"access_token":"a","token_type":"{name}"}}"#);
            assert!(grant(&answer).is_ok(), "{name}");
        }
        for name in ["mac", "DPoP", "N_A", ""] {
            let answer = format!(r#"{{"access_token":"a","token_type":"{name}"}}"#);
            let expected = UnusableAnswer::TokenType(name.to_lowercase());
            assert_eq!(grant(&answer).err(), Some(expected));
        }
    }

    #[test]
    fn t9_any_lifetime_is_survived() {
        for (member, expected) in [
            ("", None),
            (r#","expires_in":3600"#, Some(1_800_003_600)),
            (r#","expires_in":"3600""#, Some(1_800_003_600)),
            (r#","expires_in":3600.9"#, Some(1_800_003_600)),
            (r#","expires_in":0"#, Some(1_800_000_000)),
            (r#","expires_in":-5"#, Some(1_800_000_000)),
            (r#","expires_in":"-5""#, Some(1_800_000_000)),
            (r#","expires_in":9223372036854775807"#, None),
            (r#","expires_in":18446744073709551615"#, None),
            (r#","expires_in":1e300"#, None),
            (r#","expires_in":"99999999999999999999""#, None),
            (r#","expires_in":"an hour""#, None),
            (r#","expires_in":null"#, None),
            (r#","expires_in":[]"#, None),
        ] {
            let expires_at = with(member).expires_at.map(|at| at.as_second());
            assert_eq!(expires_at, expected, "{member}");
        }
    }

    #[test]
    fn t9_an_absent_scope_is_the_requested_one_and_another_is_kept() {
        assert_eq!(with("").scope.as_deref(), Some("accounts"));
        assert_eq!(with(r#","scope":null"#).scope.as_deref(), Some("accounts"));
        assert_eq!(with(r#","scope":"a,b c""#).scope.as_deref(), Some("a,b c"));
        assert_eq!(with(r#","scope":"""#).scope.as_deref(), Some(""));
    }

    #[test]
    fn tokens_are_kept_as_they_came_or_refused() {
        let grant_of_both = with(r#","refresh_token":"r~ !","id_token":"ignored""#);
        assert_eq!(grant_of_both.access_token.expose_secret(), "a");
        let refresh_token = grant_of_both.refresh_token.unwrap();
        assert_eq!(refresh_token.expose_secret(), "r~ !");
        assert!(with(r#","refresh_token":"""#).refresh_token.is_none());
        for token in ["", "a\\nb", "é", "a\\u0000"] {
            let answer = format!(r#"{{"access_token":"{token}","token_type":"Bearer"}}"#);
            assert_eq!(
                grant(&answer).err(),
                Some(UnusableAnswer::Characters("access token")),
                "{token}"
            );
        }
    }

    #[test]
    fn a_further_member_may_say_who_signed_in() {
        let answer: TokenAnswer = serde_json::from_str(
            r#"{"user":"ada","access_token":"a","number":7,"token_type":"Bearer","none":null}"#,
        )
        .unwrap();
        assert_eq!(answer.subject("user").as_deref(), Some("ada"));
        assert_eq!(answer.subject("number").as_deref(), Some("7"));
        for absent in ["none", "other", "access_token"] {
            assert_eq!(answer.subject(absent), None, "{absent}");
        }
    }

    #[test]
    fn nothing_prints_or_writes_a_token() {
        let answer: TokenAnswer = serde_json::from_str(
            r#"{"access_token":"CANARY1","token_type":"Bearer","refresh_token":"CANARY2",
                "id_token":"CANARY3"}"#,
        )
        .unwrap();
        assert!(!format!("{answer:?}").contains("CANARY"));
        assert_eq!(serde_json::to_string(&answer).unwrap(), "null");
    }
}
