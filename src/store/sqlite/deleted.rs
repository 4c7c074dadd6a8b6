//! Soft-deleted members.

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::values::{Json, Millis};
use crate::domain::id::{MemberGuid, UserGuid};
use crate::domain::member::Member;
use crate::domain::secret::Digest;
use crate::store::{Result, SOFT_DELETED};

impl SqliteStore {
    pub(in crate::store) async fn deleted_member(
        &self,
        user: UserGuid,
        member: MemberGuid,
        now: Timestamp,
    ) -> Result<Option<Member>> {
        self.threads
            .read(move |tx| {
                let mut sql = tx.prepare_cached(
                    "SELECT member FROM deleted_members
                     WHERE guid = ? AND user = ? AND deleted_at > ?",
                )?;
                let found = sql
                    .query_row(params![member, user, Millis(purged_until(now))], |row| {
                        Ok(row.get::<_, Json<Member>>("member")?.0)
                    });
                Ok(found.optional()?)
            })
            .await
    }
}

/// Members that were deleted up to then are no longer kept.
pub(super) fn purged_until(now: Timestamp) -> Timestamp {
    SignedDuration::try_from(SOFT_DELETED)
        .ok()
        .and_then(|kept| now.checked_sub(kept).ok())
        .unwrap_or(Timestamp::MIN)
}

/// Keeps a member that is being deleted, as it was but for its revision.
pub(super) fn keep(tx: &Connection, member: &Member, now: Timestamp) -> Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO deleted_members
             (guid, user, institution, external_guid, fingerprint, member, deleted_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        member.guid,
        member.user,
        member.institution,
        member.external_guid,
        member.fingerprint,
        Json(member),
        Millis(now),
    ])?;
    Ok(())
}

/// Purges those whose place `member` takes: of its user, by name or by login.
pub(super) fn purge_earlier(
    tx: &Connection,
    member: &Member,
    fingerprints: &[Digest],
) -> Result<()> {
    tx.prepare_cached("DELETE FROM deleted_members WHERE user = ? AND external_guid = ?")?
        .execute(params![member.user, member.external_guid])?;
    for fingerprint in fingerprints {
        tx.prepare_cached(
            "DELETE FROM deleted_members WHERE user = ? AND institution = ? AND fingerprint = ?",
        )?
        .execute(params![member.user, member.institution, fingerprint])?;
    }
    Ok(())
}
