//! What every outgoing call has in common, whoever makes it.
//!
//! No redirect is followed, nothing is repeated behind the caller's back, no proxy is taken from the
//! environment, no compressed answer is asked for, and no body is read further than its limit.
//! Time limits are each caller's own.

use std::error::Error;
use std::time::Duration;

use reqwest::{ClientBuilder, Response};
use url::Url;

use crate::domain::return_address::is_loopback;
use crate::printable::printable;

/// How long an idle connection is kept. Shorter than the five seconds after which common servers
/// close theirs, because a request that meets a closing connection is lost, and some of ours must
/// not be repeated.
const IDLE: Duration = Duration::from_secs(4);

/// How much of an error's text is kept, in characters.
const ERROR_TEXT: usize = 300;

/// A client that keeps the rules above.
pub fn builder() -> ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .pool_idle_timeout(IDLE)
        .user_agent(concat!("guichet/", env!("CARGO_PKG_VERSION")))
}

/// Whether the host of `url` can be called: its name is known, it takes connections and, for `https`, its
/// certificate is good. What it answers then does not matter.
///
/// # Errors
///
/// Why not, in words for the operator.
pub async fn reach(url: &Url) -> Result<(), String> {
    const CONNECT: Duration = Duration::from_secs(5);
    const TOTAL: Duration = Duration::from_secs(10);
    let client = builder().connect_timeout(CONNECT).timeout(TOTAL).build();
    let client = client.map_err(describe)?;
    let mut front = url.clone();
    front.set_path("/");
    front.set_query(None);
    match client.head(front).send().await {
        Err(error) if error.is_connect() => Err(describe(error)),
        _ => Ok(()),
    }
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
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The connection failed.
    #[error("the answer broke off: {0}")]
    Broken(String),
}

/// Reads a body of at most `limit` bytes into `body`. After an error, what came until then is there.
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

/// Reads and drops the rest of an answer whose status has said all, so that the connection can serve
/// the next call. Gives up, and with it the connection, after 16 kB or a second.
pub async fn drain(mut response: Response) {
    const LIMIT: usize = 16 * 1024;
    const TIME: Duration = Duration::from_secs(1);
    let mut dropped = Vec::new();
    let reading = read_into(&mut response, LIMIT, &mut dropped);
    // Whether it ended well changes nothing.
    let _ = tokio::time::timeout(TIME, reading).await;
}

/// Whether a call failed over TLS itself: a certificate, a version, or what the other side said in an
/// alert.
pub fn is_tls_fault(error: &(dyn Error + 'static)) -> bool {
    // An I/O error hides what it carries from the chain of causes.
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
}
