//! The member and its connection status.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::{
    ClientId, InstitutionCode, InstitutionGuid, JobGuid, MemberGuid, OauthStateGuid, UserGuid,
};

/// One user's relationship with one institution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The name the API uses.
    pub guid: MemberGuid,
    /// Whose relationship it is.
    pub user: UserGuid,
    /// The user's name in the client's own books.
    pub user_id: Option<String>,
    /// The tenant.
    pub client: ClientId,
    /// Which institution, by code.
    pub institution: InstitutionCode,
    /// Which institution, by guid.
    pub institution_guid: InstitutionGuid,
    /// What people call it; the institution's name unless the client chose one.
    pub name: String,
    /// The client's own name for the member: `external_guid` on Nexus, `id` on Platform.
    pub external_guid: Option<String>,
    /// Free text of the client's.
    pub metadata: Option<String>,
    /// What the client means to do with the data; given back as received.
    pub use_cases: Vec<UseCase>,
    /// Given back as received, and handed on with the member.
    pub background_aggregation_is_disabled: bool,
    /// Whether it connects by OAuth.
    pub is_oauth: bool,
    /// `skip_aggregation` as given at create: counts for every window until the first success.
    pub skip_aggregation: bool,
    /// Where the relationship stands.
    pub status: ConnectionStatus,
    /// Grows by one with every change; lets receivers of webhooks drop stale ones.
    pub revision: u32,
    /// When it was created.
    pub created_at: Timestamp,
    /// When an aggregation last ended.
    pub aggregated_at: Option<Timestamp>,
    /// When an aggregation last ended well.
    pub successfully_aggregated_at: Option<Timestamp>,
    /// The unfinished aggregation job, if any: `is_being_aggregated`.
    pub current_job: Option<JobGuid>,
    /// The newest aggregation job.
    pub most_recent_job: Option<JobGuid>,
    /// The newest window; older ones are chained behind it.
    pub latest_window: Option<OauthStateGuid>,
}

impl Member {
    /// Whether a window that does not say itself starts an aggregation when it succeeds.
    ///
    /// Create's `skip_aggregation` counts until the member's first success; afterwards only an
    /// explicit value at mint does.
    pub fn aggregates_by_default(&self) -> bool {
        let succeeded_before = !matches!(
            self.status,
            ConnectionStatus::Pending | ConnectionStatus::Created
        );
        succeeded_before || !self.skip_aggregation
    }

    /// Whether an aggregation is under way.
    pub fn is_being_aggregated(&self) -> bool {
        self.current_job.is_some()
    }
}

/// What a client means to do with a member's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UseCase {
    /// Personal finance management.
    #[serde(rename = "PFM")]
    Pfm,
    /// Payments and transfers.
    #[serde(rename = "MONEY_MOVEMENT")]
    MoneyMovement,
}

macro_rules! connection_statuses {
    ($($variant:ident = $id:literal $name:literal $message:literal;)*) => {
        /// Where a member stands: the 22 published statuses (contract section 3).
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
        }
    };
}

connection_statuses! {
    Created = 0 "CREATED" "Connecting to {}.";
    Prevented = 1 "PREVENTED" "The last three attempts to connect to {} failed. Enter the credentials again.";
    Denied = 2 "DENIED" "{} did not accept the sign-in. Connect it again.";
    Challenged = 3 "CHALLENGED" "{} asks for more information to sign you in.";
    Rejected = 4 "REJECTED" "{} did not accept the answer. Try again.";
    Locked = 5 "LOCKED" "The account at {} is locked. Unlock it there, then try again.";
    Connected = 6 "CONNECTED" "Connected to {}.";
    Impeded = 7 "IMPEDED" "{} needs something from you. Sign in there, then connect again.";
    Reconnected = 8 "RECONNECTED" "{} has a new way to connect. Connect it again to finish the change.";
    Degraded = 9 "DEGRADED" "The connection to {} is having trouble. We keep trying.";
    Disconnected = 10 "DISCONNECTED" "The connection to {} has not worked for two weeks. We keep trying.";
    Discontinued = 11 "DISCONTINUED" "Connections to {} are no longer offered.";
    Closed = 12 "CLOSED" "The connection to {} is closed.";
    Delayed = 13 "DELAYED" "Connecting to {} takes longer than usual.";
    Failed = 14 "FAILED" "The connection to {} failed. Try again.";
    Updated = 15 "UPDATED" "Connecting to {} with the new credentials.";
    Disabled = 16 "DISABLED" "The connection to {} is paused.";
    Imported = 17 "IMPORTED" "Enter the credentials for {} to connect it.";
    Resumed = 18 "RESUMED" "Connecting to {} with the answer you gave.";
    Expired = 19 "EXPIRED" "The answer for {} did not come in time. Try again.";
    Impaired = 20 "IMPAIRED" "The permission for {} has ended. Connect it again.";
    Pending = 21 "PENDING" "Waiting for the sign-in at {}.";
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

impl ConnectionStatus {
    /// Whether a change to this status is told by the Connection Status webhook (contract section 5).
    pub fn is_told_as_connection_status(self) -> bool {
        use ConnectionStatus::*;
        matches!(
            self,
            Challenged | Denied | Expired | Impaired | Impeded | Locked | Prevented | Rejected
        )
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
}
