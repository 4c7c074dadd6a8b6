//! What a failure means. Errors of the server and of the library are classified here and nowhere else.
//!
//! | class | at start | later |
//! |---|---|---|
//! | away: no reply, no connection, or a reply that says "not now" | unavailable | unavailable |
//! | barred: the server does not accept the login, a permission, the database or the address | unfit, with the remedy | unavailable: an operator is probably changing it |
//! | refused: any other error, which trying again does not mend | unfit | failed |
//! | unreadable: a reply of a type that was not expected | unfit | unreadable |

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::outcome::StoreError;

/// No reply came within this time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no answer within {} s", _0.as_secs())]
pub(super) struct NotInTime(pub(super) Duration);

/// Why a command got no usable reply. It has no source error: the server's message may repeat a command's
/// arguments, and those of a login are the user and the password.
#[derive(Clone, thiserror::Error)]
pub(super) enum Cause {
    /// The server or the library reported an error.
    #[error("{}", without_arguments(_0))]
    Told(RedisError),
    /// No reply came.
    #[error(transparent)]
    Silence(#[from] NotInTime),
    /// The last attempt to connect, a moment ago, failed with this.
    #[error("{0}")]
    Still(Arc<Cause>),
    /// Another server has taken over meanwhile.
    #[error("another server has taken over")]
    Ended,
    /// The server has no replica, and those do not confirm it who would say that it was replaced.
    #[error("nobody confirms that this is still the server that takes the writes")]
    Unconfirmed,
    /// Nobody serves this hash slot of the cluster, as far as is known.
    #[error("the cluster has no server for hash slot {0}")]
    NoServer(u16),
    /// It was written, but so few replicas said in time that they have it.
    #[error("{got} of {wanted} replicas acknowledged what was written")]
    Unacknowledged {
        /// How many did.
        got: u64,
        /// How many must.
        wanted: u64,
    },
    /// The Sentinels know no server of that name.
    #[error("the Sentinels watch no server named {0:?}")]
    NotWatched(String),
}

/// The same text as `Display`, so that `Debug` shows no arguments either.
impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<RedisError> for Cause {
    fn from(error: RedisError) -> Self {
        Self::Told(error)
    }
}

/// The message without the part in which the server repeats what it was sent.
fn without_arguments(error: &RedisError) -> String {
    let said = error.to_string();
    let end = said.find(", with args").unwrap_or(said.len());
    said[..end].to_owned()
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Away,
    Barred,
    Refused,
    Unreadable,
}

impl Cause {
    /// The error for callers while the gateway runs.
    pub(super) fn while_running(self) -> StoreError {
        match self.class() {
            Class::Away | Class::Barred => StoreError::Unavailable(Box::new(self)),
            Class::Refused => StoreError::Failed(self.to_string()),
            Class::Unreadable => StoreError::Unreadable(self.to_string()),
        }
    }

    /// The error when the store is opened. What waiting does not mend is reported with its remedy.
    pub(super) fn at_start(self) -> StoreError {
        match self.class() {
            Class::Away => StoreError::Unavailable(Box::new(self)),
            Class::Barred | Class::Refused => StoreError::Unfit(format!(
                "the Redis server refuses us: {self}. {}",
                self.remedy()
            )),
            Class::Unreadable => StoreError::Unfit(format!(
                "what answers at the store's address does not speak as Redis does: {self}. Remedy: \
                 correct store.url"
            )),
        }
    }

    /// Whether no reply came at all, so that another try would probably wait for the whole time limit again.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Silence(_) => true,
            Self::Still(cause) => cause.is_silence(),
            _ => false,
        }
    }

    /// Whether a new connection may help.
    pub(super) fn asks_for_another_connection(&self) -> bool {
        match self {
            Self::Told(error) => match error.kind() {
                // The server became a replica behind the same name.
                ErrorKind::Server(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown) => true,
                ErrorKind::UnexpectedReturnType => false,
                ErrorKind::Server(_) | ErrorKind::Extension => self.is_about_the_login(),
                _ => true,
            },
            Self::Silence(_) => true,
            _ => false,
        }
    }

    /// Whether another server may have taken over.
    pub(super) fn asks_for_another_server(&self) -> bool {
        match self {
            Self::Told(error) => {
                let is_down = ErrorKind::Server(ServerErrorKind::ClusterDown);
                self.asks_for_another_connection() || error.kind() == is_down
            }
            Self::NotWatched(_) => false,
            _ => true,
        }
    }

    fn class(&self) -> Class {
        let error = match self {
            Self::Silence(_) => return Class::Away,
            Self::Still(cause) => return cause.class(),
            Self::Ended | Self::NoServer(_) | Self::Unconfirmed | Self::Unacknowledged { .. } => {
                return Class::Away;
            }
            Self::NotWatched(_) => return Class::Barred,
            Self::Told(error) => error,
        };
        let says = |text: &str| error.detail().is_some_and(|detail| detail.contains(text));
        match error.kind() {
            ErrorKind::UnexpectedReturnType => Class::Unreadable,
            ErrorKind::InvalidClientConfig | ErrorKind::AuthenticationFailed => Class::Barred,
            ErrorKind::Server(ServerErrorKind::NoPerm) => Class::Barred,
            ErrorKind::Server(ServerErrorKind::ResponseError) => {
                // "ERR" is one code for many errors; only the text tells which.
                if says("max number of clients") || says("loading the dataset") {
                    Class::Away
                } else if says("AUTH")
                    || says("DB index")
                    || says("invalid password")
                    || says(BARRED_SCRIPT)
                {
                    Class::Barred
                } else if says("Error running script") && SERVERS_OWN.iter().any(|own| says(own)) {
                    Class::Away
                } else {
                    Class::Refused
                }
            }
            _ if self.is_about_the_login() => Class::Barred,
            _ => Class::Away,
        }
    }

    fn is_about_the_login(&self) -> bool {
        matches!(self, Self::Told(error) if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")))
    }

    fn remedy(&self) -> &'static str {
        let error = match self {
            Self::Told(error) => error,
            Self::Still(cause) => return cause.remedy(),
            Self::NotWatched(_) => {
                return "Remedy: write the name that stands behind \"sentinel monitor\" in their \
                        configuration as ?service=NAME of store.url";
            }
            _ => return "",
        };
        let says = |text: &str| error.detail().is_some_and(|detail| detail.contains(text));
        match error.code() {
            _ if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
                || says(BARRED_SCRIPT) =>
            {
                "Remedy: give the user of store.url this permission (ACL SETUSER); all \
                 that it needs is in docs/RELIABILITY.md"
            }
            Some("NOAUTH") => "Remedy: put the password into store.url",
            Some("WRONGPASS") => {
                "Remedy: correct the user and the password in store.url; signs such as # / @ and % \
                 are percent-encoded in it"
            }
            _ if says("AUTH") || says("invalid password") => {
                "Remedy: correct or remove the password in store.url"
            }
            _ if says("DB index") => {
                "Remedy: the number at the end of store.url is a database that this server does \
                 not have; it has as many as its setting \"databases\" says, counted from 0"
            }
            _ if says("unknown command") => {
                "Remedy: the address of a Redis or Valkey server that offers this command; a \
                 Sentinel's port does not"
            }
            _ => "Remedy: correct store.url or the server",
        }
    }
}

/// Before version 7 a server reports these errors inside the error of the script in which they happened.
const SERVERS_OWN: [&str; 6] = [
    "-READONLY",
    "-OOM",
    "-MISCONF",
    "-NOREPLICAS",
    "-MASTERDOWN",
    "-NOPERM",
];

/// The text of the error when a script calls a command that the user may not call.
const BARRED_SCRIPT: &str = "The user executing the script can't";

/// Whether the server has lost the script.
pub(super) fn is_forgotten(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether the user lacks the permission.
pub(super) fn is_no_permission(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cause that the library makes from an error line of the server.
    fn said(line: &str) -> Cause {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("a reply");
        Cause::from(value.extract_error().expect_err("an error"))
    }

    #[test]
    fn a_server_that_says_not_now_is_away_and_never_a_fault_of_ours() {
        for line in [
            "LOADING Redis is loading the dataset in memory",
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOPERM User g has no permissions to run the 'evalsha' command",
            "READONLY You can't write against a read only replica.",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "CLUSTERDOWN The cluster is down",
            "NOREPLICAS Not enough good replicas to write.",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Errors writing to the AOF file: No space left on device",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "EXECABORT Transaction discarded because of previous errors.",
            "BUSY Redis is busy running a script.",
            "UNKILLABLE Sorry the script already executed write commands",
            "ERR max number of clients reached",
            "ERR The user executing the script can't run this command or subcommand script: 0a",
            "ERR Error running script (call to f_0): @user_script:9: -OOM command not allowed",
        ] {
            assert!(
                matches!(said(line).while_running(), StoreError::Unavailable(_)),
                "{line}"
            );
        }
    }

    #[test]
    fn what_waiting_does_not_mend_is_said_at_start_with_its_remedy() {
        for (line, word) in [
            ("NOAUTH Authentication required.", "put the password"),
            (
                "WRONGPASS invalid username-password pair",
                "percent-encoded",
            ),
            (
                "NOPERM User g has no permissions to run 'info'",
                "ACL SETUSER",
            ),
            ("ERR DB index is out of range", "databases"),
            ("ERR unknown command 'SELECT', with args", "Sentinel"),
            (
                "ERR AUTH <password> called without any password",
                "remove the password",
            ),
        ] {
            match said(line).at_start() {
                StoreError::Unfit(text) => assert!(text.contains(word), "{text}"),
                other => panic!("{line}: {other:?}"),
            }
        }
        for line in [
            "LOADING Redis is loading the dataset in memory",
            "ERR max number of clients reached",
            "MASTERDOWN Link with MASTER is down",
        ] {
            let waits = matches!(said(line).at_start(), StoreError::Unavailable(_));
            assert!(waits, "{line}");
        }
    }

    #[test]
    fn what_a_server_repeats_of_a_command_is_not_told() {
        let line = "ERR unknown command 'AUTH', with args beginning with: 'g' 'hunter2' ";
        for told in [said(line).while_running(), said(line).at_start()] {
            let mut words = format!("{told} {told:?}");
            let mut cause = std::error::Error::source(&told);
            while let Some(error) = cause {
                words.push_str(&error.to_string());
                cause = error.source();
            }
            assert!(words.contains("unknown command"), "{words}");
            assert!(!words.contains("hunter2"), "{words}");
        }
    }

    #[test]
    fn a_fault_of_a_script_is_neither_away_nor_called_unreadable() {
        let ours = said("ERR user_script:12: attempt to index a nil value script: 0a");
        assert!(matches!(ours.while_running(), StoreError::Failed(_)));
    }
}
