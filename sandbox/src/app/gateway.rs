//! The demo app's server as a client of the gateway's Platform API.

use axum::http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;

use crate::settings::{Institution, Settings};
use crate::wire::{CallError, ask, below, call, send};

/// The gateway, for one user.
#[derive(Debug)]
pub(super) struct Gateway {
    http: reqwest::Client,
    base: Url,
    client_id: String,
    api_key: SecretString,
    user: String,
}

/// A member, as far as the app reads it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Member {
    pub(super) guid: String,
    pub(super) name: Option<String>,
    pub(super) institution_code: Option<String>,
    pub(super) connection_status: Option<String>,
    pub(super) is_being_aggregated: Option<bool>,
    pub(super) is_oauth: Option<bool>,
}

impl Member {
    /// Whether it waits for a person to finish at this institution's own pages.
    pub(super) fn is_pending_at(&self, institution: &Institution) -> bool {
        self.institution_code.as_deref() == Some(&institution.code)
            && self.is_oauth == Some(true)
            && self.connection_status.as_deref() == Some("PENDING")
    }
}

/// A field of an institution's sign-in, as far as the app reads it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CredentialField {
    pub(super) guid: String,
    pub(super) field_name: String,
    pub(super) label: String,
    field_type: String,
}

impl CredentialField {
    /// Whether what is typed is hidden.
    pub(super) fn is_secret(&self) -> bool {
        self.field_type == "PASSWORD"
    }
}

/// What the bank asks while somebody signs in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Challenge {
    pub(super) guid: String,
    pub(super) field_name: String,
    pub(super) label: String,
    /// `TEXT`, `TOKEN`, `OPTIONS`, `IMAGE_DATA` or `IMAGE_OPTIONS`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// A picture in Base64.
    pub(super) image_data: Option<String>,
    options: Option<Vec<Choice>>,
    image_options: Option<Vec<Choice>>,
}

/// One of the answers that may be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Choice {
    pub(super) label: String,
    pub(super) value: String,
    /// Its picture, where it has one.
    pub(super) data_uri: Option<String>,
}

impl Challenge {
    /// What may be chosen; empty where the answer is typed.
    pub(super) fn choices(&self) -> &[Choice] {
        let choices = self.options.as_deref().into_iter();
        let mut choices = choices.chain(self.image_options.as_deref());
        choices.find(|some| !some.is_empty()).unwrap_or_default()
    }
}

/// A value for the field or the question with this guid. Has no `Debug`: it may be a password.
#[derive(Serialize)]
pub(super) struct Given {
    pub(super) guid: String,
    pub(super) value: String,
}

/// A one-time link, and the member it connects.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) member_guid: String,
    pub(super) uri: Url,
}

/// The state of one attempt to connect.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct OauthState {
    /// 1 pending, 2 success, 3 errored.
    pub(super) auth_status: u8,
    pub(super) error_reason: Option<u8>,
    pub(super) inbound_member_guid: Option<String>,
}

/// Why the gateway could not do what the app wanted.
#[derive(Debug, thiserror::Error)]
pub(super) enum GatewayError {
    /// It does not know what was asked for.
    #[error("The gateway does not know this connection.")]
    NotFound,
    /// It responded, but refused.
    #[error("The gateway refused: {0}.")]
    Refused(StatusCode),
    /// It did not respond, or the response could not be read.
    #[error("The gateway could not be reached. Is it running?")]
    Away(#[source] CallError),
    /// Its response had no link.
    #[error("The gateway's response had no link in it.")]
    NoLink,
}

impl From<CallError> for GatewayError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Status(StatusCode::NOT_FOUND) => Self::NotFound,
            CallError::Status(status) | CallError::Later(status, _) => Self::Refused(status),
            error => Self::Away(error),
        }
    }
}

#[derive(Deserialize)]
struct Rooted<T> {
    member: T,
}

#[derive(Deserialize)]
struct Named {
    guid: String,
}

#[derive(Deserialize)]
struct Minted {
    guid: String,
    oauth_window_uri: Option<String>,
}

impl Minted {
    fn link(self) -> Result<Link, GatewayError> {
        let uri = self.oauth_window_uri.as_deref().map(Url::parse);
        match uri {
            Some(Ok(uri)) if matches!(uri.scheme(), "http" | "https") => Ok(Link {
                member_guid: self.guid,
                uri,
            }),
            _ => Err(GatewayError::NoLink),
        }
    }
}

impl Gateway {
    pub(super) fn new(http: reqwest::Client, settings: &Settings) -> Self {
        Self {
            http,
            base: settings.gateway_url.clone(),
            client_id: settings.platform.client_id.clone(),
            api_key: settings.platform.api_key.clone(),
            user: settings.user_guid.clone(),
        }
    }

    /// Creates a member at an institution, and the link to connect it with.
    pub(super) async fn connect(&self, institution_code: &str) -> Result<Link, GatewayError> {
        let body = json!({
            "member": { "institution_code": institution_code, "is_oauth": true },
            "referral_source": "BROWSER",
        });
        let url = self.members_url(&[]);
        let request = self.request(reqwest::Method::POST, url).json(&body);
        let Rooted::<Minted> { member } = call(request).await?;
        member.link()
    }

    /// A fresh link for a member that exists. Older ones stop working.
    pub(super) async fn link(&self, member: &str) -> Result<Link, GatewayError> {
        let url = self.members_url(&[member, "oauth_window_uri"]);
        let Rooted::<Minted> { member } = call(self.request(reqwest::Method::GET, url)).await?;
        member.link()
    }

    /// What people type to sign in at an institution, in the order it is asked for.
    pub(super) async fn credential_fields(
        &self,
        institution_code: &str,
    ) -> Result<Vec<CredentialField>, GatewayError> {
        #[derive(Deserialize)]
        struct Fields {
            credentials: Vec<CredentialField>,
        }
        let url = below(
            &self.base,
            ["institutions", institution_code, "credentials"],
        );
        let found: Fields = call(self.request(reqwest::Method::GET, url)).await?;
        Ok(found.credentials)
    }

    /// Connects an institution with what a person typed; the guid of the member. A login that is
    /// connected already gets the new credentials.
    pub(super) async fn sign_in(
        &self,
        institution_code: &str,
        credentials: &[Given],
    ) -> Result<String, GatewayError> {
        let body = json!({
            "member": { "institution_code": institution_code, "credentials": credentials },
        });
        let url = self.members_url(&[]);
        let (status, response) = ask(self.request(reqwest::Method::POST, url).json(&body)).await?;
        let unreadable = |error| GatewayError::Away(CallError::Unreadable(error));
        match status {
            StatusCode::CONFLICT => {
                let Named { guid } = serde_json::from_slice(&response).map_err(unreadable)?;
                self.sign_in_again(&guid, credentials).await?;
                Ok(guid)
            }
            status if status.is_success() => {
                let created = serde_json::from_slice::<Rooted<Named>>(&response);
                Ok(created.map_err(unreadable)?.member.guid)
            }
            status => Err(GatewayError::Refused(status)),
        }
    }

    /// Replaces what a member signs in with, and has it sign in.
    pub(super) async fn sign_in_again(
        &self,
        member: &str,
        credentials: &[Given],
    ) -> Result<(), GatewayError> {
        let body = json!({ "member": { "credentials": credentials } });
        let url = self.members_url(&[member]);
        send(self.request(reqwest::Method::PUT, url).json(&body)).await?;
        Ok(())
    }

    /// What the bank asks about a member just now.
    pub(super) async fn challenges(&self, member: &str) -> Result<Vec<Challenge>, GatewayError> {
        #[derive(Deserialize)]
        struct Challenges {
            challenges: Vec<Challenge>,
        }
        let url = self.members_url(&[member, "challenges"]);
        let found: Challenges = call(self.request(reqwest::Method::GET, url)).await?;
        Ok(found.challenges)
    }

    /// Answers what the bank asked.
    pub(super) async fn resume(&self, member: &str, answers: &[Given]) -> Result<(), GatewayError> {
        let body = json!({ "member": { "challenges": answers } });
        let url = self.members_url(&[member, "resume"]);
        send(self.request(reqwest::Method::PUT, url).json(&body)).await?;
        Ok(())
    }

    /// Confirms, for this app's user, that the person who came back is the one that a member's link was made for.
    pub(super) async fn confirm(&self, member: &str, handle: &str) -> Result<(), GatewayError> {
        let body = json!({ "oauth_completion": { "handle": handle } });
        let url = self.members_url(&[member, "oauth_completions"]);
        send(self.request(reqwest::Method::POST, url).json(&body)).await?;
        Ok(())
    }

    /// The user's members: the first hundred.
    pub(super) async fn members(&self) -> Result<Vec<Member>, GatewayError> {
        #[derive(Deserialize)]
        struct Members {
            members: Vec<Member>,
        }
        let mut url = self.members_url(&[]);
        url.query_pairs_mut().append_pair("records_per_page", "100");
        let found: Members = call(self.request(reqwest::Method::GET, url)).await?;
        Ok(found.members)
    }

    /// One member; none when there is none (any more).
    pub(super) async fn member(&self, member: &str) -> Result<Option<Member>, GatewayError> {
        let url = self.members_url(&[member]);
        let request = self.request(reqwest::Method::GET, url);
        match call::<Rooted<Member>>(request).await.map_err(Into::into) {
            Ok(Rooted { member }) => Ok(Some(member)),
            Err(GatewayError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The newest attempt of a member; none when there is none.
    pub(super) async fn newest_state(
        &self,
        member: &str,
    ) -> Result<Option<OauthState>, GatewayError> {
        #[derive(Deserialize)]
        struct States {
            oauth_states: Vec<OauthState>,
        }
        let mut url = below(&self.base, ["oauth_states"]);
        // By the user too: a member that turned out to be another one is gone, its attempts are not.
        url.query_pairs_mut()
            .append_pair("user_guid", &self.user)
            .append_pair("outbound_member_guid", member);
        let request = self.request(reqwest::Method::GET, url);
        match call::<States>(request).await.map_err(Into::into) {
            Ok(found) => Ok(found.oauth_states.into_iter().next()),
            Err(GatewayError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes a member. One that is gone already is fine.
    pub(super) async fn disconnect(&self, member: &str) -> Result<(), GatewayError> {
        let url = self.members_url(&[member]);
        let request = self.request(reqwest::Method::DELETE, url);
        match send(request).await.map_err(Into::into) {
            Ok(_) | Err(GatewayError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn members_url(&self, below_members: &[&str]) -> Url {
        let path = ["users", &self.user, "members"];
        below(
            &self.base,
            path.into_iter().chain(below_members.iter().copied()),
        )
    }

    fn request(&self, method: reqwest::Method, url: Url) -> reqwest::RequestBuilder {
        self.http
            .request(method, url)
            .basic_auth(&self.client_id, Some(self.api_key.expose_secret()))
            .header("accept", "application/json")
    }
}
