//! What an institution showed of itself when it was last looked at, and what has changed since.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::form;

/// How many days before its end a certificate that was not replaced is told.
const DAYS_BEFORE: [u64; 3] = [30, 7, 1];

/// What an institution shows of itself. All of it is public, and made safe to show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Its metadata, member by member; `None`: it could not be read, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// Its keys: the name of each, by its thumbprint (RFC 7638); `None`: the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<BTreeMap<String, String>>,
    /// The certificates of the hosts that are called, by host and port.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub certificates: BTreeMap<String, ShownCertificate>,
    /// In what its file does not agree with its metadata; `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differences: Option<BTreeSet<String>>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCertificate {
    /// What tells it from every other one.
    pub fingerprint: String,
    /// When it ends.
    #[serde(with = "form")]
    pub ends_at: Timestamp,
}

/// What a change is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// The file does not agree with the metadata in something that it agreed in before, or that is new.
    File,
    /// The metadata.
    Metadata,
    /// The keys that it signs with.
    Keys,
    /// A certificate.
    Certificate,
}

impl Aspect {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::File, Self::Metadata, Self::Keys, Self::Certificate];

    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Metadata => "metadata",
            Self::Keys => "keys",
            Self::Certificate => "certificate",
        }
    }
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What it is of.
    pub aspect: Aspect,
    /// What was, and what is, in words.
    pub text: String,
    /// Whether such changes happen by themselves: keys and certificates are replaced before they end.
    pub is_usual: bool,
}

impl Shown {
    /// What is known now: what is in `self`, and of `before` what could not be read this time.
    pub fn after(self, before: &Self) -> Self {
        let mut certificates = before.certificates.clone();
        certificates.extend(self.certificates);
        Self {
            metadata: self.metadata.or_else(|| before.metadata.clone()),
            keys: self.keys.or_else(|| before.keys.clone()),
            differences: self.differences.or_else(|| before.differences.clone()),
            certificates,
        }
    }

    /// The changes from `before`, which was seen at `then`, to this, which is seen `now`. What was not seen before is
    /// no change; what the file does not agree with, and a certificate that ends soon, is told even then.
    pub fn changes(&self, before: Option<(&Self, Timestamp)>, now: Timestamp) -> Vec<Change> {
        let nothing = Self::default();
        let (before, then) = before.map_or((&nothing, None), |(it, then)| (it, Some(then)));
        let mut changes = Vec::new();
        let mut tell = |aspect, is_usual, text| {
            changes.push(Change {
                aspect,
                text,
                is_usual,
            });
        };
        for difference in self.differences.iter().flatten() {
            let known = before.differences.as_ref();
            if known.is_none_or(|known| !known.contains(difference)) {
                tell(Aspect::File, false, difference.clone());
            }
        }
        if let (Some(before), Some(now)) = (&before.metadata, &self.metadata) {
            for (name, was, is) in differing(before, now) {
                tell(Aspect::Metadata, false, sentence(name, was, is));
            }
        }
        if let (Some(before), Some(now)) = (&before.keys, &self.keys) {
            for (_, was, is) in differing(before, now) {
                let text = match (was, is) {
                    (None, Some(name)) => format!("the key {name} is new"),
                    (Some(name), None) => format!("the key {name} is gone"),
                    (Some(was), Some(is)) => format!("the key {was} is called {is} now"),
                    (None, None) => continue,
                };
                tell(Aspect::Keys, true, text);
            }
        }
        for (host, is) in &self.certificates {
            let was = before.certificates.get(host);
            let was = was.filter(|was| was.fingerprint != is.fingerprint);
            if let Some(was) = was {
                let (was, is) = (was.ends_at, is.ends_at);
                let text = format!(
                    "{host} has another certificate: it ends at {is}, the one before at {was}"
                );
                tell(Aspect::Certificate, true, text);
            }
            let then = then.filter(|_| was.is_none());
            if ends_soon(is.ends_at, then, now) {
                let text = format!("the certificate of {host} ends at {}", is.ends_at);
                tell(Aspect::Certificate, false, text);
            }
        }
        changes
    }
}

/// The names whose text is not the same in both, with both texts.
fn differing<'a>(
    before: &'a BTreeMap<String, String>,
    now: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = (&'a str, Option<&'a str>, Option<&'a str>)> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    names.into_iter().filter_map(|name| {
        let (was, is) = (before.get(name), now.get(name));
        let texts = (was.map(String::as_str), is.map(String::as_str));
        (was != is).then_some((name.as_str(), texts.0, texts.1))
    })
}

fn sentence(name: &str, was: Option<&str>, is: Option<&str>) -> String {
    match (was, is) {
        (None, is) => format!("{name} is new: {}", is.unwrap_or_default()),
        (Some(was), None) => format!("{name} is gone; it was {was}"),
        (Some(was), Some(is)) => format!("{name} is {is}; it was {was}"),
    }
}

/// Whether the last look was more days before the end than one of those that are told, and this one is not.
fn ends_soon(ends_at: Timestamp, then: Option<Timestamp>, now: Timestamp) -> bool {
    DAYS_BEFORE.into_iter().any(|days| {
        let from = ends_at - Duration::from_secs(days * 24 * 60 * 60);
        from <= now && then.is_none_or(|then| then < from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    fn texts<const N: usize>(texts: [(&str, &str); N]) -> Option<BTreeMap<String, String>> {
        let owned = texts.map(|(name, text)| (name.to_owned(), text.to_owned()));
        Some(BTreeMap::from(owned))
    }

    fn certificate(fingerprint: &str, ends_at: i64) -> BTreeMap<String, ShownCertificate> {
        let certificate = ShownCertificate {
            fingerprint: fingerprint.to_owned(),
            ends_at: at(ends_at),
        };
        BTreeMap::from([("bank.example:443".to_owned(), certificate)])
    }

    /// The changes, each as its aspect, whether it is usual, and its text.
    fn told(before: &Shown, now: &Shown) -> Vec<(Aspect, bool, String)> {
        let changes = now.changes(Some((before, at(0))), at(60));
        let told = changes
            .into_iter()
            .map(|it| (it.aspect, it.is_usual, it.text));
        told.collect()
    }

    #[test]
    fn s1_an_endpoint_that_moves_is_a_change_that_names_both_addresses() {
        let before = Shown {
            metadata: texts([("a", "1"), ("b", "2"), ("token_endpoint", "https://one")]),
            ..Shown::default()
        };
        let now = Shown {
            metadata: texts([("a", "1"), ("c", "3"), ("token_endpoint", "https://two")]),
            ..Shown::default()
        };
        let expected = [
            "b is gone; it was 2",
            "c is new: 3",
            "token_endpoint is https://two; it was https://one",
        ];
        let expected = expected.map(|text| (Aspect::Metadata, false, text.to_owned()));
        assert_eq!(told(&before, &now), expected);
        assert_eq!(told(&now, &now), []);
    }

    #[test]
    fn a_key_that_comes_or_goes_is_a_usual_change() {
        let before = Shown {
            keys: texts([("x", "one"), ("y", "two")]),
            ..Shown::default()
        };
        let now = Shown {
            keys: texts([("y", "two"), ("z", "three")]),
            ..Shown::default()
        };
        let expected = ["the key one is gone", "the key three is new"];
        let expected = expected.map(|text| (Aspect::Keys, true, text.to_owned()));
        assert_eq!(told(&before, &now), expected);
    }

    #[test]
    fn a_difference_from_the_file_is_told_when_it_is_new() {
        let differing = |texts: &[&str]| Shown {
            differences: Some(texts.iter().map(|text| (*text).to_owned()).collect()),
            ..Shown::default()
        };
        let first = differing(&["a"]).changes(None, at(0));
        assert_eq!(first.len(), 1);
        let told = told(&differing(&["a", "b"]), &differing(&["b", "c"]));
        assert_eq!(told, [(Aspect::File, false, "c".to_owned())]);
    }

    #[test]
    fn what_was_not_seen_before_or_is_not_seen_now_is_no_change() {
        let seen = Shown {
            metadata: texts([("a", "1")]),
            keys: texts([("x", "one")]),
            certificates: certificate("f", 400 * DAY),
            differences: Some(BTreeSet::new()),
        };
        assert_eq!(seen.changes(None, at(0)), []);
        assert_eq!(told(&Shown::default(), &seen), []);
        assert_eq!(told(&seen, &Shown::default()), []);
        // And it is remembered for the next time.
        assert_eq!(Shown::default().after(&seen), seen);
        assert_eq!(seen.clone().after(&Shown::default()), seen);
    }

    #[test]
    fn another_certificate_is_a_usual_change_and_an_end_is_told_thrice() {
        let with = |certificates| Shown {
            certificates,
            ..Shown::default()
        };
        let (old, new) = (
            with(certificate("old", 99 * DAY)),
            with(certificate("new", 199 * DAY)),
        );
        let told = told(&old, &new);
        let [(Aspect::Certificate, true, text)] = &told[..] else {
            panic!("one change: {told:?}");
        };
        assert!(
            text.starts_with("bank.example:443 has another certificate"),
            "{text}"
        );
        // A look every six hours, from a hundred days before the end to its day.
        let looks = (0..=99 * 4).map(|look| look * DAY / 4);
        let told = looks.filter(|now| {
            let before = (*now > 0).then(|| (&old, at(now - DAY / 4)));
            !old.changes(before, at(*now)).is_empty()
        });
        let told: Vec<i64> = told.map(|second| second / DAY).collect();
        assert_eq!(told, [69, 92, 98]);
        // One that ends soon when it is first seen is told at once, and once.
        assert_eq!(old.changes(None, at(95 * DAY)).len(), 1);
        let soon = with(certificate("soon", 99 * DAY));
        let replaced = soon.changes(Some((&new, at(95 * DAY))), at(96 * DAY));
        assert_eq!(replaced.len(), 2);
    }
}
