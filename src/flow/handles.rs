//! Completion handles: drawn where something has to be confirmed, and shown to the browser it was given to.

use jiff::Timestamp;

use super::{Gateway, seal_contexts};
use crate::domain::id::AttemptId;
use crate::domain::secret::CompletionHandle;
use crate::store::NewHandle;

/// A new handle for what an attempt brought, good until then.
pub(super) fn draw(gateway: &Gateway, attempt: &AttemptId, until: Timestamp) -> NewHandle {
    let random = gateway.random.as_ref();
    let handle = CompletionHandle::new(random, attempt.partition());
    let context = seal_contexts::completion_handle(attempt);
    NewHandle {
        digest: handle.digest(),
        sealed: gateway
            .sealer
            .seal(random, &context, handle.expose().as_bytes()),
        until,
    }
}

/// The handle in that envelope of an attempt's, if it can be read.
pub(super) fn read(
    gateway: &Gateway,
    attempt: &AttemptId,
    sealed: &[u8],
) -> Option<CompletionHandle> {
    let context = seal_contexts::completion_handle(attempt);
    let opened = gateway.sealer.open(&context, sealed);
    let opened = opened
        .inspect_err(|error| tracing::error!(%error, "a completion handle could not be read"))
        .ok()?;
    CompletionHandle::parse(std::str::from_utf8(&opened).ok()?)
}
