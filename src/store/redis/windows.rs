//! Windows and attempts.

use jiff::Timestamp;
use redis::Value;

use super::RedisStore;
use super::call::{self, Call};
use super::record::{each, member_guid, member_of};
use super::reply::{Reply, unreadable};
use super::window_record::{
    Found, read_window, window_guid, write_errored, write_options, write_status,
};
use crate::domain::client::UnboundCallback;
use crate::domain::event::Notice;
use crate::domain::id::{AttemptId, MemberGuid, OauthStateGuid, Partition, UserGuid};
use crate::domain::job::JobFailure;
use crate::domain::member::{ConnectionStatus, Member};
use crate::domain::secret::Digest;
use crate::domain::window::{MULTI_OPENS, NewAttempt, NewWindow, RETRIES, RETRY_GRACE, Window};
use crate::store::{
    AttemptRecord, Claim, Claimed, Committed, Connection, Failure, HELD_ANSWERS, Knock, Opened,
    Opening, Result, Retried, Retry, SETTLING, SessionOwner, WindowQuery,
};

/// The steps of a flow.
impl RedisStore {
    /// Keeps a new window of the member, `Issued`, and ends its unfinished one, if any, as
    /// `Errored(SessionError, Superseded)`. `None`: no such member.
    pub(in crate::store) async fn mint_window(
        &self,
        user: UserGuid,
        member: MemberGuid,
        window: &NewWindow,
        superseded: &[Notice],
        now: Timestamp,
    ) -> Result<Option<Member>> {
        let call = Call::new(&call::MINT, self.keys.partition(member.partition()))
            .text(user.compact())
            .text(member.compact())
            .text(window.guid.compact())
            .time(window.deadline)
            .time(now)
            .number(self.retention())
            .fields(write_options(&window.options))
            .notices(superseded);
        let reply = Reply::optional(self.link.call(call).await?)?;
        reply.map(member_of).transpose()
    }

    /// A browser follows a link.
    pub(in crate::store) async fn open_window(
        &self,
        opening: &Opening,
        now: Timestamp,
    ) -> Result<Opened> {
        let knock = match opening.knock {
            Knock::Navigate => "navigate",
            Knock::Begin => "begin",
            Knock::Continue => "continue",
            Knock::Look => "look",
        };
        let base = self.keys.partition(opening.window.partition());
        let call = Call::new(&call::OPEN, base)
            .text(opening.window.compact())
            .text(opening.member.compact())
            .text(knock)
            .browser(&opening.browser);
        let call = self
            .new_attempt(call, &opening.attempt, now)
            .time(now)
            .number(MULTI_OPENS);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        let outcome = reply.text()?;
        if outcome == "unknown" {
            return Ok(Opened::Unknown);
        }
        let found = Found::read(reply.list()?)?;
        match outcome.as_str() {
            "claimed" => Ok(Opened::Claimed(found.subject()?)),
            "ask_first" => Ok(Opened::AskFirst(found.subject()?)),
            "resumable" => Ok(Opened::Resumable(found.subject()?)),
            "taken" => Ok(Opened::Taken(found.subject()?)),
            "over" => {
                let own = reply.text()?;
                let own_attempt = match own.is_empty() {
                    true => None,
                    false => Some(own.parse().map_err(|_| unreadable("an attempt's id"))?),
                };
                Ok(Opened::Over {
                    window: Box::new(found.window),
                    member: found.member.map(Box::new),
                    own_attempt,
                })
            }
            _ => Err(unreadable("the answer to an opening")),
        }
    }

    fn new_attempt(&self, call: Call, attempt: &NewAttempt, now: Timestamp) -> Call {
        call.text(attempt.id.as_str())
            .digest(&attempt.binding.digest)
            .bytes(&attempt.sealed)
            .time(attempt.deadline)
            .number(self.attempt_life(attempt.deadline, now))
    }

    /// An institution's answer arrives.
    pub(in crate::store) async fn claim_callback(
        &self,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<Claimed> {
        let unbound = match claim.unbound {
            UnboundCallback::Burn => "burn",
            UnboundCallback::Ignore => "ignore",
        };
        let base = self.keys.partition(claim.attempt.partition());
        let call = Call::new(&call::CLAIM, base)
            .text(claim.attempt.as_str())
            .text(claim.client.as_str())
            .text(claim.institution.as_str())
            .browser(&claim.browser)
            .text(unbound)
            .time(now)
            .number(self.retention())
            .notices(&claim.burnt)
            .time(now + SETTLING);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        let outcome = reply.text()?;
        match outcome.as_str() {
            "unknown" => Ok(Claimed::Unknown),
            "settled" => Ok(Claimed::Settled),
            "ignored" => Ok(Claimed::Ignored),
            "yes" | "burnt" => {
                let subject = Found::read(reply.list()?)?.subject()?;
                let sealed = reply.bytes()?;
                Ok(match outcome.as_str() {
                    "yes" => Claimed::Yes { subject, sealed },
                    _ => Claimed::Burnt { subject, sealed },
                })
            }
            _ => Err(unreadable("the answer to a claim")),
        }
    }

    /// The member is connected, all or nothing. Sent again with the same sealed grant, it answers as
    /// it did the first time. The `external_guid` of a member that a merge removed is given back
    /// afterwards.
    pub(in crate::store) async fn commit_connected(
        &self,
        connection: &Connection,
        now: Timestamp,
    ) -> Result<Committed> {
        let base = self.keys.partition(connection.window.partition());
        let inbound = connection.inbound.map(|member| member.compact());
        let payload = connection.callback_payload.as_ref().map(|it| it.as_str());
        let call = Call::new(&call::COMMIT, base)
            .text(connection.window.compact())
            .text(inbound.unwrap_or_default())
            .digests(&connection.fingerprints)
            .bytes(&connection.sealed_grant)
            .job(connection.job.as_ref())
            .text(payload.unwrap_or_default())
            .status(Some(ConnectionStatus::Connected))
            .status(Some(ConnectionStatus::Pending))
            .text(JobFailure::Replaced.name())
            .time(now)
            .number(self.retention())
            .number(self.listed())
            .notices(&connection.deleted)
            .notices(&connection.updated)
            .notices(&connection.finished);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        match reply.text()?.as_str() {
            "yes" => {
                let subject = Found::read(reply.list()?)?.subject()?;
                for freed in reply.texts()? {
                    let outbound = subject.window.member;
                    self.release_external(&subject.window.client, &freed, outbound)
                        .await;
                }
                Ok(Committed::Yes(subject))
            }
            "duplicate" => Ok(Committed::Duplicate(member_guid(&reply.text()?)?)),
            "other_login" => Ok(Committed::OtherLogin),
            "over" => Ok(Committed::Over),
            _ => Err(unreadable("the answer to a connection")),
        }
    }

    /// Ends an unfinished window without success; the member stays as it is. `None` when it was
    /// finished before, or is unknown.
    pub(in crate::store) async fn fail_window(
        &self,
        failure: &Failure,
        now: Timestamp,
    ) -> Result<Option<Window>> {
        let base = self.keys.partition(failure.window.partition());
        let inbound = failure.inbound.map(|member| member.compact());
        let call = Call::new(&call::FAIL, base)
            .text(failure.window.compact())
            .text(write_errored(failure.reason, failure.ending))
            .text(failure.only_in.map(write_status).unwrap_or_default())
            .list(failure.detail.clone())
            .text(inbound.unwrap_or_default())
            .time(now)
            .number(self.retention())
            .notices(&failure.finished);
        let reply = Reply::optional(self.link.call(call).await?)?;
        Ok(reply.map(Found::read).transpose()?.map(|it| it.window))
    }

    /// "Try again", see [`Retry`].
    pub(in crate::store) async fn retry_window(
        &self,
        retry: &Retry,
        now: Timestamp,
    ) -> Result<Retried> {
        let base = self.keys.partition(retry.failed.partition());
        let call = Call::new(&call::RETRY, base)
            .text(retry.failed.as_str())
            .browser(&retry.browser)
            .text(retry.window.guid.compact());
        let call = self
            .new_attempt(call, &retry.attempt, now)
            .time(now)
            .number(RETRIES)
            .number(RETRY_GRACE.as_millis() as u64);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        match reply.text()?.as_str() {
            "claimed" => Ok(Retried::Claimed(Found::read(reply.list()?)?.subject()?)),
            "refused" => Ok(Retried::Refused),
            "over" => Ok(Retried::Over),
            _ => Err(unreadable("the answer to a retry")),
        }
    }
}

/// Answers held, and readings.
impl RedisStore {
    /// Keeps an answer that came by POST, sealed, for the GET that follows it, until `expires_at`;
    /// `false` when there is no such attempt.
    pub(in crate::store) async fn hold_answer(
        &self,
        attempt: &AttemptId,
        handle: Digest,
        sealed: &[u8],
        expires_at: Timestamp,
    ) -> Result<bool> {
        let base = self.keys.partition(attempt.partition());
        let call = Call::new(&call::HOLD_ANSWER, base)
            .text(attempt.as_str())
            .digest(&handle)
            .bytes(sealed)
            .time(expires_at)
            .number(HELD_ANSWERS);
        match self.link.call(call).await? {
            Value::Int(is_held) => Ok(is_held == 1),
            _ => Err(unreadable("the answer to an answer held")),
        }
    }

    /// The answer held under that handle, if it has not expired.
    pub(in crate::store) async fn held_answer(
        &self,
        partition: Partition,
        handle: Digest,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>> {
        let key = format!("{}h{}", self.keys.partition(partition), handle.to_text());
        let mut command = redis::cmd("HMGET");
        command.arg(key).arg("z").arg("x");
        let held: (Option<Vec<u8>>, Option<i64>) = self.link.query(&command).await?;
        let (Some(sealed), Some(expires_at)) = held else {
            return Ok(None);
        };
        Ok((now.as_millisecond() < expires_at).then_some(sealed))
    }

    /// The attempt of that id with its window.
    pub(in crate::store) async fn attempt(
        &self,
        attempt: &AttemptId,
    ) -> Result<Option<AttemptRecord>> {
        let base = self.keys.partition(attempt.partition());
        let call = Call::new(&call::ATTEMPT, base).text(attempt.as_str());
        let Some(mut reply) = Reply::optional(self.link.call(call).await?)? else {
            return Ok(None);
        };
        let binding = Digest::from_text(&reply.text()?);
        let is_replaced = !reply.text()?.is_empty();
        let found = Found::read(reply.list()?)?;
        Ok(Some(AttemptRecord {
            window: found.window,
            member: found.member,
            binding: binding.ok_or_else(|| unreadable("an attempt's binding"))?,
            is_replaced,
        }))
    }

    /// The user's windows, newest first.
    pub(in crate::store) async fn windows(
        &self,
        user: UserGuid,
        query: WindowQuery,
    ) -> Result<Vec<Window>> {
        let only = query.member.map(|member| member.compact());
        let status = query.auth_status.map(|status| status.id().to_string());
        let call = Call::new(&call::WINDOWS, self.keys.partition(user.partition()))
            .text(user.compact())
            .text(only.unwrap_or_default())
            .text(status.unwrap_or_default())
            .number(query.limit as u64);
        let chains = each(self.link.call(call).await?, |mut chain| {
            member_guid(&chain.text()?)?;
            let member = chain.fields()?;
            let mut links = chain.list()?;
            let mut windows = Vec::new();
            while !links.is_empty() {
                let guid = window_guid(&links.text()?)?;
                windows.push(read_window(guid, &links.fields()?, &member)?);
            }
            Ok(windows)
        })?;
        let mut windows: Vec<Window> = chains.into_iter().flatten().collect();
        windows.sort_by_key(|window| std::cmp::Reverse(window.created_at));
        windows.truncate(query.limit);
        Ok(windows)
    }

    /// Whose window it is: its member's, found by one read and then another.
    pub(in crate::store) async fn owner_of_window(
        &self,
        window: OauthStateGuid,
    ) -> Result<Option<SessionOwner>> {
        let base = self.keys.partition(window.partition());
        let mut command = redis::cmd("HGET");
        command.arg(format!("{base}w{}", window.compact())).arg("m");
        let Some(member) = self.link.query::<Option<String>>(&command).await? else {
            return Ok(None);
        };
        let mut command = redis::cmd("HMGET");
        command
            .arg(format!("{base}m{member}"))
            .arg("user")
            .arg("client");
        let (user, client): (Option<String>, Option<String>) = self.link.query(&command).await?;
        let owner = user
            .zip(client)
            .map(|(user, client)| -> Result<SessionOwner> {
                let client = client.parse().map_err(|_| unreadable("a client"))?;
                Ok(SessionOwner {
                    user: super::record::user_guid(&user)?,
                    client,
                })
            });
        owner.transpose()
    }

    /// The user's window of that guid. Reading a finished one for the first time sets its
    /// `first_retrieved_at`.
    pub(in crate::store) async fn window(
        &self,
        user: UserGuid,
        window: OauthStateGuid,
        now: Timestamp,
    ) -> Result<Option<Window>> {
        let call = Call::new(&call::WINDOW, self.keys.partition(window.partition()))
            .text(user.compact())
            .text(window.compact())
            .time(now);
        let reply = Reply::optional(self.link.call(call).await?)?;
        Ok(reply.map(Found::read).transpose()?.map(|it| it.window))
    }

    /// Unfinished windows whose deadline has passed, at most `limit`: one round trip, however many
    /// partitions there are.
    pub(in crate::store) async fn overdue_windows(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Window>> {
        let calls = Partition::all().map(|partition| {
            Call::new(&call::OVERDUE, self.keys.partition(partition))
                .time(now)
                .number(limit as u64)
        });
        let mut windows = Vec::new();
        for answer in self.link.call_all(calls.collect()).await? {
            let found = each(answer, Found::read)?;
            windows.extend(found.into_iter().map(|it| it.window));
        }
        windows.sort_by_key(|window| window.deadline);
        windows.truncate(limit);
        Ok(windows)
    }
}
