//! Aggregation jobs.

use jiff::Timestamp;
use redis::Value;

use super::RedisStore;
use super::call::{self, Call};
use super::record::{each, flag, job_of, member_of, read_job, write_challenges};
use super::reply::{Fields, Reply, unreadable};
use crate::domain::event::{EventKind, Notice};
use crate::domain::id::JobGuid;
use crate::domain::job::{Job, JobReport, JobStatus, Pulled};
use crate::domain::member::{ConnectionStatus, REFUSALS_THAT_PREVENT};
use crate::store::{
    Answered, Answering, JobOrder, Lease, Ordered, Recorded, Reported, Result, SealedMeans,
};

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

    /// Queues a job of the member, due at once.
    pub(in crate::store) async fn order_job(
        &self,
        order: &JobOrder,
        now: Timestamp,
    ) -> Result<Ordered> {
        let unfit: String = ConnectionStatus::ALL
            .iter()
            .filter(|status| !status.may_be_aggregated())
            .map(|status| format!(" {} ", status.id()))
            .collect();
        let payload = order.callback_payload.as_ref().map(|it| it.as_str());
        let call = Call::new(
            &call::ORDER_JOB,
            self.keys.partition(order.member.partition()),
        )
        .text(order.user.compact())
        .text(order.member.compact())
        .text(unfit)
        .job(Some(&order.job))
        .text(payload.unwrap_or_default())
        .time(now)
        .notices(&order.updated);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        match reply.text()?.as_str() {
            "queued" => Ok(Ordered::Queued(Box::new(member_of(reply)?))),
            "under_way" => Ok(Ordered::UnderWay(Box::new(member_of(reply)?))),
            "unfit" => Ok(Ordered::Unfit(Box::new(member_of(reply)?))),
            "no_such_member" => Ok(Ordered::NoSuchMember),
            _ => Err(unreadable("the answer to an order")),
        }
    }

    /// Keeps the answers to a job's challenges.
    pub(in crate::store) async fn answer_challenges(
        &self,
        answering: &Answering,
        now: Timestamp,
    ) -> Result<Answered> {
        let payload = answering.callback_payload.as_ref().map(|it| it.as_str());
        let call = Call::new(
            &call::ANSWER_CHALLENGES,
            self.keys.partition(answering.member.partition()),
        )
        .text(answering.user.compact())
        .text(answering.member.compact())
        .text(answering.job.compact())
        .number(answering.round)
        .bytes(&answering.sealed_answers)
        .text(payload.unwrap_or_default())
        .status(Some(ConnectionStatus::Challenged))
        .status(Some(ConnectionStatus::Resumed))
        .time(now)
        .notices(&answering.updated);
        let mut reply = Reply::of(self.link.call(call).await?)?;
        match reply.text()?.as_str() {
            "yes" => Ok(Answered::Yes(Box::new(member_of(reply)?))),
            "not_asked" => Ok(Answered::NotAsked(Box::new(member_of(reply)?))),
            "no_such_member" => Ok(Answered::NoSuchMember),
            _ => Err(unreadable("the answer to answers")),
        }
    }

    /// What a job under way pulls with.
    pub(in crate::store) async fn lease(&self, job: JobGuid) -> Result<Lease> {
        let call =
            Call::new(&call::LEASE, self.keys.partition(job.partition())).text(job.compact());
        let mut reply = Reply::of(self.link.call(call).await?)?;
        match reply.text()?.as_str() {
            "unknown" => Ok(Lease::Unknown),
            "over" => Ok(Lease::Over),
            "granted" => {
                let job = Box::new(read_job(job, &reply.fields()?)?);
                let kind = reply.text()?;
                let means = reply.bytes()?;
                let sealed = match kind.as_str() {
                    "grant" => SealedMeans::Grant(means),
                    _ => SealedMeans::Credentials(means),
                };
                Ok(Lease::Granted {
                    job,
                    sealed,
                    sealed_answers: reply.maybe_bytes()?,
                })
            }
            _ => Err(unreadable("the answer to a lease")),
        }
    }

    /// Records a report.
    pub(in crate::store) async fn record_report(
        &self,
        reported: &Reported,
        now: Timestamp,
    ) -> Result<Recorded> {
        let (mut pulled, mut failure, mut challenges) = (Pulled::default(), "", String::new());
        let status = match &reported.report {
            JobReport::Started => JobStatus::Started,
            JobReport::Challenged(asked) => {
                challenges = write_challenges(asked);
                JobStatus::Challenged
            }
            JobReport::Succeeded(what) => {
                pulled = *what;
                JobStatus::Succeeded
            }
            JobReport::Failed(why) => {
                failure = why.name();
                JobStatus::Failed
            }
        };
        let standing = &reported.standing;
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
        .text(failure)
        .text(challenges)
        .number(pulled.transactions_created_count)
        .number(pulled.transactions_updated_count)
        .time(reported.due_at)
        .status(standing.at_first)
        .status(standing.later)
        .text(flag(standing.is_refusal).unwrap_or_default())
        .number(REFUSALS_THAT_PREVENT)
        .status(Some(ConnectionStatus::Prevented))
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
