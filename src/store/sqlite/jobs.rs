//! Aggregation jobs.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::events::{self, News};
use super::values::{Json, Millis};
use super::{SqliteStore, members};
use crate::domain::event::{EventKind, Notice};
use crate::domain::id::{JobGuid, MemberGuid};
use crate::domain::job::{Job, JobFailure, JobReport, JobStatus, NewJob};
use crate::domain::member::{ConnectionStatus, Member, REFUSALS_THAT_PREVENT};
use crate::store::{Recorded, Reported, Result, Standing};

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
        data_request: row.get::<_, Json<_>>("data_request")?.0,
        challenges: row.get::<_, Json<_>>("challenges")?.0,
        round: row.get("round")?,
        failure: row.get("failure")?,
    })
}

/// The job of that guid.
pub(super) fn load(tx: &Connection, guid: JobGuid) -> Result<Option<Job>> {
    let mut sql = tx.prepare_cached("SELECT * FROM jobs WHERE guid = ?")?;
    Ok(sql.query_row(params![guid], from_row).optional()?)
}

/// Keeps a changed job: what can change of it. Answers are no longer needed once it ends or asks
/// again.
pub(super) fn save(tx: &Connection, job: &Job) -> Result<()> {
    let is_finished = job.status.is_finished();
    tx.prepare_cached(
        "UPDATE jobs SET status = ?, attempt = ?, due_at = ?, updated_at = ?, finished_at = ?,
             challenges = ?, round = ?, failure = ?,
             sealed_answers = CASE WHEN ? THEN NULL ELSE sealed_answers END
         WHERE guid = ?",
    )?
    .execute(params![
        job.status,
        job.attempt,
        Millis(job.due_at),
        Millis(job.updated_at),
        is_finished.then_some(Millis(job.updated_at)),
        Json(&job.challenges),
        job.round,
        job.failure,
        is_finished || job.status == JobStatus::Challenged,
        job.guid,
    ])?;
    Ok(())
}

/// Queues a job of the member, due at once.
pub(super) fn queue(tx: &Connection, job: &NewJob, member: &Member, now: Timestamp) -> Result<()> {
    let now = Millis(now);
    tx.prepare_cached(
        "INSERT INTO jobs (guid, member, user, client, institution, status, attempt, due_at,
             created_at, updated_at, data_request)
         VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)",
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
        Json(&job.data_request),
    ])?;
    Ok(())
}

/// Queues a job of the member, who names it.
pub(super) fn begin(
    tx: &Connection,
    job: &NewJob,
    member: &mut Member,
    now: Timestamp,
) -> Result<()> {
    queue(tx, job, member, now)?;
    member.current_job = Some(job.guid);
    member.most_recent_job = Some(job.guid);
    Ok(())
}

/// Ends an unfinished job: new credentials took the place of those it was to try.
pub(super) fn replace(tx: &Connection, guid: JobGuid, now: Timestamp) -> Result<()> {
    let Some(mut job) = load(tx, guid)? else {
        return Ok(());
    };
    fail(&mut job, JobFailure::Replaced);
    job.updated_at = now;
    save(tx, &job)
}

/// The job will not be tried again, and asks nothing any more.
fn fail(job: &mut Job, failure: JobFailure) {
    job.status = JobStatus::Failed;
    job.challenges.clear();
    job.failure = Some(failure);
}

/// Forgets the member's unfinished job.
pub(super) fn drop_unfinished_of(tx: &Connection, member: MemberGuid) -> Result<()> {
    tx.prepare_cached("DELETE FROM jobs WHERE member = ? AND finished_at IS NULL")?
        .execute(params![member])?;
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
    let is_unanswered = reported.report == JobReport::Failed(JobFailure::Unanswered);
    let is_answered = is_unanswered && job.status != JobStatus::Challenged;
    if job.status.is_finished() || is_answered {
        return Ok(Recorded::Over(Box::new(job)));
    }
    // It was asked, answered, and not pushed since: this is what was reported before, sent again.
    let is_old = job.status == JobStatus::Queued && job.round > 0;
    if is_old
        && matches!(
            reported.report,
            JobReport::Started | JobReport::Challenged(_)
        )
    {
        return Ok(Recorded::Yes(Box::new(job)));
    }
    job.updated_at = now;
    match &reported.report {
        JobReport::Started => {
            job.due_at = reported.due_at;
            // A question that came before the news of the start is still to be answered.
            if job.status != JobStatus::Challenged {
                job.status = JobStatus::Started;
            }
            save(tx, &job)?;
            return Ok(Recorded::Yes(Box::new(job)));
        }
        JobReport::Challenged(challenges) => {
            // The same questions, sent again because the answer to the report was lost.
            if job.status == JobStatus::Challenged && job.challenges == *challenges {
                return Ok(Recorded::Yes(Box::new(job)));
            }
            job.status = JobStatus::Challenged;
            job.challenges.clone_from(challenges);
            job.round += 1;
            job.due_at = reported.due_at;
        }
        JobReport::Succeeded(_) => {
            job.status = JobStatus::Succeeded;
            job.challenges.clear();
        }
        JobReport::Failed(failure) => fail(&mut job, *failure),
    }
    save(tx, &job)?;
    if let Some(member) = members::load(tx, job.member)? {
        tell_member(tx, member, &job, reported, now)?;
    }
    Ok(Recorded::Yes(Box::new(job)))
}

/// What a report changes for the member of its job.
fn tell_member(
    tx: &Connection,
    mut member: Member,
    job: &Job,
    reported: &Reported,
    now: Timestamp,
) -> Result<()> {
    let status_before = member.status;
    let ends = job.status.is_finished();
    let status = status_after(&mut member, reported.standing);
    if let Some(status) = status.filter(|status| !(ends && status.awaits_a_job())) {
        members::follow(&mut member, status);
    }
    if ends {
        member.aggregated_at = Some(now);
        if member.current_job == Some(job.guid) {
            member.current_job = None;
        }
        if member.status.awaits_a_job() {
            members::follow(&mut member, ConnectionStatus::Failed);
        }
    }
    let pulled = match reported.report {
        JobReport::Succeeded(pulled) => {
            member.successfully_aggregated_at = Some(now);
            member.refusals = 0;
            Some(pulled)
        }
        _ => None,
    };
    members::save_change(tx, &mut member)?;
    let news = match pulled {
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

/// Where the member stands by a report, whose refusal is counted; `None`: where it stood.
fn status_after(member: &mut Member, standing: Standing) -> Option<ConnectionStatus> {
    if standing.is_refusal {
        member.refusals = member.refusals.saturating_add(1);
        if !member.is_oauth && member.refusals >= REFUSALS_THAT_PREVENT {
            return Some(ConnectionStatus::Prevented);
        }
    }
    match member.successfully_aggregated_at {
        None => standing.at_first,
        Some(_) => standing.later,
    }
}
