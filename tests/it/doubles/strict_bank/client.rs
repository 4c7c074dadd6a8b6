//! A client of the strict bank that does everything right, and each thing wrong when it is asked to.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use guichet::flow::Clocks as _;
use serde_json::{Value, json};
use url::Url;

use crate::support::random_token;
use crate::support::strict_bank::grants::challenge;
use crate::support::strict_bank::jws::{Algorithm, Jws, SigningKey};
use crate::support::strict_bank::{
    Authentication, Brought, Client, ClientKeys, Place, Rules, SenderConstraint, StrictBank,
};
use crate::support::visitor::{Visitor, http};

pub const CLIENT_ID: &str = "app";
pub const REDIRECT_URI: &str = "http://127.0.0.1:9/back?kept=1";
pub const SECRET: &str = "s3c:ret/+&-of-more-than-32-characters";
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const STATE: &str = "the-state";
pub const NONCE: &str = "the-nonce";

pub type Pairs = Vec<(String, String)>;

/// A client and its bank.
pub struct Tried {
    pub bank: StrictBank,
    pub key: SigningKey,
    /// What its proofs are signed with, if it makes any.
    pub proof_key: SigningKey,
    pub authentication: Authentication,
    pub scope: &'static str,
    pub response_mode: &'static str,
    pub is_hybrid: bool,
    pub is_dpop: bool,
}

impl Tried {
    /// One that signs its assertions, at a bank with these rules.
    pub async fn at(rules: Rules) -> Self {
        Self::by(rules, Authentication::PrivateKeyJwt).await
    }

    /// One that proves who it is in that way.
    pub async fn by(rules: Rules, authentication: Authentication) -> Self {
        let key = SigningKey::generate(Algorithm::ES256);
        let tried = Self {
            key,
            proof_key: SigningKey::generate(Algorithm::ES256),
            authentication,
            scope: "openid accounts",
            response_mode: "query",
            is_hybrid: rules.response_type != "code",
            is_dpop: rules.sender_constraint == SenderConstraint::Dpop,
            bank: StrictBank::start(rules).await,
        };
        tried.register(ClientKeys::Inline(json!({"keys": [tried.key.jwk()]})));
        tried
    }

    /// Makes the client known by these keys.
    pub fn register(&self, keys: ClientKeys) {
        self.bank.register(Client {
            client_id: CLIENT_ID.to_owned(),
            redirect_uri: REDIRECT_URI.to_owned(),
            authentication: self.authentication.clone(),
            keys,
        });
    }

    pub fn now(&self) -> i64 {
        self.bank.clock().of_day().as_second()
    }

    /// The parameters of an authorization request.
    pub fn parameters(&self) -> Pairs {
        let response_type = if self.is_hybrid {
            "code id_token"
        } else {
            "code"
        };
        let challenge = challenge(VERIFIER);
        [
            ("response_type", response_type),
            ("client_id", CLIENT_ID),
            ("redirect_uri", REDIRECT_URI),
            ("response_mode", self.response_mode),
            ("scope", self.scope),
            ("state", STATE),
            ("nonce", NONCE),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// An authorization request with these parameters in the address.
    pub fn request(&self, parameters: &Pairs) -> Url {
        let mut url = self.bank.url(Place::Authorize);
        url.query_pairs_mut().extend_pairs(parameters);
        url
    }

    /// The claims of an assertion.
    pub fn claims(&self) -> Value {
        let now = self.now();
        json!({
            "iss": CLIENT_ID,
            "sub": CLIENT_ID,
            "aud": self.bank.issuer(),
            "iat": now,
            "exp": now + 60,
            "jti": random_token(),
        })
    }

    /// The fields that prove who the client is; Basic is not among them.
    pub fn proof_of_client(&self) -> Pairs {
        let assertion = |key: &SigningKey| {
            vec![
                ("client_id", CLIENT_ID.to_owned()),
                (
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:jwt-bearer".to_owned(),
                ),
                ("client_assertion", key.sign(json!({}), &self.claims())),
            ]
        };
        let fields = match &self.authentication {
            Authentication::Basic(_) => Vec::new(),
            Authentication::None | Authentication::Tls(_) => {
                vec![("client_id", CLIENT_ID.to_owned())]
            }
            Authentication::Post(secret) => vec![
                ("client_id", CLIENT_ID.to_owned()),
                ("client_secret", secret.clone()),
            ],
            Authentication::SecretJwt(secret) => assertion(&SigningKey::shared(secret.as_bytes())),
            Authentication::PrivateKeyJwt => assertion(&self.key),
        };
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        fields.into_iter().map(owned).collect()
    }

    /// The claims of a DPoP proof for a request there.
    pub fn proof_claims(&self, method: &str, to: &Url, nonce: Option<&str>) -> Value {
        let mut claims = json!({
            "jti": random_token(),
            "htm": method,
            "htu": to,
            "iat": self.now(),
        });
        if let Some(nonce) = nonce {
            claims["nonce"] = json!(nonce);
        }
        claims
    }

    /// A DPoP proof of these claims.
    pub fn proof(&self, claims: &Value) -> String {
        let header = json!({"typ": "dpop+jwt", "kid": null, "jwk": self.proof_key.bare_jwk()});
        self.proof_key.sign(header, claims)
    }

    /// A form, with these headers beside those that prove the client by Basic.
    pub async fn send(&self, place: Place, form: &Pairs, headers: &[(&str, String)]) -> Said {
        let mut request = http().post(self.bank.url(place)).form(form);
        if let Authentication::Basic(secret) = &self.authentication {
            let encoded = |text: &str| {
                let encoded: String =
                    url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
                encoded
            };
            let pair = format!("{}:{}", encoded(CLIENT_ID), encoded(secret));
            request = request.header("authorization", format!("Basic {}", STANDARD.encode(pair)));
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        Said::of(request).await
    }

    /// A form with everything that is right, one more time if a nonce is asked for.
    pub async fn post(&self, place: Place, fields: &[(&str, &str)]) -> Said {
        let mut nonce = None;
        loop {
            let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
            let mut form: Pairs = fields.iter().map(owned).collect();
            form.extend(self.proof_of_client());
            let mut headers = Vec::new();
            if self.is_dpop {
                let claims = self.proof_claims("POST", &self.bank.url(place), nonce.as_deref());
                headers.push(("dpop", self.proof(&claims)));
            }
            let said = self.send(place, &form, &headers).await;
            if said.json["error"] != "use_dpop_nonce" || nonce.is_some() {
                return said;
            }
            nonce = Some(said.header("dpop-nonce"));
        }
    }

    /// Pushes these parameters.
    pub async fn push(&self, parameters: &Pairs) -> Said {
        let fields: Vec<(&str, &str)> = parameters
            .iter()
            .filter(|(name, _)| name != "client_id" || !self.sends_client_id())
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.post(Place::Par, &fields).await
    }

    fn sends_client_id(&self) -> bool {
        self.proof_of_client()
            .iter()
            .any(|(name, _)| name == "client_id")
    }

    /// The authorization response to a request with these parameters.
    pub async fn agreed(&self, parameters: &Pairs) -> Brought {
        self.bank.response(&self.request(parameters)).await
    }

    /// Visits with these parameters; the status, and why not.
    pub async fn visit(&self, parameters: &Pairs) -> (u16, String) {
        let page = Visitor::new().get(&self.request(parameters)).await;
        (page.status, page.body)
    }

    /// A code, the usual way.
    pub async fn code(&self) -> String {
        let brought = self.agreed(&self.parameters()).await;
        match brought.value("response") {
            Some(jwt) => {
                let jws = Jws::parse(jwt).expect("a JWS");
                jws.text("code").expect("a code").to_owned()
            }
            None => brought.value("code").expect("a code").to_owned(),
        }
    }

    /// Exchanges a code.
    pub async fn exchange(&self, code: &str) -> Said {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
        ];
        self.post(Place::Token, &fields).await
    }

    /// Exchanges a fresh code.
    pub async fn connected(&self) -> Said {
        self.exchange(&self.code().await).await
    }

    /// Refreshes.
    pub async fn refresh(&self, token: &str) -> Said {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.post(Place::Token, &fields).await
    }

    /// The published key of that `kid`, if there is one alone.
    pub async fn published(&self, kid: &Value) -> Option<Value> {
        let set = Said::of(http().get(self.bank.url(Place::Jwks))).await.json;
        let mut found = set["keys"]
            .as_array()?
            .iter()
            .filter(|key| key["kid"] == *kid);
        let key = found.next()?.clone();
        found.next().is_none().then_some(key)
    }
}

/// A response: its status, headers and body, and the body as JSON (null if it is none).
pub struct Said {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    pub json: Value,
}

impl Said {
    pub async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("a response");
        let status = response.status().as_u16();
        let text =
            |value: &reqwest::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect();
        let body = response.text().await.unwrap_or_default();
        let json = serde_json::from_str(&body).unwrap_or_default();
        Self {
            status,
            headers,
            body,
            json,
        }
    }

    /// A header; empty if it is not there.
    pub fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// A field that is text.
    pub fn text(&self, field: &str) -> &str {
        let text = self.json[field].as_str();
        text.unwrap_or_else(|| panic!("no {field} in {}", self.body))
    }
}

/// The pairs with one of another value; with none if that is empty.
pub fn with(mut pairs: Pairs, name: &str, value: &str) -> Pairs {
    pairs.retain(|(key, _)| key != name);
    if !value.is_empty() {
        pairs.push((name.to_owned(), value.to_owned()));
    }
    pairs
}

/// The object with one member of another value; without it if that is null.
pub fn having(mut object: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(object.as_object_mut().expect("an object").remove(name)),
        value => object[name] = value,
    }
    object
}
