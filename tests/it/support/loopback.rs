//! A small HTTP/1.1 server on the loopback interface that keeps every request it was sent and may also
//! close the connection without a response. The doubles are built on it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use url::{Url, form_urlencoded};

use super::tls::Shows;

/// More than any test sends; a larger request is a mistake in the test.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub method: Method,
    /// The path, without the query.
    pub path: String,
    /// The query as it was sent, without the question mark; empty if there was none.
    pub query: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The certificate that the client showed, in DER, if it came by TLS and showed one.
    pub certificate: Option<Vec<u8>>,
}

impl Recorded {
    /// The value of the header `name`, if it was sent once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// The body as text, with replacement characters where it is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// If it is no JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The fields of a form, in the order they were sent.
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// The form field `name`, if it was sent exactly once.
    pub fn field(&self, name: &str) -> Option<String> {
        once(self.form(), name)
    }
}

/// The value of `name` among `pairs`, if it is there exactly once.
pub fn once(pairs: impl IntoIterator<Item = (String, String)>, name: &str) -> Option<String> {
    let mut values = pairs.into_iter().filter(|(key, _)| key == name);
    let (_, value) = values.next()?;
    values.next().is_none().then_some(value)
}

/// Returned instead of a response: close the connection now, without one.
#[derive(Debug)]
pub struct HangUp;

impl fmt::Display for HangUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the double hung up")
    }
}

impl std::error::Error for HangUp {}

/// What a double says to a request.
pub type Answer = Result<Response<Body>, HangUp>;

/// A running server. It stops, with every connection, when it is dropped.
pub struct Loopback {
    address: SocketAddr,
    is_tls: bool,
    log: Arc<Log>,
    accepting: AbortHandle,
}

/// The requests so far and a signal for every further one.
struct Log {
    requests: Mutex<Vec<Recorded>>,
    count: watch::Sender<usize>,
}

impl Loopback {
    /// Starts to serve on a free port: each request is recorded, then handed to `answer`.
    pub async fn start<F, Fut>(answer: F) -> Self
    where
        F: Fn(Recorded) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        Self::listen(None, answer).await
    }

    /// The same by TLS, asking every client for a certificate; any will do, and so will none.
    pub async fn start_tls<F, Fut>(answer: F) -> Self
    where
        F: Fn(Recorded) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(Shows::Asking.configuration()));
        Self::listen(Some(acceptor), answer).await
    }

    async fn listen<F, Fut>(tls: Option<TlsAcceptor>, answer: F) -> Self
    where
        F: Fn(Recorded) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port on the loopback interface");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let log = Arc::new(Log {
            requests: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let is_tls = tls.is_some();
        let accepting = tokio::spawn(accept(listener, tls, log.clone(), answer)).abort_handle();
        Self {
            address,
            is_tls,
            log,
            accepting,
        }
    }

    /// The address of `path` on this server.
    pub fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{}{path}", self.origin())).expect("a path makes a URL")
    }

    /// `http://127.0.0.1:port`, without a slash at the end; by TLS `https://localhost:port`.
    pub fn origin(&self) -> String {
        match self.is_tls {
            true => format!("https://localhost:{}", self.address.port()),
            false => format!("http://{}", self.address),
        }
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Recorded> {
        self.log.lock().clone()
    }

    /// Waits until the requests so far satisfy `enough` and gives them.
    ///
    /// # Panics
    ///
    /// If they do not within `limit`; the message lists them.
    pub async fn wait_for(
        &self,
        enough: impl Fn(&[Recorded]) -> bool,
        limit: Duration,
    ) -> Vec<Recorded> {
        let mut count = self.log.count.subscribe();
        let satisfied = count.wait_for(|_| enough(&self.log.lock()));
        let in_time = tokio::time::timeout(limit, satisfied).await.is_ok();
        let requests = self.requests();
        assert!(
            in_time,
            "not the requests waited for within {limit:?}: {requests:#?}"
        );
        requests
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Log {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Recorded>> {
        // A test that panicked with the lock held has failed anyway.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, request: Recorded) {
        self.lock().push(request);
        self.count.send_modify(|count| *count += 1);
    }
}

async fn accept<F, Fut>(listener: TcpListener, tls: Option<TlsAcceptor>, log: Arc<Log>, answer: F)
where
    F: Fn(Recorded) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    // Dropped with this task, and with it every connection.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, log, answer) = (tls.clone(), log.clone(), answer.clone());
        connections.spawn(async move {
            let Some(tls) = tls else {
                return converse(stream, None, log, answer).await;
            };
            // A handshake that fails is a client that left.
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let (_, session) = stream.get_ref();
            let shown = session.peer_certificates().and_then(<[_]>::first);
            let certificate = shown.map(|certificate| certificate.to_vec());
            converse(stream, certificate, log, answer).await;
        });
    }
}

/// Serves one connection, of a client with that certificate.
async fn converse<S, F, Fut>(stream: S, certificate: Option<Vec<u8>>, log: Arc<Log>, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Recorded) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(move |request| {
        let (certificate, log, answer) = (certificate.clone(), log.clone(), answer.clone());
        async move {
            let recorded = read(request, certificate).await;
            log.record(recorded.clone());
            answer(recorded).await
        }
    });
    // An error is a client that left, or a connection closed on purpose: both are expected.
    let _: Result<(), hyper::Error> = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn read(request: Request<hyper::body::Incoming>, certificate: Option<Vec<u8>>) -> Recorded {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), MAX_BODY_BYTES)
        .await
        .unwrap_or_default();
    Recorded {
        method: head.method,
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body: body.to_vec(),
        certificate,
    }
}
