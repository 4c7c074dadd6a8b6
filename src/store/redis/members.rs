//! Members.

use jiff::Timestamp;
use redis::Value;

use super::RedisStore;
use super::call::{self, Call};
use super::record::{each, member_guid, member_of, read_member, write_member};
use super::reply::{Fields, Reply};
use super::users::{Reservation, UniqueName, in_time};
use super::window_record::write_options;
use crate::domain::id::{MemberGuid, UserGuid};
use crate::domain::member::Member;
use crate::store::{Deletion, MemberCreation, NewMember, Result, SessionOwner};

fn external(name: &str) -> UniqueName<'_> {
    UniqueName {
        index: "externals",
        name: Some(name),
    }
}

impl RedisStore {
    /// Keeps a new member, its first window and the notices of its creation. An `external_guid`,
    /// where given, is unique within the client; its reservation is one further round trip, before.
    pub(in crate::store) async fn create_member(
        &self,
        new: &NewMember,
        now: Timestamp,
    ) -> Result<MemberCreation> {
        let until = match new.member.external_guid.as_deref() {
            None => String::new(),
            Some(name) => match self.reserve_external(&new.member, name).await? {
                Reservation::Until(until) => until,
                Reservation::Taken(holder) => {
                    return Ok(MemberCreation::ExternalGuidTaken(member_guid(&holder)?));
                }
            },
        };
        let member = &new.member;
        let call = Call::new(
            &call::CREATE_MEMBER,
            self.keys.partition(member.guid.partition()),
        )
        .text(member.guid.compact())
        .text(member.user.compact())
        .time(member.created_at)
        .text(until)
        .fields(write_member(member));
        let call = match &new.window {
            Some(window) => call
                .text(window.guid.compact())
                .time(window.deadline)
                .time(now)
                .fields(write_options(&window.options)),
            None => call.text("").text("").time(now).fields(Vec::new()),
        };
        in_time(self.link.call(call.notices(&new.created)).await?)?;
        Ok(MemberCreation::Created)
    }

    async fn reserve_external(&self, member: &Member, name: &str) -> Result<Reservation> {
        let guid = member.guid.compact();
        let first = self
            .reserve(&member.client, external(name), &guid, "", None)
            .await?;
        let Reservation::Taken(holder) = &first else {
            return Ok(first);
        };
        let bearer = self.any_member(member_guid(holder)?).await?;
        if bearer.is_some_and(|bearer| bearer.external_guid.as_deref() == Some(name)) {
            return Ok(first);
        }
        self.reserve(&member.client, external(name), &guid, holder, None)
            .await
    }

    /// The user's member of that guid.
    pub(in crate::store) async fn member(
        &self,
        user: UserGuid,
        member: MemberGuid,
    ) -> Result<Option<Member>> {
        let member = self.any_member(member).await?;
        Ok(member.filter(|member| member.user == user))
    }

    /// Whose member it is.
    pub(in crate::store) async fn owner_of_member(
        &self,
        member: MemberGuid,
    ) -> Result<Option<SessionOwner>> {
        let member = self.any_member(member).await?;
        Ok(member.map(|member| SessionOwner {
            user: member.user,
            client: member.client,
        }))
    }

    async fn any_member(&self, guid: MemberGuid) -> Result<Option<Member>> {
        let base = self.keys.partition(guid.partition());
        let mut command = redis::cmd("HGETALL");
        command.arg(format!("{base}m{}", guid.compact()));
        let fields = Fields::of(self.link.query::<Value>(&command).await?)?;
        if fields.is_empty() || fields.has("gone") {
            return Ok(None);
        }
        read_member(guid, &fields).map(Some)
    }

    /// The user's members, oldest first.
    pub(in crate::store) async fn members(&self, user: UserGuid) -> Result<Vec<Member>> {
        let base = self.keys.partition(user.partition());
        let call = Call::new(&call::MEMBERS, base).text(user.compact());
        each(self.link.call(call).await?, member_of)
    }

    /// Deletes the user's member, its grant and its unfinished job, and ends its unfinished window
    /// as `Errored(SessionError, MemberDeleted)`. Windows stay readable. `None`: no such member. An
    /// `external_guid` is given back afterwards, in one further round trip; until then, or if that
    /// is cut off, it counts as free because nobody bears it.
    pub(in crate::store) async fn delete_member(
        &self,
        deletion: &Deletion,
        now: Timestamp,
    ) -> Result<Option<Member>> {
        let base = self.keys.partition(deletion.member.partition());
        let call = Call::new(&call::DELETE_MEMBER, base)
            .text(deletion.user.compact())
            .text(deletion.member.compact())
            .time(now)
            .number(self.retention())
            .notices(&deletion.deleted)
            .notices(&deletion.finished);
        let Some(reply) = Reply::optional(self.link.call(call).await?)? else {
            return Ok(None);
        };
        let member = member_of(reply)?;
        if let Some(name) = &member.external_guid {
            let guids = vec![member.guid.compact()];
            let _ = self.release(&member.client, external(name), guids).await;
        }
        Ok(Some(member))
    }
}
