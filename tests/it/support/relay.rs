//! What stands between a gateway and an institution's token endpoint, and holds refreshes where a test wants.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use tokio::sync::watch;
use url::Url;

use super::behaviour::json_response;
use super::loopback::{Answer, HangUp, Loopback, Recorded};
use super::visitor::http;

const LIMIT: Duration = Duration::from_secs(20);

/// Where refreshes are held, for good: whoever asked has to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// They are not.
    #[default]
    Nothing,
    /// On the way to the institution, which never hears of them.
    Requests,
    /// On the way back: the institution has done its work.
    Responses,
}

/// How many refreshes have come how far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Held.
    pub held: usize,
    /// Answered, as far as it is up to the relay.
    pub answered: usize,
}

/// A running relay. It stops when it is dropped.
pub struct Relay {
    server: Loopback,
    hold: Arc<Mutex<Hold>>,
    seen: Arc<watch::Sender<Seen>>,
}

impl Relay {
    /// One that passes everything on to `to`.
    pub async fn to(to: &Url) -> Self {
        let hold: Arc<Mutex<Hold>> = Arc::default();
        let seen: Arc<watch::Sender<Seen>> = Arc::default();
        let (holding, seeing, to) = (hold.clone(), seen.clone(), to.clone());
        let server = Loopback::start(move |request| {
            let now = *lock(&holding);
            pass(request, now, seeing.clone(), to.clone())
        });
        Self {
            server: server.await,
            hold,
            seen,
        }
    }

    /// Where it is.
    pub fn url(&self) -> Url {
        self.server.url("/token")
    }

    /// Holds refreshes there from now on.
    pub fn hold(&self, hold: Hold) {
        *lock(&self.hold) = hold;
    }

    /// How many refreshes have come how far by now.
    pub fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// Waits until enough of them have come far enough.
    ///
    /// # Panics
    ///
    /// If they do not within twenty seconds.
    pub async fn wait_for(&self, enough: impl Fn(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let come = tokio::time::timeout(LIMIT, seen.wait_for(enough)).await;
        let come = come.expect("the refreshes waited for come in time");
        come.expect("the relay is there");
    }
}

fn lock(hold: &Mutex<Hold>) -> std::sync::MutexGuard<'_, Hold> {
    hold.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn pass(request: Recorded, hold: Hold, seen: Arc<watch::Sender<Seen>>, to: Url) -> Answer {
    let is_refresh = request.field("grant_type").as_deref() == Some("refresh_token");
    if is_refresh && hold == Hold::Requests {
        return held(&seen).await;
    }
    // What was sent is heard, even if whoever sent it goes away meanwhile.
    let sent = tokio::spawn(send(request, to));
    let Ok(Ok((status, body))) = sent.await else {
        return Err(HangUp);
    };
    if is_refresh && hold == Hold::Responses {
        return held(&seen).await;
    }
    if is_refresh {
        seen.send_modify(|seen| seen.answered += 1);
    }
    Ok(json_response(status, body))
}

async fn held(seen: &watch::Sender<Seen>) -> Answer {
    seen.send_modify(|seen| seen.held += 1);
    std::future::pending().await
}

async fn send(request: Recorded, to: Url) -> reqwest::Result<(u16, String)> {
    let mut sent = http().post(to);
    for name in [ACCEPT, AUTHORIZATION, CONTENT_TYPE] {
        if let Some(value) = request.headers.get(&name) {
            sent = sent.header(name, value);
        }
    }
    let response = sent.body(request.body).send().await?;
    Ok((response.status().as_u16(), response.text().await?))
}
