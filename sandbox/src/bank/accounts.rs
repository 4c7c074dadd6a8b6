//! Who has which accounts. Nothing is stored: a person's accounts follow from who they are.

use aws_lc_rs::digest::{SHA256, digest};
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Serialize;

use crate::words::{kind, money};

/// The currency of everything.
const CURRENCY: &str = "USD";

/// An account, as the accounts endpoint shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Account {
    /// `ACT-` and 16 hexadecimal digits; the same for the same person at the same institution.
    pub(super) id: String,
    pub(super) name: &'static str,
    /// `CHECKING`, `SAVINGS` or `CREDIT_CARD`.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) last_four: String,
    /// In units of the currency with two decimals; what is owed on a card is negative.
    pub(super) balance: String,
    pub(super) currency: &'static str,
}

impl Account {
    /// The balance as people write it.
    pub(super) fn balance_text(&self) -> String {
        money(&self.balance, self.currency)
    }

    /// The kind as people call it.
    pub(super) fn kind_text(&self) -> String {
        kind(self.kind)
    }
}

/// A booked transaction, as the transactions endpoint shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Transaction {
    /// `TRN-` and 16 hexadecimal digits.
    pub(super) id: String,
    pub(super) account_id: String,
    pub(super) date: Date,
    pub(super) description: &'static str,
    pub(super) category: &'static str,
    /// In units of the currency with two decimals; money going out is negative.
    pub(super) amount: String,
    pub(super) currency: &'static str,
}

/// What everybody has: kind, name, and the range of the balance in cents.
const ACCOUNTS: [(&str, &str, i64, i64); 3] = [
    ("CHECKING", "Everyday Checking", 45_000, 620_000),
    ("SAVINGS", "Rainy Day Savings", 150_000, 2_400_000),
    ("CREDIT_CARD", "Rewards Credit Card", -190_000, -2_500),
];

/// What happens on the accounts: kind of account, days ago, description, category, and the range of
/// the amount in cents.
type Habit = (&'static str, i64, &'static str, &'static str, i64, i64);

const HABITS: [Habit; 12] = [
    ("CHECKING", 1, "Corner Grocery", "Groceries", -9_500, -1_800),
    (
        "CREDIT_CARD",
        2,
        "Harbor Coffee",
        "Restaurants",
        -1_450,
        -380,
    ),
    ("CHECKING", 3, "City Transit", "Transport", -4_000, -250),
    (
        "CREDIT_CARD",
        5,
        "Streamline Video",
        "Entertainment",
        -1_999,
        -899,
    ),
    (
        "CHECKING",
        6,
        "Northside Power & Gas",
        "Utilities",
        -16_000,
        -5_500,
    ),
    (
        "SAVINGS",
        8,
        "Transfer from checking",
        "Transfer",
        5_000,
        40_000,
    ),
    (
        "CHECKING",
        8,
        "Transfer to savings",
        "Transfer",
        -40_000,
        -5_000,
    ),
    (
        "CREDIT_CARD",
        11,
        "Paper Lantern Books",
        "Shopping",
        -6_200,
        -900,
    ),
    (
        "CHECKING",
        13,
        "Payroll deposit",
        "Income",
        180_000,
        340_000,
    ),
    (
        "CREDIT_CARD",
        17,
        "Green Valley Pharmacy",
        "Health",
        -4_800,
        -700,
    ),
    ("CHECKING", 21, "Rent", "Home", -165_000, -80_000),
    ("SAVINGS", 24, "Interest paid", "Income", 120, 2_900),
];

/// Everything `subject` has at the institution with this code, in a fixed order.
pub(super) fn accounts_of(institution: &str, subject: &str) -> Vec<Account> {
    ACCOUNTS
        .iter()
        .map(|&(kind, name, low, high)| {
            let seed = Seed::of(&[institution, subject, kind]);
            Account {
                id: format!("ACT-{}", seed.hex()),
                name,
                kind,
                last_four: format!("{:04}", seed.between(0, 9_999, 1)),
                balance: decimal(seed.between(low, high, 2)),
                currency: CURRENCY,
            }
        })
        .collect()
}

/// What happened on `accounts` in the weeks before `today`, newest first.
pub(super) fn transactions_of(accounts: &[Account], today: Date) -> Vec<Transaction> {
    HABITS
        .iter()
        .filter_map(|&(kind, days, description, category, low, high)| {
            let account = accounts.iter().find(|account| account.kind == kind)?;
            let seed = Seed::of(&[&account.id, description]);
            Some(Transaction {
                id: format!("TRN-{}", seed.hex()),
                account_id: account.id.clone(),
                date: today.saturating_sub(days.days()),
                description,
                category,
                amount: decimal(seed.between(low, high, 2)),
                currency: CURRENCY,
            })
        })
        .collect()
}

/// The bank's name for the person who logs in as `user_name`.
pub(super) fn subject_of(institution: &str, user_name: &str) -> String {
    format!(
        "sub-{}",
        Seed::of(&[institution, "person", user_name]).hex()
    )
}

/// Bytes that follow from a few words: the same words, the same bytes, for ever.
struct Seed([u8; 32]);

impl Seed {
    fn of(words: &[&str]) -> Self {
        // The separator keeps ("ab", "c") and ("a", "bc") apart; no word of ours contains it, and
        // a user name that does changes only which invented accounts its owner sees.
        let hashed = digest(&SHA256, words.join("\n").as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hashed.as_ref());
        Self(bytes)
    }

    /// 16 digits for an identifier.
    fn hex(&self) -> String {
        self.0[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// A number from `low` to `high`. Different values of `which` (1 to 3) are unrelated.
    fn between(&self, low: i64, high: i64, which: usize) -> i64 {
        let bits = self.0[which * 8..which * 8 + 7]
            .iter()
            .fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
        low + bits % (high - low + 1)
    }
}

/// `1234` cents as `12.34`.
fn decimal(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_person_always_has_the_same() {
        let today = jiff::civil::date(2026, 11, 23);
        let subject = subject_of("mx_bank_oauth", "ada");
        let accounts = accounts_of("mx_bank_oauth", &subject);
        assert_eq!(accounts, accounts_of("mx_bank_oauth", &subject));
        let transactions = transactions_of(&accounts, today);
        assert_eq!(transactions, transactions_of(&accounts, today));
        assert_eq!((accounts.len(), transactions.len()), (3, 12));
    }

    #[test]
    fn other_people_and_other_banks_are_unrelated() {
        let ada = accounts_of("mxcu_oauth", &subject_of("mxcu_oauth", "ada"));
        let bob = accounts_of("mxcu_oauth", &subject_of("mxcu_oauth", "bob"));
        let elsewhere = accounts_of("mx_bank_oauth", &subject_of("mxcu_oauth", "ada"));
        assert!(
            ada.iter()
                .all(|one| bob.iter().all(|other| one.id != other.id))
        );
        assert!(
            ada.iter()
                .zip(&elsewhere)
                .all(|(one, other)| one.id != other.id)
        );
    }

    #[test]
    fn amounts_are_written_with_two_decimals() {
        for (cents, text) in [
            (0, "0.00"),
            (5, "0.05"),
            (-5, "-0.05"),
            (123_456, "1234.56"),
        ] {
            assert_eq!(decimal(cents), text);
        }
    }

    #[test]
    fn amounts_stay_in_their_range() {
        for name in ["ada", "bob", "cyd", ""] {
            for account in accounts_of("mxcu_oauth", name) {
                let owed = account.balance.starts_with('-');
                assert_eq!(owed, account.kind == "CREDIT_CARD", "{account:?}");
            }
        }
    }
}
