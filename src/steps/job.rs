//! Jobs: ordered, pushed, leased, and answered.
//!
//! - A member has at most one unfinished job. What is ordered meanwhile joins it: if the job was not handed out yet, its
//!   request grows; otherwise, unless its request covers that already, it is handed out anew once it has succeeded.
//! - A background pull is ordered when it is due, as often on one day as the member may be pulled so. It joins nothing:
//!   while there is a job it is not due. Nothing is pulled so whose connection is over or went to another gateway.
//! - A background pull that an order joins is one no more.
//! - A job is ordered where there is something to pull with and the member's status allows it.
//! - A hand-out, by push or by claim, counts; a `Queued` job becomes `Pushed`, a `Started` or `Challenged` one stays so.
//! - Tokens and credentials are leased only while a job is pushed or started.
//! - A job whose access token was refused is handed out once more with a new one, in a round of its own.
//! - Answers belong to one round of questions. They make the member RESUMED and the job due at once, with
//!   its pushes counted anew.

use jiff::Timestamp;

use super::event::Snapshot;
use super::member::{begin_job, follow};
use super::record::{AccessRecord, Changes, KeptJob, Key, Reads, Slot, TokenState, View};
use super::step::{Step, unchanged};
use crate::domain::event::Notice;
use crate::domain::id::{JobGuid, MemberGuid, UserGuid};
use crate::domain::job::{Job, JobStatus, NewJob};
use crate::domain::member::{CallbackPayload, ConnectionStatus, Member};

/// An aggregation about to be ordered.
#[derive(Clone, Debug)]
pub struct JobOrder {
    /// Whose.
    pub user: UserGuid,
    /// Of which member.
    pub member: MemberGuid,
    /// The job.
    pub job: NewJob,
    /// The newest `X-CALLBACK-PAYLOAD`; `None` leaves the member's.
    pub callback_payload: Option<CallbackPayload>,
    /// Told with the member as being aggregated.
    pub updated: Vec<Notice>,
    /// If nobody asked for it: what a background pull depends on.
    pub background: Option<BackgroundOrder>,
}

/// What a background pull depends on.
#[derive(Clone, Copy, Debug)]
pub struct BackgroundOrder {
    /// It is due, and held until then by who took it up.
    pub held_until: Timestamp,
    /// How many a member has on one day at most.
    pub per_day: u32,
    /// When the next one is due, if there were as many today.
    pub tomorrow: Timestamp,
}

/// What a [`JobOrder`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Ordered {
    /// The job is queued; the member as it is now.
    Queued(Box<Member>),
    /// One is under way already: the order has joined it, and brings no event.
    UnderWay(Box<Member>),
    /// The member is not due to be pulled in the background (any more), or not again today. No job is queued.
    NotDue(Box<Member>),
    /// The member has neither token set nor credentials, or its status rules an aggregation out
    /// ([`ConnectionStatus::may_be_aggregated`]); or nobody asks, and its connection is over or went to another gateway.
    /// Nothing changed.
    Unfit(Box<Member>),
    /// The user has no such member.
    NoSuchMember,
}

/// The answers to a job's challenges, about to be kept.
#[derive(Clone, Debug)]
pub struct Answering {
    /// Whose member.
    pub user: UserGuid,
    /// Which.
    pub member: MemberGuid,
    /// The job whose questions are answered.
    pub job: JobGuid,
    /// The round they were asked in; questions of another round are not answered by these.
    pub round: u32,
    /// The answers, sealed.
    pub sealed_answers: Vec<u8>,
    /// The newest `X-CALLBACK-PAYLOAD`; `None` leaves the member's.
    pub callback_payload: Option<CallbackPayload>,
    /// Told with the member as changed.
    pub updated: Vec<Notice>,
}

/// What an [`Answering`] led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// The member is RESUMED, its job due again.
    Resumed(Box<Member>),
    /// The member is not CHALLENGED by that round of that job (any more). Nothing changed.
    NotAsked(Box<Member>),
    /// The user has no such member.
    NoSuchMember,
}

/// What asking for what a job pulls with led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Lease {
    /// The job is pushed or started, and its member has what to pull with.
    Granted {
        /// The job.
        job: Box<Job>,
        /// What to pull with, sealed.
        sealed: SealedAccess,
        /// What is known of a token set.
        token: Option<Box<TokenState>>,
        /// The answers to the job's newest challenges, sealed.
        sealed_answers: Option<Vec<u8>>,
    },
    /// The job is finished, waits for an answer, or was never handed out.
    NotRunning(Box<Job>),
    /// There is no such job, or its member has nothing to pull with.
    Unknown,
}

/// What a member's data is pulled with, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealedAccess {
    /// An OAuth member's token set.
    TokenSet(Vec<u8>),
    /// A standard member's credentials.
    Credentials(Vec<u8>),
}

impl Step for JobOrder {
    type Outcome = Ordered;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::member(self.member), Key::access(self.member)])
            .and_drawn(Key::job(self.job.guid))
            .then(&["j"])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Ordered, Changes) {
        let member = view.member(self.member);
        let Some(mut member) = member.filter(|member| member.user == self.user).cloned() else {
            return unchanged(Ordered::NoSuchMember);
        };
        // The same order, sent again because the reply was lost.
        if view.job(self.job.guid).is_some() {
            return unchanged(Ordered::Queued(Box::new(member)));
        }
        let is_due = |order: &BackgroundOrder| member.background_due() == Some(order.held_until);
        if !self.background.as_ref().is_none_or(is_due) {
            return unchanged(Ordered::NotDue(Box::new(member)));
        }
        if let Some(current) = member.current_job {
            return self.join(view.job(current), member);
        }
        let access = view.access(member.guid);
        let is_fit = |access: &&AccessRecord| {
            self.background.is_none() || access.is_in_use() && !member.consent_has_ended(now)
        };
        if !member.status.may_be_aggregated() || access.filter(is_fit).is_none() {
            return unchanged(Ordered::Unfit(Box::new(member)));
        }
        let mut changes = Changes::default();
        if let Some(order) = &self.background
            && let Some(pulls) = &mut member.background
            && !pulls.count(order.per_day, now)
        {
            pulls.due_at = order.tomorrow;
            changes.put_member(member.clone());
            return (Ordered::NotDue(Box::new(member)), changes);
        }
        begin_job(&mut changes, &self.job, None, &mut member, now);
        if let Some(payload) = &self.callback_payload {
            member.callback_payload = Some(payload.clone());
        }
        changes.change_member(&mut member);
        changes.tell(&self.updated, &Snapshot::of(&member), now);
        (Ordered::Queued(Box::new(member)), changes)
    }
}

impl JobOrder {
    /// The order becomes part of the job under way.
    fn join(&self, current: Option<&KeptJob>, mut member: Member) -> (Ordered, Changes) {
        let mut changes = Changes::default();
        if let Some(mut kept) = current.cloned()
            && kept.job.join(&self.job.data_request)
        {
            changes.put_job(kept);
        }
        // It goes out with the events of the job's end.
        if self.callback_payload.is_some() && member.callback_payload != self.callback_payload {
            member.callback_payload.clone_from(&self.callback_payload);
            changes.put_member(member.clone());
        }
        (Ordered::UnderWay(Box::new(member)), changes)
    }
}

impl Step for Answering {
    type Outcome = Answered;

    fn slot(&self) -> Slot {
        Slot::Partition(self.member.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::member(self.member), Key::job(self.job)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Answered, Changes) {
        let member = view.member(self.member);
        let Some(mut member) = member.filter(|member| member.user == self.user).cloned() else {
            return unchanged(Answered::NoSuchMember);
        };
        let asked = view
            .job(self.job)
            .filter(|kept| kept.job.member == member.guid && kept.job.round == self.round);
        let Some(mut kept) = asked.cloned() else {
            return unchanged(Answered::NotAsked(Box::new(member)));
        };
        // The same answers, sent again because our reply was lost: no two envelopes are alike.
        if kept.sealed_answers.as_deref() == Some(&*self.sealed_answers) {
            return unchanged(Answered::Resumed(Box::new(member)));
        }
        let is_asked = kept.job.status == JobStatus::Challenged
            && member.status == ConnectionStatus::Challenged;
        if !is_asked {
            return unchanged(Answered::NotAsked(Box::new(member)));
        }
        kept.job.status = JobStatus::Queued;
        kept.job.challenges.clear();
        kept.job.attempt = 0;
        kept.job.due_at = now;
        kept.job.updated_at = now;
        kept.sealed_answers = Some(self.sealed_answers.clone().into());
        follow(&mut member, ConnectionStatus::Resumed);
        if let Some(payload) = &self.callback_payload {
            member.callback_payload = Some(payload.clone());
        }
        let mut changes = Changes::default();
        changes.put_job(kept);
        changes.change_member(&mut member);
        changes.tell(&self.updated, &Snapshot::of(&member), now);
        (Answered::Resumed(Box::new(member)), changes)
    }
}

impl Lease {
    /// What to read for a lease.
    pub fn reads(job: JobGuid) -> Reads {
        Reads::of([Key::job(job)]).then(&["mg"])
    }

    /// What the job pulls with, as read.
    pub fn of(view: &View, job: JobGuid) -> Self {
        let Some(kept) = view.job(job) else {
            return Self::Unknown;
        };
        if !matches!(kept.job.status, JobStatus::Pushed | JobStatus::Started) {
            return Self::NotRunning(Box::new(kept.job.clone()));
        }
        let of = kept.job.member;
        let (Some(member), Some(access)) = (view.member(of), view.access(of)) else {
            return Self::Unknown;
        };
        let sealed = access.sealed.clone().into();
        Self::Granted {
            job: Box::new(kept.job.clone()),
            sealed: match member.is_oauth {
                true => SealedAccess::TokenSet(sealed),
                false => SealedAccess::Credentials(sealed),
            },
            token: access.token.clone().map(Box::new),
            sealed_answers: kept.sealed_answers.clone().map(Into::into),
        }
    }
}

/// A job whose access token the institution refused, and that is pushed once more with a new one.
#[derive(Clone, Debug)]
pub struct PushAgain {
    /// Which.
    pub job: JobGuid,
}

impl Step for PushAgain {
    /// The job as it is now; `None`: it has ended, or was pushed again for this before.
    type Outcome = Option<Job>;

    fn slot(&self) -> Slot {
        Slot::Partition(self.job.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::job(self.job)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Option<Job>, Changes) {
        let kept = view.job(self.job);
        let may_be =
            |kept: &&KeptJob| !kept.job.status.is_finished() && !kept.job.is_with_new_token;
        let Some(mut kept) = kept.filter(may_be).cloned() else {
            return unchanged(None);
        };
        kept.job.is_with_new_token = true;
        kept.job.begin_anew(now);
        let job = kept.job.clone();
        let mut changes = Changes::default();
        changes.put_job(kept);
        (Some(job), changes)
    }
}
