//! A model of the law: every state that can be reached in a few scenarios, and in each of them the promises.
//!
//! The law is the steps themselves; what is modelled is how they come together: who asks for what in which
//! order, time that passes, gateways that are cut off, answers that are lost. The stores are held to their
//! contract elsewhere.
//!
//! ```text
//! cast       names and secrets, drawn once
//! bank       an institution that rotates refresh tokens
//! world      a state, and what may happen to it
//! duties     what gateways do for what is due, step by step
//! promises   what holds in every state
//! confirmed  flows that wait until they are confirmed
//! scenarios  where it begins, and what people do
//! search     every state, nearest first
//! mutants    faults, each found by the promise that it breaks
//! ```

mod bank;
mod cast;
mod confirmed;
mod duties;
mod mutants;
mod promises;
mod scenarios;
mod search;
mod world;

use std::sync::Mutex;
use std::time::Instant;

use search::{Seen, search};
use world::LAW;

/// How many scenarios are searched at once: other tests run, too.
const AT_ONCE: usize = 2;

#[test]
fn the_promises_hold_in_every_state() {
    let left = Mutex::new(scenarios::ALL.to_vec());
    let next = || left.lock().expect("nobody panicked").pop();
    let searcher = || {
        let mut states = 0;
        while let Some(scenario) = next() {
            let began = Instant::now();
            let seen =
                search(&scenario, LAW).unwrap_or_else(|it| panic!("{}: {it}", scenario.name));
            let Seen {
                states: found,
                moves,
            } = seen;
            let took = began.elapsed().as_secs();
            println!("{}: {found} states, {moves} moves, {took} s", scenario.name);
            assert!(
                found >= scenario.least,
                "{} shrank to {found}",
                scenario.name
            );
            states += found;
        }
        states
    };
    let states: usize = std::thread::scope(|scope| {
        let searchers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(searcher)).collect();
        let states = searchers.into_iter().map(|it| it.join());
        states.map(|it| it.expect("the promises hold")).sum()
    });
    println!("{states} states in all");
}
