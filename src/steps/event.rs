//! Events: what changed, kept in the same step as the change.
//!
//! - An event shows the member, and the window or the job it is about, as the change left them.
//! - It is due at once, and leaves after those of the same member that go to the same endpoint. It is kept for a while
//!   when its client has received it, so that it can be sent again; and longer when nobody took it.
//! - A member's revision grows with every change, so that a receiver can drop events that are older than what it has.

use jiff::Timestamp;

use super::record::{Changes, KeptEvent, Key};
use crate::domain::event::{EventKind, JobNews, Notice};
use crate::domain::id::JobGuid;
use crate::domain::job::Pulled;
use crate::domain::member::Member;
use crate::domain::window::Window;

/// The records as a change left them, for its events.
pub(super) struct Snapshot<'a> {
    member: &'a Member,
    window: Option<&'a Window>,
    job: Option<(JobGuid, Pulled, JobNews)>,
}

impl<'a> Snapshot<'a> {
    /// About a member.
    pub(super) fn of(member: &'a Member) -> Self {
        Self {
            member,
            window: None,
            job: None,
        }
    }

    /// About a window of the member, too.
    pub(super) fn with_window(self, window: &'a Window) -> Self {
        Self {
            window: Some(window),
            ..self
        }
    }

    /// About a job of the member, too.
    pub(super) fn with_job(self, job: JobGuid, pulled: Pulled, news: JobNews) -> Self {
        Self {
            job: Some((job, pulled, news)),
            ..self
        }
    }
}

impl Changes {
    /// Keeps an event for each notice, due at once, showing what its kind is about.
    pub(super) fn tell(&mut self, notices: &[Notice], snapshot: &Snapshot<'_>, now: Timestamp) {
        for notice in notices {
            let is_of_window = notice.kind == EventKind::OauthStateFinished;
            let window = snapshot.window.filter(|_| is_of_window);
            let is_of_job = matches!(notice.kind, EventKind::Aggregation | EventKind::JobStatus);
            let job = snapshot.job.filter(|_| is_of_job);
            let event = KeptEvent {
                kind: notice.kind,
                endpoint: notice.endpoint,
                member: Box::new(snapshot.member.clone()),
                window: window.cloned().map(Box::new),
                window_guid: window.map(|window| window.guid),
                job: job.map(|(job, pulled, _)| (job, pulled)),
                job_news: job.map(|(_, _, news)| news),
                happened_at: now,
                attempt: 0,
                due_at: now,
                replayed_at: None,
                delivered_at: None,
                dead_at: None,
                tries: Vec::new(),
            };
            self.put(Key::event(notice.guid), event);
        }
    }

    /// Keeps a changed member under its next revision.
    pub(super) fn change_member(&mut self, member: &mut Member) {
        member.revision += 1;
        self.put_member(member.clone());
    }
}
