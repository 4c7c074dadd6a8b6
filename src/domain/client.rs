//! The client: an API customer, what it registered, and where it wants to be told.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::client_authentication::ClientAuthentication;
use super::event::EventKind;
use super::id::{ClientId, InstitutionCode};
use super::return_address::ReturnAddress;
use super::scheme::Scheme;
use super::window::OpenPolicy;

/// An API customer (tenant), as configured.
pub struct Client {
    /// Its name in configuration, in callback paths and as the API's user name.
    pub id: ClientId,
    /// What people know it by.
    pub display_name: String,
    /// A picture of it on our own origin, as bytes and media type.
    pub logo: Option<Logo>,
    /// `#rrggbb`, for buttons and links.
    pub accent: Option<String>,
    /// Where people get help: `mailto:` or `https:`.
    pub support: Option<String>,
    /// The language of its pages where the person's browser names none we have.
    pub locale: Option<String>,
    /// Where its website begins: the way back from a page that ends a flow without a way of its own.
    pub home: Option<ReturnAddress>,
    /// Where people may be sent back to.
    pub return_addresses: Vec<ReturnAddress>,
    /// Apps that people may be sent back to.
    pub return_schemes: Vec<Scheme>,
    /// Origins that the completion page may tell the outcome.
    pub message_origins: Vec<String>,
    /// Where each kind of event goes.
    pub webhooks: Vec<WebhookEndpoint>,
    /// How links open unless the mint call says otherwise.
    pub open_policy: OpenPolicy,
    /// How long a link may wait to be opened.
    pub link_ttl: Duration,
    /// How long the institution's answer is awaited after the link was opened.
    pub authorization_ttl: Duration,
    /// The client's registrations at institutions.
    pub registrations: Vec<Registration>,
    /// What happens when a login turns out to be connected already.
    pub duplicates: Duplicates,
}

/// What happens when somebody connects, over OAuth, a login that another of the user's members at the
/// institution has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// The member that has it receives the new token set and becomes the inbound one; one that was
    /// waiting for its first connection is removed.
    #[default]
    Merge,
    /// The attempt fails and the grant is given back.
    Refuse,
    /// Both keep a grant of their own; institutions are not asked who signed in.
    Allow,
}

impl Client {
    /// The client's registration at `institution`.
    pub fn registration(&self, institution: &InstitutionCode) -> Option<&Registration> {
        self.registrations
            .iter()
            .find(|registration| registration.institution == *institution)
    }

    /// Where events of `kind` go, if the client wants them.
    pub fn webhook(&self, kind: EventKind) -> Option<&WebhookEndpoint> {
        self.webhooks
            .iter()
            .find(|endpoint| endpoint.kinds.contains(&kind))
    }
}

/// A picture that we serve from our own origin.
#[derive(Clone)]
pub struct Logo {
    /// `image/svg+xml`, `image/png`, …
    pub media_type: &'static str,
    /// The picture.
    pub bytes: std::sync::Arc<[u8]>,
}

/// One address that events are posted to.
pub struct WebhookEndpoint {
    /// The address.
    pub url: Url,
    /// The kinds of event it takes.
    pub kinds: Vec<EventKind>,
    /// The signing secret's bytes, from `whsec_…`; several during a rotation, newest first.
    pub secrets: Vec<SigningSecret>,
    /// What it proves itself with by HTTP Basic (RFC 7617), where the receiver wants that.
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
    /// The OAuth `client_id` there.
    pub client_id: String,
    /// What it proves itself with there.
    pub client_authentication: ClientAuthentication,
    /// The registered redirect URI: `{public_url}/oauth/redirect_from/{client}/{institution}` unless configured.
    pub redirect_uri: Url,
    /// Scopes asked for instead of the institution's.
    pub scopes: Option<Vec<String>>,
    /// What happens to an answer that arrives in a browser that did not begin the attempt.
    pub unbound_callback: UnboundCallback,
}

/// What happens to an answer that arrives in another browser (docs/SECURITY.md).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnboundCallback {
    /// The attempt fails; the code is redeemed and what it yields is revoked, never stored.
    #[default]
    Burn,
    /// This delivery is refused; the attempt stays for its own browser.
    Ignore,
}
