//! How an institution is called: the only file of this folder that sends.
//!
//! No redirect is followed (a redirect would carry a code or a secret to somebody else). A request
//! is sent again only when the first connection failed, before a byte of it was sent: a code that
//! arrives twice makes a careful server revoke what it gave (RFC 6749 section 4.1.2).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oauth2::http::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response};
use tokio::time::Instant;
use url::Url;

use super::document::Document;
use super::registered::Registered;
use super::reply::Reply;
use super::transport_error::{SetupError, TransportError};
use crate::domain::call::{Method, ResponseShape};
use crate::domain::institution::OAuth;
use crate::outgoing;

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

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until connected.
    pub connect: Duration,
    /// In all.
    pub total: Duration,
}

impl Default for Limits {
    /// As they are unless an institution's file says otherwise.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            total: Duration::from_secs(15),
        }
    }
}

impl From<&OAuth> for Limits {
    fn from(oauth: &OAuth) -> Self {
        Self {
            connect: oauth.connect_timeout,
            total: oauth.timeout,
        }
    }
}

/// Outgoing connections, shared by all calls.
pub struct Transport {
    builder: Box<dyn Fn() -> ClientBuilder + Send + Sync>,
    /// A client for each connect timeout that institutions ask for: the limit belongs to a client's
    /// connector, not to a call. There are as many as the institution files name.
    clients: Mutex<Vec<(Duration, Client)>>,
}

impl Transport {
    /// Calls through clients made from `builder`.
    pub fn new(
        builder: impl Fn() -> ClientBuilder + Send + Sync + 'static,
    ) -> Result<Self, SetupError> {
        let transport = Self {
            builder: Box::new(builder),
            clients: Mutex::default(),
        };
        // If no client can be made on this machine, this must fail at start.
        (transport.builder)().build().map_err(setup)?;
        Ok(transport)
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
        let (method, url, shape) = (first.method, first.url.clone(), first.response);
        let first = Mutex::new(Some(first));
        let made = |client: &Client| {
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            let request = first.take().map_or_else(&written, Ok)?;
            let made = client
                .request(request.method.into(), request.url)
                .headers(request.headers);
            Ok(match request.body {
                Some(body) => made.body(body),
                None => made,
            })
        };
        let mut reply = match self.sent(&url, Limits::from(at.oauth), made).await {
            Ok((response, deadline, late)) => {
                Ok(Reply::read(response, shape, deadline, late).await)
            }
            Err(error) => Err(error),
        };
        if let Some(calls) = at.calls {
            let came = match &mut reply {
                Ok(reply) => reply.take_heard().ok_or_else(String::new),
                Err(error) => Err(error.to_string()),
            };
            calls.add(method.name(), &url, begun, came);
        }
        reply
    }

    /// Gets a document that an institution publishes, within these limits. Nothing that is secret is sent.
    pub async fn document(&self, at: &Url, limits: Limits) -> Result<Document, TransportError> {
        let accept = HeaderValue::from_static("application/json");
        let request = |client: &Client| Ok(client.get(at.clone()).header(ACCEPT, accept.clone()));
        let (response, deadline, late) = self.sent(at, limits, request).await?;
        Document::read(response, deadline, late).await
    }

    /// The head of the response; until when its body may come, and the error if it does not.
    async fn sent(
        &self,
        endpoint: &Url,
        limits: Limits,
        request: impl Fn(&Client) -> Result<RequestBuilder, TransportError>,
    ) -> Result<(Response, Instant, TransportError), TransportError> {
        if !outgoing::is_confidential(endpoint) {
            return Err(TransportError::Insecure);
        }
        let client = self.client(limits.connect)?;
        let deadline = Instant::now() + limits.total;
        let late = TransportError::TimedOut(limits.total);
        match tokio::time::timeout_at(deadline, send(&client, request)).await {
            Ok(response) => Ok((response?, deadline, late)),
            Err(_) => Err(late),
        }
    }

    fn client(&self, connect_timeout: Duration) -> Result<Client, SetupError> {
        let mut clients = self
            .clients
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, client)) = clients.iter().find(|(limit, _)| *limit == connect_timeout) {
            return Ok(client.clone());
        }
        let client = (self.builder)()
            .connect_timeout(connect_timeout)
            .build()
            .map_err(setup)?;
        clients.push((connect_timeout, client.clone()));
        Ok(client)
    }
}

fn setup(error: reqwest::Error) -> SetupError {
    SetupError(outgoing::describe(error))
}

async fn send(
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::test_support::{at, oauth, registration};
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
            let transport = Transport::new(move || {
                let asked = counter.clone();
                outgoing::Outgoing::default()
                    .builder()
                    .dns_resolver(Resolver { refused, asked })
            });
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
