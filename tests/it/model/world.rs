//! What there is in a model: the records of one user, the time, what was told to whom, and the gateways
//! with a command on its way.
//!
//! Everything that a world is made of is drawn from one table, so that equal states are equal however they
//! were reached.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use guichet::domain::id::{MemberGuid, OauthStateGuid};
use guichet::domain::job::{HandOut, JOB_TRIES, Job, JobFailure, JobReport, JobStatus};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::window::{Ending, ErrorReason};
use guichet::steps::duty::TakeUp;
use guichet::steps::link::Mint;
use guichet::steps::record::{Changes, KeptWindow, Key, List, Reads, Record, View};
use guichet::steps::{
    Answering, AskBrake, BeginRefresh, Claim, Claimed, Committed, Confirmation, Confirmed,
    Connection, ConsentTold, CountRefusal, Deletion, Failure, Freeze, GiveBack, HeldTokens,
    JobOrder, MemberChange, NewMember, Opened, Opening, ReleaseBrake, Replay, Reported, Restore,
    Retried, Retry, Settle, SettleRefresh, StatusChange, Step, TellConsent, VisitKind,
};
use guichet::steps::{Duty, DutyName};
use jiff::{SignedDuration, Timestamp};

use super::bank::{AtBank, Bank, opened};
use super::cast::told;
use super::duties::{Deed, Stage};
use super::promises::{self, Broken, Promise};
use crate::store_contract::fixtures::at;
use guichet::domain::event::EventKind;

/// How long a job is held by who took it, in seconds.
const HELD: i64 = 300;

/// How many commands of those that wrote a record it names.
const LAST_COMMANDS: usize = 8;

/// Declares the commands of the model: each is a step.
macro_rules! commands {
    ($($name:ident($step:ty);)*) => {
        /// A step that is asked for.
        #[derive(Clone, Debug)]
        #[expect(clippy::large_enum_variant, reason = "it is behind a pointer")]
        pub enum Command {
            $($name($step),)*
        }

        /// What it led to.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Outcome {
            $($name(<$step as Step>::Outcome),)*
        }

        impl Command {
            fn reads(&self) -> Reads {
                match self { $(Self::$name(step) => step.reads(),)* }
            }

            fn reads_then(&self, view: &View) -> Vec<Key> {
                match self { $(Self::$name(step) => step.reads_then(view),)* }
            }
        }

        /// The law.
        pub fn law(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
            let view = seen.view();
            match command {
                $(Command::$name(step) => {
                    let (outcome, changes) = step.decide(&view, now);
                    (Outcome::$name(outcome), changes)
                })*
            }
        }
    };
}

commands! {
    Create(NewMember);
    Mint(Mint);
    Open(Opening);
    Claim(Claim);
    Hold(HeldTokens);
    Confirm(Confirmation);
    Commit(Connection);
    Fail(Failure);
    Retry(Retry);
    Delete(Deletion);
    Update(MemberChange);
    Order(JobOrder);
    Push(TakeUp);
    Report(Reported);
    Answer(Answering);
    Begin(BeginRefresh);
    Settle(SettleRefresh);
    Freeze(Freeze);
    SettleDuty(Settle);
    GiveBack(GiveBack);
    Replay(Replay);
    CountRefusal(CountRefusal);
    AskBrake(AskBrake);
    Release(ReleaseBrake);
    Restore(Restore);
    TellConsent(TellConsent);
}

/// What decides, and how what was decided is kept: as it is, or with a fault planted in it.
#[derive(Clone, Copy)]
pub struct Law {
    /// Decides.
    pub decide: fn(&Command, &Seen, Timestamp) -> (Outcome, Changes),
    /// Keeps.
    pub driver: Driver,
}

/// How a gateway keeps what was decided.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Only if what was read is still so; what was sent before is known again by its name.
    Faithful,
    /// Whatever has become of what was read.
    NeverCompares,
    /// A step that is sent again does not look for its name.
    NeverRemembers,
    /// One whose last request was refused does not look for its name.
    ForgetsWhenRefused,
}

/// The law as it is.
pub const LAW: Law = Law {
    decide: law,
    driver: Driver::Faithful,
};

/// A record, and the commands that wrote it, the newest first.
#[derive(Clone)]
pub struct Kept {
    pub record: Record,
    commands: Vec<u8>,
    print: u64,
}

impl Kept {
    pub fn new(record: Record, commands: Vec<u8>) -> Self {
        let json = serde_json::to_vec(&without_history(record.clone()));
        let print = print_of(&(json.expect("records have a form"), &commands));
        Self {
            record,
            commands,
            print,
        }
    }
}

/// A record without what no step asks for: when things happened, how often a member was changed, and how a
/// job ended. (How that
/// compares with what was told of the member is a part of the state.)
fn without_history(mut record: Record) -> Record {
    let plain = |member: &mut Member| {
        member.revision = 0;
        member.aggregated_at = None;
        let succeeded = &mut member.successfully_aggregated_at;
        *succeeded = succeeded.map(|_| at(0));
    };
    match &mut record {
        Record::Member(member) => plain(member),
        Record::Deleted(deleted) => {
            plain(&mut deleted.member);
            deleted.deleted_at = at(0);
        }
        Record::Window(kept) => {
            kept.window.created_at = at(0);
            kept.window.updated_at = at(0);
        }
        Record::Job(kept) => {
            kept.job.created_at = at(0);
            kept.job.updated_at = at(0);
            if kept.job.status.is_finished() {
                kept.job = Job {
                    status: JobStatus::Failed,
                    failure: None,
                    attempt: 0,
                    round: 0,
                    due_at: at(0),
                    ..kept.job.clone()
                };
            }
        }
        _ => {}
    }
    record
}

fn print_of(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// What was read for a command.
#[derive(Clone, Default)]
pub struct Seen {
    /// Each key that was looked at, with what was there.
    pub records: Vec<(Rc<Key>, Option<Rc<Kept>>)>,
    count: u64,
}

impl Seen {
    fn view(&self) -> View {
        let there = self.records.iter().filter_map(|(key, kept)| {
            let kept = kept.as_ref()?;
            Some((Key::clone(key), kept.record.clone()))
        });
        let mut view = View::new(there);
        view.count = Some(self.count);
        view
    }
}

/// What was told, and what can no longer be seen in the records.
#[derive(Clone, Default)]
pub struct Ghosts {
    /// The attempts that were told that they got through without Continue, by window.
    pub through: BTreeMap<OauthStateGuid, BTreeSet<String>>,
    /// Those that were told so by Continue.
    pub continued: BTreeMap<OauthStateGuid, BTreeSet<String>>,
    /// How many answers were told that they, and no other, may be exchanged or redeemed.
    pub exchanged: BTreeMap<OauthStateGuid, u8>,
    /// The token sets that were told that they connected somebody.
    pub connected: BTreeMap<OauthStateGuid, BTreeSet<Vec<u8>>>,
    /// The revision that the newest event of each member showed.
    pub revisions: BTreeMap<MemberGuid, u32>,
    /// The events that were sent to their endpoint.
    pub sent: BTreeSet<String>,
    /// How often the end of each member's consent was told before it came.
    pub warned: BTreeMap<MemberGuid, u8>,
    /// Whether the brake went on.
    pub was_braked: bool,
}

impl Hash for Ghosts {
    /// How often a member was changed does not tell states apart.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (
            &self.through,
            &self.continued,
            &self.exchanged,
            &self.connected,
            &self.sent,
            &self.warned,
            self.was_braked,
        )
            .hash(state);
    }
}

/// Where a gateway is with its command.
#[derive(Clone)]
enum Phase {
    /// It is about to read.
    Ready,
    /// It has decided and sent what is to be kept.
    Sent(Rc<Request>),
    /// It knows what the command led to.
    Told,
    /// It was cut off.
    Gone,
}

/// What a gateway has sent to be kept.
struct Request {
    seen: Seen,
    changes: Changes,
    outcome: Outcome,
    print: u64,
}

/// A gateway with one command.
#[derive(Clone)]
pub struct Gateway {
    command: Rc<Command>,
    /// What the command is called.
    name: u8,
    phase: Phase,
    /// When the command came.
    now: Option<i64>,
    /// What an earlier request, to which no answer came, leads to if it arrives.
    sent: Option<Rc<Request>>,
    /// A request that nobody awaits any more, and that may still arrive.
    late: Option<Rc<Request>>,
    /// How often no answer may come.
    patience: u8,
    /// What was written in its name.
    written: Option<Rc<Request>>,
}

/// One state.
#[derive(Clone, Default)]
pub struct World {
    records: BTreeMap<Rc<Key>, Rc<Kept>>,
    /// Seconds since the beginning.
    pub now: i64,
    /// The moments at which things happen, in seconds.
    clock: &'static [i64],
    pub ghosts: Ghosts,
    gateways: Vec<Gateway>,
    /// How often each thing was done that a scenario allows so many times.
    pub spent: [u8; 4],
    /// How many commands were taken beside the gateways' own: each has a name of its own.
    others: u8,
    /// The institution, where tokens are refreshed.
    pub bank: Bank,
    /// The gateways that do what is due, and where each is.
    pub workers: Vec<Stage>,
    /// How many refreshes began.
    pub refreshes: u16,
    /// Whether events are kept until they are delivered, in `lines`.
    keeps_events: bool,
    /// The events that wait, in the order in which they came.
    pub lines: Vec<Key>,
}

/// What may happen next.
pub enum Move {
    /// A command is taken at once. Where it changes something, it is counted.
    Take(Rc<Command>, Option<usize>),
    /// A due job is taken up: pushed again, or, pushed often enough, given up.
    Work(Rc<Command>),
    /// Time passes.
    Tick,
    /// A gateway reads and decides.
    Load(usize),
    /// What a gateway sent is kept, and it is told so.
    Apply(usize),
    /// It is kept, and the answer is lost: the gateway sends the command again.
    LoseAnswer(usize),
    /// Nothing is heard of it: the gateway sends the command again, and what it sent may still arrive.
    TimeOut(usize),
    /// The gateway is cut off. What it sent may still arrive.
    Crash(usize),
    /// It arrives.
    Late(usize),
    /// A gateway goes on with what it took up.
    Does(usize, Deed),
    /// Something happens at the institution.
    Bank(AtBank),
}

impl World {
    /// What stands under a key.
    pub fn kept(&self, key: &Key) -> Option<&Record> {
        self.records.get(key).map(|kept| &kept.record)
    }

    pub fn records(&self) -> impl Iterator<Item = (&Key, &Record)> {
        let all = self.records.iter();
        all.map(|(key, kept)| (&**key, &kept.record))
    }

    pub fn member(&self, guid: MemberGuid) -> Option<&Member> {
        match self.kept(&Key::member(guid))? {
            Record::Member(member) => Some(member),
            _ => None,
        }
    }

    pub fn window(&self, guid: OauthStateGuid) -> Option<&KeptWindow> {
        match self.kept(&Key::window(guid))? {
            Record::Window(kept) => Some(kept),
            _ => None,
        }
    }

    pub fn windows(&self) -> impl Iterator<Item = &KeptWindow> {
        self.records().filter_map(|(_, record)| match record {
            Record::Window(kept) => Some(kept),
            _ => None,
        })
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.records().filter_map(|(_, record)| match record {
            Record::Member(member) => Some(member),
            _ => None,
        })
    }

    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.records().filter_map(|(_, record)| match record {
            Record::Job(kept) => Some(&kept.job),
            _ => None,
        })
    }

    /// The same, with things happening at these moments.
    pub fn at_moments(self, clock: &'static [i64]) -> Self {
        Self { clock, ..self }
    }

    /// The same, with so many gateways that do what is due.
    pub fn with_workers(self, many: usize) -> Self {
        let workers = vec![Stage::Idle; many];
        Self { workers, ..self }
    }

    /// The same, with that institution.
    pub fn at_bank(self, bank: Bank) -> Self {
        Self { bank, ..self }
    }

    /// The same, with events that wait until they are delivered.
    pub fn keeping_events(self) -> Self {
        Self {
            keeps_events: true,
            ..self
        }
    }

    /// Puts a record in before anything happens.
    pub fn with(mut self, key: Key, record: impl Into<Record>) -> Self {
        let kept = Kept::new(record.into(), vec![0]);
        self.records.insert(Rc::new(key), Rc::new(kept));
        self
    }

    /// Takes a command before anything happens.
    pub fn after(self, command: Command) -> Self {
        match self.take(&Move::Take(Rc::new(command), None), LAW) {
            Ok(world) => world,
            Err(broken) => panic!("at the beginning: {broken:?}"),
        }
    }

    /// Gives a command to a gateway.
    pub fn asked(mut self, command: Command) -> Self {
        self.gateways.push(Gateway {
            command: Rc::new(command),
            name: u8::try_from(self.gateways.len()).expect("few") + 1,
            phase: Phase::Ready,
            now: None,
            sent: None,
            late: None,
            patience: 1,
            written: None,
        });
        self
    }

    /// The name of the state.
    pub fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.now, self.spent, self.others, &self.ghosts).hash(&mut hasher);
        (&self.bank, self.refreshes).hash(&mut hasher);
        self.lines
            .iter()
            .for_each(|key| key.as_str().hash(&mut hasher));
        // Which gateway does what makes no difference.
        let mut stages: Vec<u64> = self.workers.iter().map(print_of).collect();
        stages.sort_unstable();
        stages.hash(&mut hasher);
        for member in self.members() {
            let told = self.ghosts.revisions.get(&member.guid).copied();
            (member.revision - told.unwrap_or_default()).hash(&mut hasher);
        }
        for (key, kept) in &self.records {
            (key.as_str(), kept.print).hash(&mut hasher);
        }
        let sent = |request: &Option<Rc<Request>>| request.as_ref().map(|it| it.print);
        for gateway in &self.gateways {
            let phase = match &gateway.phase {
                Phase::Ready => (0, 0),
                Phase::Sent(request) => (1, request.print),
                Phase::Told => (2, 0),
                Phase::Gone => (3, 0),
            };
            let (sent, late, written) = (
                sent(&gateway.sent),
                sent(&gateway.late),
                sent(&gateway.written),
            );
            (phase, gateway.now, gateway.patience).hash(&mut hasher);
            (sent, late, written).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// What a command reads.
    fn seen(&self, command: &Command) -> Seen {
        let reads = command.reads();
        let mut seen = Seen::default();
        let mut look = |key: &Key| {
            if seen.records.iter().all(|(known, _)| **known != *key) {
                let there = self.records.get_key_value(key);
                seen.records.push(match there {
                    Some((key, kept)) => (Rc::clone(key), Some(Rc::clone(kept))),
                    None => (Rc::new(key.clone()), None),
                });
            }
            self.kept(key).map(Record::links).unwrap_or_default()
        };
        let mut links: Vec<Key> = reads.keys.iter().flat_map(&mut look).collect();
        for kinds in reads.follow {
            links.retain(|key| kinds.contains(key.kind()));
            links = links.iter().flat_map(&mut look).collect();
        }
        if let Some(List::Members(user)) = reads.count {
            let of_user = self.members().filter(|member| member.user == user);
            seen.count = of_user.count() as u64;
        }
        let more = command.reads_then(&seen.view());
        for key in more {
            if seen.records.iter().all(|(known, _)| **known != key) {
                let kept = self.records.get(&key).map(Rc::clone);
                seen.records.push((Rc::new(key), kept));
            }
        }
        seen
    }

    /// Whether what was read is still so.
    fn is_unchanged(&self, seen: &Seen) -> bool {
        let newest = |kept: Option<&Rc<Kept>>| kept.and_then(|kept| kept.commands.first().copied());
        let mut read = seen.records.iter();
        read.all(|(key, kept)| newest(self.records.get(key)) == newest(kept.as_ref()))
    }

    /// Whether what a request was to keep names its command: then it arrived.
    fn has_written(&self, command: u8, request: &Request) -> bool {
        let mut written = request.changes.records.iter();
        written.any(|(key, _)| {
            let there = self.records.get(key);
            there.is_some_and(|kept| kept.commands.contains(&command))
        })
    }

    /// Keeps what a command changes. Events go to whom they are for, and are not kept.
    fn keep(&mut self, seen: &Seen, changes: &Changes, command: u8) {
        for (key, record) in &changes.records {
            if key.kind() == 'e' && !self.keeps_events {
                continue;
            }
            if key.kind() == 'e' {
                let waits = record.as_ref().is_some_and(|record| record.due().is_some());
                self.waits(key, waits);
            }
            let Some(record) = record else {
                self.records.remove(key);
                continue;
            };
            let read = seen.records.iter().find(|(known, _)| **known == *key);
            let earlier = read.and_then(|(_, kept)| kept.as_ref());
            let earlier = earlier.map_or(&[][..], |kept| &kept.commands);
            let mut commands = vec![command];
            // Where every command is taken at once, nobody asks for their names, and equal states are to
            // be equal.
            if command != 0 {
                commands.extend(earlier.iter().take(LAST_COMMANDS - 1));
            }
            let kept = Kept::new(record.clone(), commands);
            self.records.insert(Rc::new(key.clone()), Rc::new(kept));
        }
    }

    /// An event waits in its line where it came, or leaves it.
    fn waits(&mut self, key: &Key, waits: bool) {
        let is_there = self.lines.contains(key);
        match waits {
            true if !is_there => self.lines.push(key.clone()),
            false => self.lines.retain(|other| other != key),
            true => {}
        }
    }

    /// Writes what was decided for a command, and asks the promises about it.
    fn write(&mut self, command: &Command, request: &Request, name: u8) -> Result<(), Broken> {
        let before = self.clone();
        self.keep(&request.seen, &request.changes, name);
        promises::of_step(&before, command, &request.outcome, &request.changes, self)
    }

    /// Whether a command that is taken at once would change nothing and tell nobody anything that counts.
    fn is_idle(&self, command: &Command, law: Law) -> bool {
        let (outcome, changes) = (law.decide)(command, &self.seen(command), at(self.now));
        let is_news = matches!(
            outcome,
            Outcome::Open(Opened::Claimed(_))
                | Outcome::Retry(Retried::Claimed(_))
                | Outcome::Claim(Claimed::Accepted { .. } | Claimed::Burnt(_))
                | Outcome::Commit((Committed::Connected(_), _))
        );
        changes.is_empty() && !is_news
    }

    /// Takes a command at once; what it led to.
    pub fn take_at_once(&mut self, command: &Command, law: Law) -> Result<(Outcome, bool), Broken> {
        let seen = self.seen(command);
        let (outcome, changes) = (law.decide)(command, &seen, at(self.now));
        let is_change = !changes.is_empty();
        if is_change {
            let name = match self.gateways.len() {
                0 => 0,
                _ => {
                    self.others += 1;
                    100 + self.others
                }
            };
            let request = Request {
                seen,
                changes,
                outcome: outcome.clone(),
                print: 0,
            };
            self.write(command, &request, name)?;
        }
        self.tell(command, &outcome)?;
        Ok((outcome, is_change))
    }

    /// Whoever asked hears what it led to.
    fn tell(&mut self, command: &Command, outcome: &Outcome) -> Result<(), Broken> {
        let ghosts = &mut self.ghosts;
        match (command, outcome) {
            (Command::Open(opening), Outcome::Open(Opened::Claimed(subject))) => {
                let told = match opening.kind {
                    VisitKind::Continue => &mut ghosts.continued,
                    _ => &mut ghosts.through,
                };
                let told = told.entry(subject.window.guid).or_default();
                told.insert(opening.attempt.id.as_str().to_owned());
            }
            (Command::Retry(retry), Outcome::Retry(Retried::Claimed(subject))) => {
                let told = ghosts.through.entry(subject.window.guid).or_default();
                told.insert(retry.attempt.id.as_str().to_owned());
            }
            (_, Outcome::Claim(Claimed::Accepted { subject, .. } | Claimed::Burnt(subject))) => {
                *ghosts.exchanged.entry(subject.window.guid).or_default() += 1
            }
            (_, Outcome::Confirm(Confirmed::Code { subject, .. })) => {
                *ghosts.exchanged.entry(subject.window.guid).or_default() += 1
            }
            (Command::TellConsent(tell), Outcome::TellConsent(ConsentTold::Expiring(_))) => {
                *ghosts.warned.entry(tell.member).or_default() += 1
            }
            (Command::Commit(commit), Outcome::Commit((Committed::Connected(_), _))) => {
                let told = ghosts.connected.entry(commit.window).or_default();
                told.insert(commit.tokens.sealed.clone());
                if let Some((grant, _)) = opened(&commit.tokens.sealed) {
                    self.bank.grant(grant);
                }
            }
            _ => {}
        }
        promises::of_what_was_told(self)
    }

    /// The state that follows; `None`: the same.
    pub fn next(&self, step: &Move, law: Law) -> Result<Option<World>, Broken> {
        match step {
            Move::Take(command, _) if self.is_idle(command, law) => Ok(None),
            _ => self.take(step, law).map(Some),
        }
    }

    fn take(&self, step: &Move, law: Law) -> Result<World, Broken> {
        let mut world = self.clone();
        match step {
            Move::Take(command, counted) => {
                let (_, is_change) = world.take_at_once(command, law)?;
                if let Some(count) = counted.filter(|_| is_change) {
                    world.spent[count] += 1;
                }
            }
            Move::Work(push) => {
                let (outcome, _) = world.take_at_once(push, law)?;
                if let Outcome::Push(Some(Duty::Push(job))) = outcome
                    && let Some(report) = given_up(&job, world.now)
                {
                    world.take_at_once(&report, law)?;
                }
            }
            Move::Does(number, deed) => world.does(*number, deed, law)?,
            Move::Bank(what) => world.happens_at_bank(*what),
            Move::Tick => world.now = self.next_moment().unwrap_or(self.now),
            Move::Load(number) => world.load(*number, law)?,
            Move::Apply(number) => {
                let request = world.awaited(*number);
                if world.arrive(*number, &request, law)? {
                    world.hear(*number, &request.outcome)?;
                } else {
                    let gateway = &mut world.gateways[*number];
                    let remembers = law.driver != Driver::ForgetsWhenRefused;
                    gateway.sent = remembers.then_some(request);
                    gateway.phase = Phase::Ready;
                }
            }
            Move::LoseAnswer(number) => {
                let request = world.awaited(*number);
                world.arrive(*number, &request, law)?;
                let gateway = &mut world.gateways[*number];
                gateway.patience -= 1;
                gateway.sent = Some(request);
                gateway.phase = Phase::Ready;
            }
            Move::TimeOut(number) => {
                let request = world.awaited(*number);
                let gateway = &mut world.gateways[*number];
                gateway.patience -= 1;
                gateway.sent = Some(Rc::clone(&request));
                gateway.late = Some(request);
                gateway.phase = Phase::Ready;
            }
            Move::Crash(number) => {
                let gateway = &mut world.gateways[*number];
                if let Phase::Sent(request) = &gateway.phase {
                    gateway.late = Some(Rc::clone(request));
                }
                gateway.sent = None;
                gateway.phase = Phase::Gone;
            }
            Move::Late(number) => {
                if let Some(request) = world.gateways[*number].late.take() {
                    world.arrive(*number, &request, law)?;
                }
            }
        }
        Ok(world)
    }

    /// What that gateway awaits the answer to.
    fn awaited(&self, number: usize) -> Rc<Request> {
        match &self.gateways[number].phase {
            Phase::Sent(request) => Rc::clone(request),
            _ => unreachable!("only what was sent is answered"),
        }
    }

    /// A gateway reads, and decides.
    fn load(&mut self, number: usize, law: Law) -> Result<(), Broken> {
        let now = self.now;
        let gateway = &mut self.gateways[number];
        let (name, now) = (gateway.name, *gateway.now.get_or_insert(now));
        let command = Rc::clone(&gateway.command);
        let sent = gateway.sent.clone();
        let seen = self.seen(&command);
        if let Some(sent) = sent
            && law.driver != Driver::NeverRemembers
            && self.has_written(name, &sent)
        {
            return self.hear(number, &sent.outcome);
        }
        let (outcome, changes) = (law.decide)(&command, &seen, at(now));
        if changes.is_empty() {
            return self.hear(number, &outcome);
        }
        let print = print_of(&format!("{outcome:?} {changes:?}"));
        let read: Vec<_> = seen
            .records
            .iter()
            .map(|(key, kept)| (key.as_str(), kept.as_ref().map(|kept| &kept.commands)))
            .collect();
        let print = print_of(&(print, read));
        self.gateways[number].phase = Phase::Sent(Rc::new(Request {
            seen,
            changes,
            outcome,
            print,
        }));
        Ok(())
    }

    /// What a gateway sent arrives; whether it is kept.
    fn arrive(&mut self, number: usize, request: &Rc<Request>, law: Law) -> Result<bool, Broken> {
        let compares = law.driver != Driver::NeverCompares;
        if compares && !self.is_unchanged(&request.seen) {
            return Ok(false);
        }
        let gateway = &mut self.gateways[number];
        if gateway.written.is_some() && compares {
            return Err(Promise::OneAnswer.broken("a command was done twice"));
        }
        gateway.written = Some(Rc::clone(request));
        let (command, name) = (Rc::clone(&gateway.command), gateway.name);
        self.write(&command, request, name)?;
        Ok(true)
    }

    /// A gateway hears what its command led to.
    fn hear(&mut self, number: usize, outcome: &Outcome) -> Result<(), Broken> {
        let gateway = &mut self.gateways[number];
        gateway.phase = Phase::Told;
        gateway.sent = None;
        let command = Rc::clone(&gateway.command);
        if let Some(written) = &gateway.written {
            promises::of_answer(&written.outcome, outcome)?;
        }
        self.tell(&command, outcome)
    }

    fn next_moment(&self) -> Option<i64> {
        self.clock.iter().copied().find(|moment| *moment > self.now)
    }

    /// What happens in every scenario: time passes, deadlines are made true, jobs are taken up, and gateways
    /// go on or are cut off.
    pub fn usual_moves(&self) -> Vec<(String, Move)> {
        let mut moves = Vec::new();
        if self.next_moment().is_some_and(|moment| self.may_be(moment)) {
            moves.push(("time passes".to_owned(), Move::Tick));
        }
        for sweep in self.overdue() {
            moves.push((
                "the sweeper ends a window".to_owned(),
                Move::Take(Rc::new(sweep), None),
            ));
        }
        for push in self.due() {
            moves.push((
                "the worker takes a job up".to_owned(),
                Move::Work(Rc::new(push)),
            ));
        }
        moves.extend(self.duty_moves());
        for (number, gateway) in self.gateways.iter().enumerate() {
            let name = ["first", "second"][number];
            match &gateway.phase {
                Phase::Ready => {
                    moves.push((format!("the {name} gateway reads"), Move::Load(number)))
                }
                Phase::Sent(_) => {
                    moves.push((
                        format!("the {name} gateway's request is done"),
                        Move::Apply(number),
                    ));
                    moves.push((
                        format!("the {name} gateway is cut off"),
                        Move::Crash(number),
                    ));
                    if gateway.patience > 0 {
                        moves.push((
                            format!("the {name} gateway's request is done, its answer lost"),
                            Move::LoseAnswer(number),
                        ));
                        moves.push((
                            format!("the {name} gateway's request is late"),
                            Move::TimeOut(number),
                        ));
                    }
                }
                Phase::Told | Phase::Gone => {}
            }
            if gateway.late.is_some() {
                moves.push((
                    format!("the {name} gateway's late request arrives"),
                    Move::Late(number),
                ));
            }
        }
        moves
    }

    /// The windows whose deadline has passed, as the sweeper ends them.
    fn overdue(&self) -> Vec<Command> {
        let now = at(self.now);
        let listed = self.records().filter_map(|(_, record)| match record {
            Record::Window(kept) => {
                let (list, deadline) = record.listed()?;
                (list == List::Deadlines && deadline <= now).then_some(kept)
            }
            _ => None,
        });
        listed
            .map(|kept| {
                Command::Fail(Failure {
                    window: kept.window.guid,
                    reason: ErrorReason::SessionError,
                    ending: Ending::Expired,
                    only_in: None,
                    detail: None,
                    inbound: None,
                    finished: told(EventKind::OauthStateFinished),
                    report: None,
                })
            })
            .collect()
    }

    /// The jobs that are due, as the worker takes them up.
    fn due(&self) -> Vec<Command> {
        let now = at(self.now);
        let due = self.records().filter_map(|(_, record)| match record {
            Record::Job(kept) => {
                let due = record.due().filter(|due| due.at <= now)?;
                Some((kept.job.guid, due.line))
            }
            _ => None,
        });
        due.map(|(job, line)| {
            Command::Push(TakeUp {
                duty: DutyName::Job(job),
                line,
                behind: None,
                hold_until: now + SignedDuration::from_secs(HELD),
            })
        })
        .collect()
    }

    /// When the next window or job is due.
    fn next_due(&self) -> Option<Timestamp> {
        let due = self.records().filter_map(|(_, record)| match record {
            Record::Window(_) => record.listed().map(|(_, deadline)| deadline),
            Record::Job(_) => record.due().map(|due| due.at),
            _ => None,
        });
        due.min()
    }

    /// What is left when nobody does anything any more but the sweeper and the worker.
    pub fn settled(&self, law: Law) -> Result<World, Broken> {
        let mut world = self.clone();
        for _ in 0..100 {
            let Some(due) = world.next_due() else {
                return match world.workers.is_empty() {
                    true => Ok(world),
                    false => world.worked_off(law),
                };
            };
            world.now = world.now.max(due.duration_since(at(0)).as_secs());
            for command in world.overdue() {
                world = world.take(&Move::Take(Rc::new(command), None), law)?;
            }
            for push in world.due() {
                world = world.take(&Move::Work(Rc::new(push)), law)?;
            }
        }
        Ok(world)
    }

    /// Whether no time is left, and nothing is on its way.
    pub fn is_over(&self) -> bool {
        let is_done = |gateway: &Gateway| matches!(gateway.phase, Phase::Told | Phase::Gone);
        let is_idle = self.workers.iter().all(|stage| *stage == Stage::Idle);
        self.next_moment().is_none() && is_idle && self.gateways.iter().all(is_done)
    }
}

/// What the worker reports of a job that it took up once too often, or that nobody answered.
fn given_up(job: &Job, now: i64) -> Option<Command> {
    let failure = match job.status {
        JobStatus::Challenged => JobFailure::Unanswered,
        _ if job.attempt > JOB_TRIES => JobFailure::Unavailable,
        _ => return None,
    };
    Some(report(job.guid, JobReport::Failed(failure), now))
}

/// A report, and what it makes of a standard member.
pub fn report(job: guichet::domain::id::JobGuid, report: JobReport, now: i64) -> Command {
    use ConnectionStatus as Status;
    let always = |status| StatusChange {
        at_first: Some(status),
        later: Some(status),
        is_refusal: false,
        reason: None,
    };
    let standing = match &report {
        JobReport::Started => StatusChange::default(),
        JobReport::Succeeded(_) => always(Status::Connected),
        JobReport::Challenged(_) => always(Status::Challenged),
        JobReport::Failed(JobFailure::Denied) => StatusChange {
            is_refusal: true,
            ..always(Status::Denied)
        },
        JobReport::Failed(JobFailure::Unanswered) => always(Status::Expired),
        JobReport::Failed(_) => StatusChange {
            at_first: Some(Status::Failed),
            ..StatusChange::default()
        },
    };
    let changed = match &report {
        JobReport::Started => Vec::new(),
        _ => told(EventKind::MemberUpdated),
    };
    Command::Report(Reported {
        of: HandOut::default(),
        background_due: None,
        job,
        report,
        due_at: at(now + HELD),
        status_change: standing,
        changed,
    })
}
