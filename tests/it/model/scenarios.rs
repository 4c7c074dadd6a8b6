//! The scenarios: where each begins, and what people may do in it.

use guichet::steps::NewTokens;
use std::rc::Rc;

use guichet::domain::client::{Completion, UnboundCallback};
use guichet::domain::duty::DutyKind;
use guichet::domain::event::EventKind;
use guichet::domain::id::{EventGuid, JobGuid};
use guichet::domain::job::{JobFailure, JobReport, JobStatus, Pulled};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::window::{Ending, ErrorReason, NewWindow, OpenPolicy, WindowStatus};
use guichet::steps::DutyName;
use guichet::steps::Line;
use guichet::steps::duty::TakeUp;
use guichet::steps::link::Mint;
use guichet::steps::record::{Brake, CountedRefusal, KeptUser, KeptWindow, Key, Record};
use guichet::steps::{
    Answering, Claim, Connection, ConsentEnd, Deletion, Failure, Freeze, JobOrder, MemberChange,
    NewCredentials, NewMember, Opening, RefreshOutcome, Replay, Restore, Retry, VisitKind, Want,
};

use super::bank::{AtBank, Bank, Temper, generation, tokens};
use super::cast::{CAST, grant, told, told_to};
use super::confirmed::CONFIRMED;
use super::duties::{Stage, begin, brake_key, notice_days, settle};
use super::search::Scenario;
use super::world::{Command, Move, World, report};
use crate::store_contract::fixtures::{
    LINK, at, client, institution, known_as, new_member, opened_by,
};

/// Every scenario.
pub const ALL: [Scenario; 14] = [
    ONE_LINK, TWO_LINKS, ANSWERS, CONTINUED, LIVES, STANDARD, GATEWAYS, REFRESHED, LEFT, REPLACED,
    BRAKED, DELIVERED, CONSENTS, CONFIRMED,
];

/// The moments at which fences, holds and doubts end.
const REFRESHES: &[i64] = &[0, 100, 200];

/// What is fenced, held or postponed ends once.
const HOLDS: &[i64] = &[0, 100];

/// Before and after a probe.
const PROBES: &[i64] = &[0, 60];

/// When the notice is due, when who took it up no longer holds it, and at the end.
const ENDS: &[i64] = &[9 * DAY, 9 * DAY + 100, CONSENT];

/// When a consent ends, in seconds.
const CONSENT: i64 = 10 * DAY;

const DAY: i64 = 24 * 60 * 60;

const TEMPERS: [Temper; 2] = [Temper::Strict, Temper::Lenient];

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

/// A connection whose tokens are refreshed by two gateways, at institutions of every temper; the person may withdraw
/// the consent.
pub const REFRESHED: Scenario = Scenario {
    name: "a connection refreshed",
    least: 10_000,
    starts: || {
        let start = |temper| {
            let world = renewable(temper).with_workers(2).at_moments(REFRESHES);
            (format!("a connection, {temper:?}"), world)
        };
        TEMPERS.map(start).into()
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.lease(0, 2);
        moves.withdraw();
        moves.done
    },
};

/// A connection that is refreshed, while its member is deleted or connects again; and what is given back.
pub const LEFT: Scenario = Scenario {
    name: "a connection left",
    least: 10_000,
    starts: || {
        let mut world = renewable(Temper::Strict).minted_again();
        world.bank.is_reliable = true;
        let world = world.with_workers(2);
        let gone = world.clone().after(delete(0)).at_moments(HOLDS);
        vec![
            ("a connection, and another answer".to_owned(), world),
            ("a member that was deleted".to_owned(), gone),
        ]
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.lease(0, 1);
        moves.connect_again();
        moves.delete(0);
        moves.done
    },
};

/// A connection that is refreshed while another one takes its place, which is refreshed as well.
pub const REPLACED: Scenario = Scenario {
    name: "a connection replaced",
    least: 3_000,
    starts: || {
        let mut world = renewable(Temper::Strict).minted_again();
        world.bank.is_reliable = true;
        let label = "a connection, and another answer".to_owned();
        vec![(label, world.with_workers(2))]
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.lease(0, 2);
        moves.connect_again();
        moves.done
    },
};

/// An institution that refuses everybody, and has refused so many that the next but one puts the brake on.
pub const BRAKED: Scenario = Scenario {
    name: "an institution that refuses everybody",
    least: 2_000,
    starts: || {
        let world = nearly_braked().with_workers(2).at_moments(PROBES);
        vec![("two connections, and eighteen refused".to_owned(), world)]
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.lease(0, 3);
        moves.lease(1, 3);
        moves.mend();
        moves.done
    },
};

/// News of a member, sent by two gateways; an operator has some of it sent again.
pub const DELIVERED: Scenario = Scenario {
    name: "news delivered",
    least: 5_000,
    starts: || {
        let world = idle().keeping_events().with_workers(2);
        let two = world.after(rename(3, 1)).after(rename(4, 1));
        let two = two.at_moments(HOLDS);
        vec![("two pieces of news".to_owned(), two)]
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.replay(1);
        moves.done
    },
};

/// A consent that ends, and may be renewed by a refresh before.
pub const CONSENTS: Scenario = Scenario {
    name: "a consent that ends",
    least: 10_000,
    starts: || {
        let mut world = ending().with_workers(2).at_moments(ENDS);
        world.now = ENDS[0];
        vec![("a consent that ends".to_owned(), world)]
    },
    moves: |world| {
        let mut moves = Moves::of(world);
        moves.lease(0, 1);
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
    meetings.push(refreshed_meanwhile());
    let commands = vec![
        ("a job is ordered", order(0, 0)),
        ("another job is ordered", order(0, 1)),
        ("credentials are replaced", credentials(3)),
        ("the member is deleted", delete(0)),
    ];
    meetings.push(("a standard member without a job", idle(), commands));
    meetings
}

/// A refresh is under way, and is settled in every way beside what else may happen.
fn refreshed_meanwhile() -> (&'static str, World, Commands) {
    let generation = generation((0, 0));
    let settles = |outcome| settle(0, 0, (0, 0), outcome);
    let again_at = at(100);
    let refused = RefreshOutcome::Refused {
        counts: true,
        again_at,
    };
    let member = CAST.members[0];
    let given = RefreshOutcome::Refreshed(tokens((0, 1), member));
    let commands = vec![
        ("it gives tokens", settles(given)),
        ("it is refused", settles(refused)),
        (
            "nobody knows",
            settles(RefreshOutcome::Unknown { again_at }),
        ),
        (
            "nobody was asked",
            settles(RefreshOutcome::NotAsked { again_at }),
        ),
        ("another begins", begin(0, 1, Want::Other(generation))),
        ("it is frozen", Command::Freeze(Freeze { member })),
        ("it is restored", restore(0)),
        ("another grant is committed", granted(0, 1, 1)),
        ("the member is deleted", delete(0)),
    ];
    let world = renewable(Temper::Strict).minted_again();
    let world = world.after(begin(0, 0, Want::Other(generation)));
    ("a refresh", world.at_bank(Bank::default()), commands)
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
pub fn linked(policy: OpenPolicy) -> World {
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

/// A member whose first token set, of grant 0, can be refreshed.
fn renewable(temper: Temper) -> World {
    let link = linked(OpenPolicy::Single).opened(0, 0, VisitKind::Begin);
    let mut world = link.returned(0).after(granted(0, 0, 0));
    world.bank.temper = temper;
    world.bank.grant(0);
    world
}

/// Two of those, at an institution that refuses everybody and has refused eighteen others.
fn nearly_braked() -> World {
    let world = renewable(Temper::Strict).created(NewMember {
        tokens: Some(tokens((1, 0), CAST.members[1])),
        ..new_member(Member {
            status: ConnectionStatus::Connected,
            ..CAST.member(1)
        })
    });
    let refused = CAST.strangers.iter().take(18);
    let refusals = refused.map(|member| CountedRefusal {
        at: at(0),
        member: *member,
        granted: 0,
    });
    let brake = Brake {
        refusals: refusals.collect(),
        ..Brake::default()
    };
    let mut world = world.with(brake_key(), brake);
    world.bank.grant(1);
    world.bank.is_broken = true;
    world.bank.is_reliable = true;
    world
}

/// A member whose consent ends.
fn ending() -> World {
    let link = linked(OpenPolicy::Single).opened(0, 0, VisitKind::Begin);
    let Command::Commit(mut commit) = granted(0, 0, 0) else {
        unreachable!("it is a commit");
    };
    commit.tokens.consent = Some(ConsentEnd {
        at: at(CONSENT),
        due_at: notice_days().next(at(CONSENT), at(0)),
    });
    let mut world = link.returned(0).after(Command::Commit(commit));
    world.bank.grant(0);
    world
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

/// The same, its job done.
fn idle() -> World {
    standard().after(report(CAST.jobs[0], pulled(), 0))
}

/// Ways to where a scenario begins.
impl World {
    fn created(self, new: NewMember) -> Self {
        let created = told(EventKind::MemberCreated);
        self.after(Command::Create(NewMember { created, ..new }))
    }

    pub fn opened(self, browser: usize, window: usize, kind: VisitKind) -> Self {
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

    /// Another link of the connected member is followed, and its answer is back.
    fn minted_again(self) -> Self {
        let minted = self.after(mint(0, 1, OpenPolicy::Single, 0));
        let made = minted.made_by(0);
        let opened = open(0, 1, 0, made, made, VisitKind::Begin, 0);
        minted.after(opened).returned(0)
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

pub fn mint(member: usize, window: usize, policy: OpenPolicy, now: i64) -> Command {
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
        completion: Completion::Immediate,
        unbound,
        rebinding: known_as("another browser"),
        code: None,
        burnt: told(EventKind::OauthStateFinished),
    })
}

/// What came of an exchange is kept. The number is that of the token set and of the job.
pub fn commit(
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
        only_in: WindowStatus::Returned,
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

/// The first tokens of a grant are kept, with no job.
fn granted(member: usize, window: usize, grant: u8) -> Command {
    let Command::Commit(mut commit) = commit(member, window, 0, Some("ada"), None, false) else {
        unreachable!("it is a commit");
    };
    commit.tokens = tokens((grant, 0), CAST.members[member]);
    Command::Commit(commit)
}

/// The standard member is given the name that its revision will be known by, which so many endpoints are told.
fn rename(revision: u32, endpoints: usize) -> Command {
    let Command::Update(mut change) = credentials(0) else {
        unreachable!("it is an update");
    };
    change.credentials = None;
    change.name = Some(format!("{revision}"));
    change.updated = told_to(endpoints, EventKind::MemberUpdated, revision);
    Command::Update(change)
}

fn restore(member: usize) -> Command {
    Command::Restore(Restore {
        member: CAST.members[member],
        changed: told(EventKind::MemberUpdated),
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
        report: None,
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

pub fn delete(member: usize) -> Command {
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
const REPLAYS: usize = 3;

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

    /// A member's access token is refused, or ends, as long as so many refreshes began.
    fn lease(&mut self, member: usize, most: u16) {
        let lease = self.world.lease(member);
        if let Some(lease) = lease.filter(|_| self.world.refreshes < most) {
            self.done
                .push((format!("member {member} needs a token"), lease));
        }
    }

    /// The person withdraws the first consent at the institution.
    fn withdraw(&mut self) {
        self.done.push((
            "the consent is withdrawn".to_owned(),
            Move::Bank(AtBank::Ends(0)),
        ));
    }

    fn mend(&mut self) {
        if self.world.workers.iter().any(Stage::is_refused) {
            return;
        }
        self.done.push((
            "the institution is mended".to_owned(),
            Move::Bank(AtBank::IsMended),
        ));
    }

    /// The person connects again.
    fn connect_again(&mut self) {
        self.add("another grant is committed", granted(0, 1, 1));
    }

    /// An operator has news sent again.
    fn replay(&mut self, most: u8) {
        for (key, record) in self.world.records() {
            if let Record::Event(_) = record
                && let Ok(event) = EventGuid::from_compact(key.id())
            {
                let command = Command::Replay(Replay { event });
                self.add_counted("news are sent again", command, (REPLAYS, most));
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
