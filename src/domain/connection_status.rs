//! The 22 published connection statuses of a member, and which may follow which (CONTRACT.md 3).
//!
//! One table has the ids, names, messages and legal transitions. Both stores take the transitions
//! from it: a status that may not follow the one before it is not written.

use serde::{Deserialize, Serialize};

macro_rules! connection_statuses {
    ($($variant:ident = $id:literal $name:literal $message:literal => [$($next:ident)*];)*) => {
        /// The status of a member: one of the 22 published ones (CONTRACT.md 3).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(into = "u8", try_from = "u8")]
        pub enum ConnectionStatus {
            $(#[doc = $message] $variant,)*
        }

        impl ConnectionStatus {
            /// Every status, by id.
            pub const ALL: &'static [ConnectionStatus] = &[$(ConnectionStatus::$variant),*];

            /// `connection_status_id`.
            pub fn id(self) -> u8 {
                match self { $(Self::$variant => $id,)* }
            }

            /// `connection_status`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// `connection_status_message`, about the institution people know as `institution`.
            pub fn message(self, institution: &str) -> String {
                match self { $(Self::$variant => $message,)* }.replace("{}", institution)
            }

            /// The status with this `connection_status_id`.
            pub fn from_id(id: u8) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)* _ => None }
            }

            /// The statuses that may follow this one. Staying in a status is no transition and always
            /// allowed.
            pub fn next(self) -> &'static [ConnectionStatus] {
                match self { $(Self::$variant => &[$(Self::$next),*],)* }
            }
        }
    };
}

// Members begin as CREATED, IMPORTED or PENDING; nothing leads back to these. RESUMED and EXPIRED follow
// only after a question, REJECTED only after an answer. PREVENTED ends only with new credentials
// (UPDATED) or a new consent (CONNECTED).
connection_statuses! {
    Created = 0 "CREATED" "Connecting to {}."
        => [Denied Challenged Locked Connected Impeded Discontinued Closed Delayed Failed Updated Disabled Prevented];
    Prevented = 1 "PREVENTED" "The last three attempts to connect to {} failed. Enter the credentials again."
        => [Connected Discontinued Closed Updated Disabled];
    Denied = 2 "DENIED" "{} did not accept the sign-in. Connect it again."
        => [Prevented Challenged Locked Connected Impeded Discontinued Closed Failed Updated Disabled Impaired];
    Challenged = 3 "CHALLENGED" "{} asks for more information to sign you in."
        => [Prevented Denied Locked Connected Impeded Discontinued Closed Failed Updated Disabled Resumed Expired Impaired Degraded Disconnected];
    Rejected = 4 "REJECTED" "{} did not accept the answer. Try again."
        => [Prevented Denied Challenged Locked Connected Impeded Discontinued Closed Failed Updated Disabled Impaired];
    Locked = 5 "LOCKED" "The account at {} is locked. Unlock it there, then try again."
        => [Prevented Denied Challenged Connected Impeded Discontinued Closed Failed Updated Disabled Impaired];
    Connected = 6 "CONNECTED" "Connected to {}."
        => [Denied Challenged Locked Impeded Reconnected Degraded Disconnected Discontinued Closed Updated Disabled Impaired Prevented];
    Impeded = 7 "IMPEDED" "{} needs something from you. Sign in there, then connect again."
        => [Prevented Denied Challenged Locked Connected Discontinued Closed Failed Updated Disabled Impaired];
    Reconnected = 8 "RECONNECTED" "{} has a new way to connect. Connect it again to finish the change."
        => [Prevented Denied Challenged Locked Connected Impeded Degraded Disconnected Discontinued Closed Updated Disabled Impaired];
    Degraded = 9 "DEGRADED" "The connection to {} is having trouble. We keep trying."
        => [Prevented Denied Challenged Locked Connected Impeded Reconnected Disconnected Discontinued Closed Updated Disabled Impaired];
    Disconnected = 10 "DISCONNECTED" "The connection to {} has not worked for two weeks. We keep trying."
        => [Prevented Denied Challenged Locked Connected Impeded Reconnected Discontinued Closed Updated Disabled Impaired];
    Discontinued = 11 "DISCONTINUED" "Connections to {} are no longer offered."
        => [Connected Reconnected Closed];
    Closed = 12 "CLOSED" "The connection to {} is closed."
        => [Connected];
    Delayed = 13 "DELAYED" "Connecting to {} takes longer than usual."
        => [Prevented Denied Challenged Locked Connected Impeded Discontinued Closed Failed Updated Disabled Impaired];
    Failed = 14 "FAILED" "The connection to {} failed. Try again."
        => [Prevented Denied Challenged Locked Connected Impeded Discontinued Closed Updated Disabled Impaired];
    Updated = 15 "UPDATED" "Connecting to {} with the new credentials."
        => [Prevented Denied Challenged Locked Connected Impeded Discontinued Closed Delayed Failed Disabled Impaired Degraded Disconnected];
    Disabled = 16 "DISABLED" "The connection to {} is paused."
        => [Connected Discontinued Closed Updated];
    Imported = 17 "IMPORTED" "Enter the credentials for {} to connect it."
        => [Connected Discontinued Closed Updated];
    Resumed = 18 "RESUMED" "Connecting to {} with the answer you gave."
        => [Prevented Denied Challenged Rejected Locked Connected Impeded Discontinued Closed Delayed Failed Updated Disabled Impaired Degraded Disconnected];
    Expired = 19 "EXPIRED" "The answer for {} did not come in time. Try again."
        => [Prevented Denied Challenged Locked Connected Impeded Discontinued Closed Failed Updated Disabled Impaired];
    Impaired = 20 "IMPAIRED" "The permission for {} has ended. Connect it again."
        => [Prevented Denied Challenged Locked Connected Impeded Discontinued Closed Failed Updated Disabled];
    Pending = 21 "PENDING" "Waiting for the sign-in at {}."
        => [Connected Discontinued Closed];
}

/// A status that may not follow another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} may not follow {}", .to.name(), .from.name())]
pub struct IllegalTransition {
    /// The status before.
    pub from: ConnectionStatus,
    /// The status that was to follow.
    pub to: ConnectionStatus,
}

impl ConnectionStatus {
    /// This status followed by `to`.
    pub fn then(self, to: Self) -> Result<Self, IllegalTransition> {
        let is_legal = self == to || self.next().contains(&to);
        is_legal
            .then_some(to)
            .ok_or(IllegalTransition { from: self, to })
    }

    /// Whether a change to this status is sent by the Connection Status webhook (CONTRACT.md 5).
    pub fn is_told_as_connection_status(self) -> bool {
        use ConnectionStatus::*;
        matches!(
            self,
            Challenged | Denied | Expired | Impaired | Impeded | Locked | Prevented | Rejected
        )
    }

    /// Whether an aggregation may be ordered: the member has been connected or has credentials, and only
    /// another try is needed.
    pub fn may_be_aggregated(self) -> bool {
        use ConnectionStatus::*;
        !matches!(
            self,
            Prevented | Discontinued | Closed | Disabled | Imported | Pending
        )
    }

    /// Whether it says that a job will bring a result. A member is never left in one of these statuses
    /// when its job ends; it becomes FAILED.
    pub fn awaits_a_job(self) -> bool {
        use ConnectionStatus::*;
        matches!(self, Created | Challenged | Delayed | Updated | Resumed)
    }

    /// Whether only new credentials can help (`needs_updated_credentials`), for standard members.
    pub fn needs_updated_credentials(self) -> bool {
        matches!(self, Self::Denied | Self::Prevented | Self::Imported)
    }
}

impl From<ConnectionStatus> for u8 {
    fn from(status: ConnectionStatus) -> u8 {
        status.id()
    }
}

impl TryFrom<u8> for ConnectionStatus {
    type Error = String;

    fn try_from(id: u8) -> Result<Self, String> {
        Self::from_id(id).ok_or_else(|| format!("{id} is no connection status"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_ids_run_from_0_to_21() {
        let ids: Vec<u8> = ConnectionStatus::ALL
            .iter()
            .map(|status| status.id())
            .collect();
        assert_eq!(ids, (0..=21).collect::<Vec<u8>>());
        for status in ConnectionStatus::ALL {
            assert_eq!(ConnectionStatus::from_id(status.id()), Some(*status));
        }
        assert_eq!(ConnectionStatus::from_id(22), None);
    }

    #[test]
    fn the_message_names_the_institution() {
        assert_eq!(
            ConnectionStatus::Connected.message("MX Bank"),
            "Connected to MX Bank."
        );
        for status in ConnectionStatus::ALL {
            assert!(status.message("MX Bank").contains("MX Bank"), "{status:?}");
        }
    }

    /// All transitions: a row is a status and a column a successor, both by id. Written by hand, so that
    /// a mistake in the table is noticed.
    #[test]
    fn every_pair_of_statuses_is_legal_or_illegal_as_written_here() {
        const LAW: [&str; 22] = [
            //0123456789012345678901
            "=xxx.xxx...xxxxxx.....", // CREATED
            ".=....x....xx..xx.....", // PREVENTED
            ".x=x.xxx...xx.xxx...x.", // DENIED
            ".xx=.xxx.xxxx.xxx.xxx.", // CHALLENGED
            ".xxx=xxx...xx.xxx...x.", // REJECTED
            ".xxx.=xx...xx.xxx...x.", // LOCKED
            ".xxx.x=xxxxxx..xx...x.", // CONNECTED
            ".xxx.xx=...xx.xxx...x.", // IMPEDED
            ".xxx.xxx=xxxx..xx...x.", // RECONNECTED
            ".xxx.xxxx=xxx..xx...x.", // DEGRADED
            ".xxx.xxxx.=xx..xx...x.", // DISCONNECTED
            "......x.x..=x.........", // DISCONTINUED
            "......x.....=.........", // CLOSED
            ".xxx.xxx...xx=xxx...x.", // DELAYED
            ".xxx.xxx...xx.=xx...x.", // FAILED
            ".xxx.xxx.xxxxxx=x...x.", // UPDATED
            "......x....xx..x=.....", // DISABLED
            "......x....xx..x.=....", // IMPORTED
            ".xxxxxxx.xxxxxxxx.=.x.", // RESUMED
            ".xxx.xxx...xx.xxx..=x.", // EXPIRED
            ".xxx.xxx...xx.xxx...=.", // IMPAIRED
            "......x....xx........=", // PENDING
        ];
        for (from, row) in ConnectionStatus::ALL.iter().zip(LAW) {
            assert_eq!(row.len(), 22, "{from:?}");
            for (to, mark) in ConnectionStatus::ALL.iter().zip(row.chars()) {
                let outcome = from.then(*to);
                match mark {
                    '=' | 'x' => assert_eq!(outcome, Ok(*to), "{from:?} to {to:?}"),
                    _ => assert_eq!(
                        outcome,
                        Err(IllegalTransition {
                            from: *from,
                            to: *to
                        })
                    ),
                }
            }
        }
    }

    #[test]
    fn whoever_awaits_a_job_may_fail() {
        for status in ConnectionStatus::ALL {
            let may_fail = status.then(ConnectionStatus::Failed).is_ok();
            assert!(may_fail || !status.awaits_a_job(), "{status:?}");
        }
    }

    #[test]
    fn no_row_names_a_status_twice_or_itself() {
        for status in ConnectionStatus::ALL {
            let next = status.next();
            assert!(!next.contains(status), "{status:?}");
            for (i, one) in next.iter().enumerate() {
                assert!(!next[..i].contains(one), "{status:?} names {one:?} twice");
            }
        }
    }

    #[test]
    fn members_begin_in_three_statuses_and_never_come_back() {
        for beginning in [
            ConnectionStatus::Created,
            ConnectionStatus::Imported,
            ConnectionStatus::Pending,
        ] {
            for status in ConnectionStatus::ALL {
                assert!(!status.next().contains(&beginning), "{status:?}");
            }
        }
    }
}
