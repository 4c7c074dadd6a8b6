//! Users, and what must be unique within a client.

use jiff::Timestamp;
use redis::Value;

use super::RedisStore;
use super::call::{self, Call};
use super::record::{read_user, user_guid, write_user};
use super::reply::{Fields, Reply, time, unreadable};
use crate::domain::id::{ClientId, UserGuid};
use crate::domain::secret::Digest;
use crate::domain::user::User;
use crate::store::{
    ApiKeyRecord, KeyAddition, PageRequest, Paged, Result, StoreError, UserCreation,
};

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
        let name = UniqueName {
            index: "ids",
            name: user.id.as_deref(),
        };
        let guid = user.guid.compact();
        let listed_at = Some(user.created_at);
        let mut reservation = self
            .reserve(&user.client, name, &guid, "", listed_at)
            .await?;
        if let Reservation::Taken(holder) = &reservation {
            let other = user_guid(holder)?;
            let bearer = self.user(&user.client, other).await?;
            if bearer.is_some_and(|bearer| bearer.id == user.id) {
                return Ok(UserCreation::IdTaken(other));
            }
            reservation = self
                .reserve(&user.client, name, &guid, holder, listed_at)
                .await?;
        }
        match reservation {
            Reservation::Taken(holder) => Ok(UserCreation::IdTaken(user_guid(&holder)?)),
            Reservation::Until(until) => {
                let base = self.keys.partition(user.guid.partition());
                let call = Call::new(&call::CREATE_USER, base)
                    .text(guid)
                    .text(until)
                    .fields(write_user(user));
                in_time(self.link.call(call).await?)?;
                Ok(UserCreation::Created)
            }
        }
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

    /// Gives back a name, or listings where there is none. What a failure leaves behind counts as
    /// free, so callers need not mind one.
    pub(super) async fn release(
        &self,
        client: &ClientId,
        name: UniqueName<'_>,
        guids: Vec<String>,
    ) -> Result<()> {
        let call = Call::new(&call::RELEASE, self.keys.client(client))
            .text(name.index)
            .list(name.name.map(str::to_owned))
            .list(guids);
        self.link.call(call).await.map(drop)
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
            let listing = UniqueName {
                index: "users",
                name: None,
            };
            let _ = self.release(client, listing, absent).await;
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

/// Whether the second half of a creation came before its reservation ran out.
pub(super) fn in_time(answer: Value) -> Result<()> {
    match Reply::of(answer)?.text()?.as_str() {
        "created" => Ok(()),
        _ => Err(StoreError::Unavailable(
            "the reservation of the name ran out before it was used".into(),
        )),
    }
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
