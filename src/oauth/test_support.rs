//! An institution and a registration for the tests of this folder.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::OAuthClient;
use super::attempt::AttemptSecrets;
use super::certificates::Certificates;
use super::client_keys::ClientKeys;
use super::registered::Registered;
use crate::domain::algorithm::SigningAlgorithm;
use crate::domain::authorization::{AuthorizationRules, ResponseMode};
use crate::domain::call::Calls;
use crate::domain::client::{Completion, ConfirmHolds, KeyFiles, Registration, UnboundCallback};
use crate::domain::client_authentication::{
    AuthenticationMethod, BasicEncoding, ClientAuthentication,
};
use crate::domain::institution::{
    CALLS_AT_ONCE, CallHeaders, Discovery, IssuerRule, MtlsAliases, OAuth, OpenId, Pkce,
    RefreshRules,
};
use crate::domain::random::Random;
use crate::outgoing::Outgoing;

/// The operating system's randomness.
pub struct Os;

impl Random for Os {
    fn fill(&self, bytes: &mut [u8]) {
        aws_lc_rs::rand::fill(bytes).unwrap();
    }
}

/// A client of institutions, without keys and certificates, for which they may be on this machine.
pub fn client() -> OAuthClient {
    client_of(ClientKeys::default())
}

/// The same, with these keys.
pub fn client_of(keys: ClientKeys) -> OAuthClient {
    let certificates = Certificates::default();
    let client = OAuthClient::new(Outgoing::default(), keys, certificates, Arc::new(Os));
    client.unwrap().serving_this_machine().unwrap()
}

/// Files with one RSA key, to sign with `PS256` or to be encrypted to.
pub fn key_files(signs: bool) -> KeyFiles {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/jose/proof.pem");
    match signs {
        true => KeyFiles {
            signing: vec![file],
            algorithms: vec![SigningAlgorithm::PS256],
            ..KeyFiles::default()
        },
        false => KeyFiles {
            encryption: vec![file],
            ..KeyFiles::default()
        },
    }
}

/// A client of institutions, with these keys.
pub fn client_with(keys: &KeyFiles) -> OAuthClient {
    client_of(ClientKeys::open([keys]).unwrap())
}

/// An institution whose endpoints are `/authorize`, `/token` and `/revoke` under `base`.
pub fn oauth(base: &Url) -> OAuth {
    OAuth {
        authorization_endpoint: base.join("/authorize").unwrap(),
        token_endpoint: base.join("/token").unwrap(),
        revocation_endpoint: Some(base.join("/revoke").unwrap()),
        issuer: Some("https://bank.example".to_owned()),
        iss: IssuerRule::IfPresent,
        discovery: Discovery::default(),
        client_authentication: AuthenticationMethod::ClientSecretBasic(BasicEncoding::Form),
        request_object_signing_alg: None,
        scopes: vec!["accounts".to_owned(), "transactions".to_owned()],
        scope_separator: " ".to_owned(),
        calls: Calls::default(),
        values: Vec::new(),
        pkce: Pkce::Required,
        response_mode: ResponseMode::Query,
        authorization: AuthorizationRules::default(),
        openid: OpenId::default(),
        subject: None,
        refresh: RefreshRules::default(),
        consent: None,
        code_life: None,
        revoke_replaced: true,
        error_map: BTreeMap::new(),
        mtls_aliases: MtlsAliases::default(),
        call_headers: CallHeaders::default(),
        allow_hosts: Vec::new(),
        calls_at_once: CALLS_AT_ONCE,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(10),
    }
}

/// The registration `guichet-1` with a client secret.
pub fn registration() -> Registration {
    Registration {
        institution: "bank".parse().unwrap(),
        oauth: Arc::new(oauth(&Url::parse("https://bank.example").unwrap())),
        client_id: "guichet-1".to_owned(),
        client_authentication: ClientAuthentication::ClientSecretBasic(
            BasicEncoding::Form,
            SecretString::from("CANARY-client-secret"),
        ),
        keys: None,
        certificate: None,
        redirect_uri: Url::parse("https://gateway.example/oauth/redirect_from/app/bank").unwrap(),
        redirect_uri_alias: None,
        scopes: None,
        completion: Completion::Immediate,
        confirm_holds: ConfirmHolds::Code,
        unbound_callback: UnboundCallback::Burn,
    }
}

/// That registration at that institution.
pub fn at<'a>(oauth: &'a OAuth, registration: &'a Registration) -> Registered<'a> {
    Registered {
        oauth,
        registration,
        calls: None,
    }
}

/// Secrets that are `v…` and `n…`.
pub fn secrets() -> AttemptSecrets {
    let bytes = format!("\u{1}{}{}", "v".repeat(43), "n".repeat(43));
    AttemptSecrets::from_bytes(bytes.as_bytes()).unwrap()
}
