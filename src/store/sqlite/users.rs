//! Users and API keys.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::values::Millis;
use super::{SqliteStore, members, sessions};
use crate::domain::id::{ClientId, UserGuid};
use crate::domain::secret::Digest;
use crate::domain::user::User;
use crate::store::{
    ApiKeyRecord, KeyAddition, PageRequest, Paged, Result, StoreError, UserChange, UserCreation,
    UserUpdate,
};

/// How many keys of a client may be active: one in use, and its successor.
const ACTIVE_KEYS: u32 = 2;

impl SqliteStore {
    pub(in crate::store) async fn create_user(&self, user: &User) -> Result<UserCreation> {
        let user = user.clone();
        self.threads.write(move |tx| create(tx, &user)).await
    }

    pub(in crate::store) async fn user(
        &self,
        client: &ClientId,
        user: UserGuid,
    ) -> Result<Option<User>> {
        let client = client.clone();
        self.threads.read(move |tx| load(tx, &client, user)).await
    }

    pub(in crate::store) async fn user_by_id(
        &self,
        client: &ClientId,
        id: &str,
    ) -> Result<Option<User>> {
        let (client, id) = (client.clone(), id.to_owned());
        self.threads
            .read(move |tx| {
                let mut sql =
                    tx.prepare_cached("SELECT * FROM users WHERE client = ? AND id = ?")?;
                Ok(sql.query_row(params![client, id], from_row).optional()?)
            })
            .await
    }

    pub(in crate::store) async fn users(
        &self,
        client: &ClientId,
        page: PageRequest,
    ) -> Result<Paged<User>> {
        let client = client.clone();
        self.threads.read(move |tx| list(tx, &client, page)).await
    }

    pub(in crate::store) async fn update_user(&self, change: &UserChange) -> Result<UserUpdate> {
        let change = change.clone();
        self.threads.write(move |tx| update(tx, &change)).await
    }

    pub(in crate::store) async fn delete_user(
        &self,
        client: &ClientId,
        user: UserGuid,
        now: Timestamp,
    ) -> Result<Option<User>> {
        let client = client.clone();
        self.threads
            .write(move |tx| delete(tx, &client, user, now))
            .await
    }

    pub(in crate::store) async fn add_api_key(
        &self,
        client: &ClientId,
        id: &str,
        digest: Digest,
        now: Timestamp,
    ) -> Result<KeyAddition> {
        let (client, id) = (client.clone(), id.to_owned());
        self.threads
            .write(move |tx| add_key(tx, &client, &id, digest, now))
            .await
    }

    pub(in crate::store) async fn api_key(
        &self,
        client: &ClientId,
        id: &str,
    ) -> Result<Option<Digest>> {
        let (client, id) = (client.clone(), id.to_owned());
        self.threads
            .read(move |tx| {
                let mut sql = tx.prepare_cached(
                    "SELECT digest FROM api_keys
                     WHERE client = ? AND id = ? AND retired_at IS NULL",
                )?;
                let found = sql.query_row(params![client, id], |row| row.get("digest"));
                Ok(found.optional()?)
            })
            .await
    }

    pub(in crate::store) async fn api_keys(&self, client: &ClientId) -> Result<Vec<ApiKeyRecord>> {
        let client = client.clone();
        self.threads
            .read(move |tx| {
                let mut sql = tx.prepare_cached(
                    "SELECT * FROM api_keys WHERE client = ? ORDER BY created_at, seq",
                )?;
                let keys = sql.query_map(params![client], key_from_row)?;
                Ok(keys.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    pub(in crate::store) async fn retire_api_key(
        &self,
        client: &ClientId,
        id: &str,
        now: Timestamp,
    ) -> Result<bool> {
        let (client, id) = (client.clone(), id.to_owned());
        self.threads
            .write(move |tx| {
                let mut sql = tx.prepare_cached(
                    "UPDATE api_keys SET retired_at = ?
                     WHERE client = ? AND id = ? AND retired_at IS NULL",
                )?;
                Ok(sql.execute(params![Millis(now), client, id])? > 0)
            })
            .await
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        guid: row.get("guid")?,
        client: row.get("client")?,
        id: row.get("id")?,
        email: row.get("email")?,
        metadata: row.get("metadata")?,
        is_disabled: row.get("is_disabled")?,
        created_at: row.get::<_, Millis>("created_at")?.0,
    })
}

fn key_from_row(row: &Row<'_>) -> rusqlite::Result<ApiKeyRecord> {
    Ok(ApiKeyRecord {
        id: row.get("id")?,
        created_at: row.get::<_, Millis>("created_at")?.0,
        retired_at: Millis::inner(row.get("retired_at")?),
    })
}

pub(super) fn load(tx: &Connection, client: &ClientId, user: UserGuid) -> Result<Option<User>> {
    let mut sql = tx.prepare_cached("SELECT * FROM users WHERE guid = ? AND client = ?")?;
    Ok(sql.query_row(params![user, client], from_row).optional()?)
}

/// Which of the client's users has that `id`.
fn holder_of(tx: &Connection, client: &ClientId, id: Option<&str>) -> Result<Option<UserGuid>> {
    let mut sql = tx.prepare_cached("SELECT guid FROM users WHERE client = ? AND id = ?")?;
    let holder = sql.query_row(params![client, id], |row| row.get("guid"));
    Ok(holder.optional()?)
}

fn create(tx: &Connection, user: &User) -> Result<UserCreation> {
    let is_kept = tx
        .prepare_cached("SELECT 1 FROM users WHERE guid = ?")?
        .exists(params![user.guid])?;
    if is_kept {
        return Ok(UserCreation::Created);
    }
    if let Some(holder) = holder_of(tx, &user.client, user.id.as_deref())? {
        return Ok(UserCreation::IdTaken(holder));
    }
    tx.prepare_cached(
        "INSERT INTO users (guid, client, id, email, metadata, is_disabled, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        user.guid,
        user.client,
        user.id,
        user.email,
        user.metadata,
        user.is_disabled,
        Millis(user.created_at),
    ])?;
    Ok(UserCreation::Created)
}

fn update(tx: &Connection, change: &UserChange) -> Result<UserUpdate> {
    let Some(mut user) = load(tx, &change.client, change.user)? else {
        return Ok(UserUpdate::NoSuchUser);
    };
    if let Some(id) = &change.id {
        let holder = holder_of(tx, &user.client, id.as_deref())?;
        if let Some(holder) = holder.filter(|holder| *holder != user.guid) {
            return Ok(UserUpdate::IdTaken(holder));
        }
        user.id.clone_from(id);
        // Its members say whose they are in the client's own words.
        tx.prepare_cached("UPDATE members SET user_id = ? WHERE user = ?")?
            .execute(params![id, user.guid])?;
    }
    if let Some(email) = &change.email {
        user.email.clone_from(email);
    }
    if let Some(metadata) = &change.metadata {
        user.metadata.clone_from(metadata);
    }
    user.is_disabled = change.is_disabled.unwrap_or(user.is_disabled);
    tx.prepare_cached(
        "UPDATE users SET id = ?, email = ?, metadata = ?, is_disabled = ? WHERE guid = ?",
    )?
    .execute(params![
        user.id,
        user.email,
        user.metadata,
        user.is_disabled,
        user.guid
    ])?;
    Ok(UserUpdate::Updated(Box::new(user)))
}

fn delete(
    tx: &Connection,
    client: &ClientId,
    guid: UserGuid,
    now: Timestamp,
) -> Result<Option<User>> {
    let Some(user) = load(tx, client, guid)? else {
        return Ok(None);
    };
    sessions::end(tx, guid)?;
    for member in members::all_of(tx, guid)? {
        members::end_window_of(tx, &member, now)?;
        members::remove(tx, member.guid)?;
    }
    tx.prepare_cached("DELETE FROM deleted_members WHERE user = ?")?
        .execute(params![guid])?;
    tx.prepare_cached("DELETE FROM users WHERE guid = ?")?
        .execute(params![guid])?;
    Ok(Some(user))
}

fn list(tx: &Connection, client: &ClientId, page: PageRequest) -> Result<Paged<User>> {
    let total = tx
        .prepare_cached("SELECT count(*) FROM users WHERE client = ?")?
        .query_row(params![client], |row| row.get::<_, i64>(0))?;
    let before = i64::from(page.page.saturating_sub(1)) * i64::from(page.per_page);
    let mut sql = tx.prepare_cached(
        "SELECT * FROM users WHERE client = ? ORDER BY created_at, seq LIMIT ? OFFSET ?",
    )?;
    let items = sql.query_map(params![client, page.per_page, before], from_row)?;
    Ok(Paged {
        items: items.collect::<rusqlite::Result<_>>()?,
        total: total.unsigned_abs(),
    })
}

fn add_key(
    tx: &Connection,
    client: &ClientId,
    id: &str,
    digest: Digest,
    now: Timestamp,
) -> Result<KeyAddition> {
    let kept: Option<Digest> = tx
        .prepare_cached("SELECT digest FROM api_keys WHERE client = ? AND id = ?")?
        .query_row(params![client, id], |row| row.get("digest"))
        .optional()?;
    match kept {
        Some(kept) if kept.matches(&digest) => return Ok(KeyAddition::Added),
        Some(_) => {
            return Err(StoreError::Unavailable(
                "another API key has the same id; draw a new one".into(),
            ));
        }
        None => {}
    }
    let active: u32 = tx
        .prepare_cached("SELECT count(*) FROM api_keys WHERE client = ? AND retired_at IS NULL")?
        .query_row(params![client], |row| row.get(0))?;
    if active >= ACTIVE_KEYS {
        return Ok(KeyAddition::TooMany);
    }
    tx.prepare_cached("INSERT INTO api_keys (client, id, digest, created_at) VALUES (?, ?, ?, ?)")?
        .execute(params![client, id, digest, Millis(now)])?;
    Ok(KeyAddition::Added)
}
