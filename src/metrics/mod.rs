//! The metrics, by name. The registry is an object, not a global: two gateways in one process count
//! separately.
//!
//! A metric is one field and one line in [`Metrics::new`]; `docs/METRICS.md` lists all of them. To count:
//! `metrics.flows_failed.count([client, institution, reason])`, values in the order of the labels. To
//! measure: `let _timing = metrics.mint.start([]);`, which ends where it is dropped.

mod process;
mod series;

use jiff::Timestamp;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::domain::duty::DutyKind;
use crate::domain::job::JobStatus;
use crate::domain::member::Member;
use crate::domain::watch::Aspect;
use crate::domain::window::ErrorReason;
use crate::steps::Refused;
use process::Process;
use series::Maker;

pub use series::{Configured, Counters, Gauges, Label, OTHER, Timers, Timing};

/// The values of `client` and `institution` for that member.
pub fn of(member: &Member) -> [&str; 2] {
    [member.client.as_str(), member.institution.as_str()]
}

/// The kinds of credential.
const CREDENTIALS: [&str; 5] = [
    "api_key",
    "sso_key",
    "aggregator_key",
    "sso_token",
    "session",
];

/// What is limited (`docs/SECURITY.md`).
const LIMITS: [&str; 9] = [
    "client",
    "user",
    "member",
    "failed_look_ups",
    "overload",
    "unknown_attempts",
    "unknown_links",
    "unknown_sessions",
    "wrong_keys",
];

/// How a webhook delivery may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// The receiver accepted it.
    Delivered,
    /// It was not accepted, and is tried again later.
    Retried,
    /// The receiver does not want it (410).
    Gone,
    /// The last try failed; it is not tried again.
    Abandoned,
}

impl Delivered {
    const NAMES: [&'static str; 4] = ["delivered", "retried", "gone", "abandoned"];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// How a refresh may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshing {
    /// New tokens were kept.
    Refreshed,
    /// The institution refused the token.
    Refused,
    /// The token may have been used up.
    Unknown,
    /// Nobody was asked.
    NotAsked,
}

impl Refreshing {
    const NAMES: [&'static str; 4] = ["refreshed", "refused", "unknown", "not_asked"];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What may become of tokens that are given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The institution has ended them.
    Revoked,
    /// The institution has no way to end them.
    NoEndpoint,
    /// They could not be revoked for a day.
    GivenUp,
}

impl Revoked {
    const NAMES: [&'static str; 3] = ["revoked", "no_endpoint", "given_up"];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// What a confirmation may lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirming {
    /// The flow went on.
    Confirmed,
    /// It was for another user or member, and ended the flow.
    Misdirected,
}

impl Confirming {
    const NAMES: [&'static str; 2] = ["confirmed", "misdirected"];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// Every metric.
pub struct Metrics {
    registry: Registry,
    /// Links minted, by client and institution.
    pub links_minted: Counters<2>,
    /// Links claimed by a browser, by client and institution.
    pub links_opened: Counters<2>,
    /// Flows that ended connected, by client and institution.
    pub members_connected: Counters<2>,
    /// Flows begun by "Try again", by client and institution.
    pub flows_retried: Counters<2>,
    /// Flows that ended without a connection, by client, institution and reason.
    pub flows_failed: Counters<3>,
    /// Calls that failed because the connection to an institution is not set up correctly, by client,
    /// institution and cause.
    pub institution_not_set_up: Counters<3>,
    /// Changes of what institutions show of themselves, by institution and [`Aspect`].
    pub institution_changes: Counters<2>,
    /// Authorization responses that ended their attempt because they arrived in another browser, by
    /// client and institution.
    pub responses_in_another_browser: Counters<2>,
    /// ID tokens that broke a rule, by client and institution.
    pub id_tokens_refused: Counters<2>,
    /// Confirmations of authorizations that waited for one, by client, institution and [`Confirming`].
    pub confirmations: Counters<3>,
    /// Refreshes, by client, institution and [`Refreshing`].
    pub refreshes: Counters<3>,
    /// Tokens that were given back, by client, institution and [`Revoked`].
    pub revocations: Counters<3>,
    /// Whether refusals are counted against nobody, by client, institution and what is refused.
    pub braked: Gauges<3>,
    /// Keys of clients that changed and cannot be used, by client and institution.
    pub client_keys_unsound: Counters<2>,
    /// How many seconds ago the oldest key of a client was written, by client and institution.
    pub client_key_age: Gauges<2>,
    /// In how many seconds a client's certificate ends, by client and institution.
    pub client_certificate_expires: Gauges<2>,
    /// Certificates that changed and cannot be used, by client and institution.
    pub client_certificates_unsound: Counters<2>,
    /// Reports of the aggregator, by client, institution and the job's status.
    pub job_reports: Counters<3>,
    /// Webhook tries, by client and [`Delivered`].
    pub webhook_deliveries: Counters<2>,
    /// Credentials that were wrong, by kind.
    pub credentials_refused: Counters<1>,
    /// Requests that got 429, by limit.
    pub requests_limited: Counters<1>,
    /// Connections open now, by listener; the label is called `door`.
    pub connections: Gauges<1>,
    /// Connections closed at once because there was no place, by what was full.
    pub connections_refused: Counters<1>,
    /// Connections ended before their peer did, by reason.
    pub connections_cut: Counters<1>,
    /// Connections that the system could not hand over.
    pub accept_errors: Counters<0>,
    /// From a request for a link to its response.
    pub mint: Timers<0>,
    /// From a visit of a link to its response.
    pub open: Timers<0>,
    /// From an authorization response to the redirect that follows it, which waits only a moment for the
    /// exchange.
    pub callback: Timers<0>,
    /// Token requests, by client and institution.
    pub token_endpoint: Timers<2>,
    /// Webhook tries, by client.
    pub webhook_delivery: Timers<1>,
    /// Steps of the store, by name.
    pub store_step: Timers<1>,
    /// How many events wait to be told, by client.
    pub events_waiting: Gauges<1>,
    /// How many endpoints, or aggregators, rest because they failed.
    pub resting: Gauges<1>,
    /// How many duties of a kind there are, including those that wait for another try.
    pub queue_length: Gauges<1>,
    /// How long ago the oldest due duty of a kind became due, in seconds; 0 if none is due.
    pub queue_oldest_due: Gauges<1>,
    /// `set_aside`
    pub set_aside: Gauges<0>,
}

impl Default for Metrics {
    /// The metrics of a gateway without clients and institutions.
    fn default() -> Self {
        Self::new(Configured::default(), &[], Timestamp::UNIX_EPOCH)
    }
}

impl Metrics {
    /// All of them at zero. `store_steps` are the names of the store's steps.
    pub fn new(configured: Configured, store_steps: &[&'static str], started: Timestamp) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process { started }));
        let ours = registry.sub_registry_with_prefix("guichet");
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        ours.register("build", "Which version this is", Info::new(version));
        let mut new = Maker::new(ours, configured);
        let flow = || [Label::Client, Label::OAuthInstitution];
        let kind = || {
            [Label::OneOf(
                "kind",
                DutyKind::ALL.map(DutyKind::name).to_vec(),
            )]
        };
        let result = Label::OneOf("result", Delivered::NAMES.to_vec());
        let reason = Label::OneOf("reason", ErrorReason::ALL.map(ErrorReason::name).to_vec());
        let cause = Label::OneOf("cause", vec!["client_refused", "tls", "configuration"]);
        let reported = [
            JobStatus::Started,
            JobStatus::Challenged,
            JobStatus::Succeeded,
            JobStatus::Failed,
            JobStatus::Queued,
        ];
        let status = Label::OneOf("status", reported.map(JobStatus::name).to_vec());
        Self {
            links_minted: new.counters("links_minted", "One-time links minted", flow()),
            links_opened: new.counters("links_opened", "Links claimed by a browser", flow()),
            members_connected: new.counters(
                "members_connected",
                "Flows that ended connected",
                flow(),
            ),
            flows_retried: new.counters("flows_retried", "Flows begun by Try again", flow()),
            flows_failed: new.counters(
                "flows_failed",
                "Flows that ended without a connection",
                [Label::Client, Label::OAuthInstitution, reason],
            ),
            institution_not_set_up: new.counters(
                "institution_not_set_up",
                "Calls that failed because the connection to an institution is not set up correctly",
                [Label::Client, Label::OAuthInstitution, cause],
            ),
            institution_changes: new.counters(
                "institution_changes",
                "Changes of what institutions show of themselves",
                [
                    Label::OAuthInstitution,
                    Label::OneOf("aspect", Aspect::ALL.map(Aspect::name).to_vec()),
                ],
            ),
            responses_in_another_browser: new.counters(
                "responses_in_another_browser",
                "Authorization responses that ended their attempt by arriving in another browser",
                flow(),
            ),
            id_tokens_refused: new.counters(
                "id_tokens_refused",
                "ID tokens that broke a rule",
                flow(),
            ),
            confirmations: new.counters(
                "confirmations",
                "Confirmations of authorizations that waited for one, by what they led to",
                [
                    Label::Client,
                    Label::OAuthInstitution,
                    Label::OneOf("result", Confirming::NAMES.to_vec()),
                ],
            ),
            refreshes: new.counters(
                "refreshes",
                "Refreshes, by result",
                [
                    Label::Client,
                    Label::OAuthInstitution,
                    Label::OneOf("result", Refreshing::NAMES.to_vec()),
                ],
            ),
            revocations: new.counters(
                "revocations",
                "Tokens that were given back, by what became of them",
                [
                    Label::Client,
                    Label::OAuthInstitution,
                    Label::OneOf("result", Revoked::NAMES.to_vec()),
                ],
            ),
            braked: new.gauges(
                "brake",
                "1 where an institution refuses nearly everybody, and that is counted against nobody",
                [
                    Label::Client,
                    Label::OAuthInstitution,
                    Label::OneOf("refused", Refused::ALL.map(Refused::name).to_vec()),
                ],
            ),
            client_keys_unsound: new.counters(
                "client_keys_unsound",
                "Keys of clients that changed and cannot be used",
                flow(),
            ),
            client_key_age: new.gauges(
                "client_key_age_seconds",
                "How long ago the oldest of a client's keys at an institution was written; 0 if it has none",
                flow(),
            ),
            client_certificate_expires: new.gauges_where_set(
                "client_certificate_expires_seconds",
                "In how many seconds the certificate that a client shows to an institution ends",
                flow(),
            ),
            client_certificates_unsound: new.counters(
                "client_certificates_unsound",
                "Client certificates that changed and cannot be used",
                flow(),
            ),
            job_reports: new.counters(
                "job_reports",
                "Reports of the aggregator, by the status they gave the job",
                [Label::Client, Label::Institution, status],
            ),
            webhook_deliveries: new.counters(
                "webhook_deliveries",
                "Webhook tries, by result",
                [Label::Client, result],
            ),
            credentials_refused: new.counters(
                "credentials_refused",
                "Credentials that were wrong, by kind",
                [Label::OneOf("credential", CREDENTIALS.to_vec())],
            ),
            requests_limited: new.counters(
                "requests_limited",
                "Requests that got 429, or 503 where it is overload, by limit",
                [Label::OneOf("limit", LIMITS.to_vec())],
            ),
            connections: new.gauges(
                "connections",
                "Connections open, by listener",
                [Label::OneOf("door", vec!["public", "operator"])],
            ),
            connections_refused: new.counters(
                "connections_refused",
                "Connections closed at once because there was no place, by what was full",
                [Label::OneOf("reason", vec!["source", "all"])],
            ),
            connections_cut: new.counters(
                "connections_cut",
                "Connections ended before their peer did, by reason",
                [Label::OneOf("reason", vec!["slow", "room", "stop"])],
            ),
            accept_errors: new.counters(
                "accept_errors",
                "Connections that the system could not hand over",
                [],
            ),
            mint: new.timers("mint", "From a request for a link to its response", []),
            open: new.timers("open", "From a visit of a link to its response", []),
            callback: new.timers(
                "callback",
                "From an authorization response to the redirect that follows it",
                [],
            ),
            token_endpoint: new.timers("token_endpoint", "Token requests", flow()),
            webhook_delivery: new.timers("webhook_delivery", "Webhook tries", [Label::Client]),
            store_step: new.timers(
                "store_step",
                "Steps of the store",
                [Label::OneOf("step", store_steps.to_vec())],
            ),
            events_waiting: new.gauges(
                "events_waiting",
                "How many events a client has to be told still",
                [Label::Client],
            ),
            resting: new.gauges(
                "resting",
                "How many endpoints or aggregators are not called because they failed",
                [Label::OneOf("what", vec!["endpoint", "aggregator", "institution"])],
            ),
            queue_length: new.gauges(
                "queue_length",
                "How many duties wait to be done, or to be tried again",
                kind(),
            ),
            queue_oldest_due: new.gauges(
                "queue_oldest_due_seconds",
                "For how long the longest due has been due; 0 when none is",
                kind(),
            ),
            set_aside: new.gauges(
                "set_aside",
                "Records that could not be read when they were due, and wait for an operator",
                [],
            ),
            registry,
        }
    }

    /// Everything in the OpenMetrics text format.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a String takes any text");
        text
    }
}
