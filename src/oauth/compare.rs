//! An institution's metadata against its file: what is wrong, and what to write instead.
//!
//! Nothing is adopted. The file is what an operator has agreed with the institution, and metadata is what
//! anybody may have put there (RFC 9700 section 4.4): so each difference is told, and somebody decides.

use url::Url;

use super::metadata::ServerMetadata;
use crate::domain::authorization::ResponseMode;
use crate::domain::institution::{IssuerRule, OAuth, Pkce, SubjectSource};

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It does not work so, or is not safe.
    Error,
    /// It works, and could be safer, or may stop to work.
    Warning,
    /// It was checked, and is in order.
    Good,
    /// It was not checked.
    NotChecked,
}

impl Level {
    /// Its name in the output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Good => "ok",
            Self::NotChecked => "not checked",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave it is.
    pub level: Level,
    /// The key of the file, or the part of the check.
    pub about: String,
    /// What is so, and what to write instead, on one line.
    pub text: String,
}

impl Finding {
    /// One of that level.
    pub fn new(level: Level, about: impl Into<String>, text: impl Into<String>) -> Self {
        let (about, text) = (about.into(), text.into());
        Self { level, about, text }
    }

    fn error(key: &str, text: impl Into<String>) -> Option<Self> {
        Some(Self::new(Level::Error, format!("oauth.{key}"), text))
    }

    fn warning(key: &str, text: impl Into<String>) -> Option<Self> {
        Some(Self::new(Level::Warning, format!("oauth.{key}"), text))
    }
}

/// Each looks at one thing.
const CHECKS: [fn(&OAuth, &ServerMetadata) -> Option<Finding>; 19] = [
    |oauth, it| required(it, "authorization_endpoint", &oauth.authorization_endpoint),
    |oauth, it| required(it, "token_endpoint", &oauth.token_endpoint),
    |oauth, it| {
        optional(
            it,
            "revocation_endpoint",
            oauth.revocation_endpoint.as_ref(),
        )
    },
    |oauth, it| optional(it, "jwks_uri", oauth.discovery.jwks_uri.as_ref()),
    userinfo,
    id_token,
    issuer_rule,
    client_authentication,
    pkce,
    response_type,
    response_mode,
    grant_type,
    scopes,
    pushed_requests,
    signed_requests,
    details,
    signed_responses,
    revocation_authentication,
    bound_tokens,
];

/// What of the institution's file does not agree with its metadata; empty if all does.
pub fn compare(oauth: &OAuth, metadata: &ServerMetadata) -> Vec<Finding> {
    let findings = CHECKS
        .into_iter()
        .filter_map(|check| check(oauth, metadata));
    findings.collect()
}

/// An endpoint that people or secrets are sent to.
fn required(metadata: &ServerMetadata, key: &str, ours: &Url) -> Option<Finding> {
    let theirs = metadata.endpoint(key)?;
    if theirs == ours {
        return None;
    }
    let text = format!(
        "is {ours}, and the metadata has {theirs}; nothing is sent there: ask the institution, and write {key} = \
         \"{theirs}\" once it says so"
    );
    Finding::error(key, text)
}

/// An endpoint that may be left out.
fn optional(metadata: &ServerMetadata, key: &str, ours: Option<&Url>) -> Option<Finding> {
    match (ours, metadata.endpoint(key)) {
        (Some(ours), Some(_)) => required(metadata, key, ours),
        (None, Some(theirs)) => Finding::warning(
            key,
            format!("is not there, and the metadata has one; write {key} = \"{theirs}\""),
        ),
        (Some(ours), None) => Finding::warning(
            key,
            format!(
                "is {ours}, and the metadata has none; ask the institution whether it is right"
            ),
        ),
        (None, None) => None,
    }
}

fn userinfo(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    const KEY: &str = "subject.endpoint";
    let theirs = metadata.endpoint("userinfo_endpoint")?;
    match &oauth.subject {
        Some(SubjectSource::Identify { endpoint, .. }) if endpoint != theirs => Finding::warning(
            KEY,
            format!(
                "is {endpoint}, and the metadata's userinfo_endpoint is {theirs}; ask the institution which is right"
            ),
        ),
        None => Finding::warning(
            KEY,
            format!(
                "there is no [oauth.subject], so the same login can be connected twice; write from = \"identify\" and \
                 endpoint = \"{theirs}\""
            ),
        ),
        _ => None,
    }
}

fn id_token(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    const LIST: &str = "id_token_signing_alg_values_supported";
    let ours = oauth.openid.id_token_signed_response_alg.name();
    let is_asked = oauth.uses_openid(&oauth.scopes);
    if !is_asked || metadata.supports(LIST, ours) != Some(false) {
        return None;
    }
    let theirs: Vec<&str> = metadata.list(LIST)?.iter().map(String::as_str).collect();
    let text = format!(
        "is {ours}, which the metadata does not have, so nobody would connect; write the one that is registered, of {}",
        theirs.join(", ")
    );
    Finding::error("id_token_signed_response_alg", text)
}

fn issuer_rule(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    const KEY: &str = "iss";
    let is_sent = metadata.says("authorization_response_iss_parameter_supported");
    match (is_sent, oauth.iss) {
        (true, IssuerRule::IfPresent) => Finding::warning(
            KEY,
            "is \"if_present\", and the metadata says that `iss` is always sent; write iss = \"required\"",
        ),
        (false, IssuerRule::Required | IssuerRule::RequiredWithCode) => Finding::warning(
            KEY,
            "is required, and the metadata does not say that it is sent; if responses are refused for want of it, \
             write iss = \"if_present\"",
        ),
        _ => None,
    }
}

/// The client authentication that counts where the metadata does not say (RFC 8414 section 2).
const USUAL_AUTHENTICATION: &str = "client_secret_basic";

fn client_authentication(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    const LIST: &str = "token_endpoint_auth_methods_supported";
    let ours = oauth.client_authentication.name();
    match metadata.list(LIST) {
        Some(theirs) if !theirs.contains(ours) => Finding::error(
            "client_authentication",
            format!(
                "is \"{ours}\", and the metadata has {}; write one of them",
                quoted(theirs)
            ),
        ),
        None if ours != USUAL_AUTHENTICATION => Finding::warning(
            "client_authentication",
            format!(
                "is \"{ours}\", and the metadata has no {LIST}, which means \"{USUAL_AUTHENTICATION}\"; ask the \
                 institution"
            ),
        ),
        _ => None,
    }
}

fn revocation_authentication(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    let ours = oauth.client_authentication.name();
    let theirs = metadata.list("revocation_endpoint_auth_methods_supported")?;
    oauth.revocation_endpoint.as_ref()?;
    if theirs.contains(ours) {
        return None;
    }
    let text = format!(
        "is authenticated to as the token endpoint is, by \"{ours}\", and the metadata has {} for it; ask the \
         institution",
        quoted(theirs)
    );
    Finding::warning("revocation_endpoint", text)
}

fn pkce(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    const KEY: &str = "pkce";
    let is_supported = metadata.supports("code_challenge_methods_supported", "S256");
    match (is_supported, &oauth.pkce) {
        (Some(true), Pkce::Auto) => Finding::warning(
            KEY,
            "is \"auto\", and the metadata says that S256 is checked; write pkce = \"required\"",
        ),
        (Some(true), Pkce::Off { .. }) => Finding::error(
            KEY,
            "is \"off\", and the metadata says that S256 is checked; write pkce = \"required\", and remove pkce_reason",
        ),
        (Some(false), Pkce::Required | Pkce::Auto) => Finding::error(
            KEY,
            "is sent with S256 only, and the metadata does not have that; `plain` protects nobody: ask the institution \
             for S256",
        ),
        (None, Pkce::Required) => Finding::warning(
            KEY,
            "is \"required\", and the metadata does not say that it is checked; ask the institution, and write pkce = \
             \"auto\" until it says so",
        ),
        _ => None,
    }
}

fn response_type(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    let ours = oauth.authorization.response_type.name();
    if metadata.supports("response_types_supported", ours) != Some(false) {
        return None;
    }
    Finding::error(
        "response_type",
        format!(
            "is \"{ours}\", and the metadata's response_types_supported does not have it; ask the institution"
        ),
    )
}

fn response_mode(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    let ours = oauth.response_mode.name();
    match metadata.list("response_modes_supported") {
        Some(theirs) if theirs.contains(ours) => None,
        Some(theirs) => Finding::error(
            "response_mode",
            format!(
                "is \"{ours}\", and the metadata has {}; write one of them",
                quoted(theirs)
            ),
        ),
        None if oauth.response_mode != ResponseMode::Query => Finding::warning(
            "response_mode",
            format!(
                "is \"{ours}\", and the metadata has no response_modes_supported, which means \"query\"; ask the \
                 institution"
            ),
        ),
        None => None,
    }
}

fn grant_type(_: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    const LIST: &str = "grant_types_supported";
    if metadata.supports(LIST, "authorization_code") == Some(false) {
        return Finding::error(
            "token_endpoint",
            "is asked to exchange codes, and the metadata's grant_types_supported does not have \"authorization_code\"; \
             ask the institution",
        );
    }
    if metadata.supports(LIST, "refresh_token") == Some(false) {
        return Finding::warning(
            "token_endpoint",
            "the metadata's grant_types_supported does not have \"refresh_token\": people have to connect again \
             whenever their access token ends; ask the institution",
        );
    }
    None
}

fn scopes(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    let theirs = metadata.list("scopes_supported")?;
    let unknown: Vec<&String> = oauth
        .scopes
        .iter()
        .filter(|scope| !theirs.contains(*scope))
        .collect();
    if unknown.is_empty() {
        return None;
    }
    let text = format!(
        "has {}, which the metadata's scopes_supported does not have; ask the institution",
        quoted(unknown)
    );
    Finding::warning("scopes", text)
}

fn pushed_requests(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    const KEY: &str = "pushed_authorization_request_endpoint";
    let ours = oauth.authorization.pushed_to.as_ref();
    let is_demanded = metadata.says("require_pushed_authorization_requests");
    if ours.is_none() && is_demanded {
        return Finding::error(
            KEY,
            "is not there, and the metadata demands pushed authorization requests (RFC 9126)",
        );
    }
    optional(metadata, KEY, ours)
}

fn signed_requests(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    const KEY: &str = "request_object_signing_alg";
    let Some(ours) = oauth.request_object_signing_alg else {
        metadata
            .says("require_signed_request_object")
            .then_some(())?;
        return Finding::error(
            KEY,
            "is not there, and the metadata demands signed request objects (RFC 9101)",
        );
    };
    let list = "request_object_signing_alg_values_supported";
    let is_refused = metadata.supports(list, ours.name()) == Some(false);
    is_refused.then_some(())?;
    let text = format!(
        "is \"{}\", which the metadata's {list} does not have",
        ours.name()
    );
    Finding::error(KEY, text)
}

/// Whether the types of access that are asked for are among those that the metadata names (RFC 9396 section 10).
fn details(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    let asked = oauth.authorization.details.iter();
    let types = asked.filter_map(|detail| Some(detail.get("type")?.as_str()?.to_owned()));
    let list = "authorization_details_types_supported";
    let theirs = metadata.list(list)?;
    let unknown: Vec<String> = types.filter(|name| !theirs.contains(name)).collect();
    if unknown.is_empty() {
        return None;
    }
    let text = format!(
        "has {}, which the metadata's {list} does not have",
        quoted(&unknown)
    );
    Finding::error("authorization_details", text)
}

/// Whether responses that are JWTs are signed as the metadata says.
fn signed_responses(oauth: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    oauth.response_mode.is_jwt().then_some(())?;
    let ours = oauth.authorization.signed_response.name();
    let list = "authorization_signing_alg_values_supported";
    (metadata.supports(list, ours) == Some(false)).then_some(())?;
    let text = format!("is \"{ours}\", which the metadata's {list} does not have");
    Finding::error("authorization_signed_response_alg", text)
}

fn bound_tokens(_: &OAuth, metadata: &ServerMetadata) -> Option<Finding> {
    let text = match (
        metadata.list("dpop_signing_alg_values_supported"),
        metadata.says("tls_client_certificate_bound_access_tokens"),
    ) {
        (None, false) => return None,
        (Some(_), false) => "by DPoP (RFC 9449)",
        (None, true) => "to a certificate (RFC 8705)",
        (Some(_), true) => "by DPoP (RFC 9449) or to a certificate (RFC 8705)",
    };
    let text = format!(
        "the metadata offers access tokens that are bound {text}; a token that is not can be used by whoever has it"
    );
    Finding::warning("token_endpoint", text)
}

/// Texts in quotes, with commas between them.
fn quoted<'a>(texts: impl IntoIterator<Item = &'a String>) -> String {
    let quoted: Vec<String> = texts.into_iter().map(|text| format!("{text:?}")).collect();
    match quoted.is_empty() {
        true => "none".to_owned(),
        false => quoted.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::super::metadata::tests::metadata;
    use super::super::test_support::oauth;
    use super::*;
    use crate::domain::algorithm::SigningAlgorithm;

    const ISSUER: &str = "https://bank.example";

    /// A file that agrees with metadata that says this in addition.
    fn agreed(more: &str) -> (OAuth, ServerMetadata) {
        let mut oauth = oauth(&ISSUER.parse().unwrap());
        oauth.revocation_endpoint = None;
        let text = metadata(
            ISSUER,
            &format!(r#","code_challenge_methods_supported":["S256"]{more}"#),
        );
        let metadata = ServerMetadata::parse(text.as_bytes(), ISSUER).expect("sound");
        (oauth, metadata)
    }

    /// The only finding: its level and key.
    fn only(oauth: &OAuth, metadata: &ServerMetadata) -> (Level, String) {
        let findings = compare(oauth, metadata);
        let [finding] = &findings[..] else {
            panic!("one finding: {findings:?}");
        };
        assert!(!finding.text.contains('\n'));
        (finding.level, finding.about.clone())
    }

    #[test]
    fn nothing_is_found_where_both_agree() {
        let (oauth, metadata) = agreed("");
        assert_eq!(compare(&oauth, &metadata), []);
    }

    #[test]
    fn s1_an_endpoint_that_moved_is_an_error_that_names_both() {
        let (mut oauth, metadata) = agreed("");
        oauth.token_endpoint = "https://elsewhere.example/token".parse().unwrap();
        assert_eq!(
            only(&oauth, &metadata),
            (Level::Error, "oauth.token_endpoint".to_owned())
        );
        let text = &compare(&oauth, &metadata)[0].text;
        assert!(text.contains("https://elsewhere.example/token"), "{text}");
        assert!(
            text.contains("write token_endpoint = \"https://bank.example/token\""),
            "{text}"
        );
    }

    #[test]
    fn a2_metadata_with_plain_only_is_an_error_and_none_a_doubt() {
        let pkce = |methods: &str, pkce: Pkce| {
            let text = metadata(ISSUER, methods);
            let metadata = ServerMetadata::parse(text.as_bytes(), ISSUER).unwrap();
            let (mut oauth, _) = agreed("");
            oauth.pkce = pkce;
            only(&oauth, &metadata)
        };
        let of = |level| (level, "oauth.pkce".to_owned());
        let plain = r#","code_challenge_methods_supported":["plain"]"#;
        let s256 = r#","code_challenge_methods_supported":["plain","S256"]"#;
        assert_eq!(pkce(plain, Pkce::Required), of(Level::Error));
        assert_eq!(pkce(plain, Pkce::Auto), of(Level::Error));
        assert_eq!(pkce("", Pkce::Required), of(Level::Warning));
        assert_eq!(pkce(s256, Pkce::Auto), of(Level::Warning));
        let reason = "x".to_owned();
        assert_eq!(pkce(s256, Pkce::Off { reason }), of(Level::Error));
    }

    #[test]
    fn i3_an_algorithm_that_the_metadata_does_not_have_is_an_error_where_id_tokens_are_asked_for() {
        let algorithms = r#","id_token_signing_alg_values_supported":["ES256","PS256"]"#;
        let text = metadata(ISSUER, algorithms);
        let metadata = ServerMetadata::parse(text.as_bytes(), ISSUER).unwrap();
        let (mut oauth, _) = agreed("");
        let about = "oauth.id_token_signed_response_alg";
        let is_told = |oauth: &OAuth| {
            let found = compare(oauth, &metadata);
            found
                .iter()
                .any(|it| it.about == about && it.level == Level::Error)
        };
        assert!(!is_told(&oauth), "nobody asks");
        oauth.scopes.push("openid".to_owned());
        assert!(is_told(&oauth));
        oauth.openid.id_token_signed_response_alg = SigningAlgorithm::PS256;
        assert!(!is_told(&oauth));
    }

    #[test]
    fn each_difference_is_told_once_with_its_key() {
        for (more, level, key) in [
            (
                r#","revocation_endpoint":"https://bank.example/revoke""#,
                Level::Warning,
                "revocation_endpoint",
            ),
            (
                r#","jwks_uri":"https://bank.example/keys""#,
                Level::Warning,
                "jwks_uri",
            ),
            (
                r#","userinfo_endpoint":"https://bank.example/me""#,
                Level::Warning,
                "subject.endpoint",
            ),
            (
                r#","authorization_response_iss_parameter_supported":true"#,
                Level::Warning,
                "iss",
            ),
            (
                r#","token_endpoint_auth_methods_supported":["private_key_jwt"]"#,
                Level::Error,
                "client_authentication",
            ),
            (
                r#","response_modes_supported":["form_post"]"#,
                Level::Error,
                "response_mode",
            ),
            (
                r#","grant_types_supported":["refresh_token"]"#,
                Level::Error,
                "token_endpoint",
            ),
            (
                r#","grant_types_supported":["authorization_code"]"#,
                Level::Warning,
                "token_endpoint",
            ),
            (
                r#","scopes_supported":["accounts"]"#,
                Level::Warning,
                "scopes",
            ),
            (
                r#","require_pushed_authorization_requests":true"#,
                Level::Error,
                "pushed_authorization_request_endpoint",
            ),
            (
                r#","require_signed_request_object":true"#,
                Level::Error,
                "request_object_signing_alg",
            ),
            (
                r#","dpop_signing_alg_values_supported":["ES256"]"#,
                Level::Warning,
                "token_endpoint",
            ),
        ] {
            let (oauth, metadata) = agreed(more);
            assert_eq!(
                only(&oauth, &metadata),
                (level, format!("oauth.{key}")),
                "{more}"
            );
        }
    }

    #[test]
    fn what_the_file_has_and_the_metadata_lacks_is_told() {
        let (mut oauth, metadata) = agreed("");
        oauth.revocation_endpoint = Some("https://bank.example/revoke".parse().unwrap());
        assert_eq!(only(&oauth, &metadata).1, "oauth.revocation_endpoint");
        oauth.revocation_endpoint = None;
        oauth.iss = IssuerRule::Required;
        assert_eq!(
            only(&oauth, &metadata),
            (Level::Warning, "oauth.iss".to_owned())
        );
        oauth.iss = IssuerRule::IfPresent;
        oauth.response_mode = ResponseMode::FormPost;
        assert_eq!(only(&oauth, &metadata).1, "oauth.response_mode");
        oauth.response_mode = ResponseMode::Query;
        oauth.client_authentication =
            crate::domain::client_authentication::AuthenticationMethod::ClientSecretPost;
        assert_eq!(only(&oauth, &metadata).1, "oauth.client_authentication");
    }
}
