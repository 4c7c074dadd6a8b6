//! Members.

use jiff::Timestamp;

use super::driver::{Care, Store};
use super::names::{Reservation, reservation_expired, unreadable};
use super::outcome::{Place, Result, StoreError};
use crate::domain::id::{ClientId, MemberGuid, UserGuid};
use crate::domain::member::Member;
use crate::steps::record::{Key, List, NameKind, Reads, SOFT_DELETED, Slot};
use crate::steps::{
    ArrangeBackground, Deletion, Forget, MemberChange, MemberCreation, MemberUpdate, NewMember,
    PageRequest, Paged, SessionOwner,
};

fn external(client: &ClientId, name: &str, holder: MemberGuid) -> Reservation {
    Reservation::of(client, NameKind::ExternalGuid, name, &holder.compact())
}

fn guids(places: Vec<Place>) -> Result<Vec<MemberGuid>> {
    let guid = |place: Place| MemberGuid::from_compact(place.key.id()).map_err(unreadable);
    places.into_iter().map(guid).collect()
}

impl Store {
    /// Keeps a new member with its first window or its credentials and first job, and the notices of
    /// its creation. An `external_guid`, where given, is unique within the client; a login, where
    /// known, within the user's living members of the institution. A soft-deleted member of the user
    /// that had the same `external_guid`, or the same login at the institution, is purged.
    pub async fn create_member(&self, new: &NewMember, now: Timestamp) -> Result<MemberCreation> {
        let _timing = self.timed("create_member");
        let member = &new.member;
        let name = member.external_guid.as_deref();
        let name = name.map(|name| external(&member.client, name, member.guid));
        if let Some(name) = &name
            && let Some(holder) = self.reserve(name, now).await?
        {
            let holder = MemberGuid::from_compact(&holder);
            return Ok(MemberCreation::ExternalGuidTaken(
                holder.map_err(unreadable)?,
            ));
        }
        let care = match &new.tokens {
            Some(_) => Care::Irreplaceable,
            None => Care::Usual,
        };
        let creation = self.step_with(care, new, now).await?;
        let Some(name) = &name else {
            return Ok(creation);
        };
        let is_created = matches!(creation, MemberCreation::Created | MemberCreation::Found(_));
        if !is_created {
            self.give_back_for_good(name, now).await?;
        } else if !self.settle(name, now).await? {
            let deletion = Deletion {
                user: member.user,
                member: member.guid,
                only_abandoned_since: None,
                deleted: Vec::new(),
                finished: Vec::new(),
            };
            self.step(&deletion, now).await?;
            return Err(reservation_expired());
        }
        Ok(creation)
    }

    /// The user's member of that guid.
    pub async fn member(&self, user: UserGuid, member: MemberGuid) -> Result<Option<Member>> {
        let _timing = self.timed("member");
        self.member_of(user, member).await
    }

    pub(super) async fn member_of(
        &self,
        user: UserGuid,
        member: MemberGuid,
    ) -> Result<Option<Member>> {
        let member = self.any_member(member).await?;
        Ok(member.filter(|member| member.user == user))
    }

    /// The same, however long the store is away.
    pub async fn member_persistently(
        &self,
        user: UserGuid,
        member: MemberGuid,
    ) -> Result<Option<Member>> {
        for wait in Care::Irreplaceable.waits() {
            match self.member(user, member).await {
                Err(StoreError::Unavailable(_)) => tokio::time::sleep(*wait).await,
                read => return read,
            }
        }
        self.member(user, member).await
    }

    async fn any_member(&self, guid: MemberGuid) -> Result<Option<Member>> {
        let slot = Slot::Partition(guid.partition());
        let view = self.look(slot, Reads::of([Key::member(guid)])).await?;
        Ok(view.member(guid).cloned())
    }

    /// The user's member of that `external_guid`.
    pub async fn member_by_external_guid(
        &self,
        client: &ClientId,
        user: UserGuid,
        external_guid: &str,
    ) -> Result<Option<Member>> {
        let _timing = self.timed("member_by_external_guid");
        let holder = self
            .holder(client, NameKind::ExternalGuid, external_guid)
            .await?;
        let Some(Ok(guid)) = holder.map(|holder| MemberGuid::from_compact(&holder)) else {
            return Ok(None);
        };
        let member = self.any_member(guid).await?;
        Ok(member.filter(|member| {
            member.user == user && member.external_guid.as_deref() == Some(external_guid)
        }))
    }

    /// The user's soft-deleted member of that guid, for [`SOFT_DELETED`] after its deletion.
    pub async fn deleted_member(
        &self,
        user: UserGuid,
        member: MemberGuid,
        now: Timestamp,
    ) -> Result<Option<Member>> {
        let _timing = self.timed("deleted_member");
        let slot = Slot::Partition(member.partition());
        let view = self.look(slot, Reads::of([Key::deleted(member)])).await?;
        let kept = view.deleted(member);
        let found =
            kept.filter(|kept| kept.member.user == user && now < kept.deleted_at + SOFT_DELETED);
        Ok(found.map(|kept| kept.member.clone()))
    }

    /// Changes the member; see [`steps::member`](crate::steps::member).
    pub async fn update_member(
        &self,
        change: &MemberChange,
        now: Timestamp,
    ) -> Result<MemberUpdate> {
        let _timing = self.timed("update_member");
        let wanted = change
            .external_guid
            .as_ref()
            .and_then(|name| name.as_deref());
        let mut reserved = None;
        if let Some(name) = wanted {
            let member = self.any_member(change.member).await?;
            let Some(member) = member.filter(|member| member.user == change.user) else {
                return Ok(MemberUpdate::NoSuchMember);
            };
            let name = external(&member.client, name, change.member);
            if let Some(holder) = self.reserve(&name, now).await? {
                let holder = MemberGuid::from_compact(&holder);
                return Ok(MemberUpdate::ExternalGuidTaken(holder.map_err(unreadable)?));
            }
            reserved = Some(name);
        }
        let (update, before) = self.step(change, now).await?;
        match (&update, &reserved) {
            (MemberUpdate::Updated(member), _) => {
                if let Some(reserved) = &reserved
                    && !self.settle(reserved, now).await?
                {
                    let before = before.map(|it| external(&member.client, &it, member.guid));
                    self.put_back(reserved, before.as_ref(), now).await?;
                    return Err(reservation_expired());
                }
                if let Some(before) = before.filter(|it| member.external_guid.as_ref() != Some(it))
                {
                    let before = external(&member.client, &before, member.guid);
                    self.give_back(&before, now).await?;
                }
            }
            (_, Some(reserved)) if before.as_deref() == wanted => {
                self.settle(reserved, now).await?;
            }
            (_, Some(reserved)) => self.give_back(reserved, now).await?,
            (_, None) => {}
        }
        Ok(update)
    }

    /// The user's members, oldest first.
    pub async fn members(&self, user: UserGuid) -> Result<Vec<Member>> {
        let _timing = self.timed("members");
        self.members_of(user).await
    }

    pub(super) async fn members_of(&self, user: UserGuid) -> Result<Vec<Member>> {
        let guids = self.member_guids(user).await?;
        self.members_in(user, &guids).await
    }

    /// A page of the user's members, oldest first. Only what is on it is read.
    pub async fn members_page(&self, user: UserGuid, page: PageRequest) -> Result<Paged<Member>> {
        let _timing = self.timed("members_page");
        let slot = Slot::Partition(user.partition());
        let (skip, limit) = (page.skipped(), u64::from(page.per_page));
        let (places, total) = self.places(&slot, List::Members(user), skip, limit).await?;
        let items = self.members_in(user, &guids(places)?).await?;
        Ok(Paged { items, total })
    }

    /// Those of these members that are still there, in the same order.
    async fn members_in(&self, user: UserGuid, guids: &[MemberGuid]) -> Result<Vec<Member>> {
        let slot = Slot::Partition(user.partition());
        let keys: Vec<Key> = guids.iter().copied().map(Key::member).collect();
        let view = self.look(slot, Reads::of(keys)).await?;
        let members = guids.iter().filter_map(|guid| view.member(*guid));
        Ok(members.cloned().collect())
    }

    pub(super) async fn member_guids(&self, user: UserGuid) -> Result<Vec<MemberGuid>> {
        guids(self.all_places(user, List::Members(user)).await?)
    }

    /// All of a list of a user's.
    pub(super) async fn all_places(&self, user: UserGuid, list: List) -> Result<Vec<Place>> {
        let slot = Slot::Partition(user.partition());
        Ok(self.places(&slot, list, 0, u64::from(u32::MAX)).await?.0)
    }

    /// Whose member it is, whoever asks: for callers that know the client and not the user.
    pub async fn owner_of_member(&self, member: MemberGuid) -> Result<Option<SessionOwner>> {
        let _timing = self.timed("owner_of_member");
        let member = self.any_member(member).await?;
        Ok(member.map(|member| SessionOwner {
            user: member.user,
            client: member.client,
        }))
    }

    /// Deletes the user's member; see [`steps::deletion`](crate::steps::deletion). `None`: no such member.
    pub async fn delete_member(
        &self,
        deletion: &Deletion,
        now: Timestamp,
    ) -> Result<Option<Member>> {
        let _timing = self.timed("delete_member");
        self.delete_member_at(deletion, now).await
    }

    /// Arranges the member's background pulls; `false`: nothing changed.
    pub async fn arrange_background(
        &self,
        arrange: &ArrangeBackground,
        now: Timestamp,
    ) -> Result<bool> {
        let _timing = self.timed("arrange_background");
        self.step(arrange, now).await
    }

    pub(super) async fn delete_member_at(
        &self,
        deletion: &Deletion,
        now: Timestamp,
    ) -> Result<Option<Member>> {
        let deleted = self.step(deletion, now).await?;
        if let Some(member) = &deleted {
            self.give_back_external(member, now).await;
        }
        Ok(deleted)
    }

    /// Gives back the `external_guid` of a member that is gone. Where that fails the name counts as free
    /// all the same: nobody uses it.
    pub(super) async fn give_back_external(&self, gone: &Member, now: Timestamp) {
        if let Some(name) = &gone.external_guid {
            let name = external(&gone.client, name, gone.guid);
            let _ = self.give_back_for_good(&name, now).await;
        }
    }

    /// Forgets the soft-deleted members of a user that goes.
    pub(super) async fn purge_deleted_members(&self, user: UserGuid, now: Timestamp) -> Result<()> {
        let deleted = self.all_places(user, List::DeletedMembers(user)).await?;
        let deleted = deleted.into_iter().map(|place| place.key);
        for key in deleted.filter(|key| key.kind() == 'x') {
            self.step(&Forget { user, key }, now).await?;
        }
        Ok(())
    }
}
