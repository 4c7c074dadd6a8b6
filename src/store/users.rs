//! Users, API keys, sessions, and requests that may come twice.

use jiff::Timestamp;

use super::driver::Store;
use super::names::{Reservation, reservation_expired, unreadable};
use super::outcome::Result;
use crate::domain::id::{ClientId, Partition, UserGuid};
use crate::domain::secret::Digest;
use crate::domain::user::User;
use crate::steps::api_key::{NewApiKey, Retirement};
use crate::steps::deletion::Deletion;
use crate::steps::idempotency::{Finish, Renew};
use crate::steps::member::RenameUserOf;
use crate::steps::name::{ListUser, RESERVED};
use crate::steps::record::{Key, List, NameKind, Reads, Slot};
use crate::steps::session::{Begin, EndAll, NewApiToken, Touch};
use crate::steps::user::{NewUser, UserDeletion, UserEnd, user_of};
use crate::steps::{
    ApiKeyRecord, Idempotence, IdempotentRequest, KeyAddition, PageRequest, Paged, SessionOwner,
    UserChange, UserCreation, UserUpdate,
};

/// Users.
impl Store {
    /// Keeps a new user. A user's `id`, where given, is unique within its client.
    pub async fn create_user(&self, user: &User) -> Result<UserCreation> {
        let _timing = self.timed("create_user");
        let now = user.created_at;
        let guid = user.guid.compact();
        let id = user.id.as_deref();
        let id = id.map(|id| Reservation::of(&user.client, NameKind::UserId, id, &guid));
        if let Some(id) = &id
            && let Some(holder) = self.reserve(id, now).await?
        {
            let holder = UserGuid::from_compact(&holder);
            return Ok(UserCreation::IdTaken(holder.map_err(unreadable)?));
        }
        self.step(&ListUser::on(user), now).await?;
        let found = self.step(&NewUser { user: user.clone() }, now).await?;
        if let Some(id) = &id
            && !self.settle(id, now).await?
        {
            self.delete_user_of(&user.client, user.guid, now).await?;
            return Err(reservation_expired());
        }
        Ok(match found {
            Some(found) => UserCreation::Found(Box::new(found)),
            None => UserCreation::Created,
        })
    }

    /// The client's user of that guid.
    pub async fn user(&self, client: &ClientId, user: UserGuid) -> Result<Option<User>> {
        let _timing = self.timed("user");
        self.user_at(client, user).await
    }

    async fn user_at(&self, client: &ClientId, user: UserGuid) -> Result<Option<User>> {
        let slot = Slot::Partition(user.partition());
        let view = self.look(slot, Reads::of([Key::user(user)])).await?;
        Ok(user_of(&view, client, user).cloned())
    }

    /// The client's user of that `id`.
    pub async fn user_by_id(&self, client: &ClientId, id: &str) -> Result<Option<User>> {
        let _timing = self.timed("user_by_id");
        let holder = self.holder(client, NameKind::UserId, id).await?;
        let Some(Ok(user)) = holder.map(|holder| UserGuid::from_compact(&holder)) else {
            return Ok(None);
        };
        let user = self.user_at(client, user).await?;
        Ok(user.filter(|user| user.id.as_deref() == Some(id)))
    }

    /// The client's users, oldest first.
    pub async fn users(
        &self,
        client: &ClientId,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Paged<User>> {
        let _timing = self.timed("users");
        let list = List::Users(client.clone());
        self.users_in(client, list, page, now).await
    }

    /// The client's users that have that email address, oldest first.
    pub async fn users_by_email(
        &self,
        client: &ClientId,
        email: &str,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Paged<User>> {
        let _timing = self.timed("users_by_email");
        let list = List::UsersByEmail(client.clone(), email.to_owned());
        self.users_in(client, list, page, now).await
    }

    /// A page of one of the client's lists of users. Only what is on it is read.
    async fn users_in(
        &self,
        client: &ClientId,
        list: List,
        page: PageRequest,
        now: Timestamp,
    ) -> Result<Paged<User>> {
        let slot = Slot::Client(client.clone());
        let (skip, limit) = (page.skipped(), u64::from(page.per_page));
        let (places, mut total) = self.places(&slot, list.clone(), skip, limit).await?;
        let belongs = |user: &User| match &list {
            List::UsersByEmail(_, email) => user.email.as_ref() == Some(email),
            _ => true,
        };
        let guids: Vec<UserGuid> = places
            .iter()
            .map(|place| UserGuid::from_compact(place.key.id()).map_err(unreadable))
            .collect::<Result<_>>()?;
        let reads = guids.iter().map(|guid| {
            let slot = Slot::Partition(guid.partition());
            (slot, Key::user(*guid))
        });
        let views = self.look_each(reads.collect()).await?;
        let mut items = Vec::with_capacity(guids.len());
        for ((place, guid), view) in places.iter().zip(guids).zip(views) {
            if let Some(user) = user_of(&view, client, guid).filter(|user| belongs(user)) {
                items.push(user.clone());
                continue;
            }
            total = total.saturating_sub(1);
            // Listed, and never written: its creation was cut off. Or its deletion was.
            if place.at + RESERVED < now && view.user(guid).is_none() {
                let unlisted = ListUser {
                    client: client.clone(),
                    user: guid,
                    places: vec![(list.clone(), None)],
                };
                self.step(&unlisted, now).await?;
            }
        }
        Ok(Paged { items, total })
    }

    /// Changes the user. Its members are given the new `id` with it, as their `user_id`.
    pub async fn update_user(&self, change: &UserChange, now: Timestamp) -> Result<UserUpdate> {
        let _timing = self.timed("update_user");
        let guid = change.user.compact();
        let of = |id: &str| Reservation::of(&change.client, NameKind::UserId, id, &guid);
        let wanted = change.id.as_ref().and_then(|id| id.as_deref()).map(of);
        let has_email = change.email.as_ref().is_some_and(Option::is_some);
        let mut found_by_email = None;
        if wanted.is_some() || has_email {
            let Some(mut user) = self.user_at(&change.client, change.user).await? else {
                return Ok(UserUpdate::NoSuchUser);
            };
            if let Some(wanted) = &wanted
                && let Some(holder) = self.reserve(wanted, now).await?
            {
                let holder = UserGuid::from_compact(&holder);
                return Ok(UserUpdate::IdTaken(holder.map_err(unreadable)?));
            }
            if let Some(email) = change.email.as_ref().filter(|_| has_email) {
                user.email.clone_from(email);
                self.step(&ListUser::by_email(&user), now).await?;
                found_by_email = Some(user);
            }
        }
        let (update, before) = self.step(change, now).await?;
        let (UserUpdate::Updated(user), Some(before)) = (&update, before) else {
            if let Some(wanted) = &wanted {
                self.give_back_for_good(wanted, now).await?;
            }
            if let Some(gone) = &found_by_email {
                self.step(&ListUser::off(gone), now).await?;
            }
            return Ok(update);
        };
        if before.email != user.email {
            self.move_by_email(&before, user, now).await?;
        }
        if let Some(wanted) = &wanted
            && !self.settle(wanted, now).await?
        {
            let before = before.id.as_deref().map(of);
            self.put_back(wanted, before.as_ref(), now).await?;
            if let Some(user) = self.user_at(&change.client, change.user).await? {
                self.rename_user_of_members(&user, now).await?;
            }
            return Err(reservation_expired());
        }
        if before.id != user.id {
            if let Some(before) = before.id {
                self.give_back(&of(&before), now).await?;
            }
            self.rename_user_of_members(user, now).await?;
        }
        Ok(update)
    }

    /// Takes the user off the list of the email address that it had.
    async fn move_by_email(&self, before: &User, after: &User, now: Timestamp) -> Result<()> {
        self.step(&ListUser::moved(before, after), now).await?;
        // If another change gave it that address again meanwhile, its place is restored.
        let listed = match self.user_at(&after.client, after.guid).await? {
            Some(user) if user.email == after.email => return Ok(()),
            Some(user) => ListUser::by_email(&user),
            None => ListUser::off(after),
        };
        self.step(&listed, now).await
    }

    async fn rename_user_of_members(&self, user: &User, now: Timestamp) -> Result<()> {
        for member in self.member_guids(user.guid).await? {
            let renamed = RenameUserOf {
                member,
                user_id: user.id.clone(),
            };
            self.step(&renamed, now).await?;
        }
        Ok(())
    }

    /// Deletes the client's user with its sessions, SSO tokens and members. Members that are still
    /// there go without notice: callers delete them first. `None`: the client has no such user.
    ///
    /// Nobody sees the user from the first of its steps on. What a crash leaves is deleted by
    /// [`Self::purge`].
    pub async fn delete_user(
        &self,
        client: &ClientId,
        user: UserGuid,
        now: Timestamp,
    ) -> Result<Option<User>> {
        let _timing = self.timed("delete_user");
        self.delete_user_of(client, user, now).await
    }

    async fn delete_user_of(
        &self,
        client: &ClientId,
        user: UserGuid,
        now: Timestamp,
    ) -> Result<Option<User>> {
        let deletion = UserDeletion {
            client: client.clone(),
            user,
        };
        let deleted = self.step(&deletion, now).await?;
        if let Some(deleted) = &deleted {
            self.finish_deletion(deleted, now).await?;
        }
        Ok(deleted)
    }

    /// Deletes what is left of a user whose deletion has begun.
    pub(super) async fn finish_deletion(&self, user: &User, now: Timestamp) -> Result<()> {
        for member in self.member_guids(user.guid).await? {
            let deletion = Deletion {
                user: user.guid,
                member,
                only_abandoned_since: None,
                deleted: Vec::new(),
                finished: Vec::new(),
            };
            self.delete_member_at(&deletion, now).await?;
        }
        self.purge_deleted_members(user.guid, now).await?;
        if let Some(id) = &user.id {
            let guid = user.guid.compact();
            let id = Reservation::of(&user.client, NameKind::UserId, id, &guid);
            self.give_back_for_good(&id, now).await?;
        }
        self.step(&ListUser::off(user), now).await?;
        self.step(&UserEnd { user: user.guid }, now).await
    }
}

/// API keys.
impl Store {
    /// Keeps a new API key of the client; at most two of a client's are active.
    pub async fn add_api_key(
        &self,
        client: &ClientId,
        id: &str,
        digest: Digest,
        now: Timestamp,
    ) -> Result<KeyAddition> {
        let _timing = self.timed("add_api_key");
        let new = NewApiKey {
            client: client.clone(),
            id: id.to_owned(),
            digest,
        };
        self.step(&new, now).await
    }

    /// The digest of the client's active key of that id.
    pub async fn api_key(&self, client: &ClientId, id: &str) -> Result<Option<Digest>> {
        let _timing = self.timed("api_key");
        let keys = self.keys_of(client).await?;
        let mut working = keys.into_iter().filter(|key| key.retired_at.is_none());
        Ok(working.find(|key| key.id == id).map(|key| key.digest))
    }

    /// The client's keys, oldest first, retired ones included.
    pub async fn api_keys(&self, client: &ClientId) -> Result<Vec<ApiKeyRecord>> {
        let _timing = self.timed("api_keys");
        let keys = self.keys_of(client).await?;
        let record = |key: crate::steps::record::KeptApiKey| ApiKeyRecord {
            id: key.id,
            created_at: key.created_at,
            retired_at: key.retired_at,
        };
        Ok(keys.into_iter().map(record).collect())
    }

    async fn keys_of(&self, client: &ClientId) -> Result<Vec<crate::steps::record::KeptApiKey>> {
        let slot = Slot::Client(client.clone());
        let view = self.look(slot, Reads::of([Key::api_keys(client)])).await?;
        Ok(view
            .api_keys(client)
            .map_or_else(Vec::new, |kept| kept.keys.clone()))
    }

    /// Retires the client's key of that id; `false` when it has no such active key.
    pub async fn retire_api_key(
        &self,
        client: &ClientId,
        id: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let _timing = self.timed("retire_api_key");
        let retirement = Retirement {
            client: client.clone(),
            id: id.to_owned(),
        };
        self.step(&retirement, now).await
    }
}

/// Sessions.
impl Store {
    /// Keeps an SSO token of the user until `expires_at`. It lives in the user's partition.
    pub async fn put_api_token(
        &self,
        owner: &SessionOwner,
        token: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        let _timing = self.timed("put_api_token");
        let new = NewApiToken {
            owner: owner.clone(),
            token,
            expires_at,
        };
        self.step(&new, now).await
    }

    /// Spends the SSO token and begins a session of its user, in one step; `None` when the token is
    /// unknown, spent or expired.
    pub async fn begin_session(
        &self,
        partition: Partition,
        token: Digest,
        session: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionOwner>> {
        let _timing = self.timed("begin_session");
        let begin = Begin {
            partition,
            token,
            session,
            expires_at,
        };
        self.step(&begin, now).await
    }

    /// Whose session it is, moving its end to `expires_at`; `None` when unknown or expired.
    pub async fn touch_session(
        &self,
        partition: Partition,
        session: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionOwner>> {
        let _timing = self.timed("touch_session");
        let touch = Touch {
            partition,
            session,
            expires_at,
        };
        self.step_that_seldom_writes(&touch, now).await
    }

    /// Ends all sessions of the user, and forgets its unspent SSO tokens.
    pub async fn end_sessions(&self, user: UserGuid, now: Timestamp) -> Result<()> {
        let _timing = self.timed("end_sessions");
        self.step(&EndAll { user }, now).await
    }
}

/// Requests that may come twice.
impl Store {
    /// Asks for an `Idempotency-Key`. Of any number of requests with one key exactly one gets `First`
    /// until it is answered, given back or `held_until` has passed; an answer is kept until
    /// `expires_at`.
    pub async fn begin_idempotent(
        &self,
        request: &IdempotentRequest,
        now: Timestamp,
    ) -> Result<Idempotence> {
        let _timing = self.timed("begin_idempotent");
        self.step(request, now).await
    }

    /// Holds the key of a request that got `First` until `held_until`; nothing if it was meanwhile given to
    /// another request, or answered.
    pub async fn renew_idempotent(
        &self,
        request: &IdempotentRequest,
        held_until: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        let _timing = self.timed("renew_idempotent");
        let renew = Renew {
            request: request.clone(),
            held_until,
        };
        self.step(&renew, now).await
    }

    /// Keeps the sealed answer of a request that got `First`; nothing if the key was meanwhile given
    /// to another request.
    pub async fn finish_idempotent(
        &self,
        request: &IdempotentRequest,
        sealed_answer: &[u8],
        now: Timestamp,
    ) -> Result<()> {
        let _timing = self.timed("finish_idempotent");
        let finish = Finish {
            request: request.clone(),
            sealed_response: Some(sealed_answer.to_owned()),
        };
        self.step(&finish, now).await
    }

    /// Gives back the key of a request that got `First` and whose answer is not worth keeping.
    pub async fn release_idempotent(
        &self,
        request: &IdempotentRequest,
        now: Timestamp,
    ) -> Result<()> {
        let _timing = self.timed("release_idempotent");
        let finish = Finish {
            request: request.clone(),
            sealed_response: None,
        };
        self.step(&finish, now).await
    }
}
