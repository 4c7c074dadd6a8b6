//! The authorization request: what is asked. Where it is put is decided in [`placement`](super::placement).

use std::borrow::Cow;

use serde_json::{Value, json};
use url::Url;

use super::attempt::AttemptSecrets;
use super::call::Filling;
use super::registered::Registered;
use super::transport_error::TransportError;
use crate::domain::authorization::ResponseMode;
use crate::domain::call::CallName;
use crate::domain::connection_values::ConnectionValues;
use crate::domain::institution::{OAuth, Pkce};
use crate::domain::secret::AuthorizationState;

/// What one authorization request is made of.
#[derive(Clone, Copy)]
pub struct AuthorizationRequest<'a> {
    /// The institution and the client's registration there.
    pub at: Registered<'a>,
    /// The attempt's `state`.
    pub state: &'a AuthorizationState,
    /// The attempt's verifier and nonce; only the verifier's digest is sent.
    pub secrets: &'a AttemptSecrets,
    /// The languages the person reads, most wanted first, separated by spaces (OpenID Connect Core
    /// section 3.1.2.1).
    pub ui_locales: Option<&'a str>,
    /// Parameters of this one request, such as `login_hint`.
    pub hints: &'a [(&'a str, &'a str)],
    /// What belongs to the connection.
    pub values: &'a ConnectionValues,
}

/// Parameters by their names at the institution, in the order they are sent; each name is there once. A value that is no
/// text is written as JSON where there is no request object.
pub(super) type Parameters = Vec<(String, Value)>;

/// What only the placement may add, besides the parameters that the standards give every request.
const OF_PLACEMENT: [&str; 3] = ["request", "request_uri", "authorization_details"];

/// The endpoint, with its own query and without a fragment.
pub(super) fn endpoint(request: &AuthorizationRequest<'_>) -> Result<Url, TransportError> {
    let oauth = request.at.oauth;
    let call = &oauth.calls.authorization;
    filled(request, |filling| {
        let mut url = filling.url(call, Some(&oauth.authorization_endpoint))?;
        url.set_fragment(None);
        Ok(url)
    })
}

/// The parameters of the authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3, RFC 9396 section 2, OpenID
/// Connect Core section 3.1.2.1).
///
/// Always PKCE with `S256`, unless the institution's file says that it refuses PKCE. What the standards have here may have
/// another name at an institution, or be left out; neither what its file adds nor `hints` can replace or repeat a parameter
/// that is decided here.
pub(super) fn parameters(request: &AuthorizationRequest<'_>) -> Parameters {
    let AuthorizationRequest {
        at,
        state,
        secrets,
        ui_locales,
        hints,
        ..
    } = *request;
    let (oauth, call) = (at.oauth, &at.oauth.calls.authorization);
    let rules = &oauth.authorization;
    let mut standard = vec![
        ("response_type", json!(rules.response_type.name())),
        ("client_id", json!(at.registration.client_id)),
        ("redirect_uri", json!(at.redirect_uri())),
    ];
    let scope = at.scope();
    standard.extend(scope.map(|scope| ("scope", json!(scope))));
    standard.push(("state", json!(state.expose())));
    if sends_pkce(oauth) {
        let challenge = secrets.challenge();
        standard.push(("code_challenge", json!(challenge.as_str())));
        let method = challenge.method();
        standard.push(("code_challenge_method", json!(method.as_str())));
    }
    if at.uses_openid() {
        standard.push(("nonce", json!(secrets.nonce())));
    }
    if oauth.response_mode != ResponseMode::Query {
        standard.push(("response_mode", json!(oauth.response_mode.name())));
    }
    if !rules.details.is_empty() {
        standard.push(("authorization_details", json!(rules.details)));
    }
    let named = standard.into_iter();
    let named = named.filter_map(|(name, value)| Some((call.name_of(name)?.to_owned(), value)));
    let mut sent: Parameters = named.collect();

    let text = |(name, value): (&str, &str)| (name.to_owned(), json!(value));
    let hints = hints.iter().copied().map(text);
    let locales = ui_locales.map(|locales| text(("ui_locales", locales)));
    let configured = [
        ("prompt", rules.prompt.as_ref().map(|it| json!(it))),
        ("max_age", rules.max_age.map(|it| json!(it))),
        ("acr_values", rules.acr_values.as_ref().map(|it| json!(it))),
        ("claims", rules.claims.clone()),
        ("login_hint", rules.login_hint.as_ref().map(|it| json!(it))),
    ];
    let configured = configured
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let added = filled(request, |filling| filling.added(call));
    let added = added
        .into_iter()
        .map(|(name, value)| (name, json!(value.as_str())));
    // The request's own hints come first: of a name that is there twice, the first is sent.
    for (name, value) in hints.chain(locales).chain(configured).chain(added) {
        let of_standard = CallName::Authorization.parameters();
        let is_ours = of_standard.contains(&name.as_str()) && call.name_of(&name).is_some()
            || OF_PLACEMENT.contains(&name.as_str());
        if !is_ours && !sent.iter().any(|(known, _)| *known == name) {
            sent.push((name, value));
        }
    }
    sent
}

/// Gives what the places of the request's templates are filled with.
fn filled<T>(request: &AuthorizationRequest<'_>, with: impl FnOnce(&Filling<'_>) -> T) -> T {
    let challenge = request.secrets.challenge();
    let own = [
        ("state", request.state.expose()),
        ("nonce", request.secrets.nonce()),
        ("code_challenge", challenge.as_str()),
    ];
    with(&Filling {
        at: request.at,
        own: &own,
        values: request.values,
    })
}

/// A value as a query or a form has it.
pub(super) fn written(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

/// Whether PKCE is used at this institution.
pub(super) fn sends_pkce(oauth: &OAuth) -> bool {
    match oauth.pkce {
        Pkce::Required | Pkce::Auto => true,
        Pkce::Off { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::super::test_support::{at, oauth, registration, secrets};
    use super::*;
    use crate::domain::authorization::ResponseType;
    use crate::domain::client::Registration;
    use crate::domain::template::Template;

    fn state() -> AuthorizationState {
        AuthorizationState::parse(&format!("07{}", "s".repeat(43))).unwrap()
    }

    fn bank() -> OAuth {
        oauth(&Url::parse("https://bank.example").unwrap())
    }

    /// What is sent as `name`.
    fn sent(
        oauth: &OAuth,
        registration: &Registration,
        hints: &[(&str, &str)],
        name: &str,
    ) -> Vec<Value> {
        let (state, secrets) = (state(), secrets());
        let parameters = parameters(&AuthorizationRequest {
            at: at(oauth, registration),
            state: &state,
            secrets: &secrets,
            ui_locales: Some("fr de"),
            hints,
            values: &ConnectionValues::default(),
        });
        let named = parameters.into_iter().filter(|(known, _)| known == name);
        named.map(|(_, value)| value).collect()
    }

    fn value(oauth: &OAuth, name: &str) -> Vec<Value> {
        sent(oauth, &registration(), &[], name)
    }

    #[test]
    fn a1_an_id_token_beside_the_code_is_asked_for_by_registrations_so_marked_alone() {
        let mut oauth = bank();
        assert_eq!(value(&oauth, "response_type"), [json!("code")]);
        oauth.authorization.response_type = ResponseType::CodeIdToken;
        assert_eq!(value(&oauth, "response_type"), [json!("code id_token")]);
    }

    #[test]
    fn a2_pkce_is_left_out_only_where_the_file_says_so() {
        let mut oauth = bank();
        for (pkce, expected) in [
            (Pkce::Required, 1),
            (Pkce::Auto, 1),
            (
                Pkce::Off {
                    reason: "refuses it".to_owned(),
                },
                0,
            ),
        ] {
            oauth.pkce = pkce;
            assert_eq!(value(&oauth, "code_challenge").len(), expected);
            assert_eq!(value(&oauth, "code_challenge_method").len(), expected);
            assert!(value(&oauth, "code_verifier").is_empty());
        }
    }

    #[test]
    fn a3_a_nonce_goes_with_openid_only() {
        let mut oauth = bank();
        assert!(value(&oauth, "nonce").is_empty());
        oauth.scopes.push("openid".to_owned());
        assert_eq!(value(&oauth, "nonce"), [json!("n".repeat(43))]);
    }

    #[test]
    fn a5_scopes_are_the_registrations_then_the_institutions() {
        let mut oauth = bank();
        oauth.scope_separator = ",".to_owned();
        let mut registration = registration();
        let scope = |registration: &Registration| sent(&oauth, registration, &[], "scope");
        assert_eq!(scope(&registration), [json!("accounts,transactions")]);
        registration.scopes = Some(vec!["accounts".to_owned()]);
        assert_eq!(scope(&registration), [json!("accounts")]);
        registration.scopes = Some(vec![]);
        assert!(scope(&registration).is_empty());
    }

    #[test]
    fn a10_no_value_can_add_a_parameter_or_replace_one_of_ours() {
        let mut oauth = bank();
        oauth.calls.authorization.add = [
            ("prompt", "consent"),
            ("state", "mine"),
            ("redirect_uri", "https://evil.example"),
            ("login_hint", "configured"),
            ("request_uri", "urn:evil"),
        ]
        .map(|(name, value)| (name.to_owned(), Template::parse(value).unwrap()))
        .into();
        let hints = [("login_hint", "a&b=c"), ("scope", "all")];
        let registration = registration();
        let value = |name| sent(&oauth, &registration, &hints, name);
        assert_eq!(value("login_hint"), [json!("a&b=c")]);
        assert_eq!(value("prompt"), [json!("consent")]);
        assert_eq!(value("scope"), [json!("accounts transactions")]);
        assert_eq!(value("state"), [json!(state().expose())]);
        let redirect_uri = registration.redirect_uri.as_str();
        assert_eq!(value("redirect_uri"), [json!(redirect_uri)]);
        assert!(value("request_uri").is_empty());
    }

    #[test]
    fn what_the_file_says_of_signing_in_is_asked_for_once() {
        let mut oauth = bank();
        let rules = &mut oauth.authorization;
        rules.prompt = Some("consent".to_owned());
        rules.max_age = Some(300);
        rules.acr_values = Some("urn:openbanking:psd2:sca".to_owned());
        rules.claims = Some(json!({"id_token": {"acr": {"essential": true}}}));
        rules.login_hint = Some("configured".to_owned());
        rules.details = vec![json!({"type": "accounts"})];
        for (name, expected) in [
            ("prompt", json!("consent")),
            ("max_age", json!(300)),
            ("acr_values", json!("urn:openbanking:psd2:sca")),
            ("claims", json!({"id_token": {"acr": {"essential": true}}})),
            ("login_hint", json!("configured")),
            ("authorization_details", json!([{"type": "accounts"}])),
        ] {
            assert_eq!(value(&oauth, name), [expected], "{name}");
        }
        let hints = [("login_hint", "anna")];
        let hint = sent(&oauth, &registration(), &hints, "login_hint");
        assert_eq!(hint, [json!("anna")], "that of the request counts");
    }

    #[test]
    fn c14_the_response_mode_is_asked_for_unless_it_is_the_usual_one() {
        let mut oauth = bank();
        assert!(value(&oauth, "response_mode").is_empty());
        for mode in [
            ResponseMode::FormPost,
            ResponseMode::QueryJwt,
            ResponseMode::FormPostJwt,
        ] {
            oauth.response_mode = mode;
            assert_eq!(value(&oauth, "response_mode"), [json!(mode.name())]);
        }
    }
}
