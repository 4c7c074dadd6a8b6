//! The scenarios: where each begins, and what people may do in it.

use guichet::steps::NewTokens;
use std::rc::Rc;

use guichet::domain::client::UnboundCallback;
use guichet::domain::duty::DutyKind;
use guichet::domain::event::EventKind;
use guichet::domain::id::JobGuid;
use guichet::domain::job::{JobFailure, JobReport, JobStatus, Pulled};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::window::{Ending, ErrorReason, NewWindow, OpenPolicy, WindowStatus};
use guichet::steps::DutyName;
use guichet::steps::Line;
use guichet::steps::duty::TakeUp;
use guichet::steps::link::Mint;
use guichet::steps::record::{KeptUser, KeptWindow, Key};
use guichet::steps::{
    Answering, Claim, Connection, Deletion, Failure, JobOrder, MemberChange, NewCredentials,
    NewMember, Opening, Retry, VisitKind,
};

use super::cast::{CAST, grant, told};
use super::search::Scenario;
use super::world::{Command, Move, World, report};
use crate::store_contract::fixtures::{
    LINK, at, client, institution, known_as, new_member, opened_by,
};

/// Every scenario.
pub const ALL: [Scenario; 7] = [
    ONE_LINK, TWO_LINKS, ANSWERS, CONTINUED, LIVES, STANDARD, GATEWAYS,
];

/// At once; when a link's time is over, and that of an exchange; when the answer is no longer awaited; when
/// "Try again" is over; when all of it is.
const ALL_MOMENTS: &[i64] = &[0, 601, 901, 1801, 4000];

/// At once, when an answer is no longer awaited, and when "Try again" is over.
const THREE_MOMENTS: &[i64] = &[0, 901, 1801];

/// At once, and when all deadlines have passed.
const TWO_MOMENTS: &[i64] = &[0, 1801];

/// Two browsers, A and B.
const BROWSERS: [usize; 2] = [0, 1];

const POLICIES: [OpenPolicy; 3] = [
    OpenPolicy::Single,
    OpenPolicy::Interstitial,
    OpenPolicy::Multi,
];

/// One link, and two browsers that follow it in every way and come back in every way.
pub const ONE_LINK: Scenario = Scenario {
    name: "one link, two browsers",
    least: 20_000,
    starts: || {
        let start = |policy| (format!("a link, {policy:?}"), linked(policy));
        let mut starts: Vec<_> = POLICIES.map(start).into();
        // What comes first under `multi` is much the same each time.
        let (label, multi) = starts.pop().expect("three policies");
        let multi = (0..3).fold(multi, |world, _| world.opened(0, 0, VisitKind::Begin));
        starts.push((format!("{label}, which A opened three times"), multi));
        let starts = starts.into_iter();
        let timed = starts.map(|(label, world)| (label, world.at_moments(ALL_MOMENTS)));
        timed.collect()
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.open_by(&BROWSERS, &KNOCKS, 2);
        moves.come_back(&BROWSERS);
        moves.exchange(0, &[(None, false)]);
        moves.done
    },
};

/// A second link of a member, and "Try again" after each.
pub const TWO_LINKS: Scenario = Scenario {
    name: "links of one member",
    least: 15_000,
    starts: || {
        let link = linked(OpenPolicy::Single).at_moments(THREE_MOMENTS);
        vec![("a link".to_owned(), link)]
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.open_by(&BROWSERS[..1], &[VisitKind::Begin], 0);
        moves.come_back(&BROWSERS[..1]);
        moves.exchange(0, &[(None, false)]);
        moves.mint(0, 1);
        if world.windows().count() < 4 {
            moves.try_again();
        }
        moves.done
    },
};

/// An answer that arrives any number of times, at its owner and at a stranger, and what is pulled after.
pub const ANSWERS: Scenario = Scenario {
    name: "answers",
    least: 500,
    starts: || {
        let by_one = linked(OpenPolicy::Single).opened(0, 0, VisitKind::Begin);
        let again = by_one.clone().opened(0, 0, VisitKind::Continue);
        let by_two = linked(OpenPolicy::Multi)
            .opened(0, 0, VisitKind::Begin)
            .opened(1, 0, VisitKind::Begin);
        vec![
            ("A opened a link".to_owned(), by_one.at_moments(ALL_MOMENTS)),
            (
                "A opened a link and continued it".to_owned(),
                again.at_moments(ALL_MOMENTS),
            ),
            (
                "A and B opened a link".to_owned(),
                by_two.at_moments(ALL_MOMENTS),
            ),
        ]
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.come_back(&BROWSERS);
        moves.exchange(0, &[(None, true), (None, false)]);
        moves.delete(0);
        moves.done
    },
};

/// A link that one browser continues for as long as it may.
pub const CONTINUED: Scenario = Scenario {
    name: "a link continued",
    least: 150,
    starts: || {
        let link = linked(OpenPolicy::Single).at_moments(ALL_MOMENTS);
        vec![("a link".to_owned(), link)]
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.open_by(&BROWSERS[..1], &KNOCKS, u8::MAX);
        moves.done
    },
};

/// A member that is connected as Ada and another one whose link is out: cancelled, minted anew, deleted,
/// expired, merged.
pub const LIVES: Scenario = Scenario {
    name: "lives of two members",
    least: 5_000,
    starts: || {
        let label = "Ada is connected, and A opened another member's link";
        let world = connected_beside_opened().at_moments(TWO_MOMENTS);
        vec![(label.to_owned(), world)]
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.open_by(&BROWSERS[..1], &[VisitKind::Begin], 0);
        moves.come_back(&BROWSERS[..1]);
        for member in [0, 1] {
            let logins = [(None, true), (Some("ada"), true), (Some("bob"), true)];
            moves.exchange(member, &logins);
            moves.delete(member);
        }
        moves.mint(0, 1);
        moves.mint(1, 1);
        moves.done
    },
};

/// A standard member, with all that an aggregator, a person and a worker may do.
pub const STANDARD: Scenario = Scenario {
    name: "a standard member",
    least: 1_500,
    starts: || {
        let new = standard().at_moments(THREE_MOMENTS);
        let job = CAST.jobs[0];
        let asked = |number| report(job, JobReport::Challenged(CAST.question(number)), 0);
        let again = new.clone().after(asked(0)).after(answer(job, 1, 0));
        let again = again.pushed(job).after(asked(1));
        vec![
            ("a standard member".to_owned(), new),
            ("a standard member, asked a second time".to_owned(), again),
        ]
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.reports(2);
        moves.answers();
        moves.new_credentials(1);
        moves.order(0, 1);
        moves.delete(0);
        moves.done
    },
};

/// Two gateways with a command each, in every order, cut off and unheard.
pub const GATEWAYS: Scenario = Scenario {
    name: "two gateways",
    least: 25_000,
    starts: pairs,
    moves: |_| Vec::new(),
};

/// Every two commands that may meet, where they may.
fn pairs() -> Vec<(String, World)> {
    let mut starts = Vec::new();
    for (place, world, commands) in meetings() {
        for (number, (one, first)) in commands.iter().enumerate() {
            for (another, second) in &commands[number + 1..] {
                let world = world.clone().at_moments(TWO_MOMENTS);
                let world = world.asked(first.clone()).asked(second.clone());
                starts.push((format!("{place}: {one}, {another}"), world));
            }
        }
    }
    starts
}

/// Commands, and what happens by each.
type Commands = Vec<(&'static str, Command)>;

/// Where commands may meet, and which.
fn meetings() -> Vec<(&'static str, World, Commands)> {
    let minted = |window| mint(0, window, OpenPolicy::Single, 0);
    let opens = |browser, made, attempt, kind| open(0, 0, browser, made, attempt, kind, 0);
    let comes_back = |browser, made| claim((0, 0), browser, made, UnboundCallback::Burn);
    let mut meetings = Vec::new();
    for policy in [OpenPolicy::Single, OpenPolicy::Multi] {
        let link = linked(policy);
        let commands = vec![
            ("A opens", opens(0, 0, 0, VisitKind::Begin)),
            ("B opens", opens(1, 0, 0, VisitKind::Begin)),
            ("it is cancelled", cancel(0)),
            ("another is minted", minted(1)),
            ("the member is deleted", delete(0)),
        ];
        meetings.push(("a link", link.clone(), commands));
        let opened = link.opened(0, 0, VisitKind::Begin);
        let commands = vec![
            ("A continues", opens(0, 1, 1, VisitKind::Continue)),
            ("A continues elsewhere", opens(0, 1, 2, VisitKind::Continue)),
            ("B opens", opens(1, 0, 0, VisitKind::Begin)),
            ("A comes back", comes_back(0, 1)),
            ("A comes back once more", comes_back(0, 1)),
            ("B comes back instead", comes_back(1, 0)),
            ("it is cancelled", cancel(0)),
            ("another is minted", minted(1)),
            ("the member is deleted", delete(0)),
        ];
        meetings.push(("an opened link", opened, commands));
    }
    let link = linked(OpenPolicy::Single).opened(0, 0, VisitKind::Begin);
    let returned = link.returned(0);
    let commands = vec![
        ("it is committed", commit(0, 0, 0, None, None, true)),
        (
            "it is committed once more",
            commit(0, 0, 1, None, None, true),
        ),
        ("A comes back again", comes_back(0, 1)),
        ("it is cancelled", cancel(0)),
        ("another is minted", minted(1)),
        ("the member is deleted", delete(0)),
    ];
    meetings.push(("an answer", returned.clone(), commands));
    let commands = vec![
        ("A tries again", try_again(0, 1, 1, 1, 0)),
        ("A tries again elsewhere", try_again(0, 1, 2, 2, 0)),
        ("another is minted", minted(3)),
        ("the member is deleted", delete(0)),
    ];
    meetings.push(("a failure", returned.after(cancel(0)), commands));
    let job = CAST.jobs[0];
    let commands = vec![
        ("its job succeeds", report(job, pulled(), 0)),
        ("its job fails", report(job, denied(), 0)),
        ("its job begins", report(job, JobReport::Started, 0)),
        ("a job is ordered", order(0, 0)),
        ("a link is minted", minted(1)),
        ("the member is deleted", delete(0)),
    ];
    meetings.push(("a connected member", connected(), commands));
    let commands = vec![
        ("it is merged", commit(1, 1, 2, Some("ada"), Some(0), true)),
        (
            "it is committed as Ada",
            commit(1, 1, 3, Some("ada"), None, true),
        ),
        (
            "it is committed as Bob",
            commit(1, 1, 4, Some("bob"), None, true),
        ),
        ("the connected member is deleted", delete(0)),
        ("the other member is deleted", delete(1)),
        ("a link of the connected member is minted", minted(2)),
        ("a job succeeds", report(job, pulled(), 0)),
    ];
    let beside = connected_beside_opened().returned(0);
    meetings.push(("a login that is connected", beside, commands));
    let asked = report(job, JobReport::Challenged(CAST.question(0)), 0);
    let commands = vec![
        ("it is answered", answer(job, 1, 0)),
        ("it is answered otherwise", answer(job, 1, 1)),
        ("nobody answered", report(job, unanswered(), 0)),
        (
            "it is asked anew",
            report(job, JobReport::Challenged(CAST.question(1)), 0),
        ),
        ("its job succeeds", report(job, pulled(), 0)),
        ("credentials are replaced", credentials(1)),
        ("credentials are replaced once more", credentials(2)),
        ("the member is deleted", delete(0)),
    ];
    meetings.push(("a question", standard().after(asked), commands));
    let idle = standard().after(report(job, pulled(), 0));
    let commands = vec![
        ("a job is ordered", order(0, 0)),
        ("another job is ordered", order(0, 1)),
        ("credentials are replaced", credentials(3)),
        ("the member is deleted", delete(0)),
    ];
    meetings.push(("a standard member without a job", idle, commands));
    meetings
}

/// A user, and nothing else.
fn empty() -> World {
    let user = KeptUser {
        user: CAST.user(),
        deleted_at: None,
    };
    World::default().with(Key::user(CAST.user), user)
}

/// A member whose link is out.
fn linked(policy: OpenPolicy) -> World {
    empty().created(NewMember {
        window: Some(new_window(0, policy, 0)),
        ..new_member(Member {
            latest_window: Some(CAST.windows[0]),
            ..CAST.member(0)
        })
    })
}

/// A member that is connected as Ada, its first job queued.
fn connected() -> World {
    let link = linked(OpenPolicy::Single).opened(0, 0, VisitKind::Begin);
    let returned = link.returned(0);
    returned.after(commit(0, 0, 0, Some("ada"), None, true))
}

/// The same, and another member of the user, whose link A has opened.
fn connected_beside_opened() -> World {
    let beside = connected().created(NewMember {
        window: Some(new_window(1, OpenPolicy::Single, 0)),
        ..new_member(Member {
            latest_window: Some(CAST.windows[1]),
            ..CAST.member(1)
        })
    });
    beside.opened(0, 1, VisitKind::Begin)
}

/// A standard member with its first job queued.
fn standard() -> World {
    let member = CAST.member(0);
    empty().created(NewMember {
        sealed_credentials: Some(grant(0, member.guid)),
        fingerprints: vec![known_as("ada")],
        job: Some(CAST.job(0)),
        ..new_member(Member {
            is_oauth: false,
            status: ConnectionStatus::Created,
            ..member
        })
    })
}

/// Ways to where a scenario begins.
impl World {
    fn created(self, new: NewMember) -> Self {
        let created = told(EventKind::MemberCreated);
        self.after(Command::Create(NewMember { created, ..new }))
    }

    fn opened(self, browser: usize, window: usize, kind: VisitKind) -> Self {
        let made = self.made_by(browser);
        self.after(open(window, window, browser, made, made, kind, 0))
    }

    /// The newest attempt at a window comes back.
    fn returned(self, browser: usize) -> Self {
        let made = self.made_by(browser);
        self.after(claim(
            (browser, made - 1),
            browser,
            made,
            UnboundCallback::Burn,
        ))
    }

    fn pushed(self, job: JobGuid) -> Self {
        let hold_until = at(self.now + 1);
        self.after(Command::Push(TakeUp {
            duty: DutyName::Job(job),
            line: Line::new(DutyKind::Aggregate, &client(), ""),
            behind: None,
            hold_until,
        }))
    }

    /// How many attempts a browser made.
    fn made_by(&self, browser: usize) -> usize {
        let attempts = self.windows().flat_map(|kept| &kept.attempts);
        let made = attempts.filter(|attempt| CAST.maker(&attempt.id).0 == browser);
        made.count()
    }
}

fn new_window(window: usize, policy: OpenPolicy, now: i64) -> NewWindow {
    NewWindow {
        guid: CAST.windows[window],
        options: opened_by(policy),
        deadline: at(now + LINK),
    }
}

fn mint(member: usize, window: usize, policy: OpenPolicy, now: i64) -> Command {
    Command::Mint(Mint {
        user: CAST.user,
        member: CAST.members[member],
        window: new_window(window, policy, now),
        superseded: told(EventKind::OauthStateFinished),
    })
}

/// A browser that made so many attempts opens a member's window.
fn open(
    member: usize,
    window: usize,
    browser: usize,
    made: usize,
    attempt: usize,
    kind: VisitKind,
    now: i64,
) -> Command {
    Command::Open(Opening {
        closed: Vec::new(),
        window: CAST.windows[window],
        member: CAST.members[member],
        kind,
        browser: CAST.shows(browser, made),
        attempt: CAST.attempt(browser, attempt, now),
    })
}

/// The answer to an attempt arrives in a browser that made so many.
fn claim(
    attempt: (usize, usize),
    browser: usize,
    made: usize,
    unbound: UnboundCallback,
) -> Command {
    Command::Claim(Claim {
        attempt: CAST.attempt(attempt.0, attempt.1, 0).id,
        client: client(),
        institution: institution(),
        browser: CAST.shows(browser, made),
        unbound,
        burnt: told(EventKind::OauthStateFinished),
    })
}

/// What came of an exchange is kept. The number is that of the token set and of the job.
fn commit(
    member: usize,
    window: usize,
    number: usize,
    login: Option<&str>,
    inbound: Option<usize>,
    has_job: bool,
) -> Command {
    let receiving = CAST.members[inbound.unwrap_or(member)];
    Command::Commit(Connection {
        background_due: None,
        window: CAST.windows[window],
        outbound: CAST.members[member],
        inbound: inbound.map(|inbound| CAST.members[inbound]),
        fingerprints: login.map(known_as).into_iter().collect(),
        tokens: NewTokens::unending(grant(number, receiving)),
        revokes_replaced: true,
        job: has_job.then(|| CAST.job(number)),
        callback_payload: None,
        deleted: inbound.map_or_else(Vec::new, |_| told(EventKind::MemberDeleted)),
        updated: told(EventKind::MemberUpdated),
        finished: told(EventKind::OauthStateFinished),
    })
}

fn cancel(window: usize) -> Command {
    Command::Fail(Failure {
        window: CAST.windows[window],
        reason: ErrorReason::Denied,
        ending: Ending::Failed,
        only_in: None,
        detail: None,
        inbound: None,
        finished: told(EventKind::OauthStateFinished),
    })
}

/// A browser that made so many attempts tries again after one of them.
fn try_again(failed: usize, made: usize, attempt: usize, window: usize, now: i64) -> Command {
    Command::Retry(Retry {
        failed: CAST.attempt(0, failed, 0).id,
        browser: CAST.shows(0, made),
        window: new_window(window, OpenPolicy::Single, now),
        attempt: CAST.attempt(0, attempt, now),
    })
}

fn delete(member: usize) -> Command {
    Command::Delete(Deletion {
        only_abandoned_since: None,
        user: CAST.user,
        member: CAST.members[member],
        deleted: told(EventKind::MemberDeleted),
        finished: told(EventKind::OauthStateFinished),
    })
}

/// A job is ordered, as the `number`th of those that are.
fn order(member: usize, number: usize) -> Command {
    Command::Order(JobOrder {
        background: None,
        user: CAST.user,
        member: CAST.members[member],
        job: CAST.job(ORDERED + number),
        callback_payload: None,
        updated: told(EventKind::MemberUpdated),
    })
}

/// A standard member's `number`th new credentials.
fn credentials(number: usize) -> Command {
    let member = CAST.members[0];
    Command::Update(MemberChange {
        user: CAST.user,
        member,
        name: None,
        external_guid: None,
        metadata: None,
        use_cases: None,
        background_aggregation_is_disabled: None,
        callback_payload: None,
        data_request: None,
        credentials: Some(NewCredentials {
            sealed: grant(number, member),
            fingerprints: vec![known_as("bob")],
            job: Some(CAST.job(number)),
        }),
        updated: told(EventKind::MemberUpdated),
    })
}

/// The `number`th answers to a round of questions.
fn answer(job: JobGuid, round: u32, number: usize) -> Command {
    Command::Answer(Answering {
        user: CAST.user,
        member: CAST.members[0],
        job,
        round,
        sealed_answers: format!("{round} {number}").into_bytes(),
        callback_payload: None,
        updated: told(EventKind::MemberUpdated),
    })
}

fn pulled() -> JobReport {
    JobReport::Succeeded(Pulled::default())
}

fn denied() -> JobReport {
    JobReport::Failed(JobFailure::Denied)
}

fn unanswered() -> JobReport {
    JobReport::Failed(JobFailure::Unanswered)
}

/// Jobs from here on are those that are ordered.
const ORDERED: usize = 16;

/// What is counted, where a scenario allows it so many times.
const MINTS: usize = 0;
const ORDERS: usize = 1;
const RENEWALS: usize = 2;

/// What people may do in a state.
struct Moves<'a> {
    world: &'a World,
    /// How many attempts each browser made.
    made: [usize; 2],
    done: Vec<(String, Move)>,
}

impl<'a> Moves<'a> {
    fn of(world: &'a World) -> Self {
        Self {
            world,
            made: BROWSERS.map(|browser| world.made_by(browser)),
            done: Vec::new(),
        }
    }

    fn add(&mut self, label: impl Into<String>, command: Command) {
        let step = Move::Take(Rc::new(command), None);
        self.done.push((label.into(), step));
    }

    /// As long as that was not done so many times.
    fn add_counted(&mut self, label: &str, command: Command, (count, most): (usize, u8)) {
        if self.world.spent[count] < most {
            let step = Move::Take(Rc::new(command), Some(count));
            self.done.push((label.to_owned(), step));
        }
    }

    /// The windows with their numbers and those of their members.
    fn windows(&self) -> Vec<(usize, usize, &'a KeptWindow)> {
        let known = CAST.windows.iter().enumerate();
        let there = known.filter_map(|(number, guid)| {
            let kept = self.world.window(*guid)?;
            let mut members = CAST.members.iter();
            let member = members.position(|it| *it == kept.window.member)?;
            Some((number, member, kept))
        });
        there.collect()
    }

    /// Browsers open every link in every way, and continue each so many times.
    fn open_by(&mut self, browsers: &[usize], knocks: &[VisitKind], continues: u8) {
        let now = self.world.now;
        for (window, member, kept) in self.windows() {
            for browser in browsers.iter().copied() {
                let made = self.made[browser];
                for kind in knocks.iter().copied() {
                    if kind == VisitKind::Continue && kept.continues >= continues {
                        continue;
                    }
                    let command = open(member, window, browser, made, made, kind, now);
                    let who = NAMES[browser];
                    self.add(format!("{who} opens link {window}: {kind:?}"), command);
                }
            }
        }
    }

    /// Every answer arrives in every browser, under every policy.
    fn come_back(&mut self, browsers: &[usize]) {
        for (_, _, kept) in self.windows() {
            for attempt in &kept.attempts {
                let attempt = CAST.maker(&attempt.id);
                for browser in browsers.iter().copied() {
                    let made = self.made[browser];
                    let policies = match browser == attempt.0 {
                        true => &[UnboundCallback::Burn][..],
                        false => &[UnboundCallback::Burn, UnboundCallback::Ignore],
                    };
                    for unbound in policies {
                        let command = claim(attempt, browser, made, *unbound);
                        let (maker, number) = (NAMES[attempt.0], attempt.1);
                        let who = NAMES[browser];
                        let label =
                            format!("the answer to {maker}{number} arrives at {who} ({unbound:?})");
                        self.add(label, command);
                    }
                }
            }
        }
    }

    /// A member's window is cancelled, or what was exchanged for its answer is committed as each of these
    /// logins, with a job or without.
    fn exchange(&mut self, member: usize, logins: &[(Option<&str>, bool)]) {
        for (window, of, kept) in self.windows() {
            if of != member || kept.window.status.is_finished() {
                continue;
            }
            self.add(format!("window {window} fails"), cancel(window));
            if kept.window.status != WindowStatus::Returned {
                continue;
            }
            for (number, (login, has_job)) in logins.iter().enumerate() {
                let number = window * logins.len() + number;
                let label = format!("window {window} is committed as {login:?}");
                self.add(
                    label,
                    commit(member, window, number, *login, None, *has_job),
                );
                if *login == Some("ada") {
                    let merged = commit(member, window, number, *login, Some(1 - member), true);
                    self.add(format!("window {window} is merged"), merged);
                }
            }
        }
    }

    fn mint(&mut self, member: usize, most: u8) {
        let (world, now) = (self.world, self.world.now);
        let next = world.windows().count();
        let command = mint(member, next, OpenPolicy::Single, now);
        let label = format!("link {next} is minted for member {member}");
        self.add_counted(&label, command, (MINTS, most));
    }

    /// A tries again after each of its attempts.
    fn try_again(&mut self) {
        let (world, now) = (self.world, self.world.now);
        let (made, next) = (self.made[0], world.windows().count());
        for failed in 0..made {
            let command = try_again(failed, made, made, next, now);
            self.add(format!("A tries again after A{failed}"), command);
        }
    }

    fn delete(&mut self, member: usize) {
        self.add(format!("member {member} is deleted"), delete(member));
    }

    fn order(&mut self, member: usize, most: u8) {
        let number = usize::from(self.world.spent[ORDERS]);
        let command = order(member, number);
        self.add_counted("a job is ordered", command, (ORDERS, most));
    }

    /// An aggregator says everything there is to say of every job, and asks so many times.
    fn reports(&mut self, rounds: u32) {
        let now = self.world.now;
        for job in self.world.jobs() {
            let mut said = vec![JobReport::Started, pulled(), denied(), unanswered()];
            let asked = job.round as usize;
            if job.round < rounds {
                said.push(JobReport::Challenged(CAST.question(asked)));
            }
            if job.status == JobStatus::Challenged {
                said.push(JobReport::Challenged(CAST.question(asked - 1)));
            }
            for what in said {
                let label = format!("{what:?} is reported");
                self.add(label, report(job.guid, what, now));
            }
        }
    }

    /// Every round of questions is answered, in time and late.
    fn answers(&mut self) {
        for job in self.world.jobs() {
            for round in 1..=job.round {
                self.add(
                    format!("round {round} is answered"),
                    answer(job.guid, round, 0),
                );
            }
        }
    }

    fn new_credentials(&mut self, most: u8) {
        let number = usize::from(self.world.spent[RENEWALS]) + 1;
        let command = credentials(number);
        self.add_counted("credentials are replaced", command, (RENEWALS, most));
    }
}

/// Every way to open a link.
const KNOCKS: [VisitKind; 3] = [VisitKind::Navigate, VisitKind::Begin, VisitKind::Continue];

/// What the browsers are called.
const NAMES: [&str; 2] = ["A", "B"];
