//! Builds a [`Server`] from a [`Config`]: opens the store, builds the clients, and uses the real clock
//! and the real randomness, or those of a test.

use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use jiff::Timestamp;
use rand::TryRng;
use rand::rngs::SysRng;
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

use crate::aggregator::{self, Aggregator, Mode, PushEndpoint};
use crate::config::{self, AggregatorMode, Config, StoreLocation};
use crate::domain::random::Random;
use crate::flow::calls::Calls;
use crate::flow::in_process::{Announced, Granted, Refreshing, WithoutEndpoint};
use crate::flow::{
    Aggregators, Circuits, Claims, Clients, Clocks, Gateway, Institutions, Places, Settings,
    Timeline,
};
use crate::http::limits::{CallerRates, Limits, MissRates, Rates};
use crate::http::{AppState, Shared, ops};
use crate::jose;
use crate::metrics::{Configured, Metrics};
use crate::oauth::{Certificates, ClientKeys, OAuthClient};
use crate::outgoing::Outgoing;
use crate::seal::{KeyRing, SealKey, Sealer};
use crate::serve::{Caps, Server, descriptors};
use crate::store::redis::{RedisSettings, RedisStore};
use crate::store::sqlite::SqliteStore;
use crate::store::{self, NoticeDays, Retention, Store, StoreError};
use crate::webhook::{self, Webhooks};

/// Where time and randomness come from.
pub struct Sources {
    /// The machine's clocks.
    pub clocks: Box<dyn Clocks>,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
}

impl Sources {
    /// The machine's clock and the operating system's generator.
    pub fn real() -> Self {
        Self {
            clocks: Box::new(MachineClocks),
            random: Arc::new(SystemRandom),
        }
    }
}

struct MachineClocks;

impl Clocks for MachineClocks {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the clock"
    )]
    fn of_day(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    fn steady(&self) -> Duration {
        static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGUN.elapsed()
    }
}

struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        // Without randomness no link, state or key may be made, so the process cannot go on.
        SysRng
            .try_fill_bytes(bytes)
            .expect("the operating system gives randomness");
    }
}

/// Opens the configured store. The texts are warnings about it that do not keep it from being used.
pub async fn open_store(config: &Config) -> Result<(Store, Vec<String>), StoreError> {
    let retention = Retention {
        finished: config.store.keep_finished,
        delivered: config.webhooks.keep_delivered,
    };
    match &config.store.location {
        StoreLocation::Sqlite(path) => Ok((SqliteStore::open(path, retention)?.into(), Vec::new())),
        StoreLocation::Redis(address) => {
            let settings = RedisSettings {
                retention,
                accept_volatile: config.store.accept_volatile,
                acknowledged_by: config.store.acknowledged_by,
            };
            let opened = RedisStore::open(address, &config.store.prefix, settings).await?;
            Ok((opened.0.into(), opened.1))
        }
    }
}

/// What time it is, for a command that works on the store beside its gateways.
pub async fn now(store: &Store) -> Result<Timestamp, StoreError> {
    let timeline = Timeline::new(Sources::real().clocks);
    let (server, latest) = store.time().await?;
    timeline.hear(server, latest);
    Ok(timeline.now())
}

/// What time it is by this machine's clock, for a command that looks at nothing else.
pub fn time_of_day() -> Timestamp {
    MachineClocks.of_day()
}

/// The configured seal keys.
pub fn key_ring(config: &Config) -> anyhow::Result<KeyRing> {
    let mut keys = config
        .seal
        .iter()
        .map(|key| SealKey::new(&key.id, key.key.as_slice()));
    let active = keys.next().context("no seal key is configured")??;
    Ok(KeyRing::new(active, keys.collect::<Result<Vec<_>, _>>()?)?)
}

/// Builds the gateway that `config` describes. The texts are warnings about its store.
pub async fn build(config: Config, sources: Sources) -> anyhow::Result<(Server, Vec<String>)> {
    let (store, warnings) = open_store(&config).await?;
    Ok((build_on(store, config, sources)?, warnings))
}

/// Builds the gateway that `config` describes, on its store.
pub fn build_on(store: Store, config: Config, sources: Sources) -> anyhow::Result<Server> {
    let settings = Settings {
        public_url: config.public_url.url().clone(),
        authorization_ttl: config.links.authorization_ttl,
        session_idle: config.sessions.idle,
        api_token_ttl: config.sessions.api_token,
        delivery_timeout: config.webhooks.timeout,
        members_per_user: u32::try_from(config.limits.members_per_user).unwrap_or(u32::MAX),
        most_waiting: config.webhooks.most_waiting,
        notice_days: NoticeDays::new(config.consents.notice_days.clone()),
        keep_unconnected: config.store.keep_unconnected,
        keep_reports: config.store.keep_reports,
        watch_every: config.watch_every,
        client_key_old_after: config.client_keys.old_after,
        places: Places {
            endpoint: at_most(config.webhooks.places),
            institution: INSTITUTION_PLACES,
        },
    };
    jose::prove()?;
    let ring = key_ring(&config)?;
    let outgoing = outgoing(&config)?;
    let aggregators = config.aggregators.iter();
    let aggregators = aggregators.map(|settings| aggregator(settings, &outgoing));
    let aggregators: Vec<Aggregator> = aggregators.collect::<anyhow::Result<_>>()?;
    let keys = config.aggregators.iter();
    let aggregator_keys = keys.map(|it| (it.name.clone(), secret_text(it.key.expose_secret())));
    let aggregator_keys = aggregator_keys.collect();
    let webhooks = webhooks(&config)?;
    let client_keys = client_keys(&config)?;
    let certificates = certificates(&config)?;
    let mut oauth = OAuthClient::new(
        outgoing.clone(),
        client_keys,
        certificates,
        sources.random.clone(),
    )?;
    if config.public_url.is_loopback() {
        oauth = oauth.serving_this_machine()?;
    }
    let configured = Configured::of(&config.clients, &config.institutions);
    let clock = Timeline::new(sources.clocks);
    let metrics = Metrics::new(configured, store::STEPS, clock.now());
    let metrics = Arc::new(metrics);
    let gateway = Arc::new(Gateway {
        store: store.measured(metrics.clone()),
        sealer: Sealer::new(ring),
        oauth,
        claims: Claims::new(&aggregators),
        aggregators: Aggregators::new(aggregators),
        clients: Clients::new(config.clients),
        institutions: Institutions::new(config.institutions),
        settings,
        clock,
        random: sources.random,
        circuits: Circuits::new(metrics.clone()),
        calls: Calls::default(),
        announced: Announced::default(),
        granted: Granted::default(),
        refreshing: Refreshing::default(),
        without_revocation: WithoutEndpoint::default(),
        metrics: metrics.clone(),
        under_way: crate::flow::under_way::UnderWay::default(),
        tasks: tokio_util::task::TaskTracker::new(),
    });
    let sso_keys = config.sso_keys.iter().map(|(client, key)| {
        (
            client.clone(),
            Zeroizing::new(key.expose_secret().to_owned()),
        )
    });
    let app = AppState(Arc::new(Shared {
        gateway: gateway.clone(),
        aggregator_keys,
        sso_keys: sso_keys.collect(),
        trusted_proxies: config.listen.trusted_proxies.clone().into(),
        limits: Arc::new(Limits::new(rates(&config.limits), metrics)),
    }));
    let token = config
        .operator
        .token
        .as_ref()
        .map(|token| secret_text(token.expose_secret()));
    Ok(Server {
        app,
        operator: ops::Operator::new(gateway, token),
        webhooks,
        caps: asked(&config.listen).within(descriptors::limit()),
        drain: config.listen.drain,
    })
}

/// A warning, if so many descriptors leave room for fewer connections than configured.
pub fn few_descriptors(listen: &config::Listen, descriptors: usize) -> Option<String> {
    let asked = asked(listen);
    let within = asked.within(descriptors);
    (within.all < asked.all).then(|| {
        format!(
            "{descriptors} descriptors leave room for {} connections, not for the {} of \
             listen.connections; raise the hard limit of open files (LimitNOFILE=, ulimit -Hn)",
            within.all, asked.all
        )
    })
}

fn asked(listen: &config::Listen) -> Caps {
    Caps {
        all: at_most(listen.connections),
        per_source: at_most(listen.connections_per_source),
    }
}

/// How many calls without a person run at a time at one institution.
const INSTITUTION_PLACES: usize = 4;

fn at_most(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn aggregator(
    settings: &config::AggregatorSettings,
    outgoing: &Outgoing,
) -> anyhow::Result<Aggregator> {
    let mode = match &settings.mode {
        AggregatorMode::Pull => Mode::Pull,
        AggregatorMode::Push {
            url,
            secret,
            places,
        } => {
            let (url, secrets) = (url.clone(), vec![secret.clone()]);
            let endpoint = PushEndpoint::new(url, secrets, aggregator::TIMEOUT, outgoing)?;
            Mode::Push(endpoint, at_most(*places))
        }
    };
    Ok(Aggregator {
        name: settings.name.clone(),
        deadline: settings.deadline,
        answer_deadline: settings.answer_deadline,
        mode,
    })
}

/// Whether calls go through a proxy, as `config` says.
pub fn outgoing(config: &Config) -> anyhow::Result<Outgoing> {
    let Some(proxy) = &config.proxy else {
        return Ok(Outgoing::default());
    };
    Outgoing::through(proxy.url.expose_secret(), &proxy.except).map_err(anyhow::Error::msg)
}

/// The private keys that clients have at institutions.
pub fn client_keys(config: &Config) -> anyhow::Result<ClientKeys> {
    let clients = config.clients.iter();
    let registrations = clients.flat_map(|it| it.registrations.values());
    Ok(ClientKeys::open(
        registrations.filter_map(|it| it.keys.as_ref()),
    )?)
}

/// The certificates that clients show to institutions.
pub fn certificates(config: &Config) -> anyhow::Result<Certificates> {
    let registrations = config
        .clients
        .iter()
        .flat_map(|it| it.registrations.values());
    let files = registrations.filter_map(|it| it.certificate.as_ref());
    Ok(Certificates::open(files)?)
}

fn rates(limits: &config::Limits) -> Rates {
    let at_least_one = |limit: u64| {
        u32::try_from(limit)
            .ok()
            .and_then(NonZeroU32::new)
            .unwrap_or(NonZeroU32::MIN)
    };
    Rates {
        mints_per_member_per_minute: at_least_one(limits.mints_per_member_per_minute),
        misses: MissRates {
            links: at_least_one(limits.unknown_links_per_minute),
            attempts: at_least_one(limits.unknown_attempts_per_minute),
            keys: at_least_one(limits.wrong_keys_per_minute),
            sessions: at_least_one(limits.unknown_sessions_per_minute),
            credentials: at_least_one(limits.failed_look_ups_per_minute),
        },
        client: CallerRates {
            reads: at_least_one(limits.reads_per_client_per_second),
            writes: at_least_one(limits.writes_per_client_per_second),
            deletes: at_least_one(limits.deletes_per_client_per_second),
            mints: at_least_one(limits.mints_per_client_per_second),
        },
        user: CallerRates {
            reads: at_least_one(limits.reads_per_user_per_second),
            writes: at_least_one(limits.writes_per_user_per_second),
            deletes: at_least_one(limits.deletes_per_user_per_second),
            mints: at_least_one(limits.mints_per_user_per_second),
        },
    }
}

/// How deliveries are made, as `config` says.
pub fn webhooks(config: &Config) -> anyhow::Result<Webhooks> {
    let settings = webhook::Settings {
        timeout: config.webhooks.timeout,
        allow_hosts: config.webhooks.allow_hosts.clone(),
    };
    Ok(Webhooks::new(settings, &outgoing(config)?)?)
}

fn secret_text(text: &str) -> Arc<Zeroizing<String>> {
    Arc::new(Zeroizing::new(text.to_owned()))
}
