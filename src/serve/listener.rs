//! One of the two listeners: it accepts connections, serves them and ends them.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::paced::{Paced, PacedBody};
use super::places::{Caps, OccupiedPlace, Offer, Place, Places};
use crate::config::Network;
use crate::http::Public;
use crate::http::source::Source;
use crate::metrics::Metrics;
use crate::telemetry::STRANGERS;

/// How long a client may take to send a request's head, and to begin the next one.
const HEAD: Duration = Duration::from_secs(10);

/// The same for a trusted proxy. It is longer than proxies keep idle connections, so that none of their
/// requests arrives on a connection that is being closed.
const HEAD_OF_PROXY: Duration = Duration::from_secs(75);

/// The greatest size of a request's head: 32 kB, the whole target included.
const LARGEST_HEAD: usize = 32 * 1024;

/// How often slow connections are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long to wait before the next try when the system has no room for a connection.
const OUT_OF_ROOM: Duration = Duration::from_millis(100);

/// After closing, how long a peer may still keep us waiting.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How long requests under way may take after closing.
pub const GRACE: Duration = Duration::from_secs(30);

/// The two parts of a stop: first draining, then closing.
#[derive(Clone, Default)]
pub struct Stopping {
    /// No longer ready, but still serving; each response ends its connection.
    pub draining: CancellationToken,
    /// No new connections are accepted.
    pub closing: CancellationToken,
}

/// What serves the requests of a listener.
pub trait Serves: Clone + Send + Sync + 'static {
    /// The response to a request.
    fn respond(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;
}

impl Serves for Public {
    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        Public::respond(self, request).await
    }
}

impl Serves for Router {
    async fn respond(&self, request: Request<Body>) -> Response<Body> {
        let Ok(response) = self.clone().call(request).await;
        response
    }
}

/// A listener to be opened.
pub struct Listener<S> {
    /// Its name in logs and metrics.
    pub name: &'static str,
    /// What serves its requests.
    pub serves: S,
    /// The limits of connections.
    pub caps: Caps,
    /// The trusted proxies, which stand for many sources.
    pub trusted_proxies: Arc<[Network]>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// When it closes.
    pub stopping: Stopping,
}

impl<S: Serves> Listener<S> {
    /// Serves until it closes, and then until the requests under way have ended, [`GRACE`] at most.
    pub async fn serve(self, listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let places = Places::new(self.caps);
        let connections = TaskTracker::new();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = self.stopping.closing.cancelled() => break,
                _ = look.tick() => self.look_after(&places),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.take_in(stream, peer, &places, &connections),
                    Err(error) => self.not_accepted(&error).await,
                },
            }
        }
        drop(listener);
        connections.close();
        let grace = tokio::time::sleep(GRACE);
        tokio::pin!(grace);
        loop {
            tokio::select! {
                () = connections.wait() => return Ok(()),
                _ = look.tick() => self.cut(places.cut_waiting(LAST_WAIT, Instant::now()), "stop"),
                () = &mut grace => {
                    self.cut(places.cut_all(), "stop");
                    return Ok(());
                }
            }
        }
    }

    fn take_in(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        places: &Arc<Places>,
        connections: &TaskTracker,
    ) {
        let address = peer.ip().to_canonical();
        let is_trusted = self
            .trusted_proxies
            .iter()
            .any(|network| network.contains(address));
        let source = Source::of(address);
        let taken = match places.offer((!is_trusted).then_some(source), Instant::now()) {
            Offer::Free(taken) => taken,
            Offer::Instead(taken) => {
                self.cut(1, "room");
                taken
            }
            Offer::None(full) => {
                self.metrics.connections_refused.count([full]);
                let door = self.name;
                tracing::warn!(target: STRANGERS, door, %source, full, "a connection was refused, every place is taken");
                return;
            }
        };
        let head = if is_trusted { HEAD_OF_PROXY } else { HEAD };
        let serves = self.serves.clone();
        connections.spawn(converse(
            stream,
            peer,
            taken,
            serves,
            head,
            self.stopping.clone(),
        ));
    }

    fn look_after(&self, places: &Places) {
        let open = f64::from(u32::try_from(places.count()).unwrap_or(u32::MAX));
        self.metrics.connections.set([self.name], open);
        self.cut(places.cut_slow(Instant::now()), "slow");
    }

    fn cut(&self, cut: usize, reason: &'static str) {
        for _ in 0..cut {
            self.metrics.connections_cut.count([reason]);
        }
        if cut > 0 {
            let door = self.name;
            tracing::warn!(target: STRANGERS, door, cut, reason, "connections were cut, their peers kept us waiting");
        }
    }

    async fn not_accepted(&self, error: &io::Error) {
        self.metrics.accept_errors.count([]);
        let door = self.name;
        tracing::error!(target: STRANGERS, door, %error, "a connection could not be accepted");
        // An error of the peer concerns one connection; an error of ours (no descriptor, no memory) needs
        // time to pass.
        let is_peers = matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionRefused
                | io::ErrorKind::Interrupted
        );
        if !is_peers {
            tokio::time::sleep(OUT_OF_ROOM).await;
        }
    }
}

/// Serves one connection until either side ends it.
async fn converse<S: Serves>(
    stream: TcpStream,
    peer: SocketAddr,
    taken: OccupiedPlace,
    serves: S,
    head: Duration,
    stopping: Stopping,
) {
    // A response is sent at once and does not wait for more data (TCP_NODELAY). A socket that does not
    // support this is used all the same.
    let _ = stream.set_nodelay(true);
    let place = taken.place.clone();
    let service = service_fn(|request| {
        respond(
            serves.clone(),
            request,
            peer,
            place.clone(),
            stopping.draining.is_cancelled(),
        )
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(Paced::new(stream, place.clone())), service);
    tokio::pin!(connection);
    let mut is_closing = false;
    loop {
        tokio::select! {
            // An error here concerns only the peer.
            _ = &mut connection => return,
            () = taken.place.cut.cancelled() => return,
            () = stopping.closing.cancelled(), if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

async fn respond<S: Serves>(
    serves: S,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    place: Arc<Place>,
    is_draining: bool,
) -> Result<Response<Body>, Infallible> {
    let work = Work::on(place.clone());
    request.extensions_mut().insert(ConnectInfo(peer));
    let request = request.map(|body| Body::new(PacedBody::new(body, place)));
    let mut response = serves.respond(request).await;
    drop(work);
    if is_draining {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response)
}

/// Marks that the gateway works on a request, until it is dropped.
struct Work(Arc<Place>);

impl Work {
    fn on(place: Arc<Place>) -> Self {
        place.pace().begins(Instant::now());
        Self(place)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.0.pace().ends(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::OPERATORS;

    #[test]
    fn the_listeners_have_their_numbers() {
        assert_eq!(HEAD, Duration::from_secs(10));
        assert_eq!(LARGEST_HEAD, 32 * 1024);
        assert_eq!(OUT_OF_ROOM, Duration::from_secs(1) / 10);
        assert_eq!(OPERATORS.all, 64);
    }
}
