//! Webhooks: one event sent to one address, once. Whether and when it is tried again is decided by
//! [`flow::deliver`](crate::flow::deliver).
//!
//! Deliveries are signed (Standard Webhooks, see [`crate::signature`]), or have HTTP Basic credentials,
//! or both, as the client is configured. The addresses come from clients, so each is checked before
//! it is called: no machine of the operator's own network can be reached through one.

mod payload;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::Response;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use zeroize::Zeroizing;

pub use payload::{IncompleteEvent, Message};

use crate::domain::allowed_host::AllowedHost;
use crate::domain::called_address::Allowed;
use crate::domain::client::{BasicCredentials, WebhookEndpoint};
use crate::outgoing::{Guarded, Outgoing};
use crate::printable::printable;
use crate::{outgoing, signature};

/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);

/// The header with the client's callback payload (CONTRACT.md 2.2).
const CALLBACK_PAYLOAD: HeaderName = HeaderName::from_static("x-callback-payload");

/// How deliveries are made.
pub struct Settings {
    /// How long a receiver may take to respond, connecting included; 20 seconds unless configured.
    pub timeout: Duration,
    /// Hosts that may be called although their address is not public, as the operator configured.
    pub allow_hosts: Vec<AllowedHost>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(20),
            allow_hosts: Vec::new(),
        }
    }
}

/// How one delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver accepted it: any 2xx status.
    Delivered,
    /// The receiver does not want it (410): not to be tried again.
    Gone,
    /// It was not accepted: to be tried again.
    Again {
        /// Why, for the operator.
        reason: String,
        /// How long the receiver asked to wait, at most [`RETRY_AFTER_LIMIT`](outgoing::RETRY_AFTER_LIMIT).
        retry_after: Option<Duration>,
    },
}

/// How one delivery ended, and what the receiver said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// How it ended.
    pub delivery: Delivery,
    /// The status of the response; `None`: there was none.
    pub status: Option<u16>,
    /// The first [`ANSWER`] characters of the response, or why there was none. It is safe to show, and has none of the
    /// endpoint's credentials.
    pub text: String,
}

/// How much of a response is kept, in characters.
pub const ANSWER: usize = 200;

/// Outgoing calls could not be set up, usually because there are no certificate authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("webhooks cannot be set up: {0}")]
pub struct SetupError(String);

/// Delivers events. Built once; connections are shared between deliveries.
pub struct Webhooks {
    settings: Settings,
    clients: Guarded,
}

impl Webhooks {
    /// Sets up the outgoing side.
    pub fn new(settings: Settings, outgoing: &Outgoing) -> Result<Self, SetupError> {
        let clients = Guarded::new(outgoing, |builder| builder.connect_timeout(CONNECT));
        let clients = clients.map_err(|error| SetupError(outgoing::describe(error)))?;
        Ok(Self { settings, clients })
    }

    /// Posts the message to the endpoint, once. `timestamp` is the time of this try, by the time of day; the event's guid is
    /// the same at every try, so that a receiver can drop repetitions.
    ///
    /// Signed with each of the endpoint's secrets, unsigned only if it has none; with HTTP Basic (RFC
    /// 7617) if it has a name and a password.
    pub async fn deliver(
        &self,
        endpoint: &WebhookEndpoint,
        message: &Message,
        timestamp: Timestamp,
    ) -> Answered {
        let allowed = Allowed {
            hosts: &self.settings.allow_hosts,
            this_machine: false,
        };
        let client = match self.clients.client(&endpoint.url, allowed).await {
            Ok(client) => client,
            Err(forbidden) => return again(forbidden.to_string()),
        };
        let body = message.body.to_string();
        let request = client
            .post(endpoint.url.clone())
            .headers(headers(endpoint, message, timestamp, body.as_bytes()))
            .body(body);
        let limit = self.settings.timeout;
        match tokio::time::timeout(limit, request.send()).await {
            Ok(Ok(response)) => {
                let delivery = judge(&response, timestamp);
                let status = Some(response.status().as_u16());
                let body = outgoing::drain(response).await;
                Answered {
                    delivery,
                    status,
                    text: shown(&body, endpoint),
                }
            }
            Ok(Err(error)) => again(outgoing::describe(error)),
            Err(_) => again(format!("no response within {limit:?}")),
        }
    }
}

fn headers(
    endpoint: &WebhookEndpoint,
    message: &Message,
    timestamp: Timestamp,
    body: &[u8],
) -> HeaderMap {
    let event = message.event.to_string();
    let text =
        |text: &str| HeaderValue::from_str(text).expect("guids and Base64 are visible ASCII");
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(signature::ID, text(&event));
    headers.insert(signature::TIMESTAMP, timestamp.as_second().into());
    if !endpoint.secrets.is_empty() {
        let signatures = signature::sign(&endpoint.secrets, &event, timestamp, body);
        headers.insert(signature::SIGNATURE, text(&signatures));
    }
    if let Some(credentials) = &endpoint.basic {
        headers.insert(AUTHORIZATION, basic(credentials));
    }
    if let Some(payload) = &message.callback_payload {
        headers.insert(CALLBACK_PAYLOAD, text(payload.as_str()));
    }
    headers
}

/// HTTP Basic in UTF-8 (RFC 7617 section 2); marked as sensitive, so that it is not printed.
fn basic(credentials: &BasicCredentials) -> HeaderValue {
    let BasicCredentials { username, password } = credentials;
    let pair = Zeroizing::new(format!("{username}:{}", password.expose_secret()));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair.as_bytes())))
        .expect("Base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

/// The meaning of a status. A redirect is a failure: only the registered address was checked.
fn judge(response: &Response, now: Timestamp) -> Delivery {
    let status = response.status();
    if status.is_success() {
        Delivery::Delivered
    } else if status.as_u16() == 410 {
        Delivery::Gone
    } else {
        Delivery::Again {
            reason: format!("the receiver responded with status {}", status.as_u16()),
            retry_after: outgoing::retry_after_header(response.headers())
                .and_then(|asked| outgoing::retry_after(&asked, now)),
        }
    }
}

/// There was no response.
fn again(reason: String) -> Answered {
    Answered {
        status: None,
        text: printable(&reason, ANSWER),
        delivery: Delivery::Again {
            reason,
            retry_after: None,
        },
    }
}

/// The beginning of a response; nothing of one that shows the endpoint's password.
fn shown(body: &[u8], endpoint: &WebhookEndpoint) -> String {
    let text = String::from_utf8_lossy(body);
    let shows = |credentials: &BasicCredentials| {
        let password = credentials.password.expose_secret();
        let pair = Zeroizing::new(format!("{}:{password}", credentials.username));
        text.contains(password) || text.contains(&STANDARD.encode(pair.as_bytes()))
    };
    match endpoint.basic.as_ref().is_some_and(shows) {
        true => "it shows the endpoint's password, so it is not kept".to_owned(),
        false => printable(text.trim(), ANSWER),
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "the independent verifier reads the real clock, so the signature must be of now"
)]
mod tests;
