//! A grant as a line of a file: one JSON object, read strictly. What is wrong is said with its field and the remedy, and
//! without a value: every value may be a secret.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::domain::connection_values::ConnectionValues;
use crate::domain::grant::Grant;
use crate::domain::token_set::TokenSet;
use crate::domain::user;
use crate::oauth::json::Members;
use crate::printable::printable;

/// The longest line, in bytes.
pub(super) const LINE_LIMIT: usize = 256 * 1024;

const FIELDS: &[&str] = &[
    "client",
    "user",
    "institution",
    "token_set",
    "subject",
    "consent_expires_at",
];

const TOKEN_SET: &[&str] = &[
    "access_token",
    "refresh_token",
    "token_type",
    "scope",
    "expires_at",
];

/// The longest `scope` or `subject`, in bytes.
const TEXT_LIMIT: usize = 4096;

const TOKEN: &str = "a token: a string of printable ASCII characters (RFC 6749 appendix A)";
const TEXT: &str = "a string of 1 to 4096 bytes without control characters";
const TIME: &str = "a time with an offset (RFC 3339), such as 2026-03-01T09:30:00Z";

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The field; empty: the line as a whole.
    pub(super) field: String,
    /// Why, with the remedy.
    pub(super) why: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "{}", self.why),
            field => write!(f, "{field}: {}", self.why),
        }
    }
}

impl Fault {
    pub(super) fn of_line(why: impl Into<String>) -> Self {
        Self {
            field: String::new(),
            why: why.into(),
        }
    }
}

/// Reads a line.
///
/// # Errors
///
/// Everything that is wrong with it.
pub(super) fn read(line: &[u8]) -> Result<Grant, Vec<Fault>> {
    let (members, sound) = Members::read(line);
    if let Err(error) = sound {
        let why = format!("{error}: write one JSON object a line");
        return Err(vec![Fault::of_line(why)]);
    }
    let mut faults = Vec::new();
    let grant = grant(&mut Object::new(&members, "", FIELDS, &mut faults));
    match grant {
        Some(grant) if faults.is_empty() => Ok(grant),
        _ => Err(faults),
    }
}

/// `None` only where there are faults.
fn grant(object: &mut Object<'_>) -> Option<Grant> {
    let client = object.required("client", "the id of a client", |text| text.parse().ok());
    let own = "your own id of the user, 1 to 255 bytes, not one like our guids";
    let user = object.required("user", own, |text| {
        user::is_id(text).then(|| text.to_owned())
    });
    let code = "the code of an institution";
    let institution = object.required("institution", code, |text| text.parse().ok());
    let subject = object.optional("subject", TEXT, text);
    let consent_expires_at = object.optional("consent_expires_at", TIME, time);
    let members = object.members.object("token_set");
    if members.is_none() {
        let why = match object.members.lacks("token_set") {
            true => "is missing: write {\"access_token\": …, \"refresh_token\": …}",
            false => "must be an object in which nothing is there twice",
        };
        object.complain("token_set", why);
    }
    let members = members?;
    let token_set = Object::new(&members, "token_set.", TOKEN_SET, object.faults).token_set();
    let mut token_set = token_set?;
    token_set.consent_expires_at = consent_expires_at;
    Some(Grant {
        client: client?,
        user: user?,
        institution: institution?,
        token_set,
        subject,
    })
}

/// An object that is read field by field.
struct Object<'a> {
    members: &'a Members,
    /// What stands before the names of its fields.
    path: &'static str,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Object<'a> {
    fn new(
        members: &'a Members,
        path: &'static str,
        known: &[&str],
        faults: &'a mut Vec<Fault>,
    ) -> Self {
        let mut object = Self {
            members,
            path,
            faults,
        };
        for name in members.names().filter(|name| !known.contains(name)) {
            let why = format!("is not known: remove it; known are {}", known.join(", "));
            object.complain(&printable(name, 60), why);
        }
        object
    }

    fn complain(&mut self, name: &str, why: impl Into<String>) {
        self.faults.push(Fault {
            field: format!("{}{name}", self.path),
            why: why.into(),
        });
    }

    fn required<T>(
        &mut self,
        name: &str,
        what: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        if self.members.lacks(name) {
            self.complain(name, format!("is missing: it must be {what}"));
            return None;
        }
        self.optional(name, what, parse)
    }

    fn optional<T>(
        &mut self,
        name: &str,
        what: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        if self.members.lacks(name) {
            return None;
        }
        let text = self.members.text(name);
        let parsed = text.and_then(|text| parse(&text));
        if parsed.is_none() {
            self.complain(name, format!("must be {what}"));
        }
        parsed
    }

    fn token_set(&mut self) -> Option<TokenSet> {
        let bearer = "Bearer: tokens that are bound to a key of another gateway cannot be moved";
        let access_token = self.required("access_token", TOKEN, token);
        let refresh_token = self.optional("refresh_token", TOKEN, token);
        self.optional("token_type", bearer, |text| {
            text.eq_ignore_ascii_case("bearer").then_some(())
        });
        let scope = self.optional("scope", TEXT, text);
        let expires_at = self.optional("expires_at", TIME, time);
        Some(TokenSet {
            access_token: access_token?,
            refresh_token,
            scope,
            expires_at,
            consent_expires_at: None,
            values: ConnectionValues::default(),
            authorization_details: None,
            person: None,
            bound_to: None,
        })
    }
}

fn token(text: &str) -> Option<SecretString> {
    let is_token = !text.is_empty() && text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    is_token.then(|| SecretString::from(text))
}

fn text(text: &str) -> Option<String> {
    let fits = (1..=TEXT_LIMIT).contains(&text.len()) && !text.chars().any(char::is_control);
    (fits && !text.trim().is_empty()).then(|| text.to_owned())
}

/// In whole milliseconds, as all times that are kept.
fn time(text: &str) -> Option<Timestamp> {
    let at: Timestamp = text.parse().ok()?;
    Timestamp::from_millisecond(at.as_millisecond()).ok()
}

/// Writes what [`read`] reads, with the end of the line.
pub(super) fn write(grant: &Grant) -> Zeroizing<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        client: &'a str,
        user: &'a str,
        institution: &'a str,
        token_set: Tokens<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        consent_expires_at: Option<Timestamp>,
    }
    #[derive(Serialize)]
    struct Tokens<'a> {
        access_token: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        refresh_token: Option<&'a str>,
        token_type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
    }
    let set = &grant.token_set;
    let line = Line {
        client: grant.client.as_str(),
        user: &grant.user,
        institution: grant.institution.as_str(),
        token_set: Tokens {
            access_token: set.access_token.expose_secret(),
            refresh_token: set.refresh_token.as_ref().map(ExposeSecret::expose_secret),
            token_type: "Bearer",
            scope: set.scope.as_deref(),
            expires_at: set.expires_at,
        },
        subject: grant.subject.as_deref(),
        consent_expires_at: set.consent_expires_at,
    };
    let mut text = serde_json::to_string(&line).expect("strings and times are JSON");
    text.push('\n');
    Zeroizing::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{"client":"acme","user":"ada","institution":"bank","token_set":{"access_token":"a","refresh_token":"r","token_type":"Bearer","scope":"accounts","expires_at":"2026-03-01T09:30:00.5Z"},"subject":"4711","consent_expires_at":"2026-09-01T00:00:00Z"}"#;

    fn faults(line: &str) -> Vec<String> {
        let faults = read(line.as_bytes()).err().unwrap_or_default();
        faults.iter().map(Fault::to_string).collect()
    }

    #[test]
    fn what_is_written_is_read_and_the_other_way_round() {
        let grant = read(WHOLE.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(*write(&grant), format!("{WHOLE}\n"));
        let least = r#"{"client":"acme","user":"ada","institution":"bank","token_set":{"access_token":"a"}}"#;
        let grant = read(least.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert!(grant.token_set.refresh_token.is_none() && grant.subject.is_none());
        let written = write(&grant);
        assert!(
            written.contains(r#""token_type":"Bearer"}}"#),
            "{}",
            *written
        );
    }

    #[test]
    fn the_documented_row_is_one_and_every_field_is_documented() {
        let page = include_str!("../../../docs/MOVING.md");
        let row = page.split("```json\n").nth(1).expect("an example");
        let row = row.lines().next().expect("a line").replace('…', "x");
        let grant = read(row.as_bytes()).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(*write(&grant), format!("{row}\n"));
        let within = TOKEN_SET.iter().map(|field| format!("| `.{field}` |"));
        for field in FIELDS
            .iter()
            .map(|field| format!("| `{field}` |"))
            .chain(within)
        {
            assert!(page.contains(&field), "{field}");
        }
    }

    #[test]
    fn every_fault_names_its_field_and_the_remedy_and_no_value() {
        for (right, wrong, expected) in [
            (r#""acme""#, "7", "client: must be the id of a client"),
            (
                r#""client":"acme","#,
                "",
                "client: is missing: it must be the id",
            ),
            (r#""ada""#, r#""""#, "user: must be your own id"),
            (
                r#""ada""#,
                r#""USR-68e96dd6-eabd-42d3-9f05-416897f0746c""#,
                "not one like our guids",
            ),
            (r#""bank""#, r#""a bank""#, "institution: must be the code"),
            (
                r#""a","#,
                r#""","#,
                "token_set.access_token: must be a token",
            ),
            (
                r#""r","#,
                r#""r\u0000secret","#,
                "token_set.refresh_token: must be",
            ),
            (
                r#""r","#,
                r#"["secret"],"#,
                "token_set.refresh_token: must be",
            ),
            ("Bearer", "DPoP", "token_set.token_type: must be Bearer"),
            (
                "2026-03-01T09:30:00.5Z",
                "secret",
                "token_set.expires_at: must be a time",
            ),
            (
                "2026-03-01T09:30:00.5Z",
                "2026-03-01",
                "token_set.expires_at: must be",
            ),
            (
                "2026-09-01T00:00:00Z",
                "1799999999",
                "consent_expires_at: must be",
            ),
            ("4711", " ", "subject: must be a string"),
            (
                r#""scope""#,
                r#""scopes""#,
                "token_set.scopes: is not known: remove it",
            ),
            (r#""subject""#, r#""sub""#, "sub: is not known: remove it"),
            (
                r#""subject""#,
                r#""user""#,
                "it has a member twice: write one",
            ),
            (
                r#""scope""#,
                r#""access_token""#,
                "token_set: must be an object",
            ),
            (r#"{"client""#, r#"{client"#, "it is not JSON"),
        ] {
            let line = WHOLE.replacen(right, wrong, 1);
            assert_ne!(line, WHOLE, "{right}");
            let faults = faults(&line);
            assert_eq!(faults.len(), 1, "{wrong}: {faults:?}");
            assert!(faults[0].contains(expected), "{wrong}: {faults:?}");
            assert!(!faults[0].contains("secret"), "{faults:?}");
        }
        assert_eq!(
            faults("[]"),
            ["it is not a JSON object: write one JSON object a line"]
        );
        assert_eq!(faults("{}").len(), 4, "{:?}", faults("{}"));
    }
}
