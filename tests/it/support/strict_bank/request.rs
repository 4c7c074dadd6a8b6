//! The authorization request, wherever it is written: in the address, in a signed object (RFC 9101), or
//! pushed before (RFC 9126).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::client_authentication::judge_signature;
use super::jws::Jws;
use super::refusal::{Judged, Refusal};
use super::rules::{Client, Rules};

/// The media type of request objects (RFC 9101, section 10.8).
const REQUEST_OBJECT: &str = "oauth-authz-req+jwt";

/// How long a request object may be valid, in seconds (FAPI 2.0 Message Signing, section 5.3.1).
const LONGEST_LIFE: i64 = 60 * 60;

/// Claims of a request object that are no parameters.
const NO_PARAMETERS: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/// How the browser brings the authorization response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    Query,
    FormPost,
    QueryJwt,
    FormPostJwt,
}

impl ResponseMode {
    /// Whether the response is one JWT.
    pub fn is_jwt(self) -> bool {
        matches!(self, Self::QueryJwt | Self::FormPostJwt)
    }

    /// Whether it comes as a form.
    pub fn is_posted(self) -> bool {
        matches!(self, Self::FormPost | Self::FormPostJwt)
    }
}

/// A request that was judged, and found good.
#[derive(Clone, Debug)]
pub struct Asked {
    pub client_id: String,
    pub redirect_uri: String,
    pub response_mode: ResponseMode,
    pub is_hybrid: bool,
    pub scope: String,
    pub state: Option<String>,
    pub nonce: Option<String>,
    pub challenge: String,
    /// The key that the code will be bound to (RFC 9449, section 10).
    pub dpop_jkt: Option<String>,
    /// What access is asked for (RFC 9396).
    pub details: Option<Value>,
}

/// Parameters by name; each occurs once.
pub type Parameters = BTreeMap<String, Value>;

/// The parameters of an address or form. A name that occurs twice is refused (RFC 6749, section 3.1).
pub fn parameters(pairs: impl IntoIterator<Item = (String, String)>) -> Judged<Parameters> {
    let mut found = Parameters::new();
    for (name, value) in pairs {
        if found.insert(name.clone(), json!(value)).is_some() {
            return Err(Refusal::request(format!("{name} is there twice")));
        }
    }
    Ok(found)
}

/// The parameters of a signed request object, which stand in place of those around it.
pub fn signed(
    object: &str,
    client: &Client,
    keys: &[Value],
    issuer: &str,
    now: i64,
) -> Judged<Parameters> {
    let refuse = |why: &str| Refusal::new("invalid_request_object", format!("the object's {why}"));
    let jws = Jws::parse(object).ok_or_else(|| refuse("form is not that of a JWS"))?;
    judge_signature(&jws, keys).map_err(|why| refuse(&format!("header or signature: {why}")))?;
    if jws.header["typ"] != json!(REQUEST_OBJECT) {
        return Err(refuse("typ is not oauth-authz-req+jwt"));
    }
    if jws.text("iss") != Some(&client.client_id) {
        return Err(refuse("iss is not the client_id"));
    }
    if jws.claims["aud"] != json!(issuer) {
        return Err(refuse("aud is not the issuer, as one string"));
    }
    let Some((from, ends)) = jws.time("nbf").zip(jws.time("exp")) else {
        return Err(refuse("nbf or exp is no whole number"));
    };
    if from > now + 10 || from < now - LONGEST_LIFE {
        return Err(refuse("nbf is in the future, or more than an hour ago"));
    }
    if ends <= now || ends - from > LONGEST_LIFE {
        return Err(refuse("exp has passed, or is more than an hour after nbf"));
    }
    let Some(claims) = jws.claims.as_object() else {
        return Err(refuse("content is no object"));
    };
    for name in ["sub", "request", "request_uri"] {
        if claims.contains_key(name) {
            return Err(refuse(&format!("{name} must not be there")));
        }
    }
    if jws.text("client_id") != Some(&client.client_id) {
        return Err(refuse("client_id is missing or another's"));
    }
    let mut parameters: Parameters = claims.clone().into_iter().collect();
    parameters.retain(|name, _| !NO_PARAMETERS.contains(&name.as_str()));
    Ok(parameters)
}

/// Judges the parameters, of which the client is known.
pub fn judge(parameters: &Parameters, client: &Client, rules: &Rules) -> Judged<Asked> {
    let text = |name: &str| {
        parameters
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    for secret in ["client_secret", "client_assertion", "code_verifier"] {
        if parameters.contains_key(secret) {
            return Err(Refusal::request(format!(
                "{secret} is shown to the browser"
            )));
        }
    }
    if text("redirect_uri").as_ref() != Some(&client.redirect_uri) {
        return Err(Refusal::request("redirect_uri is not the registered one"));
    }
    if text("response_type").as_deref() != Some(rules.response_type) {
        let why = format!("response_type is not {}", rules.response_type);
        return Err(Refusal::new("unsupported_response_type", why));
    }
    let is_hybrid = rules.response_type != "code";
    let response_mode = match text("response_mode").as_deref() {
        None | Some("query") if !is_hybrid => ResponseMode::Query,
        Some("form_post") => ResponseMode::FormPost,
        Some("query.jwt" | "jwt") if !is_hybrid => ResponseMode::QueryJwt,
        Some("form_post.jwt") => ResponseMode::FormPostJwt,
        other => {
            let why = format!("response_mode {other:?} is not served");
            return Err(Refusal::request(why));
        }
    };
    let scope = text("scope").unwrap_or_default();
    let is_openid = scope.split(' ').any(|it| it == "openid");
    let nonce = text("nonce");
    match &nonce {
        Some(nonce) if nonce.is_empty() || nonce.len() > 64 => {
            return Err(Refusal::request(
                "nonce is empty or longer than 64 characters",
            ));
        }
        None if is_hybrid || is_openid => return Err(Refusal::request("nonce is missing")),
        _ => {}
    }
    if is_hybrid && !is_openid {
        return Err(Refusal::request("an ID token is asked for without openid"));
    }
    if text("code_challenge_method").as_deref() != Some("S256") {
        return Err(Refusal::request("code_challenge_method is not S256"));
    }
    // A SHA-256 digest is 43 characters of base64url (RFC 7636, section 4.2).
    let challenge = text("code_challenge").filter(|text| {
        let digest = URL_SAFE_NO_PAD.decode(text);
        digest.is_ok_and(|digest| digest.len() == 32)
    });
    let Some(challenge) = challenge else {
        return Err(Refusal::request("code_challenge is no SHA-256 digest"));
    };
    let details = match parameters.get("authorization_details") {
        None => None,
        Some(Value::String(text)) => Some(serde_json::from_str(text).unwrap_or(Value::Null)),
        Some(list) => Some(list.clone()),
    };
    let is_typed = |list: &Vec<Value>| {
        let has_type = |it: &Value| it["type"].as_str().is_some_and(|kind| !kind.is_empty());
        !list.is_empty() && list.iter().all(has_type)
    };
    if details
        .as_ref()
        .is_some_and(|it| !it.as_array().is_some_and(is_typed))
    {
        let why = "authorization_details is no list of objects with a type";
        return Err(Refusal::new("invalid_authorization_details", why));
    }
    Ok(Asked {
        client_id: client.client_id.clone(),
        redirect_uri: client.redirect_uri.clone(),
        response_mode,
        is_hybrid,
        scope,
        state: text("state").filter(|state| !state.is_empty()),
        nonce,
        challenge,
        dpop_jkt: text("dpop_jkt"),
        details,
    })
}
