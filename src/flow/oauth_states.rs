//! OAuth states: what a member service may see of its windows.

use super::{Gateway, Internal};
use crate::domain::id::{ClientId, MemberGuid, OauthStateGuid, UserGuid};
use crate::domain::window::Window;
use crate::store::{SessionOwner, WindowQuery};

/// The user's windows, newest first.
pub async fn list(
    gateway: &Gateway,
    user: UserGuid,
    query: WindowQuery,
) -> Result<Vec<Window>, Internal> {
    Ok(gateway.store.windows(user, query).await?)
}

/// The user of that member, if it is one of the client's; the member may be deleted.
pub async fn user_of_member(
    gateway: &Gateway,
    client: &ClientId,
    member: MemberGuid,
) -> Result<Option<UserGuid>, Internal> {
    let owner = gateway.store.owner_of_member(member).await?;
    Ok(user_of(owner, client))
}

/// The user of that window, if it is one of the client's.
pub async fn user_of_window(
    gateway: &Gateway,
    client: &ClientId,
    window: OauthStateGuid,
) -> Result<Option<UserGuid>, Internal> {
    let owner = gateway.store.owner_of_window(window).await?;
    Ok(user_of(owner, client))
}

/// The user's window of that guid. If it is finished, this counts as its first retrieval.
pub async fn read(
    gateway: &Gateway,
    user: UserGuid,
    window: OauthStateGuid,
) -> Result<Option<Window>, Internal> {
    Ok(gateway.store.window(user, window, gateway.now()).await?)
}

fn user_of(owner: Option<SessionOwner>, client: &ClientId) -> Option<UserGuid> {
    let owner = owner.filter(|owner| owner.client == *client)?;
    Some(owner.user)
}
