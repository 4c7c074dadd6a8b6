//! Reports of jobs.
//!
//! - `Started` moves the due time, and takes back no question. `Challenged` keeps the questions in place
//!   of earlier ones, counts the round, forgets earlier answers and moves the due time. `Succeeded` and
//!   `Failed` finish the job, which then asks nothing and keeps no answers, and are the end of the
//!   member's aggregation.
//! - If a job's questions were answered and it was not pushed again yet, `Started` and `Challenged` are about the
//!   earlier push, and change nothing.
//! - A success of a job that others have joined meanwhile is told, and the job is handed out anew for what they ask. A
//!   failure is one for all of them.
//! - A report that names another hand-out than the newest changes nothing.
//! - `Failed(Unanswered)` is for a `Challenged` job alone: one that was answered just in time goes on.
//! - All but `Started` change the member's status as the report says. A member whose job
//!   ends does not stay in a status that awaits a job; it becomes FAILED.
//! - Refusals are counted; the third in a row makes a standard member PREVENTED. Success begins the count
//!   anew.

use jiff::Timestamp;

use super::event::Snapshot;
use super::member::follow;
use super::record::{Changes, KeptJob, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::event::{EventKind, JobNews, Notice, ToldJobStatus};
use crate::domain::id::JobGuid;
use crate::domain::job::{HandOut, Job, JobFailure, JobReport, JobStatus, Pulled};
use crate::domain::member::{ConnectionStatus, Member, REFUSALS_THAT_PREVENT, StatusReason};

/// A report about to be recorded.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Which job.
    pub job: JobGuid,
    /// Which of its hand-outs.
    pub of: HandOut,
    /// What the aggregator reports, or that it was silent too long.
    pub report: JobReport,
    /// The new due time after `Started` and `Challenged`.
    pub due_at: Timestamp,
    /// How it changes the member's status.
    pub status_change: StatusChange,
    /// When the member is pulled in the background next, once the job has ended; `None`: it is not.
    pub background_due: Option<Timestamp>,
    /// Told with the member as changed. Of kind `ConnectionStatus` only when the status changed, of kind
    /// `InitialDataReady` only at the first success, of kind `JobStatus` only when the job has ended or asks something.
    pub changed: Vec<Notice>,
}

/// How a report changes the member's status. A status that may not follow the member's own is not
/// written: the member stays as it is, and the rest of the report counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusChange {
    /// If it never aggregated with success before; `None`: as it is.
    pub at_first: Option<ConnectionStatus>,
    /// Otherwise.
    pub later: Option<ConnectionStatus>,
    /// The report is a refusal: it is counted, and the third in a row
    /// ([`REFUSALS_THAT_PREVENT`]) makes a standard
    /// member PREVENTED instead. Success begins the count anew.
    pub is_refusal: bool,
    /// Why a member becomes IMPAIRED, where that is known.
    pub reason: Option<StatusReason>,
}

/// What a [`Reported`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// It is recorded; the job as it is now.
    Recorded(Box<Job>),
    /// The job was finished before, or its questions were answered. Nothing changed.
    JobFinished(Box<Job>),
    /// The job was handed out again since, or is to be; the job as it is. Nothing changed.
    Outdated(Box<Job>),
    /// There is no such job.
    Unknown,
}

impl Step for Reported {
    type Outcome = Recorded;

    fn slot(&self) -> Slot {
        Slot::Partition(self.job.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::job(self.job)]).then(&["m"])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Recorded, Changes) {
        let Some(mut kept) = view.job(self.job).cloned() else {
            return unchanged(Recorded::Unknown);
        };
        let job = &kept.job;
        let is_unanswered = self.report == JobReport::Failed(JobFailure::Unanswered);
        if job.status.is_finished() || is_unanswered && job.status != JobStatus::Challenged {
            return unchanged(Recorded::JobFinished(Box::new(kept.job)));
        }
        if !job.is_handed_out_as(self.of) {
            return unchanged(Recorded::Outdated(Box::new(kept.job)));
        }
        // It was asked and answered, or got a new token, and was not pushed since: this is what was reported before,
        // sent again.
        let was_pushed = job.round > 0 || job.is_with_new_token;
        let is_old = job.status == JobStatus::Queued && was_pushed;
        match &self.report {
            JobReport::Started | JobReport::Challenged(_) if is_old => {
                return unchanged(Recorded::Recorded(Box::new(kept.job)));
            }
            // The same questions, sent again because the reply to the report was lost.
            JobReport::Challenged(asked)
                if job.status == JobStatus::Challenged && job.challenges == *asked =>
            {
                return unchanged(Recorded::Recorded(Box::new(kept.job)));
            }
            JobReport::Started => {
                // A question that was reported before the start still has to be answered.
                if job.status != JobStatus::Challenged {
                    kept.job.status = JobStatus::Started;
                }
                kept.job.due_at = self.due_at;
            }
            JobReport::Challenged(asked) => {
                kept.job.status = JobStatus::Challenged;
                kept.job.challenges.clone_from(asked);
                kept.job.round += 1;
                kept.job.due_at = self.due_at;
                kept.sealed_answers = None;
            }
            // The success that made it be handed out anew, sent again because the reply was lost.
            JobReport::Succeeded(_) if job.status == JobStatus::Queued && job.is_continued => {
                return unchanged(Recorded::Recorded(Box::new(kept.job)));
            }
            JobReport::Succeeded(_) => {
                kept.sealed_answers = None;
                if kept.job.joined.is_empty() {
                    kept.job.status = JobStatus::Succeeded;
                    kept.job.challenges.clear();
                } else {
                    kept.job.data_request = kept.job.joined.remove(0);
                    kept.job.is_continued = true;
                    kept.job.begin_anew(now);
                }
            }
            JobReport::Failed(failure) => kept = kept.failed(*failure, now),
        }
        kept.job.updated_at = now;
        let mut changes = Changes::default();
        let member = view.member(kept.job.member);
        if let Some(member) = member.filter(|_| self.report != JobReport::Started) {
            self.tell_member(&mut changes, member.clone(), &kept, now);
        }
        let job = kept.job.clone();
        changes.put_job(kept);
        (Recorded::Recorded(Box::new(job)), changes)
    }
}

impl Reported {
    /// What the report changes for the member of its job.
    fn tell_member(
        &self,
        changes: &mut Changes,
        mut member: Member,
        kept: &KeptJob,
        now: Timestamp,
    ) {
        let status_before = member.status;
        let ends = kept.job.status.is_finished();
        let status = self.status_change.counted(&mut member);
        if let Some(status) = status.filter(|status| !(ends && status.awaits_a_job())) {
            follow(&mut member, status);
            if member.status == ConnectionStatus::Impaired && member.status_reason.is_none() {
                member.status_reason = self.status_change.reason;
            }
        }
        if ends {
            member
                .current_job
                .take_if(|current| *current == kept.job.guid);
            if member.status.awaits_a_job() {
                follow(&mut member, ConnectionStatus::Failed);
            }
            member.arrange_background(self.background_due);
        }
        let was_pulled = member.successfully_aggregated_at.is_some();
        let mut pulled = Pulled::default();
        if ends || matches!(self.report, JobReport::Succeeded(_)) {
            member.aggregated_at = Some(now);
        }
        if let JobReport::Succeeded(what) = self.report {
            member.successfully_aggregated_at = Some(now);
            member.refusals = 0;
            pulled = what;
        }
        changes.change_member(&mut member);
        let status_changed = member.status != status_before;
        let is_news = |notice: &&Notice| match notice.kind {
            EventKind::ConnectionStatus => status_changed,
            EventKind::InitialDataReady => !was_pulled,
            EventKind::JobStatus => ends || kept.job.status == JobStatus::Challenged,
            _ => true,
        };
        let told: Vec<Notice> = self.changed.iter().filter(is_news).copied().collect();
        let news = JobNews {
            status: told_status(&self.report, &member),
            is_background: kept.job.is_background,
        };
        let snapshot = Snapshot::of(&member).with_job(kept.job.guid, pulled, news);
        changes.tell(&told, &snapshot, now);
    }
}

/// How a job stands after a report of its success, its failure or a question; the member is as the job left it.
fn told_status(report: &JobReport, member: &Member) -> ToldJobStatus {
    match report {
        JobReport::Succeeded(_) => ToldJobStatus::Completed,
        JobReport::Challenged(_) => ToldJobStatus::Challenged,
        _ if member.status == ConnectionStatus::Prevented => ToldJobStatus::Prevented,
        JobReport::Failed(JobFailure::Denied) => ToldJobStatus::Denied,
        _ => ToldJobStatus::Halted,
    }
}

impl StatusChange {
    /// The member's status after a report, with a refusal counted; `None`: as it was.
    fn counted(&self, member: &mut Member) -> Option<ConnectionStatus> {
        if self.is_refusal {
            member.refusals = member.refusals.saturating_add(1);
            if !member.is_oauth && member.refusals >= REFUSALS_THAT_PREVENT {
                return Some(ConnectionStatus::Prevented);
            }
        }
        match member.successfully_aggregated_at {
            None => self.at_first,
            Some(_) => self.later,
        }
    }
}
