//! Requests that may come twice.

use jiff::Timestamp;

use super::RedisStore;
use super::call::{self, Call};
use super::reply::{Reply, unreadable};
use crate::store::{Idempotence, IdempotentRequest, Result};

impl RedisStore {
    /// Asks for an `Idempotency-Key`. Sent again because its answer was lost, it finds the request
    /// under way: which of two the one is that began it cannot be told.
    pub(in crate::store) async fn begin_idempotent(
        &self,
        request: &IdempotentRequest,
        now: Timestamp,
    ) -> Result<Idempotence> {
        let call = self.idempotent_call("begin", request).time(now);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        match reply.text()?.as_str() {
            "first" => Ok(Idempotence::First),
            "under_way" => Ok(Idempotence::UnderWay),
            "answered" => Ok(Idempotence::Answered(reply.bytes()?)),
            "differs" => Ok(Idempotence::Differs),
            _ => Err(unreadable("the answer to an idempotent request")),
        }
    }

    /// Keeps the sealed answer of a request that got `First`; nothing if the key was meanwhile given
    /// to another request.
    pub(in crate::store) async fn finish_idempotent(
        &self,
        request: &IdempotentRequest,
        sealed_answer: &[u8],
        _now: Timestamp,
    ) -> Result<()> {
        let call = self
            .idempotent_call("finish", request)
            .bytes(sealed_answer)
            .time(request.expires_at);
        self.link.call(call).await.map(drop)
    }

    /// Gives back the key of a request that got `First` and whose answer is not worth keeping.
    pub(in crate::store) async fn release_idempotent(
        &self,
        request: &IdempotentRequest,
    ) -> Result<()> {
        let call = self.idempotent_call("release", request);
        self.link.call(call).await.map(drop)
    }

    fn idempotent_call(&self, what: &str, request: &IdempotentRequest) -> Call {
        Call::new(&call::IDEMPOTENT, self.keys.client(&request.client))
            .text(what)
            .digest(&request.key)
            .digest(&request.request)
            .time(request.held_until)
    }
}
