//! Runs a gateway: two listeners and a worker, until told to stop.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum_server::Handle;
use tokio_util::sync::CancellationToken;

use crate::flow::Gateway;
use crate::http::{self, Door, ops};
use crate::webhook::Webhooks;
use crate::worker;

/// How long a client may take to send a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long what was begun may take to end after the word to stop.
const GRACE: Duration = Duration::from_secs(30);

/// The most that a request's headers may take: 32 kB, the whole target included.
const LARGEST_HEAD: usize = 32 * 1024;

/// A gateway ready to be run.
pub struct Server {
    /// The public door.
    pub door: Door,
    /// The operator's door.
    pub operator: ops::Operator,
    /// Where events are delivered.
    pub webhooks: Webhooks,
}

/// The two doors' sockets.
pub struct Listeners {
    /// For people, member services, institutions and aggregators.
    pub public: TcpListener,
    /// For the operator.
    pub operator: TcpListener,
}

impl Server {
    /// Serves until `shutdown`; then accepts nothing new, ends what was begun and gives the worker
    /// time to put back what it holds.
    pub async fn run(
        self,
        listeners: Listeners,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        let gateway: Arc<Gateway> = self.door.gateway.clone();
        let limits = self.door.limits.clone();
        let worker = tokio::spawn(worker::run(
            gateway.clone(),
            self.webhooks,
            shutdown.clone(),
        ));
        let housekeeping = tokio::spawn(keep_house(limits, shutdown.clone()));
        let public = listen(listeners.public, http::routes(self.door), shutdown.clone());
        let operator = listen(
            listeners.operator,
            ops::routes(self.operator),
            shutdown.clone(),
        );
        let served = tokio::try_join!(public, operator);
        shutdown.cancel();
        gateway.tasks.close();
        let finished = async {
            gateway.tasks.wait().await;
            worker.await.context("the worker was cut off")?;
            housekeeping.await.context("housekeeping was cut off")
        };
        let ended = tokio::time::timeout(GRACE, finished).await;
        served?;
        ended.context(
            "some work did not end in time; it is in the store and goes on at the next start",
        )?
    }
}

/// Serves the operator's door alone while `opening` lasts; it says that the gateway waits for its
/// store, and `why`.
pub async fn without_store<T>(
    operator: &TcpListener,
    why: tokio::sync::watch::Receiver<String>,
    opening: impl Future<Output = T>,
) -> anyhow::Result<T> {
    let opened = CancellationToken::new();
    let routes = ops::routes_without_store(why);
    tokio::spawn(listen(operator.try_clone()?, routes, opened.clone()));
    // However it ends: the door is the gateway's from then on.
    let _closed = opened.drop_guard();
    Ok(opening.await)
}

async fn listen(
    listener: TcpListener,
    routes: Router,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    listener.set_nonblocking(true)?;
    let handle: Handle<SocketAddr> = Handle::new();
    let stopping = handle.clone();
    tokio::spawn(async move {
        shutdown.cancelled().await;
        stopping.graceful_shutdown(Some(GRACE));
    });
    let mut server = axum_server::from_tcp(listener)?
        .handle(handle)
        .http1_only()
        .first_request_timeout(HEADER_TIMEOUT);
    server
        .http_builder()
        .http1()
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(LARGEST_HEAD);
    server
        .serve(routes.into_make_service_with_connect_info::<SocketAddr>())
        .await?;
    Ok(())
}

async fn keep_house(limits: Arc<http::limits::Limits>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(60)) => limits.forget_quiet_ones(),
            () = shutdown.cancelled() => return,
        }
    }
}
