//! Errors of the API: the one place that chooses a status and writes an envelope.
//!
//! Nexus has `{"error":{"code","message"}}`, Platform `{"error":{"message","status","type"}}`
//! (CONTRACT.md 1.5 and 2.5). Every message names the field and the remedy. What went wrong inside is
//! logged and never sent.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::window::ErrorReason;
use crate::flow::Internal;
use crate::flow::access::{Disabled, UserError};
use crate::flow::aggregate::{LeaseError, ReportError};
use crate::flow::challenges::AnswerError;
use crate::flow::claim::ClaimError;
use crate::flow::maintenance::Closed;
use crate::flow::members::{ChangeError, CreateError, CredentialsError};
use crate::flow::mint::MintError;
use crate::flow::order::OrderError;
use crate::telemetry::STRANGERS;

/// The envelope of an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The Nexus API's.
    Nexus,
    /// The Platform API's, and everybody else's.
    #[default]
    Platform,
}

impl Dialect {
    /// The envelope for a request with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        match headers.contains_key("md-session-token") {
            true => Self::Nexus,
            false => Self::Platform,
        }
    }
}

/// A response of either API.
pub type ApiResult = Result<Response, Problem>;

/// An error of the API.
#[derive(Debug)]
pub struct Problem {
    dialect: Dialect,
    kind: Kind,
    message: String,
    guid: Option<String>,
    reason: Option<&'static str>,
    error_reason: Option<ErrorReason>,
    error_type: Option<&'static str>,
    challenge: &'static str,
    retry_after_s: Option<u64>,
}

/// How API keys are sent (RFC 7617).
const BASIC: &str = "Basic realm=\"guichet\", charset=\"UTF-8\"";

/// What kind of error it is; each has its status, Nexus code and Platform type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A required field is missing.
    Missing,
    /// Something has the wrong form or type.
    Malformed,
    /// The credentials are missing or wrong.
    Unauthenticated,
    /// The session has ended.
    SessionExpired,
    /// The caller is known, but may not do this.
    Forbidden,
    /// It does not exist, as far as this caller may know.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// A condition of the endpoint was not met (CONTRACT.md 2.5).
    ConditionNotMet,
    /// The requested version is not supported.
    NotAcceptable,
    /// It exists already, or is finished.
    Conflict,
    /// Another object has its name or its login: 409 on Platform, 422 on Nexus (CONTRACT.md 9).
    InUse,
    /// The request did not arrive in time.
    TimedOut,
    /// The body is over the limit.
    TooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// It is well formed, but cannot be done.
    Unprocessable,
    /// Too many requests.
    TooMany,
    /// The gateway failed.
    Internal,
    /// The store is away; nothing was done, or the request can be repeated.
    Unavailable,
}

impl Kind {
    fn status(self, dialect: Dialect) -> StatusCode {
        match self {
            Kind::InUse if dialect == Dialect::Nexus => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::InUse => StatusCode::CONFLICT,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::ConditionNotMet => StatusCode::METHOD_NOT_ALLOWED,
            Kind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Kind::Missing | Kind::Malformed => StatusCode::BAD_REQUEST,
            Kind::Unauthenticated | Kind::SessionExpired => StatusCode::UNAUTHORIZED,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Kind::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Kind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn nexus_code(self) -> &'static str {
        match self {
            Kind::Missing => "4001",
            Kind::Malformed => "4002",
            Kind::Unauthenticated => "4010",
            Kind::SessionExpired => "4011",
            Kind::Forbidden => "4030",
            Kind::NotFound => "4040",
            Kind::MethodNotAllowed | Kind::ConditionNotMet => "4050",
            Kind::NotAcceptable => "4060",
            Kind::InUse => "4220",
            Kind::Conflict => "4090",
            Kind::TimedOut => "4080",
            Kind::TooLarge => "4130",
            Kind::UnsupportedMediaType => "4150",
            Kind::Unprocessable => "4220",
            Kind::TooMany => "4290",
            Kind::Internal => "5000",
            Kind::Unavailable => "5030",
        }
    }

    fn platform_status(self) -> &'static str {
        match self {
            Kind::Missing | Kind::Malformed => "bad_request",
            Kind::Unauthenticated | Kind::SessionExpired => "unauthorized",
            Kind::Forbidden => "forbidden",
            Kind::NotFound => "not_found",
            Kind::MethodNotAllowed | Kind::ConditionNotMet => "method_not_allowed",
            Kind::NotAcceptable => "not_acceptable",
            Kind::Conflict | Kind::InUse => "conflict",
            Kind::TimedOut => "request_timeout",
            Kind::TooLarge => "payload_too_large",
            Kind::UnsupportedMediaType => "unsupported_media_type",
            Kind::Unprocessable => "unprocessable_entity",
            Kind::TooMany => "too_many_requests",
            Kind::Internal => "internal_server_error",
            Kind::Unavailable => "service_unavailable",
        }
    }
}

impl Problem {
    /// The same in the Nexus envelope.
    pub fn in_nexus(self) -> Self {
        self.in_dialect(Dialect::Nexus)
    }

    /// An error with a message for the caller.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            dialect: Dialect::default(),
            kind,
            message: message.into(),
            guid: None,
            reason: None,
            error_reason: None,
            error_type: None,
            challenge: BASIC,
            retry_after_s: None,
        }
    }

    /// The same in another envelope.
    pub fn in_dialect(self, dialect: Dialect) -> Self {
        Self { dialect, ..self }
    }

    /// The same, asking for a Bearer token (RFC 6750 section 3).
    pub fn wanting_bearer(self) -> Self {
        Self {
            challenge: "Bearer realm=\"guichet\"",
            ..self
        }
    }

    /// The same, naming what exists already.
    pub fn about(self, guid: impl ToString) -> Self {
        Self {
            guid: Some(guid.to_string()),
            ..self
        }
    }

    /// The same, with a reason that programs can rely on.
    pub fn because(self, reason: &'static str) -> Self {
        Self {
            reason: Some(reason),
            ..self
        }
    }

    /// The same, with why an OAuth state ended.
    pub fn with_error_reason(self, reason: ErrorReason) -> Self {
        Self {
            error_reason: Some(reason),
            ..self
        }
    }

    /// Whether it says that something does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind == Kind::NotFound
    }

    /// The same with a type of its own, for the Platform API.
    fn of_type(self, error_type: &'static str) -> Self {
        Self {
            error_type: Some(error_type),
            ..self
        }
    }

    /// The same, with the time to wait, in seconds.
    pub fn after(self, seconds: u64) -> Self {
        Self {
            retry_after_s: Some(seconds),
            ..self
        }
    }

    /// The body is over the limit.
    pub fn too_large() -> Self {
        let message = "The body is over 64 kB, the most that is read.";
        Self::new(Kind::TooLarge, message)
    }

    /// The same without naming what exists already: the caller may not know it.
    pub fn about_nothing(self) -> Self {
        Self { guid: None, ..self }
    }

    /// It does not exist, is another client's or user's, or its name is malformed.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("There is no such {what}."))
    }
}

/// Marks a response that has 405 because of a condition: the request's own method is allowed all the
/// same, and a 405 lists the allowed methods (RFC 9110 section 15.5.6).
#[derive(Clone, Copy)]
pub struct ConditionNotMet;

/// An error, in the form of the Nexus API.
#[derive(Serialize, ToSchema)]
pub struct NexusProblem<'a> {
    /// What is wrong.
    error: NexusFault<'a>,
    /// The guid of the object that exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    guid: Option<&'a str>,
}

/// What is wrong. Rely on the HTTP status; codes and messages may change.
#[derive(Serialize, ToSchema)]
pub struct NexusFault<'a> {
    /// The status and one more digit.
    #[schema(example = "4001")]
    code: &'static str,
    /// What is wrong and what to do about it.
    #[schema(example = "institution_guid is missing: say which institution the member is for.")]
    message: &'a str,
    /// The guid of the object that exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    guid: Option<&'a str>,
    /// Why an OAuth state ended, where that is the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "PROVIDER_ERROR")]
    error_reason: Option<&'static str>,
}

/// An error, in the form of the Platform API.
#[derive(Serialize, ToSchema)]
pub struct PlatformProblem<'a> {
    /// What is wrong.
    error: PlatformFault<'a>,
    /// The guid of the object that exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    guid: Option<&'a str>,
}

/// What is wrong.
#[derive(Serialize, ToSchema)]
pub struct PlatformFault<'a> {
    /// What is wrong and what to do about it.
    #[schema(example = "There is no such member.")]
    message: &'a str,
    /// The HTTP status in words.
    #[schema(example = "not_found")]
    status: &'static str,
    /// The kind of error.
    #[serde(rename = "type")]
    #[schema(example = "not_found_error")]
    kind: String,
    /// The guid of the object that exists already.
    #[serde(skip_serializing_if = "Option::is_none")]
    guid: Option<&'a str>,
    /// Why a lease is refused: `job_not_open`, `token_ended` or `unreadable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "token_ended")]
    reason: Option<&'static str>,
    /// Why an OAuth state ended, where that is the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "PROVIDER_ERROR")]
    error_reason: Option<&'static str>,
}

impl Problem {
    /// The error.
    pub fn to_json(&self) -> Value {
        let guid = self.guid.as_deref();
        let envelope = match self.dialect {
            Dialect::Nexus => {
                let error = NexusFault {
                    code: self.kind.nexus_code(),
                    message: &self.message,
                    guid,
                    error_reason: self.error_reason.map(ErrorReason::name),
                };
                serde_json::to_value(NexusProblem { error, guid })
            }
            Dialect::Platform => {
                let words = self.kind.platform_status();
                // `external_guid` of Nexus is `id` of the Platform API (CONTRACT.md 2.2).
                let message = &match self.kind {
                    Kind::InUse => self.message.replace("external_guid", "id"),
                    _ => self.message.clone(),
                };
                let error = PlatformFault {
                    message,
                    status: words,
                    kind: self
                        .error_type
                        .map_or_else(|| format!("{words}_error"), str::to_owned),
                    guid,
                    reason: self.reason,
                    error_reason: self.error_reason.map(ErrorReason::name),
                };
                serde_json::to_value(PlatformProblem { error, guid })
            }
        };
        envelope.expect("texts are JSON")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status(self.dialect);
        let mut response = (status, axum::Json(self.to_json())).into_response();
        if self.kind == Kind::ConditionNotMet {
            response.extensions_mut().insert(ConditionNotMet);
        }
        let headers = response.headers_mut();
        let retry_after_s = self.retry_after_s.or(match self.kind {
            Kind::Unavailable => Some(2),
            Kind::TooMany => Some(1),
            _ => None,
        });
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.kind == Kind::Unauthenticated && self.dialect == Dialect::Platform {
            let challenge = HeaderValue::from_static(self.challenge);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<Internal> for Problem {
    fn from(error: Internal) -> Self {
        match error.store_is_away() {
            Some(cause) => {
                tracing::error!(target: STRANGERS, %cause, "the store cannot be reached");
                Self::new(
                    Kind::Unavailable,
                    "The service cannot reach its store just now. Send the request again.",
                )
            }
            None => {
                tracing::error!(%error, "request failed");
                Self::new(
                    Kind::Internal,
                    "Something went wrong on our side. Send the request again later.",
                )
            }
        }
    }
}

impl From<MintError> for Problem {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Internal(internal) => internal.into(),
            MintError::NoSuchMember(_) => Self::not_found("member"),
            // The documented words (CONTRACT.md 1.3).
            MintError::CannotUseOAuth => Self::new(Kind::Malformed, error.to_string()),
            MintError::Closed(Closed(ref closed)) => {
                let error_type = closed.maintenance.status.error_type();
                Self::new(Kind::Malformed, format!("{error}."))
                    .of_type(error_type)
                    .after(closed.again_s)
            }
            MintError::ReturnAddress(_)
            | MintError::MalformedAddress(_)
            | MintError::ReturnScheme(_)
            | MintError::NoWayToConfirm
            | MintError::LinkLife { .. }
            | MintError::AuthorizationLife
            | MintError::Value(_) => Self::new(Kind::Malformed, format!("{error}.")),
        }
    }
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Mint(mint) => mint.into(),
            CreateError::NoSuchUser => Self::not_found("user"),
            CreateError::UnknownInstitution(_) => {
                Self::new(Kind::Unprocessable, format!("{error}."))
            }
            CreateError::ExternalGuidTaken(existing) | CreateError::Duplicate(existing) => {
                Self::new(Kind::InUse, format!("{error}.")).about(existing)
            }
            CreateError::OnlyOAuth | CreateError::NoCredentials => {
                Self::new(Kind::Missing, format!("{error}."))
            }
            CreateError::NeedlessCredentials | CreateError::TooMany(_) => {
                Self::new(Kind::Malformed, format!("{error}."))
            }
            CreateError::Credentials(credentials) => credentials.into(),
        }
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Internal(internal) => internal.into(),
            ChangeError::NoSuchMember(_) => Self::not_found("member"),
            ChangeError::ExternalGuidTaken(existing) | ChangeError::Duplicate(existing) => {
                Self::new(Kind::InUse, format!("{error}.")).about(existing)
            }
            ChangeError::Credentials(credentials) => credentials.into(),
            ChangeError::IsOAuth => Self::new(Kind::Malformed, format!("{error}.")),
        }
    }
}

impl From<CredentialsError> for Problem {
    fn from(error: CredentialsError) -> Self {
        let kind = match error {
            CredentialsError::Missing { .. } => Kind::Missing,
            CredentialsError::Unknown(_)
            | CredentialsError::Twice(_)
            | CredentialsError::TooLong(_)
            | CredentialsError::NotAnOption(_) => Kind::Malformed,
        };
        Self::new(kind, format!("{error}."))
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let kind = match error {
            OrderError::Internal(internal) => return internal.into(),
            OrderError::NoSuchMember(_) => return Self::not_found("member"),
            OrderError::NotForPfm => Kind::Forbidden,
            OrderError::Unfit(_) | OrderError::NoAggregator => Kind::ConditionNotMet,
        };
        Self::new(kind, format!("{error}."))
    }
}

impl From<AnswerError> for Problem {
    fn from(error: AnswerError) -> Self {
        let kind = match error {
            AnswerError::Internal(internal) => return internal.into(),
            AnswerError::NoSuchMember(_) => return Self::not_found("member"),
            AnswerError::NotChallenged(_) => Kind::ConditionNotMet,
            AnswerError::Missing { .. } => Kind::Missing,
            AnswerError::Unknown(_)
            | AnswerError::Twice(_)
            | AnswerError::TooLong(_)
            | AnswerError::NotAnOption(_) => Kind::Malformed,
        };
        Self::new(kind, format!("{error}."))
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Internal(internal) => internal.into(),
            UserError::IdTaken(existing) => {
                Self::new(Kind::Conflict, format!("{error}.")).about(existing)
            }
        }
    }
}

impl From<Disabled> for Problem {
    fn from(error: Disabled) -> Self {
        Self::new(Kind::Forbidden, format!("{error}."))
    }
}

impl From<ClaimError> for Problem {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Internal(internal) => internal.into(),
            ClaimError::Pushed(_) => {
                Self::new(Kind::Conflict, format!("{error}.")).because("jobs_are_pushed")
            }
            ClaimError::TooMany => {
                let message =
                    format!("{error}: use the jobs that they bring before you claim more.");
                Self::new(Kind::TooMany, message).after(1)
            }
        }
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Internal(internal) => internal.into(),
            ReportError::Unknown(_) => Self::not_found("job"),
            ReportError::Outdated { .. } => {
                Self::new(Kind::Conflict, format!("{error}.")).because("outdated")
            }
        }
    }
}

impl From<LeaseError> for Problem {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Internal(internal) => internal.into(),
            LeaseError::Unknown(_) => Self::not_found("job"),
            LeaseError::NotRunning(_) => {
                Self::new(Kind::Conflict, format!("{error}.")).because("job_not_open")
            }
            LeaseError::Ended(_) => {
                let message = format!("{error}; the job has failed, and the person has to connect again.");
                Self::new(Kind::Conflict, message).because("token_ended")
            }
            LeaseError::Later { seconds, .. } => {
                let problem = Self::new(Kind::Unavailable, format!("{error}."));
                problem.because("token_not_renewed").after(seconds)
            }
            LeaseError::Unreadable => Self::new(
                Kind::Conflict,
                "The member's tokens cannot be read with the configured keys; the member needs to connect again.",
            )
            .because("unreadable"),
        }
    }
}
