//! The receiver of webhooks: keeps what it was sent and responds as a test wants.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::HeaderValue;
use url::Url;

use super::behaviour::{Gate, response};
use super::loopback::{HangUp, Loopback, Recorded};

/// What a receiver says to a delivery.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This status, with an empty body.
    Status(u16),
    /// The connection closes without a response.
    HangUp,
    /// This status with `Retry-After` in seconds.
    RetryAfter(u16, u64),
    /// A redirect with this status to `/elsewhere` on the same server.
    Redirect(u16),
    /// 204, but not before the gate is opened.
    Hold(Gate),
}

/// A running receiver, which says 204 until told otherwise. It stops when it is dropped.
pub struct WebhookReceiver {
    server: Loopback,
    reply: Arc<Mutex<Reply>>,
}

impl WebhookReceiver {
    /// Starts to listen on a free port.
    pub async fn start() -> Self {
        let reply = Arc::new(Mutex::new(Reply::Status(204)));
        let current = reply.clone();
        let server = Loopback::start(move |_| {
            let reply = current
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            async move {
                match reply {
                    Reply::Status(status) => Ok(response(status, "text/plain", "")),
                    Reply::HangUp => Err(HangUp),
                    Reply::RetryAfter(status, seconds) => {
                        let mut response = response(status, "text/plain", "");
                        response.headers_mut().insert("retry-after", seconds.into());
                        Ok(response)
                    }
                    Reply::Redirect(status) => {
                        let mut response = response(status, "text/plain", "");
                        let elsewhere = HeaderValue::from_static("/elsewhere");
                        response.headers_mut().insert("location", elsewhere);
                        Ok(response)
                    }
                    Reply::Hold(gate) => {
                        gate.wait().await;
                        Ok(response(204, "text/plain", ""))
                    }
                }
            }
        })
        .await;
        Self { server, reply }
    }

    /// The address to configure as an endpoint.
    pub fn url(&self) -> Url {
        self.server.url("/webhooks")
    }

    /// From now on every delivery gets this response.
    pub fn answer_with(&self, reply: Reply) {
        *self.reply.lock().unwrap_or_else(PoisonError::into_inner) = reply;
    }

    /// Every delivery so far, oldest first, whatever the response was.
    pub fn received(&self) -> Vec<Recorded> {
        self.server.requests()
    }

    /// Waits until the deliveries so far satisfy `enough` and gives them.
    ///
    /// # Panics
    ///
    /// If they do not within `limit`; the message lists what came.
    pub async fn wait_for(
        &self,
        enough: impl Fn(&[Recorded]) -> bool,
        limit: Duration,
    ) -> Vec<Recorded> {
        self.server.wait_for(enough, limit).await
    }
}
