//! An institution whose authorization server is honest until a test says otherwise.
//!
//! Honest means: the client and its redirect URI are registered and compared exactly, PKCE
//! with S256 is demanded (RFC 7636), the client authenticates (RFC 6749, section 2.3.1), a
//! code lives for one exchange by the client, redirect URI and verifier it was issued for,
//! its reuse revokes what it gave (section 4.1.2), refresh tokens rotate, `iss` is sent
//! (RFC 9207), revocation says 200 to tokens it never saw (RFC 7009), and who asks for `openid`
//! gets a signed ID token.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use url::Url;

use self::desk::Desk;
use super::behaviour::{Behaviour, json_response, response};
use super::loopback::{Answer, Loopback, Recorded};
use super::strict_bank::jws::{Algorithm, SigningKey};

mod desk;

const AUTHORIZE: &str = "/authorize";
const TOKEN: &str = "/token";
const REVOKE: &str = "/revoke";
const IDENTIFY: &str = "/userinfo";
const METADATA: &str = "/.well-known/oauth-authorization-server";
const KEYS: &str = "/keys";

/// How a server decodes the halves of HTTP Basic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decoding {
    /// As a form (RFC 6749, section 2.3.1).
    #[default]
    Form,
    /// As percent-encoding, where `+` is a plus sign.
    Percent,
    /// Not at all (RFC 7617).
    Raw,
}

/// A client as the institution knows it.
#[derive(Clone, Debug)]
pub struct Registration {
    pub client_id: String,
    /// Absent for a public client.
    pub client_secret: Option<String>,
    pub redirect_uri: String,
}

/// Where the institution sends the browser back to, and with what. The fields are free to be
/// spoilt before [`CallbackParams::url`] is asked for.
#[derive(Clone, Debug)]
pub struct CallbackParams {
    pub redirect_uri: Url,
    pub state: Option<String>,
    pub iss: Option<String>,
    pub code: Option<String>,
    /// `error` and `error_description`, if the authorization response is a refusal.
    pub error: Option<(String, String)>,
}

impl CallbackParams {
    /// The parameters as `name`, `value`, for a form post.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let (error, description) = self.error.clone().unzip();
        [
            ("code", self.code.clone()),
            ("error", error),
            ("error_description", description),
            ("state", self.state.clone()),
            ("iss", self.iss.clone()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    /// The callback as a browser is sent to it.
    pub fn url(&self) -> Url {
        let mut url = self.redirect_uri.clone();
        url.query_pairs_mut().extend_pairs(self.pairs());
        url
    }
}

/// How often each endpoint was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// Visits to the authorization endpoint by a browser, and requests shown to
    /// [`FakeBank::code_for`].
    pub authorize: usize,
    pub token: usize,
    pub revoke: usize,
}

/// The institution. It stops when it is dropped.
pub struct FakeBank {
    server: Loopback,
    state: Arc<Mutex<State>>,
}

/// The honest books and what a test wants done instead.
#[derive(Default)]
struct State {
    desk: Desk,
    /// Authorization requests judged without a browser.
    shown: usize,
    token: Script,
    revoke: Script,
    identify: Script,
    /// What it publishes, by path.
    published: HashMap<String, String>,
}

/// The behaviours of one endpoint: those for the next requests, then the standing one.
struct Script {
    next: VecDeque<Behaviour>,
    standing: Behaviour,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            next: VecDeque::new(),
            standing: Behaviour::Honest,
        }
    }
}

impl Script {
    fn take(&mut self) -> Behaviour {
        self.next
            .pop_front()
            .unwrap_or_else(|| self.standing.clone())
    }
}

impl FakeBank {
    /// Opens the institution on a free port, honest and without clients.
    pub async fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let served = state.clone();
        let server = Loopback::start(move |request| serve(served.clone(), request)).await;
        let bank = Self { server, state };
        bank.state().desk.issuer = bank.server.origin();
        bank.state().desk.key = Some(SigningKey::generate(Algorithm::ES256));
        bank
    }

    /// Makes a client known, or replaces the one with the same `client_id`.
    pub fn register(&self, client: Registration) {
        self.state().desk.register(client);
    }

    /// From now on authorization requests without a code challenge are let through, as by an
    /// institution that has not heard of PKCE.
    pub fn make_pkce_optional(&self) {
        self.state().desk.pkce_optional = true;
    }

    /// From now on the halves of HTTP Basic are decoded like this.
    pub fn decodes_basic(&self, decoding: Decoding) {
        self.state().desk.decoding = decoding;
    }

    /// The issuer identifier (RFC 8414), sent as `iss`.
    pub fn issuer(&self) -> String {
        self.server.origin()
    }

    /// The authorization endpoint; a browser that visits it is sent back with a code at once.
    pub fn authorize_url(&self) -> Url {
        self.server.url(AUTHORIZE)
    }

    /// The token endpoint.
    pub fn token_url(&self) -> Url {
        self.server.url(TOKEN)
    }

    /// The revocation endpoint.
    pub fn revoke_url(&self) -> Url {
        self.server.url(REVOKE)
    }

    /// The endpoint that says, as `sub`, who gave an access token. The token response says it too, as
    /// `login`.
    pub fn identify_url(&self) -> Url {
        self.server.url(IDENTIFY)
    }

    /// From now on it is this person who signs in.
    pub fn signs_in(&self, person: &str) {
        self.state().desk.person = Some(person.to_owned());
    }

    /// From now on the endpoint that says who gave a token does this.
    pub fn on_identify(&self, behaviour: Behaviour) {
        self.state().identify.standing = behaviour;
    }

    /// The requests at the endpoint that says who gave a token, oldest first.
    pub fn identify_requests(&self) -> Vec<Recorded> {
        self.requests(IDENTIFY)
    }

    /// From now on the token endpoint does this.
    pub fn on_token(&self, behaviour: Behaviour) {
        self.state().token.standing = behaviour;
    }

    /// A coming request at the token endpoint gets this, once: the next, or the one after
    /// those that earlier calls were about.
    pub fn next_token(&self, behaviour: Behaviour) {
        self.state().token.next.push_back(behaviour);
    }

    /// From now on the revocation endpoint does this.
    pub fn on_revoke(&self, behaviour: Behaviour) {
        self.state().revoke.standing = behaviour;
    }

    /// How often each endpoint was asked so far.
    pub fn hits(&self) -> Hits {
        Hits {
            authorize: self.requests(AUTHORIZE).len() + self.state().shown,
            token: self.token_requests().len(),
            revoke: self.revoke_requests().len(),
        }
    }

    /// From now on its metadata (RFC 8414) is this, besides what an honest server says.
    pub fn publishes_metadata(&self, more: &Value) {
        let mut metadata = json!({
            "issuer": self.issuer(),
            "authorization_endpoint": self.authorize_url(),
            "token_endpoint": self.token_url(),
            "revocation_endpoint": self.revoke_url(),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post"],
            "code_challenge_methods_supported": ["S256"],
        });
        let more = more.as_object().expect("an object").clone();
        metadata.as_object_mut().expect("an object").extend(more);
        self.publishes(METADATA, metadata.to_string());
    }

    /// From now on it has these elliptic keys, by name.
    pub fn publishes_keys(&self, kids: &[&str]) {
        let key = |kid: &&str| json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": kid, "y": "AA"});
        let keys: Vec<Value> = kids.iter().map(key).collect();
        self.publishes(KEYS, json!({ "keys": keys }).to_string());
    }

    /// From now on this is at that path.
    pub fn publishes(&self, path: &str, text: String) {
        self.state().published.insert(path.to_owned(), text);
    }

    /// Where its keys are: those that ID tokens are signed with, by ES256, unless a test has it publish others.
    pub fn keys_url(&self) -> Url {
        self.server.url(KEYS)
    }

    /// How often its metadata was asked for.
    pub fn metadata_hits(&self) -> usize {
        self.requests(METADATA).len()
    }

    /// From now on browsers are sent back with this fragment next to the honest response.
    pub fn add_fragment(&self, fragment: &str) {
        self.state().desk.fragment = Some(fragment.to_owned());
    }

    /// Where a browser was sent back to last.
    pub fn last_response(&self) -> Option<Url> {
        self.state().desk.last_response.clone()
    }

    /// The visits of browsers at the authorization endpoint, oldest first.
    pub fn authorize_requests(&self) -> Vec<Recorded> {
        self.requests(AUTHORIZE)
    }

    /// The requests at the token endpoint, oldest first.
    pub fn token_requests(&self) -> Vec<Recorded> {
        self.requests(TOKEN)
    }

    /// The requests at the revocation endpoint, oldest first.
    pub fn revoke_requests(&self) -> Vec<Recorded> {
        self.requests(REVOKE)
    }

    /// Waits until the token endpoint was asked `times` times; the responses may be under way.
    ///
    /// # Panics
    ///
    /// If it was not within `limit`.
    pub async fn wait_for_token_requests(&self, times: usize, limit: Duration) {
        let enough = |all: &[Recorded]| all.iter().filter(|r| r.path == TOKEN).count() >= times;
        self.server.wait_for(enough, limit).await;
    }

    /// Waits until the revocation endpoint was asked `times` times.
    ///
    /// # Panics
    ///
    /// If it was not within `limit`.
    pub async fn wait_for_revoke_requests(&self, times: usize, limit: Duration) {
        let enough = |all: &[Recorded]| all.iter().filter(|r| r.path == REVOKE).count() >= times;
        self.server.wait_for(enough, limit).await;
    }

    /// The person agrees: checks the authorization request and issues a code for it.
    ///
    /// # Panics
    ///
    /// If an honest server would refuse the request; the message says why.
    pub fn code_for(&self, authorization_request: &Url) -> CallbackParams {
        let mut state = self.state();
        state.shown += 1;
        let issued = state.desk.authorize(authorization_request);
        drop(state);
        issued.unwrap_or_else(|why| panic!("{why}: {authorization_request}"))
    }

    /// An access and a refresh token of that client, as if somebody had connected there before.
    pub fn granted(&self, client_id: &str) -> (String, String) {
        self.state().desk.grant(client_id)
    }

    /// The person declines, or the institution does: the same checks, then `error`.
    ///
    /// # Panics
    ///
    /// As [`FakeBank::code_for`].
    pub fn refusal_for(
        &self,
        authorization_request: &Url,
        error: &str,
        description: &str,
    ) -> CallbackParams {
        CallbackParams {
            code: None,
            error: Some((error.to_owned(), description.to_owned())),
            ..self.code_for(authorization_request)
        }
    }

    /// Whether an access or refresh token was issued here and is neither revoked nor spent.
    pub fn honours(&self, token: &str) -> bool {
        self.state().desk.honours(token)
    }

    /// The number of access and refresh tokens that are live.
    pub fn live_tokens(&self) -> usize {
        self.state().desk.live_tokens()
    }

    /// Ends every token that is live.
    pub fn forget_tokens(&self) {
        self.state().desk.forget_tokens();
    }

    fn requests(&self, path: &str) -> Vec<Recorded> {
        let mut requests = self.server.requests();
        requests.retain(|request| request.path == path);
        requests
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // No step leaves the state half-done, and a test that panicked has failed anyway.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(state: Arc<Mutex<State>>, request: Recorded) -> Answer {
    let (behaviour, honest) = {
        let mut state = lock(&state);
        match (&request.method, request.path.as_str()) {
            (&Method::GET, AUTHORIZE) => return Ok(state.desk.visited(&request)),
            (&Method::POST, TOKEN) => (state.token.take(), state.desk.exchange(&request)),
            (&Method::POST, REVOKE) => (state.revoke.take(), state.desk.revoke(&request)),
            (&Method::GET, IDENTIFY) => (state.identify.take(), state.desk.identify(&request)),
            (&Method::GET, path) if state.published.contains_key(path) => {
                return Ok(json_response(200, state.published[path].clone()));
            }
            (&Method::GET, KEYS) => (Behaviour::Honest, state.desk.keys()),
            (_, AUTHORIZE | TOKEN | REVOKE | IDENTIFY | KEYS) => {
                return Ok(response(405, "text/plain", ""));
            }
            _ => return Ok(response(404, "text/plain", "")),
        }
    };
    behaviour.apply(&request, honest).await
}
