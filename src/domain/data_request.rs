//! The data that a member's jobs ask for (CONTRACT.md 1.4 and 2.2); passed on to the aggregator.

use serde::{Deserialize, Serialize};

/// The data that a job asks for. Empty: whatever the aggregator usually pulls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataRequest {
    /// `data_request.products`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<Product>,
    /// `include_transactions`, if it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_transactions: Option<bool>,
    /// `include_holdings`, if it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_holdings: Option<bool>,
}

impl DataRequest {
    /// Whether nothing in particular is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A kind of data that can be asked for (CONTRACT.md 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// Account and routing numbers.
    AccountVerification,
    /// Who owns the accounts.
    IdentityVerification,
    /// Recent transactions.
    Transactions,
    /// Transactions as far back as the institution has them.
    TransactionHistory,
    /// Statements as documents.
    Statements,
    /// Holdings.
    Investments,
    /// Rewards programmes.
    Rewards,
}

impl Product {
    /// Every product, by its published name.
    pub const NAMES: [&'static str; 7] = [
        "account_verification",
        "identity_verification",
        "transactions",
        "transaction_history",
        "statements",
        "investments",
        "rewards",
    ];
}
