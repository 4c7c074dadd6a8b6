//! What an authorization server says of itself (RFC 8414 section 2, OpenID Connect Discovery section 3), as
//! far as it matters here.
//!
//! Nothing of it is adopted: which endpoints are called is what the institution's file says. It is compared
//! with the file, and with what it was before.
//!
//! An endpoint that is not plainly an address is a reason to refuse all of it: such a text may end in a
//! `Location`, in a shell, or on a terminal.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use super::json::{JsonError, Members};
use crate::outgoing;
use crate::printable::printable;

/// The members that are addresses.
const ENDPOINTS: [&str; 7] = [
    "authorization_endpoint",
    "token_endpoint",
    "revocation_endpoint",
    "userinfo_endpoint",
    "pushed_authorization_request_endpoint",
    "introspection_endpoint",
    "jwks_uri",
];

/// The members that are lists of texts.
const LISTS: [&str; 20] = [
    "scopes_supported",
    "response_types_supported",
    "response_modes_supported",
    "grant_types_supported",
    "code_challenge_methods_supported",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "revocation_endpoint_auth_methods_supported",
    "request_object_signing_alg_values_supported",
    "id_token_signing_alg_values_supported",
    "id_token_encryption_alg_values_supported",
    "id_token_encryption_enc_values_supported",
    "userinfo_signing_alg_values_supported",
    "authorization_signing_alg_values_supported",
    "authorization_encryption_alg_values_supported",
    "authorization_encryption_enc_values_supported",
    "authorization_details_types_supported",
    "dpop_signing_alg_values_supported",
    "acr_values_supported",
    "prompt_values_supported",
];

/// The members that are true or false; absent is false.
const FLAGS: [&str; 4] = [
    "authorization_response_iss_parameter_supported",
    "require_pushed_authorization_requests",
    "require_signed_request_object",
    "tls_client_certificate_bound_access_tokens",
];

/// The member with the endpoints for clients with a certificate (RFC 8705 section 5).
const ALIASES: &str = "mtls_endpoint_aliases";

/// How long a text may be, in bytes.
const TEXT: usize = 2_000;

/// How many texts a list may have.
const ITEMS: usize = 500;

/// How much of a text is quoted, in characters.
const QUOTED: usize = 200;

/// Why metadata is not to be relied on. None of these holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// It is no JSON object to be relied on.
    #[error("the metadata cannot be relied on: {0}")]
    Json(#[from] JsonError),
    /// It is of another issuer, or of none (RFC 8414 section 3.3).
    #[error(
        "the metadata names the issuer {found}, and not {expected}; both must be the same, character by character"
    )]
    Issuer {
        /// The issuer that it was asked for.
        expected: String,
        /// The one that it names.
        found: String,
    },
    /// A member that every server has is absent.
    #[error("the metadata has no {0}")]
    Missing(&'static str),
    /// A member has another form than the standards give it.
    #[error("the metadata's {member} is {problem}")]
    Odd {
        /// Its name.
        member: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What an authorization server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerMetadata {
    /// Its name: the one that was asked for.
    pub issuer: String,
    endpoints: BTreeMap<String, Url>,
    lists: BTreeMap<&'static str, BTreeSet<String>>,
    flags: BTreeSet<&'static str>,
}

impl ServerMetadata {
    /// Reads `bytes`, the metadata of `issuer`.
    ///
    /// # Errors
    ///
    /// It is of another issuer, or something in it is not as the standards say. Then none of it counts.
    pub fn parse(bytes: &[u8], issuer: &str) -> Result<Self, MetadataError> {
        let (members, sound) = Members::read(bytes);
        sound?;
        let named = members.text("issuer");
        if named.as_deref().map(String::as_str) != Some(issuer) {
            let found = named.map(|named| format!("{:?}", printable(&named, QUOTED)));
            return Err(MetadataError::Issuer {
                expected: format!("{issuer:?}"),
                found: found.unwrap_or_else(|| "(none)".to_owned()),
            });
        }
        let mut endpoints = BTreeMap::new();
        read_endpoints(&members, "", &mut endpoints)?;
        if !members.lacks(ALIASES) {
            let aliases = members.object(ALIASES);
            let aliases = aliases.ok_or_else(|| odd(ALIASES, "not an object"))?;
            read_endpoints(&aliases, &format!("{ALIASES}."), &mut endpoints)?;
        }
        for needed in ["authorization_endpoint", "token_endpoint"] {
            if !endpoints.contains_key(needed) {
                return Err(MetadataError::Missing(needed));
            }
        }
        let mut lists = BTreeMap::new();
        for name in LISTS.into_iter().filter(|name| !members.lacks(name)) {
            lists.insert(name, list(&members, name)?);
        }
        let mut flags = BTreeSet::new();
        for name in FLAGS.into_iter().filter(|name| !members.lacks(name)) {
            match members.read_as::<bool>(name) {
                Some(true) => drop(flags.insert(name)),
                Some(false) => {}
                None => return Err(odd(name, "neither true nor false")),
            }
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            endpoints,
            lists,
            flags,
        })
    }

    /// The address of that name.
    pub fn endpoint(&self, name: &str) -> Option<&Url> {
        self.endpoints.get(name)
    }

    /// The list of that name; `None`: it does not say.
    pub fn list(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.lists.get(name)
    }

    /// Whether the list of that name has it; `None`: it does not say.
    pub fn supports(&self, list: &str, value: &str) -> Option<bool> {
        self.list(list).map(|values| values.contains(value))
    }

    /// Whether it says so.
    pub fn says(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }

    /// All that it says, member by member, as texts that are the same whenever it says the same.
    pub fn texts(&self) -> BTreeMap<String, String> {
        let endpoints = self.endpoints.iter();
        let endpoints = endpoints.map(|(name, url)| (name.clone(), url.as_str().to_owned()));
        let lists = self.lists.iter().map(|(name, values)| {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            ((*name).to_owned(), values.join(" "))
        });
        let flags = self.flags.iter();
        let flags = flags.map(|name| ((*name).to_owned(), "true".to_owned()));
        endpoints.chain(lists).chain(flags).collect()
    }
}

fn odd(member: &str, problem: &str) -> MetadataError {
    MetadataError::Odd {
        member: member.to_owned(),
        problem: problem.to_owned(),
    }
}

fn read_endpoints(
    members: &Members,
    prefix: &str,
    endpoints: &mut BTreeMap<String, Url>,
) -> Result<(), MetadataError> {
    for name in ENDPOINTS.into_iter().filter(|name| !members.lacks(name)) {
        let member = format!("{prefix}{name}");
        let text = members.text(name);
        let text = text.ok_or_else(|| odd(&member, "not a text"))?;
        let url = address(&text).map_err(|problem| {
            let quoted = printable(&text, QUOTED);
            odd(&member, &format!("{quoted:?}: {problem}"))
        })?;
        endpoints.insert(member, url);
    }
    Ok(())
}

/// An address that may be called, and that a browser may be sent to.
fn address(text: &str) -> Result<Url, &'static str> {
    // Fewer than RFC 3986 allows: no endpoint needs those that mean something to a shell or in HTML.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@+,=%&".contains(&byte);
    if text.len() > TEXT {
        return Err("it is too long");
    }
    if !text.bytes().all(is_plain) {
        return Err("it has characters that no endpoint needs");
    }
    let url = Url::parse(text).map_err(|_| "it is not an address")?;
    if !outgoing::is_confidential(&url) {
        return Err("it is neither https, nor http on this machine");
    }
    if url.fragment().is_some() {
        return Err("it has a fragment (#…)");
    }
    if !url.username().is_empty() || url.password().is_some() || text.contains('@') {
        return Err("it has a user name or an @");
    }
    Ok(url)
}

fn list(members: &Members, name: &str) -> Result<BTreeSet<String>, MetadataError> {
    let values = members.list(name);
    let values = values.ok_or_else(|| odd(name, "not a list of texts"))?;
    if values.len() > ITEMS {
        return Err(odd(name, "too long a list"));
    }
    let is_sound = |value: &String| {
        value.len() <= TEXT
            && !value.is_empty()
            && value.bytes().all(|byte| byte.is_ascii_graphic())
    };
    // A value that no standard could have is passed over: it is of no use, and does no harm.
    Ok(values.into_iter().filter(is_sound).collect())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const ISSUER: &str = "https://bank.example/a";

    /// The metadata of an honest server, with that in addition.
    pub fn metadata(issuer: &str, more: &str) -> String {
        format!(
            r#"{{"issuer":"{issuer}","authorization_endpoint":"{issuer}/authorize",
            "token_endpoint":"{issuer}/token","response_types_supported":["code"]{more}}}"#
        )
    }

    fn parse(more: &str) -> Result<ServerMetadata, MetadataError> {
        ServerMetadata::parse(metadata(ISSUER, more).as_bytes(), ISSUER)
    }

    #[test]
    fn s1_the_issuer_is_the_same_byte_for_byte() {
        let text = metadata(ISSUER, "");
        assert!(ServerMetadata::parse(text.as_bytes(), ISSUER).is_ok());
        for other in [
            "https://bank.example/a/",
            "https://bank.example/A",
            "https://Bank.example/a",
            "https://bank.example:443/a",
            "https://bank.example/%61",
            "http://bank.example/a",
            "https://bank.example",
        ] {
            let error = ServerMetadata::parse(text.as_bytes(), other).unwrap_err();
            assert!(matches!(error, MetadataError::Issuer { .. }), "{error}");
        }
        for none in [r#"{"issuer":null}"#, r#"{"issuer":[1]}"#, "{}"] {
            let error = ServerMetadata::parse(none.as_bytes(), ISSUER).unwrap_err();
            assert!(error.to_string().contains("(none)"), "{error}");
        }
    }

    #[test]
    fn a10_an_endpoint_that_is_not_plainly_one_is_refused() {
        for odd in [
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "http://bank.example/x",
            "https://bank.example/x#y",
            "https://bank.example/x#",
            "https://user@bank.example/x",
            "https://user:secret@bank.example/x",
            "https://@bank.example/x",
            r"https://bank.example/x\r\nLocation: https://evil.example",
            r"https://bank.example/x\n",
            r"https://bank.example/\u0000",
            r"https://bank.example/\u202e",
            "https://bank.example/$(calc)",
            "https://bank.example/`id`",
            "https://bank.example/;id",
            "https://bank.example/|id",
            "https://bank.example/x'",
            "https://bank.example/<b>",
            r"https://bank.example\\\\@evil.example/",
            "https://bank.example/ x",
            "//bank.example/x",
            "/x",
            "",
            "https://",
        ] {
            for member in ENDPOINTS {
                let more = format!(r#","{ALIASES}":{{"{member}":"{odd}"}}"#);
                let error = parse(&more).expect_err(odd);
                assert!(matches!(error, MetadataError::Odd { .. }), "{odd}: {error}");
                let shown = error.to_string();
                assert!(shown.contains(member), "{shown}");
                assert!(!shown.contains(['\r', '\n', '\0', '\u{202e}']), "{shown}");
            }
        }
        let long = format!(r#","jwks_uri":"https://bank.example/{}""#, "a".repeat(TEXT));
        assert!(parse(&long).is_err());
        for other in ["1", "true", "[]", "{}"] {
            assert!(
                parse(&format!(r#","jwks_uri":{other}"#)).is_err(),
                "{other}"
            );
        }
    }

    #[test]
    fn a10_a_query_and_a_port_are_kept() {
        let more = r#","jwks_uri":"https://bank.example:8443/keys?a=b&c=%20d""#;
        let metadata = parse(more).expect("sound");
        let expected = "https://bank.example:8443/keys?a=b&c=%20d";
        let found = metadata.endpoint("jwks_uri").map(Url::as_str);
        assert_eq!(found, Some(expected));
        assert_eq!(metadata.endpoint("revocation_endpoint"), None);
        let here = r#","jwks_uri":"http://127.0.0.1:1/keys""#;
        assert!(parse(here).is_ok());
    }

    #[test]
    fn s1_what_every_server_has_is_missed() {
        for (text, expected) in [
            (r#"{"issuer":"i"}"#, "authorization_endpoint"),
            (
                r#"{"issuer":"i","authorization_endpoint":"https://bank.example/a"}"#,
                "token_endpoint",
            ),
        ] {
            let error = ServerMetadata::parse(text.as_bytes(), "i").unwrap_err();
            assert_eq!(error, MetadataError::Missing(expected));
        }
    }

    #[test]
    fn lists_and_flags_are_read_and_other_forms_refused() {
        let metadata = parse(
            r#","code_challenge_methods_supported":["plain","S256"],"scopes_supported":["a","b c",""],
            "require_pushed_authorization_requests":true,"unknown":{"x":[1]}"#,
        )
        .expect("sound");
        let supports = |list, value| metadata.supports(list, value);
        let methods = "code_challenge_methods_supported";
        assert_eq!(supports(methods, "S256"), Some(true));
        assert_eq!(supports(methods, "s256"), Some(false));
        assert_eq!(supports("response_modes_supported", "query"), None);
        assert_eq!(supports("scopes_supported", "a"), Some(true));
        assert_eq!(supports("scopes_supported", "b c"), Some(false));
        assert!(metadata.says("require_pushed_authorization_requests"));
        assert!(!metadata.says("require_signed_request_object"));
        for odd in [
            r#","scopes_supported":"a""#,
            r#","scopes_supported":[1]"#,
            r#","require_signed_request_object":"yes""#,
            r#","mtls_endpoint_aliases":[]"#,
        ] {
            let error = parse(odd).unwrap_err();
            assert!(matches!(error, MetadataError::Odd { .. }), "{error}");
        }
        let many = (0..=ITEMS).map(|n| format!("\"{n}\"")).collect::<Vec<_>>();
        assert!(parse(&format!(r#","scopes_supported":[{}]"#, many.join(","))).is_err());
    }

    #[test]
    fn t11_metadata_that_two_readers_could_read_differently_is_refused() {
        for (text, expected) in [
            (
                metadata(ISSUER, r#","issuer":"https://evil.example""#),
                JsonError::Duplicate,
            ),
            ("[]".to_owned(), JsonError::NotAnObject),
            ("<html>".to_owned(), JsonError::Syntax),
            (
                metadata(
                    ISSUER,
                    &format!(",\"x\":{}{}", "[".repeat(300), "]".repeat(300)),
                ),
                JsonError::Depth,
            ),
        ] {
            let error = ServerMetadata::parse(text.as_bytes(), ISSUER).unwrap_err();
            assert_eq!(error, MetadataError::Json(expected));
        }
    }

    #[test]
    fn the_same_said_in_another_order_is_the_same_text() {
        let one = parse(r#","scopes_supported":["a","b"],"acr_values_supported":["x"]"#);
        let other = parse(r#","acr_values_supported":["x"],"scopes_supported":["b","a"]"#);
        assert_eq!(one.unwrap().texts(), other.unwrap().texts());
    }
}
