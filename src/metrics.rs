//! What is counted, by name. The registry is an object, not a global: two gateways in one process
//! count apart.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::domain::job::JobStatus;
use crate::domain::window::ErrorReason;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Status {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Credential {
    credential: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Limit {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DoorLabel {
    door: &'static str,
}

/// Every metric.
pub struct Metrics {
    registry: Registry,
    minted: Counter,
    opened: Counter,
    connected: Counter,
    retried: Counter,
    burnt: Counter,
    failed: Family<Reason, Counter>,
    jobs: Family<Status, Counter>,
    deliveries: Family<Status, Counter>,
    refused_credentials: Family<Credential, Counter>,
    limited: Family<Limit, Counter>,
    connections: Family<DoorLabel, Gauge>,
    refused_connections: Family<Reason, Counter>,
    cut_connections: Family<Reason, Counter>,
    accept_errors: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("guichet"),
            minted: Counter::default(),
            opened: Counter::default(),
            connected: Counter::default(),
            retried: Counter::default(),
            burnt: Counter::default(),
            failed: Family::default(),
            jobs: Family::default(),
            deliveries: Family::default(),
            refused_credentials: Family::default(),
            limited: Family::default(),
            connections: Family::default(),
            refused_connections: Family::default(),
            cut_connections: Family::default(),
            accept_errors: Counter::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "links_minted",
            "One-time links minted",
            metrics.minted.clone(),
        );
        registry.register(
            "links_opened",
            "Links claimed by a browser",
            metrics.opened.clone(),
        );
        registry.register(
            "members_connected",
            "Flows that ended connected",
            metrics.connected.clone(),
        );
        registry.register(
            "flows_retried",
            "Flows begun by Try again",
            metrics.retried.clone(),
        );
        registry.register(
            "answers_burnt",
            "Answers burnt for arriving in another browser",
            metrics.burnt.clone(),
        );
        registry.register(
            "flows_failed",
            "Flows that ended without a connection",
            metrics.failed.clone(),
        );
        registry.register(
            "job_reports",
            "Aggregation jobs, by reported status",
            metrics.jobs.clone(),
        );
        registry.register(
            "webhook_deliveries",
            "Webhook tries, by result",
            metrics.deliveries.clone(),
        );
        registry.register(
            "credentials_refused",
            "API keys, sessions and other credentials that were wrong, by kind",
            metrics.refused_credentials.clone(),
        );
        registry.register(
            "requests_limited",
            "Requests answered 429, by limit",
            metrics.limited.clone(),
        );
        registry.register(
            "connections",
            "Connections open, by door",
            metrics.connections.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections closed at once because there was no place, by what was full",
            metrics.refused_connections.clone(),
        );
        registry.register(
            "connections_cut",
            "Connections ended before their peer did, by reason",
            metrics.cut_connections.clone(),
        );
        registry.register(
            "accept_errors",
            "Connections that the system could not hand over",
            metrics.accept_errors.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// A link was minted.
    pub fn minted(&self) {
        self.minted.inc();
    }

    /// A link was claimed.
    pub fn opened(&self) {
        self.opened.inc();
    }

    /// A flow ended connected.
    pub fn connected(&self) {
        self.connected.inc();
    }

    /// A flow was tried again.
    pub fn retried(&self) {
        self.retried.inc();
    }

    /// An answer was burnt.
    pub fn burnt(&self) {
        self.burnt.inc();
    }

    /// A flow ended without a connection.
    pub fn failed(&self, reason: ErrorReason) {
        self.failed
            .get_or_create(&Reason {
                reason: reason.name(),
            })
            .inc();
    }

    /// An aggregator reported.
    pub fn reported(&self, status: JobStatus) {
        self.jobs
            .get_or_create(&Status {
                status: status.name(),
            })
            .inc();
    }

    /// A webhook was tried; `taken`, `again`, `gone` or `dead`.
    pub fn delivered(&self, result: &'static str) {
        self.deliveries
            .get_or_create(&Status { status: result })
            .inc();
    }

    /// A credential of that kind was wrong.
    pub fn credential_refused(&self, credential: &'static str) {
        self.refused_credentials
            .get_or_create(&Credential { credential })
            .inc();
    }

    /// A request was over that limit.
    pub fn limited(&self, limit: &'static str) {
        self.limited.get_or_create(&Limit { limit }).inc();
    }

    /// How many connections that door has now.
    pub fn connections(&self, door: &'static str, open: usize) {
        let open = i64::try_from(open).unwrap_or(i64::MAX);
        self.connections
            .get_or_create(&DoorLabel { door })
            .set(open);
    }

    /// A connection found no place; `reason` is what was full: `source` or `all`.
    pub fn connection_refused(&self, reason: &'static str) {
        self.refused_connections
            .get_or_create(&Reason { reason })
            .inc();
    }

    /// A connection was ended before its peer did; `reason` is `slow`, `room` or `stop`.
    pub fn connection_cut(&self, reason: &'static str) {
        self.cut_connections.get_or_create(&Reason { reason }).inc();
    }

    /// A connection could not be accepted.
    pub fn accept_failed(&self) {
        self.accept_errors.inc();
    }

    /// Everything in the OpenMetrics text format.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a String takes any text");
        text
    }
}
