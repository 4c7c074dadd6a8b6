//! The bodies of webhooks (CONTRACT.md 5), one form for each kind of event.
//!
//! An event keeps the member and window as the change left them, so a body is the same at every try.
//! Bodies are small: guids, names and status; never a token, never account data.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::domain::event::{Event, EventKind};
use crate::domain::id::{EventGuid, UserGuid};
use crate::domain::member::{CallbackPayload, Member, StatusReason};
use crate::domain::random::Random;

/// An event without the data that its kind needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event {guid} of kind {kind} has no {missing}")]
pub struct IncompleteEvent {
    guid: String,
    kind: &'static str,
    missing: &'static str,
}

/// The message of one event: the same at every try.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The event's guid: `webhook-id`.
    pub event: EventGuid,
    /// The client's callback payload, for the header.
    pub callback_payload: Option<CallbackPayload>,
    /// The body.
    pub body: Value,
}

impl Message {
    /// A message that is about nothing, to see whether a receiver works.
    pub fn test(random: &dyn Random) -> Self {
        let user = UserGuid::new(random);
        Self {
            event: EventGuid::new(random, user.partition()),
            callback_payload: None,
            body: json!({"action": "test", "type": "TEST"}),
        }
    }

    /// The message of `event`; `None` if nothing is to be sent: Connection Status is for eight of the
    /// statuses.
    ///
    /// # Errors
    ///
    /// [`IncompleteEvent`] if the event does not have the data that its kind needs.
    pub fn of(event: &Event) -> Result<Option<Self>, IncompleteEvent> {
        let is_untold = event.kind == EventKind::ConnectionStatus
            && !event.member.status.is_told_as_connection_status();
        if is_untold {
            return Ok(None);
        }
        let callback_payload = echoed(event).cloned();
        let mut body = news(event)?;
        if let Some(payload) = &callback_payload {
            body["callback_payload"] = json!(payload);
        }
        Ok(Some(Self {
            event: event.guid,
            callback_payload,
            body,
        }))
    }
}

/// The callback payload, which the Member and the Aggregation webhooks return (CONTRACT.md 2.2).
fn echoed(event: &Event) -> Option<&CallbackPayload> {
    match event.kind {
        EventKind::MemberCreated
        | EventKind::MemberUpdated
        | EventKind::MemberDeleted
        | EventKind::Aggregation => event.member.callback_payload.as_ref(),
        EventKind::ConnectionStatus
        | EventKind::InitialDataReady
        | EventKind::JobStatus
        | EventKind::ConsentExpiring
        | EventKind::OauthStateFinished => None,
    }
}

/// The body, without the callback payload.
fn news(event: &Event) -> Result<Value, IncompleteEvent> {
    let without = |missing| IncompleteEvent {
        guid: event.guid.to_string(),
        kind: event.kind.name(),
        missing,
    };
    let member = &event.member;
    Ok(match event.kind {
        EventKind::MemberCreated => json!({"action": "created", "member": member_of(member)}),
        EventKind::MemberUpdated => json!({"action": "updated", "member": member_of(member)}),
        EventKind::MemberDeleted => json!({"action": "deleted", "member": member_of(member)}),
        EventKind::ConnectionStatus => json!({
            "action": "CHANGED",
            "connection_status": member.status.name(),
            "connection_status_id": member.status.id(),
            "connection_status_message": member.status.message(&member.name),
            "member_guid": member.guid,
            "type": "CONNECTION_STATUS",
            "user_guid": member.user,
        }),
        EventKind::Aggregation => {
            let (job, pulled) = event.job.as_ref().ok_or_else(|| without("job"))?;
            json!({
                "action": "member_data_updated",
                "completed_at": event.happened_at.as_second(),
                "completed_on": event.happened_at.strftime("%Y-%m-%d").to_string(),
                "is_background": event.job_news.is_some_and(|news| news.is_background),
                "job_guid": job,
                "member_guid": member.guid,
                "transactions_created_count": pulled.transactions_created_count,
                "transactions_updated_count": pulled.transactions_updated_count,
                "type": "AGGREGATION",
                "user_guid": member.user,
                "user_id": member.user_id,
            })
        }
        EventKind::InitialDataReady => json!({
            "client_guid": member.client,
            "guid": event.guid,
            "member_guid": member.guid,
            "type": "initial_data_ready",
            "user_guid": member.user,
        }),
        EventKind::JobStatus => {
            let job = event.job.as_ref().zip(event.job_news);
            let ((job, _), news) = job.ok_or_else(|| without("job"))?;
            json!({
                "is_background": news.is_background,
                "job_guid": job,
                "member_guid": member.guid,
                "status": news.status.name(),
                "type": "JOB_STATUS",
                "user_guid": member.user,
            })
        }
        EventKind::ConsentExpiring => {
            let ends_at = member.consent_expires_at;
            let ends_at = ends_at.ok_or_else(|| without("end of a consent"))?;
            json!({
                "action": "expiring",
                "consent_expires_at": ends_at.as_second(),
                "institution_code": member.institution,
                "member_guid": member.guid,
                "type": "consent.expiring",
                "user_guid": member.user,
                "user_id": member.user_id,
            })
        }
        EventKind::OauthStateFinished => {
            let window = event.window.as_ref().ok_or_else(|| without("window"))?;
            json!({
                "action": "finished",
                "member_guid": window.inbound.unwrap_or(window.member),
                "oauth_state": window.to_json(),
                "type": "oauth_state.finished",
                "user_guid": window.user,
            })
        }
    })
}

/// The member with its times as seconds since 1970.
fn member_of(member: &Member) -> Value {
    let seconds = |time: Option<Timestamp>| time.map(Timestamp::as_second);
    json!({
        "aggregated_at": seconds(member.aggregated_at),
        "background_aggregation_is_disabled": member.background_aggregation_is_disabled,
        "connection_status": member.status.name(),
        "connection_status_id": member.status.id(),
        "connection_status_message": member.status.message(&member.name),
        "connection_status_reason": member.status_reason.map(StatusReason::name),
        "consent_expires_at": seconds(member.consent_expires_at),
        "created_at": member.created_at.as_second(),
        "guid": member.guid,
        "id": member.external_guid,
        "institution_code": member.institution,
        "institution_guid": member.institution_guid,
        "is_being_aggregated": member.is_being_aggregated(),
        "is_managed_by_user": true,
        "is_manual": false,
        "is_oauth": member.is_oauth,
        "metadata": member.metadata,
        "most_recent_job_guid": member.most_recent_job,
        "name": member.name,
        "revision": member.revision,
        "successfully_aggregated_at": seconds(member.successfully_aggregated_at),
        "use_cases": member.use_cases,
        "user_guid": member.user,
        "user_id": member.user_id,
    })
}

#[cfg(test)]
mod tests;
