//! The brakes of a registration: an institution that refuses nearly everybody is at fault, and not everybody's consent.
//! One is for refreshes, one for pulls.
//!
//! - It goes on with the twentieth member refused within ten minutes, if at least half of what was asked from the first
//!   of the twenty on was refused. That refusal, and those after it, do not count against anybody.
//! - While it is on for refreshes one a minute is tried. The first one that succeeds takes it off, as does a pull that
//!   succeeds; those whose refusal had counted get back what they lost.
//! - Where an operator takes it off, refusals count, for a day.

use std::time::Duration;

use jiff::Timestamp;

use super::record::{Brake, Changes, CountedRefusal, Key, Reads, Record, Slot, View};
use super::refresh::has_come;
use super::step::{Step, unchanged};
use crate::domain::id::{ClientId, InstitutionCode, MemberGuid};

/// How many refusals put it on.
pub const REFUSALS: usize = 20;

/// Within how long.
const WITHIN: Duration = Duration::from_secs(10 * 60);

/// How many refusals are kept.
const MOST_KEPT: usize = 500;

/// How often a refresh is tried while it is on.
pub const PROBE_EVERY: Duration = Duration::from_secs(60);

/// For how long it stays off where an operator took it off.
const OFF: Duration = Duration::from_secs(24 * 60 * 60);

/// A registration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AtInstitution {
    /// The client.
    pub client: ClientId,
    /// Where it is registered.
    pub institution: InstitutionCode,
}

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// Refresh tokens, where they are refreshed.
    Refreshes,
    /// Access tokens, where data is pulled.
    Pulls,
}

impl Refused {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Refreshes, Self::Pulls];

    /// The name in metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refreshes => "refreshes",
            Self::Pulls => "pulls",
        }
    }
}

/// One of a registration's brakes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BrakeName {
    /// The registration.
    pub at: AtInstitution,
    /// What it is for.
    pub of: Refused,
}

impl BrakeName {
    fn key(&self) -> Key {
        let of = match self.of {
            Refused::Refreshes => "r",
            Refused::Pulls => "p",
        };
        Key::brake(&self.at.client, &self.at.institution, of)
    }

    fn slot(&self) -> Slot {
        Slot::Client(self.at.client.clone())
    }

    /// What to read to see whether it is on.
    pub fn reads(&self) -> (Slot, Reads) {
        (self.slot(), Reads::of([self.key()]))
    }

    /// The brake as read.
    pub fn found<'a>(&self, view: &'a View) -> Option<&'a Brake> {
        match view.record(&self.key()) {
            Some(Record::Brake(brake)) => Some(brake),
            _ => None,
        }
    }
}

/// A refusal about to be counted.
#[derive(Clone, Debug)]
pub struct CountRefusal {
    /// Which brake.
    pub brake: BrakeName,
    /// Whose token.
    pub member: MemberGuid,
    /// How many refreshes were granted there since this process last counted a refusal.
    pub granted: u32,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Counts,
    /// It does not: the brake has gone on with it.
    GoesOn,
    /// It does not: the brake is on.
    IsOn,
}

impl Step for CountRefusal {
    type Outcome = Verdict;

    fn slot(&self) -> Slot {
        self.brake.slot()
    }

    fn reads(&self) -> Reads {
        Reads::of([self.brake.key()])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Verdict, Changes) {
        let kept = self.brake.found(view);
        let mut brake = kept.cloned().unwrap_or_default();
        if brake.on_since.is_some() {
            return unchanged(Verdict::IsOn);
        }
        let is_recent = |at: Timestamp| {
            let age = now.duration_since(at);
            age.unsigned_abs() < WITHIN
        };
        let member = self.member;
        brake
            .refusals
            .retain(|refusal| is_recent(refusal.at) && refusal.member != member);
        let too_many = brake.refusals.len().saturating_sub(MOST_KEPT - 1);
        brake.refusals.drain(..too_many);
        brake.refusals.push(CountedRefusal {
            at: now,
            member: self.member,
            granted: self.granted,
        });
        let last = brake.refusals.iter().rev().take(REFUSALS - 1);
        let granted: usize = last.map(|refusal| refusal.granted as usize).sum();
        let is_released = brake.off_until.is_some_and(|until| until > now);
        let goes_on = brake.refusals.len() >= REFUSALS && granted <= REFUSALS && !is_released;
        if goes_on {
            brake.on_since = Some(now);
            brake.probe_at = Some(now + PROBE_EVERY);
        }
        let mut changes = Changes::default();
        changes.put(self.brake.key(), brake);
        let verdict = match goes_on {
            true => Verdict::GoesOn,
            false => Verdict::Counts,
        };
        (verdict, changes)
    }
}

/// A refresh about to be tried although the brake may be on.
#[derive(Clone, Debug)]
pub struct AskBrake {
    /// Which brake.
    pub brake: BrakeName,
}

/// Whether refreshes may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Braked {
    /// Any number.
    Off,
    /// This one, to see whether the institution still refuses.
    Probe,
    /// None before then.
    Until(Timestamp),
}

impl Step for AskBrake {
    type Outcome = Braked;

    fn slot(&self) -> Slot {
        self.brake.slot()
    }

    fn reads(&self) -> Reads {
        Reads::of([self.brake.key()])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Braked, Changes) {
        let brake = self.brake.found(view);
        let Some(brake) = brake.filter(|brake| brake.on_since.is_some()) else {
            return unchanged(Braked::Off);
        };
        if let Some(probe_at) = brake.probe_at.filter(|at| !has_come(*at, PROBE_EVERY, now)) {
            return unchanged(Braked::Until(probe_at));
        }
        let mut changes = Changes::default();
        let next = Brake {
            probe_at: Some(now + PROBE_EVERY),
            ..brake.clone()
        };
        changes.put(self.brake.key(), next);
        (Braked::Probe, changes)
    }
}

/// A brake about to be taken off.
#[derive(Clone, Debug)]
pub struct ReleaseBrake {
    /// Which brake.
    pub brake: BrakeName,
    /// Whether by an operator, for whom refusals count.
    pub by_hand: bool,
}

impl Step for ReleaseBrake {
    /// Whether it was on.
    type Outcome = bool;

    fn slot(&self) -> Slot {
        self.brake.slot()
    }

    fn reads(&self) -> Reads {
        Reads::of([self.brake.key()])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (bool, Changes) {
        let brake = self.brake.found(view);
        if brake.is_none_or(|brake| brake.on_since.is_none()) {
            return unchanged(false);
        }
        let off = Brake {
            off_until: self.by_hand.then(|| now + OFF),
            ..Brake::default()
        };
        let mut changes = Changes::default();
        changes.put(self.brake.key(), off);
        (true, changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::UserGuid;

    struct Chance;

    impl crate::domain::random::Random for Chance {
        fn fill(&self, bytes: &mut [u8]) {
            aws_lc_rs::rand::fill(bytes).expect("random");
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + second).expect("a time")
    }

    fn here() -> BrakeName {
        let at = AtInstitution {
            client: "acme".parse().expect("a client"),
            institution: "bank".parse().expect("a code"),
        };
        BrakeName {
            at,
            of: Refused::Refreshes,
        }
    }

    fn member() -> MemberGuid {
        let user = UserGuid::new(&Chance);
        MemberGuid::new(&Chance, user.partition())
    }

    /// What is kept, and takes steps.
    #[derive(Default)]
    struct Kept(Option<Brake>);

    impl Kept {
        fn take<S: Step>(&mut self, step: &S, second: i64) -> S::Outcome {
            let kept = self
                .0
                .clone()
                .map(|brake| (here().key(), Record::from(brake)));
            let (outcome, changes) = step.decide(&View::new(kept), at(second));
            for (_, record) in changes.records {
                let Some(Record::Brake(brake)) = record else {
                    panic!("a brake, not {record:?}");
                };
                self.0 = Some(brake);
            }
            outcome
        }

        fn refused(&mut self, granted: u32, second: i64) -> Verdict {
            let count = CountRefusal {
                brake: here(),
                member: member(),
                granted,
            };
            self.take(&count, second)
        }
    }

    #[test]
    fn it_goes_on_with_the_twentieth_refusal_if_half_were_refused() {
        for (granted, expected) in [
            (0, Verdict::GoesOn),
            (20, Verdict::GoesOn),
            (21, Verdict::Counts),
        ] {
            let mut kept = Kept::default();
            // What was granted before the first of them does not matter.
            assert_eq!(kept.refused(1000, 1), Verdict::Counts);
            assert_eq!(kept.refused(granted, 2), Verdict::Counts);
            for nth in 3..20 {
                assert_eq!(kept.refused(0, nth), Verdict::Counts);
            }
            assert_eq!(kept.refused(0, 20), expected, "{granted} granted");
        }
    }

    #[test]
    fn what_is_older_than_ten_minutes_does_not_count() {
        let mut kept = Kept::default();
        for nth in 0..100 {
            assert_eq!(kept.refused(0, 32 * nth), Verdict::Counts);
        }
    }

    fn on() -> Kept {
        let mut kept = Kept::default();
        for _ in 0..20 {
            kept.refused(0, 0);
        }
        kept
    }

    #[test]
    fn while_it_is_on_one_refresh_a_minute_is_tried() {
        let mut kept = on();
        let ask = AskBrake { brake: here() };
        assert_eq!(kept.refused(0, 1), Verdict::IsOn);
        assert_eq!(kept.take(&ask, 59), Braked::Until(at(60)));
        assert_eq!(kept.take(&ask, 60), Braked::Probe);
        assert_eq!(kept.take(&ask, 60), Braked::Until(at(120)));
        // A clock that was set back by an hour keeps nothing.
        assert_eq!(kept.take(&ask, 61 - 3600), Braked::Probe);
        assert_eq!(Kept::default().take(&ask, 0), Braked::Off);
    }

    #[test]
    fn one_member_alone_does_not_put_it_on() {
        let mut kept = Kept::default();
        let member = member();
        for second in 0..100 {
            let count = CountRefusal {
                brake: here(),
                member,
                granted: 0,
            };
            assert_eq!(kept.take(&count, second), Verdict::Counts);
        }
    }

    #[test]
    fn a_probe_that_succeeds_takes_it_off() {
        let mut kept = on();
        let release = ReleaseBrake {
            brake: here(),
            by_hand: false,
        };
        assert!(kept.take(&release, 60));
        assert!(!kept.take(&release, 60), "it is off");
        assert_eq!(kept.take(&AskBrake { brake: here() }, 60), Braked::Off);
        for _ in 1..20 {
            assert_eq!(kept.refused(0, 61), Verdict::Counts);
        }
        assert_eq!(kept.refused(0, 61), Verdict::GoesOn, "from the beginning");
    }

    #[test]
    fn where_an_operator_takes_it_off_refusals_count_for_a_day() {
        let mut kept = on();
        let release = ReleaseBrake {
            brake: here(),
            by_hand: true,
        };
        assert!(kept.take(&release, 60));
        let day = 24 * 60 * 60;
        for nth in 0..500 {
            assert_eq!(kept.refused(0, 61 + nth), Verdict::Counts);
        }
        for _ in 1..20 {
            assert_eq!(kept.refused(0, day + 61), Verdict::Counts);
        }
        assert_eq!(kept.refused(0, day + 61), Verdict::GoesOn);
    }
}
