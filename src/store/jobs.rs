//! Jobs.

use jiff::Timestamp;

use super::driver::{Care, Store};
use super::outcome::Result;
use crate::domain::id::JobGuid;
use crate::domain::job::Job;
use crate::steps::record::{Key, Reads, Slot};
use crate::steps::{Answered, Answering, JobOrder, Lease, Ordered, Recorded, Reported};

impl Store {
    /// Queues a job of the member, due at once.
    pub async fn order_job(&self, order: &JobOrder, now: Timestamp) -> Result<Ordered> {
        let _timing = self.timed("order_job");
        self.step(order, now).await
    }

    /// Keeps the answers to a job's challenges: the member is RESUMED, the job `Queued` and due at
    /// once, with its pushes counted anew.
    pub async fn answer_challenges(
        &self,
        answering: &Answering,
        now: Timestamp,
    ) -> Result<Answered> {
        let _timing = self.timed("answer_challenges");
        self.step(answering, now).await
    }

    /// The job of that guid.
    pub async fn job(&self, job: JobGuid) -> Result<Option<Job>> {
        let _timing = self.timed("job");
        let slot = Slot::Partition(job.partition());
        let view = self.look(slot, Reads::of([Key::job(job)])).await?;
        Ok(view.job(job).map(|kept| kept.job.clone()))
    }

    /// What a job under way pulls with.
    pub async fn lease(&self, job: JobGuid) -> Result<Lease> {
        let _timing = self.timed("lease");
        let slot = Slot::Partition(job.partition());
        let view = self.look(slot, Lease::reads(job)).await?;
        Ok(Lease::of(&view, job))
    }

    /// Records a report; see [`steps::report`](crate::steps::report).
    pub async fn record_report(&self, reported: &Reported, now: Timestamp) -> Result<Recorded> {
        let _timing = self.timed("record_report");
        self.step_with(Care::Irreplaceable, reported, now).await
    }
}
