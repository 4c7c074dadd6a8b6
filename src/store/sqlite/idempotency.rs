//! Requests that may come twice.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::SqliteStore;
use super::values::Millis;
use crate::domain::secret::Digest;
use crate::store::{Idempotence, IdempotentRequest, Result};

impl SqliteStore {
    pub(in crate::store) async fn begin_idempotent(
        &self,
        request: &IdempotentRequest,
        now: Timestamp,
    ) -> Result<Idempotence> {
        let request = request.clone();
        self.threads.write(move |tx| begin(tx, &request, now)).await
    }

    pub(in crate::store) async fn finish_idempotent(
        &self,
        request: &IdempotentRequest,
        sealed_answer: &[u8],
        _now: Timestamp,
    ) -> Result<()> {
        let (request, answer) = (request.clone(), sealed_answer.to_owned());
        self.threads
            .write(move |tx| {
                // Who holds the key is told by when the hold ends: a later holder's ends later.
                tx.prepare_cached(
                    "UPDATE idempotent_requests SET answer = ?, ends_at = ?
                     WHERE client = ? AND key = ? AND request = ? AND ends_at = ?
                         AND answer IS NULL",
                )?
                .execute(params![
                    answer,
                    Millis(request.expires_at),
                    request.client,
                    request.key,
                    request.request,
                    Millis(request.held_until),
                ])?;
                Ok(())
            })
            .await
    }

    pub(in crate::store) async fn release_idempotent(
        &self,
        request: &IdempotentRequest,
    ) -> Result<()> {
        let request = request.clone();
        self.threads
            .write(move |tx| {
                tx.prepare_cached(
                    "DELETE FROM idempotent_requests
                     WHERE client = ? AND key = ? AND request = ? AND ends_at = ?
                         AND answer IS NULL",
                )?
                .execute(params![
                    request.client,
                    request.key,
                    request.request,
                    Millis(request.held_until),
                ])?;
                Ok(())
            })
            .await
    }
}

fn begin(tx: &Connection, request: &IdempotentRequest, now: Timestamp) -> Result<Idempotence> {
    let kept: Option<(Digest, Option<Vec<u8>>)> = tx
        .prepare_cached(
            "SELECT request, answer FROM idempotent_requests
             WHERE client = ? AND key = ? AND ends_at > ?",
        )?
        .query_row(params![request.client, request.key, Millis(now)], |row| {
            Ok((row.get("request")?, row.get("answer")?))
        })
        .optional()?;
    match kept {
        Some((other, _)) if !other.matches(&request.request) => return Ok(Idempotence::Differs),
        Some((_, Some(answer))) => return Ok(Idempotence::Answered(answer)),
        Some((_, None)) => return Ok(Idempotence::UnderWay),
        None => {}
    }
    tx.prepare_cached(
        "INSERT OR REPLACE INTO idempotent_requests (client, key, request, answer, ends_at)
         VALUES (?, ?, ?, NULL, ?)",
    )?
    .execute(params![
        request.client,
        request.key,
        request.request,
        Millis(request.held_until),
    ])?;
    Ok(Idempotence::First)
}
