//! The journey: what happens between a member service's request and a connected member.
//!
//! ```text
//! mint ─▶ open ─▶ callback ─▶ connect ─▶ aggregate
//! ```
//!
//! One file and one public function per verb. Each decides, asks the store for one atomic step, and
//! returns a named outcome; none of them knows HTTP, pages or a database. [`access`] has users, keys and
//! sessions; [`members`] what a member service does besides minting, with [`credentials`] where there is
//! no OAuth; [`order`] an aggregation that a client requests; [`challenges`] what the institution asks
//! during one; [`oauth_states`] what a member service may see of its windows; [`deliver`] how events are
//! sent; [`import`] and [`export`] how grants come from another gateway and go to one; [`duties`] how what is due is
//! taken up in fair shares, [`turns`] who is served next, [`claim`] how an aggregator takes up jobs itself, [`client_keys`] how the keys that clients have at institutions are kept and published, `background`
//! how members are pulled that nobody asks for, [`circuits`] how what fails rests, [`calls`] how many calls people wait
//! for, [`certificates`] how those are kept that clients show to institutions, and [`maintenance`] how an institution
//! is not used for now, [`watch`] whether what it shows of itself has changed. [`unproven`] and [`held`] treat authorization responses that cannot be used at once, [`cancel`]
//! a person who decides not to connect, [`completion`] flows that a member service confirms, `exchange`, `redeem` and
//! `handles` what it and [`callback`] share, [`finish`] where a person goes at the end, [`deadlines`] windows
//! whose person never came back, [`rounds`] how every member is looked after, [`idempotency`] a request that is sent
//! twice, [`report`] what is kept of an attempt that failed, [`rotate`] envelopes whose seal key is to go.
//!
//! Several of them need [`institutions`] (the banks, found and searched), [`registration`] (which client at
//! which institution), `failure` (how a window ends without a connection) and [`seal_contexts`] (what each
//! envelope is for).

pub mod access;
pub mod aggregate;
mod background;
pub mod brakes;
pub mod callback;
pub mod calls;
pub mod cancel;
pub mod certificates;
pub mod challenges;
pub mod circuits;
pub mod claim;
pub mod claims;
pub mod client_keys;
pub mod completion;
pub mod connect;
mod consents;
pub mod credentials;
pub mod deadlines;
pub mod deliver;
pub mod duties;
mod exchange;
pub mod export;
mod failure;
pub mod finish;
mod handles;
pub mod held;
pub mod idempotency;
pub mod import;
pub mod in_process;
pub mod institutions;
pub mod maintenance;
pub mod members;
pub mod mint;
pub mod oauth_states;
pub mod open;
pub mod order;
mod redeem;
pub mod refresh;
pub mod registration;
pub mod report;
pub mod retry;
pub mod revoke;
pub mod rotate;
pub mod rounds;
pub mod seal_contexts;
mod settle;
pub mod timeline;
pub mod turns;
pub mod under_way;
pub mod unproven;
pub mod watch;

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use url::Url;

use crate::aggregator::Aggregator;
use crate::domain::background::BackgroundRules;
use crate::domain::client::Client;
use crate::domain::duty::DutyKind;
use crate::domain::event::{EventKind, Notice};
use crate::domain::id::{AggregatorName, ClientId, EventGuid, InstitutionCode, Partition};
use crate::domain::institution::Institution;
use crate::domain::random::Random;
use crate::metrics::Metrics;
use crate::oauth::OAuthClient;
use crate::seal::Sealer;
use crate::store::{NoticeDays, Store, StoreError};

pub use self::circuits::Circuits;
pub use self::claims::Claims;
pub use self::institutions::Institutions;
pub use self::settle::Place;
pub use self::timeline::{Clocks, Timeline};
pub use crate::store::{
    AttemptRecord, IdempotentRequest, PageRequest, Paged, Subject, VisitKind, WindowQuery,
};

/// Everything a verb needs.
pub struct Gateway {
    /// Where everything is kept.
    pub store: Store,
    /// Seals token sets, attempts and held responses.
    pub sealer: Sealer,
    /// The protocol client.
    pub oauth: OAuthClient,
    /// Who pulls the data.
    pub aggregators: Aggregators,
    /// The tenants.
    pub clients: Clients,
    /// The banks.
    pub institutions: Institutions,
    /// What the configuration says of times and limits.
    pub settings: Settings,
    /// What time it is.
    pub clock: Timeline,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The exchanges that run in this process.
    pub under_way: under_way::UnderWay,
    /// What rests because it failed.
    pub circuits: Circuits,
    /// The calls to institutions that people wait for.
    pub calls: calls::Calls,
    /// The jobs that wait to be claimed.
    pub claims: Claims,
    /// The institutions that operators say are not used for now.
    pub announced: in_process::Announced,
    /// What was granted, for the brakes.
    pub granted: in_process::Granted,
    /// The refreshes of this process.
    pub refreshing: in_process::Refreshing,
    /// Institutions that were said to have no way to give tokens back.
    pub without_revocation: in_process::WithoutEndpoint,
    /// Work that must be finished even if the browser that caused it goes away.
    pub tasks: TaskTracker,
}

/// What the configuration says of times and limits.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The origin that people and banks reach us at; the only source of our own addresses.
    pub public_url: Url,
    /// How long the authorization response is awaited after a link was opened.
    pub authorization_ttl: Duration,
    /// How long a Nexus session lasts without a call.
    pub session_idle: Duration,
    /// How long an SSO token waits to be spent.
    pub api_token_ttl: Duration,
    /// How long one delivery of an event may take.
    pub delivery_timeout: Duration,
    /// How many members a user may have.
    pub members_per_user: u32,
    /// How many duties run at a time.
    pub places: Places,
    /// How many undelivered events of a client are kept.
    pub most_waiting: u64,
    /// How many days before the end of a consent its client is told.
    pub notice_days: NoticeDays,
    /// How long OAuth members are kept that nobody connects.
    pub keep_unconnected: Duration,
    /// How long it is kept what was heard in attempts that failed.
    pub keep_reports: Duration,
    /// How often it is looked whether what institutions publish has changed.
    pub watch_every: Duration,
    /// At what age of a client's key the operator is told to replace it.
    pub client_key_old_after: Duration,
}

/// How many duties run at a time, in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// At each endpoint of each client.
    pub endpoint: usize,
    /// At each institution.
    pub institution: usize,
}

/// The tenants, by id.
#[derive(Default)]
pub struct Clients(HashMap<ClientId, Arc<Client>>);

impl Clients {
    /// Of these clients.
    pub fn new(clients: impl IntoIterator<Item = Client>) -> Self {
        Self(
            clients
                .into_iter()
                .map(|client| (client.id.clone(), Arc::new(client)))
                .collect(),
        )
    }

    /// Their ids, in order.
    pub fn ids(&self) -> Vec<&ClientId> {
        let mut ids: Vec<_> = self.0.keys().collect();
        ids.sort();
        ids
    }

    /// The client of that id.
    pub fn get(&self, id: &ClientId) -> Option<&Arc<Client>> {
        self.0.get(id)
    }
}

/// The aggregators, by name.
#[derive(Default)]
pub struct Aggregators(HashMap<AggregatorName, Arc<Aggregator>>);

impl Aggregators {
    /// Of these aggregators.
    pub fn new(aggregators: impl IntoIterator<Item = Aggregator>) -> Self {
        let named = |it: Aggregator| (it.name.clone(), Arc::new(it));
        Self(aggregators.into_iter().map(named).collect())
    }

    /// The aggregator of that name.
    pub fn get(&self, name: &AggregatorName) -> Option<&Arc<Aggregator>> {
        self.0.get(name)
    }
}

/// A failure that no caller can correct.
#[derive(Debug, thiserror::Error)]
pub enum Internal {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A client or an institution that stored data names is no longer configured.
    #[error("{0} is no longer in the configuration")]
    NotConfigured(String),
    /// The stored data cannot be read.
    #[error("what is stored cannot be read: {0}")]
    Unreadable(String),
    /// A task of ours was cut off.
    #[error("interrupted")]
    Interrupted,
}

impl Internal {
    /// Why the store cannot be reached, if that is the failure: the same may be requested again.
    pub fn store_is_away(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match self {
            Self::Store(StoreError::Unavailable(cause)) => Some(cause.as_ref()),
            _ => None,
        }
    }
}

impl Gateway {
    /// Checks that the store replies and accepts writes.
    pub async fn probe(&self) -> Result<(), Internal> {
        Ok(self.store.probe().await?)
    }

    /// How often the members that the client has at the institution are pulled in the background; not at all where
    /// one of them is no longer configured, or there is no aggregator.
    fn background(&self, client: &ClientId, institution: &InstitutionCode) -> BackgroundRules {
        let client = self.clients.get(client);
        let institution = self.institutions.get(institution);
        let both = client
            .filter(|client| client.aggregator.is_some())
            .zip(institution);
        let Some((client, institution)) = both else {
            return BackgroundRules::default();
        };
        let own = client.background.get(&institution.code).copied();
        own.unwrap_or(institution.background)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn client(&self, id: &ClientId) -> Result<&Arc<Client>, Internal> {
        self.clients
            .get(id)
            .ok_or_else(|| Internal::NotConfigured(format!("client {id}")))
    }

    /// Who pulls the data of a client's members; without one no job is queued.
    fn aggregator_of(&self, client: &ClientId) -> Option<&Arc<Aggregator>> {
        let name = self.clients.get(client)?.aggregator.as_ref()?;
        self.aggregators.get(name)
    }

    fn institution(&self, code: &InstitutionCode) -> Result<&Arc<Institution>, Internal> {
        self.institutions
            .get(code)
            .ok_or_else(|| Internal::NotConfigured(format!("institution {code}")))
    }

    /// The notices of `kinds` that `client` has an address for.
    ///
    /// An event that nobody subscribed to is not written at all.
    fn notices(&self, client: &Client, kinds: &[EventKind], partition: Partition) -> Vec<Notice> {
        let notice = |kind: &EventKind| {
            Some(Notice {
                endpoint: client.webhook(*kind)?.id,
                guid: EventGuid::new(self.random.as_ref(), partition),
                kind: *kind,
            })
        };
        kinds.iter().filter_map(notice).collect()
    }

    /// Runs work that must be finished even if the browser that caused it goes away; its log lines have
    /// the caller's fields.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn(work.in_current_span())
    }

    /// Measures the queues, for a scrape of the metrics.
    pub async fn measure_queues(&self) -> Result<(), Internal> {
        let queues = self.store.queues().await?;
        self.metrics.set_aside.set([], queues.set_aside as f64);
        let now = self.now();
        for (client, waiting) in queues.events() {
            self.metrics.events_waiting.set([client], waiting as f64);
        }
        let kinds = queues.kinds();
        for kind in DutyKind::ALL {
            let queued = kinds.get(&kind).copied().unwrap_or_default();
            let due_for = queued.due_at.map(|at| now.duration_since(at).as_secs_f64());
            let (length, kind) = (queued.length as f64, [kind.name()]);
            self.metrics.queue_length.set(kind, length);
            let due_for = due_for.unwrap_or_default().max(0.0);
            self.metrics.queue_oldest_due.set(kind, due_for);
        }
        Ok(())
    }
}

/// Whether webhooks are sent for the events that a request causes (`MX-Skip-Webhook`, `skip_webhook`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WebhookChoice {
    /// They are sent.
    #[default]
    Send,
    /// They are not sent. Later changes send theirs.
    Skip,
}

impl WebhookChoice {
    fn of(
        self,
        gateway: &Gateway,
        client: &Client,
        kinds: &[EventKind],
        partition: Partition,
    ) -> Vec<Notice> {
        match self {
            WebhookChoice::Send => gateway.notices(client, kinds, partition),
            WebhookChoice::Skip => Vec::new(),
        }
    }
}
