//! The steps of the member API, still to be written.

use jiff::Timestamp;

use super::SqliteStore;
use crate::domain::id::{ClientId, JobGuid, MemberGuid, UserGuid};
use crate::domain::member::Member;
use crate::domain::user::User;
use crate::store::{
    Answered, Answering, Idempotence, IdempotentRequest, JobOrder, Lease, MemberChange,
    MemberUpdate, Ordered, Result, UserChange, UserUpdate,
};

impl SqliteStore {
    pub(in crate::store) async fn update_user(&self, _: &UserChange) -> Result<UserUpdate> {
        todo!()
    }
    pub(in crate::store) async fn delete_user(
        &self,
        _: &ClientId,
        _: UserGuid,
        _: Timestamp,
    ) -> Result<Option<User>> {
        todo!()
    }
    pub(in crate::store) async fn begin_idempotent(
        &self,
        _: &IdempotentRequest,
        _: Timestamp,
    ) -> Result<Idempotence> {
        todo!()
    }
    pub(in crate::store) async fn finish_idempotent(
        &self,
        _: &IdempotentRequest,
        _: &[u8],
        _: Timestamp,
    ) -> Result<()> {
        todo!()
    }
    pub(in crate::store) async fn release_idempotent(&self, _: &IdempotentRequest) -> Result<()> {
        todo!()
    }
    pub(in crate::store) async fn member_by_external_guid(
        &self,
        _: &ClientId,
        _: UserGuid,
        _: &str,
    ) -> Result<Option<Member>> {
        todo!()
    }
    pub(in crate::store) async fn deleted_member(
        &self,
        _: UserGuid,
        _: MemberGuid,
        _: Timestamp,
    ) -> Result<Option<Member>> {
        todo!()
    }
    pub(in crate::store) async fn update_member(
        &self,
        _: &MemberChange,
        _: Timestamp,
    ) -> Result<MemberUpdate> {
        todo!()
    }
    pub(in crate::store) async fn order_job(&self, _: &JobOrder, _: Timestamp) -> Result<Ordered> {
        todo!()
    }
    pub(in crate::store) async fn answer_challenges(
        &self,
        _: &Answering,
        _: Timestamp,
    ) -> Result<Answered> {
        todo!()
    }
    pub(in crate::store) async fn lease(&self, _: JobGuid) -> Result<Lease> {
        todo!()
    }
}
