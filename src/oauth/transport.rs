//! How an institution is called: the only file of this folder that sends.
//!
//! No redirect is followed (a redirect would carry a code or a secret to somebody else). A request
//! is sent again only when the first connection failed, before a byte of it was sent: a code that
//! arrives twice makes a careful server revoke what it gave (RFC 6749 section 4.1.2).

use std::sync::Mutex;
use std::time::Duration;

use oauth2::http::header::HeaderMap;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response};
use tokio::time::Instant;
use url::Url;

use super::registered::Registered;
use super::reply::Reply;
use super::transport_error::{SetupError, TransportError};
use crate::outgoing;

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

    /// Posts a form, within the institution's time limit from connecting to the last byte. Headers and form are made
    /// for each request that is sent: what authenticates the client may count only once.
    pub async fn post(
        &self,
        at: Registered<'_>,
        endpoint: &Url,
        form: impl Fn() -> Result<(HeaderMap, Vec<u8>), SetupError>,
    ) -> Result<Reply, TransportError> {
        self.call(at, endpoint, |client| {
            let (headers, body) = form()?;
            Ok(client.post(endpoint.clone()).headers(headers).body(body))
        })
        .await
    }

    /// Gets an address, within the same limit.
    pub async fn get(
        &self,
        at: Registered<'_>,
        endpoint: &Url,
        headers: HeaderMap,
    ) -> Result<Reply, TransportError> {
        self.call(at, endpoint, |client| {
            Ok(client.get(endpoint.clone()).headers(headers.clone()))
        })
        .await
    }

    async fn call(
        &self,
        at: Registered<'_>,
        endpoint: &Url,
        request: impl Fn(&Client) -> Result<RequestBuilder, SetupError>,
    ) -> Result<Reply, TransportError> {
        let oauth = at.oauth;
        if !outgoing::is_confidential(endpoint) {
            return Err(TransportError::Insecure);
        }
        let client = self.client(oauth.connect_timeout)?;
        let deadline = Instant::now() + oauth.timeout;
        let late = TransportError::TimedOut(oauth.timeout);
        match tokio::time::timeout_at(deadline, send(&client, request)).await {
            Ok(response) => Ok(Reply::read(response?, deadline, late).await),
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
    request: impl Fn(&Client) -> Result<RequestBuilder, SetupError>,
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
            let made = AtomicUsize::new(0);
            let outcome = transport
                .unwrap()
                .post(at(&oauth, &registration()), &oauth.token_endpoint, || {
                    let nth = made.fetch_add(1, Ordering::SeqCst);
                    Ok((HeaderMap::new(), nth.to_string().into_bytes()))
                })
                .await;
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
