//! Members.

use jiff::Timestamp;
use redis::Value;

use super::call::{self, Call};
use super::record::{
    changes, each, flag, member_guid, member_of, read_member, write_data_request, write_member,
    write_use_cases,
};
use super::reply::{Fields, Reply, unreadable};
use super::users::{Reservation, UniqueName, late};
use super::window_record::write_options;
use super::{RedisStore, millis};
use crate::domain::id::{ClientId, MemberGuid, UserGuid};
use crate::domain::job::JobFailure;
use crate::domain::member::{ConnectionStatus, Member};
use crate::store::{
    Deletion, MemberChange, MemberCreation, MemberUpdate, NewMember, Result, SOFT_DELETED,
    SessionOwner,
};

fn external(name: &str) -> UniqueName<'_> {
    UniqueName {
        index: "externals",
        name: Some(name),
    }
}

impl RedisStore {
    /// Keeps a new member. The reservation of an `external_guid` is one further round trip, before,
    /// and is given back where the creation is refused.
    pub(in crate::store) async fn create_member(
        &self,
        new: &NewMember,
        now: Timestamp,
    ) -> Result<MemberCreation> {
        let member = &new.member;
        let name = member.external_guid.as_deref();
        let until = match name {
            None => String::new(),
            Some(name) => match self.reserve_external(member, name).await? {
                Reservation::Until(until) => until,
                Reservation::Taken(holder) => {
                    return Ok(MemberCreation::ExternalGuidTaken(member_guid(&holder)?));
                }
            },
        };
        let written = Member {
            fingerprint: new.fingerprints.first().copied().or(member.fingerprint),
            ..member.clone()
        };
        let guid = member.guid.compact();
        let call = Call::new(
            &call::CREATE_MEMBER,
            self.keys.partition(member.guid.partition()),
        )
        .text(&guid)
        .text(&until)
        .fields(write_member(&written))
        .digests(&new.fingerprints)
        .bytes(new.sealed_credentials.as_deref().unwrap_or_default())
        .job(new.job.as_ref());
        let call = match &new.window {
            Some(window) => call
                .text(window.guid.compact())
                .time(window.deadline)
                .time(now)
                .fields(write_options(&window.options)),
            None => call.text("").text("").time(now).fields(Vec::new()),
        };
        let answer = self.link.call(call.notices(&new.created)).await?;
        let mut reply = Reply::of(answer)?;
        match reply.text()?.as_str() {
            "created" => Ok(MemberCreation::Created),
            "late" => Err(late()),
            "duplicate" => {
                let known = member_guid(&reply.text()?)?;
                if let Some(name) = name {
                    self.release(&member.client, external(name), &guid, &until)
                        .await;
                }
                Ok(MemberCreation::Duplicate(known))
            }
            _ => Err(unreadable("the answer to a new member")),
        }
    }

    /// Changes the member: one round trip, and three more where its `external_guid` is to change.
    pub(in crate::store) async fn update_member(
        &self,
        change: &MemberChange,
        now: Timestamp,
    ) -> Result<MemberUpdate> {
        let mut reserved = None;
        if let Some(new) = &change.external_guid {
            let Some(member) = self.member(change.user, change.member).await? else {
                return Ok(MemberUpdate::NoSuchMember);
            };
            // Taking a name away reserves it, too: see `release`.
            if let Some(name) = new.as_ref().or(member.external_guid.as_ref()) {
                match self.reserve_external(&member, name).await? {
                    Reservation::Until(until) => reserved = Some((member.client, until)),
                    Reservation::Taken(holder) => {
                        return Ok(MemberUpdate::ExternalGuidTaken(member_guid(&holder)?));
                    }
                }
            }
        }
        let until = reserved.as_ref().map_or("", |(_, until)| until.as_str());
        let guid = change.member.compact();
        let (set, unset) = changes([
            ("name", change.name.clone().map(Some)),
            ("external_guid", change.external_guid.clone()),
            ("metadata", change.metadata.clone()),
            (
                "use_cases",
                change.use_cases.as_deref().map(write_use_cases),
            ),
            (
                "background_off",
                change.background_aggregation_is_disabled.map(flag),
            ),
            (
                "payload",
                change
                    .callback_payload
                    .as_ref()
                    .map(|it| Some(it.as_str().to_owned())),
            ),
            (
                "request",
                change.data_request.as_ref().map(write_data_request),
            ),
        ]);
        let credentials = change.credentials.as_ref();
        let call = Call::new(
            &call::UPDATE_MEMBER,
            self.keys.partition(change.member.partition()),
        )
        .text(change.user.compact())
        .text(&guid)
        .text(until)
        .fields(set)
        .list(unset)
        .digests(credentials.map_or(&[], |it| &it.fingerprints))
        .bytes(credentials.map_or(&[], |it| &it.sealed))
        .status(Some(ConnectionStatus::Updated))
        .job(credentials.and_then(|it| it.job.as_ref()))
        .text(JobFailure::Replaced.name())
        .time(now)
        .number(self.retention())
        .notices(&change.updated);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        let wanted = change.external_guid.clone().flatten();
        let (update, freed) = match reply.text()?.as_str() {
            "updated" => {
                let member = read_member(member_guid(&reply.text()?)?, &reply.fields()?)?;
                let borne = reply.texts()?.pop();
                let freed = borne.filter(|name| member.external_guid.as_ref() != Some(name));
                (MemberUpdate::Updated(Box::new(member)), freed)
            }
            "duplicate" => {
                let known = member_guid(&reply.text()?)?;
                let borne = reply.texts()?.pop();
                let freed = wanted.filter(|name| borne.as_ref() != Some(name));
                (MemberUpdate::Duplicate(known), freed)
            }
            "no_such_member" => (MemberUpdate::NoSuchMember, wanted),
            "late" => return Err(late()),
            _ => return Err(unreadable("the answer to a change of a member")),
        };
        if let (Some(freed), Some((client, until))) = (freed, &reserved) {
            self.release(client, external(&freed), &guid, until).await;
        }
        Ok(update)
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

    /// The user's member of that `external_guid`: two round trips.
    pub(in crate::store) async fn member_by_external_guid(
        &self,
        client: &ClientId,
        user: UserGuid,
        external_guid: &str,
    ) -> Result<Option<Member>> {
        let mut command = redis::cmd("HGET");
        command
            .arg(format!("{}externals", self.keys.client(client)))
            .arg(external_guid);
        let Some(holder) = self.link.query::<Option<String>>(&command).await? else {
            return Ok(None);
        };
        let member = self.member(user, member_guid(&holder)?).await?;
        Ok(member.filter(|member| member.external_guid.as_deref() == Some(external_guid)))
    }

    /// The user's soft-deleted member of that guid, for [`SOFT_DELETED`] after its deletion.
    pub(in crate::store) async fn deleted_member(
        &self,
        user: UserGuid,
        member: MemberGuid,
        now: Timestamp,
    ) -> Result<Option<Member>> {
        let fields = self.member_fields('x', member).await?;
        if fields.is_empty() || now >= fields.time("deleted")? + SOFT_DELETED {
            return Ok(None);
        }
        let member = read_member(member, &fields)?;
        Ok(Some(member).filter(|member| member.user == user))
    }

    async fn any_member(&self, guid: MemberGuid) -> Result<Option<Member>> {
        let fields = self.member_fields('m', guid).await?;
        if fields.is_empty() || fields.has("gone") {
            return Ok(None);
        }
        read_member(guid, &fields).map(Some)
    }

    async fn member_fields(&self, kind: char, guid: MemberGuid) -> Result<Fields> {
        let base = self.keys.partition(guid.partition());
        let mut command = redis::cmd("HGETALL");
        command.arg(format!("{base}{kind}{}", guid.compact()));
        Fields::of(self.link.query::<Value>(&command).await?)
    }

    /// The user's members, oldest first.
    pub(in crate::store) async fn members(&self, user: UserGuid) -> Result<Vec<Member>> {
        let base = self.keys.partition(user.partition());
        let call = Call::new(&call::MEMBERS, base).text(user.compact());
        each(self.link.call(call).await?, member_of)
    }

    /// Deletes the user's member. An `external_guid` is given back afterwards, in one further round
    /// trip; until then, or if that is cut off, it counts as free because nobody bears it.
    pub(in crate::store) async fn delete_member(
        &self,
        deletion: &Deletion,
        now: Timestamp,
    ) -> Result<Option<Member>> {
        let base = self.keys.partition(deletion.member.partition());
        let call = Call::new(&call::DELETE_MEMBER, base)
            .text(deletion.user.compact())
            .text(deletion.member.compact())
            .status(Some(ConnectionStatus::Pending))
            .time(now)
            .number(self.retention())
            .number(self.listed())
            .number(millis(SOFT_DELETED))
            .notices(&deletion.deleted)
            .notices(&deletion.finished);
        let Some(reply) = Reply::optional(self.link.call(call).await?)? else {
            return Ok(None);
        };
        let member = member_of(reply)?;
        if let Some(name) = &member.external_guid {
            self.release_external(&member.client, name, member.guid)
                .await;
        }
        Ok(Some(member))
    }

    /// Gives back the `external_guid` of a member that is gone.
    pub(super) async fn release_external(&self, client: &ClientId, name: &str, was: MemberGuid) {
        self.release(client, external(name), &was.compact(), "")
            .await;
    }
}
