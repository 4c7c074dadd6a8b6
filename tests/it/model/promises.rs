//! What holds in every reachable state, whatever happens in whatever order: the promises that steps make
//! together. Each has a name, so that a fault is known by the promise that it breaks.

use guichet::domain::duty::DutyKind;
use guichet::domain::event::{EventKind, Notice};
use guichet::domain::id::{MemberGuid, OauthStateGuid};
use guichet::domain::job::JobStatus;
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::window::{CONTINUES, MULTI_OPENS, OpenPolicy, WindowStatus};
use guichet::steps::record::{Changes, KeptEvent, Key, List, Record};
use guichet::steps::{Committed, Connection};

use super::cast::is_sealed_for;
use super::world::{Command, Law, Outcome, World};

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A link lets one browser through, or as many as its policy says, and is continued so many times.
    OneWinner,
    /// Of the answers to a window one is exchanged or redeemed, and one token set connects a member.
    OneExchange,
    /// The connection, its token set, the finished window, the job and the news come together or not at
    /// all, and what is finished keeps no secrets.
    AllOrNothing,
    /// What is unfinished ends by itself.
    NothingPending,
    /// A job that is not finished is its member's, and due; a member that awaits one has it.
    NoLostJob,
    /// News of a member never go back, and show it as the change left it.
    EventsInOrder,
    /// A command is done once, and what is told of it is what it did.
    OneAnswer,
}

/// A promise that does not hold, and why.
#[derive(Debug)]
pub struct Broken {
    pub promise: Promise,
    pub why: String,
}

impl Promise {
    pub fn broken(self, why: impl Into<String>) -> Broken {
        Broken {
            promise: self,
            why: why.into(),
        }
    }

    /// That holds, or the promise is broken.
    fn holds(self, holds: bool, why: impl Into<String>) -> Result<(), Broken> {
        match holds {
            true => Ok(()),
            false => Err(self.broken(why)),
        }
    }
}

/// After somebody was told something.
pub fn of_what_was_told(world: &World) -> Result<(), Broken> {
    let ghosts = &world.ghosts;
    for (window, through) in &ghosts.through {
        let policy = world
            .window(*window)
            .map(|kept| kept.window.options.open_policy);
        let most = match policy {
            Some(OpenPolicy::Multi) => usize::from(MULTI_OPENS),
            _ => 1,
        };
        let why = format!("{} browsers got through {policy:?}", through.len());
        Promise::OneWinner.holds(through.len() <= most, why)?;
    }
    for continued in ghosts.continued.values() {
        let is_bounded = continued.len() <= usize::from(CONTINUES);
        Promise::OneWinner.holds(is_bounded, "a window was continued once more")?;
    }
    for exchanged in ghosts.exchanged.values() {
        Promise::OneExchange.holds(*exchanged <= 1, "two answers of a window were given out")?;
    }
    for connected in ghosts.connected.values() {
        let why = "two token sets connected by one window";
        Promise::OneExchange.holds(connected.len() <= 1, why)?;
    }
    Ok(())
}

/// A gateway is told what its command led to, which had been written in its name.
pub fn of_answer(written: &Outcome, told: &Outcome) -> Result<(), Broken> {
    // Of a member that nobody connected nothing may be left that could say who deleted it.
    let is_gone = *told == Outcome::Delete(None);
    let why = format!("it led to {written:?}, and what was told is {told:?}");
    Promise::OneAnswer.holds(is_gone || written == told, why)
}

/// After a step was written.
pub fn of_step(
    before: &World,
    command: &Command,
    outcome: &Outcome,
    changes: &Changes,
    after: &mut World,
) -> Result<(), Broken> {
    events_are_in_order(before, changes, after)?;
    let written = Written {
        before,
        changes,
        after,
    };
    written.windows_end_as_told(command)?;
    match (command, outcome) {
        (Command::Commit(commit), Outcome::Commit((committed, removed))) => {
            written.is_connected_at_once(commit, committed, removed.as_ref())
        }
        (Command::Commit(_), _) => unreachable!("a commit has the outcome of one"),
        (Command::Create(_) | Command::Update(_), _) => Ok(()),
        _ => {
            let changed = |key: &Key| {
                changes
                    .records
                    .iter()
                    .any(|(it, to)| it == key && to.is_some())
            };
            let mut means = after.members().map(|member| Key::access(member.guid));
            let why = "a step that connects nobody changed what a member is pulled with";
            Promise::AllOrNothing.holds(!means.any(|key| changed(&key)), why)
        }
    }
}

/// What a step wrote.
struct Written<'a> {
    before: &'a World,
    changes: &'a Changes,
    after: &'a World,
}

impl Written<'_> {
    /// The windows that ended in this step.
    fn ended(&self) -> impl Iterator<Item = (OauthStateGuid, WindowStatus)> {
        let windows = self.after.windows().map(|kept| &kept.window);
        let ended = windows.filter(|window| {
            let earlier = self.before.window(window.guid);
            let was_finished = earlier.is_some_and(|kept| kept.window.status.is_finished());
            window.status.is_finished() && !was_finished
        });
        ended.map(|window| (window.guid, window.status))
    }

    fn tells(&self, notices: &[Notice]) -> bool {
        let told = |notice: &Notice| {
            let key = Key::event(notice.guid);
            let mut changed = self.changes.records.iter();
            changed.any(|(known, event)| *known == key && event.is_some())
        };
        notices.iter().all(told)
    }

    /// A window that ends is told in the same step, and only a commit makes it succeed.
    fn windows_end_as_told(&self, command: &Command) -> Result<(), Broken> {
        let is_commit = matches!(command, Command::Commit(_));
        for (guid, status) in self.ended() {
            let is_success = status == WindowStatus::Succeeded;
            let why = format!("{status:?} without its commit");
            Promise::AllOrNothing.holds(is_success == is_commit, why)?;
            let told = self.changes.records.iter().any(|(_, event)| {
                matches!(event, Some(Record::Event(event))
                    if event.kind == EventKind::OauthStateFinished && event.window_guid == Some(guid))
            });
            Promise::AllOrNothing.holds(told, format!("nobody is told of {status:?}"))?;
        }
        for kept in self
            .before
            .windows()
            .filter(|kept| kept.window.status.is_finished())
        {
            let now = self
                .after
                .window(kept.window.guid)
                .map(|kept| kept.window.status);
            let why = "a finished window became another";
            Promise::AllOrNothing.holds(now == Some(kept.window.status), why)?;
        }
        Ok(())
    }

    fn is_connected_at_once(
        &self,
        commit: &Connection,
        committed: &Committed,
        removed: Option<&Member>,
    ) -> Result<(), Broken> {
        let all = Promise::AllOrNothing;
        let Committed::Connected(subject) = committed else {
            return Err(all.broken(format!("{committed:?} and yet something changed")));
        };
        let receiving = subject.window.inbound.unwrap_or(subject.window.member);
        let window = self
            .after
            .window(commit.window)
            .map(|kept| kept.window.status);
        all.holds(
            window == Some(WindowStatus::Succeeded),
            "connected by no window",
        )?;
        let member = self.after.member(receiving);
        let status = member.map(|member| member.status);
        let why = format!("{status:?} by a window that succeeded");
        all.holds(status == Some(ConnectionStatus::Connected), why)?;
        let means = match self.after.kept(&Key::access(receiving)) {
            Some(Record::Access(means)) => Some(&*means.sealed),
            _ => None,
        };
        all.holds(
            means == Some(&*commit.tokens.sealed),
            "connected without the token set",
        )?;
        let job = member.and_then(|member| member.current_job);
        let wanted = commit.job.as_ref().map(|job| job.guid);
        all.holds(
            job == wanted,
            "connected without the job that was asked for",
        )?;
        let is_told = self.tells(&commit.updated)
            && self.tells(&commit.finished)
            && (removed.is_none() || self.tells(&commit.deleted));
        all.holds(is_told, "connected, and not all of the news told")?;
        let is_removed = removed.is_none_or(|gone| self.after.member(gone.guid).is_none());
        all.holds(is_removed, "merged, and still there")
    }
}

/// Events show their member as the change left it, and never an older one than the last did.
fn events_are_in_order(before: &World, changes: &Changes, after: &mut World) -> Result<(), Broken> {
    let order = Promise::EventsInOrder;
    for member in before.members() {
        if let Some(now) = after.member(member.guid) {
            let is_next = now == member || now.revision == member.revision + 1;
            let why = format!("revision {} followed {}", now.revision, member.revision);
            order.holds(is_next, why)?;
        }
    }
    for (_, record) in &changes.records {
        let Some(Record::Event(KeptEvent { member: shown, .. })) = record else {
            continue;
        };
        let shown = &**shown;
        let is_as_left = match after.member(shown.guid) {
            Some(left) => left == shown,
            None => before.member(shown.guid).is_some_and(|was| {
                *shown
                    == Member {
                        revision: was.revision + 1,
                        ..was.clone()
                    }
            }),
        };
        let why = format!(
            "an event shows revision {}, not as it was left",
            shown.revision
        );
        order.holds(is_as_left, why)?;
        let newest = after.ghosts.revisions.entry(shown.guid).or_default();
        let why = format!("revision {} was told after {newest}", shown.revision);
        order.holds(shown.revision >= *newest, why)?;
        *newest = shown.revision;
    }
    Ok(())
}

/// In every state.
pub fn of_state(world: &World) -> Result<(), Broken> {
    windows(world)?;
    jobs(world)?;
    members(world)
}

fn windows(world: &World) -> Result<(), Broken> {
    for kept in world.windows() {
        let window = &kept.window;
        let has_secrets = kept.attempts.iter().any(|attempt| attempt.sealed.is_some());
        if window.status.is_finished() {
            Promise::AllOrNothing.holds(!has_secrets, "a finished window keeps secrets")?;
            continue;
        }
        if window.status == WindowStatus::Returned {
            let why = "what was claimed may be claimed again";
            Promise::OneExchange.holds(!has_secrets, why)?;
        }
        let newest = world
            .member(window.member)
            .map(|member| member.latest_window);
        let why = format!("{:?}, and not the newest of a living member", window.status);
        Promise::NothingPending.holds(newest == Some(Some(window.guid)), why)?;
        let record = Record::Window(kept.clone());
        let is_listed = record.listed() == Some((List::Deadlines, window.deadline));
        Promise::NothingPending.holds(is_listed, "no sweeper will find it")?;
    }
    Ok(())
}

fn jobs(world: &World) -> Result<(), Broken> {
    for (_, record) in world.records() {
        let Record::Job(kept) = record else {
            continue;
        };
        let job = &kept.job;
        if job.status.is_finished() {
            let has_secrets = kept.sealed_answers.is_some();
            Promise::AllOrNothing.holds(!has_secrets, "a finished job keeps answers")?;
            continue;
        }
        let current = world.member(job.member).map(|member| member.current_job);
        let why = format!("{:?}, and not the job of a living member", job.status);
        Promise::NoLostJob.holds(current == Some(Some(job.guid)), why)?;
        let is_due = record
            .due()
            .is_some_and(|due| due.line.kind() == Some(DutyKind::Aggregate));
        Promise::NoLostJob.holds(is_due, "no worker will find it")?;
    }
    Ok(())
}

fn members(world: &World) -> Result<(), Broken> {
    for member in world.members() {
        match member.current_job {
            Some(job) => {
                let status = status_of_job(world, member.guid, job);
                let is_unfinished = status.is_some_and(|status| !status.is_finished());
                let why = format!("a member's job is {status:?}");
                Promise::NoLostJob.holds(is_unfinished, why)?;
            }
            None => {
                let awaits = member.status.awaits_a_job();
                let why = format!("{:?}, and no job will come", member.status);
                Promise::NoLostJob.holds(!awaits, why)?;
            }
        }
        if let Some(Record::Access(means)) = world.kept(&Key::access(member.guid)) {
            let is_readable = is_sealed_for(&means.sealed, member.guid);
            let why = "a member was given what was sealed for another";
            Promise::AllOrNothing.holds(is_readable, why)?;
        } else {
            let is_connected = member.status == ConnectionStatus::Connected;
            Promise::AllOrNothing.holds(!is_connected, "CONNECTED, with nothing to pull with")?;
        }
    }
    Ok(())
}

fn status_of_job(
    world: &World,
    member: MemberGuid,
    job: guichet::domain::id::JobGuid,
) -> Option<JobStatus> {
    let mut jobs = world.jobs();
    jobs.find(|it| it.guid == job && it.member == member)
        .map(|job| job.status)
}

/// When nobody does anything any more: the sweeper and the worker bring everything to its end.
pub fn of_the_end(world: &World, law: Law) -> Result<(), Broken> {
    let settled = world.settled(law)?;
    of_state(&settled)?;
    let mut windows = settled.windows().map(|kept| kept.window.status);
    if let Some(status) = windows.find(|status| !status.is_finished()) {
        return Err(Promise::NothingPending.broken(format!("a window is {status:?} for ever")));
    }
    let mut jobs = settled.jobs().map(|job| job.status);
    if let Some(status) = jobs.find(|status| !status.is_finished()) {
        return Err(Promise::NoLostJob.broken(format!("a job is {status:?} for ever")));
    }
    Ok(())
}
