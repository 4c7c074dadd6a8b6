//! What a member service does with members beside minting: create, delete, and read OAuth states.

use super::mint::{Draft, MintError, Minted, Wishes};
use super::{Gateway, Internal, Telling};
use crate::domain::client::Client;
use crate::domain::event::EventKind;
use crate::domain::id::{InstitutionCode, InstitutionGuid, MemberGuid};
use crate::domain::member::{ConnectionStatus, Member, UseCase};
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
    /// Whether its creation is told.
    pub telling: Telling,
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
    /// Members without OAuth cannot be created.
    #[error("only OAuth members can be created: send is_oauth true")]
    OnlyOAuth,
    /// Its window could not be minted.
    #[error(transparent)]
    Mint(#[from] MintError),
}

impl From<StoreError> for CreateError {
    fn from(error: StoreError) -> Self {
        Self::Mint(error.into())
    }
}

/// Creates an OAuth member, PENDING, with its first window, in one step.
pub async fn create(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    request: MemberRequest,
) -> Result<Minted, CreateError> {
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
    };
    let created = request
        .telling
        .of(gateway, client, &[EventKind::MemberCreated], partition);
    let new = NewMember {
        member,
        window: Some(draft.window.clone()),
        created,
    };
    match gateway.store.create_member(&new, now).await? {
        MemberCreation::Created => {}
        MemberCreation::ExternalGuidTaken(existing) => {
            return Err(CreateError::ExternalGuidTaken(existing));
        }
    }
    gateway.metrics.minted();
    gateway.wake_worker();
    tracing::info!(member = %new.member.guid, oauth_state = %draft.window.guid, client = %client.id, "member created");
    Ok(draft.into_minted(gateway, new.member))
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
