//! Counts what the bank was asked, for tests that must know what reached it.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Serialize, Serializer};

/// A number that only goes up.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Serialize for Counter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0.load(Ordering::Relaxed))
    }
}

/// Requests since the start, by endpoint, whatever came of them, and a few outcomes.
#[derive(Debug, Default, Serialize)]
pub(super) struct Stats {
    /// Authorization requests.
    pub(super) authorize: Counter,
    /// Names and passwords posted, the buttons that leave the page included.
    pub(super) login: Counter,
    /// Posts of the consent page.
    pub(super) consent: Counter,
    /// Token requests.
    pub(super) token: Counter,
    /// Revocation requests.
    pub(super) revoke: Counter,
    /// Steps of sign-ins without pages.
    pub(super) sign_in: Counter,
    /// Questions who somebody is.
    pub(super) identify: Counter,
    /// Reads of the accounts.
    pub(super) accounts: Counter,
    /// Reads of the transactions.
    pub(super) transactions: Counter,
    /// Authorization codes issued.
    pub(super) codes_issued: Counter,
    /// Access tokens issued.
    pub(super) tokens_issued: Counter,
    /// Codes that were presented again after they had been used.
    pub(super) codes_reused: Counter,
    /// Token requests with a refresh token.
    pub(super) refresh: Counter,
    /// Those that brought new tokens, even if the response with them was lost.
    pub(super) refreshes_granted: Counter,
    /// Those that were answered with `invalid_grant`.
    pub(super) refreshes_refused: Counter,
    /// Those among them whose refresh token had been used before.
    pub(super) refreshes_reused: Counter,
    /// Revocation requests that ended something.
    pub(super) revocations: Counter,
}
