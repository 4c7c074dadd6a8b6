//! Everything around the gateway, for demonstrations and tests: a bank that does what the typed password
//! says, an aggregator that really pulls from it, and an app whose users want to connect their accounts.
//!
//! In reading order: [`Settings`] is what the sandbox is told, [`Sandbox::start`] brings it up.
//! Inside, `bank` is an OAuth authorization server with several institutions and their accounts,
//! and two more that take user names and passwords;
//! `aggregator` takes jobs from the gateway, and `app` is the member service "Demo Budget". They
//! speak to the gateway and to each other over HTTP only; nothing here knows the gateway's crate.
//!
//! It is no bank: it accepts any user name, and whoever reaches its ports may use it. It
//! therefore serves on loopback addresses only.

// A dependency that nothing uses any more does not pass the lints.
#![cfg_attr(not(test), warn(unused_crate_dependencies))]

mod aggregator;
mod app;
mod bank;
mod bounded;
mod pulls;
mod settings;
mod signature;
mod wire;
mod words;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::Context as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use bank::{CREDENTIAL_PASSWORDS, PASSWORDS, Password};
pub use settings::{
    BankClient, Brand, CredentialField, FieldType, Institution, PlatformCredentials, Settings,
    institutions,
};

/// How long requests under way may take to finish once the sandbox is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// The two sockets to serve on. The caller binds them, and so knows their ports.
#[derive(Debug)]
pub struct Listeners {
    /// For the bank.
    pub bank: TcpListener,
    /// For the demo app, its webhook receiver and the aggregator.
    pub app: TcpListener,
}

/// The running sandbox.
#[derive(Debug)]
pub struct Sandbox {
    /// Where the bank listens.
    pub bank: SocketAddr,
    /// Where the demo app and the aggregator listen.
    pub app: SocketAddr,
    /// Ends when everything has stopped after the shutdown token was cancelled, or with an error
    /// when a server stopped by itself.
    pub stopped: JoinHandle<anyhow::Result<()>>,
}

impl Sandbox {
    /// Starts the bank, the aggregator and the demo app, and returns when they respond.
    ///
    /// They run until `shutdown` is cancelled; requests under way then have two seconds left.
    /// The gateway need not be there yet. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When a listener is not on a loopback address or cannot be used, or when the settings are
    /// not usable (an address that is not http or https, a malformed signing secret).
    pub async fn start(
        listeners: Listeners,
        settings: Settings,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        settings.check()?;
        // A child, so that a failure here stops the sandbox and nothing beyond it.
        let shutdown = shutdown.child_token();
        let tasks = TaskTracker::new();
        let (bank, bank_listener) = ready(listeners.bank).context("the bank's listener")?;
        let (app, app_listener) = ready(listeners.app).context("the demo app's listener")?;
        let bank_router = bank::router(&settings);
        let (aggregator_router, pulled) =
            aggregator::router(&settings, tasks.clone(), shutdown.clone())?;
        let app_router = app::router(&settings, pulled)?.merge(aggregator_router);

        let mut servers = tokio::task::JoinSet::new();
        for (listener, router) in [(bank_listener, bank_router), (app_listener, app_router)] {
            let shutdown = shutdown.clone();
            servers.spawn(async move {
                axum::serve(listener, router)
                    .with_graceful_shutdown(shutdown.cancelled_owned())
                    .await
            });
        }
        let stopped = tokio::spawn(async move {
            let outcome = tokio::select! {
                () = shutdown.cancelled() => Ok(()),
                ended = servers.join_next() => match ended {
                    Some(Ok(Err(error))) => Err(error).context("a sandbox server failed"),
                    Some(Err(error)) => Err(error).context("a sandbox server ended abruptly"),
                    // Both serve until the token is cancelled.
                    Some(Ok(Ok(()))) | None => Ok(()),
                },
            };
            // After a failure the other server has nothing left to serve for.
            shutdown.cancel();
            tasks.close();
            let finish = async {
                while servers.join_next().await.is_some() {}
                tasks.wait().await;
            };
            if tokio::time::timeout(GRACE, finish).await.is_err() {
                tracing::debug!("the sandbox stopped with requests under way");
            }
            outcome
        });
        Ok(Self { bank, app, stopped })
    }
}

/// Hands a bound socket over to the runtime.
fn ready(listener: TcpListener) -> anyhow::Result<(SocketAddr, tokio::net::TcpListener)> {
    let address = listener.local_addr()?;
    anyhow::ensure!(
        address.ip().is_loopback(),
        "{address} is not a loopback address, and the sandbox must not be reachable from elsewhere"
    );
    listener.set_nonblocking(true)?;
    Ok((address, tokio::net::TcpListener::from_std(listener)?))
}

#[cfg(test)]
mod tests;
