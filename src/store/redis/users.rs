//! Users, and what must be unique within a client.

use std::time::Duration;

use jiff::Timestamp;
use redis::Value;

use super::call::{self, Call};
use super::record::{changes, flag, read_user, user_guid, write_user};
use super::reply::{Fields, Reply, time, unreadable};
use super::{RedisStore, millis};
use crate::domain::id::{ClientId, UserGuid};
use crate::domain::secret::Digest;
use crate::domain::user::User;
use crate::store::{
    ApiKeyRecord, KeyAddition, PageRequest, Paged, Result, StoreError, UserChange, UserCreation,
    UserUpdate,
};

/// How long the count of a deleted user's ended sessions is kept: longer than any session or SSO
/// token of it, which are forgotten a day after their end.
const EPOCH_LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A name that is unique within a client: which index keeps it, and what it is.
#[derive(Clone, Copy)]
pub(super) struct UniqueName<'a> {
    /// `ids` or `externals` (`keys.rs`).
    pub(super) index: &'static str,
    /// The name, where there is one to reserve.
    pub(super) name: Option<&'a str>,
}

/// What asking for a reservation led to.
pub(super) enum Reservation {
    /// What bears the name may be written until then, by the server's clock.
    Until(String),
    /// Something else, of this compact guid, bears it or is about to.
    Taken(String),
}

impl RedisStore {
    /// Keeps a new user: the reservation of its `id` and its place in the client's list, then the
    /// user. Two round trips.
    pub(in crate::store) async fn create_user(&self, user: &User) -> Result<UserCreation> {
        let guid = user.guid.compact();
        let reservation = self
            .reserve_id(
                &user.client,
                user.id.as_deref(),
                user.guid,
                Some(user.created_at),
            )
            .await?;
        match reservation {
            Reservation::Taken(holder) => Ok(UserCreation::IdTaken(user_guid(&holder)?)),
            Reservation::Until(until) => {
                let base = self.keys.partition(user.guid.partition());
                let call = Call::new(&call::CREATE_USER, base)
                    .text(guid)
                    .text(until)
                    .fields(write_user(user));
                match Reply::of(self.link.call(call).await?)?.text()?.as_str() {
                    "created" => Ok(UserCreation::Created),
                    _ => Err(late()),
                }
            }
        }
    }

    /// Changes the user: one round trip, and three more where its `id` is to change.
    pub(in crate::store) async fn update_user(&self, change: &UserChange) -> Result<UserUpdate> {
        let mut reserved_until = String::new();
        if let Some(new) = &change.id {
            let Some(kept) = self.user(&change.client, change.user).await? else {
                return Ok(UserUpdate::NoSuchUser);
            };
            if let Some(name) = new.as_ref().or(kept.id.as_ref()) {
                match self
                    .reserve_id(&change.client, Some(name), change.user, None)
                    .await?
                {
                    Reservation::Until(until) => reserved_until = until,
                    Reservation::Taken(holder) => {
                        return Ok(UserUpdate::IdTaken(user_guid(&holder)?));
                    }
                }
            }
        }
        let guid = change.user.compact();
        let (set, unset) = changes([
            ("id", change.id.clone()),
            ("email", change.email.clone()),
            ("metadata", change.metadata.clone()),
            ("disabled", change.is_disabled.map(flag)),
        ]);
        let call = Call::new(
            &call::UPDATE_USER,
            self.keys.partition(change.user.partition()),
        )
        .text(&guid)
        .text(change.client.as_str())
        .text(&reserved_until)
        .fields(set)
        .list(unset);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        match reply.text()?.as_str() {
            "updated" => {
                let user = read_user(change.user, &reply.fields()?)?;
                for old in reply.texts()? {
                    if user.id.as_ref() != Some(&old) && !reserved_until.is_empty() {
                        self.release(&user.client, id(&old), &guid, &reserved_until)
                            .await;
                    }
                }
                Ok(UserUpdate::Updated(Box::new(user)))
            }
            "no_such_user" => {
                if let Some(Some(name)) = &change.id {
                    self.release(&change.client, id(name), &guid, &reserved_until)
                        .await;
                }
                Ok(UserUpdate::NoSuchUser)
            }
            "late" => Err(late()),
            _ => Err(unreadable("the answer to a change of a user")),
        }
    }

    /// Asks for an `id` for the user, and for its place in the client's list where it is new.
    async fn reserve_id(
        &self,
        client: &ClientId,
        name: Option<&str>,
        user: UserGuid,
        listed_at: Option<Timestamp>,
    ) -> Result<Reservation> {
        let guid = user.compact();
        let id = UniqueName { index: "ids", name };
        let first = self.reserve(client, id, &guid, "", listed_at).await?;
        let Reservation::Taken(holder) = &first else {
            return Ok(first);
        };
        let bearer = self.user(client, user_guid(holder)?).await?;
        if bearer.is_some_and(|bearer| bearer.id.as_deref() == name) {
            return Ok(first);
        }
        self.reserve(client, id, &guid, holder, listed_at).await
    }

    /// Deletes the client's user with its sessions, SSO tokens and members: its partition, then the
    /// client's slot. What a crash in between leaves in the latter counts as free, and as nobody.
    pub(in crate::store) async fn delete_user(
        &self,
        client: &ClientId,
        user: UserGuid,
        now: Timestamp,
    ) -> Result<Option<User>> {
        let call = Call::new(&call::DELETE_USER, self.keys.partition(user.partition()))
            .text(user.compact())
            .text(client.as_str())
            .time(now)
            .number(self.retention())
            .number(self.listed())
            .number(millis(EPOCH_LIFE));
        let Some(mut reply) = Reply::optional(self.link.call(call).await?)? else {
            return Ok(None);
        };
        let deleted = read_user(user, &reply.fields()?)?;
        let call = Call::new(&call::FORGET_USER, self.keys.client(client))
            .text(user.compact())
            .list(deleted.id.clone())
            .list(reply.texts()?);
        let _ = self.link.call(call).await;
        Ok(Some(deleted))
    }

    /// Asks for a name of the client's. `dangling` is a holder behind which nothing was found.
    pub(super) async fn reserve(
        &self,
        client: &ClientId,
        name: UniqueName<'_>,
        guid: &str,
        dangling: &str,
        listed_at: Option<Timestamp>,
    ) -> Result<Reservation> {
        let listed_at = listed_at.map_or(String::new(), |at| at.as_millisecond().to_string());
        let call = Call::new(&call::RESERVE, self.keys.client(client))
            .text(name.index)
            .list(name.name.map(str::to_owned))
            .text(guid)
            .text(dangling)
            .text(listed_at);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        match reply.text()?.as_str() {
            "reserved" => Ok(Reservation::Until(reply.text()?)),
            "taken" => Ok(Reservation::Taken(reply.text()?)),
            _ => Err(unreadable("the answer to a reservation")),
        }
    }

    /// Gives back a name that `holder` bears no longer. `reserved_until` is empty where the holder is
    /// gone for good; else it names the reservation this goes back to. What a failure leaves behind
    /// counts as free, so nobody need mind one.
    pub(super) async fn release(
        &self,
        client: &ClientId,
        name: UniqueName<'_>,
        holder: &str,
        reserved_until: &str,
    ) {
        let Some(text) = name.name else {
            return;
        };
        let call = Call::new(&call::RELEASE, self.keys.client(client))
            .text(name.index)
            .text(text)
            .text(holder)
            .text(reserved_until);
        let _ = self.link.call(call).await;
    }

    /// The client's user of that guid.
    pub(in crate::store) async fn user(
        &self,
        client: &ClientId,
        user: UserGuid,
    ) -> Result<Option<User>> {
        let answer: Value = self.link.query(&self.user_command(user)).await?;
        let user = user_of(user, answer)?;
        Ok(user.filter(|user| user.client == *client))
    }

    /// The client's user of that `id`: two round trips.
    pub(in crate::store) async fn user_by_id(
        &self,
        client: &ClientId,
        id: &str,
    ) -> Result<Option<User>> {
        let mut command = redis::cmd("HGET");
        command
            .arg(format!("{}ids", self.keys.client(client)))
            .arg(id);
        let holder: Option<String> = self.link.query(&command).await?;
        let Some(holder) = holder else {
            return Ok(None);
        };
        let user = self.user(client, user_guid(&holder)?).await?;
        Ok(user.filter(|user| user.id.as_deref() == Some(id)))
    }

    /// The client's users, oldest first: two round trips.
    pub(in crate::store) async fn users(
        &self,
        client: &ClientId,
        page: PageRequest,
    ) -> Result<Paged<User>> {
        let index = format!("{}users", self.keys.client(client));
        let first = u64::from(page.page.saturating_sub(1)) * u64::from(page.per_page);
        let last = (first + u64::from(page.per_page)).saturating_sub(1);
        let mut count = redis::cmd("ZCARD");
        count.arg(&index);
        let mut range = redis::cmd("ZRANGE");
        range.arg(&index).arg(first).arg(last);
        let answers = self.link.query_all(vec![count, range]).await?;
        let [count, range] = <[Value; 2]>::try_from(answers)
            .map_err(|_| unreadable("the answer to a listing of users"))?;
        let total: u64 = redis::from_redis_value(count)
            .map_err(|_| unreadable("the count of a client's users"))?;
        let mut listed: Vec<String> = redis::from_redis_value(range)
            .map_err(|_| unreadable("the list of a client's users"))?;
        listed.truncate(usize::try_from(page.per_page).unwrap_or(usize::MAX));

        let guids: Vec<UserGuid> = listed
            .iter()
            .map(|guid| user_guid(guid))
            .collect::<Result<_>>()?;
        let commands = guids.iter().map(|guid| self.user_command(*guid)).collect();
        let answers = self.link.query_all(commands).await?;
        let mut items = Vec::with_capacity(guids.len());
        let mut absent = Vec::new();
        for (guid, answer) in guids.into_iter().zip(answers) {
            match user_of(guid, answer)? {
                Some(user) => items.push(user),
                None => absent.push(guid.compact()),
            }
        }
        let total = total.saturating_sub(absent.len() as u64);
        if !absent.is_empty() {
            // Listed, then never written: a crash in the middle of `create_user`.
            let call = Call::new(&call::UNLIST, self.keys.client(client)).list(absent);
            let _ = self.link.call(call).await;
        }
        Ok(Paged { items, total })
    }

    fn user_command(&self, user: UserGuid) -> redis::Cmd {
        let mut command = redis::cmd("HGETALL");
        let base = self.keys.partition(user.partition());
        command.arg(format!("{base}u{}", user.compact()));
        command
    }

    /// Keeps a new API key of the client; at most two of a client's are active.
    pub(in crate::store) async fn add_api_key(
        &self,
        client: &ClientId,
        id: &str,
        digest: Digest,
        now: Timestamp,
    ) -> Result<KeyAddition> {
        let call = Call::new(&call::API_KEYS, self.keys.client(client))
            .text("add")
            .text(id)
            .digest(&digest)
            .time(now);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        match reply.text()?.as_str() {
            "added" => Ok(KeyAddition::Added),
            "too_many" => Ok(KeyAddition::TooMany),
            "taken" => Err(StoreError::Unavailable(
                "another API key has the same id; draw a new one".into(),
            )),
            _ => Err(unreadable("the answer to a new API key")),
        }
    }

    /// The digest of the client's active key of that id.
    pub(in crate::store) async fn api_key(
        &self,
        client: &ClientId,
        id: &str,
    ) -> Result<Option<Digest>> {
        let mut command = redis::cmd("HGET");
        command
            .arg(format!("{}keys", self.keys.client(client)))
            .arg(id);
        let kept: Option<String> = self.link.query(&command).await?;
        let key = kept.map(|kept| read_key(id, &kept)).transpose()?;
        Ok(key.and_then(|(record, digest)| record.retired_at.is_none().then_some(digest)))
    }

    /// The client's keys, oldest first, retired ones included.
    pub(in crate::store) async fn api_keys(&self, client: &ClientId) -> Result<Vec<ApiKeyRecord>> {
        let mut command = redis::cmd("HGETALL");
        command.arg(format!("{}keys", self.keys.client(client)));
        let kept: Vec<(String, String)> = self.link.query(&command).await?;
        let mut keys = kept
            .iter()
            .map(|(id, kept)| read_key(id, kept).map(|(record, _)| record))
            .collect::<Result<Vec<_>>>()?;
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(keys)
    }

    /// Retires the client's key of that id; `false` when it has no such active key.
    pub(in crate::store) async fn retire_api_key(
        &self,
        client: &ClientId,
        id: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let call = Call::new(&call::API_KEYS, self.keys.client(client))
            .text("retire")
            .text(id)
            .text("")
            .time(now);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        Ok(reply.text()? == "retired")
    }
}

fn id(name: &str) -> UniqueName<'_> {
    UniqueName {
        index: "ids",
        name: Some(name),
    }
}

/// The second half of a step came after its reservation ran out.
pub(super) fn late() -> StoreError {
    StoreError::Unavailable("the reservation of the name ran out before it was used".into())
}

fn user_of(guid: UserGuid, answer: Value) -> Result<Option<User>> {
    let fields = Fields::of(answer)?;
    match fields.is_empty() {
        true => Ok(None),
        false => read_user(guid, &fields).map(Some),
    }
}

fn read_key(id: &str, kept: &str) -> Result<(ApiKeyRecord, Digest)> {
    let mut words = kept.split(' ');
    let digest = words.next().and_then(Digest::from_text);
    let created_at = words.next().and_then(time);
    let retired_at = words.next().map(|word| time(word).ok_or(()));
    match (digest, created_at, retired_at.transpose()) {
        (Some(digest), Some(created_at), Ok(retired_at)) => Ok((
            ApiKeyRecord {
                id: id.to_owned(),
                created_at,
                retired_at,
            },
            digest,
        )),
        _ => Err(unreadable("an API key")),
    }
}
