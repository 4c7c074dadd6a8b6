//! Attempts: how browsers, and later institutions' answers, meet a window.

use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::{self, News};
use super::values::Millis;
use super::{SqliteStore, members, windows};
use crate::domain::client::UnboundCallback;
use crate::domain::id::{AttemptId, InstitutionCode, OauthStateGuid, Partition};
use crate::domain::secret::Digest;
use crate::domain::window::{
    Binding, Ending, ErrorReason, MULTI_OPENS, NewAttempt, OpenPolicy, RETRIES, Window,
    WindowStatus,
};
use crate::store::{
    AttemptRecord, Claim, Claimed, HELD_ANSWERS, Knock, Opened, Opening, Result, Retried, Retry,
    SETTLING, StoreError, Subject,
};

impl SqliteStore {
    pub(in crate::store) async fn open_window(
        &self,
        opening: &Opening,
        now: Timestamp,
    ) -> Result<Opened> {
        let opening = opening.clone();
        self.threads.write(move |tx| open(tx, &opening, now)).await
    }

    pub(in crate::store) async fn claim_callback(
        &self,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<Claimed> {
        let claim = claim.clone();
        self.threads
            .write(move |tx| claim_answer(tx, &claim, now))
            .await
    }

    pub(in crate::store) async fn hold_answer(
        &self,
        attempt: &AttemptId,
        handle: Digest,
        sealed: &[u8],
        expires_at: Timestamp,
    ) -> Result<bool> {
        let (attempt, sealed) = (attempt.clone(), sealed.to_owned());
        self.threads
            .write(move |tx| {
                let open_for_answers: bool = tx
                    .prepare_cached(
                        "SELECT EXISTS (SELECT 1 FROM attempts WHERE id = ? AND sealed IS NOT NULL)",
                    )?
                    .query_row(params![attempt], |row| row.get(0))?;
                if !open_for_answers {
                    return Ok(false);
                }
                tx.prepare_cached(
                    "DELETE FROM held_answers WHERE handle IN
                         (SELECT handle FROM held_answers WHERE attempt = ? AND handle <> ?
                          ORDER BY expires_at DESC LIMIT -1 OFFSET ?)",
                )?
                .execute(params![attempt, handle, HELD_ANSWERS - 1])?;
                tx.prepare_cached(
                    "INSERT OR REPLACE INTO held_answers (handle, attempt, sealed, expires_at)
                     VALUES (?, ?, ?, ?)",
                )?
                .execute(params![handle, attempt, sealed, Millis(expires_at)])?;
                Ok(true)
            })
            .await
    }

    pub(in crate::store) async fn held_answer(
        &self,
        partition: Partition,
        handle: Digest,
        now: Timestamp,
    ) -> Result<Option<Vec<u8>>> {
        self.threads
            .read(move |tx| {
                let mut sql = tx.prepare_cached(
                    "SELECT attempt, sealed FROM held_answers
                     WHERE handle = ? AND expires_at > ?",
                )?;
                let held = sql.query_row(params![handle, Millis(now)], |row| {
                    Ok((row.get::<_, AttemptId>("attempt")?, row.get("sealed")?))
                });
                let held = held.optional()?;
                Ok(held
                    .filter(|(attempt, _)| attempt.partition() == partition)
                    .map(|(_, sealed)| sealed))
            })
            .await
    }

    pub(in crate::store) async fn attempt(
        &self,
        attempt: &AttemptId,
    ) -> Result<Option<AttemptRecord>> {
        let attempt = attempt.clone();
        self.threads
            .read(move |tx| {
                let Some(attempt) = load(tx, &attempt)? else {
                    return Ok(None);
                };
                let window = window_of(tx, &attempt)?;
                Ok(Some(AttemptRecord {
                    member: members::load(tx, window.member)?,
                    window,
                    binding: attempt.binding,
                    is_replaced: attempt.is_replaced,
                }))
            })
            .await
    }

    pub(in crate::store) async fn retry_window(
        &self,
        retry: &Retry,
        now: Timestamp,
    ) -> Result<Retried> {
        let retry = retry.clone();
        self.threads
            .write(move |tx| try_again(tx, &retry, now))
            .await
    }
}

/// A row of `attempts`.
struct Attempt {
    id: AttemptId,
    window: OauthStateGuid,
    binding: Digest,
    sealed: Option<Vec<u8>>,
    is_replaced: bool,
}

impl Attempt {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            window: row.get("window")?,
            binding: row.get("binding")?,
            sealed: row.get("sealed")?,
            is_replaced: row.get("is_replaced")?,
        })
    }

    /// Whether one of the bindings that a browser shows is this attempt's.
    fn is_held_by(&self, browser: &[Binding]) -> bool {
        browser
            .iter()
            .any(|shown| shown.attempt == self.id && shown.digest.matches(&self.binding))
    }
}

fn load(tx: &Connection, id: &AttemptId) -> Result<Option<Attempt>> {
    let mut sql = tx.prepare_cached("SELECT * FROM attempts WHERE id = ?")?;
    Ok(sql.query_row(params![id], Attempt::from_row).optional()?)
}

/// The attempts of a window, newest first, until `wanted` says that one is the one.
fn find(
    tx: &Connection,
    window: OauthStateGuid,
    wanted: impl Fn(&Attempt) -> bool,
) -> Result<Option<Attempt>> {
    let mut sql = tx.prepare_cached("SELECT * FROM attempts WHERE window = ? ORDER BY seq DESC")?;
    let mut attempts = sql.query_map(params![window], Attempt::from_row)?;
    let found = attempts.find(|attempt| attempt.as_ref().map_or(true, &wanted));
    Ok(found.transpose()?)
}

/// The window that an attempt belongs to: they are forgotten together, so there is one.
fn window_of(tx: &Connection, attempt: &Attempt) -> Result<Window> {
    windows::load(tx, attempt.window)?
        .ok_or_else(|| StoreError::Unreadable(format!("attempt {} has no window", attempt.id)))
}

fn insert(tx: &Connection, window: OauthStateGuid, attempt: &NewAttempt) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO attempts (id, window, binding, sealed, is_replaced) VALUES (?, ?, ?, ?, 0)",
    )?
    .execute(params![
        attempt.id,
        window,
        attempt.binding.digest,
        attempt.sealed,
    ])?;
    Ok(())
}

fn open(tx: &Connection, opening: &Opening, now: Timestamp) -> Result<Opened> {
    let window = windows::load(tx, opening.window)?;
    let Some(window) = window.filter(|window| window.member == opening.member) else {
        return Ok(Opened::Unknown);
    };
    if window.status.is_finished() || now >= window.deadline {
        let own = find(tx, window.guid, |attempt| {
            attempt.is_held_by(&opening.browser)
        })?;
        return Ok(Opened::Over {
            member: members::load(tx, window.member)?.map(Box::new),
            window: Box::new(window),
            own_attempt: own.map(|attempt| attempt.id),
        });
    }
    let member = members::of_unfinished_window(tx, window.member)?;
    let mut subject = Box::new(Subject { window, member });
    // The same opening, sent again because its answer was lost.
    if let Some(kept) = load(tx, &opening.attempt.id)? {
        let is_same = kept.window == subject.window.guid;
        return Ok(if is_same {
            Opened::Claimed(subject)
        } else {
            Opened::Taken(subject)
        });
    }
    let newest = find(tx, subject.window.guid, |_| true)?;
    let own = newest.filter(|newest| newest.is_held_by(&opening.browser));
    match (verdict(tx, &subject.window, opening.knock)?, own) {
        (Verdict::AskFirst, _) => Ok(Opened::AskFirst(subject)),
        (Verdict::Claim, _) => {
            let usual = opening.attempt.deadline;
            let minutes = subject.window.options.authorization_minutes;
            let leg_ends = minutes.map_or(usual, |minutes| {
                now + Duration::from_secs(u64::from(minutes) * 60)
            });
            // A link for several opens lives as long as it was minted for; the first may be a
            // machine's.
            subject.window.deadline = match subject.window.options.open_policy {
                OpenPolicy::Multi => leg_ends.max(subject.window.deadline),
                OpenPolicy::Single | OpenPolicy::Interstitial => leg_ends,
            };
            subject.window.retry_until.get_or_insert(leg_ends);
            claim(tx, &mut subject.window, &opening.attempt, now)?;
            Ok(Opened::Claimed(subject))
        }
        (Verdict::ClaimAgain, Some(own)) => {
            tx.prepare_cached("UPDATE attempts SET is_replaced = 1, sealed = NULL WHERE id = ?")?
                .execute(params![own.id])?;
            claim(tx, &mut subject.window, &opening.attempt, now)?;
            Ok(Opened::Claimed(subject))
        }
        (Verdict::Refuse, Some(_)) => Ok(Opened::Resumable(subject)),
        (Verdict::ClaimAgain | Verdict::Refuse, None) => Ok(Opened::Taken(subject)),
    }
}

/// What a knock at an unfinished window may do.
enum Verdict {
    /// Claim it, whoever knocks.
    Claim,
    /// Claim it again, for the browser that holds its newest attempt.
    ClaimAgain,
    /// Nothing before its page was shown.
    AskFirst,
    /// Nothing.
    Refuse,
}

fn verdict(tx: &Connection, window: &Window, knock: Knock) -> Result<Verdict> {
    let policy = window.options.open_policy;
    Ok(match (window.status, policy, knock) {
        (WindowStatus::Issued, OpenPolicy::Interstitial, Knock::Navigate | Knock::Look) => {
            Verdict::AskFirst
        }
        (WindowStatus::Issued, _, Knock::Navigate | Knock::Begin) => Verdict::Claim,
        (WindowStatus::Opened, _, Knock::Continue) => Verdict::ClaimAgain,
        (WindowStatus::Opened, OpenPolicy::Multi, Knock::Navigate | Knock::Begin) => {
            // One that was continued counts once, by its newest attempt.
            let opens: u8 = tx
                .prepare_cached(
                    "SELECT count(*) FROM attempts WHERE window = ? AND is_replaced = 0",
                )?
                .query_row(params![window.guid], |row| row.get(0))?;
            if opens < MULTI_OPENS {
                Verdict::Claim
            } else {
                Verdict::Refuse
            }
        }
        _ => Verdict::Refuse,
    })
}

/// Keeps the attempt of a browser that got through.
fn claim(tx: &Connection, window: &mut Window, attempt: &NewAttempt, now: Timestamp) -> Result<()> {
    window.status = WindowStatus::Opened;
    window.updated_at = now;
    windows::save(tx, window)?;
    insert(tx, window.guid, attempt)
}

fn claim_answer(tx: &Connection, claim: &Claim, now: Timestamp) -> Result<Claimed> {
    let Some(attempt) = load(tx, &claim.attempt)? else {
        return Ok(Claimed::Unknown);
    };
    let window = window_of(tx, &attempt)?;
    if window.client != claim.client || institution_of(tx, &window)? != claim.institution {
        return Ok(Claimed::Unknown);
    }
    // Only Continue replaces an attempt, so one that was not replaced is the newest of its browser,
    // and, unless the policy is `multi`, of its window.
    let is_open = window.status == WindowStatus::Opened && now < window.deadline;
    let (true, false, Some(sealed)) = (is_open, attempt.is_replaced, attempt.sealed.clone()) else {
        return Ok(Claimed::Settled);
    };
    let is_bound = attempt.is_held_by(&claim.browser);
    if !is_bound && claim.unbound == UnboundCallback::Ignore {
        return Ok(Claimed::Ignored);
    }
    let member = members::of_unfinished_window(tx, window.member)?;
    let mut subject = Box::new(Subject { window, member });
    if is_bound {
        subject.window.status = WindowStatus::Returned;
        subject.window.updated_at = now;
        subject.window.deadline = now + SETTLING;
        windows::save(tx, &subject.window)?;
        tx.prepare_cached("UPDATE attempts SET sealed = NULL WHERE id = ?")?
            .execute(params![attempt.id])?;
        Ok(Claimed::Yes { subject, sealed })
    } else {
        let status = WindowStatus::Errored(ErrorReason::SessionError, Ending::Unbound);
        windows::finish(tx, &mut subject.window, status, now)?;
        let news = News::of(&subject.member).with_window(&subject.window);
        events::tell(tx, &claim.burnt, &news, now)?;
        Ok(Claimed::Burnt { subject, sealed })
    }
}

/// The institution of the window's member, also when that was deleted.
fn institution_of(tx: &Connection, window: &Window) -> Result<InstitutionCode> {
    let mut sql = tx.prepare_cached("SELECT institution FROM windows WHERE guid = ?")?;
    Ok(sql.query_row(params![window.guid], |row| row.get(0))?)
}

fn try_again(tx: &Connection, retry: &Retry, now: Timestamp) -> Result<Retried> {
    let attempt = load(tx, &retry.failed)?.filter(|attempt| attempt.is_held_by(&retry.browser));
    let Some(attempt) = attempt else {
        return Ok(Retried::Refused);
    };
    let failed = window_of(tx, &attempt)?;
    let member = members::load(tx, failed.member)?;
    // The same retry, sent again because its answer was lost.
    if let Some(window) = windows::load(tx, retry.window.guid)? {
        let kept = load(tx, &retry.attempt.id)?.filter(|kept| kept.window == window.guid);
        let is_same = window.previous == Some(failed.guid) && kept.is_some();
        return Ok(match member.filter(|_| is_same) {
            Some(member) => Retried::Claimed(Box::new(Subject { window, member })),
            None => Retried::Over,
        });
    }
    let Some(retry_ends) = failed.retry_ends() else {
        return Ok(Retried::Refused);
    };
    let is_in_time = now < retry_ends;
    let newest_of = member.filter(|member| member.latest_window == Some(failed.guid));
    let Some(mut member) = newest_of.filter(|_| is_in_time && failed.retries < RETRIES) else {
        return Ok(Retried::Over);
    };
    let mut window = windows::issued(&member, &retry.window, Some(failed.guid), now);
    window.options = failed.options;
    window.status = WindowStatus::Opened;
    window.deadline = retry.attempt.deadline;
    window.retries = failed.retries + 1;
    window.retry_until = match failed.status {
        WindowStatus::Errored(_, Ending::Expired) => Some(retry.attempt.deadline),
        _ => failed.retry_until,
    };
    windows::insert(tx, &window, &member)?;
    insert(tx, window.guid, &retry.attempt)?;
    member.latest_window = Some(window.guid);
    members::save_change(tx, &mut member)?;
    Ok(Retried::Claimed(Box::new(Subject { window, member })))
}
