//! An authorization response that is not provably ours: it changes nothing and reaches no bank. A browser
//! that has an attempt under way there is led back to it; its cookie says so, whatever the response left out.

use super::registration::CallbackEndpoint;
use super::{Gateway, Internal};
use crate::domain::id::AttemptId;
use crate::domain::window::Binding;
use crate::oauth::{InvalidAuthorizationResponse, IssuerMismatch};
use crate::store::AttemptRecord;

/// Why an authorization response is refused. For the log; the browser is not told.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is none, or says two things at once.
    #[error(transparent)]
    Invalid(#[from] InvalidAuthorizationResponse),
    /// It travelled in another way than the institution was asked for.
    #[error("it came by {0}, which is not the response mode that was asked for")]
    Mode(&'static str),
    /// Half of it is in the query and half in the form.
    #[error("parts of it are in the query and in the form")]
    Split,
    /// Another authorization server says to answer, or none does.
    #[error(transparent)]
    Issuer(#[from] IssuerMismatch),
    /// Its `state` names no attempt at this path.
    #[error("its state names no attempt of this client at this institution")]
    UnknownState,
    /// No authorization response is held under the handle it names.
    #[error("no authorization response is held under its handle")]
    NotHeld,
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
        let institution = record.member.as_ref().map(|member| &member.institution);
        let is_there = record.window.client == endpoint.client.id
            && institution == Some(&endpoint.institution.code)
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
