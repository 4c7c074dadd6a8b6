//! Examples of requests and errors.

use serde_json::{Value, json};

use crate::http::problem::{Dialect, Kind, Problem};

/// Bodies of requests, by the name of their schema. The demo accepts each as it is, except for the guids
/// of questions, of which every question has its own, and for the handle of a confirmation.
pub fn requests() -> [(&'static str, Value); 15] {
    let value = json!({"guid": "CRD-68e96dd6-eabd-42d3-9f05-416897f0746c", "value": "correct"});
    let oauth_bank = "INS-68e96dd6-eabd-42d3-9f05-416897f0746c";
    [
        (
            "SessionRequestBody",
            json!({"session": {"skip_aggregation": true}}),
        ),
        (
            "UserRequestBody",
            json!({"user": {"id": "ada", "email": "ada@example.org", "metadata": "{\"plan\":\"basic\"}"}}),
        ),
        (
            "NexusMemberRequestBody",
            json!({"member": {"institution_guid": oauth_bank, "is_oauth": true}}),
        ),
        (
            "PlatformMemberRequestBody",
            json!({"member": {"institution_code": "mx_bank_oauth", "is_oauth": true}}),
        ),
        (
            "NexusMemberChangeBody",
            json!({"member": {"metadata": "{\"shelf\":4}"}}),
        ),
        (
            "PlatformMemberChangeBody",
            json!({"member": {"metadata": "{\"shelf\":4}"}}),
        ),
        ("PullRequestBody", json!({"include_transactions": true})),
        ("WindowLinkOptions", json!({"referral_source": "BROWSER"})),
        ("InstitutionSearchBody", json!({"name": "bank"})),
        (
            "AnswersBody",
            json!({"member": {"challenges": [value.clone()]}}),
        ),
        (
            "MfaAnswersBody",
            json!({"member": {"credentials": [value]}}),
        ),
        (
            "OauthCompletionRequestBody",
            json!({"oauth_completion": {"handle": format!("och_00{}", "A".repeat(43))}}),
        ),
        ("SilentRequestBody", json!({"skip_webhook": true})),
        ("ClaimRequestBody", json!({"max": 10, "wait_seconds": 20})),
        (
            "ReportRequestBody",
            json!({"status": "succeeded", "round": 0, "attempt": 1, "transactions_created_count": 12, "transactions_updated_count": 0}),
        ),
    ]
}

/// An error with that status in that envelope.
pub fn problem(status: &str, dialect: Dialect) -> Option<Value> {
    let (kind, message) = match status {
        "400" => (
            Kind::Missing,
            "institution_guid is missing: say which institution the member is for.",
        ),
        "401" if dialect == Dialect::Nexus => (
            Kind::SessionExpired,
            "The session is unknown or has expired: begin a new one with POST /sessions.",
        ),
        "401" => (
            Kind::Unauthenticated,
            "Send the client id and an API key as HTTP Basic credentials (client_id:api_key).",
        ),
        "403" => (
            Kind::Forbidden,
            "The member's use_cases do not include PFM, so its data may not be pulled: update use_cases first.",
        ),
        "404" => (Kind::NotFound, "There is no such member."),
        "405" => (
            Kind::ConditionNotMet,
            "The member is CONNECTED, not CHALLENGED: there is nothing to answer; order an aggregation to try again.",
        ),
        "406" => (
            Kind::NotAcceptable,
            "Accept-Version must be v20111101 or v20250224, or left out; rc20260430 is accepted where its response is the same.",
        ),
        "408" => (
            Kind::TimedOut,
            "The request took longer than 60 seconds to arrive or to process.",
        ),
        "409" => (
            Kind::Conflict,
            "The request with this Idempotency-Key is still running. Send it again in a moment.",
        ),
        "413" => (Kind::TooLarge, "The body is over 64 kB. Send less."),
        "415" => (
            Kind::UnsupportedMediaType,
            "Send JSON, with a Content-Type that says so.",
        ),
        "422" => (
            Kind::Unprocessable,
            "institution_code \"nobank\" is not an institution of this gateway; send the guid or code of a configured one.",
        ),
        "429" => (
            Kind::TooMany,
            "Too many requests; wait and send the request again.",
        ),
        "500" => (
            Kind::Internal,
            "Something went wrong on our side. Send the request again later.",
        ),
        "503" => (
            Kind::Unavailable,
            "The service cannot reach its store just now. Send the request again.",
        ),
        _ => return None,
    };
    Some(Problem::new(kind, message).in_dialect(dialect).to_json())
}
