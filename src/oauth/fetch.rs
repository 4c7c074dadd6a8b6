//! What an institution publishes: documents at addresses that its metadata names, such as its metadata itself and its
//! keys (RFC 8414, RFC 7517).
//!
//! Such an address is not the operator's word, so it is called only if it is public, or allowed (see
//! [`called_address`](crate::domain::called_address)). Neither credentials nor a certificate of a client go there.

use std::time::Duration;

use oauth2::http::header::{ACCEPT, HeaderValue};
use reqwest::Client;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::document::Document;
use super::transport;
use super::transport_error::{SetupError, TransportError};
use crate::domain::allowed_host::AllowedHost;
use crate::domain::called_address::Allowed;
use crate::outgoing::{Guarded, Outgoing};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long fetching a document may take, connecting included.
const TOTAL: Duration = Duration::from_secs(10);

/// Calls addresses that institutions name.
pub struct Fetcher {
    clients: Guarded,
    /// Whether this machine may be called, because the gateway itself serves this machine only.
    this_machine: bool,
    total: Duration,
}

impl Fetcher {
    /// Sets it up.
    pub fn new(outgoing: &Outgoing, this_machine: bool) -> Result<Self, SetupError> {
        let clients = Guarded::new(outgoing, |builder| builder.connect_timeout(CONNECT));
        Ok(Self {
            clients: clients.map_err(transport::setup)?,
            this_machine,
            total: TOTAL,
        })
    }

    /// Gets a document that an institution publishes, within 10 seconds and without following a redirect; `allow_hosts`
    /// may be at any address. What it says is not judged.
    ///
    /// # Errors
    ///
    /// It was not called, or as [`Document::read`].
    pub async fn fetch(
        &self,
        allow_hosts: &[AllowedHost],
        url: &Url,
    ) -> Result<Document, TransportError> {
        let allowed = Allowed {
            hosts: allow_hosts,
            this_machine: self.this_machine,
        };
        let deadline = Instant::now() + self.total;
        let late = TransportError::TimedOut(self.total);
        let fetching = async {
            let client = self.clients.client(url, allowed).await?;
            let accept = HeaderValue::from_static("application/json");
            let request =
                |client: &Client| Ok(client.get(url.clone()).header(ACCEPT, accept.clone()));
            transport::send(client, request).await
        };
        match timeout_at(deadline, fetching).await {
            Ok(response) => Document::read(response?, deadline, late).await,
            Err(_) => Err(late),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::LIMIT;
    use super::super::transport_error::MediaType;
    use super::*;
    use crate::domain::called_address::Forbidden;
    use crate::fake_server::{FakeServer, Reply, Request, json, response};

    fn fetcher(this_machine: bool) -> Fetcher {
        Fetcher::new(&Outgoing::default(), this_machine).unwrap()
    }

    /// Fetches a document of a server of this machine that responds like this, which the operator allowed.
    async fn fetched(
        reply: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> (Vec<Request>, Result<Vec<u8>, TransportError>) {
        let server = FakeServer::start(reply);
        let url = server.url("/jwks");
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut fetcher = fetcher(false);
        fetcher.total = Duration::from_secs(2);
        let fetched = fetcher.fetch(&[host.parse().unwrap()], &url).await;
        (server.requests(), fetched.map(|document| document.bytes))
    }

    #[tokio::test]
    async fn a_document_is_fetched_by_one_get_that_holds_nothing_of_a_client() {
        let (requests, document) = fetched(|_| json("200 OK", r#"{"keys":[]}"#)).await;
        assert_eq!(document, Ok(br#"{"keys":[]}"#.to_vec()));
        let [request] = &requests[..] else {
            panic!("one request");
        };
        assert!(request.head.starts_with("GET /jwks HTTP/1.1\r\n"));
        assert_eq!(request.header("authorization"), None);
    }

    #[tokio::test]
    async fn s2_an_address_that_metadata_names_is_called_only_if_it_is_public_or_allowed() {
        let server = FakeServer::start(|_| json("200 OK", "{}"));
        let port = server.url("/").port().unwrap();
        for (address, forbidden) in [
            (format!("http://127.0.0.1:{port}/jwks"), Forbidden::Scheme),
            (
                format!("https://127.0.0.1:{port}/jwks"),
                Forbidden::NotPublic,
            ),
            (
                format!("https://localhost:{port}/jwks"),
                Forbidden::NotPublic,
            ),
            (
                "https://169.254.169.254/latest".to_owned(),
                Forbidden::NotPublic,
            ),
            (
                "https://[64:ff9b::a00:1]/jwks".to_owned(),
                Forbidden::NotPublic,
            ),
            ("https://bank.example:22/jwks".to_owned(), Forbidden::Port),
            (
                "https://bank@bank.example/jwks".to_owned(),
                Forbidden::UserInfo,
            ),
            ("ftp://bank.example/jwks".to_owned(), Forbidden::Scheme),
        ] {
            let fetched = fetcher(false).fetch(&[], &address.parse().unwrap()).await;
            assert_eq!(fetched.err(), Some(forbidden.into()), "{address}");
        }
        assert!(server.requests().is_empty());
        // Where the gateway serves this machine only, this machine may be named.
        let here = fetcher(true).fetch(&[], &server.url("/jwks")).await;
        assert!(here.is_ok(), "{:?}", here.err());
        assert_eq!(server.requests().len(), 1);
    }

    #[tokio::test]
    async fn t10_no_redirect_is_followed_to_a_document() {
        let canary = FakeServer::start(|_| json("200 OK", "{}"));
        for status in [301, 302, 303, 307, 308] {
            let target = canary.url("/").to_string();
            let line = format!("{status} Elsewhere");
            let (_, document) =
                fetched(move |_| response(&line, &[("location", &target)], b"{}")).await;
            assert_eq!(document, Err(TransportError::Redirected(status)));
        }
        assert!(canary.requests().is_empty());
    }

    #[tokio::test]
    async fn t11_a_document_is_limited_in_size_and_time_and_is_no_page() {
        let (_, longest) = fetched(|_| json("200 OK", &" ".repeat(LIMIT))).await;
        assert_eq!(longest.map(|body| body.len()), Ok(LIMIT));
        let (_, longer) = fetched(|_| json("200 OK", &" ".repeat(LIMIT + 1))).await;
        assert!(
            matches!(longer, Err(TransportError::TooLong(_))),
            "{longer:?}"
        );
        let html = |_: &Request| response("200 OK", &[("content-type", "text/html")], b"{}");
        let (_, page) = fetched(html).await;
        assert_eq!(page, Err(TransportError::MediaType(MediaType::Html)));
        let (_, missing) = fetched(|_| json("404 No", "{}")).await;
        assert_eq!(missing, Err(TransportError::Status(404)));
        let coded = |_: &Request| response("200 OK", &[("content-encoding", "gzip")], b"x");
        let (_, coded) = fetched(coded).await;
        assert_eq!(coded, Err(TransportError::Encoded));
        let slowly = || Reply::Drip(format!("HTTP/1.1 200 OK\r\n\r\n{:9999}", "").into_bytes());
        for slow in [|| Reply::Silence, slowly] {
            let (_, late) = fetched(move |_| slow()).await;
            let limit = Duration::from_secs(2);
            assert_eq!(late, Err(TransportError::TimedOut(limit)));
        }
    }
}
