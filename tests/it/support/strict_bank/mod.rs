//! An institution whose authorization server judges everything, and is hostile where a test says so.
//!
//! Honest, it holds a client to the strictest reading of the standards: FAPI 2.0 and 1.0 Advanced, PAR
//! (RFC 9126), JAR (RFC 9101), JARM, DPoP (RFC 9449), mTLS (RFC 8705), RAR (RFC 9396), PKCE, OpenID Connect. What
//! it refuses it says in words, to the client and to the test ([`StrictBank::refusals`]). [`Rules`] has what honest
//! institutions differ in. Hostile, it does one thing for each [`Knob`] that is turned; `knobs` has the table.
//!
//! A test starts it, then a gateway that has it as the institution [`STRICT`]; the test writes the keys of the
//! `[oauth]` table that differ from the usual, and of the client's registration:
//!
//! ```ignore
//! let bank = StrictBank::start(Rules { pushed_only: true, ..Rules::default() }).await;
//! let setup = Setup {
//!     strict: Some(Strict {
//!         oauth: bank.oauth_table("client_secret_basic", "response_mode = \"form_post\""),
//!         ..Strict::by_secret(&bank)
//!     }),
//!     ..Setup::default()
//! };
//! let gateway = TestGateway::with(Backend::Sqlite, setup).await;
//! let (member, link) = gateway.member_with(json!({"member": {"institution_guid": STRICT_GUID, "is_oauth": true}})).await;
//! let page = bank.connect(&gateway.visitor(), &link).await;
//! assert_eq!(page.name(), Some("connected"), "{:?}", bank.refusals());
//! ```
//!
//! [`StrictBank::connect`] is the whole flow in one browser. To spoil a response by hand, [`StrictBank::response`]
//! gives it before the browser brings it. What was sent is in [`StrictBank::requests`]; `jws::Jws` takes assertions,
//! proofs and request objects apart. The bank's clock is the gateway's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use url::{Url, form_urlencoded};

use self::desk::Desk;
use self::refusal::Refusal;
use super::behaviour::{Behaviour, response};
use super::gateway::MovableClock;
use super::loopback::{Answer, Loopback, Recorded};
use super::visitor::{Page, Visitor, http};

pub use self::brought::Brought;
pub use self::places::Place;
pub use self::rules::{
    Authentication, Client, ClientKeys, Encryption, Nonces, Rotation, Rules, SenderConstraint,
};
pub use self::setup::{STRICT, STRICT_GUID, Strict};

mod authorize;
mod behaviours;
mod brought;
mod client_authentication;
mod desk;
mod dpop;
pub mod grants;
pub mod id_token;
pub mod jwe;
pub mod jws;
mod keys;
pub mod knobs;
mod metadata;
mod places;
mod refusal;
mod reply;
mod request;
mod resources;
mod response;
mod rules;
mod setup;
pub mod tls;
mod token;
mod weak_rsa;

/// The institution; clones are the same one. It stops when the last is dropped.
#[derive(Clone)]
pub struct StrictBank(Arc<Inside>);

struct Inside {
    server: Loopback,
    by_tls: Option<Loopback>,
    desk: Arc<Mutex<Desk>>,
    scripts: Arc<Mutex<Scripts>>,
}

/// What each place does next, once.
type Scripts = HashMap<Place, Vec<Behaviour>>;

impl StrictBank {
    /// Opens it on a free port, with these rules and without clients.
    pub async fn start(rules: Rules) -> Self {
        // The address is known only when it listens.
        let is_by_tls = rules.is_by_tls;
        let desk = Arc::new(Mutex::new(Desk::new(String::new(), rules)));
        let scripts: Arc<Mutex<Scripts>> = Arc::default();
        let (at, told) = (desk.clone(), scripts.clone());
        let answer = move |request| serve(at.clone(), told.clone(), request);
        let server = Loopback::start(answer.clone()).await;
        let by_tls = match is_by_tls {
            true => Some(Loopback::start_tls(answer).await),
            false => None,
        };
        lock(&desk).origin = server.origin();
        lock(&desk).tls_origin = by_tls.as_ref().map(Loopback::origin);
        Self(Arc::new(Inside {
            server,
            by_tls,
            desk,
            scripts,
        }))
    }

    /// Makes a client known, or replaces the one of the same `client_id`.
    pub fn register(&self, client: Client) {
        let mut desk = self.desk();
        let keys = match &client.keys {
            ClientKeys::Inline(set) => keys_in(set),
            ClientKeys::None | ClientKeys::At(_) => Vec::new(),
        };
        desk.client_keys.insert(client.client_id.clone(), keys);
        desk.clients.insert(client.client_id.clone(), client);
    }

    /// Turns a knob, beside those that are turned.
    pub fn turn(&self, knob: impl Into<knobs::Knob>) {
        self.desk().knobs.turn(knob.into());
    }

    /// Turns every knob back.
    pub fn be_honest(&self) {
        self.desk().knobs = Default::default();
    }

    /// Where a hostile institution leads to, from now on.
    pub fn leads_to(&self, elsewhere: Url) {
        self.desk().elsewhere = elsewhere;
    }

    /// A coming request there gets this, once: the next, or the one after those that earlier calls were about.
    pub fn next(&self, place: Place, behaviour: Behaviour) {
        lock(&self.0.scripts)
            .entry(place)
            .or_default()
            .push(behaviour);
    }

    /// Changes the rules from now on.
    pub fn change(&self, change: impl FnOnce(&mut Rules)) {
        change(&mut self.desk().rules);
    }

    /// From now on it is this person who signs in.
    pub fn signs_in(&self, person: &str) {
        person.clone_into(&mut self.desk().person);
    }

    /// From now on whoever comes is refused with this `error` and `error_description`.
    pub fn declines(&self, error: &str, description: &str) {
        self.desk().declines = Some((error.to_owned(), description.to_owned()));
    }

    /// Replaces the keys that sign; the old ones stay published.
    pub fn rotate_keys(&self) {
        self.desk().keys.rotate();
    }

    /// Publishes the keys that sign and no others.
    pub fn forget_old_keys(&self) {
        self.desk().keys.forget_retired();
    }

    /// Ends every nonce for proofs that was given so far.
    pub fn forget_nonces(&self) {
        let mut desk = self.desk();
        desk.proofs.forget_nonces();
        desk.resource_proofs.forget_nonces();
    }

    /// Its clock.
    pub fn clock(&self) -> MovableClock {
        self.desk().clock.clone()
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> String {
        self.desk().issuer()
    }

    /// The address of a place.
    pub fn url(&self, place: Place) -> Url {
        Url::parse(&self.desk().address(place)).expect("a URL")
    }

    /// The address of a place by TLS, where clients show certificates.
    ///
    /// # Panics
    ///
    /// If the rules have no such thing.
    pub fn tls_url(&self, place: Place) -> Url {
        let addresses = self.desk().addresses(place);
        Url::parse(addresses.get(1).expect("it is by TLS")).expect("a URL")
    }

    /// The requests at a place, oldest first; those by TLS after the others.
    pub fn requests(&self, place: Place) -> Vec<Recorded> {
        let path = self.desk().rules.issuer_path;
        let mut requests = self.0.server.requests();
        requests.extend(self.0.by_tls.iter().flat_map(Loopback::requests));
        requests.retain(|request| Place::of(&request.path, path) == Some(place));
        requests
    }

    /// Everything that was refused so far, in words.
    pub fn refusals(&self) -> Vec<String> {
        let refusals = &self.desk().refusals;
        let words = |it: &Refusal| format!("{}: {}", it.error, it.why);
        refusals.iter().map(words).collect()
    }

    /// What is known of a token (RFC 7662, in spirit): `active`, `client_id`, `scope`, `sub`, `exp`, `cnf`.
    pub fn introspection(&self, token: &str) -> Value {
        self.desk().introspection(token)
    }

    /// The authorization response to a request, before the browser brings it.
    ///
    /// # Panics
    ///
    /// If the request is refused; the message says why.
    pub async fn response(&self, authorization_request: &Url) -> Brought {
        let page = Visitor::new().get(authorization_request).await;
        Brought::of(&page).unwrap_or_else(|| panic!("{}: {:?}", page.body, self.refusals()))
    }

    /// The whole flow in one browser: opens the link, agrees, comes back, and gives the outcome page.
    ///
    /// # Panics
    ///
    /// If it does not come as far as back.
    pub async fn connect(&self, visitor: &Visitor, link: &Url) -> Page {
        let opened = visitor.get(link).await;
        let request = opened.location();
        let request = request.unwrap_or_else(|| panic!("not let through: {}", opened.body));
        self.response(&request).await.deliver(visitor).await
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.0.desk)
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // No step leaves the state half-done, and a test that panicked has failed anyway.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keys_in(set: &Value) -> Vec<Value> {
    set["keys"].as_array().cloned().unwrap_or_default()
}

async fn serve(desk: Arc<Mutex<Desk>>, scripts: Arc<Mutex<Scripts>>, request: Recorded) -> Answer {
    let issuer_path = lock(&desk).rules.issuer_path;
    let Some(place) = Place::of(&request.path, issuer_path) else {
        return Ok(response(404, "text/plain", ""));
    };
    if !place.takes(&request) {
        return Ok(response(405, "text/plain", ""));
    }
    fetch_keys(&desk, &request).await;
    let scripted = lock(&scripts)
        .get_mut(&place)
        .and_then(|next| (!next.is_empty()).then(|| next.remove(0)));
    let (behaviour, reply) = {
        let mut desk = lock(&desk);
        let behaviour = scripted.or_else(|| desk.behaviour(place));
        (
            behaviour.unwrap_or(Behaviour::Honest),
            judged(&mut desk, place, &request),
        )
    };
    reply.send(behaviour, &request).await
}

fn judged(desk: &mut Desk, place: Place, request: &Recorded) -> reply::Reply {
    let judged = match place {
        Place::Metadata => Ok(desk.metadata()),
        Place::Jwks => Ok(desk.published()),
        Place::Par => desk.push(request),
        Place::Authorize => desk.visited(request),
        Place::Token => desk.exchange(request),
        Place::Revoke => desk.revoke(request),
        Place::UserInfo => desk.userinfo(request),
        Place::Accounts => desk.accounts(request),
    };
    let reply = judged.unwrap_or_else(|refusal| {
        let reply = refusal.reply();
        desk.refusals.push(refusal);
        reply
    });
    let nonce = match place {
        Place::Par | Place::Token => desk.next_nonce(place),
        Place::UserInfo | Place::Accounts => desk.next_resource_nonce(place),
        Place::Metadata | Place::Jwks | Place::Authorize | Place::Revoke => None,
    };
    match nonce {
        Some(nonce) => reply.with("dpop-nonce", nonce),
        None => reply,
    }
}

/// Fetches the keys of the client that a request names, if it publishes them.
async fn fetch_keys(desk: &Mutex<Desk>, request: &Recorded) {
    let named = client_authentication::claimed(request).or_else(|| {
        let mut pairs = form_urlencoded::parse(request.query.as_bytes());
        let found = pairs.find(|(name, _)| name == "client_id");
        found.map(|(_, value)| value.into_owned())
    });
    let Some(named) = named else { return };
    let ClientKeys::At(url) = lock(desk)
        .clients
        .get(&named)
        .map(|it| it.keys.clone())
        .unwrap_or_default()
    else {
        return;
    };
    let fetched = match http().get(url).send().await {
        Ok(response) => response.json().await.unwrap_or_default(),
        Err(_) => Value::Null,
    };
    lock(desk).client_keys.insert(named, keys_in(&fetched));
}
