//! The tree as it is written: every section and key, before the parts are checked against each other.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

use super::address::{HttpsUrl, Origin, PublicUrl};
use super::institutions::{BackgroundMinutes, BackgroundPerDay};
use super::outgoing::RawOutgoing;
use super::secrets::Inline;
use super::sections::{
    ClientKeys, Consents, Limits, Links, Listen, Log, RawAggregator, RawOperator, Sessions,
    WebhookSettings,
};
use super::value::{
    self, Accent, BasicUser, Label, Locale, Parsed, Scope, Section, Support, optional_section,
    section,
};
use crate::domain::client::{Completion, ConfirmHolds, Duplicates, UnboundCallback};
use crate::domain::event::EventKind;
use crate::domain::id::{AggregatorName, ClientId, InstitutionCode};
use crate::domain::return_address::ReturnAddress;
use crate::domain::scheme::Scheme;
use crate::domain::window::OpenPolicy;

/// The whole tree.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    pub public_url: PublicUrl,
    #[serde(default, deserialize_with = "section")]
    pub listen: Listen,
    #[serde(default, deserialize_with = "section")]
    pub operator: RawOperator,
    #[serde(default, deserialize_with = "section")]
    pub store: Store,
    #[serde(default, deserialize_with = "section")]
    pub seal: Seal,
    #[serde(default, deserialize_with = "section")]
    pub links: Links,
    #[serde(default, deserialize_with = "section")]
    pub limits: Limits,
    #[serde(default, deserialize_with = "section")]
    pub sessions: Sessions,
    #[serde(default, deserialize_with = "optional_section")]
    pub aggregator: Option<RawAggregator>,
    #[serde(default)]
    pub aggregators: Vec<Section<RawAggregator>>,
    #[serde(default, deserialize_with = "section")]
    pub webhooks: WebhookSettings,
    #[serde(default, deserialize_with = "section")]
    pub consents: Consents,
    #[serde(default, deserialize_with = "section")]
    pub client_keys: ClientKeys,
    #[serde(default, deserialize_with = "section")]
    pub outgoing: RawOutgoing,
    #[serde(default, deserialize_with = "section")]
    pub institutions: Institutions,
    #[serde(default, deserialize_with = "section")]
    pub log: Log,
    #[serde(default)]
    pub clients: Vec<Section<Client>>,
}

/// `[store]`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    pub url: Option<Inline>,
    pub url_file: Option<PathBuf>,
    pub url_env: Option<String>,
    pub prefix: Option<String>,
    pub accept_volatile: bool,
    pub acknowledged_by: Option<Replicas>,
    pub keep_finished_days: KeepDays,
    pub keep_unconnected_days: KeepDays,
    pub keep_reports_days: ReportDays,
}

/// A number of replicas.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct Replicas(#[serde(deserialize_with = "super::value::between::<0, 16, _>")] pub u64);

/// How many days something is kept.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct KeepDays(#[serde(deserialize_with = "super::value::between::<1, 3650, _>")] pub u64);

impl Default for KeepDays {
    fn default() -> Self {
        Self(30)
    }
}

/// How many days what was heard in attempts that failed is kept; 0: not at all.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct ReportDays(#[serde(deserialize_with = "super::value::between::<0, 30, _>")] pub u64);

impl Default for ReportDays {
    fn default() -> Self {
        Self(7)
    }
}

/// `[seal]`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seal {
    pub keys: Vec<Section<SealKey>>,
}

/// One entry of `seal.keys`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealKey {
    pub id: String,
    pub key: Option<Inline>,
    pub key_file: Option<PathBuf>,
    pub key_env: Option<String>,
}

/// `[institutions]`
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Institutions {
    pub folder: PathBuf,
    #[serde(rename = "watch_hours", deserialize_with = "value::hours::<1, 168, _>")]
    pub watch_every: Duration,
}

impl Default for Institutions {
    fn default() -> Self {
        Self {
            folder: "institutions".into(),
            watch_every: Duration::from_secs(6 * 60 * 60),
        }
    }
}

/// `[[clients]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    pub id: ClientId,
    pub name: Label,
    pub aggregator: Option<AggregatorName>,
    pub sso_key: Option<Inline>,
    pub sso_key_file: Option<PathBuf>,
    pub sso_key_env: Option<String>,
    pub logo_file: Option<PathBuf>,
    pub accent: Option<Accent>,
    pub support: Option<Support>,
    pub locale: Option<Locale>,
    pub home: Option<Parsed<ReturnAddress>>,
    #[serde(default)]
    pub return_addresses: Vec<Parsed<ReturnAddress>>,
    #[serde(default)]
    pub return_schemes: Vec<Parsed<Scheme>>,
    #[serde(default)]
    pub allow_legacy_schemes: bool,
    #[serde(default)]
    pub message_origins: Vec<Origin>,
    pub open_policy: Option<OpenPolicy>,
    pub link_minutes: Option<LinkMinutes>,
    pub authorization_minutes: Option<AuthorizationMinutes>,
    #[serde(default)]
    pub duplicates: Duplicates,
    #[serde(default)]
    pub webhooks: Vec<Section<Webhook>>,
    #[serde(default)]
    pub registrations: Vec<Section<Registration>>,
    #[serde(default)]
    pub background: Vec<Section<Background>>,
}

/// `[[clients.background]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Background {
    pub institution: InstitutionCode,
    pub background_minutes: Option<BackgroundMinutes>,
    pub background_per_day: Option<BackgroundPerDay>,
}

/// How long a link may wait to be opened.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct LinkMinutes(
    #[serde(deserialize_with = "super::value::between::<1, 10_080, _>")] pub u64,
);

/// How long the authorization response is awaited.
#[derive(Clone, Copy, Deserialize)]
#[serde(transparent)]
pub struct AuthorizationMinutes(
    #[serde(deserialize_with = "super::value::between::<1, 60, _>")] pub u64,
);

/// `[[clients.webhooks]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    pub url: HttpsUrl,
    pub events: Vec<Parsed<Kind>>,
    pub secret: Option<Inline>,
    pub secret_file: Option<PathBuf>,
    pub secret_env: Option<String>,
    pub previous_secret: Option<Inline>,
    pub previous_secret_file: Option<PathBuf>,
    pub previous_secret_env: Option<String>,
    pub basic_username: Option<BasicUser>,
    pub basic_password: Option<Inline>,
    pub basic_password_file: Option<PathBuf>,
    pub basic_password_env: Option<String>,
}

/// A kind of event, by its name.
#[derive(Clone, Copy)]
pub struct Kind(pub EventKind);

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        EventKind::from_name(name).map(Self).ok_or_else(|| {
            let known: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.name()).collect();
            let known = known.join(", ");
            format!("{name:?} is not a kind of event; write some of {known}")
        })
    }
}

/// `[[clients.registrations]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    pub institution: InstitutionCode,
    pub client_id: String,
    pub client_secret: Option<Inline>,
    pub client_secret_file: Option<PathBuf>,
    pub client_secret_env: Option<String>,
    #[serde(default)]
    pub signing_key_files: Vec<PathBuf>,
    #[serde(default)]
    pub encryption_key_files: Vec<PathBuf>,
    pub certificate_file: Option<PathBuf>,
    pub certificate_key_file: Option<PathBuf>,
    pub redirect_uri: Option<HttpsUrl>,
    pub redirect_uri_alias: Option<Label>,
    pub scopes: Option<Vec<Scope>>,
    #[serde(default)]
    pub completion: Completion,
    pub confirm_holds: Option<ConfirmHolds>,
    #[serde(default)]
    pub unbound_callback: UnboundCallback,
    #[serde(default)]
    pub oauth: toml::Table,
}
