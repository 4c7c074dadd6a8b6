//! How an institution is called: the only file of this folder that sends.
//!
//! A client certificate is shown to the endpoints of its registration and to nobody else: each has an HTTP client of its
//! own, whose connections no other call uses. It is made anew when the certificate changes.
//!
//! No redirect is followed (a redirect would carry a code or a secret to somebody else). A request
//! is sent again only when the first connection failed, before a byte of it was sent: a code that
//! arrives twice makes a careful server revoke what it gave (RFC 6749 section 4.1.2).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use oauth2::http::header::HeaderMap;
use reqwest::{Client, ClientBuilder, Identity, RequestBuilder, Response};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::call_ids::{self, CallIds};
use super::certificates::Certificates;
use super::registered::Registered;
use super::reply::Reply;
use super::transport_error::{SetupError, TransportError};
use crate::domain::call::{Method, ResponseShape};
use crate::domain::client::CertificateFiles;
use crate::domain::random::Random;
use crate::{log_context, outgoing};

/// A request that is written.
pub struct Request<'a> {
    /// The HTTP method.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; `None`: it has none.
    pub body: Option<Vec<u8>>,
    /// How its response is to be read.
    pub response: &'a ResponseShape,
}

impl From<Method> for reqwest::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Post => Self::POST,
            Method::Put => Self::PUT,
            Method::Patch => Self::PATCH,
            Method::Delete => Self::DELETE,
        }
    }
}

/// Outgoing connections, shared by all calls.
pub struct Transport {
    builder: Box<dyn Fn() -> ClientBuilder + Send + Sync>,
    certificates: Certificates,
    random: Arc<dyn Random>,
    /// As many as the institutions' files name connect timeouts, and registrations certificates.
    clients: Mutex<Vec<Kept>>,
}

/// A client that is kept.
struct Kept {
    /// The limit belongs to a client's connector, not to a call.
    connect_timeout: Duration,
    files: Option<CertificateFiles>,
    /// What tells the certificate from those before and after it.
    thumbprint: Option<String>,
    client: Client,
}

impl Transport {
    /// Calls through clients made from `builder`, with these certificates.
    pub fn new(
        builder: impl Fn() -> ClientBuilder + Send + Sync + 'static,
        certificates: Certificates,
        random: Arc<dyn Random>,
    ) -> Result<Self, SetupError> {
        let transport = Self {
            builder: Box::new(builder),
            certificates,
            random,
            clients: Mutex::default(),
        };
        // If no client can be made on this machine, this must fail at start.
        (transport.builder)().build().map_err(setup)?;
        Ok(transport)
    }

    /// The certificates.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Sends a request, within the institution's time limit from connecting to the last byte. It is written for each
    /// time that it is sent.
    pub async fn send<'a>(
        &self,
        at: Registered<'_>,
        written: impl Fn() -> Result<Request<'a>, TransportError>,
    ) -> Result<Reply, TransportError> {
        let begun = Instant::now();
        let first = written()?;
        let (method, url) = (first.method, first.url.clone());
        let mut reply = self.sent(at, first, written).await;
        if let Some(calls) = at.calls {
            let came = match &mut reply {
                Ok(reply) => reply.take_heard().ok_or_else(String::new),
                Err(error) => Err(error.to_string()),
            };
            calls.add(method.name(), &url, begun, came);
        }
        reply
    }

    async fn sent<'a>(
        &self,
        at: Registered<'_>,
        first: Request<'a>,
        written: impl Fn() -> Result<Request<'a>, TransportError>,
    ) -> Result<Reply, TransportError> {
        let (url, response) = (first.url.clone(), first.response);
        if !outgoing::is_confidential(&url) {
            return Err(TransportError::Insecure);
        }
        let client = self.client(at)?;
        let mut of_call = HeaderMap::new();
        let ids = call_ids::add(&at.oauth.call_headers, self.random.as_ref(), &mut of_call);
        let first = Mutex::new(Some(first));
        let made = |client: &Client| {
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            let request = first.take().map_or_else(&written, Ok)?;
            let mut headers = request.headers;
            for (name, value) in &of_call {
                // What the call has by that name goes first.
                headers.entry(name).or_insert_with(|| value.clone());
            }
            let made = client
                .request(request.method.into(), request.url)
                .headers(headers);
            Ok(match request.body {
                Some(body) => made.body(body),
                None => made,
            })
        };
        let begun = Instant::now();
        let deadline = begun + at.oauth.timeout;
        let late = TransportError::TimedOut(at.oauth.timeout);
        let reply = match timeout_at(deadline, send(&client, made)).await {
            Ok(Ok(came)) => Ok(Reply::read(came, response, deadline, late).await),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(late),
        };
        if ids != CallIds::default() {
            let status = reply.as_ref().ok().map(Reply::status);
            tell(&ids, &url, status, begun.elapsed());
        }
        reply
    }

    fn client(&self, at: Registered<'_>) -> Result<Client, SetupError> {
        let (connect_timeout, files) = (at.oauth.connect_timeout, at.certificate());
        let certificate = files.map(|files| {
            let missing = || SetupError("the client certificate was not read".to_owned());
            self.certificates.current(files).ok_or_else(missing)
        });
        let certificate = certificate.transpose()?;
        let thumbprint = certificate.as_ref().map(|it| it.thumbprint());
        let mut clients = self
            .clients
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_its =
            |kept: &Kept| kept.connect_timeout == connect_timeout && kept.files.as_ref() == files;
        let found = clients.iter().position(is_its);
        if let Some(found) = found
            && clients[found].thumbprint.as_deref() == thumbprint
        {
            return Ok(clients[found].client.clone());
        }
        let mut builder = (self.builder)().connect_timeout(connect_timeout);
        if let Some(certificate) = &certificate {
            let pem = certificate.expose().as_bytes();
            builder = builder.identity(Identity::from_pem(pem).map_err(setup)?);
        }
        let client = builder.build().map_err(setup)?;
        if let Some(found) = found {
            clients.swap_remove(found);
        }
        clients.push(Kept {
            connect_timeout,
            files: files.cloned(),
            thumbprint: thumbprint.map(str::to_owned),
            client: client.clone(),
        });
        Ok(client)
    }
}

/// Writes down what the call is known by at the institution; later lines of the same work have it too. Of the address it
/// says the host only: everything after that may hold what a file's places were filled with.
fn tell(ids: &CallIds, called: &Url, status: Option<u16>, took: Duration) {
    log_context::call(ids.interaction_id.as_deref(), ids.trace_id.as_deref());
    let (host, took_ms) = (called.host_str(), took.as_millis());
    tracing::info!(host, status, took_ms, "the institution was called");
}

/// Outgoing calls cannot be set up.
pub fn setup(error: reqwest::Error) -> SetupError {
    SetupError(outgoing::describe(error))
}

/// Sends a request, a second time if the first found no connection.
pub async fn send(
    client: &Client,
    request: impl Fn(&Client) -> Result<RequestBuilder, TransportError>,
) -> Result<Response, TransportError> {
    let response = match request(client)?.send().await {
        Err(error) if error.is_connect() => request(client)?.send().await,
        response => response,
    };
    response.map_err(|error| {
        let (is_tls, is_connect) = (outgoing::is_tls_fault(&error), error.is_connect());
        let text = outgoing::describe(error);
        match (is_tls, is_connect) {
            (true, _) => TransportError::Tls(text),
            (false, true) => TransportError::Unreachable(text),
            (false, false) => TransportError::Broken(text),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::test_support::{Os, at, oauth, registration};
    use super::*;
    use crate::fake_server::{FakeServer, json};

    /// Sends the first connections to an address of this machine where nobody listens.
    struct Resolver {
        refused: usize,
        asked: Arc<AtomicUsize>,
    }

    impl reqwest::dns::Resolve for Resolver {
        fn resolve(&self, _: reqwest::dns::Name) -> reqwest::dns::Resolving {
            let nth = self.asked.fetch_add(1, Ordering::SeqCst);
            let last = if nth < self.refused { 2 } else { 1 };
            let address = std::net::SocketAddr::from(([127, 0, 0, last], 0));
            Box::pin(async move { Ok(Box::new(std::iter::once(address)) as reqwest::dns::Addrs) })
        }
    }

    #[tokio::test]
    async fn t12_a_refused_connection_is_tried_once_more_with_a_new_request() {
        for (refused, arrived, tries) in [(0, 1, 1), (1, 1, 2), (2, 0, 2), (3, 0, 2)] {
            let server = FakeServer::start(|_| json("200 OK", "{}"));
            let asked = Arc::new(AtomicUsize::new(0));
            let counter = asked.clone();
            let builder = move || {
                let asked = counter.clone();
                outgoing::Outgoing::default()
                    .builder()
                    .dns_resolver(Resolver { refused, asked })
            };
            let transport = Transport::new(builder, Certificates::default(), Arc::new(Os));
            let oauth = oauth(&server.url_by_name("/"));
            let response = ResponseShape::default();
            let made = AtomicUsize::new(0);
            let written = || {
                let nth = made.fetch_add(1, Ordering::SeqCst);
                Ok(Request {
                    method: Method::Post,
                    url: oauth.token_endpoint.clone(),
                    headers: HeaderMap::new(),
                    body: Some(nth.to_string().into_bytes()),
                    response: &response,
                })
            };
            let registration = registration();
            let sent = transport.unwrap();
            let outcome = sent.send(at(&oauth, &registration), written).await;
            assert_eq!(server.requests().len(), arrived);
            assert_eq!(asked.load(Ordering::SeqCst), tries);
            assert_eq!(made.load(Ordering::SeqCst), tries);
            for request in server.requests() {
                assert_eq!(request.body, (tries - 1).to_string().into_bytes());
            }
            match outcome {
                Ok(reply) => assert!(reply.is_success()),
                Err(error) => {
                    assert_eq!(arrived, 0);
                    assert!(matches!(error, TransportError::Unreachable(_)), "{error}");
                }
            }
        }
    }
}
