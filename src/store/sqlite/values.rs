//! How the domain's values are written in columns, and read back.

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use crate::domain::event::EventKind;
use crate::domain::id::{
    AttemptId, ClientId, EventGuid, InstitutionCode, InstitutionGuid, JobGuid, MemberGuid,
    OauthStateGuid, UserGuid,
};
use crate::domain::job::{JobFailure, JobStatus};
use crate::domain::member::{CallbackPayload, ConnectionStatus};
use crate::domain::secret::Digest;
use crate::domain::window::ErrorReason;

/// A column that holds something else than what this version writes there.
#[derive(Debug, thiserror::Error)]
#[error("expected {0}")]
struct Unexpected(&'static str);

fn unexpected(what: &'static str) -> FromSqlError {
    FromSqlError::Other(Box::new(Unexpected(what)))
}

/// Guids, in their compact form.
macro_rules! compact {
    ($($guid:ty),*) => {$(
        impl ToSql for $guid {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.compact().into())
            }
        }

        impl FromSql for $guid {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Self::from_compact(value.as_str()?)
                    .map_err(|error| FromSqlError::Other(Box::new(error)))
            }
        }
    )*};
}

compact!(
    UserGuid,
    MemberGuid,
    OauthStateGuid,
    JobGuid,
    InstitutionGuid,
    EventGuid
);

/// Names, as they are written everywhere.
macro_rules! written {
    ($($name:ty),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                value
                    .as_str()?
                    .parse()
                    .map_err(|error| FromSqlError::Other(Box::new(error)))
            }
        }
    )*};
}

written!(ClientId, InstitutionCode, AttemptId, CallbackPayload);

impl ToSql for Digest {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_text().into())
    }
}

impl FromSql for Digest {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::from_text(value.as_str()?).ok_or_else(|| unexpected("a digest"))
    }
}

/// Enumerations with a published number.
macro_rules! numbered {
    ($($name:ty: $expected:literal),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.id().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Self::from_id(u8::column_result(value)?).ok_or_else(|| unexpected($expected))
            }
        }
    )*};
}

numbered!(ConnectionStatus: "a connection status", ErrorReason: "an error reason");

/// Enumerations with a name.
macro_rules! named {
    ($($name:ty: $expected:literal),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(self.name().into())
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                Self::from_name(value.as_str()?).ok_or_else(|| unexpected($expected))
            }
        }
    )*};
}

named!(
    JobStatus: "a job's status",
    JobFailure: "why a job failed",
    EventKind: "a kind of event"
);

/// A moment, as whole milliseconds since 1970.
#[derive(Clone, Copy)]
pub(super) struct Millis(pub Timestamp);

impl Millis {
    /// Takes the wrapping off a column that may be empty.
    pub fn inner(moment: Option<Millis>) -> Option<Timestamp> {
        moment.map(|Millis(moment)| moment)
    }
}

impl ToSql for Millis {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.as_millisecond().into())
    }
}

impl FromSql for Millis {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Timestamp::from_millisecond(value.as_i64()?)
            .map(Self)
            .map_err(|_| unexpected("a time"))
    }
}

/// A value written as JSON.
pub(super) struct Json<T>(pub T);

impl<T: serde::Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        serde_json::to_string(&self.0)
            .map(ToSqlOutput::from)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
    }
}

impl<T: serde::de::DeserializeOwned> FromSql for Json<T> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        serde_json::from_str(value.as_str()?)
            .map(Self)
            .map_err(|error| FromSqlError::Other(Box::new(error)))
    }
}
