//! Mutants: the law with one fault planted in it. Each is found, by the promise that it breaks.

use std::rc::Rc;

use guichet::domain::window::{Ending, WindowStatus};
use guichet::steps::Committed;
use guichet::steps::record::{Changes, Record};
use jiff::Timestamp;

use super::promises::Promise;
use super::scenarios::{ANSWERS, CONTINUED, GATEWAYS, LIVES, ONE_LINK, STANDARD, TWO_LINKS};
use super::search::{Scenario, search};
use super::world::{Command, Driver, Kept, LAW, Law, Outcome, Seen, law};

/// A faulty law, and how it is found out.
struct Mutant {
    fault: &'static str,
    law: Law,
    scenario: Scenario,
    breaks: Promise,
}

type Decide = fn(&Command, &Seen, Timestamp) -> (Outcome, Changes);

fn deciding(fault: &'static str, decide: Decide, scenario: Scenario, breaks: Promise) -> Mutant {
    Mutant {
        fault,
        law: Law { decide, ..LAW },
        scenario,
        breaks,
    }
}

fn driven(fault: &'static str, driver: Driver, breaks: Promise) -> Mutant {
    Mutant {
        fault,
        law: Law { driver, ..LAW },
        scenario: GATEWAYS,
        breaks,
    }
}

fn mutants() -> Vec<Mutant> {
    use Promise::*;
    vec![
        deciding(
            "an opened link is opened again",
            opens_again,
            ONE_LINK,
            OneWinner,
        ),
        deciding(
            "nobody counts Continue",
            counts_no_continue,
            CONTINUED,
            OneWinner,
        ),
        driven("nothing is compared", Driver::NeverCompares, AllOrNothing),
        deciding(
            "a claim leaves no trace",
            claims_without_trace,
            ANSWERS,
            OneExchange,
        ),
        deciding(
            "no token set is kept",
            connects_without_means,
            ANSWERS,
            AllOrNothing,
        ),
        deciding(
            "secrets outlive their window",
            keeps_secrets,
            TWO_LINKS,
            AllOrNothing,
        ),
        deciding(
            "a grant goes to anybody",
            grants_to_anybody,
            LIVES,
            AllOrNothing,
        ),
        deciding(
            "what came back never expires",
            never_expires,
            TWO_LINKS,
            NothingPending,
        ),
        deciding(
            "new credentials leave the old job",
            replaces_no_job,
            STANDARD,
            NoLostJob,
        ),
        deciding(
            "a job outlives its member",
            leaves_a_job,
            STANDARD,
            NoLostJob,
        ),
        deciding(
            "a mint tells of yesterday",
            tells_of_yesterday,
            TWO_LINKS,
            EventsInOrder,
        ),
        driven("nothing is known again", Driver::NeverRemembers, OneAnswer),
        driven(
            "a refusal makes forgetful",
            Driver::ForgetsWhenRefused,
            OneAnswer,
        ),
    ]
}

#[test]
fn every_mutant_is_found() {
    for mutant in mutants() {
        let Err(found) = search(&mutant.scenario, mutant.law) else {
            panic!("{}: not found", mutant.fault);
        };
        println!("{}: {found}", mutant.fault);
        assert_eq!(found.promise, mutant.breaks, "{}: {found}", mutant.fault);
    }
}

/// What was read, with each record changed.
fn as_if(seen: &Seen, change: impl Fn(&mut Record)) -> Seen {
    let mut seen = seen.clone();
    for kept in seen
        .records
        .iter_mut()
        .filter_map(|(_, kept)| kept.as_mut())
    {
        let mut record = kept.record.clone();
        change(&mut record);
        *kept = Rc::new(Kept::new(record, Vec::new()));
    }
    seen
}

fn opens_again(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    if !matches!(command, Command::Open(_)) {
        return law(command, seen, now);
    }
    let seen = as_if(seen, |record| match record {
        Record::Window(kept) if kept.window.status == WindowStatus::Opened => {
            kept.window.status = WindowStatus::Issued;
        }
        _ => {}
    });
    law(command, &seen, now)
}

fn counts_no_continue(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    for (_, record) in &mut changes.records {
        if let Some(Record::Window(kept)) = record {
            kept.continues = 0;
        }
    }
    (outcome, changes)
}

fn claims_without_trace(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, changes) = law(command, seen, now);
    match command {
        Command::Claim(_) => (outcome, Changes::default()),
        _ => (outcome, changes),
    }
}

fn connects_without_means(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    if matches!(command, Command::Commit(_)) {
        changes.records.retain(|(key, _)| key.kind() != 'g');
    }
    (outcome, changes)
}

fn keeps_secrets(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    for (key, record) in &mut changes.records {
        let before = seen.records.iter().find(|(known, _)| **known == *key);
        let before = before.and_then(|(_, kept)| kept.as_ref());
        if let Command::Fail(_) = command
            && let Some(Record::Window(kept)) = record
            && let Some(Record::Window(before)) = before.map(|kept| &kept.record)
        {
            kept.attempts.clone_from(&before.attempts);
        }
    }
    (outcome, changes)
}

fn grants_to_anybody(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let Command::Commit(commit) = command else {
        return law(command, seen, now);
    };
    let (outcome, changes) = law(command, seen, now);
    match outcome {
        Outcome::Commit((Committed::Moved, _)) => {
            let mut own = commit.clone();
            own.inbound = None;
            law(&Command::Commit(own), seen, now)
        }
        _ => (outcome, changes),
    }
}

fn never_expires(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    if let Command::Fail(failure) = command
        && failure.ending == Ending::Expired
    {
        let mut failure = failure.clone();
        failure.only_in = Some(WindowStatus::Opened);
        return law(&Command::Fail(failure), seen, now);
    }
    law(command, seen, now)
}

fn replaces_no_job(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    if matches!(command, Command::Update(_)) {
        let is_replaced = |record: &Option<Record>| matches!(record, Some(Record::Job(kept)) if kept.job.status.is_finished());
        changes.records.retain(|(_, record)| !is_replaced(record));
    }
    (outcome, changes)
}

fn leaves_a_job(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    if matches!(command, Command::Delete(_)) {
        changes.records.retain(|(key, _)| key.kind() != 'j');
    }
    (outcome, changes)
}

fn tells_of_yesterday(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    for (_, record) in &mut changes.records {
        if let Command::Mint(_) = command
            && let Some(Record::Event(event)) = record
        {
            event.member.revision -= 1;
        }
    }
    (outcome, changes)
}
