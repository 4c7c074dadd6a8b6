//! Answers that come by POST (`form_post`), where no Lax cookie comes along: each waits for the GET that
//! follows it.

use std::time::Duration;

use super::persistently::persistently;
use super::{Gateway, Internal};
use crate::domain::id::AttemptId;
use crate::domain::secret::AnswerHandle;
use crate::oauth::Callback;
use crate::store::seal::{Context, Field};

/// How long an answer that came by POST waits for the GET that follows it.
const HELD_ANSWER_TTL: Duration = Duration::from_secs(120);

/// What goes with an answer when it is sealed; its handle is drawn at random for it alone.
const ANSWER: Context<'static> = Context {
    client: None,
    subject: "",
    field: Field::Answer,
};

/// What became of an answer that came by POST.
pub enum Held {
    /// It waits under this handle.
    Under(AnswerHandle),
    /// Its attempt awaits no more answers.
    Settled(AttemptId),
    /// It names no attempt of ours.
    Unknown,
}

/// Keeps an answer that came by POST, where no Lax cookie comes along, for the GET that follows it
/// (OAuth 2.0 Form Post Response Mode section 2). Nobody sends it again: a store that is away for some
/// seconds is waited for.
pub async fn hold(gateway: &Gateway, callback: &Callback) -> Result<Held, Internal> {
    let attempt = AttemptId::of(&callback.state);
    let random = gateway.random.as_ref();
    let handle = AnswerHandle::new(random, attempt.partition());
    let sealed = gateway.sealer.seal(random, &ANSWER, &callback.to_bytes());
    let expires_at = gateway.now() + HELD_ANSWER_TTL;
    let store = &gateway.store;
    let hold = || store.hold_answer(&attempt, handle.digest(), &sealed, expires_at);
    if persistently(|| Box::pin(hold())).await? {
        return Ok(Held::Under(handle));
    }
    let known = persistently(|| Box::pin(store.attempt(&attempt))).await?;
    Ok(match known {
        Some(_) => Held::Settled(attempt),
        None => Held::Unknown,
    })
}

/// The answer held under `handle`, unless it has expired.
pub async fn held(gateway: &Gateway, handle: &AnswerHandle) -> Result<Option<Callback>, Internal> {
    let sealed = gateway
        .store
        .held_answer(handle.partition(), handle.digest(), gateway.now())
        .await?;
    let Some(sealed) = sealed else {
        return Ok(None);
    };
    let bytes = gateway.sealer.open(&ANSWER, &sealed).ok();
    Ok(bytes.and_then(|bytes| Callback::from_bytes(&bytes)))
}
