//! What the institution knows: itself, its clients, what was pushed and granted, and what it refused.

use std::collections::{HashMap, HashSet};

use guichet::flow::Clocks as _;
use serde_json::Value;
use url::Url;

use super::client_authentication;
use super::dpop::{Proofs, Purpose};
use super::grants::{Binding, Grants};
use super::keys::ServerKeys;
use super::knobs::{Knobs, Par, Token};
use super::places::Place;
use super::refusal::{Judged, Refusal};
use super::request::Parameters;
use super::rules::{Authentication, Client, Nonces, Rules, SenderConstraint};
use crate::support::gateway::MovableClock;
use crate::support::loopback::Recorded;

/// A request that was pushed (RFC 9126).
pub struct Pushed {
    pub client_id: String,
    pub parameters: Parameters,
    pub dpop_jkt: Option<String>,
    pub ends: i64,
}

/// Everything in one place. No step leaves it half-done.
pub struct Desk {
    /// `http://127.0.0.1:port`.
    pub origin: String,
    /// The same by TLS, where client certificates are asked for.
    pub tls_origin: Option<String>,
    pub rules: Rules,
    pub knobs: Knobs,
    pub clients: HashMap<String, Client>,
    /// The public keys of the clients that have some.
    pub client_keys: HashMap<String, Vec<Value>>,
    pub keys: ServerKeys,
    pub pushed: HashMap<String, Pushed>,
    pub grants: Grants,
    /// The identifiers of client assertions that were accepted.
    pub assertions: HashSet<String>,
    /// Proofs at the authorization server.
    pub proofs: Proofs,
    /// Proofs at the resources, which have nonces of their own.
    pub resource_proofs: Proofs,
    pub refusals: Vec<Refusal>,
    /// Who signs in.
    pub person: String,
    /// Why that person is refused, if so.
    pub declines: Option<(String, String)>,
    /// Where a hostile institution leads people and machines to.
    pub elsewhere: Url,
    /// How often the metadata were read.
    pub metadata_reads: usize,
    pub clock: MovableClock,
}

impl Desk {
    /// One with nobody known yet.
    pub fn new(origin: String, rules: Rules) -> Self {
        Self {
            origin,
            tls_origin: None,
            rules,
            knobs: Knobs::default(),
            clients: HashMap::new(),
            client_keys: HashMap::new(),
            keys: ServerKeys::default(),
            pushed: HashMap::new(),
            grants: Grants::default(),
            assertions: HashSet::new(),
            proofs: Proofs::default(),
            resource_proofs: Proofs::default(),
            refusals: Vec::new(),
            person: "ada".to_owned(),
            declines: None,
            elsewhere: Url::parse("https://elsewhere.example/").expect("a URL"),
            metadata_reads: 0,
            clock: MovableClock::default(),
        }
    }

    /// The issuer identifier (RFC 8414, section 2).
    pub fn issuer(&self) -> String {
        format!("{}{}", self.origin, self.rules.issuer_path)
    }

    /// The address of a place, for browsers and for clients without a certificate.
    pub fn address(&self, place: Place) -> String {
        format!("{}{}", self.origin, place.path(self.rules.issuer_path))
    }

    /// Every address of a place.
    pub fn addresses(&self, place: Place) -> Vec<String> {
        let path = place.path(self.rules.issuer_path);
        let origins = std::iter::once(&self.origin).chain(&self.tls_origin);
        origins.map(|origin| format!("{origin}{path}")).collect()
    }

    /// Seconds since 1970.
    pub fn now(&self) -> i64 {
        self.clock.of_day().as_second()
    }

    /// The client of that name.
    pub fn client(&self, client_id: &str) -> Judged<Client> {
        let client = self.clients.get(client_id).cloned();
        client.ok_or_else(|| Refusal::client(format!("client_id {client_id} is unknown")))
    }

    /// The public keys of a client.
    pub fn keys_of(&self, client_id: &str) -> Vec<Value> {
        self.client_keys.get(client_id).cloned().unwrap_or_default()
    }

    /// The client that a request comes from, which it has to prove.
    pub fn authenticated(&mut self, request: &Recorded) -> Judged<Client> {
        let claimed = client_authentication::claimed(request);
        let claimed = claimed.ok_or_else(|| Refusal::client("no client is named"))?;
        let client = self.client(&claimed)?;
        let keys = self.keys_of(&claimed);
        let (issuer, now) = (self.issuer(), self.now());
        let used = &mut self.assertions;
        client_authentication::judge(request, &client, &keys, &issuer, now, used)?;
        Ok(client)
    }

    /// When a nonce is demanded at that place.
    pub fn nonces(&self, place: Place) -> Nonces {
        let knobs = &self.knobs;
        match place {
            Place::Token if knobs.has(Token::NonceNever) => Nonces::Never,
            Place::Token if knobs.has(Token::NonceAlways) => Nonces::Always,
            Place::Token if knobs.has(Token::NonceChanging) => Nonces::Changing,
            Place::Par if knobs.has(Par::NonceDemanded) => Nonces::Always,
            _ => self.rules.nonces,
        }
    }

    /// The thumbprint of the key that a request to the authorization server proves, if it proves one.
    pub fn proof(&mut self, place: Place, request: &Recorded) -> Judged<Option<String>> {
        if place == Place::Token && self.knobs.has(Token::NonceChanging) {
            self.proofs.forget_nonces();
        }
        let purpose = Purpose {
            addresses: &self.addresses(place),
            access_token: None,
            nonces: self.nonces(place),
            now: self.now(),
        };
        self.proofs.judge(request, &purpose)
    }

    /// What the tokens of a request at the token endpoint are to be bound to.
    pub fn binding(&mut self, request: &Recorded) -> Judged<Binding> {
        let key = self.proof(Place::Token, request)?;
        match (self.rules.sender_constraint, key) {
            (SenderConstraint::None, _) => Ok(Binding::None),
            (SenderConstraint::Dpop, Some(key)) => Ok(Binding::Key(key)),
            (SenderConstraint::Dpop, None) => {
                Err(Refusal::new("invalid_dpop_proof", "there is no proof"))
            }
            (SenderConstraint::Mtls, _) => match &request.certificate {
                Some(certificate) => Ok(Binding::Certificate(super::tls::thumbprint(certificate))),
                None => Err(Refusal::request("no certificate was shown")),
            },
        }
    }

    /// What a refresh token of that client is bound to: only those of public clients are, since others prove
    /// who they are (RFC 9449, section 5).
    pub fn refresh_binding(client: &Client, binding: &Binding) -> Binding {
        match client.authentication {
            Authentication::None => binding.clone(),
            _ => Binding::None,
        }
    }
}
