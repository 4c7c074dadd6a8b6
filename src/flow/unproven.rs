//! Authorization responses that do not provably belong to a request of ours: they change nothing and
//! cause no call to a bank. A browser whose cookie names an attempt under way at that path is led back to
//! it.

use super::registration::CallbackEndpoint;
use super::{Gateway, Internal};
use crate::domain::id::AttemptId;
use crate::domain::window::Binding;
use crate::oauth::{InvalidAuthorizationResponse, UnprovenResponse};
use crate::store::AttemptRecord;

/// Why an authorization response is refused. For the log; the browser is not told.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is malformed, or contradicts itself.
    #[error(transparent)]
    Invalid(#[from] InvalidAuthorizationResponse),
    /// It came in another response mode than the requested one.
    #[error("it came by {0}, which is not the response mode that was asked for")]
    Mode(&'static str),
    /// Half of it is in the query and half in the form.
    #[error("parts of it are in the query and in the form")]
    Split,
    /// Nothing shows that it is the institution's.
    #[error(transparent)]
    Unproven(#[from] UnprovenResponse),
    /// Its `state` names no attempt at this path.
    #[error("its state names no attempt of this client at this institution")]
    UnknownState,
    /// No authorization response is held under the handle it names.
    #[error("no authorization response is held under its handle")]
    NotHeld,
}

/// Whether an attempt's responses arrive at this path.
pub(super) fn is_at(record: &AttemptRecord, endpoint: &CallbackEndpoint) -> bool {
    let institution = record.member.as_ref().map(|member| &member.institution);
    record.window.client == endpoint.client.id && institution == Some(&endpoint.institution.code)
}

/// The newest attempt at this path that this browser began and that has not ended.
pub async fn own_attempt(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    browser: &[Binding],
) -> Result<Option<(AttemptId, AttemptRecord)>, Internal> {
    let mut newest: Option<(AttemptId, AttemptRecord)> = None;
    for Binding { attempt, .. } in browser {
        let Some(record) = gateway.store.attempt(attempt).await? else {
            continue;
        };
        let is_there = is_at(&record, endpoint)
            && record.is_held_by(attempt, browser)
            && !record.is_replaced
            && !record.window.status.is_finished();
        let is_newer = newest
            .as_ref()
            .is_none_or(|(_, known)| known.window.updated_at <= record.window.updated_at);
        if is_there && is_newer {
            newest = Some((attempt.clone(), record));
        }
    }
    Ok(newest)
}
