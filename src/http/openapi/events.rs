//! The events that webhooks deliver, as `webhooks` of the description (OpenAPI 3.1). These types are for
//! the description only: `webhook::payload` writes the bodies, and a test compares what is delivered with
//! what is described.
#![expect(dead_code, reason = "described, never built")]

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::domain::event::EventKind;
use crate::http::responses::OauthStateResponse;

/// A member, with its times as seconds since 1970.
#[derive(ToSchema)]
pub struct EventMember {
    /// When an aggregation last ended.
    #[schema(required, example = 1_772_357_460)]
    aggregated_at: Option<i64>,
    /// Whether it is never pulled in the background.
    #[schema(example = false)]
    background_aggregation_is_disabled: bool,
    /// The status: one of the 22 published names.
    #[schema(example = "CONNECTED")]
    connection_status: String,
    /// The number of that name.
    #[schema(minimum = 0, maximum = 21, example = 6)]
    connection_status_id: u8,
    /// The status in words for people.
    #[schema(example = "Connected to MX Bank.")]
    connection_status_message: String,
    /// Why it is IMPAIRED, where that is known: REVOKED, REFRESH_LOST, CONSENT_ENDED or
    /// OTHER_LOGIN. Otherwise null.
    #[schema(required, example = json!(null))]
    connection_status_reason: Option<String>,
    /// When its consent ends, as far as that is known; otherwise null.
    #[schema(required, example = 1_780_133_400)]
    consent_expires_at: Option<i64>,
    /// When it was created.
    #[schema(example = 1_772_357_400)]
    created_at: i64,
    /// Its identifier.
    #[schema(example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: String,
    /// Your own name for it.
    #[schema(required, example = "my-member-1")]
    id: Option<String>,
    /// The institution, by code.
    #[schema(example = "mxbank")]
    institution_code: String,
    /// The institution, by guid.
    #[schema(example = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    institution_guid: String,
    /// Whether an aggregation is running.
    #[schema(example = false)]
    is_being_aggregated: bool,
    /// Always true.
    #[schema(example = true)]
    is_managed_by_user: bool,
    /// Always false.
    #[schema(example = false)]
    is_manual: bool,
    /// Whether it connects by OAuth.
    #[schema(example = true)]
    is_oauth: bool,
    /// Your own text about it.
    #[schema(required, example = "{\"shelf\":4}")]
    metadata: Option<String>,
    /// The newest aggregation job.
    #[schema(required, example = "JOB-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    most_recent_job_guid: Option<String>,
    /// The name that people see.
    #[schema(example = "MX Bank")]
    name: String,
    /// A number that grows by one with every change: it shows which of two events is newer.
    #[schema(example = 3)]
    revision: u32,
    /// When an aggregation last succeeded.
    #[schema(required, example = 1_772_357_460)]
    successfully_aggregated_at: Option<i64>,
    /// The purpose of the data: PFM, MONEY_MOVEMENT.
    #[schema(example = json!(["PFM"]))]
    use_cases: Vec<String>,
    /// The user of the member.
    #[schema(example = "USR-0e7cdc7c-9e9d-4c61-8fb4-5e7e3a01d2f0")]
    user_guid: String,
    /// Your own name for the user of the member.
    #[schema(required, example = "ada")]
    user_id: Option<String>,
}

/// A member was created, updated or deleted.
#[derive(ToSchema)]
pub struct MemberEvent {
    /// `created`, `updated` or `deleted`.
    #[schema(example = "updated")]
    action: String,
    /// The newest `X-CALLBACK-PAYLOAD` of a request about the member, if there was one.
    #[schema(example = "eyJvcmRlciI6NDJ9")]
    callback_payload: Option<String>,
    /// The member as the change left it.
    member: EventMember,
}

/// The member's status became one of eight that need attention.
#[derive(ToSchema)]
pub struct ConnectionStatusEvent {
    /// Always `CHANGED`.
    #[schema(example = "CHANGED")]
    action: String,
    /// CHALLENGED, DENIED, EXPIRED, IMPAIRED, IMPEDED, LOCKED, PREVENTED or REJECTED.
    #[schema(example = "DENIED")]
    connection_status: String,
    /// The number of that name.
    #[schema(minimum = 0, maximum = 21, example = 2)]
    connection_status_id: u8,
    /// The status in words for people.
    #[schema(example = "MX Bank did not accept the sign-in. Connect it again.")]
    connection_status_message: String,
    /// The member.
    #[schema(example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    member_guid: String,
    /// Always `CONNECTION_STATUS`.
    #[serde(rename = "type")]
    #[schema(example = "CONNECTION_STATUS")]
    kind: String,
    /// The user of the member.
    #[schema(example = "USR-0e7cdc7c-9e9d-4c61-8fb4-5e7e3a01d2f0")]
    user_guid: String,
}

/// An aggregation succeeded.
#[derive(ToSchema)]
pub struct AggregationEvent {
    /// Always `member_data_updated`.
    #[schema(example = "member_data_updated")]
    action: String,
    /// The newest `X-CALLBACK-PAYLOAD` of a request about the member, if there was one.
    #[schema(example = "eyJvcmRlciI6NDJ9")]
    callback_payload: Option<String>,
    /// When the aggregation ended, in seconds since 1970.
    #[schema(example = 1_772_357_460)]
    completed_at: i64,
    /// The day on which it ended (UTC).
    #[schema(example = "2026-03-01")]
    completed_on: String,
    /// Whether nobody asked for it: the gateway keeps the member's data fresh.
    #[schema(example = false)]
    is_background: bool,
    /// The job.
    #[schema(example = "JOB-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    job_guid: String,
    /// The member whose data was pulled.
    #[schema(example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    member_guid: String,
    /// How many transactions are new.
    #[schema(example = 12)]
    transactions_created_count: u32,
    /// How many transactions have changed.
    #[schema(example = 0)]
    transactions_updated_count: u32,
    /// Always `AGGREGATION`.
    #[serde(rename = "type")]
    #[schema(example = "AGGREGATION")]
    kind: String,
    /// The user of the member.
    #[schema(example = "USR-0e7cdc7c-9e9d-4c61-8fb4-5e7e3a01d2f0")]
    user_guid: String,
    /// Your own name for the user.
    #[schema(required, example = "ada")]
    user_id: Option<String>,
}

/// A member's data was pulled for the first time.
#[derive(ToSchema)]
pub struct InitialDataReadyEvent {
    /// The client's id in the gateway's configuration.
    #[schema(example = "acme")]
    client_guid: String,
    /// The event's guid.
    #[schema(example = "EVT-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    guid: String,
    /// The member whose data can be read.
    #[schema(example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    member_guid: String,
    /// Always `initial_data_ready`.
    #[serde(rename = "type")]
    #[schema(example = "initial_data_ready")]
    kind: String,
    /// The user of the member.
    #[schema(example = "USR-0e7cdc7c-9e9d-4c61-8fb4-5e7e3a01d2f0")]
    user_guid: String,
}

/// A job has ended, or waits for an answer. Only its five statuses are published; the form of the body is the
/// gateway's own.
#[derive(ToSchema)]
pub struct JobStatusEvent {
    /// Whether nobody asked for it: the gateway keeps the member's data fresh.
    #[schema(example = false)]
    is_background: bool,
    /// The job.
    #[schema(example = "JOB-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    job_guid: String,
    /// The member whose data it pulls.
    #[schema(example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    member_guid: String,
    /// CHALLENGED, COMPLETED, DENIED, HALTED or PREVENTED.
    #[schema(example = "COMPLETED")]
    status: String,
    /// Always `JOB_STATUS`.
    #[serde(rename = "type")]
    #[schema(example = "JOB_STATUS")]
    kind: String,
    /// The user of the member.
    #[schema(example = "USR-0e7cdc7c-9e9d-4c61-8fb4-5e7e3a01d2f0")]
    user_guid: String,
}

/// A member's consent ends soon.
#[derive(ToSchema)]
pub struct ConsentExpiringEvent {
    /// Always `expiring`.
    #[schema(example = "expiring")]
    action: String,
    /// When the consent ends, in seconds since 1970. Then the member is IMPAIRED, with the reason CONSENT_ENDED. A new
    /// link lets the person renew the consent before.
    #[schema(example = 1_780_133_400)]
    consent_expires_at: i64,
    /// The institution, by code.
    #[schema(example = "mxbank")]
    institution_code: String,
    /// The member.
    #[schema(example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    member_guid: String,
    /// Always `consent.expiring`.
    #[serde(rename = "type")]
    #[schema(example = "consent.expiring")]
    kind: String,
    /// The user of the member.
    #[schema(example = "USR-0e7cdc7c-9e9d-4c61-8fb4-5e7e3a01d2f0")]
    user_guid: String,
    /// Your own name for the user of the member.
    #[schema(required, example = "ada")]
    user_id: Option<String>,
}

/// An OAuth state ended.
#[derive(ToSchema)]
pub struct OauthStateEvent {
    /// Always `finished`.
    #[schema(example = "finished")]
    action: String,
    /// The member that has the login. It is not `outbound_member_guid` if the login was connected
    /// already.
    #[schema(example = "MBR-68e96dd6-eabd-42d3-9f05-416897f0746c")]
    member_guid: String,
    /// The state, in the form of `GET /oauth_states/{oauth_state_guid}`.
    #[schema(value_type = OauthStateResponse)]
    oauth_state: Value,
    /// Always `oauth_state.finished`.
    #[serde(rename = "type")]
    #[schema(example = "oauth_state.finished")]
    kind: String,
    /// The user of the member.
    #[schema(example = "USR-0e7cdc7c-9e9d-4c61-8fb4-5e7e3a01d2f0")]
    user_guid: String,
}

/// When an event is sent, and the schema of its body.
fn told(kind: EventKind) -> (&'static str, &'static str) {
    match kind {
        EventKind::MemberCreated => ("A member was created.", "MemberEvent"),
        EventKind::MemberUpdated => (
            "A member has changed, for example its status. This event is also sent when it becomes CONNECTED.",
            "MemberEvent",
        ),
        EventKind::MemberDeleted => ("A member was deleted.", "MemberEvent"),
        EventKind::ConnectionStatus => (
            "An aggregation needs the person, who has to answer a question, sign in again or act at the institution.",
            "ConnectionStatusEvent",
        ),
        EventKind::Aggregation => ("An aggregation succeeded.", "AggregationEvent"),
        EventKind::InitialDataReady => (
            "A member's data was pulled for the first time: it can be read.",
            "InitialDataReadyEvent",
        ),
        EventKind::JobStatus => ("A job has ended, or waits for an answer.", "JobStatusEvent"),
        EventKind::ConsentExpiring => (
            "A member's consent ends soon: 30 days, 7 days and 1 day before, unless the operator chose other days.",
            "ConsentExpiringEvent",
        ),
        EventKind::OauthStateFinished => (
            "An attempt to connect by OAuth succeeded, failed or expired.",
            "OauthStateEvent",
        ),
    }
}

/// The `webhooks` of the description: one for each kind of event.
pub fn webhooks() -> Value {
    let header = |name: &str, description: &str, example: &str| {
        json!({
            "name": name, "in": "header", "required": false, "description": description,
            "schema": {"type": "string", "example": example},
        })
    };
    let all = EventKind::ALL.into_iter().map(|kind| {
        let (when, body) = told(kind);
        let operation = json!({
            "operationId": kind.name().replace('.', "_"),
            "summary": when,
            "parameters": [
                header("webhook-id", "The event's guid, the same at every try. Use it to ignore repetitions.",
                    "EVT-68e96dd6-eabd-42d3-9f05-416897f0746c"),
                header("webhook-timestamp", "The time of this try, in seconds since 1970.", "1772357460"),
                header("webhook-signature", "If the endpoint has a `secret`: Standard Webhooks 1.0.0.",
                    "v1,8hVZkYr0zHcRqd0tCEGEOKrVlJrFOAW8DkL9pZDAeJU="),
            ],
            "requestBody": {"required": true, "content": {"application/json": {
                "schema": {"$ref": format!("#/components/schemas/{body}")},
            }}},
            "responses": {
                "2XX": {"description": "You accept the event. 204 is best."},
                "410": {"description": "You do not want the event: it is not sent again."},
                "default": {"description": "The event is sent again, for 24 hours."},
            },
        });
        (kind.name().to_owned(), json!({"post": operation}))
    });
    all.collect::<Map<_, _>>().into()
}
