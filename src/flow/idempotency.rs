//! idempotency: a request that comes twice with one `Idempotency-Key` is done once.

use super::{Gateway, Internal};
use crate::domain::id::{ClientId, UserGuid};
use crate::store::IdempotentRequest;

/// A request with a key, as it came.
pub struct KeyedRequest<'a> {
    /// The tenant.
    pub client: &'a ClientId,
    /// The user whose session asks; `None`: the client itself.
    pub user: Option<UserGuid>,
    /// `Idempotency-Key`.
    pub key: &'a str,
    /// Everything that makes it this request and no other: method, path and query, body.
    pub parts: [&'a [u8]; 3],
}

/// What a keyed request is to be met with.
pub enum Admission {
    /// It is the first: it is to be done, then [`keep`] or [`forget`] called.
    First(IdempotentRequest),
    /// The first is still being done.
    UnderWay,
    /// It was done; the answer as [`keep`] got it.
    Answered(Vec<u8>),
    /// The key was used for another request.
    Differs,
}

/// Whether the request is the first with its key.
pub async fn admit(_gateway: &Gateway, _request: &KeyedRequest<'_>) -> Result<Admission, Internal> {
    todo!()
}

/// Keeps the answer, sealed, for 24 hours.
pub async fn keep(
    _gateway: &Gateway,
    _request: &IdempotentRequest,
    _answer: &[u8],
) -> Result<(), Internal> {
    todo!()
}

/// Gives the key back: the answer is not worth keeping.
pub async fn forget(_gateway: &Gateway, _request: &IdempotentRequest) -> Result<(), Internal> {
    todo!()
}
