//! Duties: taken up, and then settled, postponed, given back or buried.
//!
//! - Taking up counts a try and moves the due time, so that nobody else takes it meanwhile.
//! - A duty that was given back was not tried: the try is not counted, and a job is as before its push.
//! - What becomes of a duty is decided by who took it up last.
//! - Only what is still owed is taken up or settled. A job ends by its report.
//! - A push makes a `Queued` job `Pushed`; a `Started` or `Challenged` one stays so.
//! - An event keeps its last tries.

use jiff::Timestamp;

use super::brake::AtInstitution;
use super::due::{Behind, Line};
use super::record::{
    AccessRecord, Changes, Consent, DeliveryTry, KeptEvent, KeptJob, Key, Reads, Revocation, Slot,
    TokenState, View,
};
use super::step::{Step, unchanged};
use crate::domain::duty::DutyKind;
use crate::domain::event::Event;
use crate::domain::id::{EventGuid, JobGuid, MemberGuid, Partition};
use crate::domain::job::{Job, JobStatus};
use crate::domain::member::Member;

/// How many of its tries an event keeps.
const TRIES_KEPT: usize = 16;

/// A duty's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DutyName {
    /// To push this job.
    Job(JobGuid),
    /// To deliver this event.
    Event(EventGuid),
    /// To pull this member in the background.
    Background(MemberGuid),
    /// To refresh this member's token set.
    Refresh(MemberGuid),
    /// To give back the token set of that generation, which was this member's.
    Revocation(MemberGuid, u64),
    /// To tell the end of this member's consent.
    Consent(MemberGuid),
}

/// A duty that was taken up.
#[derive(Clone, Debug, PartialEq)]
pub enum Duty {
    /// A job to push.
    Push(Box<Job>),
    /// An event to deliver.
    Deliver(Box<Event>),
    /// A member to pull in the background, held until then by who took it up.
    Background(Box<Member>, Timestamp),
    /// A token set to refresh.
    Refresh {
        /// Whose.
        member: MemberGuid,
        /// The registration.
        at: AtInstitution,
        /// Until when it is held by who took it up.
        held_until: Timestamp,
    },
    /// Tokens to give back.
    Revoke(Box<Owed>),
    /// The end of a consent to tell.
    Notify {
        /// Whose.
        member: MemberGuid,
        /// The registration.
        at: AtInstitution,
        /// Until when it is held by who took it up.
        held_until: Timestamp,
    },
}

/// Tokens to give back.
#[derive(Clone, Debug, PartialEq)]
pub struct Owed {
    /// Whose they were.
    pub member: MemberGuid,
    /// Which.
    pub generation: u64,
    /// The tokens.
    pub revocation: Revocation,
}

impl DutyName {
    /// The duty with that key, if it is one.
    pub fn of(key: &Key) -> Option<Self> {
        let id = key.id();
        match key.kind() {
            'j' => JobGuid::from_compact(id).ok().map(Self::Job),
            'e' => EventGuid::from_compact(id).ok().map(Self::Event),
            'm' => MemberGuid::from_compact(id).ok().map(Self::Background),
            'g' => MemberGuid::from_compact(id).ok().map(Self::Refresh),
            'q' => MemberGuid::from_compact(id).ok().map(Self::Consent),
            'r' => {
                let (member, generation) = id.split_once('/')?;
                let generation = u64::from_str_radix(generation, 16).ok()?;
                let member = MemberGuid::from_compact(member).ok()?;
                Some(Self::Revocation(member, generation))
            }
            _ => None,
        }
    }

    fn key(self) -> Key {
        match self {
            Self::Job(guid) => Key::job(guid),
            Self::Event(guid) => Key::event(guid),
            Self::Background(member) => Key::member(member),
            Self::Refresh(member) => Key::access(member),
            Self::Revocation(member, generation) => Key::revocation(member, generation),
            Self::Consent(member) => Key::consent(member),
        }
    }

    fn partition(self) -> Partition {
        match self {
            Self::Job(guid) => guid.partition(),
            Self::Event(guid) => guid.partition(),
            Self::Background(member)
            | Self::Refresh(member)
            | Self::Revocation(member, _)
            | Self::Consent(member) => member.partition(),
        }
    }
}

impl Duty {
    /// Its kind.
    pub fn kind(&self) -> DutyKind {
        match self {
            Self::Push(_) => DutyKind::Aggregate,
            Self::Deliver(_) => DutyKind::Deliver,
            Self::Background(..) => DutyKind::Background,
            Self::Refresh { .. } => DutyKind::Refresh,
            Self::Revoke(_) => DutyKind::Revoke,
            Self::Notify { .. } => DutyKind::Notify,
        }
    }

    /// Its name.
    pub fn name(&self) -> DutyName {
        match self {
            Self::Push(job) => DutyName::Job(job.guid),
            Self::Deliver(event) => DutyName::Event(event.guid),
            Self::Background(member, _) => DutyName::Background(member.guid),
            Self::Refresh { member, .. } => DutyName::Refresh(*member),
            Self::Revoke(owed) => DutyName::Revocation(owed.member, owed.generation),
            Self::Notify { member, .. } => DutyName::Consent(*member),
        }
    }
}

/// A duty about to be taken up, held by who takes it until then.
#[derive(Clone, Debug)]
pub struct TakeUp {
    /// Which.
    pub duty: DutyName,
    /// The line in which it was found.
    pub line: Line,
    /// What it is behind there.
    pub behind: Option<Behind>,
    /// Until when nobody else takes it.
    pub hold_until: Timestamp,
}

/// What becomes of a duty.
#[derive(Clone, Debug)]
pub struct Settle {
    /// Which.
    pub duty: DutyName,
    /// Which try it was: what becomes of a duty is decided by who tried it last. `None`: whichever.
    pub attempt: Option<u32>,
    /// What becomes of it.
    pub fate: Fate,
    /// How the try went, where that is kept.
    pub tried: Option<DeliveryTry>,
}

/// See [`Settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is done.
    Done,
    /// It is tried again then.
    Postponed(Timestamp),
    /// It could not be tried: it is due then, and the try does not count.
    Untried(Timestamp),
    /// It is not tried again: it is kept for the operator.
    Buried,
    /// Nobody wants it any more.
    Dropped,
}

impl Step for TakeUp {
    /// `None` when there is nothing to do any more.
    type Outcome = Option<Duty>;

    fn slot(&self) -> Slot {
        Slot::Partition(self.duty.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([self.duty.key()])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Option<Duty>, Changes) {
        let mut changes = Changes::default();
        let taken = match self.duty {
            DutyName::Job(guid) => owed_job(view, guid).map(|kept| {
                let mut kept = kept.clone();
                if kept.job.status == JobStatus::Queued {
                    kept.job.status = JobStatus::Pushed;
                }
                kept.job.attempt += 1;
                kept.job.due_at = self.hold_until;
                kept.job.updated_at = now;
                let job = kept.job.clone();
                changes.put_job(kept);
                Duty::Push(Box::new(job))
            }),
            DutyName::Event(guid) => owed_event(view, guid).map(|kept| {
                let mut kept = kept.clone();
                kept.attempt += 1;
                kept.due_at = self.hold_until;
                let event = kept.clone().into_event(guid);
                changes.put(Key::event(guid), kept);
                Duty::Deliver(Box::new(event))
            }),
            DutyName::Background(member) => owed_background(view, member).map(|member| {
                let mut member = member.clone();
                member.arrange_background(Some(self.hold_until));
                changes.put_member(member.clone());
                Duty::Background(Box::new(member), self.hold_until)
            }),
            DutyName::Refresh(member) => owed_refresh(view, member).map(|(access, token)| {
                let token = TokenState {
                    due_at: Some(self.hold_until),
                    ..token.clone()
                };
                let at = AtInstitution {
                    client: token.client.clone(),
                    institution: token.institution.clone(),
                };
                changes.put(Key::access(member), access.with(token));
                Duty::Refresh {
                    member,
                    at,
                    held_until: self.hold_until,
                }
            }),
            DutyName::Revocation(member, generation) => owed_revocation(view, member, generation)
                .map(|owed| {
                    let mut revocation = owed.clone();
                    revocation.attempt += 1;
                    revocation.due_at = self.hold_until;
                    changes.put(self.duty.key(), revocation.clone());
                    Duty::Revoke(Box::new(Owed {
                        member,
                        generation,
                        revocation,
                    }))
                }),
            DutyName::Consent(member) => view.consent(member).map(|consent| {
                let consent = Consent {
                    due_at: self.hold_until,
                    ..consent.clone()
                };
                let at = AtInstitution {
                    client: consent.client.clone(),
                    institution: consent.institution.clone(),
                };
                changes.put(Key::consent(member), consent);
                Duty::Notify {
                    member,
                    at,
                    held_until: self.hold_until,
                }
            }),
        };
        if taken.is_none() {
            let entry = (self.line.clone(), self.duty.key(), self.behind.clone());
            changes.left.push(entry);
        }
        (taken, changes)
    }
}

impl Settle {
    /// Whether it is about that try.
    fn is_of(&self, attempt: u32) -> bool {
        self.attempt.is_none_or(|tried| tried == attempt)
    }
}

impl Step for Settle {
    type Outcome = ();

    fn slot(&self) -> Slot {
        Slot::Partition(self.duty.partition())
    }

    fn reads(&self) -> Reads {
        Reads::of([self.duty.key()])
    }

    fn decide(&self, view: &View, now: Timestamp) -> ((), Changes) {
        let mut changes = Changes::default();
        match self.duty {
            DutyName::Job(guid) => {
                let kept = owed_job(view, guid).filter(|it| self.is_of(it.job.attempt));
                // What was asked meanwhile has a due time of its own.
                let kept = kept.filter(|it| it.job.status != JobStatus::Challenged);
                let Some(mut kept) = kept.cloned() else {
                    return unchanged(());
                };
                match self.fate {
                    // Its status stays: the aggregator may have received a push although we got no reply.
                    Fate::Postponed(at) => kept.job.due_at = at,
                    Fate::Untried(at) => {
                        kept.job.status = JobStatus::Queued;
                        kept.job.due_at = at;
                        kept.job.attempt = kept.job.attempt.saturating_sub(1);
                    }
                    Fate::Done | Fate::Buried | Fate::Dropped => return unchanged(()),
                }
                kept.job.updated_at = now;
                changes.put_job(kept);
            }
            DutyName::Event(guid) => {
                let kept = owed_event(view, guid).filter(|it| self.is_of(it.attempt));
                let Some(mut kept) = kept.cloned() else {
                    return unchanged(());
                };
                match self.fate {
                    Fate::Done => kept.delivered_at = Some(now),
                    Fate::Postponed(at) => kept.due_at = at,
                    Fate::Untried(at) => {
                        kept.due_at = at;
                        kept.attempt = kept.attempt.saturating_sub(1);
                    }
                    Fate::Buried => kept.dead_at = Some(now),
                    Fate::Dropped => {
                        changes.delete(Key::event(guid));
                        return ((), changes);
                    }
                }
                kept.tries.extend(self.tried.clone());
                let too_many = kept.tries.len().saturating_sub(TRIES_KEPT);
                kept.tries.drain(..too_many);
                changes.put(Key::event(guid), kept);
            }
            DutyName::Background(member) => {
                let Some(mut member) = owed_background(view, member).cloned() else {
                    return unchanged(());
                };
                member.arrange_background(match self.fate {
                    Fate::Postponed(at) | Fate::Untried(at) => Some(at),
                    Fate::Done | Fate::Buried | Fate::Dropped => None,
                });
                changes.put_member(member);
            }
            DutyName::Refresh(member) => {
                // A refresh that began ends by its own step.
                let owed = owed_refresh(view, member).filter(|(_, token)| token.running.is_none());
                let Some((access, token)) = owed else {
                    return unchanged(());
                };
                let due_at = match self.fate {
                    Fate::Postponed(at) | Fate::Untried(at) => Some(at),
                    Fate::Done | Fate::Buried | Fate::Dropped => None,
                };
                let token = TokenState {
                    due_at,
                    ..token.clone()
                };
                changes.put(Key::access(member), access.with(token));
            }
            DutyName::Revocation(member, generation) => {
                let owed = owed_revocation(view, member, generation);
                let owed = owed.filter(|it| self.is_of(it.attempt));
                let Some(mut owed) = owed.cloned() else {
                    return unchanged(());
                };
                match self.fate {
                    Fate::Postponed(at) => owed.due_at = at,
                    Fate::Untried(at) => {
                        owed.due_at = at;
                        owed.attempt = owed.attempt.saturating_sub(1);
                    }
                    Fate::Buried => {
                        owed.dead_at = Some(now);
                        owed.sealed.clear();
                    }
                    Fate::Done | Fate::Dropped => {
                        changes.delete(self.duty.key());
                        return ((), changes);
                    }
                }
                changes.put(self.duty.key(), owed);
            }
            // Its own step says when it is due next.
            DutyName::Consent(_) => return unchanged(()),
        }
        ((), changes)
    }
}

fn owed_revocation(view: &View, member: MemberGuid, generation: u64) -> Option<&Revocation> {
    let owed = view.revocation(member, generation)?;
    owed.dead_at.is_none().then_some(owed)
}

fn owed_background(view: &View, member: MemberGuid) -> Option<&Member> {
    let member = view.member(member)?;
    member.background_due().map(|_| member)
}

fn owed_refresh(view: &View, member: MemberGuid) -> Option<(&AccessRecord, &TokenState)> {
    let access = view.access(member)?;
    let token = access.token.as_ref()?;
    token.due_at.map(|_| (access, token))
}

fn owed_job(view: &View, guid: JobGuid) -> Option<&KeptJob> {
    view.job(guid).filter(|kept| !kept.job.status.is_finished())
}

fn owed_event(view: &View, guid: EventGuid) -> Option<&KeptEvent> {
    view.event(guid).filter(|kept| kept.is_owed())
}
