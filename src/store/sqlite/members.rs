//! Members: their rows, and the steps that make and delete them.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::{self, News};
use super::values::{Json, Millis};
use super::{SqliteStore, windows};
use crate::domain::id::{MemberGuid, UserGuid};
use crate::domain::member::Member;
use crate::domain::window::{Ending, ErrorReason, WindowStatus};
use crate::store::{Deletion, MemberCreation, NewMember, Result, SessionOwner, StoreError};

impl SqliteStore {
    pub(in crate::store) async fn create_member(
        &self,
        new: &NewMember,
        now: Timestamp,
    ) -> Result<MemberCreation> {
        let new = new.clone();
        self.threads.write(move |tx| create(tx, &new, now)).await
    }

    pub(in crate::store) async fn member(
        &self,
        user: UserGuid,
        member: MemberGuid,
    ) -> Result<Option<Member>> {
        self.threads
            .read(move |tx| Ok(load(tx, member)?.filter(|member| member.user == user)))
            .await
    }

    pub(in crate::store) async fn owner_of_member(
        &self,
        member: MemberGuid,
    ) -> Result<Option<SessionOwner>> {
        let owner = |member: Member| SessionOwner {
            user: member.user,
            client: member.client,
        };
        self.threads
            .read(move |tx| Ok(load(tx, member)?.map(owner)))
            .await
    }

    pub(in crate::store) async fn members(&self, user: UserGuid) -> Result<Vec<Member>> {
        self.threads
            .read(move |tx| {
                let mut sql = tx.prepare_cached(
                    "SELECT * FROM members WHERE user = ? ORDER BY created_at, seq",
                )?;
                let members = sql.query_map(params![user], from_row)?;
                Ok(members.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    pub(in crate::store) async fn delete_member(
        &self,
        deletion: &Deletion,
        now: Timestamp,
    ) -> Result<Option<Member>> {
        let deletion = deletion.clone();
        self.threads
            .write(move |tx| delete(tx, &deletion, now))
            .await
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Member> {
    Ok(Member {
        guid: row.get("guid")?,
        user: row.get("user")?,
        user_id: row.get("user_id")?,
        client: row.get("client")?,
        institution: row.get("institution")?,
        institution_guid: row.get("institution_guid")?,
        name: row.get("name")?,
        external_guid: row.get("external_guid")?,
        metadata: row.get("metadata")?,
        use_cases: row.get::<_, Json<_>>("use_cases")?.0,
        background_aggregation_is_disabled: row.get("background_aggregation_is_disabled")?,
        is_oauth: row.get("is_oauth")?,
        skip_aggregation: row.get("skip_aggregation")?,
        status: row.get("status")?,
        revision: row.get("revision")?,
        created_at: row.get::<_, Millis>("created_at")?.0,
        aggregated_at: Millis::inner(row.get("aggregated_at")?),
        successfully_aggregated_at: Millis::inner(row.get("successfully_aggregated_at")?),
        current_job: row.get("current_job")?,
        most_recent_job: row.get("most_recent_job")?,
        latest_window: row.get("latest_window")?,
        fingerprint: None,
        refusals: 0,
        data_request: Default::default(),
        callback_payload: None,
    })
}

/// The member of that guid, whoever's it is.
pub(super) fn load(tx: &Connection, guid: MemberGuid) -> Result<Option<Member>> {
    let mut sql = tx.prepare_cached("SELECT * FROM members WHERE guid = ?")?;
    Ok(sql.query_row(params![guid], from_row).optional()?)
}

/// The member of an unfinished window: deleting a member ends its window, so there is one.
pub(super) fn of_unfinished_window(tx: &Connection, guid: MemberGuid) -> Result<Member> {
    load(tx, guid)?.ok_or_else(|| {
        StoreError::Unreadable(format!("{guid} is gone, but a window of it is unfinished"))
    })
}

/// Keeps a changed member: what can change of it, under the next revision.
pub(super) fn save_change(tx: &Connection, member: &mut Member) -> Result<()> {
    member.revision += 1;
    tx.prepare_cached(
        "UPDATE members SET status = ?, revision = ?, aggregated_at = ?,
             successfully_aggregated_at = ?, current_job = ?, most_recent_job = ?,
             latest_window = ?
         WHERE guid = ?",
    )?
    .execute(params![
        member.status,
        member.revision,
        member.aggregated_at.map(Millis),
        member.successfully_aggregated_at.map(Millis),
        member.current_job,
        member.most_recent_job,
        member.latest_window,
        member.guid,
    ])?;
    Ok(())
}

fn insert(tx: &Connection, member: &Member) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO members (guid, user, user_id, client, institution, institution_guid, name,
             external_guid, metadata, use_cases, background_aggregation_is_disabled, is_oauth,
             skip_aggregation, status, revision, created_at, aggregated_at,
             successfully_aggregated_at, current_job, most_recent_job, latest_window)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        member.guid,
        member.user,
        member.user_id,
        member.client,
        member.institution,
        member.institution_guid,
        member.name,
        member.external_guid,
        member.metadata,
        Json(&member.use_cases),
        member.background_aggregation_is_disabled,
        member.is_oauth,
        member.skip_aggregation,
        member.status,
        member.revision,
        Millis(member.created_at),
        member.aggregated_at.map(Millis),
        member.successfully_aggregated_at.map(Millis),
        member.current_job,
        member.most_recent_job,
        member.latest_window,
    ])?;
    Ok(())
}

fn create(tx: &Connection, new: &NewMember, now: Timestamp) -> Result<MemberCreation> {
    let member = &new.member;
    if load(tx, member.guid)?.is_some() {
        return Ok(MemberCreation::Created);
    }
    let holder = tx
        .prepare_cached("SELECT guid FROM members WHERE client = ? AND external_guid = ?")?
        .query_row(params![member.client, member.external_guid], |row| {
            row.get("guid")
        })
        .optional()?;
    if let Some(holder) = holder {
        return Ok(MemberCreation::ExternalGuidTaken(holder));
    }
    insert(tx, member)?;
    if let Some(window) = &new.window {
        windows::insert(tx, &windows::issued(member, window, None, now), member)?;
    }
    events::tell(tx, &new.created, &News::of(member), now)?;
    Ok(MemberCreation::Created)
}

fn delete(tx: &Connection, deletion: &Deletion, now: Timestamp) -> Result<Option<Member>> {
    let member = load(tx, deletion.member)?.filter(|member| member.user == deletion.user);
    let Some(member) = member else {
        return Ok(None);
    };
    if let Some(mut window) = windows::unfinished_of(tx, member.guid)? {
        let status = WindowStatus::Errored(ErrorReason::SessionError, Ending::MemberDeleted);
        windows::finish(tx, &mut window, status, now)?;
        let news = News::of(&member).with_window(&window);
        events::tell(tx, &deletion.finished, &news, now)?;
    }
    tx.prepare_cached("DELETE FROM jobs WHERE member = ? AND finished_at IS NULL")?
        .execute(params![member.guid])?;
    // The grant goes with it.
    tx.prepare_cached("DELETE FROM members WHERE guid = ?")?
        .execute(params![member.guid])?;
    events::tell(tx, &deletion.deleted, &News::of(&member), now)?;
    Ok(Some(member))
}
