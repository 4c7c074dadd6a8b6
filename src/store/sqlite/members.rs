//! Members: their rows, and the steps that make and delete them.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::{self, News};
use super::values::{Json, Millis};
use super::{SqliteStore, deleted, jobs, users, windows};
use crate::domain::id::{ClientId, InstitutionCode, MemberGuid, UserGuid};
use crate::domain::member::{ConnectionStatus, Member};
use crate::domain::secret::Digest;
use crate::domain::window::{Ending, ErrorReason, Window, WindowStatus};
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
        self.threads.read(move |tx| load_of(tx, user, member)).await
    }

    pub(in crate::store) async fn member_by_external_guid(
        &self,
        client: &ClientId,
        user: UserGuid,
        external_guid: &str,
    ) -> Result<Option<Member>> {
        let (client, external_guid) = (client.clone(), external_guid.to_owned());
        self.threads
            .read(move |tx| {
                let mut sql = tx.prepare_cached(
                    "SELECT * FROM members WHERE client = ? AND external_guid = ? AND user = ?",
                )?;
                let found = sql.query_row(params![client, external_guid, user], from_row);
                Ok(found.optional()?)
            })
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
        self.threads.read(move |tx| all_of(tx, user)).await
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
        fingerprint: row.get("fingerprint")?,
        refusals: row.get("refusals")?,
        data_request: row.get::<_, Json<_>>("data_request")?.0,
        callback_payload: row.get("callback_payload")?,
    })
}

/// The member of that guid, whoever's it is.
pub(super) fn load(tx: &Connection, guid: MemberGuid) -> Result<Option<Member>> {
    let mut sql = tx.prepare_cached("SELECT * FROM members WHERE guid = ?")?;
    Ok(sql.query_row(params![guid], from_row).optional()?)
}

/// The user's member of that guid.
pub(super) fn load_of(tx: &Connection, user: UserGuid, guid: MemberGuid) -> Result<Option<Member>> {
    Ok(load(tx, guid)?.filter(|member| member.user == user))
}

/// The user's members, oldest first.
pub(super) fn all_of(tx: &Connection, user: UserGuid) -> Result<Vec<Member>> {
    let mut sql =
        tx.prepare_cached("SELECT * FROM members WHERE user = ? ORDER BY created_at, seq")?;
    let members = sql.query_map(params![user], from_row)?;
    Ok(members.collect::<rusqlite::Result<_>>()?)
}

/// Which of the client's members has that `external_guid`.
pub(super) fn holder_of(
    tx: &Connection,
    client: &ClientId,
    external_guid: Option<&str>,
) -> Result<Option<MemberGuid>> {
    let mut sql =
        tx.prepare_cached("SELECT guid FROM members WHERE client = ? AND external_guid = ?")?;
    let holder = sql.query_row(params![client, external_guid], |row| row.get("guid"));
    Ok(holder.optional()?)
}

/// Which of the user's members of the institution, `except` apart, is known by one of the
/// fingerprints.
pub(super) fn known_by(
    tx: &Connection,
    (user, institution): (UserGuid, &InstitutionCode),
    fingerprints: &[Digest],
    except: MemberGuid,
) -> Result<Option<MemberGuid>> {
    let mut sql = tx.prepare_cached(
        "SELECT guid FROM members
         WHERE user = ? AND institution = ? AND fingerprint = ? AND guid <> ?",
    )?;
    for fingerprint in fingerprints {
        let found = sql
            .query_row(params![user, institution, fingerprint, except], |row| {
                row.get("guid")
            })
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Moves the member on; a status that may not follow its own is not taken.
pub(super) fn follow(member: &mut Member, status: ConnectionStatus) {
    member.status = member.status.then(status).unwrap_or(member.status);
}

/// What the member's data is pulled with, sealed: an OAuth member's grant, a standard member's
/// credentials.
pub(super) fn means_of(tx: &Connection, member: MemberGuid) -> Result<Option<Vec<u8>>> {
    let mut sql = tx.prepare_cached("SELECT sealed FROM grants WHERE member = ?")?;
    let sealed = sql.query_row(params![member], |row| row.get("sealed"));
    Ok(sealed.optional()?)
}

/// Keeps what the member's data is pulled with, in place of what was.
pub(super) fn keep_means(tx: &Connection, member: MemberGuid, sealed: &[u8]) -> Result<()> {
    tx.prepare_cached("INSERT OR REPLACE INTO grants (member, sealed) VALUES (?, ?)")?
        .execute(params![member, sealed])?;
    Ok(())
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
        "UPDATE members SET name = ?, external_guid = ?, metadata = ?, use_cases = ?,
             background_aggregation_is_disabled = ?, status = ?, revision = ?, aggregated_at = ?,
             successfully_aggregated_at = ?, current_job = ?, most_recent_job = ?,
             latest_window = ?, fingerprint = ?, refusals = ?, data_request = ?,
             callback_payload = ?
         WHERE guid = ?",
    )?
    .execute(params![
        member.name,
        member.external_guid,
        member.metadata,
        Json(&member.use_cases),
        member.background_aggregation_is_disabled,
        member.status,
        member.revision,
        member.aggregated_at.map(Millis),
        member.successfully_aggregated_at.map(Millis),
        member.current_job,
        member.most_recent_job,
        member.latest_window,
        member.fingerprint,
        member.refusals,
        Json(&member.data_request),
        member.callback_payload,
        member.guid,
    ])?;
    Ok(())
}

fn insert(tx: &Connection, member: &Member) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO members (guid, user, user_id, client, institution, institution_guid, name,
             external_guid, metadata, use_cases, background_aggregation_is_disabled, is_oauth,
             skip_aggregation, status, revision, created_at, aggregated_at,
             successfully_aggregated_at, current_job, most_recent_job, latest_window,
             fingerprint, refusals, data_request, callback_payload)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        member.fingerprint,
        member.refusals,
        Json(&member.data_request),
        member.callback_payload,
    ])?;
    Ok(())
}

fn create(tx: &Connection, new: &NewMember, now: Timestamp) -> Result<MemberCreation> {
    let member = &new.member;
    if load(tx, member.guid)?.is_some() {
        return Ok(MemberCreation::Created);
    }
    if users::load(tx, &member.client, member.user)?.is_none() {
        return Ok(MemberCreation::NoSuchUser);
    }
    let name = member.external_guid.as_deref();
    if let Some(holder) = holder_of(tx, &member.client, name)? {
        return Ok(MemberCreation::ExternalGuidTaken(holder));
    }
    let place = (member.user, &member.institution);
    if let Some(existing) = known_by(tx, place, &new.fingerprints, member.guid)? {
        return Ok(MemberCreation::Duplicate(existing));
    }
    deleted::purge_earlier(tx, member, &new.fingerprints)?;
    insert(tx, member)?;
    if let Some(window) = &new.window {
        windows::insert(tx, &windows::issued(member, window, None, now), member)?;
    }
    if let Some(sealed) = &new.sealed_credentials {
        keep_means(tx, member.guid, sealed)?;
    }
    if let Some(job) = &new.job {
        jobs::queue(tx, job, member, now)?;
    }
    events::tell(tx, &new.created, &News::of(member), now)?;
    Ok(MemberCreation::Created)
}

fn delete(tx: &Connection, deletion: &Deletion, now: Timestamp) -> Result<Option<Member>> {
    let Some(mut member) = load_of(tx, deletion.user, deletion.member)? else {
        return Ok(None);
    };
    member.revision += 1;
    if let Some(window) = end_window_of(tx, &member, now)? {
        let news = News::of(&member).with_window(&window);
        events::tell(tx, &deletion.finished, &news, now)?;
    }
    if !is_unconnected(&member) {
        deleted::keep(tx, &member, now)?;
    }
    remove(tx, member.guid)?;
    events::tell(tx, &deletion.deleted, &News::of(&member), now)?;
    Ok(Some(member))
}

/// Whether it is an OAuth member that nobody connected yet: when it goes, nothing of it is kept.
pub(super) fn is_unconnected(member: &Member) -> bool {
    member.is_oauth && member.status == ConnectionStatus::Pending
}

/// Ends the unfinished window of a member that goes, and gives it back.
pub(super) fn end_window_of(
    tx: &Connection,
    member: &Member,
    now: Timestamp,
) -> Result<Option<Window>> {
    let Some(mut window) = windows::unfinished_of(tx, member.guid)? else {
        return Ok(None);
    };
    let status = WindowStatus::Errored(ErrorReason::SessionError, Ending::MemberDeleted);
    windows::finish(tx, &mut window, status, now)?;
    Ok(Some(window))
}

/// Removes a member whose windows have ended, with its unfinished job and what it is pulled with.
pub(super) fn remove(tx: &Connection, member: MemberGuid) -> Result<()> {
    jobs::drop_unfinished_of(tx, member)?;
    // Grant and credentials go with it.
    tx.prepare_cached("DELETE FROM members WHERE guid = ?")?
        .execute(params![member])?;
    Ok(())
}
