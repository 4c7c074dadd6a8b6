//! What is due, and in which line it waits.

use std::fmt;

use jiff::Timestamp;
use smol_str::{SmolStr, format_smolstr};

use crate::domain::duty::DutyKind;
use crate::domain::id::ClientId;

/// The place of the jobs that end when they are due.
const ENDS: &str = "ends";

/// A line: the duties of one kind that one client has at one place, which is an endpoint or an institution. Written
/// `d:acme/9f86d081`. Jobs that end when they are due have a place of their own, so that those that are to be handed out
/// can be left to whoever claims them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line(SmolStr);

impl Line {
    /// The line of that kind, client and place.
    pub fn new(kind: DutyKind, client: &ClientId, place: impl fmt::Display) -> Self {
        Self(format_smolstr!("{}:{client}/{place}", letter(kind)))
    }

    /// The line of a client's jobs that are to be handed out, or of those that end when they are due.
    pub fn of_jobs(client: &ClientId, end_when_due: bool) -> Self {
        let place = if end_when_due { ENDS } else { "" };
        Self::new(DutyKind::Aggregate, client, place)
    }

    /// Whether it has jobs that are to be handed out.
    pub fn hands_out_jobs(&self) -> bool {
        self.kind() == Some(DutyKind::Aggregate) && self.place() != ENDS
    }

    /// A line that was found where duties wait. A newer version may have kinds that this one does not know.
    pub fn found(text: &str) -> Self {
        Self(SmolStr::new(text))
    }

    /// The written form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind of its duties, if this version knows it.
    pub fn kind(&self) -> Option<DutyKind> {
        let begin = self.0.chars().next()?;
        DutyKind::ALL
            .into_iter()
            .find(|kind| letter(*kind) == begin)
    }

    /// Whose duties they are.
    pub fn client(&self) -> &str {
        self.parts().0
    }

    /// Where they have to be done.
    pub fn place(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        let (_, parts) = self.0.split_once(':').unwrap_or_default();
        parts.split_once('/').unwrap_or((parts, ""))
    }
}

/// What an entry of a line is behind: those behind the same leave one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind(SmolStr);

impl Behind {
    /// What that text names.
    pub fn of(text: &str) -> Self {
        Self(SmolStr::new(text))
    }

    /// The written form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a kind is written in a line.
fn letter(kind: DutyKind) -> char {
    match kind {
        DutyKind::Aggregate => 'a',
        DutyKind::Background => 'b',
        DutyKind::Deliver => 'd',
        DutyKind::Refresh => 'r',
        DutyKind::Revoke => 'v',
        DutyKind::Notify => 'n',
    }
}

/// When a record is due, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Its line.
    pub line: Line,
    /// When.
    pub at: Timestamp,
    /// Of those of a line that are behind the same only the first that came is due. `None`: nothing waits for it, and
    /// it waits for nothing.
    pub behind: Option<Behind>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_its_duties_are() {
        let client: ClientId = "acme".parse().expect("a client");
        for kind in DutyKind::ALL {
            let line = Line::new(kind, &client, "9f86d081");
            let found = Line::found(line.as_str());
            assert_eq!(found.kind(), Some(kind));
            assert_eq!((found.client(), found.place()), ("acme", "9f86d081"));
        }
        assert_eq!(Line::found("?:acme/x").kind(), None);
        assert_eq!(Line::found("").client(), "");
    }
}
