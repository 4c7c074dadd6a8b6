//! order: a member service wants a member's data pulled again.

use super::{Gateway, Internal, Telling};
use crate::domain::client::Client;
use crate::domain::data_request::DataRequest;
use crate::domain::id::MemberGuid;
use crate::domain::member::{CallbackPayload, ConnectionStatus, Member};
use crate::domain::user::User;

/// An aggregation as asked for.
#[derive(Clone, Debug, Default)]
pub struct OrderRequest {
    /// What this job is asked for; where empty, what the member's jobs usually are.
    pub data_request: DataRequest,
    /// `X-CALLBACK-PAYLOAD`.
    pub callback_payload: Option<CallbackPayload>,
    /// Whether the change is told.
    pub telling: Telling,
}

/// Why no aggregation was ordered.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The user has no such member.
    #[error("the user has no member {0}")]
    NoSuchMember(MemberGuid),
    /// The member's use cases do not include PFM (contract section 1.4).
    #[error("the member's use_cases do not include PFM, so its data may not be pulled")]
    NotForPfm,
    /// There is nothing to pull with, or its status rules it out.
    #[error("the member is {} and cannot be aggregated", .0.name())]
    Unfit(ConnectionStatus),
    /// No aggregator is configured.
    #[error("this gateway has no aggregator, so nothing can be pulled")]
    NoAggregator,
    /// It is not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

/// Orders an aggregation of the user's member. One that is under way already is not joined by a
/// second one; the member as it is now is the answer either way.
pub async fn order(
    _gateway: &Gateway,
    _client: &Client,
    _user: &User,
    _member: MemberGuid,
    _request: OrderRequest,
) -> Result<Member, OrderError> {
    todo!()
}

/// Orders an aggregation of each of the user's members that can be aggregated; all of them as they
/// are now, oldest first.
pub async fn order_all(
    _gateway: &Gateway,
    _client: &Client,
    _user: &User,
    _request: OrderRequest,
) -> Result<Vec<Member>, OrderError> {
    todo!()
}
