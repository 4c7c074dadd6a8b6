//! What every outgoing call has in common, whoever makes it.
//!
//! No redirect is followed, nothing is repeated without the caller's knowledge, only the configured proxy
//! is used, no compressed response is asked for, and no body is read further than its limit. Where the other side
//! speaks HTTP/2 that is used (ALPN). Each caller has its own time limits.

mod guard;

use std::error::Error;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{ClientBuilder, NoProxy, Proxy, Response, tls};
use url::Url;

pub use guard::Guarded;

use crate::certificate::Certificate;
use crate::domain::return_address::is_loopback;
use crate::printable::printable;

/// How long an idle connection is kept. It is shorter than the five seconds after which common servers
/// close theirs, because a request on a connection that is being closed is lost, and some of our requests
/// must not be repeated.
const IDLE: Duration = Duration::from_secs(4);

/// How often it is asked whether a connection by HTTP/2 that is in use still works. All calls to a host share one, so one
/// that is dead would fail them all for as long as the system tries to reach the other side.
const PING_EVERY: Duration = Duration::from_secs(5);

/// How long the answer to that may take; then the connection is closed, and the next call makes a new one.
const PING_ANSWERED: Duration = Duration::from_secs(5);

/// How much of an error's text is kept, in characters.
const ERROR_TEXT: usize = 300;

/// Hosts on this machine, which a proxy could not reach.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

/// Whether calls go through a proxy.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    proxy: Option<Proxy>,
    proxy_host: Option<String>,
}

impl Outgoing {
    /// Calls to https addresses go through the proxy at `url`, unless `except` lists their host as
    /// `NO_PROXY` does, or it is this machine.
    ///
    /// # Errors
    ///
    /// `url` is no address of a proxy.
    pub fn through(url: &str, except: &str) -> Result<Self, String> {
        let proxy = Proxy::https(url).map_err(describe)?;
        let address = Url::parse(url).map_err(|error| error.to_string())?;
        let except = NoProxy::from_string(&format!("{except},{THIS_MACHINE}"));
        Ok(Self {
            proxy: Some(proxy.no_proxy(except)),
            proxy_host: address.host_str().map(str::to_owned),
        })
    }

    /// Calls to https addresses go through the proxy at `url`, those to this machine too.
    #[cfg(test)]
    pub fn always_through(url: &Url) -> Self {
        Self {
            proxy: Some(Proxy::https(url.as_str()).expect("a proxy")),
            proxy_host: url.host_str().map(str::to_owned),
        }
    }

    /// The host of the proxy that calls to https addresses go through, if there is one; the proxy then
    /// resolves names.
    pub fn proxy_host(&self) -> Option<&str> {
        self.proxy_host.as_deref()
    }

    /// A client that keeps the rules above.
    pub fn builder(&self) -> ClientBuilder {
        let builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .pool_idle_timeout(IDLE)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_ANSWERED)
            .user_agent(concat!("guichet/", env!("CARGO_PKG_VERSION")));
        match &self.proxy {
            Some(proxy) => builder.proxy(proxy.clone()),
            None => builder,
        }
    }
}

/// Checks that the host of `url` can be called: its name can be resolved, it accepts connections and, for
/// `https`, its certificate is valid. Its response does not matter.
///
/// # Errors
///
/// Why it cannot be called, in words for the operator.
pub async fn reach(outgoing: &Outgoing, url: &Url) -> Result<(), String> {
    match front(outgoing, url, tls::Version::TLS_1_2).await {
        Err(error) if error.is_connect() || error.is_builder() => Err(describe(error)),
        _ => Ok(()),
    }
}

/// How a server proves its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The version of TLS that both sides have: 1.3, or else 1.2.
    pub version: &'static str,
    /// The server's certificate, if it can be read.
    pub certificate: Option<Certificate>,
}

/// Checks that the host of `url` can be called, as [`reach`] does, and says how it proves its name; `None`: it does
/// not, because it is called by plain http.
///
/// # Errors
///
/// As for [`reach`].
pub async fn tls(outgoing: &Outgoing, url: &Url) -> Result<Option<Tls>, String> {
    let newest = front(outgoing, url, tls::Version::TLS_1_3).await;
    let (version, response) = match newest {
        Err(error) if error.is_connect() => {
            let older = front(outgoing, url, tls::Version::TLS_1_2).await;
            ("1.2", older)
        }
        newest => ("1.3", newest),
    };
    let response = response.map_err(describe)?;
    if url.scheme() != "https" {
        return Ok(None);
    }
    let shown = response.extensions().get::<tls::TlsInfo>();
    let certificate = shown.and_then(tls::TlsInfo::peer_certificate);
    Ok(Some(Tls {
        version,
        certificate: certificate.and_then(Certificate::read),
    }))
}

/// Asks for the front page of the host of `url`.
async fn front(
    outgoing: &Outgoing,
    url: &Url,
    least: tls::Version,
) -> Result<Response, reqwest::Error> {
    const CONNECT: Duration = Duration::from_secs(5);
    const TOTAL: Duration = Duration::from_secs(10);
    let client = outgoing
        .builder()
        .connect_timeout(CONNECT)
        .timeout(TOTAL)
        .tls_version_min(least)
        .tls_info(true)
        .build()?;
    let mut front = url.clone();
    front.set_path("/");
    front.set_query(None);
    client.head(front).send().await
}

/// Whether the address may be called with a secret: `https`, or `http` on this machine.
pub fn is_confidential(url: &Url) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => is_loopback(url),
        _ => false,
    }
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is longer than the limit, in bytes.
    #[error("the response is longer than {0} bytes")]
    TooLong(usize),
    /// The connection failed.
    #[error("the response broke off: {0}")]
    Broken(String),
}

/// Reads a body of at most `limit` bytes into `body`. After an error, `body` has what came until then.
pub async fn read_into(
    response: &mut Response,
    limit: usize,
    body: &mut Vec<u8>,
) -> Result<(), BodyError> {
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = limit.saturating_sub(body.len());
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return Err(BodyError::TooLong(limit));
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => return Err(BodyError::Broken(describe(error))),
        }
    }
}

/// Reads the rest of a response of which hardly more than the status matters, so that the connection can be used for the
/// next call. After 16 kB or a second it gives up, and the connection is closed. Returns what came until then.
pub async fn drain(mut response: Response) -> Vec<u8> {
    const LIMIT: usize = 16 * 1024;
    const TIME: Duration = Duration::from_secs(1);
    let mut body = Vec::new();
    let reading = read_into(&mut response, LIMIT, &mut body);
    // An error changes nothing here.
    let _ = tokio::time::timeout(TIME, reading).await;
    body
}

/// The longest wait that the other side can ask for.
pub const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(12 * 60 * 60);

/// `Retry-After` as it was sent.
pub fn retry_after_header(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(RETRY_AFTER)?;
    value.to_str().ok().map(str::to_owned)
}

/// Reads `Retry-After` (RFC 9110 section 10.2.3): seconds, or a date. At most [`RETRY_AFTER_LIMIT`].
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let then = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
            Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(RETRY_AFTER_LIMIT))
}

/// Whether a call failed because of TLS: a certificate, a version, or an alert of the other side.
pub fn is_tls_fault(error: &(dyn Error + 'static)) -> bool {
    // An I/O error does not show its inner error in the chain of causes.
    let carried = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || carried.is_some_and(|carried| is_tls_fault(carried))
        || error.source().is_some_and(is_tls_fault)
}

/// What went wrong, for an operator: the chain of causes, without the address called.
pub fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let this = error.to_string();
        // Libraries repeat their cause's text in their own.
        if !text.ends_with(&this) {
            text.push_str(": ");
            text.push_str(&this);
        }
        cause = error.source();
    }
    printable(&text, ERROR_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine() {
        for (url, expected) in [
            ("https://bank.example/token", true),
            ("http://localhost:8081/token", true),
            ("http://127.0.0.1/token", true),
            ("http://127.9.9.9/token", true),
            ("http://[::1]:1/token", true),
            ("http://bank.example/token", false),
            ("http://localhost.bank.example/token", false),
            ("http://10.0.0.1/token", false),
            ("ftp://localhost/token", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(is_confidential(&url), expected, "{url}");
        }
    }

    /// A proxy that refuses; returns the request lines that it got.
    fn refusing_proxy() -> (std::net::SocketAddr, std::sync::mpsc::Receiver<String>) {
        use std::io::{BufRead, BufReader, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (asked, seen) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().expect("a reader"));
                reader.read_line(&mut line).expect("a line");
                if asked.send(line).is_err() {
                    return;
                }
                let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
            }
        });
        (address, seen)
    }

    #[tokio::test]
    async fn https_goes_through_the_proxy_unless_its_host_is_excepted_or_on_this_machine() {
        let (address, seen) = refusing_proxy();
        let url = format!("http://{address}");
        let through = Outgoing::through(&url, "direct.invalid").expect("a proxy");
        for (host, is_asked) in [
            ("https://bank.invalid/token", true),
            ("https://direct.invalid/token", false),
            ("https://localhost:1/token", false),
            ("https://127.0.0.1:1/token", false),
            ("http://127.0.0.1:1/token", false),
        ] {
            let target: Url = host.parse().expect("a URL");
            assert!(reach(&through, &target).await.is_err(), "{host}");
            let asked = seen.try_recv().ok();
            assert_eq!(asked.is_some(), is_asked, "{host}: {asked:?}");
            if let Some(line) = asked {
                assert_eq!(line.trim_end(), "CONNECT bank.invalid:443 HTTP/1.1");
            }
        }
        let bank: Url = "https://bank.invalid/".parse().expect("a URL");
        assert!(reach(&Outgoing::default(), &bank).await.is_err());
        assert!(seen.try_recv().is_err(), "nobody asks for a proxy");
    }
}
