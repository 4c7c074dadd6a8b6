//! The authorization response: what comes back through the person's browser.
//!
//! Everything here may come from a stranger until the `state` is found to be ours. Sizes and characters
//! are checked before anything is looked up.

use jiff::Timestamp;
use url::form_urlencoded::{self, Serializer};
use zeroize::Zeroizing;

use super::OAuthClient;
use super::attempt::AttemptSecrets;
use super::code::{AuthorizationCode, CODE_LIMIT};
use super::json::Members;
use super::reason::{self, Meaning};
use super::registered::Registered;
use super::reply::refusal;
use super::response_jwt::{self, InvalidResponseJwt, ResponseJwt, UnprovenJwt};
use super::scrub::{RESPONSE_LIMIT, Scrubber};
use crate::domain::institution::IssuerRule;
use crate::domain::secret::AuthorizationState;
use crate::domain::window::ErrorReason;
use crate::jose::OwnKeys;

/// How much of an issuer's name is shown, in characters.
const ISSUER_LIMIT: usize = 300;

/// A well-formed authorization response. Its `state` has not been looked up yet, so its attempt is not
/// known.
#[derive(Clone)]
pub struct AuthorizationResponse {
    /// The `state` it carries.
    pub state: AuthorizationState,
    /// The issuer that it names (RFC 9207), to be checked with [`AuthorizationResponse::check_issuer`].
    pub iss: Option<String>,
    /// Code or error.
    pub result: AuthorizationResult,
    /// The ID token beside the code, which counts only where one is asked for.
    pub id_token: Option<Zeroizing<String>>,
    /// The JWT that it came as, where responses are JWTs.
    jwt: Option<ResponseJwt>,
}

/// What an authorization response says.
#[derive(Clone)]
pub enum AuthorizationResult {
    /// The person agreed.
    Code(AuthorizationCode),
    /// The institution refused, or the person did (RFC 6749 section 4.1.2.1). Both texts come from
    /// outside, may hold our secrets, and are kept only as [`AuthorizationResponse::refusal`] gives them.
    Error {
        /// The error code.
        error: String,
        /// The institution's explanation.
        description: Option<String>,
    },
    /// Neither a code nor an error. Tokens that came instead were not asked for and are not read.
    Nothing,
}

/// Why an authorization response is refused before its `state` is looked up. The reason is for the log;
/// the browser gets the same neutral page for all of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAuthorizationResponse {
    /// It is longer than 8 kB in all.
    #[error("the authorization response is longer than {RESPONSE_LIMIT} bytes")]
    TooLong,
    /// A parameter that matters is there twice (RFC 6749 section 3.1).
    #[error("the parameter {0} is there twice")]
    Duplicate(&'static str),
    /// There is no `state`, or not one of ours.
    #[error("there is no state of ours")]
    State,
    /// The code is too long, or has characters that no code has.
    #[error("the code is longer than {CODE_LIMIT} characters or not visible ASCII")]
    Code,
    /// A code and an error at once.
    #[error("there is a code and an error")]
    CodeAndError,
    /// It is not the JWT that it should be.
    #[error(transparent)]
    Jwt(#[from] InvalidResponseJwt),
}

/// The parameters that matter; all others are ignored.
const KNOWN: [&str; 6] = [
    "state",
    "code",
    "error",
    "error_description",
    "iss",
    "id_token",
];

/// The values of those.
type Values = [Option<Zeroizing<String>>; KNOWN.len()];

impl AuthorizationResponse {
    /// Whether a query or form has any parameter that matters in an authorization response.
    pub fn has_part_in(raw: &[u8]) -> bool {
        let is_part = |name: &str| KNOWN.contains(&name) || name == response_jwt::PARAMETER;
        form_urlencoded::parse(raw).any(|(name, _)| is_part(&name))
    }

    fn of_form(raw: &[u8]) -> Result<Self, InvalidAuthorizationResponse> {
        let mut found = Values::default();
        for (name, value) in form_urlencoded::parse(raw) {
            let Some(known) = KNOWN.iter().position(|known| *known == name) else {
                continue;
            };
            if found[known].is_some() {
                return Err(InvalidAuthorizationResponse::Duplicate(KNOWN[known]));
            }
            found[known] = Some(Zeroizing::new(value.into_owned()));
        }
        Self::of(found, None)
    }

    fn of_jwt(jwt: ResponseJwt, claims: &Members) -> Result<Self, InvalidAuthorizationResponse> {
        Self::of(KNOWN.map(|name| claims.text(name)), Some(jwt))
    }

    fn of(found: Values, jwt: Option<ResponseJwt>) -> Result<Self, InvalidAuthorizationResponse> {
        let [state, code, error, description, iss, id_token] = found;
        // A parameter without a value counts as absent (RFC 6749 section 3.1). An empty `iss` does
        // not: it names an issuer, and the wrong one.
        let given = |value: Option<Zeroizing<String>>| value.filter(|value| !value.is_empty());
        let state = state
            .and_then(|state| AuthorizationState::parse(&state))
            .ok_or(InvalidAuthorizationResponse::State)?;
        let result = match (given(code), given(error)) {
            (Some(_), Some(_)) => return Err(InvalidAuthorizationResponse::CodeAndError),
            (Some(code), None) => AuthorizationResult::Code(
                AuthorizationCode::parse(&code).ok_or(InvalidAuthorizationResponse::Code)?,
            ),
            (None, Some(error)) => AuthorizationResult::Error {
                error: (*error).clone(),
                description: given(description).map(|text| (*text).clone()),
            },
            (None, None) => AuthorizationResult::Nothing,
        };
        Ok(Self {
            state,
            iss: iss.map(|iss| (*iss).clone()),
            result,
            id_token: given(id_token),
            jwt,
        })
    }

    /// What a response without a code means, and the operator's detail; `None` if there is a code.
    /// `secrets` are those of its attempt: without them the detail is not searched for them.
    pub fn refusal(
        &self,
        at: Registered<'_>,
        secrets: Option<&AttemptSecrets>,
    ) -> Option<(Meaning, String)> {
        match &self.result {
            AuthorizationResult::Code(_) => None,
            AuthorizationResult::Error { error, description } => {
                let state = &self.state;
                let scrubber = Scrubber::of_exchange(at, state, None, secrets);
                let refusal = refusal(&scrubber, error, description.as_deref());
                Some((reason::of_authorization(at.oauth, error), refusal.said))
            }
            AuthorizationResult::Nothing => {
                let detail = "the authorization response has neither a code nor an error";
                let meaning = Meaning::Reason(ErrorReason::ProviderError);
                Some((meaning, detail.to_owned()))
            }
        }
    }

    /// Checks the issuer (RFC 9207 section 2.4): equal character by character, after form-decoding and
    /// nothing else. A JWT always names it (JARM section 2.1).
    ///
    /// If the institution's file names no issuer, nothing can be compared; then only the redirect URI,
    /// which is different for each institution, protects against mix-up.
    pub fn check_issuer(&self, at: Registered<'_>) -> Result<(), IssuerMismatch> {
        let is_needed = self.is_jwt()
            || match at.oauth.iss {
                IssuerRule::Required => true,
                IssuerRule::RequiredWithCode => self.result.has_code(),
                IssuerRule::IfPresent => false,
            };
        match (&at.oauth.issuer, self.iss.as_deref()) {
            (_, None) if is_needed => Err(IssuerMismatch::Missing),
            (_, None) | (None, Some(_)) => Ok(()),
            (Some(expected), Some(iss)) if expected == iss => Ok(()),
            (Some(_), Some(iss)) => {
                let code = match &self.result {
                    AuthorizationResult::Code(code) => Some(code),
                    AuthorizationResult::Error { .. } | AuthorizationResult::Nothing => None,
                };
                let state = &self.state;
                let scrubber = Scrubber::of_exchange(at, state, code, None);
                Err(IssuerMismatch::Other(scrubber.shown(iss, ISSUER_LIMIT)))
            }
        }
    }

    /// Whether it came as a JWT, which has to be proved.
    pub fn is_jwt(&self) -> bool {
        self.jwt.is_some()
    }

    /// Its parameters that matter, names and values, as they came.
    pub fn parameters(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let jwt = self.jwt.as_ref();
        let jwt = jwt.map(|jwt| (response_jwt::PARAMETER, jwt.token()));
        let said = self.said().filter(move |_| jwt.is_none());
        jwt.into_iter().chain(said)
    }

    /// What it says, also if it came as a JWT: names and values.
    fn said(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let (code, error, description) = match &self.result {
            AuthorizationResult::Code(code) => (Some(code.expose()), None, None),
            AuthorizationResult::Error { error, description } => {
                (None, Some(error.as_str()), description.as_deref())
            }
            AuthorizationResult::Nothing => (None, None, None),
        };
        let values = [
            Some(self.state.expose()),
            code,
            error,
            description,
            self.iss.as_deref(),
            self.id_token.as_ref().map(|token| token.as_str()),
        ];
        let named = KNOWN.into_iter().zip(values);
        named.filter_map(|(name, value)| Some((name, value?)))
    }

    /// The bytes to seal while a response that came by POST waits for its GET.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        form(self.parameters())
    }

    /// What it says, as a form, also if it came as a JWT: for [`words`].
    pub fn as_form(&self) -> Zeroizing<Vec<u8>> {
        form(self.said())
    }
}

fn form<'a>(parameters: impl Iterator<Item = (&'static str, &'a str)>) -> Zeroizing<Vec<u8>> {
    // Room for everything, so that no half-written copy is left behind by growing.
    let mut form = Serializer::new(String::with_capacity(4 * RESPONSE_LIMIT));
    form.extend_pairs(parameters);
    Zeroizing::new(form.finish().into_bytes())
}

impl OAuthClient {
    /// Reads the query of a GET or the form of a POST, as sent, in the form that the institution's responses have.
    /// Nothing of it is proved.
    pub fn read_response(
        &self,
        at: Registered<'_>,
        raw: &[u8],
    ) -> Result<AuthorizationResponse, InvalidAuthorizationResponse> {
        if raw.len() > RESPONSE_LIMIT {
            return Err(InvalidAuthorizationResponse::TooLong);
        }
        self.read(at, raw)
    }

    /// Reads what [`AuthorizationResponse::to_bytes`] wrote; `None` when the bytes are something else.
    pub fn read_held_response(
        &self,
        at: Registered<'_>,
        bytes: &[u8],
    ) -> Option<AuthorizationResponse> {
        self.read(at, bytes).ok()
    }

    fn read(
        &self,
        at: Registered<'_>,
        raw: &[u8],
    ) -> Result<AuthorizationResponse, InvalidAuthorizationResponse> {
        if !at.oauth.response_mode.is_jwt() {
            return AuthorizationResponse::of_form(raw);
        }
        let own = self.client_keys.of(at.registration).ok();
        let own = own.as_deref().map_or(&[][..], OwnKeys::decryption);
        let (jwt, claims) = ResponseJwt::read(raw, &KNOWN, at, own)?;
        AuthorizationResponse::of_jwt(jwt, &claims)
    }

    /// Checks that a response is the institution's: its issuer, and, if it is a JWT, for whom it is, when it ends, and its
    /// signature, in this order. For the signature the institution may be asked for its keys.
    pub async fn prove_response(
        &self,
        at: Registered<'_>,
        response: &AuthorizationResponse,
        now: Timestamp,
    ) -> Result<(), UnprovenResponse> {
        response.check_issuer(at)?;
        match &response.jwt {
            Some(jwt) => Ok(self.prove_jwt(at, jwt, now).await?),
            None => Ok(()),
        }
    }
}

impl AuthorizationResult {
    /// Whether it has a code.
    pub fn has_code(&self) -> bool {
        matches!(self, Self::Code(_))
    }
}

/// Why a response is not proved to be the institution's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnprovenResponse {
    /// It names another issuer, or none.
    #[error(transparent)]
    Issuer(#[from] IssuerMismatch),
    /// It is a JWT that is not for us, has ended, or was made by somebody else.
    #[error(transparent)]
    Jwt(#[from] UnprovenJwt),
}

/// Why a response's issuer is not the institution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IssuerMismatch {
    /// The response names none, although the institution's responses always do.
    #[error("the authorization response names no issuer")]
    Missing,
    /// The response names another one.
    #[error("the authorization response names the issuer {0}")]
    Other(String),
}

/// For the log: `error` and `error_description` of a query or form, also if it is no valid authorization
/// response, without the secrets that `scrubber` knows; `None` if it has neither.
pub fn words(raw: &[u8], scrubber: &Scrubber) -> Option<String> {
    let value = |wanted: &str| {
        let mut pairs = form_urlencoded::parse(raw);
        let value = pairs.find(|(name, value)| name == wanted && !value.is_empty());
        value.map(|(_, value)| value)
    };
    match (value("error"), value("error_description")) {
        (Some(error), description) => Some(refusal(scrubber, &error, description.as_deref()).said),
        (None, Some(description)) => Some(refusal(scrubber, &description, None).said),
        (None, None) => None,
    }
}
#[cfg(test)]
mod tests;
