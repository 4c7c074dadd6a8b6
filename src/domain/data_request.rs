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

    /// Whether pulling what this asks for brings all that the other one asks for.
    pub fn covers(&self, other: &Self) -> bool {
        self.joined(other).is_some_and(|both| both == *self)
    }

    /// What asks for all that both ask for. `None`: nothing does, because one names products and the other one leaves them
    /// to the aggregator.
    pub fn joined(&self, other: &Self) -> Option<Self> {
        if self.products.is_empty() != other.products.is_empty() {
            return None;
        }
        let either = |one: Option<bool>, other: Option<bool>| match (one, other) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (None, _) | (_, None) => None,
            (Some(false), Some(false)) => Some(false),
        };
        let mut products = self.products.clone();
        let more = other
            .products
            .iter()
            .filter(|it| !self.products.contains(it));
        products.extend(more);
        Some(Self {
            products,
            include_transactions: either(self.include_transactions, other.include_transactions),
            include_holdings: either(self.include_holdings, other.include_holdings),
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(products: &[Product], include_transactions: Option<bool>) -> DataRequest {
        DataRequest {
            products: products.to_vec(),
            include_transactions,
            include_holdings: None,
        }
    }

    #[test]
    fn what_is_joined_covers_both() {
        use Product::{Rewards, Statements, Transactions};
        let some = [
            of(&[], None),
            of(&[], Some(true)),
            of(&[], Some(false)),
            of(&[Statements], None),
            of(&[Transactions, Rewards], Some(true)),
        ];
        for one in &some {
            assert!(one.covers(one));
            for other in &some {
                let Some(both) = one.joined(other) else {
                    assert_ne!(one.products.is_empty(), other.products.is_empty());
                    assert!(!one.covers(other));
                    continue;
                };
                assert!(both.covers(one) && both.covers(other), "{one:?} {other:?}");
            }
        }
        let both = of(&[Statements], None).joined(&of(&[Rewards, Statements], Some(true)));
        assert_eq!(both, Some(of(&[Statements, Rewards], Some(true))));
        assert!(!of(&[Statements], None).covers(&of(&[Rewards], None)));
        assert!(!of(&[], Some(false)).covers(&of(&[], None)));
    }
}
