//! An institution that rotates refresh tokens: what it issued, and what of it still works.

use std::collections::BTreeMap;

use guichet::domain::id::MemberGuid;
use guichet::domain::secret::Digest;
use guichet::steps::NewTokens;

use super::cast::CAST;

/// A token set: of which grant, and which of it, counted from 0.
pub type Set = (u8, u8);

/// What an institution does when it is shown a refresh token that it has replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Temper {
    /// It takes it for stolen, and ends the grant.
    #[default]
    Strict,
    /// It refuses it, and takes back a replacement that never arrived: by itself, or when that shows.
    Lenient,
}

/// What it answers to a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// New tokens: that many of the grant.
    Tokens(u8),
    /// `invalid_grant`.
    Refused,
}

/// What it knows of a grant.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub struct Granted {
    /// Whether it was ended: by the person, by a revocation, or because a token seemed stolen.
    pub is_over: bool,
    /// Which refresh token works.
    live: u8,
    /// How many it issued after the first.
    pub issued: u8,
    /// What worked before the newest was issued, as long as that did not arrive.
    takes_back: Option<u8>,
    /// Whether something that it issued never arrived, or was lost where it arrived.
    pub lost_some: bool,
    /// Whether its token was refused although it works, or because the grant is over.
    pub was_refused: bool,
}

/// The institution.
#[derive(Clone, Default, Hash)]
pub struct Bank {
    pub temper: Temper,
    /// It refuses everybody.
    pub is_broken: bool,
    /// Whatever it answers arrives.
    pub is_reliable: bool,
    pub grants: BTreeMap<u8, Granted>,
}

/// What happens at the institution.
#[derive(Clone, Copy, Debug)]
pub enum AtBank {
    /// The person withdraws the consent.
    Ends(u8),
    /// It takes back a replacement that did not arrive.
    TakesBack(u8),
    /// It refuses nobody any more.
    IsMended,
}

impl Granted {
    fn take_back(&mut self) {
        self.live = self.takes_back.take().unwrap_or(self.live);
    }
}

impl Bank {
    /// A grant begins.
    pub fn grant(&mut self, grant: u8) {
        self.grants.entry(grant).or_default();
    }

    /// A refresh.
    pub fn refresh(&mut self, (grant, number): Set) -> Reply {
        let temper = self.temper;
        let Some(of) = self.grants.get_mut(&grant) else {
            return Reply::Refused;
        };
        if self.is_broken || of.is_over {
            of.was_refused = true;
            return Reply::Refused;
        }
        if number != of.live {
            of.is_over = temper == Temper::Strict;
            if of.takes_back == Some(number) {
                of.take_back();
            }
            return Reply::Refused;
        }
        of.issued += 1;
        of.live = of.issued;
        of.takes_back = None;
        Reply::Tokens(of.issued)
    }

    /// The `lost`th that it issued, in place of `before`, is lost.
    pub fn loses(&mut self, (grant, before): Set, lost: u8) {
        let is_lenient = self.temper == Temper::Lenient;
        if let Some(of) = self.grants.get_mut(&grant) {
            of.lost_some = true;
            if is_lenient && of.live == lost {
                of.takes_back = Some(before);
            }
        }
    }

    /// Whether one more answer about that grant may be lost. One that is patient with a lost answer is not with many.
    pub fn may_lose(&self, (grant, _): Set) -> bool {
        let lost_some = self.grants.get(&grant).is_some_and(|of| of.lost_some);
        !self.is_reliable && (self.temper != Temper::Lenient || !lost_some)
    }

    /// A revocation.
    pub fn revoke(&mut self, (grant, number): Set) {
        if let Some(of) = self.grants.get_mut(&grant) {
            of.is_over |= number == of.live;
        }
    }

    /// Whether a refresh with that token would bring a new one.
    pub fn honours(&self, (grant, number): Set) -> bool {
        let of = self.grants.get(&grant);
        of.is_some_and(|of| !of.is_over && number == of.live)
    }

    /// What may happen there by itself.
    pub fn may(&self) -> Vec<AtBank> {
        let grants = self.grants.iter();
        let taken_back = grants.filter(|(_, of)| !of.is_over && of.takes_back.is_some());
        taken_back
            .map(|(grant, _)| AtBank::TakesBack(*grant))
            .collect()
    }

    pub fn happens(&mut self, what: AtBank) {
        match what {
            AtBank::Ends(grant) => {
                if let Some(of) = self.grants.get_mut(&grant) {
                    of.is_over = true;
                }
            }
            AtBank::TakesBack(grant) => {
                if let Some(of) = self.grants.get_mut(&grant) {
                    of.take_back();
                }
            }
            AtBank::IsMended => self.is_broken = false,
        }
    }
}

/// The generation of a token set.
pub fn generation((grant, number): Set) -> u64 {
    (u64::from(grant) + 1) << 40 | u64::from(number)
}

/// A token set with a refresh token, for a member.
pub fn tokens((grant, number): Set, of: MemberGuid) -> NewTokens {
    NewTokens {
        generation: generation((grant, number)),
        is_renewable: true,
        ..NewTokens::unending(format!("{grant}.{number} for {}", of.compact()).into_bytes())
    }
}

/// Which token set is sealed there.
pub fn opened(sealed: &[u8]) -> Option<Set> {
    let text = std::str::from_utf8(sealed).ok()?;
    let (grant, number) = text.split_once(' ')?.0.split_once('.')?;
    Some((grant.parse().ok()?, number.parse().ok()?))
}

/// What the `number`th refresh is called.
pub fn fence(number: u16) -> Digest {
    Digest::of("fence", &number.to_string())
}

/// Which of the cast a member is.
pub fn number_of(member: MemberGuid) -> usize {
    let mut members = CAST.members.iter();
    members.position(|it| *it == member).expect("of the cast")
}
