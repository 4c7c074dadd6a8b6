//! What holds in every reachable state, whatever happens in whatever order: the promises that steps make
//! together. Each has a name, so that a fault is known by the promise that it breaks.

use guichet::domain::duty::DutyKind;
use guichet::domain::event::{EventKind, Notice};
use guichet::domain::id::{EventGuid, MemberGuid, OauthStateGuid};
use guichet::domain::job::JobStatus;
use guichet::domain::member::{ConnectionStatus, Member, StatusReason};
use guichet::domain::window::{CONTINUES, MULTI_OPENS, OpenPolicy, WindowStatus};
use guichet::steps::record::{Changes, KeptEvent, Key, List, Record};
use guichet::steps::{Committed, Connection, DutyName, Fate, Settled};

use super::bank::{Set, opened};
use super::cast::is_sealed_for;
use super::confirmed;
use super::duties::Stage;
use super::world::{Command, Law, Outcome, World};

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// What waits for a confirmation is used only after that of the window's own user and member; another one's ends the
    /// window.
    RightPerson,
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
    /// An institution is asked for a grant by one gateway at a time, and is shown a token that it replaced
    /// only where what replaced it may be lost.
    OneRefresh,
    /// What is kept of a grant is the newest that arrived, and no older grant comes back.
    NewestTokens,
    /// No connection is lost that the institution honours; while it refuses everybody none is but those whose
    /// refusal had counted before.
    LostForCause,
    /// A change of status is told with it, and once; the end of a consent is told once before.
    ToldOnce,
    /// A connection that is dead is not CONNECTED for ever.
    NeverSilentlyDead,
    /// What left a member is owed until it is given back or given up, and everything that is due ends.
    NothingOwed,
    /// What becomes of a duty is decided by who took it up last.
    LastDecides,
    /// Events of a member reach an endpoint in the order of its changes.
    OneLine,
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
    pub fn holds(self, holds: bool, why: impl Into<String>) -> Result<(), Broken> {
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
    changes_are_told(before, changes, after)?;
    what_left_is_owed(before, command, after)?;
    old_tries_decide_nothing(before, command)?;
    confirmed::of_step(before, command, after)?;
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
        (Command::Settle(_), Outcome::Settle(Settled::Lost(member, reason))) => {
            loses_for_cause(before, member.guid, *reason)
        }
        (Command::Settle(_), _) => Ok(()),
        _ => {
            let sealed = |world: &World, of| match world.kept(&Key::access(of)) {
                Some(Record::Access(access)) => Some(access.sealed.clone()),
                _ => None,
            };
            let mut members = after.members().map(|member| member.guid);
            let is_as_before = |of| {
                let now = sealed(after, of);
                now.is_none() || now == sealed(before, of)
            };
            let why = "a step that connects nobody changed what a member is pulled with";
            Promise::AllOrNothing.holds(members.all(is_as_before), why)
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

/// The events that come with a change.
fn new_events<'a>(before: &'a World, changes: &'a Changes) -> impl Iterator<Item = &'a KeptEvent> {
    let changed = changes.records.iter();
    changed.filter_map(|(key, record)| match record {
        Some(Record::Event(event)) if before.kept(key).is_none() => Some(event),
        _ => None,
    })
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
    for event in new_events(before, changes) {
        let KeptEvent { member: shown, .. } = event;
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

/// A member that changes its status is told in the same step, once; what does not change it says nothing of it.
fn changes_are_told(before: &World, changes: &Changes, after: &World) -> Result<(), Broken> {
    let told = |of: MemberGuid, kind: EventKind| {
        let mut endpoints = Vec::new();
        for event in new_events(before, changes) {
            if event.kind == kind && event.member.guid == of {
                endpoints.push(event.endpoint);
            }
        }
        endpoints
    };
    for was in before.members() {
        let Some(now) = after.member(was.guid) else {
            continue;
        };
        let updated = told(was.guid, EventKind::MemberUpdated);
        let has_changed = now.status != was.status;
        let why = format!(
            "{:?} became {:?}, and nobody is told",
            was.status, now.status
        );
        Promise::ToldOnce.holds(!has_changed || !updated.is_empty(), why)?;
        let is_once = (1..updated.len()).all(|nth| !updated[..nth].contains(&updated[nth]));
        Promise::ToldOnce.holds(is_once, "one change is told twice")?;
        let of_status = told(was.guid, EventKind::ConnectionStatus);
        let why = format!("{:?} stayed, and its change was told", was.status);
        Promise::ToldOnce.holds(has_changed || of_status.is_empty(), why)?;
    }
    Ok(())
}

/// Whatever takes a token set away from a member owes its revocation; what is owed is forgotten when it is done.
fn what_left_is_owed(before: &World, command: &Command, after: &World) -> Result<(), Broken> {
    for (key, record) in before.records() {
        match record {
            Record::Access(access) => {
                let Some(token) = access.token.as_ref() else {
                    continue;
                };
                let (Some(set), Some(member)) = (opened(&access.sealed), member_of(key)) else {
                    continue;
                };
                let now = after.set_of(member);
                let older = now.is_some_and(|now| now < set);
                let why = format!("{set:?} was kept, and {now:?} took its place");
                Promise::NewestTokens.holds(!older, why)?;
                let has_left = now.is_none_or(|now| now.0 != set.0);
                let is_dead = token.frozen_at.is_some() || token.refused_at.is_some();
                let owed = after.kept(&Key::revocation(member, token.generation));
                let why = format!("{set:?} left its member, and nobody gives it back");
                Promise::NothingOwed.holds(!has_left || is_dead || owed.is_some(), why)?;
            }
            Record::Revocation(_) if after.kept(key).is_none() => {
                let is_done = matches!(command, Command::SettleDuty(settle)
                    if matches!(settle.fate, Fate::Done | Fate::Dropped));
                Promise::NothingOwed.holds(is_done, "what was owed was forgotten")?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn member_of(key: &Key) -> Option<MemberGuid> {
    MemberGuid::from_compact(key.id_of('g')?).ok()
}

fn old_tries_decide_nothing(before: &World, command: &Command) -> Result<(), Broken> {
    let Command::SettleDuty(settle) = command else {
        return Ok(());
    };
    let newest = match settle.duty {
        DutyName::Event(event) => match before.kept(&Key::event(event)) {
            Some(Record::Event(kept)) => Some(kept.attempt),
            _ => None,
        },
        DutyName::Revocation(member, generation) => {
            match before.kept(&Key::revocation(member, generation)) {
                Some(Record::Revocation(owed)) => Some(owed.attempt),
                _ => None,
            }
        }
        _ => return Ok(()),
    };
    let why = format!(
        "{:?} decided where {newest:?} was the last try",
        settle.attempt
    );
    Promise::LastDecides.holds(newest == settle.attempt, why)
}

/// A connection that the institution honours is not lost, unless it refuses everybody and that is not known yet.
fn loses_for_cause(before: &World, member: MemberGuid, reason: StatusReason) -> Result<(), Broken> {
    let cause = Promise::LostForCause;
    let set = before.set_of(member).unwrap_or_default();
    let bank = &before.bank;
    let why = format!("{set:?} works, and its member lost it");
    cause.holds(bank.is_broken || !bank.honours(set), why)?;
    let is_newest = bank.grants.get(&set.0).is_none_or(|of| of.issued == set.1);
    let why = format!("{set:?} was replaced, and called {reason:?}");
    cause.holds(is_newest || reason == StatusReason::RefreshLost, why)
}

/// Before an institution is asked for a refresh.
///
/// `is_last`: its token was refused, and is tried once more because that may have been the institution's fault.
pub fn of_a_call(world: &World, set: Set, is_in_doubt: bool, is_last: bool) -> Result<(), Broken> {
    let one = Promise::OneRefresh;
    let is_asked = |stage: &Stage| matches!(stage, Stage::Asking(other) if other.set.0 == set.0);
    let is_alone = !world.workers.iter().any(is_asked);
    one.holds(is_alone, "two gateways refresh one grant at once")?;
    let issued = world.bank.grants.get(&set.0).map(|of| of.issued);
    let is_newest = issued.is_none_or(|issued| issued == set.1);
    let why = format!("{set:?} is shown again, and {issued:?} is known to be the newest");
    one.holds(is_newest || is_in_doubt || is_last, why)
}

/// After a gateway asked for new tokens to be kept.
pub fn of_new_tokens(world: &World, member: MemberGuid, new: Set) -> Result<(), Broken> {
    let kept = world.set_of(member);
    let is_kept = kept.is_none_or(|kept| kept >= new);
    let why = format!("{new:?} arrived, and {kept:?} was kept");
    Promise::NewestTokens.holds(is_kept, why)
}

/// Before an event is sent.
pub fn of_a_delivery(world: &World, event: &str) -> Result<(), Broken> {
    let Some(guid) = EventGuid::from_compact(event).ok() else {
        return Ok(());
    };
    let Some(Record::Event(sent)) = world.kept(&Key::event(guid)) else {
        return Ok(());
    };
    if world.ghosts.sent.contains(event) {
        return Ok(());
    }
    let mut others = world.records();
    let overtaken = others.find(|(_, other)| {
        matches!(other, Record::Event(other) if other.is_owed()
            && other.endpoint == sent.endpoint
            && other.replayed_at.is_none()
            && other.member.revision < sent.member.revision)
    });
    let why = format!(
        "revision {} was sent before {overtaken:?}",
        sent.member.revision
    );
    Promise::OneLine.holds(overtaken.is_none(), why)
}

/// In every state.
pub fn of_state(world: &World) -> Result<(), Broken> {
    windows(world)?;
    jobs(world)?;
    members(world)?;
    tokens(world)?;
    let mut warned = world.ghosts.warned.values();
    Promise::ToldOnce.holds(
        warned.all(|times| *times <= 1),
        "one notice was given twice",
    )
}

/// What was left open of a refresh is due.
fn tokens(world: &World) -> Result<(), Broken> {
    for (_, record) in world.records() {
        if let Record::Access(access) = record
            && let Some(token) = access.token.as_ref().filter(|it| it.frozen_at.is_none())
        {
            let is_open = token.running.is_some()
                || token.doubt.is_some() && token.is_renewable
                || token.refused_at.is_some()
                || token.not_asked > 0;
            let why = "a refresh is open, and no worker will find it";
            Promise::NeverSilentlyDead.holds(!is_open || token.due_at.is_some(), why)?;
        }
    }
    Ok(())
}

fn windows(world: &World) -> Result<(), Broken> {
    for kept in world.windows() {
        let window = &kept.window;
        let has_secrets = kept.attempts.iter().any(|attempt| attempt.sealed.is_some());
        if window.status.is_finished() {
            let keeps_any = has_secrets || kept.authorization.is_some();
            Promise::AllOrNothing.holds(!keeps_any, "a finished window keeps secrets")?;
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
    if !settled.workers.is_empty() {
        connections_at_the_end(&settled)?;
    }
    let mut jobs = settled.jobs().map(|job| job.status);
    if let Some(status) = jobs.find(|status| !status.is_finished()) {
        return Err(Promise::NoLostJob.broken(format!("a job is {status:?} for ever")));
    }
    Ok(())
}

/// When every token set was needed once more: who is CONNECTED has one that works, and what works is somebody's.
fn connections_at_the_end(world: &World) -> Result<(), Broken> {
    let bank = &world.bank;
    let mut held = Vec::new();
    for member in world.members().filter(|member| member.is_oauth) {
        let set = world.set_of(member.guid);
        let works = set.is_some_and(|set| bank.honours(set));
        let is_connected = member.status == ConnectionStatus::Connected;
        let why = format!("CONNECTED for ever with {set:?}, which is dead");
        Promise::NeverSilentlyDead.holds(!is_connected || works, why)?;
        // Few that were refused while it was the institution's fault are lost; where it was braked, none is.
        let all_live = bank.grants.values().all(|of| !of.is_over);
        let is_owed = world.ghosts.was_braked && all_live;
        let why = format!("{:?} for ever, and nobody ended its grant", member.status);
        Promise::LostForCause.holds(is_connected || !is_owed, why)?;
        held.extend(set.map(|set| set.0));
    }
    for (grant, of) in &bank.grants {
        let is_held = held.contains(grant);
        let is_given_up = world.records().any(|(_, record)| {
            let Record::Revocation(owed) = record else {
                return false;
            };
            owed.dead_at.is_some()
        });
        let why = format!("grant {grant} is nobody's, and was not given back");
        // What was lost cannot be given back, and what was refused need not be.
        let is_over = of.is_over || of.lost_some || of.was_refused;
        Promise::NothingOwed.holds(is_held || is_over || is_given_up, why)?;
    }
    let waits = world.lines.is_empty();
    Promise::NothingOwed.holds(waits, "an event waits for ever")
}
