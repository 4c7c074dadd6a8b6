//! SSO tokens and sessions.

use jiff::Timestamp;

use super::RedisStore;
use super::call::{self, Call};
use super::record::user_guid;
use super::reply::{Reply, unreadable};
use crate::domain::id::{Partition, UserGuid};
use crate::domain::secret::Digest;
use crate::store::{Result, SessionOwner};

impl RedisStore {
    /// Keeps an SSO token of the user until `expires_at`. It lives in the user's partition.
    pub(in crate::store) async fn put_api_token(
        &self,
        owner: &SessionOwner,
        token: Digest,
        expires_at: Timestamp,
    ) -> Result<()> {
        let call = self
            .session_call(owner.user.partition(), "put")
            .digest(&token)
            .text(owner.user.compact())
            .text(owner.client.as_str())
            .time(expires_at);
        self.link.call(call).await.map(drop)
    }

    /// Spends the SSO token and begins a session of its user, in one step; `None` when the token is
    /// unknown, spent or expired.
    pub(in crate::store) async fn begin_session(
        &self,
        partition: Partition,
        token: Digest,
        session: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionOwner>> {
        let call = self
            .session_call(partition, "begin")
            .digest(&token)
            .digest(&session)
            .time(expires_at)
            .time(now);
        self.owner(call).await
    }

    /// Whose session it is, moving its end to `expires_at`; `None` when unknown or expired.
    pub(in crate::store) async fn touch_session(
        &self,
        partition: Partition,
        session: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionOwner>> {
        let call = self
            .session_call(partition, "touch")
            .text("")
            .digest(&session)
            .time(expires_at)
            .time(now);
        self.owner(call).await
    }

    /// Ends all sessions of the user, and forgets its unspent SSO tokens.
    pub(in crate::store) async fn end_sessions(&self, user: UserGuid) -> Result<()> {
        let base = self.keys.partition(user.partition());
        let mut command = redis::cmd("INCR");
        command.arg(format!("{base}E{}", user.compact()));
        self.link.query::<u64>(&command).await.map(drop)
    }

    fn session_call(&self, partition: Partition, what: &str) -> Call {
        Call::new(&call::SESSIONS, self.keys.partition(partition)).text(what)
    }

    async fn owner(&self, call: Call) -> Result<Option<SessionOwner>> {
        let Some(mut reply) = Reply::optional(self.link.call(call).await?)? else {
            return Ok(None);
        };
        let user = user_guid(&reply.text()?)?;
        let client = reply.text()?;
        let client = client
            .parse()
            .map_err(|_| unreadable("the client of a session"))?;
        Ok(Some(SessionOwner { user, client }))
    }
}
