//! Looking at what institutions show of themselves.
//!
//! - An institution is looked at by one gateway at a time, and not before its time has come. Whoever begins is
//!   expected to say what it saw; if it dies first, the next look does.
//! - What is seen takes the place of what was seen before, and is adopted nowhere. The changes are kept for
//!   [`KEPT`], the newest [`MOST`] of them.

use std::time::Duration;

use jiff::Timestamp;

use super::record::{Changes, Key, Reads, Slot, ToldChange, View, Watched};
use super::step::{Step, unchanged};
use crate::domain::id::InstitutionCode;
use crate::domain::watch::{Change, Shown};

/// For how long a change is kept.
pub const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How many changes of an institution are kept.
pub const MOST: usize = 20;

/// A gateway is about to look at an institution.
#[derive(Clone, Debug)]
pub struct BeginLook {
    /// Which.
    pub institution: InstitutionCode,
    /// After how long it is looked at again.
    pub every: Duration,
}

/// Whether it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// It may.
    Begun,
    /// Not before that time.
    NotBefore(Timestamp),
}

impl Step for BeginLook {
    type Outcome = Look;

    fn slot(&self) -> Slot {
        Slot::Store
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::watched(&self.institution)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (Look, Changes) {
        let watched = view.watched(&self.institution).cloned();
        if let Some(watched) = watched.as_ref().filter(|it| now < it.next_at) {
            return unchanged(Look::NotBefore(watched.next_at));
        }
        let next_at = now + self.every;
        let watched = watched.map_or_else(|| Watched::new(next_at), |it| Watched { next_at, ..it });
        let mut changes = Changes::default();
        changes.put(Key::watched(&self.institution), watched);
        (Look::Begun, changes)
    }
}

/// What a look at an institution saw.
#[derive(Clone, Debug)]
pub struct TellShown {
    /// Which.
    pub institution: InstitutionCode,
    /// What could be read.
    pub shown: Shown,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

/// What is new since the look before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// What has changed.
    pub changes: Vec<Change>,
    /// What could not be read, and could before, or failed in another way.
    pub unread: Vec<String>,
}

impl Step for TellShown {
    type Outcome = News;

    fn slot(&self) -> Slot {
        Slot::Store
    }

    fn reads(&self) -> Reads {
        Reads::of([Key::watched(&self.institution)])
    }

    fn decide(&self, view: &View, now: Timestamp) -> (News, Changes) {
        let kept = view.watched(&self.institution).cloned();
        let mut watched = kept.unwrap_or_else(|| Watched::new(now));
        let before = watched.seen_at.map(|then| (&watched.shown, then));
        let found = self.shown.changes(before, now);
        watched.shown = self.shown.clone().after(&watched.shown);
        watched.seen_at = Some(now);
        let is_new = |unread: &&String| !watched.unread.contains(unread);
        let unread = self.unread.iter().filter(is_new).cloned().collect();
        watched.unread.clone_from(&self.unread);
        let is_fresh = |told: &ToldChange| now < told.at + KEPT;
        watched.changes.retain(is_fresh);
        let told = found.iter().cloned();
        watched
            .changes
            .extend(told.map(|change| ToldChange { at: now, change }));
        let surplus = watched.changes.len().saturating_sub(MOST);
        watched.changes.drain(..surplus);
        let mut changes = Changes::default();
        changes.put(Key::watched(&self.institution), watched);
        let news = News {
            changes: found,
            unread,
        };
        (news, changes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::steps::record::Record;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn at(hours: u32) -> Timestamp {
        Timestamp::UNIX_EPOCH + HOUR * hours
    }

    fn code() -> InstitutionCode {
        "bank".parse().expect("a code")
    }

    /// What a step leads to, and the view after it.
    fn then<S: Step>(step: &S, view: View, now: Timestamp) -> (S::Outcome, View) {
        let (outcome, changes) = step.decide(&view, now);
        let records = changes.records.into_iter();
        let kept: Vec<(Key, Record)> = records.filter_map(|(key, it)| Some((key, it?))).collect();
        let view = if kept.is_empty() {
            view
        } else {
            View::new(kept)
        };
        (outcome, view)
    }

    #[test]
    fn one_gateway_looks_and_the_others_learn_when_to_come_again() {
        let begin = BeginLook {
            institution: code(),
            every: 6 * HOUR,
        };
        let (look, view) = then(&begin, View::default(), at(0));
        assert_eq!(look, Look::Begun);
        let (look, view) = then(&begin, view, at(5));
        assert_eq!(look, Look::NotBefore(at(6)));
        let (look, _) = then(&begin, view, at(6));
        assert_eq!(look, Look::Begun);
    }

    #[test]
    fn changes_are_kept_for_a_month_the_newest_of_them() {
        let shows = |text: String| TellShown {
            institution: code(),
            shown: Shown {
                metadata: Some(BTreeMap::from([("a".to_owned(), text)])),
                ..Shown::default()
            },
            unread: vec!["keys: no".to_owned()],
        };
        let mut view = View::default();
        for n in 0..=25 {
            let (news, after) = then(&shows(n.to_string()), view, at(n));
            assert_eq!(news.changes.len(), usize::from(n > 0));
            assert_eq!(news.unread.len(), usize::from(n == 0), "it is told once");
            view = after;
        }
        let watched = view.watched(&code()).expect("kept");
        assert_eq!(watched.changes.len(), MOST);
        let newest = watched.changes.last().expect("one");
        assert_eq!(newest.change.text, "a is 25; it was 24");
        assert_eq!(watched.unread, ["keys: no"]);
        let (news, view) = then(&shows("25".to_owned()), view, at(25 + 30 * 24));
        let watched = view.watched(&code()).expect("kept");
        assert!(news.changes.is_empty() && watched.changes.is_empty());
    }
}
