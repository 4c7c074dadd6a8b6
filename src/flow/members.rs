//! What a member service does with members besides minting: find, create, change and delete.

use jiff::Timestamp;

pub use super::credentials::CredentialsError;
use super::idempotency::{Origin, is_of_same_request};
use super::mint::{Draft, MintError, MintOptions, Minted, mint};
use super::{Gateway, Internal, WebhookChoice, background, credentials, maintenance};
use crate::domain::client::Client;
use crate::domain::credential::{Credentials, GivenValue};
use crate::domain::data_request::DataRequest;
use crate::domain::event::{EventKind, Notice};
use crate::domain::id::{InstitutionCode, InstitutionGuid, JobGuid, MemberGuid};
use crate::domain::institution::Institution;
use crate::domain::job::NewJob;
use crate::domain::member::{CallbackPayload, ConnectionStatus, Member, UseCase};
use crate::domain::secret::Digest;
use crate::domain::user::User;
use crate::log_context;
use crate::metrics;
use crate::store::{
    Deletion, MemberChange, MemberCreation, MemberUpdate, NewCredentials, NewMember, NewTokens,
    PageRequest, Paged, StoreError,
};

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
    /// The options of its first window.
    pub link_options: MintOptions,
    /// `credentials`, for standard members.
    pub credentials: Option<Vec<GivenValue>>,
    /// `data_request`, and what else its jobs ask for.
    pub data_request: DataRequest,
    /// `X-CALLBACK-PAYLOAD`.
    pub callback_payload: Option<CallbackPayload>,
    /// Whether webhooks are sent.
    pub webhooks: WebhookChoice,
    /// The request with an `Idempotency-Key`, if it has one.
    pub origin: Option<Origin>,
}

/// A member that was created.
pub enum Created {
    /// An OAuth member, PENDING, with its first link.
    Linked(Box<Minted>),
    /// A standard member; aggregated at once unless `skip_aggregation`.
    Standard(Box<Member>),
}

/// The changes of a member; `None` leaves a field as it is, `Some(None)` removes it.
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
    /// `data_request`, and what else its jobs ask for.
    pub data_request: Option<DataRequest>,
    /// `X-CALLBACK-PAYLOAD`.
    pub callback_payload: Option<CallbackPayload>,
    /// Whether webhooks are sent.
    pub webhooks: WebhookChoice,
}

/// Why a member was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The user has no such member.
    #[error("the user has no member {0}")]
    NoSuchMember(MemberGuid),
    /// The client already uses that name for another member.
    #[error("external_guid is taken by another member: choose another, or use that member")]
    ExternalGuidTaken(MemberGuid),
    /// The user already has a member with that login at the institution.
    #[error(
        "The user has member {0} with this login at the institution already: update that one with the \
         credentials, or go on with it"
    )]
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
    #[error("{0} is not an institution of this gateway; send the guid or code of a configured one")]
    UnknownInstitution(String),
    /// The client already uses that name for another member.
    #[error("external_guid is taken by another member: choose another, or use that member")]
    ExternalGuidTaken(MemberGuid),
    /// The institution's members connect by OAuth: it has no other way, or the client is registered
    /// there, and then OAuth is compulsory (CONTRACT.md 7).
    #[error("Members of this institution connect by OAuth: send is_oauth true and no credentials")]
    OnlyOAuth,
    /// The user was deleted meanwhile.
    #[error("there is no such user any more")]
    NoSuchUser,
    /// The user already has a member with that login at the institution.
    #[error(
        "The user has member {0} with this login at the institution already: update that one with the \
         credentials, or go on with it"
    )]
    Duplicate(MemberGuid),
    /// The user has as many members as a user may have.
    #[error(
        "The user has {0} members, which is as many as a user may have: delete those that are not used"
    )]
    TooMany(u32),
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

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

impl From<StoreError> for CreateError {
    fn from(error: StoreError) -> Self {
        Self::Mint(error.into())
    }
}

/// Every member of the user.
pub async fn all(gateway: &Gateway, user: &User) -> Result<Vec<Member>, Internal> {
    Ok(gateway.store.members(user.guid).await?)
}

/// One page of the user's members, oldest first; with `use_case` only of those that have it. No store keeps
/// members by use case, so that reads through all of the user's.
pub async fn page(
    gateway: &Gateway,
    user: &User,
    use_case: Option<UseCase>,
    page: PageRequest,
) -> Result<Paged<Member>, Internal> {
    let Some(use_case) = use_case else {
        return Ok(gateway.store.members_page(user.guid, page).await?);
    };
    let all = all(gateway, user).await?.into_iter();
    Ok(page.of(all.filter(|member| member.use_cases.contains(&use_case))))
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

/// Changes the user's member. New credentials make it UPDATED and end an unfinished job; a new job tries
/// them, unless `skip_aggregation` is set or the member is not for PFM. One step.
pub async fn update(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    member: MemberGuid,
    request: ChangeRequest,
) -> Result<Member, ChangeError> {
    let now = gateway.now();
    let store = &gateway.store;
    let found = store.member(user.guid, member).await?;
    let found = found.ok_or(ChangeError::NoSuchMember(member))?;
    let given = request.credentials.filter(|given| !given.is_empty());
    let credentials = match given {
        None => None,
        Some(_) if found.is_oauth => return Err(ChangeError::IsOAuth),
        Some(given) => {
            let institution = gateway.institution(&found.institution)?;
            let checked = credentials::check(&institution.credentials, &given)?;
            let sealed = credentials::seal(
                gateway,
                &client.id,
                user.guid,
                member,
                institution,
                &checked,
            );
            let changed = Member {
                use_cases: request.use_cases.clone().unwrap_or(found.use_cases),
                data_request: request.data_request.clone().unwrap_or(found.data_request),
                ..found
            };
            Some(NewCredentials {
                sealed: sealed.envelope,
                fingerprints: sealed.fingerprints,
                job: first_job(gateway, &changed, request.skip_aggregation),
            })
        }
    };
    let has_new_credentials = credentials.is_some();
    let partition = user.guid.partition();
    let change = MemberChange {
        user: user.guid,
        member,
        name: request.name,
        external_guid: request.external_guid,
        metadata: request.metadata,
        use_cases: request.use_cases,
        background_aggregation_is_disabled: request.background_aggregation_is_disabled,
        callback_payload: request.callback_payload,
        data_request: request.data_request,
        credentials,
        updated: request
            .webhooks
            .of(gateway, client, &[EventKind::MemberUpdated], partition),
    };
    match store.update_member(&change, now).await? {
        MemberUpdate::Updated(member) => {
            log_context::member(&member);
            tracing::info!(has_new_credentials, "member updated");
            Ok(*member)
        }
        MemberUpdate::ExternalGuidTaken(existing) => Err(ChangeError::ExternalGuidTaken(existing)),
        MemberUpdate::Duplicate(existing) => Err(ChangeError::Duplicate(existing)),
        MemberUpdate::NoSuchMember => Err(ChangeError::NoSuchMember(member)),
    }
}

/// Creates an OAuth member, PENDING, with its first window, or a standard one, CREATED, with its
/// credentials and its first job (no job if `skip_aggregation` is set or the member is not for PFM). One
/// step.
pub async fn create(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    request: MemberRequest,
) -> Result<Created, CreateError> {
    let _timing = gateway.metrics.mint.start([]);
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
    let request = MemberRequest {
        origin: origin(gateway, user, request.origin, now).await?,
        ..request
    };
    let given = request.credentials.as_deref().unwrap_or_default();
    if request.is_oauth {
        if !given.is_empty() {
            return Err(CreateError::NeedlessCredentials);
        }
        return create_linked(gateway, client, user, institution, request, now).await;
    }
    let is_oauth_compulsory = client.registration(&institution.code).is_some();
    if is_oauth_compulsory || institution.credentials.is_empty() {
        return Err(CreateError::OnlyOAuth);
    }
    if given.is_empty() {
        return Err(CreateError::NoCredentials);
    }
    let checked = credentials::check(&institution.credentials, given)?;
    if let Some(closed) = maintenance::closed(gateway, &institution.code) {
        return Err(MintError::from(closed).into());
    }
    create_standard(gateway, client, user, institution, request, &checked, now).await
}

/// The request with an `Idempotency-Key`, unless the member it created is too old to be its own, or was
/// deleted: then it creates another one.
async fn origin(
    gateway: &Gateway,
    user: &User,
    origin: Option<Origin>,
    now: Timestamp,
) -> Result<Option<Origin>, StoreError> {
    let Some(origin) = origin else {
        return Ok(None);
    };
    let guid = origin.member(user.guid.partition());
    let store = &gateway.store;
    if let Some(found) = store.member(user.guid, guid).await? {
        return Ok(Some(origin).filter(|_| is_of_same_request(found.created_at, now)));
    }
    let deleted = store.deleted_member(user.guid, guid, now).await?;
    Ok(Some(origin).filter(|_| deleted.is_none()))
}

async fn create_linked(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    institution: &Institution,
    request: MemberRequest,
    now: Timestamp,
) -> Result<Created, CreateError> {
    let partition = user.guid.partition();
    // `skip_aggregation` at create belongs to the member, until its first success; the window has no
    // value of its own.
    let link_options = MintOptions {
        skip_aggregation: None,
        ..request.link_options.clone()
    };
    let again = link_options.clone();
    let draft = Draft::new(gateway, client, institution, partition, link_options, now)?;
    let created = created_notices(gateway, client, user, request.webhooks);
    let member = Member {
        is_oauth: true,
        status: ConnectionStatus::Pending,
        latest_window: Some(draft.window.guid),
        ..new_member(gateway, client, user, institution, request, now)
    };
    let new = NewMember {
        member,
        window: Some(draft.window.clone()),
        sealed_credentials: None,
        tokens: None,
        fingerprints: Vec::new(),
        job: None,
        created,
        most_members: gateway.settings.members_per_user,
    };
    // Only the digest of its link was kept, so it gets a new link.
    if let Some(found) = keep(gateway, &new, now).await? {
        let minted = mint(gateway, client, user.guid, found.guid, again).await?;
        return Ok(Created::Linked(Box::new(minted)));
    }
    let labels = metrics::of(&new.member);
    gateway.metrics.links_minted.count(labels);
    tracing::info!(oauth_state = %draft.window.guid, "member created");
    Ok(Created::Linked(Box::new(
        draft.into_minted(gateway, new.member),
    )))
}

async fn create_standard(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    institution: &Institution,
    request: MemberRequest,
    checked: &Credentials,
    now: Timestamp,
) -> Result<Created, CreateError> {
    let created = created_notices(gateway, client, user, request.webhooks);
    let member = new_member(gateway, client, user, institution, request, now);
    let job = first_job(gateway, &member, member.skip_aggregation);
    let queued = job.as_ref().map(|job| job.guid);
    let guid = member.guid;
    let sealed = credentials::seal(gateway, &client.id, user.guid, guid, institution, checked);
    let new = NewMember {
        member: Member {
            current_job: queued,
            most_recent_job: queued,
            fingerprint: sealed.fingerprints.first().copied(),
            ..member
        },
        window: None,
        sealed_credentials: Some(sealed.envelope),
        tokens: None,
        fingerprints: sealed.fingerprints,
        job,
        created,
        most_members: gateway.settings.members_per_user,
    };
    if let Some(found) = keep(gateway, &new, now).await? {
        return Ok(Created::Standard(Box::new(found)));
    }
    tracing::info!(is_queued = queued.is_some(), "member created");
    Ok(Created::Standard(Box::new(new.member)))
}

/// What a member that brings its token set is created with.
pub(super) struct Brought {
    /// The token set, sealed for the member of the request's origin.
    pub(super) tokens: NewTokens,
    /// As in [`NewMember`].
    pub(super) fingerprints: Vec<Digest>,
}

/// Creates an OAuth member that brings its token set: CONNECTED, with its first job unless `skip_aggregation` is set. One
/// step. `false`: it was there already.
pub(super) async fn create_connected(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    institution: &Institution,
    request: MemberRequest,
    brought: Brought,
) -> Result<bool, CreateError> {
    let created = created_notices(gateway, client, user, request.webhooks);
    let mut member = Member {
        is_oauth: true,
        status: ConnectionStatus::Pending,
        ..new_member(gateway, client, user, institution, request, gateway.now())
    };
    member.arrange_background(background::next(gateway, &client.id, &institution.code));
    let job = first_job(gateway, &member, member.skip_aggregation);
    let is_queued = job.is_some();
    let new = NewMember {
        member,
        window: None,
        sealed_credentials: None,
        tokens: Some(brought.tokens),
        fingerprints: brought.fingerprints,
        job,
        created,
        most_members: gateway.settings.members_per_user,
    };
    if keep(gateway, &new, gateway.now()).await?.is_some() {
        return Ok(false);
    }
    tracing::info!(is_queued, "member created");
    Ok(true)
}

/// A member as requested, without a window or credentials yet.
fn new_member(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    institution: &Institution,
    request: MemberRequest,
    now: Timestamp,
) -> Member {
    Member {
        guid: request.origin.map_or_else(
            || MemberGuid::new(gateway.random.as_ref(), user.guid.partition()),
            |origin| origin.member(user.guid.partition()),
        ),
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
        background: None,
        is_oauth: false,
        skip_aggregation: request.skip_aggregation,
        status: ConnectionStatus::Created,
        status_reason: None,
        consent_expires_at: None,
        revision: 1,
        created_at: now,
        aggregated_at: None,
        successfully_aggregated_at: None,
        current_job: None,
        most_recent_job: None,
        latest_window: None,
        fingerprint: None,
        refusals: 0,
        data_request: request.data_request,
        callback_payload: request.callback_payload,
    }
}

/// The job that tries the member's new credentials; `None`: `skip_aggregation` is set, its data may not
/// be pulled, or there is no aggregator.
fn first_job(gateway: &Gateway, member: &Member, skipped: bool) -> Option<NewJob> {
    let is_wanted = !skipped && member.is_for_pfm();
    let is_pulled = gateway.aggregator_of(&member.client).is_some();
    (is_wanted && is_pulled).then(|| NewJob {
        guid: JobGuid::new(gateway.random.as_ref(), member.guid.partition()),
        data_request: member.data_request.clone(),
        is_background: false,
    })
}

fn created_notices(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    webhooks: WebhookChoice,
) -> Vec<Notice> {
    let kinds = [EventKind::MemberCreated];
    webhooks.of(gateway, client, &kinds, user.guid.partition())
}

/// Keeps a new member. Returns the one that the same request created before, if it did.
async fn keep(
    gateway: &Gateway,
    new: &NewMember,
    now: Timestamp,
) -> Result<Option<Member>, CreateError> {
    log_context::member(&new.member);
    match gateway.store.create_member(new, now).await? {
        MemberCreation::Created => {}
        MemberCreation::Found(found) => return Ok(Some(*found)),
        MemberCreation::ExternalGuidTaken(existing) => {
            return Err(CreateError::ExternalGuidTaken(existing));
        }
        MemberCreation::Duplicate(existing) => return Err(CreateError::Duplicate(existing)),
        MemberCreation::NoSuchUser => return Err(CreateError::NoSuchUser),
        MemberCreation::TooMany => return Err(CreateError::TooMany(new.most_members)),
    }
    Ok(None)
}

/// Deletes the user's member: its tokens or credentials are erased, its open window ends, its job is
/// dropped. `None`: no such member.
pub async fn delete(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    member: MemberGuid,
    webhooks: WebhookChoice,
) -> Result<Option<Member>, Internal> {
    let partition = user.guid.partition();
    let deletion = Deletion {
        user: user.guid,
        member,
        only_abandoned_since: None,
        deleted: webhooks.of(gateway, client, &[EventKind::MemberDeleted], partition),
        finished: webhooks.of(gateway, client, &[EventKind::OauthStateFinished], partition),
    };
    let deleted = gateway
        .store
        .delete_member(&deletion, gateway.now())
        .await?;
    if let Some(member) = &deleted {
        log_context::member(member);
        tracing::info!("member deleted");
    }
    Ok(deleted)
}
