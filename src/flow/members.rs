//! What a member service does with members beside minting: create, delete, and read OAuth states.

use super::mint::{Draft, MintError, Minted, Wishes};
use super::{Gateway, Internal, Telling};
use crate::domain::client::Client;
use crate::domain::credential::GivenValue;
use crate::domain::data_request::DataRequest;
use crate::domain::event::EventKind;
use crate::domain::id::{CredentialGuid, InstitutionCode, InstitutionGuid, MemberGuid};
use crate::domain::member::{CallbackPayload, ConnectionStatus, Member, UseCase};
use crate::domain::user::User;
use crate::store::{Deletion, MemberCreation, NewMember, StoreError};

/// A member as asked for.
#[derive(Clone, Debug)]
pub struct MemberRequest {
    /// Which institution.
    pub institution: InstitutionName,
    /// `is_oauth`.
    pub is_oauth: bool,
    /// `skip_aggregation`.
    pub skip_aggregation: bool,
    /// `name`; the institution's unless given.
    pub name: Option<String>,
    /// `external_guid` on Nexus, `id` on Platform.
    pub external_guid: Option<String>,
    /// `metadata`.
    pub metadata: Option<String>,
    /// `use_cases`; PFM unless given.
    pub use_cases: Option<Vec<UseCase>>,
    /// `background_aggregation_is_disabled`.
    pub background_aggregation_is_disabled: bool,
    /// What it asks of its first window.
    pub wishes: Wishes,
    /// `credentials`, for standard members.
    pub credentials: Option<Vec<GivenValue>>,
    /// `data_request`, and what else its jobs are asked for.
    pub data_request: DataRequest,
    /// `X-CALLBACK-PAYLOAD`.
    pub callback_payload: Option<CallbackPayload>,
    /// Whether its creation is told.
    pub telling: Telling,
}

/// A member that was created.
pub enum Created {
    /// An OAuth member, PENDING, with its first link.
    Linked(Box<Minted>),
    /// A standard member; aggregated at once unless that was to be skipped.
    Standard(Box<Member>),
}

/// What of a member is to change; `None` leaves a field as it is, `Some(None)` takes it away.
#[derive(Clone, Debug, Default)]
pub struct ChangeRequest {
    /// `name`.
    pub name: Option<String>,
    /// `external_guid` on Nexus, `id` on Platform.
    pub external_guid: Option<Option<String>>,
    /// `metadata`.
    pub metadata: Option<Option<String>>,
    /// `use_cases`.
    pub use_cases: Option<Vec<UseCase>>,
    /// `background_aggregation_is_disabled`.
    pub background_aggregation_is_disabled: Option<bool>,
    /// `credentials`; new ones are tried at once unless `skip_aggregation`.
    pub credentials: Option<Vec<GivenValue>>,
    /// `skip_aggregation`: new credentials are kept and nothing is started.
    pub skip_aggregation: bool,
    /// `data_request`, and what else its jobs are asked for.
    pub data_request: Option<DataRequest>,
    /// `X-CALLBACK-PAYLOAD`.
    pub callback_payload: Option<CallbackPayload>,
    /// Whether the change is told.
    pub telling: Telling,
}

/// Why a member was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The user has no such member.
    #[error("the user has no member {0}")]
    NoSuchMember(MemberGuid),
    /// The client already uses that name for another member.
    #[error("external_guid is already taken by member {0}")]
    ExternalGuidTaken(MemberGuid),
    /// The user already has a member with that login at the institution.
    #[error("the user already has member {0} with this login at the institution")]
    Duplicate(MemberGuid),
    /// The credentials do not fit the institution.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// An OAuth member takes no credentials.
    #[error(
        "credentials are not for OAuth members: ask for an oauth_window_uri to connect it again"
    )]
    IsOAuth,
    /// It is not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

/// Why credentials do not fit an institution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// A value that is required is not there, or is empty.
    #[error("credentials has no value for {guid} ({label}); send one")]
    Missing {
        /// The field.
        guid: CredentialGuid,
        /// What people are asked for.
        label: String,
    },
    /// The institution asks for no such field.
    #[error(
        "credentials names {0}, which the institution does not ask for (any longer); read its \
         credentials again"
    )]
    Unknown(CredentialGuid),
    /// A field has two values.
    #[error("credentials names {0} twice; send one value for it")]
    Twice(CredentialGuid),
    /// The value is not one of those to choose from.
    #[error("credentials has a value for {0} that is not one of its options")]
    NotAnOption(CredentialGuid),
}

/// How a request names an institution.
#[derive(Clone, Debug)]
pub enum InstitutionName {
    /// By `institution_guid`.
    Guid(InstitutionGuid),
    /// By `institution_code`.
    Code(InstitutionCode),
}

/// Why no member was created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is no such institution; the field and what it said.
    #[error(
        "{0} names no institution of this gateway; send the guid or code of one it is configured for"
    )]
    UnknownInstitution(String),
    /// The client already uses that name for another member.
    #[error("external_guid is already taken by member {0}")]
    ExternalGuidTaken(MemberGuid),
    /// The institution's members connect by OAuth: it has no other way, or the client is registered
    /// there, and then OAuth is compulsory (contract section 7).
    #[error("members of this institution connect by OAuth: send is_oauth true and no credentials")]
    OnlyOAuth,
    /// The user already has a member with that login at the institution.
    #[error("the user already has member {0} with this login at the institution")]
    Duplicate(MemberGuid),
    /// A standard member was sent without credentials.
    #[error("credentials is missing: send a value for each field the institution asks for")]
    NoCredentials,
    /// An OAuth member was sent credentials.
    #[error("credentials is not for OAuth members: leave it out")]
    NeedlessCredentials,
    /// The credentials do not fit the institution.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Its window could not be minted.
    #[error(transparent)]
    Mint(#[from] MintError),
}

impl From<StoreError> for CreateError {
    fn from(error: StoreError) -> Self {
        Self::Mint(error.into())
    }
}

/// The user's member that the client calls `identifier`: a guid, or the client's own name for it.
pub async fn find(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    identifier: &str,
) -> Result<Option<Member>, Internal> {
    let store = &gateway.store;
    Ok(match identifier.parse() {
        Ok(guid) => store.member(user.guid, guid).await?,
        Err(_) => {
            store
                .member_by_external_guid(&client.id, user.guid, identifier)
                .await?
        }
    })
}

/// Changes the user's member.
pub async fn update(
    _gateway: &Gateway,
    _client: &Client,
    _user: &User,
    _member: MemberGuid,
    _request: ChangeRequest,
) -> Result<Member, ChangeError> {
    todo!()
}

/// Creates an OAuth member, PENDING, with its first window, or a standard one, CREATED, with its
/// credentials and, unless that is to be skipped, its first job. One step.
pub async fn create(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    request: MemberRequest,
) -> Result<Created, CreateError> {
    let now = gateway.now();
    let institution = match &request.institution {
        InstitutionName::Guid(guid) => gateway
            .institutions
            .by_guid(*guid)
            .ok_or_else(|| format!("institution_guid \"{guid}\"")),
        InstitutionName::Code(code) => gateway
            .institutions
            .get(code)
            .ok_or_else(|| format!("institution_code \"{code}\"")),
    };
    let institution = institution.map_err(CreateError::UnknownInstitution)?;
    if !request.is_oauth {
        return Err(CreateError::OnlyOAuth);
    }
    let partition = user.guid.partition();
    // `skip_aggregation` at create is the member's until its first success; the window itself leaves
    // the question open.
    let wishes = Wishes {
        skip_aggregation: None,
        ..request.wishes
    };
    let draft = Draft::new(gateway, client, institution, partition, wishes, now)?;
    let member = Member {
        guid: MemberGuid::new(gateway.random.as_ref(), partition),
        user: user.guid,
        user_id: user.id.clone(),
        client: client.id.clone(),
        institution: institution.code.clone(),
        institution_guid: institution.guid,
        name: request.name.unwrap_or_else(|| institution.name.clone()),
        external_guid: request.external_guid,
        metadata: request.metadata,
        use_cases: request.use_cases.unwrap_or_else(|| vec![UseCase::Pfm]),
        background_aggregation_is_disabled: request.background_aggregation_is_disabled,
        is_oauth: true,
        skip_aggregation: request.skip_aggregation,
        status: ConnectionStatus::Pending,
        revision: 1,
        created_at: now,
        aggregated_at: None,
        successfully_aggregated_at: None,
        current_job: None,
        most_recent_job: None,
        latest_window: Some(draft.window.guid),
        fingerprint: None,
        refusals: 0,
        data_request: request.data_request,
        callback_payload: request.callback_payload,
    };
    let created = request
        .telling
        .of(gateway, client, &[EventKind::MemberCreated], partition);
    let new = NewMember {
        member,
        window: Some(draft.window.clone()),
        sealed_credentials: None,
        fingerprints: Vec::new(),
        job: None,
        created,
    };
    match gateway.store.create_member(&new, now).await? {
        MemberCreation::Created => {}
        MemberCreation::ExternalGuidTaken(existing) => {
            return Err(CreateError::ExternalGuidTaken(existing));
        }
        MemberCreation::Duplicate(existing) => return Err(CreateError::Duplicate(existing)),
    }
    gateway.metrics.minted();
    gateway.wake_worker();
    tracing::info!(member = %new.member.guid, oauth_state = %draft.window.guid, client = %client.id, "member created");
    Ok(Created::Linked(Box::new(
        draft.into_minted(gateway, new.member),
    )))
}

/// Deletes the user's member: its grant is erased, its open window ends, its job is dropped. `None`:
/// no such member.
pub async fn delete(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    member: MemberGuid,
    telling: Telling,
) -> Result<Option<Member>, Internal> {
    let partition = user.guid.partition();
    let deletion = Deletion {
        user: user.guid,
        member,
        deleted: telling.of(gateway, client, &[EventKind::MemberDeleted], partition),
        finished: telling.of(gateway, client, &[EventKind::OauthStateFinished], partition),
    };
    let deleted = gateway
        .store
        .delete_member(&deletion, gateway.now())
        .await?;
    if deleted.is_some() {
        gateway.wake_worker();
        tracing::info!(%member, client = %client.id, "member deleted");
    }
    Ok(deleted)
}
