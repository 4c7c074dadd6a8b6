//! Authorization responses that come by POST (`form_post`), without the Lax cookie: each waits for the
//! GET that follows it.

use std::time::Duration;

use tokio::time::timeout;

use super::registration::CallbackEndpoint;
use super::seal_contexts::held_response;
use super::{Gateway, Internal};
use crate::domain::id::AttemptId;
use crate::domain::secret::ResponseHandle;
use crate::oauth::AuthorizationResponse;
use crate::store::StoreError;

/// How long a response that came by POST waits for the GET that follows it.
pub const HELD_ANSWER_TTL: Duration = Duration::from_secs(120);

/// How long the store may take to keep one: the person waits at the institution's page.
const PATIENCE: Duration = Duration::from_secs(1);

/// What became of a response that came by POST.
pub enum Held {
    /// It waits under this handle.
    Under(ResponseHandle),
    /// Its attempt waits for no more responses.
    Settled(AttemptId),
    /// It names no attempt of ours.
    Unknown,
}

/// Keeps a response that came by POST, without the Lax cookie, for the GET that follows it (OAuth 2.0
/// Form Post Response Mode section 2). If the store takes too long it counts as away; what it keeps all
/// the same expires like the others.
pub async fn hold(gateway: &Gateway, callback: &AuthorizationResponse) -> Result<Held, Internal> {
    let attempt = AttemptId::of(&callback.state);
    let random = gateway.random.as_ref();
    let handle = ResponseHandle::new(random, attempt.partition());
    let sealed = gateway.sealer.seal(
        random,
        &held_response(&handle.digest().to_text()),
        &callback.to_bytes(),
    );
    let now = gateway.now();
    let expires_at = now + HELD_ANSWER_TTL;
    let store = &gateway.store;
    let keeping = async {
        if store
            .hold_response(&attempt, handle.digest(), &sealed, expires_at, now)
            .await?
        {
            return Ok(Held::Under(handle));
        }
        Ok(match store.attempt(&attempt).await? {
            Some(_) => Held::Settled(attempt),
            None => Held::Unknown,
        })
    };
    timeout(PATIENCE, keeping)
        .await
        .unwrap_or_else(|late| Err(StoreError::Unavailable(Box::new(late)).into()))
}

/// The response held under `handle`, which arrived there, unless it has expired.
pub async fn held(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    handle: &ResponseHandle,
) -> Result<Option<AuthorizationResponse>, Internal> {
    let sealed = gateway
        .store
        .held_response(handle.partition(), handle.digest(), gateway.now())
        .await?;
    let Some(sealed) = sealed else {
        return Ok(None);
    };
    let digest = handle.digest().to_text();
    let bytes = gateway.sealer.open(&held_response(&digest), &sealed).ok();
    let at = endpoint.registered();
    Ok(bytes.and_then(|bytes| gateway.oauth.read_held_response(at, &bytes)))
}
