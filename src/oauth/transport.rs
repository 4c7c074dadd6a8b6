//! The one outgoing seam of this folder: how an institution is called.
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

use super::json;
use super::reason::{Meaning, SetupFault};
use super::reply::{MediaType, Reply};
use crate::domain::institution::OAuth;
use crate::domain::window::ErrorReason;
use crate::outgoing;

/// The outgoing side could not be set up, usually for want of certificate authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("outgoing calls cannot be set up: {0}")]
pub struct SetupError(String);

/// Why a call came to nothing. None of these holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The endpoint is plain http on another machine: not called.
    #[error("the endpoint is plain http, which is for this machine only; nothing was sent")]
    Insecure,
    /// The outgoing side could not be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// No connection, twice: nothing was sent.
    #[error("no connection to the institution: {0}")]
    Unreachable(String),
    /// No trusted connection: a certificate was refused, on either side, or the two sides have no
    /// version or cipher in common. It is the operator's to mend.
    #[error("no trusted connection (TLS) to the institution: {0}")]
    Tls(String),
    /// The connection failed after sending had begun; what arrived is unknown.
    #[error("the connection failed during the call: {0}")]
    Broken(String),
    /// The whole call took longer than the institution's limit.
    #[error("the institution did not answer within {0:?}")]
    TimedOut(Duration),
    /// A redirect, which is not followed.
    #[error("the institution answered with a redirect (status {0}), which is not followed")]
    Redirected(u16),
    /// A status that is neither success nor an OAuth error.
    #[error("the institution answered with status {0} and no OAuth error")]
    Status(u16),
    /// HTML, or something that is no JSON and does not say it is.
    #[error("the institution answered with {} instead of JSON", .0.name())]
    MediaType(MediaType),
    /// A content coding, though none was offered.
    #[error("the institution answered in a content coding, though none was offered")]
    Encoded,
    /// More than 64 kB.
    #[error("{0}")]
    TooLong(String),
    /// JSON that cannot be relied on.
    #[error("the institution's response cannot be relied on: {0}")]
    Json(#[from] json::JsonError),
}

impl TransportError {
    /// What it means: a call that was never made for reasons of ours, and a fault of TLS, are the
    /// operator's to mend; everything else is the institution's failure.
    pub fn meaning(&self) -> Meaning {
        match self {
            Self::Insecure | Self::Setup(_) => Meaning::NotSetUp(SetupFault::Configuration),
            Self::Tls(_) => Meaning::NotSetUp(SetupFault::Tls),
            Self::Unreachable(_)
            | Self::Broken(_)
            | Self::TimedOut(_)
            | Self::Redirected(_)
            | Self::Status(_)
            | Self::MediaType(_)
            | Self::Encoded
            | Self::TooLong(_)
            | Self::Json(_) => Meaning::Reason(ErrorReason::ProviderError),
        }
    }

    /// The same for a call in which nobody but the client proves itself (RFC 6749 section 5.2): a bare
    /// 401 refuses it.
    pub fn meaning_to_a_client(&self) -> Meaning {
        match self {
            Self::Status(401) => Meaning::NotSetUp(SetupFault::ClientRefused),
            error => error.meaning(),
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
        // A machine on which no client can be made is to be known at start.
        (transport.builder)().build().map_err(setup)?;
        Ok(transport)
    }

    /// Posts a form, within the institution's time limit from connecting to the last byte.
    pub async fn post(
        &self,
        oauth: &OAuth,
        endpoint: &Url,
        headers: HeaderMap,
        form: Vec<u8>,
    ) -> Result<Reply, TransportError> {
        self.call(oauth, endpoint, |client| {
            let request = client.post(endpoint.clone());
            request.headers(headers.clone()).body(form.clone())
        })
        .await
    }

    /// Gets an address, within the same limit.
    pub async fn get(
        &self,
        oauth: &OAuth,
        endpoint: &Url,
        headers: HeaderMap,
    ) -> Result<Reply, TransportError> {
        self.call(oauth, endpoint, |client| {
            client.get(endpoint.clone()).headers(headers.clone())
        })
        .await
    }

    async fn call(
        &self,
        oauth: &OAuth,
        endpoint: &Url,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Reply, TransportError> {
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
    request: impl Fn(&Client) -> RequestBuilder,
) -> Result<Response, TransportError> {
    let answer = match request(client).send().await {
        Err(error) if error.is_connect() => request(client).send().await,
        answer => answer,
    };
    answer.map_err(|error| {
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

    use super::super::test_support::oauth;
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
    async fn t12_a_refused_connection_is_tried_once_more() {
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
            let outcome = transport
                .unwrap()
                .post(&oauth, &oauth.token_endpoint, HeaderMap::new(), vec![])
                .await;
            assert_eq!(server.requests().len(), arrived);
            assert_eq!(asked.load(Ordering::SeqCst), tries);
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
