//! Jobs that wait to be claimed, and the claims that wait for jobs, in this process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

use super::turns::Turns;
use crate::aggregator::{Aggregator, Mode};
use crate::domain::id::AggregatorName;
use crate::store::{Ask, Reserved, Spot};

/// How many claims of an aggregator may wait at a time.
const WAITING: usize = 64;

/// What is to be claimed, for each aggregator that claims.
pub struct Claims {
    known: HashMap<AggregatorName, Unclaimed>,
    closed: CancellationToken,
}

/// Where jobs of an aggregator's clients are due.
pub struct Unclaimed {
    turns: Mutex<Turns>,
    told: Notify,
    places: Semaphore,
}

impl Claims {
    /// Nothing yet, for those aggregators that claim.
    pub fn new<'a>(aggregators: impl IntoIterator<Item = &'a Aggregator>) -> Self {
        let claims = |it: &&Aggregator| matches!(it.mode, Mode::Pull);
        let nothing = |it: &Aggregator| {
            let unclaimed = Unclaimed {
                turns: Mutex::default(),
                told: Notify::new(),
                places: Semaphore::new(WAITING),
            };
            (it.name.clone(), unclaimed)
        };
        Self {
            known: aggregators
                .into_iter()
                .filter(claims)
                .map(nothing)
                .collect(),
            closed: CancellationToken::new(),
        }
    }

    /// What that aggregator can claim; `None`: it does not claim.
    pub fn of(&self, aggregator: &AggregatorName) -> Option<&Unclaimed> {
        self.known.get(aggregator)
    }

    /// Jobs of that aggregator's clients are due there.
    pub fn add(&self, aggregator: &AggregatorName, spot: Spot) {
        if let Some(unclaimed) = self.of(aggregator) {
            unclaimed.turns().add([spot]);
            unclaimed.told.notify_waiters();
        }
    }

    /// No claim waits any more: nobody tells it what is due.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Waits until they are closed.
    pub async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

impl Unclaimed {
    /// Of how many clients something is known to be due.
    pub fn ready(&self) -> usize {
        self.turns().ready()
    }

    /// How many claims wait.
    pub fn waiting(&self) -> usize {
        WAITING - self.places.available_permits()
    }

    /// What to take up next, `most` in all: every client with due jobs has the same share.
    pub fn next(&self, most: usize) -> Vec<Ask> {
        let mut turns = self.turns();
        let share = most.div_ceil(turns.ready().max(1));
        turns.next(most, |_| share, |_| true)
    }

    /// What was found there: where there may be more, it stays ready for whoever claims next.
    pub fn found(&self, reserved: &Reserved) {
        self.turns().found(reserved);
        if reserved.may_be_more {
            self.told.notify_waiters();
        }
    }

    /// Is woken by whatever becomes due once this was enabled.
    pub fn told(&self) -> Notified<'_> {
        self.told.notified()
    }

    /// A place to wait; `None`: too many claims wait.
    pub fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.try_acquire().ok()
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::Line;

    fn aggregator() -> Aggregator {
        Aggregator {
            name: "pulls".parse().expect("a name"),
            deadline: Duration::from_secs(60),
            answer_deadline: Duration::from_secs(60),
            mode: Mode::Pull,
        }
    }

    fn spot(client: &str) -> Spot {
        Spot::of_file(Line::of_jobs(&client.parse().expect("a client"), false))
    }

    #[test]
    fn clients_with_due_jobs_share_a_claim() {
        let aggregator = aggregator();
        let (claims, name) = (Claims::new([&aggregator]), &aggregator.name);
        for client in ["big", "small", "third"] {
            claims.add(name, spot(client));
        }
        let unclaimed = claims.of(name).expect("one that claims");
        let shares = |most| -> Vec<usize> {
            let asks = unclaimed.next(most);
            let shares = asks.iter().map(|ask| ask.limit).collect();
            for ask in asks {
                claims.add(name, ask.spot);
            }
            shares
        };
        assert_eq!(shares(30), [10, 10, 10]);
        assert_eq!(shares(4), [2, 2], "nobody gets more than a share, in turn");
        assert_eq!(shares(1), [1]);
        assert_eq!(unclaimed.ready(), 3);
    }

    #[test]
    fn claims_that_wait_have_so_many_places() {
        let aggregator = aggregator();
        let (claims, name) = (Claims::new([&aggregator]), &aggregator.name);
        let unclaimed = claims.of(name).expect("one that claims");
        let mut places: Vec<_> = (0..WAITING).map_while(|_| unclaimed.place()).collect();
        assert_eq!(places.len(), WAITING);
        assert!(unclaimed.place().is_none());
        places.pop();
        assert!(unclaimed.place().is_some());
    }
}
