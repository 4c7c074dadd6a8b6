//! order: a member service requests an aggregation of a member.

use tracing::Instrument;

use super::{Gateway, Internal, WebhookChoice};
use crate::domain::client::Client;
use crate::domain::data_request::DataRequest;
use crate::domain::event::EventKind;
use crate::domain::id::{JobGuid, MemberGuid};
use crate::domain::job::{Job, NewJob};
use crate::domain::member::{CallbackPayload, ConnectionStatus, Member};
use crate::domain::user::User;
use crate::log_context;
use crate::store::{BackgroundOrder, JobOrder, Ordered, StoreError};

/// An aggregation as requested.
#[derive(Clone, Debug, Default)]
pub struct OrderRequest {
    /// What this job asks for; if empty, what the member's jobs usually ask for.
    pub data_request: DataRequest,
    /// `X-CALLBACK-PAYLOAD`.
    pub callback_payload: Option<CallbackPayload>,
    /// Whether webhooks are sent.
    pub webhooks: WebhookChoice,
}

/// Why no aggregation was ordered.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The user has no such member.
    #[error("the user has no member {0}")]
    NoSuchMember(MemberGuid),
    /// The member's use cases do not include PFM (CONTRACT.md 1.4).
    #[error(
        "The member's use_cases do not include PFM, so its data may not be pulled: update use_cases first"
    )]
    NotForPfm,
    /// It has neither token nor credentials, or its status rules an aggregation out.
    #[error("The member is {} and cannot be aggregated: {}", .0.name(), remedy(*.0))]
    Unfit(ConnectionStatus),
    /// No aggregator is configured.
    #[error(
        "This gateway has no aggregator, so nothing can be pulled: its operator has to configure one"
    )]
    NoAggregator,
    /// It is not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

impl From<StoreError> for OrderError {
    fn from(error: StoreError) -> Self {
        Self::Internal(error.into())
    }
}

/// The job of that guid, if it is one of the user's.
pub async fn job(gateway: &Gateway, user: &User, job: JobGuid) -> Result<Option<Job>, Internal> {
    let job = gateway.store.job(job).await?;
    Ok(job.filter(|job| job.user == user.guid && job.client == user.client))
}

/// What a member service can do about a member that cannot be aggregated.
fn remedy(status: ConnectionStatus) -> &'static str {
    match status {
        ConnectionStatus::Pending => "the person has to follow an oauth_window_uri first",
        ConnectionStatus::Prevented | ConnectionStatus::Imported => {
            "update it with new credentials, or ask for an oauth_window_uri where it connects by OAuth"
        }
        ConnectionStatus::Discontinued | ConnectionStatus::Closed | ConnectionStatus::Disabled => {
            "its connection has ended at the institution"
        }
        _ => {
            "it has neither credentials nor tokens; update it with credentials, or ask for an oauth_window_uri"
        }
    }
}

/// Orders an aggregation of the user's member. If one is under way already, no second one is started: the order joins it.
/// Returns the member as it is now.
pub async fn order(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    member: MemberGuid,
    request: OrderRequest,
) -> Result<Member, OrderError> {
    let found = gateway.store.member(user.guid, member).await?;
    let found = found.ok_or(OrderError::NoSuchMember(member))?;
    if !found.is_for_pfm() {
        return Err(OrderError::NotForPfm);
    }
    if client.aggregator.is_none() {
        return Err(OrderError::NoAggregator);
    }
    match queue(gateway, client, &found, &request, None).await? {
        Ordered::Queued(member) | Ordered::UnderWay(member) | Ordered::NotDue(member) => {
            Ok(*member)
        }
        Ordered::Unfit(member) => Err(OrderError::Unfit(member.status)),
        Ordered::NoSuchMember => Err(OrderError::NoSuchMember(member)),
    }
}

/// Orders an aggregation of each of the user's members that can be aggregated. Returns all members as
/// they are now, oldest first.
pub async fn order_all(
    gateway: &Gateway,
    client: &Client,
    user: &User,
    request: OrderRequest,
) -> Result<Vec<Member>, OrderError> {
    if client.aggregator.is_none() {
        return Err(OrderError::NoAggregator);
    }
    let mut members = Vec::new();
    for found in gateway.store.members(user.guid).await? {
        if !found.is_for_pfm() {
            members.push(found);
            continue;
        }
        let queued = queue(gateway, client, &found, &request, None);
        match queued.instrument(log_context::span()).await? {
            Ordered::Queued(member)
            | Ordered::UnderWay(member)
            | Ordered::NotDue(member)
            | Ordered::Unfit(member) => members.push(*member),
            // Deleted since it was listed.
            Ordered::NoSuchMember => {}
        }
    }
    Ok(members)
}

/// Orders the aggregation of a member that was found; `background`, if nobody asks for it. The step decides.
pub(super) async fn queue(
    gateway: &Gateway,
    client: &Client,
    member: &Member,
    request: &OrderRequest,
    background: Option<BackgroundOrder>,
) -> Result<Ordered, Internal> {
    log_context::member(member);
    let partition = member.guid.partition();
    let asked = match request.data_request.is_empty() {
        true => &member.data_request,
        false => &request.data_request,
    };
    let order = JobOrder {
        user: member.user,
        member: member.guid,
        job: NewJob {
            guid: JobGuid::new(gateway.random.as_ref(), partition),
            data_request: asked.clone(),
            is_background: background.is_some(),
        },
        callback_payload: request.callback_payload.clone(),
        updated: request
            .webhooks
            .of(gateway, client, &[EventKind::MemberUpdated], partition),
        background,
    };
    let ordered = gateway.store.order_job(&order, gateway.now()).await?;
    if matches!(ordered, Ordered::Queued(_)) {
        tracing::info!(job = %order.job.guid, "aggregation requested");
    }
    Ok(ordered)
}
