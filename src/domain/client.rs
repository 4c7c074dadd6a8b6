//! The client: an API customer, its registrations, and its webhook endpoints.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::algorithm::SigningAlgorithm;
use super::background::BackgroundRules;
use super::client_authentication::ClientAuthentication;
use super::endpoint::EndpointId;
use super::event::EventKind;
use super::id::{AggregatorName, ClientId, InstitutionCode};
use super::institution::OAuth;
use super::logo::Logo;
use super::return_address::ReturnAddress;
use super::scheme::Scheme;
use super::window::OpenPolicy;

/// An API customer (tenant), as configured.
pub struct Client {
    /// Its name in configuration, in callback paths and as the API's user name.
    pub id: ClientId,
    /// The name that people know.
    pub display_name: String,
    /// A picture of it on our own origin, as bytes and media type.
    pub logo: Option<Logo>,
    /// `#rrggbb`, for buttons and links.
    pub accent: Option<String>,
    /// Where people get help: `mailto:` or `https:`.
    pub support: Option<String>,
    /// The language of its pages if the person's browser names none that is available.
    pub locale: Option<String>,
    /// Its website: the way back from a page that ends a flow, if the flow has none of its own.
    pub home: Option<ReturnAddress>,
    /// The registered return addresses.
    pub return_addresses: Vec<ReturnAddress>,
    /// The registered schemes of apps.
    pub return_schemes: Vec<Scheme>,
    /// Origins that the completion page may send the outcome to.
    pub message_origins: Vec<String>,
    /// Where each kind of event goes.
    pub webhooks: Vec<WebhookEndpoint>,
    /// How links open unless the mint call says otherwise.
    pub open_policy: OpenPolicy,
    /// How long a link may wait to be opened.
    pub link_ttl: Duration,
    /// How long the authorization response is awaited after the link was opened.
    pub authorization_ttl: Duration,
    /// The client's registrations, by institution.
    pub registrations: BTreeMap<InstitutionCode, Registration>,
    /// What happens if a login is connected already.
    pub duplicates: Duplicates,
    /// Who pulls its members' data; `None`: nobody, because no aggregator is configured.
    pub aggregator: Option<AggregatorName>,
    /// Where its members are pulled in the background otherwise than the institution's file says.
    pub background: BTreeMap<InstitutionCode, BackgroundRules>,
}

/// What happens when somebody connects, with OAuth, a login that another of the user's members at the
/// institution has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// The existing member receives the new token set and becomes the inbound member; the new member, if
    /// it was never connected, is deleted.
    #[default]
    Merge,
    /// The attempt fails and the tokens are revoked.
    Refuse,
    /// Both members have tokens of their own; institutions are not asked who signed in.
    Allow,
}

impl Client {
    /// The client's registration at `institution`.
    pub fn registration(&self, institution: &InstitutionCode) -> Option<&Registration> {
        self.registrations.get(institution)
    }

    /// Where events of `kind` are sent, if the client has configured an address.
    pub fn webhook(&self, kind: EventKind) -> Option<&WebhookEndpoint> {
        self.webhooks
            .iter()
            .find(|endpoint| endpoint.kinds.contains(&kind))
    }
}

/// One address that events are posted to.
pub struct WebhookEndpoint {
    /// What it is known by.
    pub id: EndpointId,
    /// The address.
    pub url: Url,
    /// The kinds of event that are sent to it.
    pub kinds: Vec<EventKind>,
    /// The signing secret's bytes, from `whsec_…`; several during a rotation, newest first.
    pub secrets: Vec<SigningSecret>,
    /// The credentials for HTTP Basic (RFC 7617), if configured.
    pub basic: Option<BasicCredentials>,
}

/// A user name and password for HTTP Basic (RFC 7617).
#[derive(Clone)]
pub struct BasicCredentials {
    /// Without a colon.
    pub username: String,
    /// The password.
    pub password: SecretString,
}

/// The bytes of a Standard Webhooks secret.
#[derive(Clone)]
pub struct SigningSecret(pub zeroize::Zeroizing<Vec<u8>>);

/// A client's registration at one institution.
pub struct Registration {
    /// Where.
    pub institution: InstitutionCode,
    /// The institution's OAuth, with what this registration has otherwise.
    pub oauth: Arc<OAuth>,
    /// The OAuth `client_id` there.
    pub client_id: String,
    /// How it authenticates there, with its client secret.
    pub client_authentication: ClientAuthentication,
    /// Where its private keys are, if it has any.
    pub keys: Option<KeyFiles>,
    /// The certificate that it shows in TLS, where it has one.
    pub certificate: Option<CertificateFiles>,
    /// The registered redirect URI: `{public_url}/oauth/redirect_from/{client}/{institution}` unless configured.
    pub redirect_uri: Url,
    /// What requests have in its place, if the institution knows it by a name.
    pub redirect_uri_alias: Option<String>,
    /// Scopes asked for instead of the institution's.
    pub scopes: Option<Vec<String>>,
    /// What completes a flow that came back in the attempt's own browser.
    pub completion: Completion,
    /// What is held while a confirmation is awaited.
    pub confirm_holds: ConfirmHolds,
    /// What happens to an authorization response in another browser than the attempt's.
    pub unbound_callback: UnboundCallback,
}

/// Where the private keys of a registration are, in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyFiles {
    /// Those that sign: of those that fit an algorithm the first does, and all are published.
    pub signing: Vec<PathBuf>,
    /// Those that institutions encrypt to.
    pub encryption: Vec<PathBuf>,
    /// What is signed with.
    pub algorithms: Vec<SigningAlgorithm>,
}

impl Registration {
    /// Whether some of its flows wait for the member service's confirmation.
    pub fn awaits_confirmations(&self) -> bool {
        self.completion == Completion::Confirm || self.unbound_callback == UnboundCallback::Confirm
    }
}

/// What completes a flow (docs/SECURITY.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completion {
    /// The authorization response.
    #[default]
    Immediate,
    /// The member service: it confirms that the person who came back is the one the link was made for.
    Confirm,
}

/// What is held while a confirmation is awaited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmHolds {
    /// The code: it is exchanged once it is confirmed.
    #[default]
    Code,
    /// The token set: the code is exchanged at once, and without a confirmation the tokens are revoked.
    Tokens,
}

/// Where a certificate and its key are, in PEM. They are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CertificateFiles {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What happens to an authorization response in another browser than the attempt's (docs/SECURITY.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnboundCallback {
    /// The attempt fails; the code is redeemed and its tokens are revoked, never stored.
    #[default]
    Burn,
    /// It waits for the member service's confirmation, and the attempt belongs to the browser it arrived in.
    Confirm,
    /// The response is refused; the attempt goes on waiting for its own browser.
    Ignore,
}
