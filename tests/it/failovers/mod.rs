//! Redis as it is run: whole flows go on without pause while the server that takes the writes is killed, hangs, or
//! is replaced, and while hash slots move. Afterwards every flow is accounted for (`support/traffic.rs`).

mod acknowledged;
mod cluster;
mod doors;
mod one;
mod sentinel;
mod slow_name;

use std::sync::Arc;
use std::time::Duration;

use crate::support::gateway::{Backend, Setup, TestGateway};
use crate::support::traffic::Flow;

/// The pause between two people.
const PACE: Duration = Duration::from_millis(150);

/// How many people there are before what happens, and after it.
const SOME: usize = 8;

/// A gateway on that store.
async fn gateway_on(store: String) -> Arc<TestGateway> {
    gateway_with(store, "").await
}

/// The same, with a line in its section `[store]`.
async fn gateway_with(store: String, line: &'static str) -> Arc<TestGateway> {
    let setup = Setup {
        store: Some(store),
        swaps: vec![("#store", line)],
        ..Setup::default()
    };
    Arc::new(TestGateway::with(Backend::Redis, setup).await)
}

/// Nobody had to begin again.
fn all_are_connected(flows: &[Flow]) {
    let others = not_connected(flows);
    assert!(others.is_empty(), "{others:#?}");
}

fn not_connected(flows: &[Flow]) -> Vec<&Flow> {
    flows.iter().filter(|flow| !flow.is_connected()).collect()
}

/// A few may have to begin again, whose link was minted or opened a moment before.
fn most_are_connected(flows: &[Flow]) {
    let others = not_connected(flows);
    let slowest = flows.iter().map(|flow| flow.took).max();
    println!(
        "{} flows, slowest {slowest:?}, not connected: {others:#?}",
        flows.len()
    );
    assert!(others.len() * 4 < flows.len(), "{others:#?}");
    assert!(slowest < Some(Duration::from_secs(45)), "{slowest:?}");
}
