//! Forgetting what has been kept long enough.

use jiff::{SignedDuration, Timestamp};
use rusqlite::params;

use super::values::Millis;
use super::{SqliteStore, deleted};
use crate::store::Result;

/// How many rows one step deletes, so that others need not wait long.
const ROWS: usize = 500;

/// Ended so long ago that the retention is over. A window takes its attempts and held answers with
/// it.
const KEPT: [&str; 3] = [
    "DELETE FROM windows WHERE seq IN
         (SELECT seq FROM windows WHERE finished_at IS NOT NULL AND finished_at <= ?1 LIMIT ?2)",
    "DELETE FROM jobs WHERE seq IN
         (SELECT seq FROM jobs WHERE finished_at IS NOT NULL AND finished_at <= ?1 LIMIT ?2)",
    "DELETE FROM events WHERE seq IN
         (SELECT seq FROM events WHERE dead_at IS NOT NULL AND dead_at <= ?1 LIMIT ?2)",
];

/// Of no use to anybody once they have expired.
const EXPIRED: [&str; 4] = [
    "DELETE FROM sessions WHERE digest IN
         (SELECT digest FROM sessions WHERE expires_at <= ?1 LIMIT ?2)",
    "DELETE FROM api_tokens WHERE digest IN
         (SELECT digest FROM api_tokens WHERE expires_at <= ?1 LIMIT ?2)",
    "DELETE FROM held_answers WHERE handle IN
         (SELECT handle FROM held_answers WHERE expires_at <= ?1 LIMIT ?2)",
    "DELETE FROM idempotent_requests WHERE (client, key) IN
         (SELECT client, key FROM idempotent_requests WHERE ends_at <= ?1 LIMIT ?2)",
];

/// Soft-deleted so long ago that they are no longer kept.
const DELETED: &str = "DELETE FROM deleted_members WHERE guid IN
     (SELECT guid FROM deleted_members WHERE deleted_at <= ?1 LIMIT ?2)";

impl SqliteStore {
    pub(in crate::store) async fn purge(&self, now: Timestamp) -> Result<()> {
        // A retention that reaches back before all time forgets nothing.
        let ended = SignedDuration::try_from(self.retention.finished)
            .ok()
            .and_then(|retention| now.checked_sub(retention).ok())
            .unwrap_or(Timestamp::MIN);
        for sql in KEPT {
            self.delete(sql, ended).await?;
        }
        for sql in EXPIRED {
            self.delete(sql, now).await?;
        }
        self.delete(DELETED, deleted::purged_until(now)).await
    }

    /// Repeats a deletion of rows up to `moment` until it finds no more.
    async fn delete(&self, sql: &'static str, moment: Timestamp) -> Result<()> {
        loop {
            let deleted = self
                .threads
                .write(move |tx| {
                    let mut sql = tx.prepare_cached(sql)?;
                    Ok(sql.execute(params![Millis(moment), ROWS as i64])?)
                })
                .await?;
            if deleted < ROWS {
                return Ok(());
            }
        }
    }
}
