//! The operator's routes: health, readiness, metrics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::auth::same;
use crate::flow::Gateway;

/// How long the result of a probe is used again: however often `/readyz` is requested, the store is not
/// probed more often.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long the store may take for a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// The state that these routes share.
#[derive(Clone)]
pub struct Operator {
    gateway: Arc<Gateway>,
    token: Option<Arc<Zeroizing<String>>>,
    /// The last probe. Locked while a probe is under way, so that there is only one at a time.
    probed: Arc<Mutex<Option<Probed>>>,
    /// Cancelled once the gateway was told to stop.
    pub draining: CancellationToken,
}

/// A probe: its time and its result.
type Probed = (Timestamp, Result<(), NotReady>);

/// Why requests are better sent to another gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// It has just been started, and its store is away.
    WaitsForStore(String),
    /// Its store does not reply, or accepts no writes.
    StoreFails(String),
    /// It was told to stop.
    Stopping,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WaitsForStore(why) => write!(f, "waits for its store: {why}"),
            Self::StoreFails(why) => write!(f, "writes fail: {why}"),
            Self::Stopping => f.write_str("is stopping"),
        }
    }
}

impl IntoResponse for NotReady {
    fn into_response(self) -> Response {
        let text = format!("not ready: {self}\n");
        (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
    }
}

impl Operator {
    /// The routes for `gateway`. Metrics need `token`; only a listener on loopback may have none.
    pub fn new(gateway: Arc<Gateway>, token: Option<Arc<Zeroizing<String>>>) -> Self {
        Self {
            gateway,
            token,
            probed: Arc::default(),
            draining: CancellationToken::new(),
        }
    }

    /// Whether the gateway can do its work.
    async fn readiness(&self) -> Result<(), NotReady> {
        if self.draining.is_cancelled() {
            return Err(NotReady::Stopping);
        }
        let mut probed = self.probed.lock().await;
        let now = self.gateway.clock.now();
        if let Some((at, outcome)) = probed.as_ref() {
            let age = Duration::try_from(now.duration_since(*at));
            // If the clock was set back, the last probe is in the future and does not count.
            if age.is_ok_and(|age| age < PROBE_EVERY) {
                return outcome.clone();
            }
        }
        let probe = self.gateway.probe();
        let outcome = match tokio::time::timeout(PROBE_TIMEOUT, probe).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(NotReady::StoreFails(error.to_string())),
            Err(_) => Err(NotReady::StoreFails(format!(
                "the store does not reply within {} s",
                PROBE_TIMEOUT.as_secs()
            ))),
        };
        let before = probed.replace((now, outcome.clone()));
        let was_ready = before.is_none_or(|(_, outcome)| outcome.is_ok());
        match &outcome {
            Err(why) if was_ready => tracing::warn!(%why, "not ready"),
            Ok(()) if !was_ready => tracing::info!("ready again"),
            _ => {}
        }
        outcome
    }
}

/// The operator's routes.
pub fn routes(operator: Operator) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(operator)
}

/// The routes before the gateway has its store: alive, and not ready for the reason in `why`.
pub fn routes_without_store(why: watch::Receiver<String>) -> Router {
    let ready = async move || NotReady::WaitsForStore(why.borrow().clone());
    Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
}

/// 200 if the store accepts a write and the gateway was not told to stop, else 503 and the reason.
async fn ready(State(operator): State<Operator>) -> Response {
    match operator.readiness().await {
        Ok(()) => "ready\n".into_response(),
        Err(why) => why.into_response(),
    }
}

async fn metrics(State(operator): State<Operator>, headers: HeaderMap) -> Response {
    if let Some(token) = &operator.token {
        let sent = headers
            .get(AUTHORIZATION)
            .map(|value| value.as_bytes())
            .unwrap_or_default();
        if !same(sent, format!("Bearer {}", token.as_str()).as_bytes()) {
            return (
                StatusCode::UNAUTHORIZED,
                "send the operator's token as a Bearer token\n",
            )
                .into_response();
        }
    }
    if let Err(error) = operator.gateway.measure_queues().await {
        tracing::debug!(%error, "the queues could not be measured");
    }
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(CONTENT_TYPE, media_type)],
        operator.gateway.metrics.to_text(),
    )
        .into_response()
}
