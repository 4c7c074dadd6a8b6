//! The one outgoing seam of this folder: how an institution is called, and what of its answer is
//! believed.
//!
//! No redirect is followed (a redirect would carry a code or a secret to somebody else). A request
//! is sent again only when the first connection failed, before a byte of it was sent: a code that
//! arrives twice makes a careful server revoke what it gave (RFC 6749 section 4.1.2).

use std::sync::Mutex;
use std::time::Duration;

use oauth2::HttpResponse;
use oauth2::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response};
use serde_json::{Map, Value};
use url::Url;

use super::json;
use crate::domain::institution::OAuth;
use crate::outgoing::{self, BodyError};
use crate::printable::printable;

/// How long a token answer may be, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// How much of a header's value an error shows, in characters.
const HEADER_TEXT: usize = 80;

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
    /// Another media type than JSON.
    #[error("the institution answered with {0} instead of application/json")]
    MediaType(String),
    /// A content coding, though none was offered.
    #[error("the institution answered in the content coding {0:?}, which was not offered")]
    Encoded(String),
    /// More than 64 kB.
    #[error("{0}")]
    TooLong(String),
    /// JSON that cannot be relied on.
    #[error("the institution's answer cannot be relied on: {0}")]
    Json(#[from] json::JsonError),
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

    /// Posts a form and gives the answer's head; a redirect is an error.
    pub async fn post(
        &self,
        oauth: &OAuth,
        endpoint: &Url,
        headers: HeaderMap,
        form: Vec<u8>,
    ) -> Result<Response, TransportError> {
        self.call(oauth, endpoint, |client| {
            let request = client.post(endpoint.clone());
            request.headers(headers.clone()).body(form.clone())
        })
        .await
    }

    /// Gets an address and gives the answer's head; a redirect is an error.
    pub async fn get(
        &self,
        oauth: &OAuth,
        endpoint: &Url,
        headers: HeaderMap,
    ) -> Result<Response, TransportError> {
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
    ) -> Result<Response, TransportError> {
        if !outgoing::is_confidential(endpoint) {
            return Err(TransportError::Insecure);
        }
        let client = self.client(oauth.connect_timeout)?;
        let answer = match request(&client).send().await {
            Err(error) if error.is_connect() => request(&client).send().await,
            answer => answer,
        };
        let response = answer.map_err(|error| {
            if error.is_connect() {
                TransportError::Unreachable(outgoing::describe(error))
            } else {
                TransportError::Broken(outgoing::describe(error))
            }
        })?;
        if response.status().is_redirection() {
            return Err(TransportError::Redirected(response.status().as_u16()));
        }
        Ok(response)
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

/// Gives a whole call, from connecting to the last byte, the institution's time limit.
pub async fn within<T>(
    oauth: &OAuth,
    call: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    tokio::time::timeout(oauth.timeout, call)
        .await
        .unwrap_or(Err(TransportError::TimedOut(oauth.timeout)))
}

/// Reads a token endpoint's answer: JSON with status 200, or an OAuth error (RFC 6749 sections 5.1
/// and 5.2); everything else is an error of its own.
pub async fn read_token_answer(response: Response) -> Result<HttpResponse, TransportError> {
    let status = response.status();
    if status.as_u16() != 200 {
        if !(status.is_client_error() || status.is_server_error()) {
            return Err(TransportError::Status(status.as_u16()));
        }
        let answer = read_json(response).await;
        let answer = answer.map_err(|_| TransportError::Status(status.as_u16()))?;
        let is_error =
            serde_json::from_slice::<oauth2::basic::BasicErrorResponse>(answer.body()).is_ok();
        return is_error
            .then_some(answer)
            .ok_or(TransportError::Status(status.as_u16()));
    }
    read_json(response).await
}

/// Reads the answer to a GET: a JSON object with status 200; everything else is an error.
pub async fn read_object(response: Response) -> Result<Map<String, Value>, TransportError> {
    let status = response.status().as_u16();
    if status != 200 {
        return Err(TransportError::Status(status));
    }
    let answer = read_json(response).await?;
    serde_json::from_slice(answer.body()).map_err(|_| json::JsonError::Syntax.into())
}

async fn read_json(response: Response) -> Result<HttpResponse, TransportError> {
    let header = |name| response.headers().get(name).map(|value| value.as_bytes());
    if let Some(coding) = header(CONTENT_ENCODING)
        && !coding.eq_ignore_ascii_case(b"identity")
    {
        return Err(TransportError::Encoded(header_text(coding)));
    }
    match header(CONTENT_TYPE) {
        None => return Err(TransportError::MediaType("no media type".to_owned())),
        Some(value) if !is_json(value) => {
            return Err(TransportError::MediaType(header_text(value)));
        }
        Some(_) => {}
    }
    let status = response.status();
    let media_type = response.headers()[CONTENT_TYPE].clone();
    let body = outgoing::read_body(response, BODY_LIMIT)
        .await
        .map_err(|error| match error {
            BodyError::TooLong(_) => TransportError::TooLong(error.to_string()),
            BodyError::Broken(text) => TransportError::Broken(text),
        })?;
    json::check(&body)?;
    let mut answer = HttpResponse::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    Ok(answer)
}

/// Whether a `Content-Type` names JSON, whatever its parameters.
fn is_json(value: &[u8]) -> bool {
    let essence = value.split(|b| *b == b';').next().unwrap_or_default();
    essence
        .trim_ascii()
        .eq_ignore_ascii_case(b"application/json")
}

fn header_text(value: &[u8]) -> String {
    printable(&String::from_utf8_lossy(value), HEADER_TEXT)
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
                outgoing::builder().dns_resolver(Resolver { refused, asked })
            });
            let oauth = oauth(&server.url_by_name("/"));
            let outcome = transport
                .unwrap()
                .post(&oauth, &oauth.token_endpoint, HeaderMap::new(), vec![])
                .await;
            assert_eq!(server.requests().len(), arrived);
            assert_eq!(asked.load(Ordering::SeqCst), tries);
            match outcome {
                Ok(response) => assert_eq!(response.status(), 200),
                Err(error) => {
                    assert_eq!(arrived, 0);
                    assert!(matches!(error, TransportError::Unreachable(_)), "{error}");
                }
            }
        }
    }
}
