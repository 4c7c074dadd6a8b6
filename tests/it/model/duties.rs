//! What gateways do for what is due: refresh, revoke, deliver, notify, as `flow` does it. Between any two of its
//! steps the gateway may be cut off, others come between, and time passes.

use std::hash::Hash;

use guichet::domain::duty::DutyKind;
use guichet::domain::event::EventKind;
use guichet::domain::id::{EventGuid, MemberGuid};
use guichet::steps::brake::PROBE_EVERY;
use guichet::steps::consent_end::NoticeDays;
use guichet::steps::due::Due;
use guichet::steps::duty::TakeUp;
use guichet::steps::record::{Brake, Key, Record};
use guichet::steps::{
    AskBrake, AtInstitution, BeginRefresh, Begun, BrakeName, Braked, CountRefusal, Duty, DutyName,
    Fate, GiveBack, RefreshOutcome, Refused, ReleaseBrake, Restore, Settle, SettleRefresh, Settled,
    TellConsent, Verdict, Want,
};
use jiff::{SignedDuration, Timestamp};

use super::bank::{AtBank, Reply, Set, Temper, fence, generation, number_of, opened, tokens};
use super::cast::{CAST, told, told_all};
use super::promises::{self, Broken, Promise};
use super::world::{Command, Law, Move, Outcome, World};
use crate::store_contract::fixtures::{at, client, institution};

/// For how long a refresh is fenced, in seconds.
pub const FENCED: i64 = 100;

/// How long is waited where the outcome of one is unknown.
pub const DOUBT: i64 = 100;

/// The records that are taken up here, by the letters of their keys: events, token sets, consents, revocations.
const MODELLED: [char; 4] = ['e', 'g', 'q', 'r'];

/// How often an operator sees duties come and go before the brake is taken off by hand.
const PATIENCE: usize = 50;

/// For how long what is due is held by who took it up.
const HELD: i64 = 50;

/// When a consent's end is told.
pub fn notice_days() -> NoticeDays {
    NoticeDays::new(vec![1])
}

/// The one brake of the model.
pub fn brake() -> BrakeName {
    BrakeName {
        at: AtInstitution {
            client: client(),
            institution: institution(),
        },
        of: Refused::Refreshes,
    }
}

/// The key of its record.
pub fn brake_key() -> Key {
    Key::brake(&client(), &institution(), "r")
}

/// Where a gateway is with what it took up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    /// It has nothing to do.
    #[default]
    Idle,
    /// It took up a refresh, held until then.
    Taken(usize, i64),
    /// A refresh is written down, and the brake was on.
    Begun(Refresh),
    /// The institution is being asked.
    Asking(Refresh),
    /// The institution has answered, or the answer will not come.
    Answered(Refresh, Answer),
    /// A refusal was counted, and counts or not.
    Counted(Refresh, bool),
    /// What a refresh gave belongs to nobody.
    GivingBack(usize, Set),
    /// It gives back what these members lost, and takes the brake off then.
    Releasing(Vec<MemberGuid>),
    /// It took up tokens to revoke.
    Revoking(Owed, u32, Vec<Set>, Option<How>),
    /// It took up an event.
    Delivering(String, u32, Option<How>),
    /// It took up the end of a consent.
    Notifying(usize, i64),
}

impl Stage {
    /// Whether it knows of a refusal that is not kept yet.
    pub fn is_refused(&self) -> bool {
        let refused = Answer::Came(Reply::Refused);
        matches!(self, Self::Counted(..)) || matches!(self, Self::Answered(_, it) if *it == refused)
    }
}

/// A refresh that began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refresh {
    member: usize,
    pub set: Set,
    fence: u16,
    /// Until when nobody else refreshes.
    until: i64,
    is_in_doubt: bool,
    /// Whether the brake was on.
    is_braked: bool,
}

/// What a gateway knows of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    Came(Reply),
    Unknown,
    NotAsked,
}

/// Whose tokens are to be revoked, and which.
type Owed = (usize, u64);

/// What becomes of a duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    Done,
    Later,
    Untried,
    Buried,
}

/// What a gateway does next.
#[derive(Clone, Debug)]
pub enum Deed {
    /// It takes up what is due.
    TakeUp(Key, Due),
    /// A lease needs a new access token.
    Lease(MemberGuid),
    /// It begins what it took up.
    Begin,
    /// It asks whether it may probe.
    AskBrake,
    /// The institution answers.
    Hears,
    /// The institution has answered, and that is lost.
    Misses,
    /// The institution has not looked at it, and nobody knows.
    Fails,
    /// There was no connection.
    IsNotAsked,
    /// A refusal is counted.
    Counts,
    /// The institution or the receiver is asked, with that end.
    Tries(How),
    /// The outcome is kept. `false`: the store's reply is lost, and it will be sent again.
    Settles(bool),
    /// It goes on with the brake.
    Releases,
    /// The gateway is cut off.
    IsCutOff,
}

impl World {
    /// The token set that a member is pulled with.
    pub fn set_of(&self, member: MemberGuid) -> Option<Set> {
        match self.kept(&Key::access(member))? {
            Record::Access(access) => opened(&access.sealed),
            _ => None,
        }
    }

    pub fn brake(&self) -> Option<&Brake> {
        match self.kept(&brake_key())? {
            Record::Brake(brake) => Some(brake).filter(|brake| brake.on_since.is_some()),
            _ => None,
        }
    }

    fn generation_of(&self, member: MemberGuid) -> Option<u64> {
        match self.kept(&Key::access(member))? {
            Record::Access(access) => Some(access.token.as_ref()?.generation),
            _ => None,
        }
    }

    /// The number of the gateway that may take something up: which of several does makes no difference.
    fn idle(&self) -> Option<usize> {
        let mut workers = self.workers.iter();
        workers.position(|stage| *stage == Stage::Idle)
    }

    /// What is due now, of what is first in its place.
    fn due_duties(&self) -> Vec<(Key, Due)> {
        let now = at(self.now);
        let due = self.records().filter_map(|(key, record)| {
            let due = record.due().filter(|due| due.at <= now)?;
            let is_ours = MODELLED.contains(&key.kind());
            let is_first = self.is_first(key, &due);
            (is_ours && is_first).then(|| (key.clone(), due))
        });
        due.collect()
    }

    /// Of those that are behind the same in a line only the first one that came is due.
    fn is_first(&self, key: &Key, due: &Due) -> bool {
        if due.behind.is_none() {
            return true;
        }
        let mut waiting = self.lines.iter();
        let first = waiting.find(|other| {
            let there = self.kept(other).and_then(Record::due);
            there.is_some_and(|there| there.line == due.line && there.behind == due.behind)
        });
        first == Some(key)
    }

    /// When the next duty is due.
    pub fn next_duty(&self) -> Option<Timestamp> {
        let due = self.records().filter_map(|(key, record)| {
            let due = record.due()?;
            let counts = MODELLED.contains(&key.kind()) && self.is_first(key, &due);
            counts.then_some(due.at)
        });
        due.min()
    }

    /// Whether time may pass until then: calls have an end, and what must be kept is not kept waiting for longer.
    pub fn may_be(&self, moment: i64) -> bool {
        self.workers.iter().all(|stage| match stage {
            Stage::Asking(refresh) | Stage::Begun(refresh) => moment < refresh.until,
            Stage::Answered(refresh, Answer::Came(Reply::Tokens(_))) => {
                moment < refresh.until + DOUBT
            }
            // A refusal is settled right after it was counted, long before a probe can succeed.
            Stage::Counted(..) | Stage::GivingBack(..) | Stage::Releasing(_) => false,
            _ => true,
        })
    }

    /// What is due is taken up, and gateways go on.
    pub fn duty_moves(&self) -> Vec<(String, Move)> {
        let mut moves = Vec::new();
        // An institution does not change its mind between a refusal and its being kept: that is as if it had not.
        let may_change = !self.workers.iter().any(Stage::is_refused);
        for what in self.bank.may().into_iter().filter(|_| may_change) {
            moves.push((format!("the institution: {what:?}"), Move::Bank(what)));
        }
        if let Some(idle) = self.idle() {
            for (key, due) in self.due_duties() {
                let label = format!("gateway {idle} takes up {}", kind_of(&key));
                moves.push((label, Move::Does(idle, Deed::TakeUp(key, due))));
            }
        }
        for number in 0..self.workers.len() {
            for deed in self.deeds(number) {
                let label = format!("gateway {number}: {deed:?}");
                moves.push((label, Move::Does(number, deed)));
            }
        }
        moves
    }

    /// Somebody needs a new access token of a member, if a gateway has time.
    pub fn lease(&self, member: usize) -> Option<Move> {
        let member = CAST.members[member];
        self.generation_of(member)?;
        Some(Move::Does(self.idle()?, Deed::Lease(member)))
    }

    /// What a gateway may do next; first what it does if all goes well.
    fn deeds(&self, number: usize) -> Vec<Deed> {
        let mut deeds = match &self.workers[number] {
            Stage::Idle => return Vec::new(),
            Stage::Taken(..) | Stage::Notifying(..) => vec![Deed::Begin],
            Stage::Begun(_) => vec![Deed::AskBrake],
            Stage::Asking(_) if self.bank.is_reliable => return vec![Deed::Hears],
            Stage::Asking(refresh) if !self.bank.may_lose(refresh.set) => {
                return vec![Deed::Hears, Deed::Fails, Deed::IsNotAsked];
            }
            Stage::Asking(_) => vec![Deed::Hears, Deed::Misses, Deed::Fails, Deed::IsNotAsked],
            Stage::Answered(_, Answer::Came(Reply::Refused)) => vec![Deed::Counts],
            // What was not asked is cut off as well.
            Stage::Answered(_, Answer::Unknown) => return vec![Deed::Settles(true)],
            Stage::Answered(_, Answer::NotAsked) => vec![Deed::Settles(true)],
            Stage::Answered(refresh, _) if !self.bank.may_lose(refresh.set) => {
                return vec![Deed::Settles(true), Deed::Settles(false)];
            }
            Stage::Answered(..)
            | Stage::Counted(..)
            | Stage::GivingBack(..)
            | Stage::Revoking(.., Some(_))
            | Stage::Delivering(.., Some(_)) => vec![Deed::Settles(true), Deed::Settles(false)],
            Stage::Releasing(_) => vec![Deed::Releases],
            Stage::Revoking(.., None) => {
                [How::Done, How::Later, How::Buried].map(Deed::Tries).into()
            }
            Stage::Delivering(.., None) => [How::Done, How::Later, How::Untried, How::Buried]
                .map(Deed::Tries)
                .into(),
        };
        deeds.push(Deed::IsCutOff);
        deeds
    }

    /// A gateway does something.
    pub fn does(&mut self, number: usize, deed: &Deed, law: Law) -> Result<(), Broken> {
        let stage = std::mem::take(&mut self.workers[number]);
        self.workers[number] = match (stage, deed) {
            (Stage::Idle, Deed::TakeUp(key, due)) => self.takes_up(key, due, law)?,
            (Stage::Idle, Deed::Lease(member)) => {
                let generation = self.generation_of(*member).unwrap_or_default();
                self.begins(number_of(*member), Want::Other(generation), law)?
            }
            (Stage::Taken(member, held), Deed::Begin) => {
                self.begins(member, Want::Due(at(held)), law)?
            }
            (Stage::Notifying(member, held), Deed::Begin) => {
                let tell = TellConsent {
                    member: CAST.members[member],
                    held_until: at(held),
                    days: notice_days(),
                    expiring: told(EventKind::ConsentExpiring),
                    ended: lost(),
                };
                self.take_at_once(&Command::TellConsent(tell), law)?;
                Stage::Idle
            }
            (Stage::Begun(refresh), Deed::AskBrake) => {
                let ask = Command::AskBrake(AskBrake { brake: brake() });
                match self.take_at_once(&ask, law)?.0 {
                    Outcome::AskBrake(Braked::Until(_)) => {
                        Stage::Answered(refresh, Answer::NotAsked)
                    }
                    _ => self.asks(refresh)?,
                }
            }
            (Stage::Asking(refresh), Deed::Hears) => {
                let reply = self.bank.refresh(refresh.set);
                Stage::Answered(refresh, Answer::Came(reply))
            }
            (Stage::Asking(refresh), Deed::Misses) => {
                self.misses(refresh);
                Stage::Answered(refresh, Answer::Unknown)
            }
            (Stage::Asking(refresh), Deed::Fails) => Stage::Answered(refresh, Answer::Unknown),
            (Stage::Asking(refresh), Deed::IsNotAsked) => {
                Stage::Answered(refresh, Answer::NotAsked)
            }
            (Stage::Answered(refresh, _), Deed::Counts) => {
                let count = CountRefusal {
                    brake: brake(),
                    member: CAST.members[refresh.member],
                    granted: 0,
                };
                let (outcome, _) = self.take_at_once(&Command::CountRefusal(count), law)?;
                let counts = outcome == Outcome::CountRefusal(Verdict::Counts);
                let why = "a refusal counts, and the brake is on";
                Promise::LostForCause.holds(!counts || self.brake().is_none(), why)?;
                self.ghosts.was_braked |= outcome == Outcome::CountRefusal(Verdict::GoesOn);
                Stage::Counted(refresh, counts)
            }
            (stage, Deed::Tries(how)) => self.tries(stage, *how)?,
            (stage, Deed::Settles(is_heard)) => {
                let after = self.settles(&stage, law)?;
                match is_heard {
                    true => after,
                    false => stage,
                }
            }
            (Stage::Releasing(members), _) => self.releases(members, law)?,
            (stage, Deed::IsCutOff) => {
                self.is_cut_off(&stage);
                Stage::Idle
            }
            (stage, deed) => unreachable!("{deed:?} at {stage:?}"),
        };
        Ok(())
    }

    fn takes_up(&mut self, key: &Key, due: &Due, law: Law) -> Result<Stage, Broken> {
        let held_until = self.now + HELD;
        let take_up = TakeUp {
            duty: DutyName::of(key).expect("what is due is a duty"),
            line: due.line.clone(),
            behind: due.behind.clone(),
            hold_until: at(held_until),
        };
        let (outcome, _) = self.take_at_once(&Command::Push(take_up), law)?;
        let Outcome::Push(taken) = outcome else {
            unreachable!("what was taken up has the outcome of that");
        };
        Ok(match taken {
            Some(Duty::Refresh { member, .. }) => Stage::Taken(number_of(member), held_until),
            Some(Duty::Notify { member, .. }) => Stage::Notifying(number_of(member), held_until),
            Some(Duty::Revoke(owed)) => {
                let sealed = owed.revocation.sealed.iter();
                let sets = sealed.filter_map(|sealed| opened(sealed)).collect();
                let name = (number_of(owed.member), owed.generation);
                Stage::Revoking(name, owed.revocation.attempt, sets, None)
            }
            Some(Duty::Deliver(event)) => {
                Stage::Delivering(key.id().to_owned(), event.attempt, None)
            }
            _ => Stage::Idle,
        })
    }

    fn begins(&mut self, member: usize, want: Want, law: Law) -> Result<Stage, Broken> {
        let is_braked = self.brake().is_some();
        let number = self.refreshes;
        let guid = CAST.members[member];
        let (outcome, _) = self.take_at_once(&begin(member, number, want), law)?;
        match outcome {
            Outcome::Begin(Begun::Begun {
                sealed,
                is_in_doubt,
                ..
            }) => {
                self.refreshes += 1;
                let refresh = Refresh {
                    member,
                    set: opened(&sealed).expect("a token set"),
                    fence: number,
                    until: self.now + FENCED,
                    is_in_doubt,
                    is_braked,
                };
                match is_braked {
                    true => Ok(Stage::Begun(refresh)),
                    false => self.asks(refresh),
                }
            }
            Outcome::Begin(Begun::UnderWay(until)) if matches!(want, Want::Due(_)) => {
                let fate = Fate::Postponed(until);
                self.settles_duty(DutyName::Refresh(guid), None, fate, law)?;
                Ok(Stage::Idle)
            }
            _ => Ok(Stage::Idle),
        }
    }

    fn asks(&mut self, refresh: Refresh) -> Result<Stage, Broken> {
        let kept = self.kept(&Key::access(CAST.members[refresh.member]));
        let is_last = matches!(kept, Some(Record::Access(access))
            if access.token.as_ref().is_some_and(|token| token.refused_at.is_some()));
        promises::of_a_call(self, refresh.set, refresh.is_in_doubt, is_last)?;
        Ok(Stage::Asking(refresh))
    }

    fn misses(&mut self, refresh: Refresh) {
        if let Reply::Tokens(number) = self.bank.refresh(refresh.set) {
            self.bank.loses(refresh.set, number);
        }
    }

    fn tries(&mut self, stage: Stage, how: How) -> Result<Stage, Broken> {
        match stage {
            Stage::Revoking(name, attempt, sets, _) => {
                if how == How::Done {
                    sets.iter().for_each(|set| self.bank.revoke(*set));
                }
                Ok(Stage::Revoking(name, attempt, sets, Some(how)))
            }
            Stage::Delivering(event, attempt, _) => {
                if how != How::Untried {
                    promises::of_a_delivery(self, &event)?;
                    self.ghosts.sent.insert(event.clone());
                }
                Ok(Stage::Delivering(event, attempt, Some(how)))
            }
            stage => unreachable!("nothing to try at {stage:?}"),
        }
    }

    /// Keeps what came of something. Sent a second time it finds what it did the first time.
    fn settles(&mut self, stage: &Stage, law: Law) -> Result<Stage, Broken> {
        let again_at = at(self.now + DOUBT);
        let (refresh, outcome) = match stage {
            Stage::Answered(refresh, Answer::Came(Reply::Tokens(number))) => {
                let set = (refresh.set.0, *number);
                let new = tokens(set, CAST.members[refresh.member]);
                (refresh, RefreshOutcome::Refreshed(new))
            }
            Stage::Answered(refresh, Answer::NotAsked) => {
                (refresh, RefreshOutcome::NotAsked { again_at })
            }
            Stage::Answered(refresh, _) => (refresh, RefreshOutcome::Unknown { again_at }),
            Stage::Counted(refresh, counts) => {
                let counts = *counts;
                (refresh, RefreshOutcome::Refused { counts, again_at })
            }
            Stage::GivingBack(member, set) => {
                let member = CAST.members[*member];
                let give_back = GiveBack {
                    member,
                    client: client(),
                    institution: institution(),
                    generation: generation(*set),
                    sealed: vec![tokens(*set, member).sealed],
                };
                self.take_at_once(&Command::GiveBack(give_back), law)?;
                return Ok(Stage::Idle);
            }
            Stage::Revoking((member, generation), attempt, _, Some(how)) => {
                let duty = DutyName::Revocation(CAST.members[*member], *generation);
                let fate = self.fate(*how);
                self.settles_duty(duty, Some(*attempt), fate, law)?;
                return Ok(Stage::Idle);
            }
            Stage::Delivering(event, attempt, Some(how)) => {
                let event = EventGuid::from_compact(event).expect("an event");
                let fate = self.fate(*how);
                self.settles_duty(DutyName::Event(event), Some(*attempt), fate, law)?;
                return Ok(Stage::Idle);
            }
            stage => unreachable!("nothing to settle at {stage:?}"),
        };
        let command = settle(refresh.member, refresh.fence, refresh.set, outcome);
        let (outcome, _) = self.take_at_once(&command, law)?;
        let Outcome::Settle(settled) = outcome else {
            unreachable!("what was settled has the outcome of that");
        };
        let Stage::Answered(_, Answer::Came(Reply::Tokens(number))) = stage else {
            return Ok(Stage::Idle);
        };
        let set = (refresh.set.0, *number);
        promises::of_new_tokens(self, CAST.members[refresh.member], set)?;
        Ok(match settled {
            Settled::Gone | Settled::Replaced => Stage::GivingBack(refresh.member, set),
            _ if refresh.is_braked => match self.brake() {
                Some(brake) => {
                    let touched = brake.refusals.iter().map(|refusal| refusal.member);
                    let known = touched.filter(|it| CAST.members.contains(it));
                    Stage::Releasing(known.collect())
                }
                None => Stage::Idle,
            },
            _ => Stage::Idle,
        })
    }

    fn fate(&self, how: How) -> Fate {
        match how {
            How::Done => Fate::Done,
            How::Later => Fate::Postponed(at(self.now + DOUBT)),
            How::Untried => Fate::Untried(at(self.now + DOUBT)),
            How::Buried => Fate::Buried,
        }
    }

    fn settles_duty(
        &mut self,
        duty: DutyName,
        attempt: Option<u32>,
        fate: Fate,
        law: Law,
    ) -> Result<(), Broken> {
        let settle = Settle {
            duty,
            attempt,
            fate,
            tried: None,
        };
        self.take_at_once(&Command::SettleDuty(settle), law)?;
        Ok(())
    }

    fn releases(&mut self, mut members: Vec<MemberGuid>, law: Law) -> Result<Stage, Broken> {
        if let Some(member) = members.pop() {
            let restore = Restore {
                member,
                changed: told(EventKind::MemberUpdated),
            };
            self.take_at_once(&Command::Restore(restore), law)?;
            return Ok(Stage::Releasing(members));
        }
        let release = ReleaseBrake {
            brake: brake(),
            by_hand: false,
        };
        self.take_at_once(&Command::Release(release), law)?;
        Ok(Stage::Idle)
    }

    /// What a gateway knew is lost with it. A call under way may still have been answered.
    fn is_cut_off(&mut self, stage: &Stage) {
        match stage {
            Stage::Asking(refresh) => self.misses(*refresh),
            Stage::Answered(refresh, Answer::Came(Reply::Tokens(number))) => {
                let kept = self.set_of(CAST.members[refresh.member]);
                let new = (refresh.set.0, *number);
                if kept.is_none_or(|kept| kept.0 != new.0 || kept < new) {
                    self.bank.loses(refresh.set, *number);
                }
            }
            Stage::GivingBack(member, set) => {
                let owed = Key::revocation(CAST.members[*member], generation(*set));
                if self.kept(&owed).is_none() {
                    self.bank.loses(*set, set.1);
                }
            }
            _ => {}
        }
    }

    /// What is left when everything goes well from now on: all that is due is done, and then every token set is
    /// needed once.
    pub fn worked_off(&self, law: Law) -> Result<World, Broken> {
        let mut world = self.clone();
        world.bank.is_broken = false;
        if world.bank.temper == Temper::Lenient {
            for what in world.bank.may() {
                world.bank.happens(what);
            }
        }
        world.does_what_is_due(law)?;
        for member in CAST.members.clone() {
            if world.generation_of(member).is_some() {
                world.does(0, &Deed::Lease(member), law)?;
                world.finishes(law)?;
                world.does_what_is_due(law)?;
            }
        }
        Ok(world)
    }

    fn does_what_is_due(&mut self, law: Law) -> Result<(), Broken> {
        for nth in 0..200 {
            let Some(due) = self.next_duty() else {
                return Ok(());
            };
            // A probe may be what is waited for.
            let probe = PROBE_EVERY.as_secs() as i64;
            self.now = self.now.max(due.duration_since(at(0)).as_secs());
            if self.brake().is_some() {
                self.now += probe;
                // Nobody who is left could take it off by a refresh that succeeds.
                if nth == PATIENCE {
                    self.released_by_hand(law)?;
                }
            }
            for (key, due) in self.due_duties() {
                if self.kept(&key).and_then(Record::due) == Some(due.clone()) {
                    self.does(0, &Deed::TakeUp(key, due), law)?;
                    self.finishes(law)?;
                }
            }
        }
        Err(Promise::NothingOwed.broken("something is due again and again"))
    }

    /// An operator takes the brake off: then refusals count, and nobody gets anything back.
    fn released_by_hand(&mut self, law: Law) -> Result<(), Broken> {
        let release = ReleaseBrake {
            brake: brake(),
            by_hand: true,
        };
        self.take_at_once(&Command::Release(release), law)?;
        self.ghosts.was_braked = false;
        Ok(())
    }

    fn finishes(&mut self, law: Law) -> Result<(), Broken> {
        while let Some(deed) = self.deeds(0).first().cloned() {
            self.does(0, &deed, law)?;
        }
        Ok(())
    }

    pub fn happens_at_bank(&mut self, what: AtBank) {
        self.bank.happens(what);
    }
}

/// The `number`th refresh begins.
pub fn begin(member: usize, number: u16, want: Want) -> Command {
    Command::Begin(BeginRefresh {
        member: CAST.members[member],
        want,
        fence: fence(number),
        fenced_for: seconds(FENCED),
        doubt: seconds(DOUBT),
        changed: lost(),
    })
}

/// What came of it is kept.
pub fn settle(member: usize, number: u16, of: Set, outcome: RefreshOutcome) -> Command {
    let changed = match &outcome {
        RefreshOutcome::Refreshed(_) => told(EventKind::MemberUpdated),
        RefreshOutcome::Refused { .. } => lost(),
        RefreshOutcome::Unknown { .. } | RefreshOutcome::NotAsked { .. } => Vec::new(),
    };
    Command::Settle(SettleRefresh {
        member: CAST.members[member],
        fence: fence(number),
        generation: generation(of),
        outcome,
        changed,
    })
}

/// What is told when a connection is lost.
fn lost() -> Vec<guichet::domain::event::Notice> {
    told_all(&[EventKind::MemberUpdated, EventKind::ConnectionStatus])
}

fn kind_of(key: &Key) -> &'static str {
    match DutyName::of(key) {
        Some(DutyName::Refresh(_)) => DutyKind::Refresh.name(),
        Some(DutyName::Revocation(..)) => DutyKind::Revoke.name(),
        Some(DutyName::Consent(_)) => DutyKind::Notify.name(),
        Some(DutyName::Event(_)) => DutyKind::Deliver.name(),
        _ => "a job",
    }
}

fn seconds(seconds: i64) -> std::time::Duration {
    SignedDuration::from_secs(seconds).unsigned_abs()
}
