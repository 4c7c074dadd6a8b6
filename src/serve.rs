//! Runs a gateway: two listeners and a worker, until told to stop.

pub mod descriptors;
mod listener;
mod pace;
mod paced;
mod places;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::flow::{Gateway, timeline};
use crate::http::{self, ops};
use crate::telemetry::Sums;
use crate::webhook::Webhooks;
use crate::worker;
use listener::{GRACE, Listener, Stopping};
pub use places::Caps;

/// How many connections the operator's listener has: enough for monitoring and people, and reserved for it.
const OPERATORS: Caps = Caps {
    all: 64,
    per_source: 64,
};

/// A gateway ready to be run.
pub struct Server {
    /// What the public listener serves.
    pub app: http::AppState,
    /// What the operator's listener serves.
    pub operator: ops::Operator,
    /// Where events are delivered.
    pub webhooks: Webhooks,
    /// How many connections the public listener has.
    pub caps: Caps,
    /// How long it still serves when it is told to stop and is no longer ready.
    pub drain: Duration,
}

/// The sockets of the two listeners.
pub struct Listeners {
    /// For people, member services, institutions and aggregators.
    pub public: TcpListener,
    /// For the operator.
    pub operator: TcpListener,
}

impl Server {
    /// Serves until `shutdown`. Then it is not ready, serves on for a while so that proxies notice,
    /// accepts no new connections, finishes the requests under way, and gives the worker time to finish.
    /// `sums` are written from time to time.
    pub async fn run(
        self,
        listeners: Listeners,
        shutdown: CancellationToken,
        sums: Sums,
    ) -> anyhow::Result<()> {
        let gateway: Arc<Gateway> = self.app.gateway.clone();
        let limits = self.app.limits.clone();
        timeline::agree(&gateway).await;
        let stopping = Stopping {
            draining: self.operator.draining.clone(),
            closing: CancellationToken::new(),
        };
        let closing = stopping.closing.clone();
        tokio::spawn(stop(shutdown, stopping.clone(), self.drain));
        let worker = tokio::spawn(worker::run(gateway.clone(), self.webhooks, closing.clone()));
        let housekeeping = tokio::spawn(run_maintenance(limits, sums.clone(), closing.clone()));
        let public = Listener {
            name: "public",
            trusted_proxies: self.app.trusted_proxies.clone(),
            serves: http::Public::new(self.app),
            caps: self.caps,
            metrics: gateway.metrics.clone(),
            stopping: stopping.clone(),
        };
        let operator = Listener {
            name: "operator",
            trusted_proxies: Arc::default(),
            serves: ops::routes(self.operator),
            caps: OPERATORS,
            metrics: gateway.metrics.clone(),
            stopping,
        };
        let served = tokio::try_join!(
            public.serve(listeners.public),
            operator.serve(listeners.operator)
        );
        closing.cancel();
        let (tasks, longest_s) = (gateway.tasks.len(), GRACE.as_secs());
        tracing::info!(
            tasks,
            longest_s,
            "stopping, waiting for exchanges and deliveries"
        );
        gateway.tasks.close();
        let finished = async {
            gateway.tasks.wait().await;
            worker.await.context("the worker was cut off")?;
            housekeeping.await.context("housekeeping was cut off")
        };
        let ended = tokio::time::timeout(GRACE, finished).await;
        sums.write();
        served?;
        ended.context(
            "some work did not end in time; it is in the store and goes on at the next start",
        )??;
        tracing::info!("stopped");
        Ok(())
    }
}

/// Serves the operator's listener alone while `opening` lasts; it says that the gateway waits for its
/// store, and `why`.
pub async fn without_store<T>(
    operator: &TcpListener,
    why: tokio::sync::watch::Receiver<String>,
    opening: impl Future<Output = T>,
) -> anyhow::Result<T> {
    let opened = CancellationToken::new();
    let listener = Listener {
        name: "operator",
        serves: ops::routes_without_store(why),
        caps: OPERATORS,
        trusted_proxies: Arc::default(),
        metrics: Arc::default(),
        stopping: Stopping {
            closing: opened.clone(),
            ..Stopping::default()
        },
    };
    tokio::spawn(listener.serve(operator.try_clone()?));
    // However this ends, the gateway uses the listener from then on.
    let _closed = opened.drop_guard();
    Ok(opening.await)
}

/// Drains, then closes.
async fn stop(shutdown: CancellationToken, stopping: Stopping, drain: Duration) {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = stopping.closing.cancelled() => return,
    }
    tracing::info!(
        drain_s = drain.as_secs(),
        "stopping, not ready any more and still serving"
    );
    stopping.draining.cancel();
    tokio::time::sleep(drain).await;
    tracing::info!("stopping, nothing new is taken in");
    stopping.closing.cancel();
}

async fn run_maintenance(
    limits: Arc<http::limits::Limits>,
    sums: Sums,
    closing: CancellationToken,
) {
    let mut periods: u64 = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(Sums::PERIOD) => {
                sums.write();
                periods += 1;
                if periods.is_multiple_of(6) {
                    limits.evict_idle();
                }
            }
            () = closing.cancelled() => return,
        }
    }
}
