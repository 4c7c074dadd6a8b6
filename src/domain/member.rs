//! The member and its connection status.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::background::BackgroundPulls;
pub use super::connection_status::{ConnectionStatus, IllegalTransition};
use super::data_request::DataRequest;
use super::form;
use super::id::{
    ClientId, InstitutionCode, InstitutionGuid, JobGuid, MemberGuid, OauthStateGuid, UserGuid,
};
use super::secret::Digest;

/// One user's relationship with one institution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The guid in the API.
    pub guid: MemberGuid,
    /// The user.
    pub user: UserGuid,
    /// The client's own name for the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The tenant.
    pub client: ClientId,
    /// The institution, by code.
    pub institution: InstitutionCode,
    /// The institution, by guid.
    pub institution_guid: InstitutionGuid,
    /// The name that people see; the institution's name unless the client chose one.
    pub name: String,
    /// The client's own name for the member: `external_guid` on Nexus, `id` on Platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_guid: Option<String>,
    /// Free text of the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// The purpose of the data, as the client gave it; returned as received.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub use_cases: Vec<UseCase>,
    /// Whether it is never pulled in the background.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub background_aggregation_is_disabled: bool,
    /// Its background pulls; `None`: nobody has arranged any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<BackgroundPulls>,
    /// Whether it connects by OAuth.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub is_oauth: bool,
    /// `skip_aggregation` as given at create: it counts for every window until the first success.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub skip_aggregation: bool,
    /// The connection status.
    pub status: ConnectionStatus,
    /// Why it has that status, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<StatusReason>,
    /// When its consent ends, as far as that is known: then it is IMPAIRED.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub consent_expires_at: Option<Timestamp>,
    /// A number that grows by one with every change, so that receivers of webhooks can drop old ones.
    pub revision: u32,
    /// When it was created.
    #[serde(with = "form")]
    pub created_at: Timestamp,
    /// When an aggregation last ended.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub aggregated_at: Option<Timestamp>,
    /// When an aggregation last succeeded.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub successfully_aggregated_at: Option<Timestamp>,
    /// The unfinished aggregation job, if any: `is_being_aggregated`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_job: Option<JobGuid>,
    /// The newest aggregation job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_recent_job: Option<JobGuid>,
    /// The newest window; each window names the one before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_window: Option<OauthStateGuid>,
    /// The fingerprint of its login, unique among the user's members of the institution; never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Digest>,
    /// How many times in a row the institution has refused the credentials; see
    /// [`REFUSALS_THAT_PREVENT`].
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub refusals: u8,
    /// The data that its jobs ask for, unless an order says otherwise.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub data_request: DataRequest,
    /// The newest `X-CALLBACK-PAYLOAD`, echoed by the webhooks about it (CONTRACT.md 2.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_payload: Option<CallbackPayload>,
}

/// After so many refusals in a row a standard member is PREVENTED, until it gets new credentials
/// (CONTRACT.md 3).
pub const REFUSALS_THAT_PREVENT: u8 = 3;

impl Member {
    /// Whether a window without a `skip_aggregation` of its own starts an aggregation when it succeeds.
    ///
    /// `skip_aggregation` of the create call counts until the member's first success; afterwards only a
    /// value given at mint counts.
    pub fn aggregates_by_default(&self) -> bool {
        let succeeded_before = !matches!(
            self.status,
            ConnectionStatus::Pending | ConnectionStatus::Created
        );
        succeeded_before || !self.skip_aggregation
    }

    /// Whether its data may be pulled: PFM is among its use cases (CONTRACT.md 1.4).
    pub fn is_for_pfm(&self) -> bool {
        self.use_cases.contains(&UseCase::Pfm)
    }

    /// When it is to be pulled in the background: never beside a job, and only while it is CONNECTED, for PFM, and
    /// allows it.
    pub fn background_due(&self) -> Option<Timestamp> {
        let is_wanted = self.status == ConnectionStatus::Connected
            && self.is_for_pfm()
            && !self.background_aggregation_is_disabled
            && !self.is_being_aggregated();
        self.background
            .filter(|_| is_wanted)
            .map(|pulls| pulls.due_at)
    }

    /// Whether its consent, as far as an end of it is known, has ended.
    pub fn consent_has_ended(&self, now: Timestamp) -> bool {
        self.consent_expires_at.is_some_and(|end| end <= now)
    }

    /// The next background pull is due then; `None`: there are none any more.
    pub fn arrange_background(&mut self, due_at: Option<Timestamp>) {
        self.background = due_at.map(|due_at| BackgroundPulls {
            due_at,
            ..self.background.unwrap_or(BackgroundPulls::due(due_at))
        });
    }

    /// Whether an aggregation is under way.
    pub fn is_being_aggregated(&self) -> bool {
        self.current_job.is_some()
    }
}

/// Why a connection is IMPAIRED; `connection_status_reason`, an extension of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StatusReason {
    /// The institution refused a token that was known to be its newest: the person withdrew the consent there, or the
    /// institution did.
    Revoked,
    /// Nobody knows any more which refresh token is valid: a response of the institution was lost, and it refuses the
    /// token before.
    RefreshLost,
    /// The consent has reached its end.
    ConsentEnded,
    /// A refresh brought tokens of another person.
    OtherLogin,
}

impl StatusReason {
    /// Every one.
    pub const ALL: [Self; 4] = [
        Self::Revoked,
        Self::RefreshLost,
        Self::ConsentEnded,
        Self::OtherLogin,
    ];

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Revoked => "REVOKED",
            Self::RefreshLost => "REFRESH_LOST",
            Self::ConsentEnded => "CONSENT_ENDED",
            Self::OtherLogin => "OTHER_LOGIN",
        }
    }
}

/// The purpose of a member's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UseCase {
    /// Personal finance management.
    #[serde(rename = "PFM")]
    Pfm,
    /// Payments and transfers.
    #[serde(rename = "MONEY_MOVEMENT")]
    MoneyMovement,
}

/// The longest `X-CALLBACK-PAYLOAD`, in characters.
pub const CALLBACK_PAYLOAD_LIMIT: usize = 1024;

/// A text that the webhooks about a member return to the client: the header `X-CALLBACK-PAYLOAD`, Base64
/// of at most [`CALLBACK_PAYLOAD_LIMIT`] characters (CONTRACT.md 2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CallbackPayload(String);

impl CallbackPayload {
    /// The text as it was sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text that is no callback payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("X-CALLBACK-PAYLOAD must be Base64 of 1 to {CALLBACK_PAYLOAD_LIMIT} characters")]
pub struct InvalidCallbackPayload;

impl std::str::FromStr for CallbackPayload {
    type Err = InvalidCallbackPayload;

    fn from_str(text: &str) -> Result<Self, InvalidCallbackPayload> {
        // Both alphabets of RFC 4648, padded or not: what matters is that it is safe to send back.
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"+/-_=".contains(&b);
        let is_sound =
            (1..=CALLBACK_PAYLOAD_LIMIT).contains(&text.len()) && text.bytes().all(allowed);
        is_sound
            .then(|| Self(text.to_owned()))
            .ok_or(InvalidCallbackPayload)
    }
}

impl TryFrom<String> for CallbackPayload {
    type Error = InvalidCallbackPayload;

    fn try_from(text: String) -> Result<Self, InvalidCallbackPayload> {
        text.parse()
    }
}

impl From<CallbackPayload> for String {
    fn from(payload: CallbackPayload) -> String {
        payload.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callback_payloads_are_base64_and_short() {
        for sound in ["aGVsbG8=", "a", "-_+/", &"A".repeat(1024)] {
            assert!(sound.parse::<CallbackPayload>().is_ok(), "{sound}");
        }
        for wrong in ["", "a b", "a\nb", "é", &"A".repeat(1025)] {
            assert!(wrong.parse::<CallbackPayload>().is_err(), "{wrong}");
        }
    }
}
