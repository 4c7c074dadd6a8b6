//! How jobs begin at somebody's wish, what they pull with, and the answers they wait for.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::events::{self, News};
use super::members::{follow, load_of, means_of, save_change};
use super::{SqliteStore, jobs, members};
use crate::domain::id::JobGuid;
use crate::domain::job::JobStatus;
use crate::domain::member::ConnectionStatus;
use crate::store::{Answered, Answering, JobOrder, Lease, Ordered, Result, SealedMeans};

impl SqliteStore {
    pub(in crate::store) async fn order_job(
        &self,
        order: &JobOrder,
        now: Timestamp,
    ) -> Result<Ordered> {
        let wanted = order.clone();
        self.threads
            .write(move |tx| order_job(tx, &wanted, now))
            .await
    }

    pub(in crate::store) async fn answer_challenges(
        &self,
        answering: &Answering,
        now: Timestamp,
    ) -> Result<Answered> {
        let answering = answering.clone();
        self.threads
            .write(move |tx| answer(tx, &answering, now))
            .await
    }

    pub(in crate::store) async fn lease(&self, job: JobGuid) -> Result<Lease> {
        self.threads.read(move |tx| lease(tx, job)).await
    }
}

fn order_job(tx: &Connection, order: &JobOrder, now: Timestamp) -> Result<Ordered> {
    let Some(mut member) = load_of(tx, order.user, order.member)? else {
        return Ok(Ordered::NoSuchMember);
    };
    // The same order, sent again because its answer was lost.
    if jobs::load(tx, order.job.guid)?.is_some() {
        return Ok(Ordered::Queued(Box::new(member)));
    }
    if member.is_being_aggregated() {
        return Ok(Ordered::UnderWay(Box::new(member)));
    }
    if !member.status.may_be_aggregated() || means_of(tx, member.guid)?.is_none() {
        return Ok(Ordered::Unfit(Box::new(member)));
    }
    jobs::begin(tx, &order.job, &mut member, now)?;
    if let Some(payload) = &order.callback_payload {
        member.callback_payload = Some(payload.clone());
    }
    save_change(tx, &mut member)?;
    events::tell(tx, &order.updated, &News::of(&member), now)?;
    Ok(Ordered::Queued(Box::new(member)))
}

/// The answers that a job keeps, sealed.
fn answers_of(tx: &Connection, job: JobGuid) -> Result<Option<Vec<u8>>> {
    let mut sql = tx.prepare_cached("SELECT sealed_answers FROM jobs WHERE guid = ?")?;
    let kept = sql.query_row(params![job], |row| row.get("sealed_answers"));
    Ok(kept.optional()?.flatten())
}

fn answer(tx: &Connection, answering: &Answering, now: Timestamp) -> Result<Answered> {
    let Some(mut member) = load_of(tx, answering.user, answering.member)? else {
        return Ok(Answered::NoSuchMember);
    };
    let asked = jobs::load(tx, answering.job)?
        .filter(|job| job.member == member.guid && job.round == answering.round);
    let Some(mut job) = asked else {
        return Ok(Answered::NotAsked(Box::new(member)));
    };
    // The same answers, sent again because our own was lost: no two envelopes are alike.
    if answers_of(tx, job.guid)?.as_ref() == Some(&answering.sealed_answers) {
        return Ok(Answered::Yes(Box::new(member)));
    }
    let is_asked =
        job.status == JobStatus::Challenged && member.status == ConnectionStatus::Challenged;
    if !is_asked {
        return Ok(Answered::NotAsked(Box::new(member)));
    }
    job.status = JobStatus::Queued;
    job.challenges.clear();
    job.attempt = 0;
    job.due_at = now;
    job.updated_at = now;
    jobs::save(tx, &job)?;
    tx.prepare_cached("UPDATE jobs SET sealed_answers = ? WHERE guid = ?")?
        .execute(params![answering.sealed_answers, job.guid])?;
    follow(&mut member, ConnectionStatus::Resumed);
    if let Some(payload) = &answering.callback_payload {
        member.callback_payload = Some(payload.clone());
    }
    save_change(tx, &mut member)?;
    events::tell(tx, &answering.updated, &News::of(&member), now)?;
    Ok(Answered::Yes(Box::new(member)))
}

fn lease(tx: &Connection, guid: JobGuid) -> Result<Lease> {
    let Some(job) = jobs::load(tx, guid)? else {
        return Ok(Lease::Unknown);
    };
    if !matches!(job.status, JobStatus::Pushed | JobStatus::Started) {
        return Ok(Lease::Over);
    }
    let Some(member) = members::load(tx, job.member)? else {
        return Ok(Lease::Unknown);
    };
    let Some(sealed) = means_of(tx, member.guid)? else {
        return Ok(Lease::Unknown);
    };
    Ok(Lease::Granted {
        sealed: if member.is_oauth {
            SealedMeans::Grant(sealed)
        } else {
            SealedMeans::Credentials(sealed)
        },
        sealed_answers: answers_of(tx, guid)?,
        job: Box::new(job),
    })
}
