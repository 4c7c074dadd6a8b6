//! Series that exist from the start: the values of every label come from the configuration or from a list
//! of ours, never from a request.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::client::Client;
use crate::domain::institution::Institution;

/// The value for a client or an institution that stored data still names but is no longer configured.
pub const OTHER: &str = "other";

/// The upper bounds of a histogram's buckets, in seconds: from a step in memory to an institution's
/// longest time limit.
const BUCKETS_S: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// The clients and institutions that may be named by a label.
#[derive(Default)]
pub struct Configured {
    clients: BTreeSet<String>,
    institutions: BTreeSet<String>,
    /// Which client is registered at which institution.
    registered: BTreeSet<(String, String)>,
    /// The institutions without OAuth, where nobody has to be registered.
    standard: BTreeSet<String>,
}

impl Configured {
    /// Those of a configuration.
    pub fn of(clients: &[Client], institutions: &[Institution]) -> Self {
        let codes = |institutions: &mut dyn Iterator<Item = &Institution>| {
            institutions.map(|it| it.code.to_string()).collect()
        };
        let registered = clients.iter().flat_map(|client| {
            let at = client.registrations.values();
            at.map(|it| (client.id.to_string(), it.institution.to_string()))
        });
        Self {
            clients: clients.iter().map(|it| it.id.to_string()).collect(),
            institutions: codes(&mut institutions.iter()),
            registered: registered.collect(),
            standard: codes(&mut institutions.iter().filter(|it| it.oauth.is_none())),
        }
    }
}

/// A label and the values it may have.
#[derive(Clone)]
pub enum Label {
    /// `client`: one that is configured.
    Client,
    /// `institution`: one that is configured. Together with `client` there is a series from the start for
    /// each institution where the client is registered.
    OAuthInstitution,
    /// The same, and also for each institution without OAuth.
    Institution,
    /// A name, and all its values.
    OneOf(&'static str, Vec<&'static str>),
}

impl Label {
    fn name(&self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::OAuthInstitution | Self::Institution => "institution",
            Self::OneOf(name, _) => name,
        }
    }

    fn values(&self, configured: &Configured) -> Vec<String> {
        match self {
            Self::Client => configured.clients.iter().cloned().collect(),
            Self::OAuthInstitution | Self::Institution => {
                configured.institutions.iter().cloned().collect()
            }
            Self::OneOf(_, values) => values.iter().map(|value| (*value).to_owned()).collect(),
        }
    }

    fn knows(&self, configured: &Configured, value: &str) -> bool {
        match self {
            Self::Client => configured.clients.contains(value),
            Self::OAuthInstitution | Self::Institution => configured.institutions.contains(value),
            Self::OneOf(_, values) => values.contains(&value),
        }
    }
}

/// The labels of one series, with their values.
type Labelled<const N: usize> = [(&'static str, String); N];

/// The labels of a metric.
#[derive(Clone)]
struct Labels<const N: usize> {
    labels: [Label; N],
    configured: Arc<Configured>,
}

impl<const N: usize> Labels<N> {
    /// The series of these values.
    fn of(&self, values: [&str; N]) -> Labelled<N> {
        std::array::from_fn(|n| {
            let (label, value) = (&self.labels[n], values[n]);
            let is_known = label.knows(&self.configured, value);
            let value = if is_known { value } else { OTHER };
            (label.name(), value.to_owned())
        })
    }

    /// The series of all combinations of values; of clients and institutions, only those that can occur
    /// together.
    fn all(&self) -> Vec<Labelled<N>> {
        let mut rows = vec![Vec::new()];
        for label in &self.labels {
            let values = label.values(&self.configured);
            let longer = |row: &Vec<String>| {
                let row = row.clone();
                let with = move |value: &String| [row.clone(), vec![value.clone()]].concat();
                values.iter().map(with).collect::<Vec<_>>()
            };
            rows = rows.iter().flat_map(longer).collect();
        }
        rows.retain(|row| self.may_meet(row));
        let labelled =
            |row: Vec<String>| std::array::from_fn(|n| (self.labels[n].name(), row[n].clone()));
        rows.into_iter().map(labelled).collect()
    }
}

impl<const N: usize> Labels<N> {
    /// Whether the client and the institution of that series can occur together, if it has both.
    fn may_meet(&self, row: &[String]) -> bool {
        let at = |wanted: fn(&Label) -> bool| self.labels.iter().position(wanted);
        let standard_too = at(|label| matches!(label, Label::Institution));
        let institution = standard_too.or(at(|label| matches!(label, Label::OAuthInstitution)));
        let client = at(|label| matches!(label, Label::Client));
        let Some((client, institution)) = client.zip(institution) else {
            return true;
        };
        let pair = (row[client].clone(), row[institution].clone());
        self.configured.registered.contains(&pair)
            || (standard_too.is_some() && self.configured.standard.contains(&pair.1))
    }
}

/// Counts, by labels.
pub struct Counters<const N: usize> {
    labels: Labels<N>,
    series: Family<Labelled<N>, Counter>,
}

impl<const N: usize> Counters<N> {
    /// Counts one; the values are in the order of the labels.
    pub fn count(&self, values: [&str; N]) {
        self.count_many(values, 1);
    }

    /// Counts that many.
    pub fn count_many(&self, values: [&str; N], how_many: u64) {
        let labelled = self.labels.of(values);
        self.series.get_or_create(&labelled).inc_by(how_many);
    }
}

/// Values as they are now, by labels.
pub struct Gauges<const N: usize> {
    labels: Labels<N>,
    series: Family<Labelled<N>, Gauge<f64, AtomicU64>>,
}

impl<const N: usize> Gauges<N> {
    /// It is `value` now.
    pub fn set(&self, values: [&str; N], value: f64) {
        let labelled = self.labels.of(values);
        self.series.get_or_create(&labelled).set(value);
    }

    /// It is so much more now, or less.
    pub fn add(&self, values: [&str; N], change: f64) {
        let labelled = self.labels.of(values);
        self.series.get_or_create(&labelled).inc_by(change);
    }
}

/// How long things took, by labels.
pub struct Timers<const N: usize> {
    labels: Labels<N>,
    series: Family<Labelled<N>, Histogram, fn() -> Histogram>,
}

impl<const N: usize> Timers<N> {
    /// It took that long.
    pub fn took(&self, values: [&str; N], time: Duration) {
        let labelled = self.labels.of(values);
        let series = self.series.get_or_create(&labelled);
        series.observe(time.as_secs_f64());
    }

    /// Measures from now until the timing is dropped, also if the measured work is cancelled.
    pub fn start<'a>(&'a self, values: [&'a str; N]) -> Timing<'a, N> {
        Timing {
            timers: self,
            values,
            since: Instant::now(),
        }
    }
}

/// A measurement under way.
#[must_use = "what is dropped at once measures nothing"]
pub struct Timing<'a, const N: usize> {
    timers: &'a Timers<N>,
    values: [&'a str; N],
    since: Instant,
}

impl<const N: usize> Drop for Timing<'_, N> {
    fn drop(&mut self) {
        self.timers.took(self.values, self.since.elapsed());
    }
}

/// Makes metrics and enters them in a registry.
pub(super) struct Maker<'a> {
    registry: &'a mut Registry,
    configured: Arc<Configured>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(registry: &'a mut Registry, configured: Configured) -> Self {
        Self {
            registry,
            configured: Arc::new(configured),
        }
    }

    fn labels<const N: usize>(&self, labels: [Label; N]) -> Labels<N> {
        Labels {
            labels,
            configured: self.configured.clone(),
        }
    }

    /// `{name}_total`.
    pub(super) fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [Label; N],
    ) -> Counters<N> {
        let (labels, series) = (self.labels(labels), Family::default());
        for labelled in labels.all() {
            drop(series.get_or_create(&labelled));
        }
        self.registry.register(name, help, series.clone());
        Counters { labels, series }
    }

    /// `name`.
    /// Gauges that are there only where they were set.
    pub(super) fn gauges_where_set<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [Label; N],
    ) -> Gauges<N> {
        let (labels, series) = (self.labels(labels), Family::default());
        self.registry.register(name, help, series.clone());
        Gauges { labels, series }
    }

    pub(super) fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [Label; N],
    ) -> Gauges<N> {
        let (labels, series) = (self.labels(labels), Family::default());
        for labelled in labels.all() {
            drop(series.get_or_create(&labelled));
        }
        self.registry.register(name, help, series.clone());
        Gauges { labels, series }
    }

    /// `{name}_seconds`.
    pub(super) fn timers<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [Label; N],
    ) -> Timers<N> {
        let constructor: fn() -> Histogram = || Histogram::new(BUCKETS_S);
        let (labels, series) = (
            self.labels(labels),
            Family::new_with_constructor(constructor),
        );
        for labelled in labels.all() {
            drop(series.get_or_create(&labelled));
        }
        self.registry
            .register_with_unit(name, help, Unit::Seconds, series.clone());
        Timers { labels, series }
    }
}
