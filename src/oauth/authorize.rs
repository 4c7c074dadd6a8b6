//! The authorization request: the address people are sent to.

use url::Url;

use super::attempt::AttemptSecrets;
use super::registered::Registered;
use crate::domain::institution::{OAuth, Pkce, ResponseMode};
use crate::domain::secret::AuthorizationState;

/// What one authorization request is made of.
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
}

/// The parameters that this module alone decides.
const OWN: [&str; 10] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "response_mode",
    "request_uri",
];

/// The address of the authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
///
/// Always `response_type=code`, and always PKCE with `S256` unless the institution's file says that
/// it refuses PKCE. The endpoint's own query is kept, a fragment is not. Neither
/// `authorize_parameters` nor `hints` can replace or repeat a parameter that is decided here.
pub fn authorize(request: &AuthorizationRequest<'_>) -> Url {
    let AuthorizationRequest {
        at,
        state,
        secrets,
        ui_locales,
        hints,
    } = request;
    let Registered {
        oauth,
        registration,
        ..
    } = *at;

    let mut url = oauth.authorization_endpoint.clone();
    url.set_fragment(None);
    let mut query = url.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", &registration.client_id)
        .append_pair("redirect_uri", registration.redirect_uri.as_str());
    if let Some(scope) = at.scope() {
        query.append_pair("scope", &scope);
    }
    query.append_pair("state", state.expose());
    if sends_pkce(oauth) {
        let challenge = secrets.challenge();
        query
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", challenge.method());
    }
    if at.uses_openid() {
        query.append_pair("nonce", secrets.nonce());
    }
    match oauth.response_mode {
        ResponseMode::Query => {}
        ResponseMode::FormPost => {
            query.append_pair("response_mode", "form_post");
        }
    }

    let configured = oauth
        .authorize_parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let locales = ui_locales.map(|locales| ("ui_locales", locales));
    let mut sent = OWN.to_vec();
    // The request's own hints come first: of a name that is there twice, the first is sent.
    for (name, value) in hints.iter().copied().chain(locales).chain(configured) {
        if !sent.contains(&name) {
            query.append_pair(name, value);
            sent.push(name);
        }
    }
    drop(query);
    url
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
        })
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
        oauth.authorize_parameters = [
            ("prompt", "consent"),
            ("state", "mine"),
            ("redirect_uri", "https://evil.example"),
            ("login_hint", "configured"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
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
