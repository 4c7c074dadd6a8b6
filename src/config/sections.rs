//! The sections of the tree that do not depend on others, as the gateway uses them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use url::Url;

use super::address::{HttpsUrl, Network};
use super::fault::Refused;
use super::reading::Reading;
use super::secrets::{Inline, Written};
use super::value::{self, Section};
use crate::domain::allowed_host::AllowedHost;
use crate::domain::client::SigningSecret;
use crate::domain::id::AggregatorName;
use crate::domain::window::OpenPolicy;

const MINUTE: Duration = Duration::from_secs(60);

/// `[listen]`: the addresses of the two listeners.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// The address for people, member services and institutions.
    #[serde(deserialize_with = "socket")]
    pub address: SocketAddr,
    /// The address for the operator: health, metrics, console.
    #[serde(deserialize_with = "socket")]
    pub operator: SocketAddr,
    /// The proxies whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Vec<Network>,
    /// How many connections the public listener has at most.
    #[serde(deserialize_with = "value::between::<2, 1_000_000, _>")]
    pub connections: u64,
    /// How many of them one source address may have, unless it is a trusted proxy's.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub connections_per_source: u64,
    /// How long the gateway serves on after it was told to stop.
    #[serde(
        rename = "drain_seconds",
        deserialize_with = "value::seconds::<0, 600, _>"
    )]
    pub drain: Duration,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            operator: SocketAddr::from(([127, 0, 0, 1], 8089)),
            trusted_proxies: Vec::new(),
            connections: 8000,
            connections_per_source: 1000,
            drain: Duration::from_secs(8),
        }
    }
}

fn socket<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        serde::de::Error::custom(format!(
            "{text:?} is not an address with a port; write one such as 127.0.0.1:8080 or [::1]:8080"
        ))
    })
}

/// `[operator]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawOperator {
    pub token: Option<Inline>,
    pub token_file: Option<PathBuf>,
    pub token_env: Option<String>,
}

/// `[operator]`: who may use the operator's listener.
pub struct Operator {
    /// What the operator presents; `None` only when that listener is on loopback.
    pub token: Option<SecretString>,
}

impl Operator {
    pub(super) fn build(
        reading: &mut Reading<'_>,
        raw: RawOperator,
        listen: &Listen,
    ) -> Result<Self, Refused> {
        let written = Written {
            inline: raw.token,
            file: raw.token_file,
            env: raw.token_env,
        };
        let token = reading.caller_key("operator.token", written);
        let address = listen.operator.ip().to_canonical();
        let is_known = reading.is_as_written("listen.operator");
        if matches!(token, Ok(None)) && !address.is_loopback() && is_known {
            reading.wrong(
                "operator.token",
                format!(
                    "is needed because listen.operator is {}, which other machines can reach; set \
                     token, token_file or token_env, or listen on 127.0.0.1",
                    listen.operator
                ),
            );
        }
        if is_public(address) {
            reading.warn(
                "listen.operator",
                "the operator's listener is on a public address; put it on 127.0.0.1 or a private \
                 network",
            );
        }
        Ok(Self { token: token? })
    }
}

/// Whether the address is, or includes, one that the internet can reach.
fn is_public(address: std::net::IpAddr) -> bool {
    match address {
        std::net::IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local()),
        std::net::IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local())
        }
    }
}

/// `[links]`: how links live, unless a client says otherwise.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Links {
    /// How links open.
    pub open_policy: OpenPolicy,
    /// How long a link may wait to be opened.
    #[serde(
        rename = "link_minutes",
        deserialize_with = "value::minutes::<1, 10_080, _>"
    )]
    pub link_ttl: Duration,
    /// How long the authorization response is awaited after the link was opened.
    #[serde(
        rename = "authorization_minutes",
        deserialize_with = "value::minutes::<1, 60, _>"
    )]
    pub authorization_ttl: Duration,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            open_policy: OpenPolicy::Single,
            link_ttl: 10 * MINUTE,
            authorization_ttl: 15 * MINUTE,
        }
    }
}

impl Links {
    /// Checks the life of links against what their policy allows; `key` is the setting that an error
    /// names.
    pub(super) fn check(&self, reading: &mut Reading<'_>, key: &str) {
        let is_single = self.open_policy == OpenPolicy::Single;
        let minutes = self.link_ttl.as_secs() / 60;
        if is_single && self.link_ttl > 60 * MINUTE {
            reading.invalid(
                key,
                format!(
                    "{minutes} minutes are more than the 60 that a link may live under open_policy \
                     \"single\"; shorten them, or choose \"interstitial\" for links that travel by \
                     mail"
                ),
            );
            return;
        }
        let long = if is_single {
            30 * MINUTE
        } else {
            3 * 24 * 60 * MINUTE
        };
        if self.link_ttl > long {
            reading.warn(
                key,
                format!(
                    "links wait {minutes} minutes to be opened; whoever finds one meanwhile can \
                     use it, so prefer at most {}",
                    long.as_secs() / 60
                ),
            );
        }
    }
}

/// `[limits]`: over a limit the response is 429 with `Retry-After`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Links minted for one member.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub mints_per_member_per_minute: u64,
    /// Links minted by one client.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub mints_per_client_per_second: u64,
    /// Unknown links followed from one source address.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub unknown_links_per_minute: u64,
    /// Authorization responses and visits of outcome pages from one source address that belong to no
    /// attempt.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub unknown_attempts_per_minute: u64,
    /// Wrong keys from one source address.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub wrong_keys_per_minute: u64,
    /// Unknown or expired sessions and SSO tokens from one source address.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub unknown_sessions_per_minute: u64,
    /// Credentials from one source address that were looked up without a result.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub failed_look_ups_per_minute: u64,
    /// Requests of one client that only read.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub reads_per_client_per_second: u64,
    /// Requests of one client that create, change or order something.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub writes_per_client_per_second: u64,
    /// Requests of one client that delete.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub deletes_per_client_per_second: u64,
    /// Links minted for one user.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub mints_per_user_per_second: u64,
    /// Requests about one user that only read.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub reads_per_user_per_second: u64,
    /// Requests about one user that create, change or order something.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub writes_per_user_per_second: u64,
    /// Requests about one user that delete.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub deletes_per_user_per_second: u64,
    /// Members of one user. This is no rate, and the response is 400.
    #[serde(deserialize_with = "value::between::<1, 1_000_000, _>")]
    pub members_per_user: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mints_per_member_per_minute: 10,
            mints_per_client_per_second: 100,
            unknown_links_per_minute: 30,
            unknown_attempts_per_minute: 3000,
            wrong_keys_per_minute: 30,
            unknown_sessions_per_minute: 600,
            failed_look_ups_per_minute: 3000,
            reads_per_client_per_second: 2000,
            writes_per_client_per_second: 750,
            deletes_per_client_per_second: 150,
            mints_per_user_per_second: 10,
            reads_per_user_per_second: 200,
            writes_per_user_per_second: 75,
            deletes_per_user_per_second: 15,
            members_per_user: 1000,
        }
    }
}

impl Limits {
    /// Warns if one user may use up its client's limit.
    pub(super) fn check(&self, reading: &mut Reading<'_>) {
        for (key, user, client) in [
            (
                "mints",
                self.mints_per_user_per_second,
                self.mints_per_client_per_second,
            ),
            (
                "reads",
                self.reads_per_user_per_second,
                self.reads_per_client_per_second,
            ),
            (
                "writes",
                self.writes_per_user_per_second,
                self.writes_per_client_per_second,
            ),
            (
                "deletes",
                self.deletes_per_user_per_second,
                self.deletes_per_client_per_second,
            ),
        ] {
            if user >= client {
                reading.warn(
                    &format!("limits.{key}_per_user_per_second"),
                    format!(
                        "{user} is no less than the {client} of {key}_per_client_per_second, so \
                         one user can use up all that its client may have; make it smaller"
                    ),
                );
            }
        }
    }
}

/// `[sessions]`: how long the Nexus API's credentials live.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// A session unused for so long ends.
    #[serde(
        rename = "idle_minutes",
        deserialize_with = "value::minutes::<1, 1440, _>"
    )]
    pub idle: Duration,
    /// An SSO `api_token` not exchanged for so long ends.
    #[serde(
        rename = "api_token_minutes",
        deserialize_with = "value::minutes::<1, 60, _>"
    )]
    pub api_token: Duration,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            idle: 30 * MINUTE,
            api_token: 10 * MINUTE,
        }
    }
}

/// `[aggregator]`, or one of `[[aggregators]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAggregator {
    pub name: Option<AggregatorName>,
    #[serde(default)]
    pub mode: RawMode,
    pub url: Option<HttpsUrl>,
    pub secret: Option<Inline>,
    pub secret_file: Option<PathBuf>,
    pub secret_env: Option<String>,
    pub key: Option<Inline>,
    pub key_file: Option<PathBuf>,
    pub key_env: Option<String>,
    #[serde(default)]
    pub deadline_seconds: DeadlineSeconds,
    #[serde(default)]
    pub answer_minutes: AnswerMinutes,
    pub places: Option<AggregatorPlaces>,
}

/// How jobs come to an aggregator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawMode {
    /// They are pushed to it.
    #[default]
    Push,
    /// It claims them.
    Pull,
}

/// How many pushes run at a time.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct AggregatorPlaces(
    #[serde(deserialize_with = "super::value::between::<1, 256, _>")] pub u64,
);

impl Default for AggregatorPlaces {
    fn default() -> Self {
        Self(32)
    }
}

/// How long the gateway waits for a report about a job.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct DeadlineSeconds(
    #[serde(deserialize_with = "super::value::between::<10, 86_400, _>")] pub u64,
);

impl Default for DeadlineSeconds {
    fn default() -> Self {
        Self(600)
    }
}

/// How long the answer to an institution's question is awaited.
#[derive(Deserialize)]
#[serde(transparent)]
pub struct AnswerMinutes(#[serde(deserialize_with = "super::value::between::<1, 60, _>")] pub u64);

impl Default for AnswerMinutes {
    fn default() -> Self {
        Self(10)
    }
}

/// An aggregator: who pulls the data of some clients' members.
pub struct AggregatorSettings {
    /// What clients call it.
    pub name: AggregatorName,
    /// How jobs come to it.
    pub mode: AggregatorMode,
    /// What it presents to claim, lease and report.
    pub key: SecretString,
    /// After how long without a report a job is handed out again.
    pub deadline: Duration,
    /// How long the answer to an institution's question is awaited.
    pub answer_deadline: Duration,
}

/// How jobs come to an aggregator.
pub enum AggregatorMode {
    /// They are pushed.
    Push {
        /// Where to.
        url: Url,
        /// What pushes are signed with.
        secret: SigningSecret,
        /// How many pushes run at a time.
        places: u64,
    },
    /// It claims them.
    Pull,
}

/// The name of the one in `[aggregator]`, unless it has another.
const ONLY: &str = "default";

impl AggregatorSettings {
    /// The aggregators: the one in `[aggregator]`, or those in `[[aggregators]]`.
    pub(super) fn build_all(
        reading: &mut Reading<'_>,
        one: Option<RawAggregator>,
        several: Vec<Section<RawAggregator>>,
    ) -> Result<Vec<Self>, Refused> {
        if one.is_some() && !several.is_empty() {
            reading.wrong(
                "aggregator",
                "stands beside [[aggregators]]; write it as one of them: [[aggregators]] with a name and the same keys",
            );
        }
        let one = one.map(|raw| ("aggregator".to_owned(), raw));
        let several = several.into_iter().enumerate();
        let several = several.map(|(i, Section(raw))| (format!("aggregators[{i}]"), raw));
        let built = one.into_iter().chain(several);
        let built: Vec<_> = built
            .map(|(at, raw)| (Self::build(reading, &at, raw), at))
            .collect();
        for (nth, (aggregator, at)) in built.iter().enumerate() {
            let before = built[..nth].iter().filter_map(|(it, _)| it.as_ref().ok());
            for (aggregator, other) in before.filter_map(|it| Some((aggregator.as_ref().ok()?, it)))
            {
                if aggregator.name == other.name {
                    let problem = format!(
                        "{} is the name of another aggregator; choose another",
                        other.name
                    );
                    reading.invalid(&format!("{at}.name"), problem);
                }
                if aggregator.key.expose_secret() == other.key.expose_secret() {
                    let problem = format!(
                        "is the key of {} as well; a key tells who calls, so give each aggregator its own",
                        other.name
                    );
                    reading.invalid(&format!("{at}.key"), problem);
                }
            }
        }
        built.into_iter().map(|(built, _)| built).collect()
    }

    fn build(reading: &mut Reading<'_>, at: &str, raw: RawAggregator) -> Result<Self, Refused> {
        const MISSING: &str = "is missing; give it, or the same key with _file or _env";
        let key = |name: &str| format!("{at}.{name}");
        let name = match raw.name {
            Some(name) => Ok(name),
            None if at == "aggregator" => Ok(ONLY.parse().expect("a name")),
            None => Err(reading.missing(
                &key("name"),
                "is missing; clients name their aggregator by it",
            )),
        };
        let written = Written {
            inline: raw.secret,
            file: raw.secret_file,
            env: raw.secret_env,
        };
        let mode = match raw.mode {
            // Which one was meant is not known.
            _ if !reading.is_as_written(&key("mode")) => Err(Refused),
            RawMode::Push => {
                let url = raw.url.ok_or_else(|| {
                    let missing = "is missing; give the address that jobs are pushed to, or write mode = \"pull\"";
                    reading.missing(&key("url"), missing)
                });
                let secret = reading
                    .signing_secret(&key("secret"), written)
                    .and_then(|it| it.ok_or_else(|| reading.wrong(&key("secret"), MISSING)));
                let places = raw.places.unwrap_or_default().0;
                url.and_then(|url| {
                    Ok(AggregatorMode::Push {
                        url: url.0,
                        secret: secret?,
                        places,
                    })
                })
            }
            RawMode::Pull => {
                for (name, is_given) in [
                    ("url", raw.url.is_some()),
                    ("secret", written.inline.is_some()),
                    ("secret_file", written.file.is_some()),
                    ("secret_env", written.env.is_some()),
                    ("places", raw.places.is_some()),
                ] {
                    if is_given {
                        reading.wrong(
                            &key(name),
                            "would not be used: with mode = \"pull\" nothing is pushed; remove it, or write mode = \"push\"",
                        );
                    }
                }
                Ok(AggregatorMode::Pull)
            }
        };
        let written = Written {
            inline: raw.key,
            file: raw.key_file,
            env: raw.key_env,
        };
        let own_key = reading
            .caller_key(&key("key"), written)
            .and_then(|it| it.ok_or_else(|| reading.wrong(&key("key"), MISSING)));
        let deadline = Duration::from_secs(raw.deadline_seconds.0);
        if deadline < MINUTE {
            reading.warn(
                &key("deadline_seconds"),
                "a job that takes longer is ordered again while it runs; give it a minute or more",
            );
        }
        Ok(Self {
            name: name?,
            mode: mode?,
            key: own_key?,
            deadline,
            answer_deadline: Duration::from_secs(60 * raw.answer_minutes.0),
        })
    }
}

/// `[webhooks]`: how events are delivered, for all clients.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// How long one delivery may take.
    #[serde(
        rename = "timeout_seconds",
        deserialize_with = "value::seconds::<1, 60, _>"
    )]
    pub timeout: Duration,
    /// How many deliveries to one endpoint run at a time.
    #[serde(deserialize_with = "value::between::<1, 64, _>")]
    pub places: u64,
    /// How many undelivered events of a client are kept.
    #[serde(deserialize_with = "value::between::<100, 100_000_000, _>")]
    pub most_waiting: u64,
    /// How long an event that was delivered is kept, so that it can be sent again.
    #[serde(
        rename = "keep_delivered_hours",
        deserialize_with = "value::hours::<0, 168, _>"
    )]
    pub keep_delivered: Duration,
    /// Hosts and ports that endpoints may lead to, wherever they are.
    pub allow_hosts: Vec<AllowedHost>,
}

impl Default for WebhookSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(20),
            places: 4,
            most_waiting: 100_000,
            keep_delivered: Duration::from_secs(24 * 60 * 60),
            allow_hosts: Vec::new(),
        }
    }
}

/// `[consents]`: what is told of their end.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Consents {
    /// How many days before the end of a consent its client is told.
    #[serde(deserialize_with = "value::each_between::<1, 365, _>")]
    pub notice_days: Vec<u32>,
}

impl Default for Consents {
    fn default() -> Self {
        Self {
            notice_days: vec![30, 7, 1],
        }
    }
}

/// `[client_keys]`: the private keys that clients have at institutions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientKeys {
    /// At what age of a key the operator is told to replace it.
    #[serde(
        rename = "old_after_days",
        deserialize_with = "value::days::<1, 3650, _>"
    )]
    pub old_after: Duration,
}

impl Default for ClientKeys {
    fn default() -> Self {
        Self {
            old_after: Duration::from_secs(400 * 24 * 60 * 60),
        }
    }
}

/// `[log]`: what is written to standard error.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// For people or for machines.
    pub format: LogFormat,
    /// What is written.
    #[serde(deserialize_with = "filter")]
    pub filter: LogFilter,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            filter: LogFilter(Targets::new().with_default(Level::INFO)),
        }
    }
}

/// Which lines are logged: a level, `part=level`, or several of these with commas between; each part once.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFilter(pub Targets);

/// Why a text is no [`LogFilter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a log filter; write a level such as info, or guichet=debug,info")]
pub struct NoLogFilter;

impl FromStr for LogFilter {
    type Err = NoLogFilter;

    fn from_str(text: &str) -> Result<Self, NoLogFilter> {
        let mut filter = Targets::new();
        let mut parts = BTreeSet::new();
        for directive in text.split(',').map(str::trim) {
            let (part, level) = match directive.split_once('=') {
                Some((part, level)) => (Some(part), level),
                None => (None, directive),
            };
            let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_of_name);
            let is_sound = part.is_none_or(|part| part.split("::").all(is_name));
            // The library reads a level that is left out as `error`.
            if !is_sound || level.is_empty() || !parts.insert(part) {
                return Err(NoLogFilter);
            }
            let level: LevelFilter = level.parse().map_err(|_| NoLogFilter)?;
            filter = match part {
                None => filter.with_default(level),
                Some(part) => filter.with_target(part, level),
            };
        }
        Ok(Self(filter))
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A line to read.
    Text,
    /// A JSON object to collect.
    Json,
}

fn filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<LogFilter, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}
