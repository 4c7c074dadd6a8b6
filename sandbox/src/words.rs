//! How people write what machines say: amounts, days, and how a connection is.

use jiff::civil::Date;

/// An amount such as `-1234.5` in `USD`, as people write it: `−$1,234.50`. A currency without a
/// sign of its own stands behind: `1,234.50 CHF`. What is no amount stays as it is.
pub(super) fn money(amount: &str, currency: &str) -> String {
    match cents(amount) {
        Some(cents) => money_of(cents, currency),
        None => format!("{amount} {currency}"),
    }
}

/// Hundredths of a currency's unit, as people write them.
pub(super) fn money_of(cents: i64, currency: &str) -> String {
    let sign = if cents < 0 { "\u{2212}" } else { "" };
    let cents = cents.unsigned_abs();
    let units = (cents / 100).to_string();
    let mut grouped = String::new();
    for (at, digit) in units.chars().enumerate() {
        if at > 0 && (units.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let number = format!("{grouped}.{:02}", cents % 100);
    match currency {
        "USD" => format!("{sign}${number}"),
        "EUR" => format!("{sign}€{number}"),
        "GBP" => format!("{sign}£{number}"),
        other => format!("{sign}{number}\u{a0}{other}"),
    }
}

/// `-12.5` as -1250 hundredths; none for what is no decimal of at most two places, or too large.
pub(super) fn cents(amount: &str) -> Option<i64> {
    let (sign, digits) = match amount.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, amount),
    };
    let (units, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if units.is_empty() || fraction.len() > 2 || !are_digits(units) || !are_digits(fraction) {
        return None;
    }
    let units: i64 = units.parse().ok()?;
    let fraction: i64 = format!("{fraction:0<2}").parse().ok()?;
    units
        .checked_mul(100)?
        .checked_add(fraction)?
        .checked_mul(sign)
}

/// A date such as `2026-11-23`, seen on `today`: `Yesterday`, `23 November`, and with its year
/// when that is another one. What is no date stays as it is.
pub(super) fn day(date: &str, today: Date) -> String {
    let Ok(date) = date.parse::<Date>() else {
        return date.to_owned();
    };
    if date == today {
        return "Today".to_owned();
    }
    if today.yesterday().is_ok_and(|yesterday| yesterday == date) {
        return "Yesterday".to_owned();
    }
    let format = match date.year() == today.year() {
        true => "%-d %B",
        false => "%-d %B %Y",
    };
    date.strftime(format).to_string()
}

/// A kind of account such as `CREDIT_CARD`: `Credit card`.
pub(super) fn kind(kind: &str) -> String {
    let mut words = kind.replace('_', " ").to_lowercase();
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// How good or bad something is; decides its colour and sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Done,
    Waiting,
    Attention,
    Trouble,
}

impl Tone {
    /// The name in the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Waiting => "waiting",
            Self::Attention => "attention",
            Self::Trouble => "trouble",
        }
    }
}

/// A connection status as people are told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    /// The published name, such as `CONNECTED`.
    pub(super) name: &'static str,
    /// In two or three words, for lists.
    pub(super) label: &'static str,
    /// In a sentence: what it means, and what to do.
    pub(super) sentence: &'static str,
    pub(super) tone: Tone,
}

impl Status {
    /// The words for the status of this published name.
    pub(super) fn of(name: &str) -> Self {
        let known = STATUSES.iter().find(|status| status.name == name);
        known.copied().unwrap_or(UNKNOWN)
    }
}

const UNKNOWN: Status = status(
    "",
    "Not known",
    "We do not know how this connection is. Please come back later.",
    Tone::Attention,
);

/// The 22 statuses.
const STATUSES: [Status; 22] = {
    use Tone::{Attention, Done, Trouble, Waiting};
    [
        status(
            "CREATED",
            "Signing in",
            "Your bank is signing you in.",
            Waiting,
        ),
        status(
            "PREVENTED",
            "Sign in again",
            "Three sign-ins failed. Check your user name and password, then sign in again.",
            Trouble,
        ),
        status(
            "DENIED",
            "Sign in again",
            "Your bank did not accept the sign-in. You can try again.",
            Trouble,
        ),
        status(
            "CHALLENGED",
            "Your answer is needed",
            "Your bank has a question for you.",
            Attention,
        ),
        status(
            "REJECTED",
            "Answer not accepted",
            "Your bank did not accept the answer. You can try again.",
            Trouble,
        ),
        status(
            "LOCKED",
            "Account locked",
            "Your account is locked. Unlock it at your bank, then try again.",
            Trouble,
        ),
        status("CONNECTED", "Connected", "Connected.", Done),
        status(
            "IMPEDED",
            "Your bank needs you",
            "Your bank needs something from you. Sign in on its own website, then connect again.",
            Attention,
        ),
        status(
            "RECONNECTED",
            "Connect again",
            "Your bank has a new way to connect. Connect again to finish the change.",
            Attention,
        ),
        status(
            "DEGRADED",
            "Having trouble",
            "The connection has trouble. We keep trying.",
            Attention,
        ),
        status(
            "DISCONNECTED",
            "Not working",
            "The connection has not worked for two weeks. We keep trying.",
            Trouble,
        ),
        status(
            "DISCONTINUED",
            "No longer offered",
            "Connections to this bank are no longer offered.",
            Trouble,
        ),
        status("CLOSED", "Closed", "This connection is closed.", Attention),
        status(
            "DELAYED",
            "Still connecting",
            "Connecting takes longer than usual.",
            Waiting,
        ),
        status(
            "FAILED",
            "Did not work",
            "That did not work. You can try again.",
            Trouble,
        ),
        status(
            "UPDATED",
            "Signing in",
            "Your bank is signing you in.",
            Waiting,
        ),
        status(
            "DISABLED",
            "Paused",
            "This connection is paused.",
            Attention,
        ),
        status(
            "IMPORTED",
            "Sign in to finish",
            "Type your user name and password to finish this connection.",
            Attention,
        ),
        status(
            "RESUMED",
            "Signing in",
            "Your bank is checking your answer.",
            Waiting,
        ),
        status(
            "EXPIRED",
            "Answer came too late",
            "The answer did not come in time. You can try again.",
            Attention,
        ),
        status(
            "IMPAIRED",
            "Connect again",
            "Your permission has ended. Connect again to renew it.",
            Attention,
        ),
        status(
            "PENDING",
            "Not finished",
            "You have not finished this connection yet.",
            Waiting,
        ),
    ]
};

const fn status(
    name: &'static str,
    label: &'static str,
    sentence: &'static str,
    tone: Tone,
) -> Status {
    Status {
        name,
        label,
        sentence,
        tone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        for (amount, currency, text) in [
            ("0.00", "USD", "$0.00"),
            ("-0.05", "USD", "\u{2212}$0.05"),
            ("999.99", "USD", "$999.99"),
            ("1234.5", "EUR", "€1,234.50"),
            ("-1234567.89", "GBP", "\u{2212}£1,234,567.89"),
            ("100000", "CHF", "100,000.00\u{a0}CHF"),
        ] {
            assert_eq!(money(amount, currency), text);
        }
        for odd in [
            "",
            "-",
            "1.234",
            "1,000.00",
            "1e9",
            ".5",
            "99999999999999999999",
        ] {
            assert_eq!(money(odd, "USD"), format!("{odd} USD"));
        }
    }

    #[test]
    fn days_read_as_people_say_them() {
        let today = jiff::civil::date(2026, 1, 2);
        for (date, text) in [
            ("2026-01-02", "Today"),
            ("2026-01-01", "Yesterday"),
            ("2026-01-05", "5 January"),
            ("2025-12-31", "31 December 2025"),
            ("soon", "soon"),
        ] {
            assert_eq!(day(date, today), text);
        }
    }

    #[test]
    fn kinds_of_account_read_as_words() {
        for (name, words) in [
            ("CREDIT_CARD", "Credit card"),
            ("SAVINGS", "Savings"),
            ("", ""),
        ] {
            assert_eq!(kind(name), words);
        }
    }

    #[test]
    fn every_status_has_words_of_its_own_and_none_is_a_code() {
        for (at, status) in STATUSES.iter().enumerate() {
            let earlier = &STATUSES[..at];
            assert!(earlier.iter().all(|other| other.name != status.name));
            assert_eq!(Status::of(status.name), *status);
            for words in [status.label, status.sentence] {
                assert!(!words.contains(status.name), "{words}");
            }
        }
        assert_eq!(Status::of("NEWER"), UNKNOWN);
    }
}
