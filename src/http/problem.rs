//! Errors of the API: the one place where a status is chosen and an envelope written.
//!
//! Nexus says `{"error":{"code","message"}}`, Platform `{"error":{"message","status","type"}}`
//! (contract sections 1.5 and 2.5). Every message names the field and the remedy. What went wrong
//! inside is logged and never said.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::flow::Internal;
use crate::flow::access::UserError;
use crate::flow::aggregate::LeaseError;
use crate::flow::members::CreateError;
use crate::flow::mint::MintError;
use crate::store::StoreError;

/// Whose envelope an error wears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// The Nexus API's.
    Nexus,
    /// The Platform API's, and everybody else's.
    #[default]
    Platform,
}

/// An error as the API says it.
#[derive(Debug)]
pub struct Problem {
    dialect: Dialect,
    kind: Kind,
    message: String,
    guid: Option<String>,
    challenge: &'static str,
}

/// How API keys are sent (RFC 7617).
const BASIC: &str = "Basic realm=\"guichet\", charset=\"UTF-8\"";

/// What kind of error it is; each has its status, Nexus code and Platform type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A required field is missing.
    Missing,
    /// Something is of the wrong form or type.
    Malformed,
    /// Who is asking is not known.
    Unauthenticated,
    /// The session is over.
    SessionExpired,
    /// There is no such thing, as far as this caller may know.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// It exists already, or is finished.
    Conflict,
    /// The request did not arrive in time.
    TimedOut,
    /// The body is over the limit.
    TooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// Understood, but it cannot be done.
    Unprocessable,
    /// Too many requests.
    TooMany,
    /// We failed.
    Internal,
    /// The store is away; nothing was done, or what was done can be repeated.
    Unavailable,
}

impl Kind {
    fn status(self) -> StatusCode {
        match self {
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
            Kind::NotFound => "4040",
            Kind::MethodNotAllowed => "4050",
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
            Kind::NotFound => "not_found",
            Kind::MethodNotAllowed => "method_not_allowed",
            Kind::Conflict => "conflict",
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
    /// An error with a message for the caller.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            dialect: Dialect::default(),
            kind,
            message: message.into(),
            guid: None,
            challenge: BASIC,
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

    /// There is no such thing, whether absent, foreign or malformed.
    pub fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("There is no such {what}."))
    }

    /// A required field is missing.
    pub fn missing(field: &str, remedy: &str) -> Self {
        Self::new(Kind::Missing, format!("{field} is missing: {remedy}."))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = match self.dialect {
            Dialect::Nexus => {
                json!({"error": {"code": self.kind.nexus_code(), "message": self.message}})
            }
            Dialect::Platform => json!({"error": {
                "message": self.message,
                "status": self.kind.platform_status(),
                "type": format!("{}_error", self.kind.platform_status()),
            }}),
        };
        let mut body = body;
        if let Some(guid) = self.guid {
            body["error"]["guid"] = guid.clone().into();
            body["guid"] = guid.into();
        }
        let mut response = (self.kind.status(), axum::Json(body)).into_response();
        let headers = response.headers_mut();
        match self.kind {
            Kind::Unavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
            }
            Kind::TooMany => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Kind::Unauthenticated if self.dialect == Dialect::Platform => {
                let challenge = HeaderValue::from_static(self.challenge);
                headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            _ => {}
        }
        response
    }
}

impl From<Internal> for Problem {
    fn from(error: Internal) -> Self {
        match error {
            Internal::Store(StoreError::Unavailable(cause)) => {
                tracing::error!(%cause, "store away");
                Self::new(
                    Kind::Unavailable,
                    "The service cannot reach its store just now. Send the request again.",
                )
            }
            other => {
                tracing::error!(error = %other, "request failed");
                Self::new(
                    Kind::Internal,
                    "Something went wrong on our side. Send the request again later.",
                )
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Internal::from(error).into()
    }
}

impl From<MintError> for Problem {
    fn from(error: MintError) -> Self {
        match error {
            MintError::Internal(internal) => internal.into(),
            MintError::NoSuchMember(_) => Self::not_found("member"),
            MintError::CannotUseOAuth
            | MintError::ReturnAddress(_)
            | MintError::ReturnScheme(_)
            | MintError::LinkLife { .. }
            | MintError::AuthorizationLife => Self::new(Kind::Malformed, error.to_string()),
        }
    }
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Mint(mint) => mint.into(),
            CreateError::UnknownInstitution(_) => {
                Self::new(Kind::Unprocessable, format!("{error}."))
            }
            CreateError::ExternalGuidTaken(existing) => {
                Self::new(Kind::Unprocessable, format!("{error}.")).about(existing)
            }
            CreateError::OnlyOAuth => Self::new(Kind::Missing, format!("{error}.")),
            CreateError::Duplicate(_)
            | CreateError::NoCredentials
            | CreateError::NeedlessCredentials
            | CreateError::Credentials(_) => todo!(),
        }
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

impl From<LeaseError> for Problem {
    fn from(error: LeaseError) -> Self {
        match error {
            LeaseError::Internal(internal) => internal.into(),
            LeaseError::Unknown(_) => Self::not_found("job"),
            LeaseError::Over(_) => Self::new(Kind::Conflict, format!("{error}.")),
            LeaseError::Unreadable => Self::new(
                Kind::Conflict,
                "The member's grant cannot be read with the keys configured; the member needs to connect again.",
            ),
        }
    }
}
