//! Users, API keys, SSO tokens and sessions.

use std::sync::Arc;

use tracing::Instrument;

use super::idempotency::{Origin, is_of_same_request};
use super::{Gateway, Internal, WebhookChoice, members};
use crate::domain::client::Client;
use crate::domain::id::{ClientId, UserGuid};
use crate::domain::secret::{ApiKey, ApiToken, SessionToken};
use crate::domain::user::User;
use crate::log_context;
use crate::store::{
    KeyAddition, PageRequest, Paged, SessionOwner, UserChange, UserCreation, UserUpdate,
};

/// The largest page that a store gives.
const MOST_PER_PAGE: u32 = 1000;

/// A user as asked for.
#[derive(Clone, Debug, Default)]
pub struct UserRequest {
    /// The client's own name for the user.
    pub id: Option<String>,
    /// `email`.
    pub email: Option<String>,
    /// `metadata`.
    pub metadata: Option<String>,
    /// `is_disabled`.
    pub is_disabled: bool,
    /// The request with an `Idempotency-Key`, if it has one.
    pub origin: Option<Origin>,
}

/// Why no user was created.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The client already uses that `id`.
    #[error("id is already taken by user {0}: choose another, or use that user")]
    IdTaken(UserGuid),
    /// It is not the caller's fault.
    #[error(transparent)]
    Internal(#[from] Internal),
}

/// Creates a user of the client.
pub async fn create_user(
    gateway: &Gateway,
    client: &ClientId,
    request: UserRequest,
) -> Result<User, UserError> {
    let drawn = || UserGuid::new(gateway.random.as_ref());
    let user = User {
        guid: request.origin.map_or_else(drawn, Origin::user),
        client: client.clone(),
        id: request.id,
        email: request.email,
        metadata: request.metadata,
        is_disabled: request.is_disabled,
        created_at: gateway.now(),
    };
    let store = &gateway.store;
    let mut creation = store.create_user(&user).await.map_err(Internal::from)?;
    let mut created = user.clone();
    if let UserCreation::Found(found) = &creation {
        if is_of_same_request(found.created_at, user.created_at) {
            return Ok((**found).clone());
        }
        created.guid = drawn();
        creation = store.create_user(&created).await.map_err(Internal::from)?;
    }
    match creation {
        UserCreation::Created | UserCreation::Found(_) => Ok(created),
        UserCreation::IdTaken(existing) => Err(UserError::IdTaken(existing)),
    }
}

/// The changes of a user; `None` leaves a field as it is, `Some(None)` removes it.
#[derive(Clone, Debug, Default)]
pub struct UserChangeRequest {
    /// The client's own name for the user.
    pub id: Option<Option<String>>,
    /// `email`.
    pub email: Option<Option<String>>,
    /// `metadata`.
    pub metadata: Option<Option<String>>,
    /// `is_disabled`.
    pub is_disabled: Option<bool>,
}

/// The user is disabled: nothing new can be started for it.
#[derive(Debug, thiserror::Error)]
#[error("the user is disabled: enable it first")]
pub struct Disabled;

/// Refuses to start something new for a disabled user. Its data can still be read and deleted.
pub fn enabled(user: &User) -> Result<(), Disabled> {
    match user.is_disabled {
        true => Err(Disabled),
        false => Ok(()),
    }
}

/// Changes the client's user; `None`: it has no such user. If this disables the user, its sessions end.
pub async fn update_user(
    gateway: &Gateway,
    client: &ClientId,
    user: UserGuid,
    request: UserChangeRequest,
) -> Result<Option<User>, UserError> {
    let change = UserChange {
        client: client.clone(),
        user,
        id: request.id,
        email: request.email,
        metadata: request.metadata,
        is_disabled: request.is_disabled,
    };
    let store = &gateway.store;
    match store
        .update_user(&change, gateway.now())
        .await
        .map_err(Internal::from)?
    {
        UserUpdate::Updated(user) => {
            if user.is_disabled {
                let ended = store.end_sessions(user.guid, gateway.now()).await;
                ended.map_err(Internal::from)?;
            }
            Ok(Some(*user))
        }
        UserUpdate::NoSuchUser => Ok(None),
        UserUpdate::IdTaken(existing) => Err(UserError::IdTaken(existing)),
    }
}

/// Deletes the client's user with its sessions and its members, with an event for each member; `None`: it
/// has no such user.
pub async fn delete_user(
    gateway: &Gateway,
    client: &Client,
    user: UserGuid,
    webhooks: WebhookChoice,
) -> Result<Option<User>, Internal> {
    let store = &gateway.store;
    let Some(found) = store.user(&client.id, user).await? else {
        return Ok(None);
    };
    for member in store.members(user).await? {
        let deletion = members::delete(gateway, client, &found, member.guid, webhooks);
        deletion.instrument(log_context::span()).await?;
    }
    let deleted = store.delete_user(&client.id, user, gateway.now()).await?;
    if deleted.is_some() {
        tracing::info!(%user, "user deleted");
    }
    Ok(deleted)
}

/// Which users a listing shows; `None`: all.
#[derive(Clone, Debug, Default)]
pub struct UserFilter {
    /// The one of that `id`.
    pub id: Option<String>,
    /// Those of that `email`.
    pub email: Option<String>,
    /// The disabled ones, or the others.
    pub is_disabled: Option<bool>,
}

impl UserFilter {
    fn admits(&self, user: &User) -> bool {
        let is_disabled = self.is_disabled.unwrap_or(user.is_disabled);
        (self.email.is_none() || self.email == user.email) && is_disabled == user.is_disabled
    }
}

/// One page of the client's users, oldest first. No store keeps users by `is_disabled`, so that filter reads through
/// all that the others leave.
pub async fn users(
    gateway: &Gateway,
    client: &ClientId,
    filter: &UserFilter,
    page: PageRequest,
) -> Result<Paged<User>, Internal> {
    let mut found: Vec<User> = match &filter.id {
        Some(id) => {
            let user = gateway.store.user_by_id(client, id).await?;
            user.into_iter().collect()
        }
        None if filter.is_disabled.is_none() => return listed(gateway, client, filter, page).await,
        None => all_listed(gateway, client, filter).await?,
    };
    found.retain(|user| filter.admits(user));
    Ok(page.of(found))
}

/// One page of all of the client's users, or of those of the filter's `email`.
async fn listed(
    gateway: &Gateway,
    client: &ClientId,
    filter: &UserFilter,
    page: PageRequest,
) -> Result<Paged<User>, Internal> {
    let (store, now) = (&gateway.store, gateway.now());
    Ok(match &filter.email {
        Some(email) => store.users_by_email(client, email, page, now).await?,
        None => store.users(client, page, now).await?,
    })
}

async fn all_listed(
    gateway: &Gateway,
    client: &ClientId,
    filter: &UserFilter,
) -> Result<Vec<User>, Internal> {
    let mut all = Vec::new();
    for page in 1.. {
        let per_page = MOST_PER_PAGE;
        let request = PageRequest { page, per_page };
        let paged = listed(gateway, client, filter, request).await?;
        // A place without a user counts neither on the page nor in all.
        let is_last = request.skipped() + paged.items.len() as u64 >= paged.total;
        all.extend(paged.items);
        if is_last {
            break;
        }
    }
    Ok(all)
}

/// The client's user, by guid or by the client's own `id`.
pub async fn user(
    gateway: &Gateway,
    client: &ClientId,
    identifier: &str,
) -> Result<Option<User>, Internal> {
    Ok(match identifier.parse() {
        Ok(guid) => gateway.store.user(client, guid).await?,
        Err(_) => gateway.store.user_by_id(client, identifier).await?,
    })
}

/// The client of that id, if the key is one of its active ones; and the user that its request is about,
/// where it names one, looked up in the same moment. Who that is may have to be asked again.
///
/// An unknown client, an unknown key and a wrong secret take the same steps and have the same outcome.
pub async fn client_of_key(
    gateway: &Gateway,
    id: &ClientId,
    key: &ApiKey,
    about: Option<&str>,
) -> Result<Option<(Arc<Client>, Option<User>)>, Internal> {
    let look_up = async {
        match about {
            Some(identifier) => user(gateway, id, identifier).await,
            None => Ok(None),
        }
    };
    let (kept, user) = tokio::join!(gateway.store.api_key(id, key.id()), look_up);
    let matches = kept?.is_some_and(|kept| kept.matches(&key.digest(id)));
    let client = gateway.clients.get(id).filter(|_| matches);
    Ok(client.map(|client| (client.clone(), user.ok().flatten())))
}

/// Creates an API key of the client; `None`: it already has two active ones.
pub async fn create_api_key(
    gateway: &Gateway,
    client: &ClientId,
) -> Result<Option<ApiKey>, Internal> {
    let key = ApiKey::new(gateway.random.as_ref());
    let added = gateway
        .store
        .add_api_key(client, key.id(), key.digest(client), gateway.now())
        .await?;
    Ok((added == KeyAddition::Added).then_some(key))
}

/// An SSO token for the user, which works once (CONTRACT.md 1.1).
pub async fn api_token(gateway: &Gateway, user: &User) -> Result<ApiToken, Internal> {
    let token = ApiToken::new(gateway.random.as_ref(), user.guid.partition());
    let owner = SessionOwner {
        user: user.guid,
        client: user.client.clone(),
    };
    let now = gateway.now();
    let expires_at = now + gateway.settings.api_token_ttl;
    gateway
        .store
        .put_api_token(&owner, token.digest(), expires_at, now)
        .await?;
    Ok(token)
}

/// Exchanges an SSO token for a session; `None`: unknown, used or expired.
pub async fn begin_session(
    gateway: &Gateway,
    token: &ApiToken,
) -> Result<Option<SessionToken>, Internal> {
    let now = gateway.now();
    let session = SessionToken::new(gateway.random.as_ref(), token.partition());
    let expires_at = now + gateway.settings.session_idle;
    let owner = gateway
        .store
        .begin_session(
            token.partition(),
            token.digest(),
            session.digest(),
            expires_at,
            now,
        )
        .await?;
    Ok(owner.map(|_| session))
}

/// The user and client of a session; every call extends it (CONTRACT.md 1.1).
pub async fn session(
    gateway: &Gateway,
    token: &SessionToken,
) -> Result<Option<SessionOwner>, Internal> {
    let now = gateway.now();
    let expires_at = now + gateway.settings.session_idle;
    Ok(gateway
        .store
        .touch_session(token.partition(), token.digest(), expires_at, now)
        .await?)
}

/// The user of a session; `None` if the user is disabled, because a session that was started at the same
/// moment did not end with the others.
pub async fn user_of_session(
    gateway: &Gateway,
    owner: &SessionOwner,
) -> Result<Option<User>, Internal> {
    let user = gateway.store.user(&owner.client, owner.user).await?;
    Ok(user.filter(|user| !user.is_disabled))
}

/// Ends every session of the user.
pub async fn end_sessions(gateway: &Gateway, user: &User) -> Result<(), Internal> {
    Ok(gateway.store.end_sessions(user.guid, gateway.now()).await?)
}
