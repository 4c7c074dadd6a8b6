//! SSO tokens and the sessions they begin.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::SqliteStore;
use super::values::Millis;
use crate::domain::id::{Partition, UserGuid};
use crate::domain::secret::Digest;
use crate::store::{Result, SessionOwner};

impl SqliteStore {
    pub(in crate::store) async fn put_api_token(
        &self,
        owner: &SessionOwner,
        token: Digest,
        expires_at: Timestamp,
    ) -> Result<()> {
        let owner = owner.clone();
        self.threads
            .write(move |tx| {
                tx.prepare_cached(
                    "INSERT OR REPLACE INTO api_tokens (digest, user, client, expires_at)
                     VALUES (?, ?, ?, ?)",
                )?
                .execute(params![
                    token,
                    owner.user,
                    owner.client,
                    Millis(expires_at)
                ])?;
                Ok(())
            })
            .await
    }

    pub(in crate::store) async fn begin_session(
        &self,
        partition: Partition,
        token: Digest,
        session: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionOwner>> {
        self.threads
            .write(move |tx| begin(tx, partition, token, session, expires_at, now))
            .await
    }

    pub(in crate::store) async fn touch_session(
        &self,
        partition: Partition,
        session: Digest,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Option<SessionOwner>> {
        self.threads
            .write(move |tx| touch(tx, partition, session, expires_at, now))
            .await
    }

    pub(in crate::store) async fn end_sessions(&self, user: UserGuid) -> Result<()> {
        self.threads.write(move |tx| end(tx, user)).await
    }
}

/// Ends the user's sessions and forgets its SSO tokens.
pub(super) fn end(tx: &Connection, user: UserGuid) -> Result<()> {
    tx.prepare_cached("DELETE FROM sessions WHERE user = ?")?
        .execute(params![user])?;
    tx.prepare_cached("DELETE FROM api_tokens WHERE user = ?")?
        .execute(params![user])?;
    Ok(())
}

fn owner_from_row(row: &Row<'_>) -> rusqlite::Result<SessionOwner> {
    Ok(SessionOwner {
        user: row.get("user")?,
        client: row.get("client")?,
    })
}

fn touch(
    tx: &Connection,
    partition: Partition,
    session: Digest,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Option<SessionOwner>> {
    let owner = tx
        .prepare_cached("SELECT user, client FROM sessions WHERE digest = ? AND expires_at > ?")?
        .query_row(params![session, Millis(now)], owner_from_row)
        .optional()?
        .filter(|owner| owner.user.partition() == partition);
    if owner.is_some() {
        tx.prepare_cached("UPDATE sessions SET expires_at = ? WHERE digest = ?")?
            .execute(params![Millis(expires_at), session])?;
    }
    Ok(owner)
}

fn begin(
    tx: &Connection,
    partition: Partition,
    token: Digest,
    session: Digest,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<Option<SessionOwner>> {
    // The same beginning, sent again because its answer was lost.
    if let Some(owner) = touch(tx, partition, session, expires_at, now)? {
        return Ok(Some(owner));
    }
    let owner = tx
        .prepare_cached("SELECT user, client FROM api_tokens WHERE digest = ? AND expires_at > ?")?
        .query_row(params![token, Millis(now)], owner_from_row)
        .optional()?
        .filter(|owner| owner.user.partition() == partition);
    let Some(owner) = owner else {
        return Ok(None);
    };
    tx.prepare_cached("DELETE FROM api_tokens WHERE digest = ?")?
        .execute(params![token])?;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO sessions (digest, user, client, expires_at) VALUES (?, ?, ?, ?)",
    )?
    .execute(params![
        session,
        owner.user,
        owner.client,
        Millis(expires_at)
    ])?;
    Ok(Some(owner))
}
