//! Every state that can be reached, nearest first: so the path to a broken promise is a shortest one.

use std::collections::{HashSet, VecDeque};

use super::promises::{self, Broken, Promise};
use super::world::{Law, Move, World};

/// Something that may be lived through in many ways.
#[derive(Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    /// It has at least so many states: it cannot shrink unseen.
    pub least: usize,
    /// Where it begins.
    pub starts: fn() -> Vec<(String, World)>,
    /// What people do in it, beside what happens in every scenario.
    pub moves: fn(&World) -> Vec<(String, Move)>,
}

/// How much was seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub states: usize,
    pub moves: usize,
}

/// A promise that does not hold, and how one comes to see it.
pub struct Violation {
    pub promise: Promise,
    why: String,
    path: Vec<String>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{:?} is broken: {}", self.promise, self.why)?;
        for (number, label) in self.path.iter().enumerate() {
            writeln!(f, "  {number}. {label}")?;
        }
        Ok(())
    }
}

/// How a state was reached: from which, and by what.
struct Reached {
    from: Option<usize>,
    by: String,
}

/// Sees every state of a scenario.
pub fn search(scenario: &Scenario, law: Law) -> Result<Seen, Box<Violation>> {
    let mut known = HashSet::new();
    let mut reached: Vec<Reached> = Vec::new();
    let mut next = VecDeque::new();
    let mut seen = Seen::default();
    for (by, world) in (scenario.starts)() {
        if known.insert(world.print()) {
            next.push_back((reached.len(), world));
            reached.push(Reached { from: None, by });
        }
    }
    while let Some((number, world)) = next.pop_front() {
        seen.states += 1;
        assert!(seen.states < 200_000, "{} is endless", scenario.name);
        if let Err(broken) = in_state(&world, law) {
            return Err(violation(broken, &reached, number, None));
        }
        let mut moves = world.usual_moves();
        moves.extend((scenario.moves)(&world));
        for (label, step) in moves {
            seen.moves += 1;
            match world.next(&step, law) {
                Ok(Some(after)) if known.insert(after.print()) => {
                    next.push_back((reached.len(), after));
                    reached.push(Reached {
                        from: Some(number),
                        by: label,
                    });
                }
                Ok(_) => {}
                Err(broken) => return Err(violation(broken, &reached, number, Some(label))),
            }
        }
    }
    Ok(seen)
}

fn in_state(world: &World, law: Law) -> Result<(), Broken> {
    promises::of_state(world)?;
    match world.is_over() {
        true => promises::of_the_end(world, law),
        false => Ok(()),
    }
}

fn violation(
    broken: Broken,
    reached: &[Reached],
    number: usize,
    last: Option<String>,
) -> Box<Violation> {
    let mut path = Vec::from_iter(last);
    let mut at = Some(number);
    while let Some(number) = at {
        path.push(reached[number].by.clone());
        at = reached[number].from;
    }
    path.reverse();
    Box::new(Violation {
        promise: broken.promise,
        why: broken.why,
        path,
    })
}
