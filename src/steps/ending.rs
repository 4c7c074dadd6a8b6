//! Windows that end without a connection.
//!
//! - A window ends only if it is unfinished, and only once. Its member does not change.
//! - A window that is ended because of its deadline ends only if the deadline has still passed: a browser may
//!   have opened the window, which moves its deadline, since the sweep read it.

use jiff::Timestamp;

use super::event::Snapshot;
use super::record::{Changes, KeptReport, Key, Reads, Slot, View};
use super::step::{Step, unchanged};
use crate::domain::event::Notice;
use crate::domain::id::{MemberGuid, OauthStateGuid};
use crate::domain::support_code::SupportCode;
use crate::domain::window::{Ending, ErrorReason, Window, WindowStatus};

/// A window about to be ended without success.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which one.
    pub window: OauthStateGuid,
    /// Why.
    pub reason: ErrorReason,
    /// How.
    pub ending: Ending,
    /// The status that it must still have, where what was seen decides; `None`: any unfinished one.
    pub only_in: Option<WindowStatus>,
    /// What the institution said, for the operator.
    pub detail: Option<String>,
    /// The member the login turned out to belong to, where that is why it failed.
    pub inbound: Option<MemberGuid>,
    /// Told with the window as errored.
    pub finished: Vec<Notice>,
    /// What is kept of its attempt.
    pub report: Option<NewReport>,
}

/// What is kept of an attempt that failed.
#[derive(Clone, Debug)]
pub struct NewReport {
    /// Its support code.
    pub code: SupportCode,
    /// What is kept.
    pub report: KeptReport,
}

impl Step for Failure {
    /// The window as it ended; `None` when it was finished before, is unknown, or may not end so.
    type Outcome = Option<Window>;

    fn slot(&self) -> Slot {
        Slot::Partition(self.window.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::window(self.window)])
    }

    fn reads_then(&self, view: &View) -> Vec<Key> {
        let window = view.window(self.window).map(|kept| &kept.window);
        let window = window.filter(|window| !window.status.is_finished());
        window
            .map(|window| Key::member(window.member))
            .into_iter()
            .collect()
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Option<Window>, Changes) {
        let may_end = |window: &Window| {
            let is_as_seen = self.only_in.is_none_or(|only| only == window.status);
            let is_by_deadline = matches!(self.ending, Ending::Expired | Ending::Unconfirmed);
            let is_early = is_by_deadline && now < window.deadline;
            !window.status.is_finished() && is_as_seen && !is_early
        };
        let kept = view.window(self.window);
        let Some(kept) = kept.filter(|kept| may_end(&kept.window)) else {
            return unchanged(None);
        };
        let status = WindowStatus::Errored(self.reason, self.ending);
        let mut changes = Changes::default();
        let mut ended = kept.clone().finished(status, now, &mut changes);
        ended.window.detail.clone_from(&self.detail);
        ended.window.inbound = self.inbound;
        if let Some(member) = view.member(ended.window.member) {
            let snapshot = Snapshot::of(member).with_window(&ended.window);
            changes.tell(&self.finished, &snapshot, now);
        }
        if let Some(NewReport { code, report }) = &self.report {
            changes.put(Key::report(*code), report.clone());
        }
        let window = ended.window.clone();
        changes.put_window(ended);
        (Some(window), changes)
    }
}
