//! The window: one try of a member to go through OAuth. The API shows it as the OAuth state.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::connection_values::ConnectionValues;
use super::digest::Digest;
use super::form;
use super::id::{AttemptId, ClientId, MemberGuid, OauthStateGuid, UserGuid};
use super::iso8601;
use super::return_address::ReturnTo;

pub use super::error_reason::ErrorReason;

/// How a link may be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenPolicy {
    /// The first navigation claims the link. For links that an app opens for somebody who just
    /// clicked.
    #[default]
    Single,
    /// The link shows a page whose button claims it. For links that are sent by mail or message.
    Interstitial,
    /// Every open is an attempt of its own, at most [`MULTI_OPENS`]; the link is used up when one
    /// completes. For mail that machines fetch, if a button is not wanted.
    Multi,
}

/// How many times a link under [`OpenPolicy::Multi`] may be opened.
pub const MULTI_OPENS: u8 = 5;

/// How many times a person may press "Continue" for one link: each time with fresh secrets.
pub const CONTINUES: u8 = 5;

/// How many times a person may press "Try again" for one link.
pub const RETRIES: u8 = 3;

/// How long after its deadline an opened window may still be tried again. A person who took too long at
/// the institution, or whose attempt was cut off by a crash, comes back only after the deadline.
pub const RETRY_GRACE: Duration = Duration::from_secs(15 * 60);

/// Where the person comes from, as given at mint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReferralSource {
    /// A browser: the flow ends on our completion page, which tells its opener.
    #[default]
    Browser,
    /// An app: the flow ends with a redirect back into it.
    App,
}

/// The options given at mint. Nothing that a browser sends can change them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowOptions {
    /// Where the person comes from.
    #[serde(skip_serializing_if = "form::is_usual")]
    pub referral_source: ReferralSource,
    /// Where the person goes afterwards; checked against the client's registered addresses.
    #[serde(skip_serializing_if = "form::is_usual")]
    pub return_to: ReturnTo,
    /// `skip_aggregation` if it was given at mint; `None`: as the member says.
    #[serde(skip_serializing_if = "form::is_usual")]
    pub skip_aggregation: Option<bool>,
    /// `enable_app2app`: stored, without effect.
    #[serde(skip_serializing_if = "form::is_usual")]
    pub enable_app2app: bool,
    /// How the link may be opened.
    #[serde(skip_serializing_if = "form::is_usual")]
    pub open_policy: OpenPolicy,
    /// How many minutes the authorization response is awaited once the link is opened, if not as long as
    /// usual.
    #[serde(skip_serializing_if = "form::is_usual")]
    pub authorization_minutes: Option<u16>,
    /// The languages asked for at mint (`ui_locales`, OpenID Connect Core section 3.1.2.1).
    #[serde(skip_serializing_if = "form::is_usual")]
    pub ui_locales: Option<String>,
    /// What the client gave for the connection (`oauth_values`), checked against the institution's file.
    #[serde(skip_serializing_if = "form::is_usual")]
    pub oauth_values: ConnectionValues,
}

/// How a window ended without success: pages need more than the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The institution refused or failed, or the gateway failed.
    Failed,
    /// A newer link was minted for the member.
    Superseded,
    /// The deadline passed.
    Expired,
    /// The member was deleted.
    MemberDeleted,
    /// The authorization response arrived in another browser than the attempt's, which ended the attempt.
    Unbound,
    /// Nobody confirmed the authorization in time.
    Unconfirmed,
    /// The authorization was confirmed for another user or member than the link was made for.
    Misdirected,
    /// The login is connected already, and the client has `duplicates = "refuse"`.
    Duplicate,
    /// The member belongs to another login than the one that signed in.
    OtherLogin,
    /// The connection to the institution is not set up correctly: it refuses this client, there is no
    /// trusted connection to it, or it cannot be called as it is configured. Only the operator can
    /// correct that.
    NotSetUp,
}

impl Ending {
    /// Every ending.
    pub const ALL: [Ending; 10] = [
        Self::Failed,
        Self::Superseded,
        Self::Expired,
        Self::MemberDeleted,
        Self::Unbound,
        Self::Unconfirmed,
        Self::Misdirected,
        Self::Duplicate,
        Self::OtherLogin,
        Self::NotSetUp,
    ];

    /// The name it is kept under.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Expired => "expired",
            Self::MemberDeleted => "member_deleted",
            Self::Unbound => "unbound",
            Self::Unconfirmed => "unconfirmed",
            Self::Misdirected => "misdirected",
            Self::Duplicate => "duplicate",
            Self::OtherLogin => "other_login",
            Self::NotSetUp => "not_set_up",
        }
    }
}

/// How far a window has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowStatus {
    /// The link was minted; nobody has followed it.
    Issued,
    /// A browser claimed the link and was sent to the institution.
    Opened,
    /// The authorization response was claimed; what it brought waits for the member service's confirmation.
    Authorized,
    /// The authorization response was claimed; its code is being exchanged.
    Returned,
    /// The member is connected.
    Succeeded,
    /// It ended without a connection.
    Errored(ErrorReason, Ending),
}

impl WindowStatus {
    /// Whether nothing more can happen to it.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Errored(..))
    }

    /// The `auth_status` of the OAuth state.
    pub fn auth_status(self) -> AuthStatus {
        match self {
            Self::Issued | Self::Opened | Self::Authorized | Self::Returned => AuthStatus::Pending,
            Self::Succeeded => AuthStatus::Success,
            Self::Errored(..) => AuthStatus::Errored,
        }
    }

    /// Why it ended, if it ended without success.
    pub fn error_reason(self) -> Option<ErrorReason> {
        match self {
            Self::Errored(reason, _) => Some(reason),
            _ => None,
        }
    }
}

/// `issued`, `opened`, `authorized`, `returned`, `succeeded`; `errored`, the reason's id and the ending's name, with spaces
/// between; or the ending alone, whose reason is then SESSION_ERROR. Windows are many: their form is short.
impl form::Kept for WindowStatus {
    type Form = String;

    fn to_form(&self) -> String {
        match self {
            Self::Issued => "issued".to_owned(),
            Self::Opened => "opened".to_owned(),
            Self::Authorized => "authorized".to_owned(),
            Self::Returned => "returned".to_owned(),
            Self::Succeeded => "succeeded".to_owned(),
            Self::Errored(ErrorReason::SessionError, ending) => ending.name().to_owned(),
            Self::Errored(reason, ending) => format!("errored {} {}", reason.id(), ending.name()),
        }
    }

    fn from_form(form: String) -> Option<Self> {
        Some(match form.as_str() {
            "issued" => Self::Issued,
            "opened" => Self::Opened,
            "authorized" => Self::Authorized,
            "returned" => Self::Returned,
            "succeeded" => Self::Succeeded,
            errored => {
                let with_reason = errored.strip_prefix("errored ");
                let with_reason = with_reason.and_then(|it| it.split_once(' '));
                let (reason, ending) = match with_reason {
                    Some((reason, ending)) => (ErrorReason::from_id(reason.parse().ok()?)?, ending),
                    None => (ErrorReason::SessionError, errored),
                };
                let ending = Ending::ALL.into_iter().find(|it| it.name() == ending)?;
                Self::Errored(reason, ending)
            }
        })
    }
}

/// `auth_status` of an OAuth state (CONTRACT.md 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthStatus {
    /// 1
    Pending,
    /// 2
    Success,
    /// 3
    Errored,
}

impl AuthStatus {
    /// The published id.
    pub fn id(self) -> u8 {
        match self {
            Self::Pending => 1,
            Self::Success => 2,
            Self::Errored => 3,
        }
    }

    /// The status with this id.
    pub fn from_id(id: u8) -> Option<Self> {
        [Self::Pending, Self::Success, Self::Errored]
            .into_iter()
            .find(|status| status.id() == id)
    }
}

/// One window as the store keeps it. Its guid is its key, and not part of the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The OAuth state's guid.
    #[serde(skip, default = "OauthStateGuid::nameless")]
    pub guid: OauthStateGuid,
    /// The member that the link was made for: `outbound_member_guid`.
    #[serde(with = "form")]
    pub member: MemberGuid,
    /// The user.
    #[serde(with = "form")]
    pub user: UserGuid,
    /// The tenant.
    pub client: ClientId,
    /// The options given at mint.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub options: WindowOptions,
    /// How far it has come.
    #[serde(with = "form")]
    pub status: WindowStatus,
    /// The member the login turned out to belong to: `inbound_member_guid`.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub inbound: Option<MemberGuid>,
    /// When the link was minted.
    #[serde(rename = "created", with = "form")]
    pub created_at: Timestamp,
    /// When it last changed.
    #[serde(rename = "updated", with = "form")]
    pub updated_at: Timestamp,
    /// When it becomes ERRORED by itself.
    #[serde(with = "form")]
    pub deadline: Timestamp,
    /// When somebody first read the finished state.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub first_retrieved_at: Option<Timestamp>,
    /// How many retries led here: 0 for a link, at most [`RETRIES`].
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub retries: u8,
    /// What the institution said, if it failed; for the operator only.
    #[serde(default, skip_serializing_if = "form::is_usual")]
    pub detail: Option<String>,
    /// Until when "Try again" is offered after a failure: the deadline of the first window of the chain,
    /// set when it is opened; after a deadline that passed, the deadline of the window that followed.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry_until: Option<Timestamp>,
    /// The member's window before this one.
    #[serde(
        default,
        with = "form::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub previous: Option<OauthStateGuid>,
}

impl Window {
    /// Whether the login turned out to belong to another member than the outbound one.
    pub fn is_of_another(&self) -> bool {
        self.inbound.is_some_and(|inbound| inbound != self.member)
    }

    /// The OAuth state as the API and events show it (CONTRACT.md 6.1).
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "guid": self.guid,
            "auth_status": self.status.auth_status().id(),
            "error_reason": self.status.error_reason().map(ErrorReason::id),
            "inbound_member_guid": self.inbound,
            "outbound_member_guid": self.member,
            "user_guid": self.user,
            "first_retrieved_at": self.first_retrieved_at.map(iso8601),
            "created_at": iso8601(self.created_at),
            "updated_at": iso8601(self.updated_at),
        })
    }

    /// Until when "Try again" is possible; `None`: it did not end in a way that allows it, or nobody
    /// opened it.
    pub fn retry_ends(&self) -> Option<Timestamp> {
        let retry_until = self.retry_until?;
        match self.status {
            WindowStatus::Errored(_, Ending::Failed) => Some(retry_until),
            WindowStatus::Errored(_, Ending::Expired) => Some(
                self.deadline
                    .checked_add(RETRY_GRACE)
                    .unwrap_or(self.deadline),
            ),
            _ => None,
        }
    }
}

/// A window about to be minted.
#[derive(Clone, Debug)]
pub struct NewWindow {
    /// The OAuth state's guid, derived from the link's token.
    pub guid: OauthStateGuid,
    /// The options given at mint.
    pub options: WindowOptions,
    /// Until when the link may be opened.
    pub deadline: Timestamp,
}

/// One browser's attempt, about to be stored: its id, its binding, and its sealed secrets.
#[derive(Clone, Debug)]
pub struct NewAttempt {
    /// Derived from the `state` of the authorization request.
    pub id: AttemptId,
    /// Digest of the cookie that the browser gets.
    pub binding: Binding,
    /// PKCE verifier and nonce, sealed.
    pub sealed: Vec<u8>,
    /// Until when the authorization response is awaited.
    pub deadline: Timestamp,
}

/// The proof that a browser began an attempt.
#[derive(Clone)]
pub struct Binding {
    /// The attempt its cookie names.
    pub attempt: AttemptId,
    /// Digest of the secret in the cookie.
    pub digest: Digest,
}

/// What a browser's cookies say about its attempts.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// The bindings, at most ten, the newest last.
    pub bindings: Vec<Binding>,
    /// Attempts, by [`AttemptId::cookie_part`], whose cookie is there but cannot be read. It is not known
    /// whether they are this browser's.
    pub unreadable: Vec<String>,
}

impl std::fmt::Debug for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Binding")
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_reasons_run_from_0_to_6() {
        for (id, reason) in ErrorReason::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.id()), id);
            assert_eq!(ErrorReason::from_id(reason.id()), Some(reason));
        }
        assert_eq!(ErrorReason::from_id(7), None);
    }
}
