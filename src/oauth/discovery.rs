//! Discovery: an issuer → what it says of itself (RFC 8414 section 3, OpenID Connect Discovery section 4).

use url::Url;

use super::OAuthClient;
use super::metadata::{MetadataError, ServerMetadata};
use super::transport_error::TransportError;
use crate::domain::allowed_host::AllowedHost;

/// Why an issuer's metadata is not known. None of these holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiscoveryError {
    /// The issuer is no address that metadata could be at.
    #[error("the issuer is not an address")]
    NoAddress,
    /// It could not be read there.
    #[error("{0}: {1}")]
    Call(Url, TransportError),
    /// It was read there, and is not to be relied on.
    #[error("{0}: {1}")]
    Metadata(Url, MetadataError),
}

impl DiscoveryError {
    /// Whether the institution seems to publish none.
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::Call(_, error) if is_absent(error))
    }
}

/// What was found, and where.
#[derive(Debug)]
pub struct Discovered {
    /// The address.
    pub at: Url,
    /// What is said there.
    pub metadata: ServerMetadata,
}

impl OAuthClient {
    /// Reads the metadata of `issuer`, at `address` or, without one, at the two addresses that the standards
    /// give it, one after the other; `allow_hosts` may be at any address. No redirect is followed.
    ///
    /// # Errors
    ///
    /// It is at neither, or what is there is not to be relied on. A document of another issuer is not passed
    /// over: somebody has mixed something up.
    pub async fn discover(
        &self,
        issuer: &str,
        address: Option<&Url>,
        allow_hosts: &[AllowedHost],
    ) -> Result<Discovered, DiscoveryError> {
        let addresses = match address {
            Some(address) => vec![address.clone()],
            None => Vec::from(well_known(issuer).ok_or(DiscoveryError::NoAddress)?),
        };
        let mut absent = DiscoveryError::NoAddress;
        for at in addresses {
            let document = match self.fetcher.fetch(allow_hosts, &at).await {
                Ok(document) => document,
                Err(error) if is_absent(&error) => {
                    absent = DiscoveryError::Call(at, error);
                    continue;
                }
                Err(error) => return Err(DiscoveryError::Call(at, error)),
            };
            return match ServerMetadata::parse(&document.bytes, issuer) {
                Ok(metadata) => Ok(Discovered { at, metadata }),
                Err(error) => Err(DiscoveryError::Metadata(at, error)),
            };
        }
        Err(absent)
    }
}

/// Whether that only says that there is no such document.
fn is_absent(error: &TransportError) -> bool {
    matches!(
        error,
        TransportError::Status(400..=499) | TransportError::MediaType(_)
    )
}

/// Where the metadata of an issuer is: RFC 8414 puts its name between host and path, OpenID Connect at the end.
fn well_known(issuer: &str) -> Option<[Url; 2]> {
    let issuer = Url::parse(issuer).ok()?;
    let path = issuer.path().trim_end_matches('/').to_owned();
    let at = |path: &str| {
        let mut url = issuer.clone();
        url.set_path(path);
        url
    };
    Some([
        at(&format!("/.well-known/oauth-authorization-server{path}")),
        at(&format!("{path}/.well-known/openid-configuration")),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::metadata::tests::metadata;
    use super::super::test_support::client;
    use super::super::transport_error::MediaType;
    use super::*;
    use crate::fake_server::{FakeServer, Reply, Request, json, response};

    fn path(request: &Request) -> &str {
        request.head.split(' ').nth(1).unwrap_or_default()
    }

    /// A server with the metadata of its own issuer at that path; what is asked of it, and the outcome.
    async fn discovered(
        issuer_path: &str,
        at: &'static str,
    ) -> (Vec<String>, Result<Discovered, DiscoveryError>) {
        let issuer_path = issuer_path.to_owned();
        let own = issuer_path.clone();
        let server = FakeServer::start(move |request| {
            if path(request) != at {
                return response("404 Not Found", &[], b"no");
            }
            let host = request.header("host").unwrap_or_default();
            json("200 OK", &metadata(&format!("http://{host}{own}"), ""))
        });
        let url = server.url(&issuer_path);
        let issuer = match issuer_path.is_empty() {
            true => url.as_str().trim_end_matches('/'),
            false => url.as_str(),
        };
        let client = client();
        let outcome = client.discover(issuer, None, &[]).await;
        let asked = server.requests();
        (
            asked.iter().map(|it| path(it).to_owned()).collect(),
            outcome,
        )
    }

    #[tokio::test]
    async fn s1_the_well_known_name_stands_before_the_path_or_at_its_end() {
        for (issuer, inserted, appended) in [
            (
                "",
                "/.well-known/oauth-authorization-server",
                "/.well-known/openid-configuration",
            ),
            (
                "/a/b",
                "/.well-known/oauth-authorization-server/a/b",
                "/a/b/.well-known/openid-configuration",
            ),
            (
                "/a/",
                "/.well-known/oauth-authorization-server/a",
                "/a/.well-known/openid-configuration",
            ),
        ] {
            let (asked, outcome) = discovered(issuer, inserted).await;
            assert_eq!(asked, [inserted]);
            assert_eq!(outcome.unwrap().at.path(), inserted);
            let (asked, outcome) = discovered(issuer, appended).await;
            assert_eq!(asked, [inserted, appended]);
            assert_eq!(outcome.unwrap().at.path(), appended);
        }
    }

    #[tokio::test]
    async fn s1_metadata_of_another_issuer_is_refused_and_nothing_else_is_asked() {
        let server = FakeServer::start(|_| json("200 OK", &metadata("https://evil.example", "")));
        let client = client();
        let issuer = server.url("/bank");
        let error = client.discover(issuer.as_str(), None, &[]).await;
        let error = error.unwrap_err();
        let is_issuer = |error: &DiscoveryError| {
            matches!(
                error,
                DiscoveryError::Metadata(_, MetadataError::Issuer { .. })
            )
        };
        assert!(is_issuer(&error), "{error}");
        assert_eq!(server.requests().len(), 1);
    }

    #[tokio::test]
    async fn t10_no_redirect_of_metadata_is_followed() {
        let canary = FakeServer::start(|_| json("200 OK", "{}"));
        let target = canary.url("/").to_string();
        for status in ["301 A", "302 A", "303 A", "307 A", "308 A"] {
            let target = target.clone();
            let server =
                FakeServer::start(move |_| response(status, &[("location", &target)], b""));
            let client = client();
            let issuer = server.url("/");
            let error = client.discover(issuer.as_str(), None, &[]).await;
            let expected = TransportError::Redirected(status[..3].parse().unwrap());
            let DiscoveryError::Call(_, error) = error.unwrap_err() else {
                panic!("the call fails");
            };
            assert_eq!(error, expected);
        }
        assert!(canary.requests().is_empty());
    }

    async fn refused(reply: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> DiscoveryError {
        let server = FakeServer::start(reply);
        let client = client();
        let issuer = server.url("/");
        let outcome = client.discover(issuer.as_str(), None, &[]).await;
        outcome.unwrap_err()
    }

    #[tokio::test]
    async fn t11_metadata_is_limited_in_size() {
        let long = vec![b' '; 256 * 1024 + 1];
        let error = refused(move |_| response("200 OK", &[], &long)).await;
        assert!(
            error.to_string().contains("longer than 262144 bytes"),
            "{error}"
        );
        let zipped = |_: &Request| response("200 OK", &[("content-encoding", "gzip")], b"x");
        let error = refused(zipped).await;
        assert!(matches!(
            error,
            DiscoveryError::Call(_, TransportError::Encoded)
        ));
        let error = refused(|_| response("200 OK", &[("content-type", "text/html")], b"x")).await;
        let html = TransportError::MediaType(MediaType::Html);
        assert!(error.is_absence());
        assert!(matches!(error, DiscoveryError::Call(_, it) if it == html));
        let error = refused(|_| response("500 A", &[], b"x")).await;
        assert!(!error.is_absence());
        assert!(matches!(
            error,
            DiscoveryError::Call(_, TransportError::Status(500))
        ));
    }
}
