//! Aggregation jobs.

use jiff::Timestamp;
use redis::Value;

use super::RedisStore;
use super::call::{self, Call};
use super::record::{each, job_of, read_job};
use super::reply::{Fields, Reply, unreadable};
use crate::domain::event::{EventKind, Notice};
use crate::domain::id::JobGuid;
use crate::domain::job::{Job, JobReport, JobStatus, Pulled};
use crate::domain::member::ConnectionStatus;
use crate::store::{Recorded, Reported, Result};

impl RedisStore {
    /// Takes up to `limit` due jobs, the longest due first.
    pub(in crate::store) async fn reserve_jobs(
        &self,
        now: Timestamp,
        hold_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Job>> {
        let call = |base, share| {
            Call::new(&call::RESERVE_JOBS, base)
                .time(now)
                .time(hold_until)
                .number(share)
        };
        let mut jobs = Vec::new();
        for answer in self.take_due("dj", now, limit, call).await? {
            jobs.append(&mut each(answer, job_of)?);
        }
        Ok(jobs)
    }

    /// A push failed: the job is due again at `due_at`.
    pub(in crate::store) async fn postpone_job(
        &self,
        job: JobGuid,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<()> {
        let call = Call::new(&call::POSTPONE_JOB, self.keys.partition(job.partition()))
            .text(job.compact())
            .time(due_at)
            .time(now);
        self.link.call(call).await.map(drop)
    }

    /// The job of that guid.
    pub(in crate::store) async fn job(&self, job: JobGuid) -> Result<Option<Job>> {
        let base = self.keys.partition(job.partition());
        let mut command = redis::cmd("HGETALL");
        command.arg(format!("{base}j{}", job.compact()));
        let fields = Fields::of(self.link.query::<Value>(&command).await?)?;
        match fields.is_empty() {
            true => Ok(None),
            false => read_job(job, &fields).map(Some),
        }
    }

    /// Records a report.
    pub(in crate::store) async fn record_report(
        &self,
        reported: &Reported,
        now: Timestamp,
    ) -> Result<Recorded> {
        let (status, pulled) = match &reported.report {
            JobReport::Started => (JobStatus::Started, Pulled::default()),
            JobReport::Challenged(_) => todo!(),
            JobReport::Succeeded(pulled) => (JobStatus::Succeeded, *pulled),
            JobReport::Failed(_) => (JobStatus::Failed, Pulled::default()),
        };
        let written = |status: Option<ConnectionStatus>| {
            status.map_or(String::new(), |status| status.id().to_string())
        };
        let (of_status, always): (Vec<&Notice>, Vec<&Notice>) = reported
            .changed
            .iter()
            .partition(|notice| notice.kind == EventKind::ConnectionStatus);
        let call = Call::new(
            &call::RECORD_REPORT,
            self.keys.partition(reported.job.partition()),
        )
        .text(reported.job.compact())
        .text(status.name())
        .number(pulled.transactions_created_count)
        .number(pulled.transactions_updated_count)
        .time(reported.due_at)
        .text(written(reported.standing.at_first))
        .text(written(reported.standing.later))
        .time(now)
        .number(self.retention())
        .notices(always)
        .notices(of_status);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        match reply.text()?.as_str() {
            "unknown" => Ok(Recorded::Unknown),
            "over" => Ok(Recorded::Over(Box::new(job_of(reply)?))),
            "yes" => Ok(Recorded::Yes(Box::new(job_of(reply)?))),
            _ => Err(unreadable("the answer to a report")),
        }
    }
}
