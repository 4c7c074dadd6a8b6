//! The records of the institution: clients, codes and tokens, and the honest response to each request.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Body;
use axum::http::{Response, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use url::{Url, form_urlencoded};

use super::{AUTHORIZE, CallbackParams, Decoding, Registration};
use crate::support::behaviour::{Honest, response};
use crate::support::gateway::MovableClock;
use crate::support::loopback::{Recorded, once};
use crate::support::random_token;
use crate::support::strict_bank::jws::SigningKey;

/// What the institution remembers.
#[derive(Default)]
pub struct Desk {
    pub issuer: String,
    clients: HashMap<String, Registration>,
    /// Whether a request without a code challenge is let through.
    pub pkce_optional: bool,
    /// How the halves of HTTP Basic are decoded.
    pub decoding: Decoding,
    /// Added to the address that browsers are sent back to.
    pub fragment: Option<String>,
    /// Where a browser was sent back to last.
    pub last_response: Option<Url>,
    codes: HashMap<String, Code>,
    /// Who signs in, from now on; nobody in particular at first.
    pub person: Option<String>,
    /// What ID tokens are signed with.
    pub key: Option<SigningKey>,
    /// Live access and refresh tokens, with the code they descend from.
    access_tokens: HashMap<String, String>,
    refresh_tokens: HashMap<String, String>,
}

/// A code and what it is bound to.
struct Code {
    client_id: String,
    redirect_uri: String,
    /// Absent only where PKCE is optional.
    challenge: Option<String>,
    scope: String,
    nonce: Option<String>,
    person: Option<String>,
    used: bool,
}

impl Desk {
    pub fn register(&mut self, client: Registration) {
        self.clients.insert(client.client_id.clone(), client);
    }

    /// Whether an access or refresh token is live.
    pub fn honours(&self, token: &str) -> bool {
        self.access_tokens.contains_key(token) || self.refresh_tokens.contains_key(token)
    }

    pub fn live_tokens(&self) -> usize {
        self.access_tokens.len() + self.refresh_tokens.len()
    }

    pub fn forget_tokens(&mut self) {
        self.access_tokens.clear();
        self.refresh_tokens.clear();
    }

    /// A browser at the authorization endpoint: approved at once, or told what is wrong.
    pub fn visited(&mut self, request: &Recorded) -> Response<Body> {
        let address = format!("{}{}?{}", self.issuer, request.path, request.query);
        let address = Url::parse(&address).expect("a request has an address");
        match self.authorize(&address) {
            Err(why) => response(400, "text/plain", why),
            Ok(callback) => {
                let mut response = response(303, "text/plain", "");
                let mut back = callback.url();
                back.set_fragment(self.fragment.as_deref());
                let location = back.as_str().parse().expect("a URL is a header value");
                response.headers_mut().insert(header::LOCATION, location);
                self.last_response = Some(back);
                response
            }
        }
    }

    /// Judges an authorization request and issues a code for a good one.
    pub fn authorize(&mut self, request: &Url) -> Result<CallbackParams, &'static str> {
        let pairs: Vec<(String, String)> = request.query_pairs().into_owned().collect();
        let parameter = |name: &str| once(pairs.clone(), name);
        let endpoint = format!("{}{AUTHORIZE}", self.issuer);
        if request.as_str().split('?').next() != Some(endpoint.as_str()) {
            return Err("not the authorization endpoint");
        }
        if parameter("response_type").as_deref() != Some("code") {
            return Err("response_type is not code");
        }
        let client_id = parameter("client_id").ok_or("no client_id")?;
        let client = self.clients.get(&client_id).ok_or("unknown client_id")?;
        let redirect_uri = parameter("redirect_uri").ok_or("no redirect_uri")?;
        if client.redirect_uri != redirect_uri {
            return Err("redirect_uri is not the registered one");
        }
        let challenge = parameter("code_challenge");
        match &challenge {
            None if self.pkce_optional => {}
            None => return Err("no code_challenge"),
            Some(_) if parameter("code_challenge_method").as_deref() != Some("S256") => {
                return Err("code_challenge_method is not S256");
            }
            // A SHA-256 digest is 43 characters of base64url (RFC 7636, section 4.2).
            Some(text) if URL_SAFE_NO_PAD.decode(text).map(|digest| digest.len()) != Ok(32) => {
                return Err("code_challenge is no SHA-256 digest");
            }
            Some(_) => {}
        }
        let code = random_token();
        let back = Url::parse(&redirect_uri).map_err(|_| "redirect_uri is no URL")?;
        let bound = Code {
            client_id,
            redirect_uri,
            challenge,
            scope: parameter("scope").unwrap_or_default(),
            nonce: parameter("nonce"),
            person: self.person.clone(),
            used: false,
        };
        self.codes.insert(code.clone(), bound);
        Ok(CallbackParams {
            redirect_uri: back,
            state: parameter("state"),
            iss: Some(self.issuer.clone()),
            code: Some(code),
            error: None,
        })
    }

    /// The token endpoint (RFC 6749, sections 4.1.3 and 6).
    pub fn exchange(&mut self, request: &Recorded) -> Honest {
        let Some(client_id) = self.authenticated(request) else {
            return Honest::refusal(401, "invalid_client", "unknown client or wrong secret");
        };
        let granted = match request.field("grant_type").as_deref() {
            Some("authorization_code") => self.spend_code(request, &client_id),
            Some("refresh_token") => self.spend_refresh_token(request, &client_id),
            _ => return Honest::refusal(400, "unsupported_grant_type", "code or refresh token"),
        };
        let Some(code) = granted else {
            return Honest::refusal(400, "invalid_grant", "the grant is not valid");
        };
        let bound = &self.codes[&code];
        let (scope, person) = (bound.scope.clone(), bound.person.clone());
        let id_token = self.id_token(bound);
        let (access_token, refresh_token) = self.issue(code);
        let mut granted = json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": refresh_token,
            "scope": scope,
            "login": person,
        });
        if let Some(id_token) = id_token {
            granted["id_token"] = json!(id_token);
        }
        Honest::good(&granted)
    }

    /// The ID token of an authorization with `openid` (OpenID Connect Core, section 2).
    fn id_token(&self, bound: &Code) -> Option<String> {
        let is_asked = bound.scope.split(' ').any(|scope| scope == "openid");
        let key = self.key.as_ref().filter(|_| is_asked)?;
        let now = MovableClock::default().now().as_second();
        let mut claims = json!({
            "iss": self.issuer,
            "sub": bound.person.as_deref().unwrap_or("somebody"),
            "aud": bound.client_id,
            "iat": now,
            "exp": now + 300,
        });
        if let Some(nonce) = &bound.nonce {
            claims["nonce"] = json!(nonce);
        }
        Some(key.sign(json!({}), &claims))
    }

    /// The keys that ID tokens are signed with (RFC 7517, section 5).
    pub fn keys(&self) -> Honest {
        let keys: Vec<_> = self.key.iter().map(SigningKey::jwk).collect();
        Honest::good(&json!({ "keys": keys }))
    }

    /// An access and a refresh token that descend from the code.
    fn issue(&mut self, code: String) -> (String, String) {
        let (access_token, refresh_token) = (random_token(), random_token());
        self.access_tokens
            .insert(access_token.clone(), code.clone());
        self.refresh_tokens.insert(refresh_token.clone(), code);
        (access_token, refresh_token)
    }

    /// Tokens of a code that the client exchanged before.
    pub fn grant(&mut self, client_id: &str) -> (String, String) {
        let code = random_token();
        let spent = Code {
            client_id: client_id.to_owned(),
            redirect_uri: self.clients[client_id].redirect_uri.clone(),
            challenge: None,
            scope: "accounts transactions".to_owned(),
            nonce: None,
            person: self.person.clone(),
            used: true,
        };
        self.codes.insert(code.clone(), spent);
        self.issue(code)
    }

    /// Who gave the token that the request bears (OpenID Connect Core, section 5.3).
    pub fn identify(&self, request: &Recorded) -> Honest {
        let token = request
            .header("authorization")
            .and_then(|value| value.strip_prefix("Bearer "));
        let code = token.and_then(|token| self.access_tokens.get(token));
        match code {
            None => Honest::refusal(401, "invalid_token", "the token is not live"),
            Some(code) => Honest::good(&json!({"sub": self.codes[code].person})),
        }
    }

    fn spend_code(&mut self, request: &Recorded, client_id: &str) -> Option<String> {
        let code = request.field("code")?;
        let bound = self.codes.get_mut(&code)?;
        if bound.used {
            self.access_tokens.retain(|_, from| *from != code);
            self.refresh_tokens.retain(|_, from| *from != code);
            return None;
        }
        let hash = |verifier: String| digest(&SHA256, verifier.as_bytes());
        let verifier = request.field("code_verifier");
        let challenge = verifier.map(|text| URL_SAFE_NO_PAD.encode(hash(text)));
        let fits = bound.client_id == client_id
            && Some(&bound.redirect_uri) == request.field("redirect_uri").as_ref()
            && bound.challenge == challenge;
        bound.used = fits;
        fits.then_some(code)
    }

    fn spend_refresh_token(&mut self, request: &Recorded, client_id: &str) -> Option<String> {
        let token = request.field("refresh_token")?;
        let code = self.refresh_tokens.get(&token)?;
        if self.codes[code].client_id != client_id {
            return None;
        }
        self.refresh_tokens.remove(&token)
    }

    /// The revocation endpoint (RFC 7009): a refresh token takes its access tokens along.
    pub fn revoke(&mut self, request: &Recorded) -> Honest {
        if self.authenticated(request).is_none() {
            return Honest::refusal(401, "invalid_client", "unknown client or wrong secret");
        }
        let Some(token) = request.field("token") else {
            return Honest::refusal(400, "invalid_request", "no token");
        };
        self.access_tokens.remove(&token);
        if let Some(code) = self.refresh_tokens.remove(&token) {
            self.access_tokens.retain(|_, from| *from != code);
        }
        Honest::good(&json!({}))
    }

    /// The client a request comes from, by Basic or by form fields, never by both.
    fn authenticated(&self, request: &Recorded) -> Option<String> {
        let posted = request
            .field("client_id")
            .zip(Some(request.field("client_secret")));
        let (client_id, secret) = match (basic(request, self.decoding), posted) {
            (Some((id, secret)), None) => (id, Some(secret)),
            (Some((id, secret)), Some((same, None))) if same == id => (id, Some(secret)),
            (None, Some(posted)) => posted,
            _ => return None,
        };
        let client = self.clients.get(&client_id)?;
        (client.client_secret == secret).then_some(client_id)
    }
}

/// The credentials of a Basic header.
fn basic(request: &Recorded, decoding: Decoding) -> Option<(String, String)> {
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let decoded = |half: &str| match decoding {
        Decoding::Form => form_decoded(half),
        Decoding::Percent => form_decoded(&half.replace('+', "%2B")),
        Decoding::Raw => half.to_owned(),
    };
    Some((decoded(id), decoded(secret)))
}

fn form_decoded(text: &str) -> String {
    // As the value of a field whose name cannot occur in `text` unescaped.
    form_urlencoded::parse(format!("={text}").as_bytes())
        .map(|(_, value)| value.into_owned())
        .next()
        .unwrap_or_default()
}
