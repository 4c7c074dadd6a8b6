//! What the aggregator has pulled from the bank, by member. The demo app shows it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::bounded::Bounded;

/// The most members whose data is kept.
const CAPACITY: usize = 1_000;
/// How long it is kept without being pulled again.
const LIFE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// An account, as the bank writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) last_four: String,
    pub(super) balance: String,
    pub(super) currency: String,
}

/// A transaction, as the bank writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Transaction {
    pub(super) id: String,
    pub(super) account_id: String,
    pub(super) date: String,
    pub(super) description: String,
    pub(super) category: String,
    pub(super) amount: String,
    pub(super) currency: String,
}

/// All that is known of one member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Pull {
    pub(super) accounts: Vec<Account>,
    pub(super) transactions: Vec<Transaction>,
}

/// How a pull differs from the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Difference {
    /// Transactions that were not there.
    pub(super) created: usize,
    /// Transactions that were there and read otherwise.
    pub(super) updated: usize,
}

/// The last pull of each member. Bounded; gone with the process.
#[derive(Debug)]
pub(super) struct Pulls(Mutex<Bounded<String, Pull>>);

impl Pulls {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Bounded::new(CAPACITY, LIFE)))
    }

    /// Replaces what is known of `member`.
    pub(super) fn keep(&self, member: &str, pull: Pull, now: Timestamp) -> Difference {
        let mut pulls = self.lock();
        let before = pulls.get(member, now).cloned().unwrap_or_default();
        let before: HashMap<&str, &Transaction> = before
            .transactions
            .iter()
            .map(|transaction| (transaction.id.as_str(), transaction))
            .collect();
        let mut difference = Difference {
            created: 0,
            updated: 0,
        };
        for transaction in &pull.transactions {
            match before.get(transaction.id.as_str()) {
                None => difference.created += 1,
                Some(known) if *known != transaction => difference.updated += 1,
                Some(_) => {}
            }
        }
        pulls.insert(member.to_owned(), pull, now);
        difference
    }

    /// What is known of `member`; nothing before the first pull.
    pub(super) fn of(&self, member: &str, now: Timestamp) -> Option<Pull> {
        self.lock().get(member, now).cloned()
    }

    /// Forgets a member that was removed.
    pub(super) fn forget(&self, member: &str, now: Timestamp) {
        self.lock().remove(member, now);
    }

    fn lock(&self) -> MutexGuard<'_, Bounded<String, Pull>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(id: &str, amount: &str) -> Transaction {
        Transaction {
            id: id.to_owned(),
            account_id: "ACT-1".to_owned(),
            date: "2026-11-23".to_owned(),
            description: "Corner Grocery".to_owned(),
            category: "Groceries".to_owned(),
            amount: amount.to_owned(),
            currency: "USD".to_owned(),
        }
    }

    #[test]
    fn counts_what_is_new_and_what_has_changed() {
        let now = Timestamp::UNIX_EPOCH;
        let pulls = Pulls::new();
        let pull = |transactions| Pull {
            accounts: Vec::new(),
            transactions,
        };
        let first = pull(vec![transaction("a", "-1.00"), transaction("b", "-2.00")]);
        let counted = |created, updated| Difference { created, updated };
        assert_eq!(pulls.keep("MBR-1", first.clone(), now), counted(2, 0));
        assert_eq!(pulls.keep("MBR-1", first.clone(), now), counted(0, 0));
        let second = pull(vec![transaction("b", "-2.50"), transaction("c", "-3.00")]);
        assert_eq!(pulls.keep("MBR-1", second.clone(), now), counted(1, 1));
        assert_eq!(pulls.of("MBR-1", now), Some(second));
        assert_eq!(pulls.keep("MBR-2", first, now), counted(2, 0));
        pulls.forget("MBR-1", now);
        assert_eq!(pulls.of("MBR-1", now), None);
    }
}
