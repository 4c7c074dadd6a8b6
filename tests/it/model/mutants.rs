//! Mutants: the law with one fault planted in it. Each is found, by the promise that it breaks.

use std::rc::Rc;

use guichet::domain::window::{Ending, WindowStatus};
use guichet::steps::record::{Changes, Record, TokenState};
use guichet::steps::{Committed, Confirmed, ConsentTold, RefreshOutcome, Settled, Verdict};
use jiff::Timestamp;

use super::confirmed::CONFIRMED;
use super::promises::Promise;
use super::scenarios::{
    ANSWERS, BRAKED, CONSENTS, CONTINUED, DELIVERED, GATEWAYS, LEFT, LIVES, ONE_LINK, REFRESHED,
    REPLACED, STANDARD, TWO_LINKS,
};
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
        deciding(
            "a refresh that runs is no fence",
            fences_nothing,
            REFRESHED,
            OneRefresh,
        ),
        deciding(
            "a doubt is not waited for",
            doubts_nothing,
            REFRESHED,
            OneRefresh,
        ),
        deciding(
            "new tokens are kept within the fence alone",
            keeps_within_the_fence,
            REFRESHED,
            NewestTokens,
        ),
        deciding(
            "one refusal in doubt is enough",
            loses_at_once,
            REFRESHED,
            LostForCause,
        ),
        deciding(
            "a loss is told to nobody",
            loses_in_silence,
            REFRESHED,
            ToldOnce,
        ),
        deciding(
            "what was not asked is never due again",
            forgets_what_was_not_asked,
            REFRESHED,
            NeverSilentlyDead,
        ),
        deciding(
            "a deletion owes nothing",
            deletes_and_owes_nothing,
            LEFT,
            NothingOwed,
        ),
        deciding(
            "what a replaced grant gave is dropped",
            drops_what_was_replaced,
            LEFT,
            NothingOwed,
        ),
        deciding(
            "a refresh forgets what its grant replaced",
            forgets_what_was_replaced,
            REPLACED,
            NothingOwed,
        ),
        deciding(
            "a brake that is on counts",
            counts_though_braked,
            BRAKED,
            LostForCause,
        ),
        deciding(
            "nobody gets back what was lost",
            restores_nothing,
            BRAKED,
            LostForCause,
        ),
        deciding(
            "an old try decides",
            old_tries_decide,
            DELIVERED,
            LastDecides,
        ),
        deciding(
            "what was taken up leaves its line",
            leaves_its_line,
            DELIVERED,
            OneLine,
        ),
        deciding(
            "a notice is given at every look",
            tells_the_end_again,
            CONSENTS,
            ToldOnce,
        ),
        deciding(
            "a handle works twice",
            confirms_again,
            CONFIRMED,
            OneExchange,
        ),
        deciding(
            "anybody confirms",
            confirms_for_anybody,
            CONFIRMED,
            RightPerson,
        ),
        deciding(
            "what nobody confirmed is forgotten",
            forgets_the_unconfirmed,
            CONFIRMED,
            NothingOwed,
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

fn confirms_again(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    if matches!(outcome, Outcome::Confirm(Confirmed::Code { .. })) {
        changes.records.retain(|(key, _)| key.kind() != 'w');
    }
    (outcome, changes)
}

fn confirms_for_anybody(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let Command::Confirm(confirmation) = command else {
        return law(command, seen, now);
    };
    let mut windows =
        seen.records
            .iter()
            .filter_map(|(_, kept)| match kept.as_ref().map(|kept| &kept.record) {
                Some(Record::Window(kept)) => Some(&kept.window),
                _ => None,
            });
    let mut confirmation = confirmation.clone();
    if let Some(window) = windows.next() {
        confirmation.user = Some(window.user);
        confirmation.member = Some(window.member);
    }
    law(&Command::Confirm(confirmation), seen, now)
}

fn forgets_the_unconfirmed(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    if matches!(command, Command::Fail(_)) {
        changes.records.retain(|(key, _)| key.kind() != 'r');
    }
    (outcome, changes)
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

/// What was read, with what is known of each token set changed.
fn as_if_tokens(seen: &Seen, change: impl Fn(&mut TokenState)) -> Seen {
    as_if(seen, |record| {
        if let Record::Access(access) = record
            && let Some(token) = &mut access.token
        {
            change(token);
        }
    })
}

fn fences_nothing(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    match command {
        Command::Begin(_) => {
            let seen = as_if_tokens(seen, |token| token.running = None);
            law(command, &seen, now)
        }
        _ => law(command, seen, now),
    }
}

fn doubts_nothing(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    match command {
        Command::Begin(_) => {
            let seen = as_if_tokens(seen, |token| {
                token.running.take_if(|running| running.until <= now);
            });
            law(command, &seen, now)
        }
        _ => law(command, seen, now),
    }
}

fn keeps_within_the_fence(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let is_within = |record: &Record| {
        matches!(record, Record::Access(access) if access.token.as_ref().is_some_and(|token| {
            token.running.as_ref().is_some_and(|running| running.until > now)
        }))
    };
    let mut read = seen.records.iter().filter_map(|(_, kept)| kept.as_ref());
    match command {
        Command::Settle(settle)
            if matches!(settle.outcome, RefreshOutcome::Refreshed(_))
                && !read.any(|kept| is_within(&kept.record)) =>
        {
            (Outcome::Settle(Settled::Superseded), Changes::default())
        }
        _ => law(command, seen, now),
    }
}

fn loses_at_once(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    match command {
        Command::Settle(_) => {
            let seen = as_if_tokens(seen, |token| {
                if let Some(doubt) = &mut token.doubt {
                    doubt.refusals = 1;
                }
            });
            law(command, &seen, now)
        }
        _ => law(command, seen, now),
    }
}

fn loses_in_silence(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    if matches!(outcome, Outcome::Settle(Settled::Lost(..))) {
        changes.records.retain(|(key, _)| key.kind() != 'e');
    }
    (outcome, changes)
}

fn forgets_what_was_not_asked(
    command: &Command,
    seen: &Seen,
    now: Timestamp,
) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    if let Command::Settle(settle) = command
        && matches!(settle.outcome, RefreshOutcome::NotAsked { .. })
    {
        for (_, record) in &mut changes.records {
            if let Some(Record::Access(access)) = record
                && let Some(token) = &mut access.token
            {
                token.due_at = None;
            }
        }
    }
    (outcome, changes)
}

fn deletes_and_owes_nothing(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    if matches!(command, Command::Delete(_)) {
        changes.records.retain(|(key, _)| key.kind() != 'r');
    }
    (outcome, changes)
}

fn drops_what_was_replaced(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    match law(command, seen, now) {
        (Outcome::Settle(Settled::Replaced), changes) => {
            (Outcome::Settle(Settled::Superseded), changes)
        }
        decided => decided,
    }
}

fn forgets_what_was_replaced(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    for (_, record) in &mut changes.records {
        if let Command::Settle(_) = command
            && let Some(Record::Access(access)) = record
            && let Some(token) = &mut access.token
        {
            token.replaced = None;
        }
    }
    (outcome, changes)
}

fn counts_though_braked(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    match law(command, seen, now) {
        (Outcome::CountRefusal(Verdict::IsOn), changes) => {
            (Outcome::CountRefusal(Verdict::Counts), changes)
        }
        decided => decided,
    }
}

fn restores_nothing(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    match command {
        Command::Restore(_) => (Outcome::Restore(false), Changes::default()),
        _ => law(command, seen, now),
    }
}

fn old_tries_decide(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    match command {
        Command::SettleDuty(settle) => {
            let mut settle = settle.clone();
            settle.attempt = None;
            law(&Command::SettleDuty(settle), seen, now)
        }
        _ => law(command, seen, now),
    }
}

fn leaves_its_line(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    if let Command::Push(_) = command {
        for (_, record) in &mut changes.records {
            if let Some(Record::Event(event)) = record {
                event.member.client = "elsewhere".parse().expect("a client");
            }
        }
    }
    (outcome, changes)
}

fn tells_the_end_again(command: &Command, seen: &Seen, now: Timestamp) -> (Outcome, Changes) {
    let (outcome, mut changes) = law(command, seen, now);
    if matches!(outcome, Outcome::TellConsent(ConsentTold::Expiring(_))) {
        changes.records.retain(|(key, _)| key.kind() != 'q');
    }
    (outcome, changes)
}
