//! Aggregation jobs.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::{self, News};
use super::values::Millis;
use super::{SqliteStore, members};
use crate::domain::event::{EventKind, Notice};
use crate::domain::id::JobGuid;
use crate::domain::job::{Job, JobReport, JobStatus, NewJob};
use crate::domain::member::Member;
use crate::store::{Recorded, Reported, Result};

impl SqliteStore {
    pub(in crate::store) async fn reserve_jobs(
        &self,
        now: Timestamp,
        hold_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>> {
        self.threads
            .write(move |tx| reserve(tx, now, hold_until, limit))
            .await
    }

    pub(in crate::store) async fn postpone_job(
        &self,
        job: JobGuid,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        self.threads
            .write(move |tx| {
                // Its status stays: the aggregator may have got a push whose answer we did not.
                tx.prepare_cached(
                    "UPDATE jobs SET due_at = ?, updated_at = ?
                     WHERE guid = ? AND finished_at IS NULL",
                )?
                .execute(params![Millis(due_at), Millis(now), job])?;
                Ok(())
            })
            .await
    }

    pub(in crate::store) async fn job(&self, job: JobGuid) -> Result<Option<Job>> {
        self.threads.read(move |tx| load(tx, job)).await
    }

    pub(in crate::store) async fn record_report(
        &self,
        reported: &Reported,
        now: Timestamp,
    ) -> Result<Recorded> {
        let reported = reported.clone();
        self.threads
            .write(move |tx| record(tx, &reported, now))
            .await
    }
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        guid: row.get("guid")?,
        member: row.get("member")?,
        user: row.get("user")?,
        client: row.get("client")?,
        institution: row.get("institution")?,
        status: row.get("status")?,
        attempt: row.get("attempt")?,
        due_at: row.get::<_, Millis>("due_at")?.0,
        created_at: row.get::<_, Millis>("created_at")?.0,
        updated_at: row.get::<_, Millis>("updated_at")?.0,
        data_request: Default::default(),
        challenges: Vec::new(),
        round: 0,
        failure: None,
    })
}

fn load(tx: &Connection, guid: JobGuid) -> Result<Option<Job>> {
    let mut sql = tx.prepare_cached("SELECT * FROM jobs WHERE guid = ?")?;
    Ok(sql.query_row(params![guid], from_row).optional()?)
}

/// Keeps a changed job: what can change of it.
fn save(tx: &Connection, job: &Job) -> Result<()> {
    let is_finished = job.status.is_finished();
    tx.prepare_cached(
        "UPDATE jobs SET status = ?, attempt = ?, due_at = ?, updated_at = ?, finished_at = ?
         WHERE guid = ?",
    )?
    .execute(params![
        job.status,
        job.attempt,
        Millis(job.due_at),
        Millis(job.updated_at),
        is_finished.then_some(Millis(job.updated_at)),
        job.guid,
    ])?;
    Ok(())
}

/// Queues a job of the member, due at once.
pub(super) fn queue(tx: &Connection, job: &NewJob, member: &Member, now: Timestamp) -> Result<()> {
    let now = Millis(now);
    tx.prepare_cached(
        "INSERT INTO jobs (guid, member, user, client, institution, status, attempt, due_at,
             created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?)",
    )?
    .execute(params![
        job.guid,
        member.guid,
        member.user,
        member.client,
        member.institution,
        JobStatus::Queued,
        now,
        now,
        now,
    ])?;
    Ok(())
}

fn reserve(
    tx: &Connection,
    now: Timestamp,
    hold_until: Timestamp,
    limit: usize,
) -> Result<Vec<Job>> {
    let mut due = tx.prepare_cached(
        "SELECT * FROM jobs WHERE finished_at IS NULL AND due_at <= ? ORDER BY due_at, seq LIMIT ?",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut jobs: Vec<Job> = due
        .query_map(params![Millis(now), limit], from_row)?
        .collect::<rusqlite::Result<_>>()?;
    for job in &mut jobs {
        if job.status == JobStatus::Queued {
            job.status = JobStatus::Pushed;
        }
        job.attempt += 1;
        job.due_at = hold_until;
        job.updated_at = now;
        save(tx, job)?;
    }
    Ok(jobs)
}

fn record(tx: &Connection, reported: &Reported, now: Timestamp) -> Result<Recorded> {
    let Some(mut job) = load(tx, reported.job)? else {
        return Ok(Recorded::Unknown);
    };
    if job.status.is_finished() {
        return Ok(Recorded::Over(Box::new(job)));
    }
    job.updated_at = now;
    match reported.report {
        JobReport::Started => {
            job.status = JobStatus::Started;
            job.due_at = reported.due_at;
        }
        JobReport::Challenged(_) => todo!(),
        JobReport::Succeeded(_) => job.status = JobStatus::Succeeded,
        JobReport::Failed(_) => job.status = JobStatus::Failed,
    }
    save(tx, &job)?;
    if job.status.is_finished()
        && let Some(member) = members::load(tx, job.member)?
    {
        tell_member(tx, member, &job, reported, now)?;
    }
    Ok(Recorded::Yes(Box::new(job)))
}

/// What the end of a job changes for its member.
fn tell_member(
    tx: &Connection,
    mut member: Member,
    job: &Job,
    reported: &Reported,
    now: Timestamp,
) -> Result<()> {
    let status_before = member.status;
    member.aggregated_at = Some(now);
    if member.current_job == Some(job.guid) {
        member.current_job = None;
    }
    let news_of_job = match reported.report {
        JobReport::Succeeded(pulled) => {
            member.successfully_aggregated_at = Some(now);
            Some(pulled)
        }
        _ => {
            let said = match member.successfully_aggregated_at {
                None => reported.standing.at_first,
                Some(_) => reported.standing.later,
            };
            member.status = said.unwrap_or(member.status);
            None
        }
    };
    members::save_change(tx, &mut member)?;
    let news = match news_of_job {
        Some(pulled) => News::of(&member).with_job(job.guid, pulled),
        None => News::of(&member),
    };
    let status_changed = member.status != status_before;
    let kept: Vec<Notice> = reported
        .changed
        .iter()
        .filter(|notice| notice.kind != EventKind::ConnectionStatus || status_changed)
        .copied()
        .collect();
    events::tell(tx, &kept, &news, now)
}
