//! Flows that wait until the member service confirms them: what may happen to one, and what is promised of it.

use std::rc::Rc;

use guichet::domain::client::{Completion, UnboundCallback};
use guichet::domain::event::EventKind;
use guichet::domain::window::{OpenPolicy, WindowStatus};
use guichet::steps::record::{Key, Record};
use guichet::steps::{Claim, Confirmation, Connection, HeldTokens, NewCode, NewHandle, VisitKind};

use super::cast::{CAST, grant, told};
use super::promises::{Broken, Promise};
use super::scenarios::{commit, delete, linked, mint};
use super::search::Scenario;
use super::world::{Command, Move, World};
use crate::store_contract::fixtures::{at, client, institution, known_as};

/// At once; when no confirmation is awaited any more; when an exchange that was cut off is over, and the link.
const MOMENTS: &[i64] = &[0, HOLD, 300, 901];

/// How long a confirmation is awaited, in seconds.
const HOLD: i64 = 45;

/// How many handles there may be: for a code, and for a token set.
const HANDLES: [&str; 2] = ["handle of a code", "handle of a token set"];

/// A link that A followed: its answer arrives at A or B, waits, and is confirmed by the right one or by others.
pub const CONFIRMED: Scenario = Scenario {
    name: "a flow that is confirmed",
    least: 300,
    starts: || {
        let opened = linked(OpenPolicy::Single).opened(0, 0, VisitKind::Begin);
        vec![("A opened a link".to_owned(), opened.at_moments(MOMENTS))]
    },
    moves,
};

fn moves(world: &World) -> Vec<(String, Move)> {
    let mut moves = Vec::new();
    let mut add = |label: &str, command: Command| {
        moves.push((label.to_owned(), Move::Take(Rc::new(command), None)));
    };
    for is_own in [true, false] {
        let who = if is_own { "A" } else { "B" };
        for holds_code in [true, false] {
            let label = format!("the answer arrives at {who}, its code waits: {holds_code}");
            add(&label, claim(world, is_own, holds_code));
        }
    }
    let status = world.window(CAST.windows[0]).map(|kept| kept.window.status);
    let is_waiting = |handle: &&str| world.kept(&Key::completion(&known_as(handle))).is_some();
    let waiting: Vec<&str> = HANDLES
        .into_iter()
        .filter(|handle| is_waiting(handle))
        .collect();
    // Only a gateway whose claim brought no handle exchanges before the confirmation.
    if status == Some(WindowStatus::Returned) && waiting.is_empty() {
        add("the tokens are held", hold(world));
    }
    for handle in &waiting {
        for (member, label) in [
            (Some(0), "its user confirms"),
            (Some(1), "it is confirmed for another member"),
            (None, "it is confirmed for nobody"),
        ] {
            add(label, confirm(handle, member));
        }
        let is_confirmed = is_confirmed(world, handle);
        match status {
            Some(status @ (WindowStatus::Returned | WindowStatus::Authorized)) if is_confirmed => {
                add("it is committed", committed(status));
            }
            _ => {}
        }
    }
    if world.windows().count() < 2 {
        add(
            "another link is minted",
            mint(0, 1, OpenPolicy::Single, world.now),
        );
    }
    add("the member is deleted", delete(0));
    moves
}

fn is_confirmed(world: &World, handle: &str) -> bool {
    matches!(
        world.kept(&Key::completion(&known_as(handle))),
        Some(Record::Completion(it)) if it.is_confirmed
    )
}

fn new_handle(world: &World, name: &str) -> NewHandle {
    NewHandle {
        digest: known_as(name),
        sealed: name.as_bytes().to_vec(),
        until: at(world.now + HOLD),
    }
}

fn claim(world: &World, is_own: bool, holds_code: bool) -> Command {
    Command::Claim(Claim {
        attempt: CAST.attempt(0, 0, 0).id,
        client: client(),
        institution: institution(),
        browser: CAST.shows(0, usize::from(is_own)),
        completion: Completion::Confirm,
        unbound: UnboundCallback::Confirm,
        rebinding: known_as("the browser of B"),
        code: Some(NewCode {
            response: b"response".to_vec(),
            generation: 1,
            handle: holds_code.then(|| new_handle(world, HANDLES[0])),
        }),
        burnt: told(EventKind::OauthStateFinished),
    })
}

fn hold(world: &World) -> Command {
    Command::Hold(HeldTokens {
        window: CAST.windows[0],
        attempt: CAST.attempt(0, 0, 0).id,
        institution: institution(),
        sealed: grant(0, CAST.members[0]),
        fingerprints: Vec::new(),
        generation: 2,
        handle: new_handle(world, HANDLES[1]),
    })
}

fn confirm(handle: &str, member: Option<usize>) -> Command {
    Command::Confirm(Confirmation {
        partition: CAST.user.partition(),
        handle: known_as(handle),
        client: client(),
        user: Some(CAST.user),
        member: member.map(|member| CAST.members[member]),
        misdirected: told(EventKind::OauthStateFinished),
    })
}

fn committed(only_in: WindowStatus) -> Command {
    let Command::Commit(commit) = commit(0, 0, 0, None, None, true) else {
        unreachable!("it is a commit");
    };
    Command::Commit(Connection { only_in, ..commit })
}

/// After a step was written.
pub fn of_step(before: &World, command: &Command, after: &World) -> Result<(), Broken> {
    let right = Promise::RightPerson;
    for kept in before.windows() {
        let (window, held) = (&kept.window, &kept.authorization);
        let (WindowStatus::Authorized, Some(held)) = (window.status, held) else {
            continue;
        };
        let is_meant = |asked: &Confirmation| {
            asked.user == Some(window.user) && asked.member == Some(window.member)
        };
        let was_confirmed = HANDLES.iter().any(|handle| is_confirmed(before, handle));
        let now = after.window(window.guid).map(|kept| kept.window.status);
        let is_owed = after
            .kept(&Key::revocation(window.member, held.generation))
            .is_some();
        match (now, command) {
            (Some(WindowStatus::Returned), Command::Confirm(asked)) => {
                right.holds(is_meant(asked), "a code went on for somebody else")?;
            }
            (Some(WindowStatus::Returned), _) => {
                return Err(right.broken("a code went on without a confirmation"));
            }
            (Some(WindowStatus::Succeeded), _) => {
                right.holds(was_confirmed, "connected without a confirmation")?;
            }
            (Some(WindowStatus::Errored(..)) | None, _) => {
                let why = "nobody gives back what was not confirmed";
                Promise::NothingOwed.holds(is_owed, why)?;
            }
            (_, Command::Confirm(asked)) if !was_confirmed => {
                right.holds(
                    is_meant(asked),
                    "somebody else's confirmation changed something",
                )?;
            }
            _ => {}
        }
    }
    Ok(())
}
