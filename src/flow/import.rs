//! import: a grant from another gateway → a connected member.
//!
//! A row of a file leads to the same member however often it is imported: the member's guid is an image of whose grant it
//! is. The row is kept first, as one step, and only then used: its first refresh is like any other, so that no chain of
//! refresh tokens is lost, whenever the process dies.

use std::sync::Arc;

use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::access::{Disabled, UserError, UserRequest};
use super::connect::source;
use super::idempotency::Origin;
use super::members::{Brought, CreateError, InstitutionName, MemberRequest};
use super::mint::MintOptions;
use super::registration::CallbackEndpoint;
use super::{Gateway, Internal, WebhookChoice, access, members, refresh};
use crate::domain::data_request::DataRequest;
use crate::domain::grant::Grant;
use crate::domain::id::{ClientId, InstitutionCode, MemberGuid};
use crate::domain::member::{ConnectionStatus, Member, StatusReason};
use crate::domain::secret::Digest;
use crate::domain::user::User;
use crate::store::{AtInstitution, NewTokens, StoreError, Want};

/// How grants are imported.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions {
    /// Each is refreshed once.
    pub verify: bool,
    /// No aggregation is started.
    pub skip_aggregation: bool,
    /// Whether webhooks are sent.
    pub webhooks: WebhookChoice,
}

/// A grant that is in.
#[derive(Clone, Copy, Debug)]
pub struct Imported {
    /// The member that has it.
    pub member: MemberGuid,
    /// Whether it was imported just now; `false`: earlier.
    pub is_new: bool,
    /// What its refresh showed; `None`: it was not asked for.
    pub verified: Option<Verified>,
}

/// What the refresh of an imported grant showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// It works, and new tokens have taken the place of those of the file.
    Works,
    /// It has no refresh token, so nothing was asked.
    NotRenewable,
    /// The institution refused it: the member is IMPAIRED.
    Refused(Option<StatusReason>),
    /// The institution could not be asked, or its response was lost. It is asked again then, by a gateway that runs.
    Later(Timestamp),
}

/// Why a grant can be nobody's here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is no such client.
    #[error("{0} is not a client of this configuration: correct it, or add [[clients]]")]
    Client(ClientId),
    /// There is no such institution.
    #[error("{0} is not an institution of this configuration: correct it, or add its file")]
    Institution(InstitutionCode),
    /// The client is not registered there.
    #[error(
        "client {0} has no registration at {1}, or {1} has no [oauth]: a refresh token works only for the client_id \
         that it was issued to, so add that one to [[clients.registrations]]"
    )]
    Registration(ClientId, InstitutionCode),
    /// The access token has ended, and nothing brings a new one.
    #[error(
        "has passed, and there is no refresh_token: remove the row, and let the person connect again"
    )]
    TokenEnded,
    /// The consent has ended.
    #[error("has passed: remove the row, and let the person connect again")]
    ConsentEnded,
}

impl Unfit {
    /// The field of the row that it is about.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Institution(_) | Self::Registration(..) => "institution",
            Self::TokenEnded => "token_set.expires_at",
            Self::ConsentEnded => "consent_expires_at",
        }
    }
}

/// Why a grant was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It can be nobody's here.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// Nothing new can be started for its user.
    #[error(transparent)]
    Disabled(#[from] Disabled),
    /// It was imported before, and its member was deleted since.
    #[error("its member {0} was deleted after the import: remove the row")]
    Deleted(MemberGuid),
    /// The user has another member with that login.
    #[error(
        "the user has member {0} with this login at the institution already: remove the row, or delete that member"
    )]
    Duplicate(MemberGuid),
    /// The user has as many members as a user may have.
    #[error(
        "the user has {0} members, which is as many as a user may have: delete those that are not used"
    )]
    TooMany(u32),
    /// The user was deleted meanwhile.
    #[error("the user is being deleted: import the row again later, or remove it")]
    NoSuchUser,
    /// It is not the row's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl From<StoreError> for ImportError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<UserError> for ImportError {
    fn from(error: UserError) -> Self {
        match error {
            UserError::IdTaken(_) => Self::NoSuchUser,
            UserError::Internal(error) => error.into(),
        }
    }
}

impl From<CreateError> for ImportError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Duplicate(existing) => Self::Duplicate(existing),
            CreateError::TooMany(most) => Self::TooMany(most),
            CreateError::NoSuchUser => Self::NoSuchUser,
            CreateError::Mint(super::mint::MintError::Internal(error)) => error.into(),
            other => Internal::Unreadable(other.to_string()).into(),
        }
    }
}

/// By what two rows of a file are recognised as the same grant: they have one of these in common. Keyed digests.
pub fn marks(gateway: &Gateway, grant: &Grant) -> [Digest; 2] {
    let (_, token) = token(grant);
    let parts = [grant.institution.as_str(), token];
    let token = gateway
        .sealer
        .keyed_digest("grant token", &parts.map(str::as_bytes));
    [row(gateway, grant), token]
}

/// The member that a grant was imported as; `None`: it was not, and can be. Changes nothing.
///
/// # Errors
///
/// Why it cannot be imported.
pub async fn find(gateway: &Gateway, grant: &Grant) -> Result<Option<Member>, ImportError> {
    let endpoint = endpoint(gateway, grant)?;
    let store = &gateway.store;
    let Some(user) = store.user_by_id(&grant.client, &grant.user).await? else {
        is_live(gateway, grant)?;
        return Ok(None);
    };
    let guid = member_guid(gateway, grant, &user);
    let members = store.members(user.guid).await?;
    if let Some(member) = members.iter().find(|it| it.guid == guid) {
        return Ok(Some(member.clone()));
    }
    is_live(gateway, grant)?;
    access::enabled(&user)?;
    let deleted = store.deleted_member(user.guid, guid, gateway.now()).await?;
    if deleted.is_some() {
        return Err(ImportError::Deleted(guid));
    }
    let prints = fingerprints(gateway, &endpoint, grant, &user);
    let has_login = |member: &&Member| {
        let known = member.fingerprint.is_some_and(|it| prints.contains(&it));
        known && member.institution == grant.institution
    };
    if let Some(existing) = members.iter().find(has_login) {
        return Err(ImportError::Duplicate(existing.guid));
    }
    let most = gateway.settings.members_per_user;
    if members.len() >= most as usize {
        return Err(ImportError::TooMany(most));
    }
    Ok(None)
}

/// Imports a grant: its user is created if it is missing, and its member is CONNECTED. What was imported before is only
/// verified, if that is wished and was not done.
///
/// # Errors
///
/// Why it was not imported. What was kept before an internal error is found by the next try.
pub async fn import(
    gateway: &Arc<Gateway>,
    grant: &Grant,
    options: ImportOptions,
) -> Result<Imported, ImportError> {
    let (member, is_new) = match find(gateway, grant).await? {
        Some(found) => (found.guid, false),
        None => keep(gateway, grant, options).await?,
    };
    let verified = match options.verify {
        true => Some(verify(gateway, grant, member).await?),
        false => None,
    };
    Ok(Imported {
        member,
        is_new,
        verified,
    })
}

/// Keeps a grant as a member of its user.
async fn keep(
    gateway: &Gateway,
    grant: &Grant,
    options: ImportOptions,
) -> Result<(MemberGuid, bool), ImportError> {
    let endpoint = endpoint(gateway, grant)?;
    let user = user(gateway, grant).await?;
    let guid = member_guid(gateway, grant, &user);
    let request = MemberRequest {
        institution: InstitutionName::Code(grant.institution.clone()),
        is_oauth: true,
        skip_aggregation: options.skip_aggregation,
        name: None,
        external_guid: None,
        metadata: None,
        use_cases: None,
        background_aggregation_is_disabled: false,
        link_options: MintOptions::default(),
        credentials: None,
        data_request: DataRequest::default(),
        callback_payload: None,
        webhooks: options.webhooks,
        origin: Some(Origin::of_row(row(gateway, grant))),
    };
    let brought = Brought {
        tokens: tokens(gateway, &endpoint, grant, guid),
        fingerprints: fingerprints(gateway, &endpoint, grant, &user),
    };
    let (client, institution) = (endpoint.client(), endpoint.institution());
    let creation = members::create_connected(gateway, client, &user, institution, request, brought);
    Ok((guid, creation.await?))
}

/// The grant's user; created if the client has none of that name.
async fn user(gateway: &Gateway, grant: &Grant) -> Result<User, ImportError> {
    let (client, id) = (&grant.client, &grant.user);
    if let Some(user) = gateway.store.user_by_id(client, id).await? {
        return Ok(user);
    }
    let parts = [client.as_str(), id];
    let origin = gateway
        .sealer
        .keyed_digest("grant user", &parts.map(str::as_bytes));
    let request = UserRequest {
        id: Some(id.clone()),
        origin: Some(Origin::of_row(origin)),
        ..UserRequest::default()
    };
    match access::create_user(gateway, client, request).await {
        // Another row, or the client itself, was faster.
        Err(UserError::IdTaken(existing)) => {
            let user = gateway.store.user(client, existing).await?;
            user.ok_or(ImportError::NoSuchUser)
        }
        created => Ok(created?),
    }
}

/// What is kept of a grant's token set.
///
/// Whether the access token of a file still works is not known: others may have refreshed since. So where there is a
/// refresh token, the first lease refreshes.
fn tokens(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    grant: &Grant,
    member: MemberGuid,
) -> NewTokens {
    let tokens = refresh::sealed(gateway, endpoint, member, &grant.token_set);
    let ends_at = match tokens.is_renewable {
        true => Some(gateway.now()),
        false => grant.token_set.expires_at,
    };
    NewTokens {
        generation: generation(gateway, grant),
        ends_at,
        ..tokens
    }
}

/// Refreshes the grant of an imported member, unless that was done.
async fn verify(
    gateway: &Arc<Gateway>,
    grant: &Grant,
    member: MemberGuid,
) -> Result<Verified, ImportError> {
    let at = AtInstitution {
        client: grant.client.clone(),
        institution: grant.institution.clone(),
    };
    let want = Want::Other(generation(gateway, grant));
    Ok(match refresh::refresh(gateway, at, member, want).await? {
        refresh::Outcome::Current => Verified::Works,
        refresh::Outcome::Later(again_at) => Verified::Later(again_at),
        refresh::Outcome::Ended => {
            let user = gateway.store.owner_of_member(member).await?;
            let user = user.ok_or(ImportError::Deleted(member))?.user;
            let now = gateway.store.member(user, member).await?;
            match now.ok_or(ImportError::Deleted(member))? {
                it if it.status == ConnectionStatus::Impaired => {
                    Verified::Refused(it.status_reason)
                }
                _ => Verified::NotRenewable,
            }
        }
    })
}

/// The registration that the grant was issued to.
fn endpoint(gateway: &Gateway, grant: &Grant) -> Result<CallbackEndpoint, Unfit> {
    let (client, institution) = (&grant.client, &grant.institution);
    if gateway.clients.get(client).is_none() {
        return Err(Unfit::Client(client.clone()));
    }
    if gateway.institutions.get(institution).is_none() {
        return Err(Unfit::Institution(institution.clone()));
    }
    CallbackEndpoint::of(gateway, client, institution)
        .map_err(|_| Unfit::Registration(client.clone(), institution.clone()))
}

/// Whether a grant that is not here yet is still good for something.
fn is_live(gateway: &Gateway, grant: &Grant) -> Result<(), Unfit> {
    let now = gateway.now();
    let has_passed = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    let token_set = &grant.token_set;
    if has_passed(token_set.consent_expires_at) {
        return Err(Unfit::ConsentEnded);
    }
    if token_set.refresh_token.is_none() && has_passed(token_set.expires_at) {
        return Err(Unfit::TokenEnded);
    }
    Ok(())
}

/// The token that tells a grant from others, and what it is.
fn token(grant: &Grant) -> (&'static str, &str) {
    let set = &grant.token_set;
    match &set.refresh_token {
        Some(token) => ("refresh_token", token.expose_secret()),
        None => ("access_token", set.access_token.expose_secret()),
    }
}

/// Whose grant it is: what stays the same however often its row is imported.
fn row(gateway: &Gateway, grant: &Grant) -> Digest {
    let (what, value) = match &grant.subject {
        Some(subject) => ("subject", subject.as_str()),
        None => token(grant),
    };
    let (client, institution) = (grant.client.as_str(), grant.institution.as_str());
    let parts = [client, &grant.user, institution, what, value];
    gateway
        .sealer
        .keyed_digest("grant", &parts.map(str::as_bytes))
}

fn member_guid(gateway: &Gateway, grant: &Grant, user: &User) -> MemberGuid {
    Origin::of_row(row(gateway, grant)).member(user.guid.partition())
}

/// The generation of the token set of the file: as long as the member has it, it was not refreshed.
fn generation(gateway: &Gateway, grant: &Grant) -> u64 {
    row(gateway, grant).number()
}

/// The fingerprints of its login; empty if it is not known, or cannot be compared at the institution.
fn fingerprints(
    gateway: &Gateway,
    endpoint: &CallbackEndpoint,
    grant: &Grant,
    user: &User,
) -> Vec<Digest> {
    use crate::domain::client::Duplicates;
    let oauth = endpoint.registered().oauth;
    let is_compared = oauth.subject.is_some() && endpoint.client().duplicates != Duplicates::Allow;
    let subject = grant.subject.as_ref().filter(|_| is_compared);
    subject.map_or_else(Vec::new, |subject| {
        let sealer = &gateway.sealer;
        sealer.fingerprints(user.guid, &grant.institution, &source(oauth), subject)
    })
}
