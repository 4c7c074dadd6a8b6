//! The authorization request: the address people are sent to.

use url::Url;
use zeroize::Zeroizing;

use super::attempt::AttemptSecrets;
use super::call::{Filling, add_to_query};
use super::client_authentication::Parameters;
use super::registered::Registered;
use super::transport_error::TransportError;
use crate::domain::call::CallName;
use crate::domain::connection_values::ConnectionValues;
use crate::domain::institution::{OAuth, Pkce, ResponseMode};
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

/// The address of the authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
///
/// Always `response_type=code`, and always PKCE with `S256` unless the institution's file says that
/// it refuses PKCE. The endpoint's own query is kept, a fragment is not. What the standards have here may have
/// another name at an institution, or be left out; neither what its file adds nor `hints` can replace or
/// repeat a parameter that is decided here.
pub fn authorize(request: &AuthorizationRequest<'_>) -> Result<Url, TransportError> {
    let oauth = request.at.oauth;
    let call = &oauth.calls.authorization;
    let challenge = request.secrets.challenge();
    let own = [
        ("state", request.state.expose()),
        ("nonce", request.secrets.nonce()),
        ("code_challenge", challenge.as_str()),
    ];
    let filling = Filling {
        at: request.at,
        own: &own,
        values: request.values,
    };
    let mut url = filling.url(call, Some(&oauth.authorization_endpoint))?;
    url.set_fragment(None);
    add_to_query(&mut url, &parameters(request, &filling), call.encoding);
    Ok(url)
}

/// The parameters, by their names at the institution.
fn parameters(request: &AuthorizationRequest<'_>, filling: &Filling<'_>) -> Parameters {
    let AuthorizationRequest {
        at,
        state,
        secrets,
        ui_locales,
        hints,
        ..
    } = *request;
    let (oauth, call) = (at.oauth, &at.oauth.calls.authorization);
    let challenge = secrets.challenge();
    let scope = at.scope();
    let mut standard = vec![
        ("response_type", "code"),
        ("client_id", &at.registration.client_id),
        ("redirect_uri", at.redirect_uri()),
    ];
    standard.extend(scope.as_deref().map(|scope| ("scope", scope)));
    standard.push(("state", state.expose()));
    if sends_pkce(oauth) {
        standard.push(("code_challenge", challenge.as_str()));
        standard.push(("code_challenge_method", challenge.method()));
    }
    if oauth.uses_openid(at.scopes()) {
        standard.push(("nonce", secrets.nonce()));
    }
    match oauth.response_mode {
        ResponseMode::Query => {}
        ResponseMode::FormPost => standard.push(("response_mode", "form_post")),
    }
    let named = standard.into_iter().filter_map(|(name, value)| {
        let value = Zeroizing::new(value.to_owned());
        Some((call.name_of(name)?.to_owned(), value))
    });
    let mut sent: Parameters = named.collect();

    let locales = ui_locales.map(|locales| ("ui_locales", locales));
    let of_request = hints.iter().copied().chain(locales);
    let of_request =
        of_request.map(|(name, value)| (name.to_owned(), Zeroizing::new(value.to_owned())));
    // The request's own hints come first: of a name that is there twice, the first is sent.
    for (name, value) in of_request.chain(filling.added(call)) {
        let standard = CallName::Authorization.parameters();
        let is_ours = standard.contains(&name.as_str()) && call.name_of(&name).is_some();
        if !is_ours && name != "request_uri" && !sent.iter().any(|(known, _)| *known == name) {
            sent.push((name, value));
        }
    }
    sent
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
    use super::super::test_support::{at, oauth, registration, secrets};
    use super::*;
    use crate::domain::client::Registration;
    use crate::domain::template::Template;

    fn state() -> AuthorizationState {
        AuthorizationState::parse(&format!("07{}", "s".repeat(43))).unwrap()
    }

    fn request(oauth: &OAuth, registration: &Registration, hints: &[(&str, &str)]) -> Url {
        authorize(&AuthorizationRequest {
            at: at(oauth, registration),
            state: &state(),
            secrets: &secrets(),
            ui_locales: Some("fr de"),
            hints,
            values: &ConnectionValues::default(),
        })
        .unwrap()
    }

    fn bank() -> OAuth {
        oauth(&Url::parse("https://bank.example").unwrap())
    }

    fn value<'a>(url: &'a Url, name: &str) -> Vec<std::borrow::Cow<'a, str>> {
        url.query_pairs()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value)
            .collect()
    }

    #[test]
    fn a1_the_request_asks_for_a_code_and_nothing_else() {
        let url = request(&bank(), &registration(), &[]);
        let expected = format!(
            "https://bank.example/authorize?response_type=code&client_id=guichet-1\
             &redirect_uri=https%3A%2F%2Fgateway.example%2Foauth%2Fredirect_from%2Fapp%2Fbank\
             &scope=accounts+transactions&state=07{}\
             &code_challenge={}&code_challenge_method=S256&ui_locales=fr+de",
            "s".repeat(43),
            secrets().challenge().as_str()
        );
        assert_eq!(url.as_str(), expected);
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
            let url = request(&oauth, &registration(), &[]);
            assert_eq!(value(&url, "code_challenge").len(), expected);
            assert_eq!(value(&url, "code_challenge_method").len(), expected);
            assert!(!url.as_str().contains(secrets().verifier()));
        }
    }

    #[test]
    fn a3_a_nonce_goes_with_openid_only() {
        let mut oauth = bank();
        assert!(value(&request(&oauth, &registration(), &[]), "nonce").is_empty());
        oauth.scopes.push("openid".to_owned());
        let url = request(&oauth, &registration(), &[]);
        assert_eq!(value(&url, "nonce"), ["n".repeat(43)]);
    }

    #[test]
    fn a5_scopes_are_the_registrations_then_the_institutions() {
        let mut oauth = bank();
        oauth.scope_separator = ",".to_owned();
        let mut registration = registration();
        let url = request(&oauth, &registration, &[]);
        assert_eq!(value(&url, "scope"), ["accounts,transactions"]);
        registration.scopes = Some(vec!["accounts".to_owned()]);
        let url = request(&oauth, &registration, &[]);
        assert_eq!(value(&url, "scope"), ["accounts"]);
        registration.scopes = Some(vec![]);
        assert!(value(&request(&oauth, &registration, &[]), "scope").is_empty());
    }

    #[test]
    fn a10_the_endpoints_query_is_kept_and_its_fragment_is_not() {
        let mut oauth = bank();
        oauth.authorization_endpoint =
            Url::parse("https://bank.example/auth?tenant=a%20b#top").unwrap();
        let url = request(&oauth, &registration(), &[]);
        assert!(
            url.as_str()
                .starts_with("https://bank.example/auth?tenant=a%20b&response_type=code&")
        );
        assert_eq!(url.fragment(), None);
    }

    #[test]
    fn a10_no_value_can_add_a_parameter_or_replace_one_of_ours() {
        let mut oauth = bank();
        oauth.calls.authorization.add = [
            ("prompt", "consent"),
            ("state", "mine"),
            ("redirect_uri", "https://evil.example"),
            ("login_hint", "configured"),
        ]
        .map(|(name, value)| (name.to_owned(), Template::parse(value).unwrap()))
        .into();
        let hints = [
            ("login_hint", "a&redirect_uri=https://evil.example"),
            ("scope", "all"),
        ];
        let url = request(&oauth, &registration(), &hints);
        assert_eq!(value(&url, "login_hint"), [hints[0].1]);
        assert_eq!(value(&url, "prompt"), ["consent"]);
        assert_eq!(value(&url, "scope"), ["accounts transactions"]);
        assert_eq!(value(&url, "state"), [state().expose()]);
        assert_eq!(
            value(&url, "redirect_uri"),
            [registration().redirect_uri.as_str()]
        );
    }

    #[test]
    fn c14_form_post_is_asked_for_where_the_institution_responses_so() {
        let mut oauth = bank();
        assert!(value(&request(&oauth, &registration(), &[]), "response_mode").is_empty());
        oauth.response_mode = ResponseMode::FormPost;
        let url = request(&oauth, &registration(), &[]);
        assert_eq!(value(&url, "response_mode"), ["form_post"]);
    }
}
